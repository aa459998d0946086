"""Conventional networks in: feed-forward ReLU networks of ONNX files become Programs of sigma-delta neurons.

A ReLU becomes a ``SigmaDelta`` that sends every change (its threshold can be raised later), everything else is linear.
What shifts or scales channels (batch norm, constants) goes into the weights before it, where nothing else reads them.
Values are without the batch axis and channel first; a tensor that stands channel last in the file is marked so.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdd_deploy.errors import BadFile, MissingDependency, TddDeployError, UnsupportedGraph, Violation
from tdd_deploy.files import sha256
from tdd_deploy.neurons import SigmaDelta
from tdd_deploy.program import (
    Conv,
    Dense,
    Edge,
    Flatten,
    Input,
    LinearMap,
    NeuronLayer,
    Node,
    Output,
    Pool,
    Program,
    Scale,
    Shape,
    ShapeError,
    build,
)

REMEDY = "name an ONNX file of a feed-forward network"
MOST_BYTES = 2 << 30  # what protobuf can hold
MOST_NODES = 10_000
MOST_VALUES = 1 << 28  # of a tensor for one sample
LARGEST_PAD = 1 << 10
LARGEST_DIAGONAL = 1 << 12  # neurons behind which a matrix shifts values that no map before can shift
DT_S = 1e-3  # a static network has no time; a step is written as one millisecond
OURS = "tdd_deploy"  # begins the metadata of what we export
SAME_CLASS = {"Softmax", "LogSoftmax", "ArgMax"}  # at the output they do not change which is largest
UNSUPPORTED = {
    "MaxPool": "Train with average pooling: a maximum is not linear, so changes do not pass through it.",
    "GlobalMaxPool": "Train with average pooling.",
    "Clip": "Train with ReLU in the place of ReLU6.",
    **dict.fromkeys(
        ("LeakyRelu", "PRelu", "Elu", "Gelu", "Sigmoid", "Tanh", "HardSwish", "HardSigmoid", "Selu", "Softplus"),
        "Train with ReLU.",
    ),
    **dict.fromkeys(("LSTM", "GRU", "RNN", "Loop", "Scan", "If"), "Only feed-forward networks without control flow."),
}
FLATTENED = "one axis: put Flatten before it"

Array = NDArray[Any]


class _Refused(Exception):
    """A node that no Program can hold: what was found, what is allowed, and how to get there."""


@dataclass(frozen=True, kw_only=True)
class _Signal:
    """A tensor that depends on the input: the sum of what some nodes send."""

    sources: tuple[str, ...]
    shape: Shape  # channel first
    channel_last: bool = False  # as it stands in the file
    columns: Array | None = None  # flattened: place in the file -> place here; None: the same
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)  # zeros still to be put around: top, left, bottom, right


Value = _Signal | Array


def is_onnx(path: Path) -> bool:
    """Say whether a file is named as one of ONNX."""
    return path.suffix.lower() == ".onnx"


def read_onnx(path: Path) -> Program:
    """Read a conventional network: one float32 input ``[N, n]`` or ``[N, channels, height, width]``, one output.

    Read are Conv, Gemm, MatMul, Relu, AveragePool, GlobalAveragePool, ReduceMean over pixels, Add, Sub, Mul and Div,
    BatchNormalization, Pad with zeros, Flatten and the like. A Softmax, LogSoftmax or ArgMax at the output is left out,
    which provenance says. A static network has one time step.

    Raises:
        MissingDependency: onnx is not installed.
        BadFile: it cannot be read, or is damaged, or was exported by us from a spiking network.
        UnsupportedGraph: every node that no Program can hold.
        BadProgram: it breaks a rule of ``program/verify.py``.
    """
    try:
        model = _model(path)
        reader = _Reader(path, model)
        return reader.program(provenance={"dialect": "onnx", "file": path.name, "sha256": sha256(path)})
    except (TddDeployError, MemoryError):
        raise
    except Exception as error:  # onnx raises anything on a damaged file
        raise BadFile(path, f"is damaged ({type(error).__name__})", "export it again") from error


def _model(path: Path) -> Any:
    """Return what a file holds, checked by onnx."""
    try:
        import onnx  # noqa: PLC0415  (optional)
    except ImportError as error:
        raise MissingDependency("onnx", f"{path}", "'tdd-deploy[onnx]'") from error
    try:
        size = path.stat().st_size
        if path.is_dir() or size > MOST_BYTES:
            raise BadFile(path, "is a folder" if path.is_dir() else f"holds {size:,} bytes, more than 2 GiB", REMEDY)
        model = onnx.load(path, load_external_data=False)
    except OSError as error:
        raise BadFile(path, f"cannot be read ({error.strerror})", REMEDY) from error
    except TddDeployError:
        raise
    except Exception as error:  # protobuf's words are of no use here
        raise BadFile(path, "is not an ONNX file, or is damaged", REMEDY) from error
    if any(each.key.startswith(OURS) for each in model.metadata_props):
        found = "is a spiking network that tdd-deploy exported, unrolled for ONNX"
        raise BadFile(path, found, "name the .nir file or the run folder that it was exported from")
    outside = [each.name for each in model.graph.initializer if each.data_location == onnx.TensorProto.EXTERNAL]
    if outside:
        found = f"keeps {len(outside)} of its weights in other files, {outside[0]} among them"
        raise BadFile(path, found, "save it as one file: onnx.save(model, path)")
    try:
        onnx.checker.check_model(model)
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise BadFile(path, f"is no valid ONNX model ({reason})", "export it again") from error
    return model


class _Reader:
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
        self.taken: set[str] = set()  # names that nodes have or had

    def program(self, provenance: Mapping[str, str]) -> Program:
        """Return the whole graph as a Program."""
        if found := list(self._unreadable()):
            raise UnsupportedGraph(str(self.path), found)
        for tensor in self.graph.initializer:
            self.values[tensor.name] = _array(tensor)
        self._enter()
        for node in self.graph.node:
            self._take(node)
        self._leave()
        if self.found:
            raise UnsupportedGraph(str(self.path), self.found)
        self._prune()
        self._settle()
        left_out = {"left out": "; ".join(self.left_out)} if self.left_out else {}
        return build(
            self.nodes.values(),
            self.edges,
            dt_s=DT_S,
            n_steps=1,
            provenance={**provenance, **left_out},
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
            names = ", ".join(node.name or node.output[0] for node in of_kind[:3]) + (
                ", ..." if len(of_kind) > 3 else ""
            )
            yield Violation(names, f"is {kind}", f"one of {', '.join(sorted(READ))}", UNSUPPORTED.get(kind, ""))

    def _enter(self) -> None:
        """Make the input."""
        given = [each for each in self.graph.input if each.name not in self.values]
        if len(given) != 1 or len(self.graph.output) != 1:
            found = f"{len(given)} inputs and {len(self.graph.output)} outputs"
            raise UnsupportedGraph(str(self.path), [Violation("the graph", found, "one of each")])
        (entry,) = given
        tensor = entry.type.tensor_type
        sizes = [axis.dim_value if axis.HasField("dim_value") else 0 for axis in tensor.shape.dim]
        shape = tuple(sizes[1:])
        if tensor.elem_type != 1 or len(shape) not in (1, 3) or min(shape) < 1 or math.prod(shape) > MOST_VALUES:
            found = f"type {tensor.elem_type}, shape {sizes}"
            allowed = "float32 (1), [N, n] or [N, channels, height, width], all but N known"
            raise UnsupportedGraph(str(self.path), [Violation(f"input {entry.name}", found, allowed)])
        self.batch = sizes[0]  # 0: any
        self.input = self._free(entry.name)
        self.nodes[self.input] = Input(name=self.input, shape=shape)
        self.values[entry.name] = _Signal(sources=(self.input,), shape=shape)

    def _take(self, node: Any) -> None:
        """Execute one node on values that are known, or add it to the Program."""
        given = [self.values.get(name) if name else None for name in node.input]
        outputs = [name for name in node.output if name]
        self.values.update(dict.fromkeys(outputs))
        if any(name and value is None for name, value in zip(node.input, given, strict=True)):
            return  # behind what was refused
        try:
            self.values[node.output[0]] = READ[node.op_type](self, _Op(node), *given)
        except _Refused as refused:
            self.found.append(Violation(_label(node), *refused.args))
        except ShapeError as error:
            self.found.append(Violation(_label(node), "receives another shape", str(error)))

    def _leave(self) -> None:
        """Make the output."""
        value = self.values.get(self.graph.output[0].name)
        if self.found:
            return
        if not isinstance(value, _Signal) or value.channel_last or value.columns is not None or any(value.pads):
            found = "does not depend on the input" if not isinstance(value, _Signal) else "is channel last, or padded"
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

    def _settle(self) -> None:
        """Put every shift into the map before it, if nothing else reads that, and make a map of the others."""
        for name, node in list(self.nodes.items()):
            if not isinstance(node, _Shift):
                continue
            (*others, source) = (edge.source for edge in self.edges if edge.target == name)
            before = self.nodes[source]
            is_alone = not others and sum(edge.source == source for edge in self.edges) == 1
            if is_alone and isinstance(before, Conv | Dense):
                self.nodes[source] = node.folded_into(before)
                del self.nodes[name]
                edges = [edge for edge in self.edges if edge.target != name]
                self.edges = [replace(edge, source=source) if edge.source == name else edge for edge in edges]
            elif len(node.shape) == 1 and node.shape[0] > LARGEST_DIAGONAL and node.shift.any():
                allowed = f"at most {LARGEST_DIAGONAL:,} where no layer before can do so"
                raise UnsupportedGraph(str(self.path), [Violation(name, f"shifts {node.shape[0]:,} values", allowed)])
            else:
                self.nodes[name] = node.as_map()

    def _free(self, wanted: str) -> str:
        """Return a name that a Program can have and that was not given before."""
        stem = wanted.strip("/").replace("/", ".") or "node"
        names = (stem if number == 1 else f"{stem}_{number}" for number in count(1))
        name = next(name for name in names if name not in self.taken)
        self.taken.add(name)
        return name

    def add(self, wanted: str, make: Callable[[str], LinearMap], signal: _Signal, **kept: Any) -> _Signal:
        """Add a linear map behind a signal; ``kept`` are further fields of what it gives."""
        name = self._free(wanted)
        made = make(name)
        shape = made.out_shape(signal.shape)
        if math.prod(shape) > MOST_VALUES:
            raise _Refused(f"{math.prod(shape):,} values", f"at most {MOST_VALUES:,} for a sample")
        return self._behind(made, shape, signal, **kept)

    def neurons(self, wanted: str, signal: _Signal) -> _Signal:
        """Add a layer of sigma-delta neurons behind a signal."""
        neuron = SigmaDelta(delta_threshold=np.zeros((), np.float32))
        layer = NeuronLayer(name=self._free(wanted), shape=signal.shape, neuron=neuron)
        kept = {"channel_last": signal.channel_last, "columns": signal.columns}
        return self._behind(layer, signal.shape, signal, **kept)

    def _behind(self, node: Node, shape: Shape, signal: _Signal, **kept: Any) -> _Signal:
        if any(signal.pads):
            raise _Refused("receives what Pad gives", "Conv or AveragePool behind Pad")
        if any(source not in self.nodes for source in signal.sources):
            raise _Refused("receives the input before it is reshaped", "one shape of the input for all that reads it")
        self.nodes[node.name] = node
        self.edges += [Edge(source, node.name) for source in signal.sources]
        return _Signal(sources=(node.name,), shape=shape, **kept)

    def shifted(self, op: "_Op", signal: _Signal, factor: Array, shift: Array) -> _Signal:
        """Multiply and shift each channel; ``factor`` and ``shift`` are ``[channels]``."""
        kept = {"channel_last": signal.channel_last, "columns": signal.columns}
        shape = signal.shape
        return self.add(
            op.name, lambda name: _Shift(name=name, factor=factor, shift=shift, shape=shape), signal, **kept
        )

    def as_input(self, shape: Shape) -> _Signal:
        """Give the input another shape; nothing may have read it in its former one."""
        if any(edge.source == self.input for edge in self.edges):
            raise _Refused("reshapes the input, which others read as it was", "one shape of the input for all")
        del self.nodes[self.input]
        self.input = self._free(self.input)
        self.nodes[self.input] = Input(name=self.input, shape=shape)
        return _Signal(sources=(self.input,), shape=shape)


@dataclass(frozen=True, eq=False, kw_only=True)
class _Shift(LinearMap):
    """A factor and a shift for each channel, until it is known where they go."""

    factor: Array  # [channels]
    shift: Array  # [channels]
    shape: Shape

    def out_shape(self, shape: Shape) -> Shape:
        """Any shape, unchanged."""
        return shape

    def folded_into(self, before: Conv | Dense) -> Conv | Dense:
        """Return one map in the place of two."""
        bias = np.zeros(len(before.weight)) if before.bias is None else before.bias
        weight = before.weight * self.factor.reshape(-1, *[1] * (before.weight.ndim - 1))
        return replace(before, weight=weight, bias=bias * self.factor + self.shift)

    def as_map(self) -> LinearMap:
        """Return it as a map of a Program."""
        n = self.shape[0]
        if len(self.shape) == 3:
            return Conv(name=self.name, weight=self.factor.reshape(n, 1, 1, 1), bias=self.shift, groups=n)
        if not self.shift.any():
            return Scale(name=self.name, factor=self.factor)
        return Dense(name=self.name, weight=np.diag(self.factor), bias=self.shift)


@dataclass(frozen=True)
class _Op:
    """A node of the file."""

    node: Any

    @property
    def name(self) -> str:
        """What its node of the Program is called."""
        return str(self.node.name or self.node.output[0])

    @cached_property
    def attributes(self) -> dict[str, Any]:
        """Its attributes; texts as str."""
        import onnx  # noqa: PLC0415  (optional)

        found = {each.name: onnx.helper.get_attribute_value(each) for each in self.node.attribute}
        return {name: value.decode() if isinstance(value, bytes) else value for name, value in found.items()}

    def get(self, name: str, default: Any) -> Any:
        """Return an attribute."""
        return self.attributes.get(name, default)


def _is_read(node: Any) -> bool:
    return node.op_type in READ and node.domain in ("", "ai.onnx")


def _label(node: Any) -> str:
    return f"{node.name or node.output[0]} ({node.op_type})"


def _array(tensor: Any) -> Array:
    """Return a tensor's numbers: float32, or integers for shapes."""
    import onnx  # noqa: PLC0415  (optional)

    return np.asarray(onnx.numpy_helper.to_array(tensor))


