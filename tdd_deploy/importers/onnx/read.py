"""Feed-forward ReLU networks of ONNX files become Programs of sigma-delta neurons.

A ReLU becomes a ``SigmaDelta`` that sends every change (its threshold can be raised later); all other nodes are linear.
Factors and shifts (batch norm, constants) are folded into the maps around them (``fold.py``).
Values have no batch axis and are channel first; a tensor that is channel last in the file is marked.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tdd_deploy.errors import UnsupportedGraph, Violation
from tdd_deploy.program import Program, ShapeError, build

from .builder import MOST_VALUES, Builder
from .file import open_onnx
from .fold import fold
from .operators import READ
from .signals import Op, Refused, Signal, Value, array_of, type_name

MOST_NODES = 10_000
DT_S = 1e-3  # a static network has no time; a step is written as one millisecond
FLOAT32 = 1  # the number of this type in ONNX
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
    **dict.fromkeys(("LSTM", "GRU", "RNN", "Loop", "Scan", "If"), "Use a feed-forward network without control flow."),
}


def is_onnx(path: Path) -> bool:
    """Decide by its name whether a file is an ONNX file."""
    return path.suffix.lower() == ".onnx"


def read_onnx(path: Path) -> Program:
    """Read a ReLU network with one float32 input and one output.

    The input is ``[N, n]``, ``[N, channels, height, width]``, or ``[N, channels, length]``, which gets a height of 1.
    It may hold Conv, Gemm, MatMul, Relu, AveragePool, GlobalAveragePool, ReduceMean over pixels, Add, Sum, Sub, Neg,
    Mul, Div, BatchNormalization, Pad with zeros, Flatten and similar nodes. A Softmax, LogSoftmax or ArgMax at the
    output is left out and recorded in the provenance. A static network has one time step.

    Raises:
        MissingDependency: onnx is not installed.
        BadFile: it cannot be read, is damaged, or is a spiking network that tdd-deploy exported.
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
    """Walks through the nodes of a graph in order, and adds nodes to a Program."""

    def __init__(self, path: Path, model: Any) -> None:
        self._path = path
        self._graph = model.graph
        self._functions = list(model.functions)
        self._values: dict[str, Value | None] = {}  # by the file's names; None: after what was refused
        self._violations: list[Violation] = []

    def program(self, provenance: Mapping[str, str]) -> Program:
        """Read the whole graph as a Program."""
        self._refuse(self._unreadable())
        for tensor in self._graph.initializer:
            self._initialize(tensor)
        builder = self._enter()
        for node in self._graph.node:
            self._execute(node, builder)
        self._refuse(self._violations)
        builder.add_output(self._output())
        nodes, edges = fold(builder.nodes, builder.edges, builder.shapes)
        notes = {"left out": builder.left_out, "counted as convolutions": builder.counted}
        return build(
            nodes,
            edges,
            dt_s=DT_S,
            n_steps=1,
            provenance={**provenance, **{key: "; ".join(lines) for key, lines in notes.items() if lines}},
            subject=str(self._path),
        )

    def _refuse(self, violations: Iterable[Violation]) -> None:
        """Raise UnsupportedGraph with all violations, if there are any."""
        if found := list(violations):
            raise UnsupportedGraph(str(self._path), found)

    def _unreadable(self) -> Iterator[Violation]:
        """Yield what is wrong with the graph as a whole."""
        n_nodes = len(self._graph.node)
        if n_nodes > MOST_NODES:
            yield Violation("the graph", f"has {n_nodes:,} nodes, more than {MOST_NODES:,}")
        if self._functions:
            names = ", ".join(function.name for function in self._functions[:3])
            remedy = "Inline them: onnx.inliner.inline_local_functions(model)."
            yield Violation("the model", f"has functions of its own ({names})", remedy=remedy)
        if self._graph.sparse_initializer:
            yield Violation("the graph", "has sparse weights", remedy="Store them as dense weights.")
        for kind in dict.fromkeys(node.op_type for node in self._graph.node if not _is_read(node)):
            of_kind = [node for node in self._graph.node if node.op_type == kind]
            names = ", ".join(node.name or next(iter(node.output), "a node") for node in of_kind)
            yield Violation(names, kind, f"one of {', '.join(sorted(READ))}", UNSUPPORTED.get(kind, ""))

    def _initialize(self, tensor: Any) -> None:
        """Read a constant of the file."""
        try:
            self._values[tensor.name] = array_of(tensor)
        except (TypeError, ValueError, KeyError) as error:
            found = f"hold a count of numbers that does not fit shape {list(tensor.dims)}"
            raise UnsupportedGraph(str(self._path), [Violation(f"weights {tensor.name}", found)]) from error

    def _enter(self) -> Builder:
        """Begin a Program with the input of the graph."""
        given = [each for each in self._graph.input if each.name not in self._values]
        self._refuse(self._too_many_ends(given))
        (entry,) = given
        tensor = entry.type.tensor_type
        sizes = [axis.dim_value if axis.HasField("dim_value") else 0 for axis in tensor.shape.dim]
        shape, is_float = tuple(sizes[1:]), tensor.elem_type == FLOAT32
        if not is_float or len(shape) not in (1, 2, 3) or min(shape) < 1 or math.prod(shape) > MOST_VALUES:
            axes = ", ".join(axis.dim_param or str(axis.dim_value) for axis in tensor.shape.dim)
            found = f"type {type_name(tensor.elem_type)}, shape [{axes}]"
            allowed = "float32 of shape [N, n], [N, channels, length] or [N, channels, height, width], all but N known"
            remedy = "" if is_float else IN_FLOAT32
            self._refuse([Violation(f"input {entry.name}", found, allowed, remedy)])
        is_line = len(shape) == 2  # signals in time
        if is_line:
            shape = (shape[0], 1, shape[1])
        builder = Builder(output=self._graph.output[0].name, batch=sizes[0])
        self._values[entry.name] = builder.add_input(entry.name, shape, is_line=is_line)
        return builder

    def _too_many_ends(self, inputs: Sequence[Any]) -> Iterator[Violation]:
        """Report several inputs or outputs, with the call that cuts the graph to one."""
        for kind, ends in (("inputs", inputs), ("outputs", self._graph.output)):
            if len(ends) != 1:
                names = ", ".join(each.name for each in ends)
                kept = [each.name for each in inputs[:1]], [each.name for each in self._graph.output[:1]]
                cut = f"onnx.utils.extract_model('{self._path.name}', 'one.onnx', {kept[0]}, {kept[1]})."
                remedy = f"Keep one: {cut}" if kind == "outputs" and ends else ""
                yield Violation("the graph", f"has {len(ends)} {kind} ({names}), not one", remedy=remedy)

    def _execute(self, node: Any, builder: Builder) -> None:
        """Execute one node on values that are known, or add it to the Program."""
        given = [self._values.get(name) if name else None for name in node.input]
        outputs = [name for name in node.output if name]
        self._values.update(dict.fromkeys(outputs))
        if any(name and value is None for name, value in zip(node.input, given, strict=True)):
            return  # after what was refused
        try:
            self._values[node.output[0]] = READ[node.op_type](builder, Op(node), *given)
        except Refused as refused:
            self._violations.append(refused.violation(_label(node)))
        except ShapeError as error:
            self._violations.append(Violation(_label(node), f"receives another shape than {error}"))
        except (
            ArithmeticError,
            AttributeError,
            LookupError,
            TypeError,
            ValueError,
        ) as error:  # onnx does not check values
            found = f"has inputs or attributes that cannot be read ({type(error).__name__})"
            remedy = "If onnxruntime runs this file, please report it."
            self._violations.append(Violation(_label(node), found, remedy=remedy))

    def _output(self) -> Signal:
        """Return what the graph sends to its output."""
        name = self._graph.output[0].name
        value = self._values.get(name)
        if not isinstance(value, Signal):
            self._refuse([Violation(f"output {name}", "does not depend on the input")])
        elif value.channel_last or value.columns is not None or any(value.pads):
            self._refuse([Violation(f"output {name}", "is channel last, or padded")])
        assert isinstance(value, Signal)  # else refused
        return value


def _is_read(node: Any) -> bool:
    return node.op_type in READ and node.domain in ("", "ai.onnx")


def _label(node: Any) -> str:
    return f"{node.name or next(iter(node.output), 'a node')} ({node.op_type})"
