"""Count what one inference of any ONNX network needs, for a comparison with a spiking network."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from tdd_deploy.errors import UnsupportedGraph, Violation

from .file import open_onnx
from .fit import MOST_VALUES, Fit, fit_of
from .macs import CONTROL, COUNTED, FREE, UNCOUNTED, Counted, Sizes
from .signals import Array, Op, array_of, type_name

MOST_NODES = 10_000
DOMAINS = ("", "ai.onnx")
CONTROL_REMEDY = "Export the network without control flow, by tracing it."
SHAPES_REMEDY = "Install onnxruntime, or export the network with fixed shapes."
MOVES = frozenset(("Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Identity", "Cast"))  # keep the numbers
ROUNDED = ("float16", "bfloat16", "double")
NARROW = "the operators in {types} are priced as float32"
Execute = Callable[[bytes, Mapping[str, Array]], Sequence[Array]]  # a model and its inputs; nothing where it fails
STORED = "weights that are stored as integers and multiplied as floats ({names}) are priced as floats"


@dataclass(frozen=True, kw_only=True)
class CountedLayer:
    """An operator with multiplications, per inference.

    Attributes:
        name: the name of its node.
        kind: dense, conv, transposed conv, or a recurrent operator.
        macs: multiplications, without those by padding.
        weights: constants to multiply with; none where it multiplies two values.
        nonzero_weights: those that are not 0.
        biases: the number of biases.
        inputs: values that it receives.
        outputs: sums that it computes.
        weight_bits: the width of its weights; None for floats.
        activation_bits: the width of the values that it receives; None for floats.
    """

    name: str
    kind: str
    macs: int
    weights: int
    nonzero_weights: int
    biases: int
    inputs: int
    outputs: int
    weight_bits: int | None
    activation_bits: int | None


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """An operator with arithmetic that is not counted: how many nodes, and the values that they compute."""

    operator: str
    nodes: int
    values: int


@dataclass(frozen=True, kw_only=True)
class OnnxNetwork:
    """A network, and what an inference needs.

    Attributes:
        model: the network; its input has the shape for which it was counted.
        input: the name of its input.
        files: the SHA-256 of each of its files, by name.
        fit: how a sample becomes its input.
        layers: what was counted.
        left_out: what was not.
        assumes: what the counts rest on, for people.
    """

    model: Any = field(repr=False)
    input: str
    files: Mapping[str, str]
    fit: Fit
    layers: tuple[CountedLayer, ...]
    left_out: tuple[LeftOut, ...]
    assumes: tuple[str, ...]

    @property
    def widths(self) -> tuple[int | None, int | None]:
        """The widths of weights and activations in which most multiplications take place; None for floats."""
        macs = Counter[tuple[int | None, int | None]]()
        for layer in self.layers:
            macs[layer.weight_bits, layer.activation_bits] += layer.macs
        return max(macs, key=macs.__getitem__)


def count_onnx(path: Path, sample_shape: Sequence[int], execute: Execute | None = None) -> OnnxNetwork:
    """Count an ONNX network.

    Args:
        path: the file.
        sample_shape: of the data, for axes of the input that the file leaves open.
        execute: executes a model, to find shapes that cannot be inferred.

    Raises:
        MissingDependency: onnx is not installed.
        BadFile: it cannot be read, or is damaged.
        UnsupportedGraph: some nodes cannot be counted; all are named.
    """
    found = open_onnx(path)
    graph = found.model.graph
    if faults := list(_faults(graph, found.model.functions)):
        raise UnsupportedGraph(str(path), faults)
    (entry,) = _inputs(graph)
    fit = fit_of(entry, sample_shape)
    if isinstance(fit, Violation):
        raise UnsupportedGraph(str(path), [fit])
    shapes = _shapes(found.model, entry, fit)
    unknown = [name for name, (shape, kind) in shapes.items() if shape is None and kind]
    if unknown and execute is not None and not list(_too_large(shapes)):
        shapes |= _executed_shapes(found.model, entry, unknown, execute)
    counter = _Counter(graph, shapes, entry.name, fit.batch)
    counter.faults += _too_large(shapes)
    counter.walk()
    if not counter.layers and not counter.faults:
        counter.faults.append(Violation("the graph", f"has no operator whose cost is known ({', '.join(COUNTED)})"))
    if counter.faults:
        raise UnsupportedGraph(str(path), counter.faults)
    return OnnxNetwork(
        model=found.model,
        input=entry.name,
        files=found.digests,
        fit=fit,
        layers=tuple(counter.layers),
        left_out=counter.left_out(),
        assumes=tuple(counter.assumptions()),
    )


def _inputs(graph: Any) -> list[Any]:
    constants = {tensor.name for tensor in graph.initializer}
    return [each for each in graph.input if each.name not in constants]


def _faults(graph: Any, functions: Sequence[Any]) -> Iterator[Violation]:
    """Yield what makes a count of the whole graph impossible."""
    if len(graph.node) > MOST_NODES:
        yield Violation("the graph", f"has {len(graph.node):,} nodes, more than {MOST_NODES:,}")
    if functions:
        names = ", ".join(function.name for function in functions[:3])
        remedy = "Inline them: onnx.inliner.inline_local_functions(model)."
        yield Violation("the model", f"has functions of its own ({names})", remedy=remedy)
    if len(inputs := _inputs(graph)) != 1:
        names = ", ".join(each.name for each in inputs)
        yield Violation("the graph", f"has {len(inputs)} inputs ({names}), not one")
    if graph.sparse_initializer:
        yield Violation("the graph", "has sparse weights", remedy="Store them as dense weights.")
    for node in graph.node:
        if node.domain not in DOMAINS:
            remedy = "Export the network with operators of ONNX alone; quantize it in the QDQ format."
            yield Violation(
                _label(node), f"is of the domain {node.domain}, whose operators are not known", remedy=remedy
            )
        elif node.op_type in CONTROL:
            yield Violation(_label(node), "is control flow, whose cost depends on the input", remedy=CONTROL_REMEDY)
        elif node.op_type in UNCOUNTED:
            yield Violation(_label(node), "multiplies, and is not counted", remedy="Export it as MatMul or Conv.")


def _label(node: Any) -> str:
    return f"{node.name or next(iter(node.output), 'a node')} ({node.op_type})"


def _shapes(model: Any, entry: Any, fit: Fit) -> dict[str, tuple[tuple[int, ...] | None, int]]:
    """Infer shape and type of every tensor; a shape of None is not known."""
    import onnx  # noqa: PLC0415  (optional)

    for axis, size in zip(entry.type.tensor_type.shape.dim, (fit.batch, *fit.shape), strict=True):
        axis.dim_value = size
    del model.graph.value_info[:]  # what a file says may be of another batch
    for output in model.graph.output:
        if output.type.HasField("tensor_type"):
            output.type.tensor_type.ClearField("shape")
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    found: dict[str, tuple[tuple[int, ...] | None, int]] = {
        tensor.name: (tuple(tensor.dims), tensor.data_type) for tensor in inferred.initializer
    }
    for value in (*inferred.input, *inferred.value_info, *inferred.output):
        tensor = value.type.tensor_type
        axes = [axis.dim_value if axis.HasField("dim_value") else None for axis in tensor.shape.dim]
        is_known = tensor.HasField("shape") and None not in axes
        found.setdefault(value.name, (tuple(axes) if is_known else None, tensor.elem_type))  # type: ignore[arg-type]
    return found


def _executed_shapes(
    model: Any, entry: Any, names: Sequence[str], execute: Execute
) -> dict[str, tuple[tuple[int, ...] | None, int]]:
    """Execute a network on zeros, and return shape and type of some of its tensors."""
    import onnx  # noqa: PLC0415  (optional)

    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    del probe.graph.output[:]
    probe.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
    tensor = entry.type.tensor_type
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    zeros = np.zeros([axis.dim_value for axis in tensor.shape.dim], dtype)
    found = execute(probe.SerializeToString(), {entry.name: zeros})
    types = onnx.helper.np_dtype_to_tensor_dtype
    return {name: (value.shape, types(value.dtype)) for name, value in zip(names, found, strict=False)}


def _too_large(shapes: Mapping[str, tuple[tuple[int, ...] | None, int]]) -> Iterator[Violation]:
    """Yield tensors that a small file can make so large that nobody should compute them."""
    for name, (shape, _) in shapes.items():
        if shape is not None and math.prod(shape) > MOST_VALUES:
            yield Violation(name, f"{math.prod(shape):,} values", f"at most {MOST_VALUES:,} values")


class _Counter:
    """Walks through a graph in order."""

    def __init__(
        self, graph: Any, shapes: Mapping[str, tuple[tuple[int, ...] | None, int]], entry: str, batch: int
    ) -> None:
        self._graph, self._known, self._batch = graph, shapes, batch
        self._constants = {tensor.name: tensor for tensor in graph.initializer}
        self._producers = {name: node for node in graph.node for name in node.output if name}
        self._signals = {entry}  # tensors that depend on the input
        self._places: dict[str, int] = {}  # the layer that computes a tensor
        self._left_out: dict[str, list[int]] = {}
        self._narrow: set[str] = set()
        self._stored: list[str] = []
        self.layers: list[CountedLayer] = []
        self.faults: list[Violation] = []

    def walk(self) -> None:
        """Count every node that depends on the input."""
        for node in self._graph.node:
            if node.op_type in ("Shape", "Size") or not self._signals & set(node.input):
                continue
            self._signals |= {name for name in node.output if name}
            try:
                self._take(node)
            except _Unknown as unknown:
                found = f"has {unknown} of a shape that can be neither inferred nor found by onnxruntime"
                self.faults.append(Violation(_label(node), found, remedy=SHAPES_REMEDY))
            except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
                found = f"has inputs or attributes that cannot be read ({type(error).__name__})"
                self.faults.append(Violation(_label(node), found, remedy="Export the network again."))

    def _take(self, node: Any) -> None:
        if node.op_type in COUNTED:
            self._places[node.output[0]] = len(self.layers)
            self.layers.append(self._layer(Op(node), COUNTED[node.op_type]))
        elif node.op_type == "Add" and (place := self._layer_before(node)) is not None:
            (bias,) = set(node.input) - self._signals
            self.layers[place] = replace(self.layers[place], biases=math.prod(self._shape(bias)))
        elif node.op_type not in FREE:
            values = sum(math.prod(self._shape(name)) for name in node.output if name)
            self._left_out.setdefault(node.op_type, []).append(values)

    def _layer_before(self, node: Any) -> int | None:
        """Find the layer to whose sums a node adds constants; None where it adds something else."""
        signals = [name for name in node.input if name in self._signals]
        place = self._places.get(signals[0]) if len(signals) == 1 else None
        return place if place is not None and not self.layers[place].biases else None

    def _layer(self, op: Op, counted: Counted) -> CountedLayer:
        x, w = op.node.input[0], op.node.input[counted.w]
        y = op.node.output[0]
        sizes = Sizes(x=self._shape(x), w=self._shape(w), y=self._shape(y))
        macs = counted.macs(op, sizes)
        n_outputs = math.prod(sizes.y) if counted.kind not in ("LSTM", "GRU", "RNN") else self._gates(sizes)
        operands = [x, w, *(op.node.input[i] for i in counted.more)]
        weights = [name for name in operands if name not in self._signals]
        received = sum(math.prod(self._shape(name)) for name in operands if name in self._signals)
        has_bias = counted.bias is not None and len(op.node.input) > counted.bias and op.node.input[counted.bias]
        zero = (
            self._constant(op.node.input[counted.zero]) if counted.zero and len(op.node.input) > counted.zero else None
        )
        widths = [self._width(name, op, is_integer=counted.is_integer) for name in (w, x)]
        if None in widths:
            if widths[0] is not None:
                self._stored.append(op.name)
            widths = [None, None]
        return CountedLayer(
            name=self._free_name(op.name),
            kind=counted.kind,
            macs=self._per_inference(macs),
            weights=sum(math.prod(self._shape(name)) for name in weights),
            nonzero_weights=sum(self._nonzero(name, zero) for name in weights),
            biases=math.prod(self._shape(has_bias)) if has_bias else 0,
            inputs=self._per_inference(received),
            outputs=self._per_inference(n_outputs),
            weight_bits=widths[0],
            activation_bits=widths[1],
        )

    def _gates(self, sizes: Sizes) -> int:
        """Count the sums of a recurrent operator; what its gates compute with them is left out."""
        n = math.prod(sizes.x[:2]) * sizes.w[0] * sizes.w[1]
        self._left_out.setdefault("gates of recurrent layers", []).append(n)
        return n

    def _per_inference(self, n: int) -> int:
        return -(-n // self._batch)

    def _free_name(self, wanted: str) -> str:
        taken = Counter(layer.name for layer in self.layers)
        name, i = wanted, 1
        while name in taken:
            i += 1
            name = f"{wanted}_{i}"
        return name

    def _shape(self, name: str) -> tuple[int, ...]:
        shape, _ = self._known.get(name, (None, 0))
        if shape is None:
            raise _Unknown(name)
        return shape

    def _origin(self, name: str) -> Any:
        """Find the node that computes the numbers of a tensor, before they are moved; None for a constant."""
        node = self._producers.get(name)
        while node is not None and node.op_type in MOVES:
            name, node = node.input[0], self._producers.get(node.input[0])
        return node

    def _width(self, name: str, op: Op, *, is_integer: bool) -> int | None:
        """Return the width of integers; None for floats."""
        origin = self._origin(name)
        if not is_integer and origin is not None and origin.op_type == "DequantizeLinear":
            name = origin.input[0]
        kind = type_name(self._known.get(name, (None, 0))[1])
        digits = kind.removeprefix("u").removeprefix("int")
        if digits.isdigit() and not kind.startswith("float"):
            return int(digits)
        if kind in ROUNDED or kind.startswith("float8") or kind.startswith("float4"):
            self._narrow.add(kind)
        return None

    def _constant(self, name: str) -> Array | None:
        """Return the numbers of a constant; None where they are computed."""
        if name in self._constants:
            return array_of(self._constants[name])
        node = self._producers.get(name)
        if node is None or node.op_type != "Constant":
            return None
        value = next(iter(Op(node).attributes.values()))
        return array_of(value) if hasattr(value, "raw_data") else np.asarray(value)

    def _nonzero(self, name: str, zero: Array | None) -> int:
        """Count the weights that are not 0; all where they are computed."""
        found, origin = self._constant(name), self._origin(name)
        if found is None and origin is not None and origin.op_type == "DequantizeLinear":
            found = self._constant(origin.input[0])
            zero = self._constant(origin.input[2]) if len(origin.input) > 2 else None
        if found is None:
            return math.prod(self._shape(name))
        if zero is None or not zero.any():
            return int(np.count_nonzero(found))
        per_channel = zero.size > 1
        return found.size if per_channel else int(np.count_nonzero(found != zero.ravel()[0]))

    def left_out(self) -> tuple[LeftOut, ...]:
        """Return the operators with arithmetic that were not counted."""
        return tuple(
            LeftOut(operator=name, nodes=len(values), values=self._per_inference(sum(values)))
            for name, values in sorted(self._left_out.items())
        )

    def assumptions(self) -> Iterator[str]:
        """Yield what the counts rest on."""
        if self._narrow:
            yield NARROW.format(types=" and ".join(sorted(self._narrow)))
        if self._stored:
            yield STORED.format(names=", ".join(self._stored))


class _Unknown(Exception):
    """A tensor has no known shape."""