def _weights(value: Value, what: str = "weights") -> Array:
    if isinstance(value, _Signal):
        raise _Refused(f"{what} that depend on the input", "constants")
    if value.dtype != np.float32:
        raise _Refused(f"{what} of type {value.dtype}", "float32", "Export the network in float32.")
    return value.astype(np.float64)  # what is folded into them is rounded once, in the end


def _signal(value: Value) -> _Signal:
    if not isinstance(value, _Signal):
        raise _Refused("an input that does not depend on the network's", "a signal")
    return value


def _conv(reader: _Reader, op: _Op, x: Value, w: Value, b: Value | None = None) -> _Signal:
    signal, weight = _signal(x), _weights(w)
    if weight.ndim != 4 or len(signal.shape) != 3 or signal.channel_last:
        raise _Refused(
            f"{weight.ndim - 2} dimensions, channel {'last' if signal.channel_last else 'first'}", "2, first"
        )
    bias = None if b is None else _weights(b, "a bias")
    stride, dilation = _pair(op, "strides"), _pair(op, "dilations")
    pads = _pads(op, signal, weight.shape[2:], stride, dilation)
    weight, padding = _evened(weight, pads, dilation)
    groups = int(op.get("group", 1))

    def make(name: str) -> Conv:
        return Conv(
            name=name, weight=weight, bias=bias, stride=stride, padding=padding, dilation=dilation, groups=groups
        )

    return reader.add(op.name, make, replace(signal, pads=(0, 0, 0, 0)))


