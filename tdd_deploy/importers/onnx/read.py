"""Conventional networks in: feed-forward ReLU networks of ONNX files become Programs of sigma-delta neurons.

A ReLU becomes a ``SigmaDelta`` that sends every change (its threshold can be raised later); all other nodes are linear.
Factors and shifts (batch norm, constants) are folded into the maps around them (``onnx_fold.py``).
Values have no batch axis and are channel first; a tensor that is channel last in the file is marked.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from tdd_deploy.errors import UnsupportedGraph, Violation
from tdd_deploy.neurons import SigmaDelta
from tdd_deploy.program import Edge, Input, LinearMap, NeuronLayer, Node, Output, Program, Shape, ShapeError, build

from .file import open_onnx
from .fold import Affine, folded
from .operators import NO_PADS, READ, Array, Op, Refused, Signal, Value, array_of, type_name

MOST_NODES = 10_000
MOST_VALUES = 1 << 28  # of a tensor for one sample
DT_S = 1e-3  # a static network has no time; a step is written as one millisecond
FLOAT32 = 1  # as ONNX numbers types
IN_FLOAT32 = "Export the network in float32: network.float(), with a float32 example."
UNSUPPORTED = {
    "MaxPool": "Train with average pooling: a maximum is not linear, so changes do not pass through it.",
    "GlobalMaxPool": "Train with average pooling.",
    **dict.fromkeys(
        ("LeakyRelu", "PRelu", "Elu", "Gelu", "Sigmoid", "Tanh", "HardSwish", "HardSigmoid", "Selu", "Softplus"),
        "Train with ReLU.",
    ),
    **dict.fromkeys(
        (
            *("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul"),
            *("ConvInteger", "MatMulInteger"),
        ),
        "Use the float model from which it was quantized.",
    ),
    **dict.fromkeys(("LSTM", "GRU", "RNN", "Loop", "Scan", "If"), "Only feed-forward networks without control flow."),
}


def is_onnx(path: Path) -> bool:
    """Say whether a file is named as one of ONNX."""
    return path.suffix.lower() == ".onnx"


def read_onnx(path: Path) -> Program:
    """Read a conventional network with one float32 input and one output.

    The input is ``[N, n]``, ``[N, channels, height, width]``, or ``[N, channels, length]``, which gets a height of 1.
    It may hold Conv, Gemm, MatMul, Relu, AveragePool, GlobalAveragePool, ReduceMean over pixels, Add, Sum, Sub, Neg,
    Mul, Div, BatchNormalization, Pad with zeros, Flatten and similar nodes. A Softmax, LogSoftmax or ArgMax at the
    output is left out and recorded in the provenance. A static network has one time step.

    Raises:
        MissingDependency: onnx is not installed.
        BadFile: it cannot be read, or is damaged, or was exported by us from a spiking network.
        UnsupportedGraph: no Program can hold some nodes; all are named.
        BadProgram: it breaks a rule of ``program/verify.py``.
    """
    found = open_onnx(path)
    (name, digest), *beside = found.digests.items()
    weights = {
        "weights": ", ".join(each for each, _ in beside),
        "weights sha256": ", ".join(each for _, each in beside),
    }
    provenance = {"dialect": "onnx", "file": name, "sha256": digest, **(weights if beside else {})}
    with np.errstate(all="ignore"):  # a rule of every Program reports NaN and infinite numbers
        return Reader(path, found.model).program(provenance=provenance)


class Reader:
    """Walks through the nodes of a graph in order, and collects nodes of a Program."""

    def __init__(self, path: Path, model: Any) -> None:
        self.path = path
        self.graph = model.graph
        self.functions = list(model.functions)
        self.nodes: dict[str, Node] = {}
        self.edges: list[Edge] = []
        self.values: dict[str, Value | None] = {}  # by the file's names; None: behind what was refused
        self.found: list[Violation] = []
        self.left_out: list[str] = []
        self.counted: list[str] = []  # pools that became convolutions, whose synapses count
        self.shapes: dict[str, Shape] = {}  # that nodes send
        self.taken: set[str] = set()  # names that nodes have or had
        self.input = ""  # its name
        self.batch = 0  # samples that the file fixes; 0: any

    def program(self, provenance: Mapping[str, str]) -> Program:
        """Return the whole graph as a Program."""
        if found := list(self._unreadable()):
            raise UnsupportedGraph(str(self.path), found)
        for tensor in self.graph.initializer:
            self._initialize(tensor)
        self._enter()
        for node in self.graph.node:
            self._take(node)
        self._leave()
        if self.found:
            raise UnsupportedGraph(str(self.path), self.found)
        self._prune()
        nodes, edges = folded(self.nodes, self.edges, self.shapes)
        notes = {"left out": self.left_out, "counted as convolutions": self.counted}
        return build(
            nodes,
            edges,
            dt_s=DT_S,
            n_steps=1,
            provenance={**provenance, **{key: "; ".join(lines) for key, lines in notes.items() if lines}},
            subject=str(self.path),
        )

    def _unreadable(self) -> Iterator[Violation]:
        """Yield what is wrong before any node is looked at closely."""
        n_nodes = len(self.graph.node)
        if n_nodes > MOST_NODES:
            yield Violation("the graph", f"{n_nodes:,} nodes", f"at most {MOST_NODES:,}")
        if self.functions:
            names = ", ".join(function.name for function in self.functions[:3])
            remedy = "Inline them: onnx.inliner.inline_local_functions(model)."
            yield Violation("the model", f"has functions of its own ({names})", "none", remedy)
        if self.graph.sparse_initializer:
            yield Violation("the graph", "has sparse weights", "dense ones")
        for kind in dict.fromkeys(node.op_type for node in self.graph.node if not _is_read(node)):
            of_kind = [node for node in self.graph.node if node.op_type == kind]
            names = ", ".join(node.name or next(iter(node.output), "a node") for node in of_kind)
            yield Violation(names, f"is {kind}", f"one of {', '.join(sorted(READ))}", UNSUPPORTED.get(kind, ""))

    def _initialize(self, tensor: Any) -> None:
        """Read a constant of the file."""
        try:
            self.values[tensor.name] = array_of(tensor)
        except (TypeError, ValueError, KeyError) as error:
            shape = list(tensor.dims)
            raise UnsupportedGraph(
                str(self.path),
                [Violation(f"weights {tensor.name}", f"a count of numbers that does not fit {shape}", "float32")],
            ) from error

    def _enter(self) -> None:
        """Make the input."""
        given = [each for each in self.graph.input if each.name not in self.values]
        if ends := list(self._too_many_ends(given)):
            raise UnsupportedGraph(str(self.path), ends)
        (entry,) = given
        tensor = entry.type.tensor_type
        sizes = [axis.dim_value if axis.HasField("dim_value") else 0 for axis in tensor.shape.dim]
        shape, is_float = tuple(sizes[1:]), tensor.elem_type == FLOAT32
        if not is_float or len(shape) not in (1, 2, 3) or min(shape) < 1 or math.prod(shape) > MOST_VALUES:
            axes = ", ".join(axis.dim_param or str(axis.dim_value) for axis in tensor.shape.dim)
            found = f"type {type_name(tensor.elem_type)}, shape [{axes}]"
            allowed = "float32, [N, n], [N, channels, length] or [N, channels, height, width], all but N known"
            remedy = "" if is_float else IN_FLOAT32
            raise UnsupportedGraph(str(self.path), [Violation(f"input {entry.name}", found, allowed, remedy)])
        self.batch = sizes[0]
        is_line = len(shape) == 2  # signals in time
        if is_line:
            shape = (shape[0], 1, shape[1])
        self.input = self._free(entry.name)
        self.nodes[self.input] = Input(name=self.input, shape=shape)
        self.shapes[self.input] = shape
        self.values[entry.name] = Signal(sources=(self.input,), shape=shape, is_line=is_line)

    def _too_many_ends(self, inputs: Sequence[Any]) -> Iterator[Violation]:
        """Report several inputs or outputs, with the call that cuts the graph to one."""
        for kind, ends in (("inputs", inputs), ("outputs", self.graph.output)):
            if len(ends) != 1:
                names = ", ".join(each.name for each in ends)
                kept = [each.name for each in inputs[:1]], [each.name for each in self.graph.output[:1]]
                cut = f"onnx.utils.extract_model('{self.path.name}', 'one.onnx', {kept[0]}, {kept[1]})."
                remedy = f"Keep one: {cut}" if kind == "outputs" and ends else ""
                yield Violation("the graph", f"{len(ends)} {kind} ({names})", "one", remedy)

    def _take(self, node: Any) -> None:
        """Execute one node on values that are known, or add it to the Program."""
        given = [self.values.get(name) if name else None for name in node.input]
        outputs = [name for name in node.output if name]
        self.values.update(dict.fromkeys(outputs))
        if any(name and value is None for name, value in zip(node.input, given, strict=True)):
            return  # behind what was refused
        try:
            self.values[node.output[0]] = READ[node.op_type](self, Op(node), *given)
        except Refused as refused:
            self.found.append(Violation(_label(node), *refused.args))
        except ShapeError as error:
            self.found.append(Violation(_label(node), "receives another shape", str(error)))
        except (
            ArithmeticError,
            AttributeError,
            LookupError,
            TypeError,
            ValueError,
        ) as error:  # onnx does not check values
            found = f"inputs or attributes that are not read ({type(error).__name__})"
            remedy = "If onnxruntime runs this file, please report it."
            self.found.append(Violation(_label(node), found, "what ONNX defines for it", remedy))

    def _leave(self) -> None:
        """Make the output."""
        value = self.values.get(self.graph.output[0].name)
        if self.found:
            return
        if not isinstance(value, Signal) or value.channel_last or value.columns is not None or any(value.pads):
            found = "does not depend on the input" if not isinstance(value, Signal) else "is channel last, or padded"
            self.found.append(Violation(f"output {self.graph.output[0].name}", found, "what a layer gives"))
            return
        name = self._free("output")
        self.nodes[name] = Output(name=name)
        self.edges += [Edge(source, name) for source in value.sources]

    def _prune(self) -> None:
        """Take away what does not lead to the output."""
        sources: dict[str, list[str]] = {}
        for edge in self.edges:
            sources.setdefault(edge.target, []).append(edge.source)
        used, left = {self.input}, [list(self.nodes)[-1]]
        while left:
            name = left.pop()
            if name not in used:
                used.add(name)
                left += sources.get(name, [])
        self.nodes = {name: node for name, node in self.nodes.items() if name in used}
        self.edges = [edge for edge in self.edges if edge.target in used]

    def _free(self, wanted: str) -> str:
        """Return a name that a Program can have and that was not given before."""
        stem = wanted.strip("/").replace("/", ".") or "node"
        names = (stem if number == 1 else f"{stem}_{number}" for number in count(1))
        name = next(name for name in names if name not in self.taken)
        self.taken.add(name)
        return name

    def add(self, wanted: str, make: Callable[[str], LinearMap], signal: Signal, **kept: Any) -> Signal:
        """Add a linear map behind a signal; ``kept`` are further fields of what it gives."""
        name = self._free(wanted)
        made = make(name)
        shape = made.out_shape(signal.shape)
        if math.prod(shape) > MOST_VALUES:
            raise Refused(f"{math.prod(shape):,} values", f"at most {MOST_VALUES:,} for a sample")
        return self._behind(made, shape, signal, **kept)

    def neurons(self, wanted: str, signal: Signal) -> Signal:
        """Add a layer of sigma-delta neurons behind a signal."""
        neuron = SigmaDelta(delta_threshold=np.zeros((), np.float32))
        layer = NeuronLayer(name=self._free(wanted), shape=signal.shape, neuron=neuron)
        kept = {"channel_last": signal.channel_last, "columns": signal.columns}
        return self._behind(layer, signal.shape, signal, **kept)

    def _behind(self, node: Node, shape: Shape, signal: Signal, **kept: Any) -> Signal:
        if any(signal.pads):
            raise Refused(
                "receives the output of Pad", "Conv or AveragePool after Pad, with only ReLU or a factor between them"
            )
        if any(source not in self.nodes for source in signal.sources):
            raise Refused("receives the input before it is reshaped", "one shape of the input for all that reads it")
        self.nodes[node.name] = node
        self.shapes[node.name] = shape
        self.edges += [Edge(source, node.name) for source in signal.sources]
        return Signal(sources=(node.name,), shape=shape, is_line=signal.is_line and len(shape) == 3, **kept)

    def affine(self, op: "Op", signal: Signal, factor: Array, bias: Array) -> Signal:
        """Multiply and shift values; both arrays have an axis for each of the signal's, of its size or of 1."""
        shape, pads = signal.shape, NO_PADS
        if any(signal.pads) and not np.any(bias) and factor.shape[1:] == (1, 1):  # zeros stay zeros
            pads, signal = signal.pads, replace(signal, pads=NO_PADS)
        kept = {"channel_last": signal.channel_last, "columns": signal.columns, "pads": pads}
        return self.add(op.name, lambda name: Affine(name=name, factor=factor, bias=bias, shape=shape), signal, **kept)

    def as_input(self, shape: Shape, *, is_line: bool = False) -> Signal:
        """Give the input another shape; nothing may have read it in its former one."""
        if any(edge.source == self.input for edge in self.edges):
            raise Refused("reshapes the input, which others read as it was", "one shape of the input for all")
        del self.nodes[self.input]
        self.input = self._free(self.input)
        self.nodes[self.input] = Input(name=self.input, shape=shape)
        self.shapes[self.input] = shape
        return Signal(sources=(self.input,), shape=shape, is_line=is_line)


def _is_read(node: Any) -> bool:
    return node.op_type in READ and node.domain in ("", "ai.onnx")


def _label(node: Any) -> str:
    return f"{node.name or next(iter(node.output), 'a node')} ({node.op_type})"