def _pair(op: _Op, attribute: str) -> tuple[int, int]:
    values = op.get(attribute, [1, 1])
    if len(values) != 2:
        raise _Refused(f"{attribute} {list(values)}", "two numbers: height and width")
    return int(values[0]), int(values[1])


def _pads(
    op: _Op, signal: _Signal, kernel: Sequence[int], stride: tuple[int, int], dilation: tuple[int, int] = (1, 1)
) -> tuple[int, int, int, int]:
    """Return how many zeros are put around: top, left, bottom, right."""
    auto = op.get("auto_pad", "NOTSET")
    if auto in ("NOTSET", "VALID"):
        own = [int(n) for n in op.get("pads", [0] * 4)] if auto == "NOTSET" else [0] * 4
    else:
        spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
        sizes = zip(signal.shape[1:], stride, spans, strict=True)
        missing = [max((math.ceil(n / s) - 1) * s + span - n, 0) for n, s, span in sizes]
        low = [(n + 1) // 2 if auto == "SAME_LOWER" else n // 2 for n in missing]
        own = [*low, *(n - before for n, before in zip(missing, low, strict=True))]
    pads = tuple(a + b for a, b in zip(own, signal.pads, strict=True))
    if min(pads) < 0 or max(pads) > LARGEST_PAD:
        raise _Refused(f"pads {list(pads)}", f"0 to {LARGEST_PAD:,}")
    return pads[0], pads[1], pads[2], pads[3]


def _evened(weight: Array, pads: tuple[int, int, int, int], dilation: tuple[int, int]) -> tuple[Array, tuple[int, int]]:
    """Return a kernel, larger by zeros, that with as many pads on both sides gives what it gave with these."""
    more = []
    for before, after, step in zip(pads[:2], pads[2:], dilation, strict=True):
        if abs(before - after) % step:
            raise _Refused(f"pads {list(pads)} at dilation {step}", "pads alike on both sides")
        more.append((max(after - before, 0) // step, max(before - after, 0) // step))
    return np.pad(weight, [(0, 0), (0, 0), *more]), (max(pads[0], pads[2]), max(pads[1], pads[3]))


def _average_pool(reader: _Reader, op: _Op, x: Value) -> _Signal:
    signal = _signal(x)
    if len(signal.shape) != 3 or signal.channel_last:
        raise _Refused("an input that is not [channels, height, width]", "images, channel first")
    kernel, stride = _pair(op, "kernel_shape"), _pair(op, "strides")
    pads = _pads(op, signal, kernel, stride)
    if any(a > b for a, b in zip(pads, signal.pads, strict=True)) and not op.get("count_include_pad", 0):
        raise _Refused("averages that leave out what is padded", "no pads, or count_include_pad=1")
    sizes = [n + pads[i] + pads[i + 2] - kernel[i] for i, n in enumerate(signal.shape[1:])]
    if op.get("ceil_mode", 0) and any(size % step for size, step in zip(sizes, stride, strict=True)):
        raise _Refused("ceil_mode=1, and windows that lie partly outside", "ceil_mode=0")
    if max(_pair(op, "dilations")) > 1:
        raise _Refused("dilated windows", "dilations of 1")
    signal = replace(signal, pads=(0, 0, 0, 0))
    if pads[:2] == pads[2:]:
        padding = pads[0], pads[1]
        return reader.add(
            op.name,
            lambda name: Pool(name=name, kernel=kernel, stride=stride, padding=padding, average=True),
            signal,
        )
    channels = signal.shape[0]
    weight, padding = _evened(np.full((channels, 1, *kernel), 1 / math.prod(kernel)), pads, (1, 1))
    return reader.add(
        op.name,
        lambda name: Conv(name=name, weight=weight, stride=stride, padding=padding, groups=channels),
        signal,
    )


def _global_average(reader: _Reader, op: _Op, x: Value) -> _Signal:
    signal = _signal(x)
    if len(signal.shape) != 3:
        raise _Refused(f"an input of shape {signal.shape}", "images")
    kernel = signal.shape[1], signal.shape[2]
    kept = {"channel_last": signal.channel_last}
    return reader.add(op.name, lambda name: Pool(name=name, kernel=kernel, stride=kernel, average=True), signal, **kept)


def _reduce_mean(reader: _Reader, op: _Op, x: Value, axes: Value | None = None) -> _Signal:
    signal = _signal(x)
    if isinstance(axes, _Signal):
        raise _Refused("axes that depend on the input", "constants")
    wanted = op.get("axes", []) if axes is None else axes.ravel().tolist()
    pixels = [1, 2] if signal.channel_last else [2, 3]
    if len(signal.shape) != 3 or sorted(axis % 4 for axis in wanted) != pixels:
        raise _Refused(f"a mean over axes {list(wanted)}", f"over {pixels}, the pixels of images")
    mean = _global_average(reader, op, signal)
    return mean if op.get("keepdims", 1) else _flattened(reader, op, mean)


def _gemm(reader: _Reader, op: _Op, a: Value, b: Value, c: Value | None = None) -> _Signal:
    weight = _weights(b) * float(op.get("alpha", 1.0))
    if op.get("transA", 0):
        raise _Refused("transA=1", "samples in rows")
    bias = None if c is None else _weights(c, "a bias") * float(op.get("beta", 1.0))
    return _dense(reader, op, _signal(a), weight if op.get("transB", 0) else weight.T, bias)


def _matmul(reader: _Reader, op: _Op, a: Value, b: Value) -> _Signal:
    return _dense(reader, op, _signal(a), _weights(b).T)


def _dense(reader: _Reader, op: _Op, signal: _Signal, weight: Array, bias: Array | None = None) -> _Signal:
    """Add a map ``weight [n_out, n_in]``, its columns in the order of the file."""
    if len(signal.shape) != 1 or weight.ndim != 2 or weight.shape[1] != signal.shape[0]:
        raise _Refused(f"an input of shape {signal.shape} and weights {list(weight.shape)}", FLATTENED)
    if bias is not None:
        bias = np.broadcast_to(bias.reshape(-1), len(weight))
    if signal.columns is not None:
        weight = weight[:, np.argsort(signal.columns)]
    return reader.add(op.name, lambda name: Dense(name=name, weight=weight, bias=bias), signal)


def _relu(reader: _Reader, op: _Op, x: Value) -> _Signal:
    return reader.neurons(op.name, _signal(x))


def _batch_norm(reader: _Reader, op: _Op, x: Value, *statistics: Value) -> _Signal:
    if op.get("training_mode", 0):
        raise _Refused("training_mode=1", "0", "Export the network in evaluation mode: network.eval().")
    signal = _signal(x)
    if signal.channel_last:
        raise _Refused("an input that is channel last", "channel first")
    gamma, beta, mu, square = (_weights(value, "statistics") for value in statistics)
    factor = gamma / np.sqrt(square + float(op.get("epsilon", 1e-5)))
    return reader.shifted(op, signal, factor, beta - mu * factor)


def _add(reader: _Reader, op: _Op, a: Value, b: Value) -> Value:
    if isinstance(a, _Signal) and isinstance(b, _Signal):
        return _sum(reader, op, a, b)
    signal, constant = _operands(a, b)
    return reader.shifted(op, signal, np.ones(signal.shape[0]), _per_channel(signal, constant))


def _sub(reader: _Reader, op: _Op, a: Value, b: Value) -> Value:
    signal = _signal(a)
    return reader.shifted(op, signal, np.ones(signal.shape[0]), -_per_channel(signal, _weights(b, "a constant")))


def _mul(reader: _Reader, op: _Op, a: Value, b: Value) -> Value:
    signal, constant = _operands(a, b)
    return reader.shifted(op, signal, _per_channel(signal, constant), np.zeros(signal.shape[0]))


def _div(reader: _Reader, op: _Op, a: Value, b: Value) -> Value:
    signal = _signal(a)
    factor = 1 / _per_channel(signal, _weights(b, "a constant"))
    return reader.shifted(op, signal, factor, np.zeros(signal.shape[0]))


def _operands(a: Value, b: Value) -> tuple[_Signal, Array]:
    """Return a signal and a constant, in whatever order they stand."""
    constant, signal = (b, a) if isinstance(a, _Signal) else (a, b)
    return _signal(signal), _weights(constant, "a constant")


def _per_channel(signal: _Signal, constant: Array) -> Array:
    """Return a constant that is broadcast to a signal as ``[channels]``."""
    n = signal.shape[0]
    rank = len(signal.shape) + 1
    axis = rank - 1 if signal.channel_last else 1
    sizes = (1,) * (rank - constant.ndim) + constant.shape
    others = [size for i, size in enumerate(sizes) if i != axis]
    if len(sizes) != rank or any(size != 1 for size in others) or sizes[axis] not in (1, n):
        raise _Refused(f"a constant of shape {list(constant.shape)}", f"one number, or one for each of {n} channels")
    values = np.broadcast_to(constant.reshape(-1), n)
    return values if signal.columns is None else values[np.argsort(signal.columns)]


def _sum(reader: _Reader, op: _Op, a: _Signal, b: _Signal) -> _Signal:
    same_order = a.columns is b.columns or np.array_equal(a.columns, b.columns)  # type: ignore[arg-type]
    if a.shape != b.shape or a.channel_last != b.channel_last or not same_order or any(a.pads + b.pads):
        raise _Refused(f"a sum of shapes {a.shape} and {b.shape}", "the same shape and order")
    if {*a.sources} & {*b.sources}:  # an edge leads from node to node once
        kept = {"channel_last": b.channel_last, "columns": b.columns}
        b = reader.add(op.name, lambda name: Scale(name=name, factor=np.ones(())), b, **kept)
    return replace(a, sources=(*a.sources, *b.sources))


def _flattened(reader: _Reader, op: _Op, signal: _Signal) -> _Signal:
    if len(signal.shape) == 1:
        return signal
    columns = None
    if signal.channel_last and signal.shape[0] > 1 and math.prod(signal.shape[1:]) > 1:
        columns = np.arange(math.prod(signal.shape)).reshape(signal.shape).transpose(1, 2, 0).ravel()
    return reader.add(op.name, lambda name: Flatten(name=name), signal, columns=columns)


def _flatten(reader: _Reader, op: _Op, x: Value) -> Value:
    if op.get("axis", 1) != 1:
        raise _Refused(f"axis {op.get('axis', 1)}", "1: each sample becomes a row")
    return _flattened(reader, op, _signal(x))


def _reshape(reader: _Reader, op: _Op, x: Value, shape: Value) -> Value:
    if isinstance(shape, _Signal):
        raise _Refused("a shape that depends on the input", "a constant")
    wanted = [int(n) for n in shape.ravel()]
    if not isinstance(x, _Signal):
        return x.reshape(wanted)
    size = math.prod(x.shape)
    sizes = tuple(size // max(1, -math.prod(wanted[1:])) if n == -1 else n for n in wanted[1:])
    if math.prod(sizes) == size and wanted[0] in (-1, 0, reader.batch):
        if len(sizes) == 1:
            return _flattened(reader, op, x)
        if sizes == x.shape and not x.channel_last:
            return x
        if len(sizes) == 3 and x.sources == (reader.input,):
            return reader.as_input(sizes)
    raise _Refused(f"to {wanted} from {list(x.shape)}", "to [N, n], or of the input to an image")


def _squeeze(reader: _Reader, op: _Op, x: Value, axes: Value | None = None) -> Value:
    if not isinstance(x, _Signal):
        wanted = op.get("axes", None) if axes is None else np.asarray(axes).ravel().tolist()
        return x.squeeze(None if wanted is None else tuple(wanted))
    if math.prod(x.shape[1:]) != 1:
        raise _Refused(f"an input of shape {x.shape}", "one pixel per channel")
    return _flattened(reader, op, x)


def _transpose(reader: _Reader, op: _Op, x: Value) -> Value:
    order = list(op.get("perm", []))
    if not isinstance(x, _Signal):
        return x.transpose(order or None)
    if len(x.shape) == 3 and order == [0, 2, 3, 1] and not x.channel_last:
        return replace(x, channel_last=True)
    if len(x.shape) == 3 and order == [0, 3, 1, 2]:
        if x.channel_last:
            return replace(x, channel_last=False)
        if x.sources == (reader.input,):
            height, width, channels = x.shape
            reader.left_out.append("Transpose at the input: samples are taken channel first")
            return reader.as_input((channels, height, width))
    raise _Refused(
        f"order {order} of {len(x.shape) + 1} axes", "[0, 3, 1, 2] at the input, [0, 2, 3, 1] before Flatten"
    )


def _pad(reader: _Reader, op: _Op, x: Value, pads: Value, *more: Value | None) -> Value:
    value, axes = (*more, None, None)[:2]
    signal = _signal(x)
    fill = 0 if value is None else np.asarray(value).ravel().tolist() or [0]
    if (
        isinstance(pads, _Signal)
        or axes is not None
        or op.get("mode", "constant") != "constant"
        or fill not in (0, [0])
    ):
        raise _Refused(f"mode {op.get('mode', 'constant')}, value {fill}", "constant zeros around all axes")
    sizes = [int(n) for n in pads.ravel()]
    if (
        len(signal.shape) != 3
        or signal.channel_last
        or len(sizes) != 8
        or any(sizes[:2] + sizes[4:6])
        or min(sizes) < 0
    ):
        raise _Refused(f"pads {sizes}", "zeros around the pixels of images")
    top, left, bottom, right = (a + b for a, b in zip(signal.pads, (*sizes[2:4], *sizes[6:8]), strict=True))
    return replace(signal, pads=(top, left, bottom, right))


def _same(reader: _Reader, op: _Op, x: Value, *_: Value | None) -> Value:
    return x


def _dropout(reader: _Reader, op: _Op, x: Value, ratio: Value | None = None, training: Value | None = None) -> Value:
    if training is not None and (isinstance(training, _Signal) or training.any()):
        raise _Refused("training_mode=True", "False", "Export the network in evaluation mode: network.eval().")
    return x


def _cast(reader: _Reader, op: _Op, x: Value) -> Value:
    if isinstance(x, _Signal):
        if op.get("to", 1) != 1:
            raise _Refused(f"to type {op.get('to', 1)}", "float32 (1)")
        return x
    import onnx  # noqa: PLC0415  (optional)

    return x.astype(onnx.helper.tensor_dtype_to_np_dtype(op.get("to", 1)))


def _same_class(reader: _Reader, op: _Op, x: Value) -> Value:
    signal = _signal(x)
    if op.node.output[0] != reader.graph.output[0].name:
        raise _Refused("within the network", "at its output")
    default = 0 if op.node.op_type == "ArgMax" else -1
    if len(signal.shape) != 1 or op.get("axis", default) not in (1, -1):
        raise _Refused(
            f"over axis {op.get('axis', default)} of {len(signal.shape) + 1}", "over the classes of [N, classes]"
        )
    reader.left_out.append(f"{op.node.op_type} at the output, which does not change the class")
    return signal


def _constant(reader: _Reader, op: _Op) -> Value:
    (value,) = op.attributes.values()
    return _array(value) if hasattr(value, "raw_data") else np.asarray(value, np.float32 if _is_float(value) else None)


def _is_float(value: Any) -> bool:
    return np.asarray(value).dtype.kind == "f"


def _shape(reader: _Reader, op: _Op, x: Value) -> Value:
    """Return the axes as a constant; N, which is not known, is -1."""
    if not isinstance(x, _Signal):
        return np.asarray(x.shape)
    sizes = (*x.shape[1:], x.shape[0]) if x.channel_last else x.shape
    return np.asarray([-1, *sizes])[op.get("start", 0) : op.get("end", None)]


def _gather(reader: _Reader, op: _Op, x: Value, at: Value) -> Value:
    if isinstance(x, _Signal) or isinstance(at, _Signal):
        raise _Refused("parts of a signal", "of a shape")
    return np.take(x, at, axis=op.get("axis", 0))


def _unsqueeze(reader: _Reader, op: _Op, x: Value, axes: Value | None = None) -> Value:
    if isinstance(x, _Signal) or isinstance(axes, _Signal):
        raise _Refused("another axis", "the axes of images or of rows")
    return np.expand_dims(x, tuple(op.get("axes", []) if axes is None else axes.ravel().tolist()))


def _concat(reader: _Reader, op: _Op, *parts: Value) -> Value:
    constants = [part for part in parts if not isinstance(part, _Signal)]
    if len(constants) < len(parts):
        raise _Refused("channels of several layers side by side", "sums of layers: Add")
    return np.concatenate(constants, axis=op.get("axis", 0))


READ: dict[str, Callable[..., Value]] = {
    "Add": _add,
    "ArgMax": _same_class,
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Cast": _cast,
    "Concat": _concat,
    "Constant": _constant,
    "Conv": _conv,
    "Div": _div,
    "Dropout": _dropout,
    "Flatten": _flatten,
    "Gather": _gather,
    "Gemm": _gemm,
    "GlobalAveragePool": _global_average,
    "Identity": _same,
    "LogSoftmax": _same_class,
    "MatMul": _matmul,
    "Mul": _mul,
    "Pad": _pad,
    "ReduceMean": _reduce_mean,
    "Relu": _relu,
    "Reshape": _reshape,
    "Shape": _shape,
    "Softmax": _same_class,
    "Squeeze": _squeeze,
    "Sub": _sub,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
