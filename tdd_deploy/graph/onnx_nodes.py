"""What each kind of node of an ONNX file becomes; ``onnx.py`` walks through them.

Values are without the batch axis and channel first; a tensor that stands channel last in the file is marked so.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tdd_deploy.program import Conv, Dense, Flatten, Pool, Shape

if TYPE_CHECKING:
    from .onnx import Reader

LARGEST_PAD = 1 << 10
FLATTENED = "one axis: put Flatten before it"

Array = NDArray[Any]


class Refused(Exception):
    """A node that no Program can hold: what was found, what is allowed, and how to get there."""


@dataclass(frozen=True, kw_only=True)
class Signal:
    """A tensor that depends on the input: the sum of what some nodes send."""

    sources: tuple[str, ...]
    shape: Shape  # channel first
    channel_last: bool = False  # as it stands in the file
    columns: Array | None = None  # flattened: place in the file -> place here; None: the same
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)  # zeros still to be put around: top, left, bottom, right


Value = Signal | Array


@dataclass(frozen=True)
class Op:
    """A node of the file."""

    node: Any

    @property
    def kind(self) -> str:
        """What it does."""
        return str(self.node.op_type)

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


def array_of(tensor: Any) -> Array:
    """Return a tensor's numbers: float32, or integers for shapes."""
    import onnx  # noqa: PLC0415  (optional)

    return np.asarray(onnx.numpy_helper.to_array(tensor))


def _weights(value: Value, what: str = "weights") -> Array:
    if isinstance(value, Signal):
        raise Refused(f"{what} that depend on the input", "constants")
    if value.dtype != np.float32:
        raise Refused(f"{what} of type {value.dtype}", "float32", "Export the network in float32.")
    return value.astype(np.float64)  # what is folded into them is rounded once, in the end


def _signal(value: Value) -> Signal:
    if not isinstance(value, Signal):
        raise Refused("an input that does not depend on the network's", "a signal")
    return value


def _conv(reader: "Reader", op: Op, x: Value, w: Value, b: Value | None = None) -> Signal:
    signal, weight = _signal(x), _weights(w)
    if weight.ndim != 4 or len(signal.shape) != 3 or signal.channel_last:
        raise Refused(f"{weight.ndim - 2} dimensions, channel {'last' if signal.channel_last else 'first'}", "2, first")
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


def _pair(op: Op, attribute: str) -> tuple[int, int]:
    values = op.get(attribute, [1, 1])
    if len(values) != 2:
        raise Refused(f"{attribute} {list(values)}", "two numbers: height and width")
    return int(values[0]), int(values[1])


def _pads(
    op: Op, signal: Signal, kernel: Sequence[int], stride: tuple[int, int], dilation: tuple[int, int] = (1, 1)
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
        raise Refused(f"pads {list(pads)}", f"0 to {LARGEST_PAD:,}")
    return pads[0], pads[1], pads[2], pads[3]


def _evened(weight: Array, pads: tuple[int, int, int, int], dilation: tuple[int, int]) -> tuple[Array, tuple[int, int]]:
    """Return a kernel, larger by zeros, that with as many pads on both sides gives what it gave with these."""
    more = []
    for before, after, step in zip(pads[:2], pads[2:], dilation, strict=True):
        if abs(before - after) % step:
            raise Refused(f"pads {list(pads)} at dilation {step}", "pads alike on both sides")
        more.append((max(after - before, 0) // step, max(before - after, 0) // step))
    return np.pad(weight, [(0, 0), (0, 0), *more]), (max(pads[0], pads[2]), max(pads[1], pads[3]))


def _average_pool(reader: "Reader", op: Op, x: Value) -> Signal:
    signal = _signal(x)
    if len(signal.shape) != 3 or signal.channel_last:
        raise Refused("an input that is not [channels, height, width]", "images, channel first")
    kernel, stride = _pair(op, "kernel_shape"), _pair(op, "strides")
    pads = _pads(op, signal, kernel, stride)
    if any(a > b for a, b in zip(pads, signal.pads, strict=True)) and not op.get("count_include_pad", 0):
        raise Refused("averages that leave out what is padded", "no pads, or count_include_pad=1")
    sizes = [n + pads[i] + pads[i + 2] - kernel[i] for i, n in enumerate(signal.shape[1:])]
    if op.get("ceil_mode", 0) and any(size % step for size, step in zip(sizes, stride, strict=True)):
        raise Refused("ceil_mode=1, and windows that lie partly outside", "ceil_mode=0")
    if max(_pair(op, "dilations")) > 1:
        raise Refused("dilated windows", "dilations of 1")
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


def _global_average(reader: "Reader", op: Op, x: Value) -> Signal:
    signal = _signal(x)
    if len(signal.shape) != 3 or (signal.channel_last and op.kind == "GlobalAveragePool"):
        raise Refused(f"an input of shape {signal.shape}", "images, channel first")
    kernel = signal.shape[1], signal.shape[2]
    kept = {"channel_last": signal.channel_last}
    return reader.add(op.name, lambda name: Pool(name=name, kernel=kernel, stride=kernel, average=True), signal, **kept)


def _reduce_mean(reader: "Reader", op: Op, x: Value, axes: Value | None = None) -> Signal:
    signal = _signal(x)
    if isinstance(axes, Signal):
        raise Refused("axes that depend on the input", "constants")
    wanted = op.get("axes", []) if axes is None else axes.ravel().tolist()
    pixels = [1, 2] if signal.channel_last else [2, 3]
    if len(signal.shape) != 3 or sorted(axis % 4 for axis in wanted) != pixels:
        raise Refused(f"a mean over axes {list(wanted)}", f"over {pixels}, the pixels of images")
    mean = _global_average(reader, op, signal)
    return mean if op.get("keepdims", 1) else _flattened(reader, op, mean)


def _gemm(reader: "Reader", op: Op, a: Value, b: Value, c: Value | None = None) -> Signal:
    weight = _weights(b) * float(op.get("alpha", 1.0))
    if op.get("transA", 0):
        raise Refused("transA=1", "samples in rows")
    bias = None if c is None else _weights(c, "a bias") * float(op.get("beta", 1.0))
    return _dense(reader, op, _signal(a), weight if op.get("transB", 0) else weight.T, bias)


def _matmul(reader: "Reader", op: Op, a: Value, b: Value) -> Signal:
    return _dense(reader, op, _signal(a), _weights(b).T)


def _dense(reader: "Reader", op: Op, signal: Signal, weight: Array, bias: Array | None = None) -> Signal:
    """Add a map ``weight [n_out, n_in]``, its columns in the order of the file."""
    if len(signal.shape) != 1 or weight.ndim != 2 or weight.shape[1] != signal.shape[0]:
        raise Refused(f"an input of shape {signal.shape} and weights {list(weight.shape)}", FLATTENED)
    if bias is not None:
        bias = np.broadcast_to(bias.reshape(-1), len(weight))
    if signal.columns is not None:
        weight = weight[:, np.argsort(signal.columns)]
    return reader.add(op.name, lambda name: Dense(name=name, weight=weight, bias=bias), signal)


def _relu(reader: "Reader", op: Op, x: Value) -> Signal:
    return reader.neurons(op.name, _signal(x))


def _batch_norm(reader: "Reader", op: Op, x: Value, *statistics: Value) -> Signal:
    if op.get("training_mode", 0):
        raise Refused("training_mode=1", "0", "Export the network in evaluation mode: network.eval().")
    signal = _signal(x)
    if signal.channel_last:
        raise Refused("an input that is channel last", "channel first")
    gamma, beta, mu, square = (_in_order(signal, _weights(value, "statistics")) for value in statistics)
    factor = gamma / np.sqrt(square + float(op.get("epsilon", 1e-5)))
    return reader.affine(op, signal, factor, beta - mu * factor)


def _in_order(signal: Signal, statistics: Array) -> Array:
    """Return a number for each channel with an axis for each of a signal's."""
    n = signal.shape[0]
    if statistics.shape != (n,):
        raise Refused(f"statistics of shape {list(statistics.shape)}", f"[{n}], one for each channel")
    ordered = statistics if signal.columns is None else statistics[np.argsort(signal.columns)]
    return ordered.reshape(-1, *[1] * (len(signal.shape) - 1))


def _add(reader: "Reader", op: Op, a: Value, b: Value) -> Value:
    if isinstance(a, Signal) and isinstance(b, Signal):
        return _sum(reader, op, a, b)
    signal, constant = _operands(a, b)
    return reader.affine(op, signal, _one(signal), _per_value(signal, constant))


def _sub(reader: "Reader", op: Op, a: Value, b: Value) -> Value:
    if isinstance(a, Signal) and isinstance(b, Signal):
        return _sum(reader, op, a, reader.affine(op, b, -_one(b), 0 * _one(b)))
    signal, constant = _operands(a, b)
    sign = 1 if isinstance(a, Signal) else -1
    return reader.affine(op, signal, sign * _one(signal), -sign * _per_value(signal, constant))


def _mul(reader: "Reader", op: Op, a: Value, b: Value) -> Value:
    signal, constant = _operands(a, b)
    return reader.affine(op, signal, _per_value(signal, constant), 0 * _one(signal))


def _div(reader: "Reader", op: Op, a: Value, b: Value) -> Value:
    signal = _signal(a)
    factor = 1 / _per_value(signal, _weights(b, "a constant"))
    return reader.affine(op, signal, factor, 0 * _one(signal))


def _operands(a: Value, b: Value) -> tuple[Signal, Array]:
    """Return a signal and a constant, in whatever order they stand."""
    constant, signal = (b, a) if isinstance(a, Signal) else (a, b)
    return _signal(signal), _weights(constant, "a constant")


def _one(signal: Signal) -> Array:
    return np.ones([1] * len(signal.shape))


def _per_value(signal: Signal, constant: Array) -> Array:
    """Return a constant that is broadcast to a signal with an axis for each of the signal's, of its size or 1."""
    in_file = (*signal.shape[1:], signal.shape[0]) if signal.channel_last else signal.shape
    sizes = (1,) * (len(in_file) + 1 - constant.ndim) + constant.shape
    if len(sizes) != len(in_file) + 1 or any(size not in (1, n) for size, n in zip(sizes, (1, *in_file), strict=True)):
        allowed = f"a shape that is broadcast to {list(in_file)}, a sample"
        raise Refused(f"a constant of shape {list(constant.shape)}", allowed)
    values = constant.reshape(sizes[1:])
    if signal.channel_last:
        values = np.moveaxis(values, -1, 0)
    return values if signal.columns is None or values.size == 1 else values[np.argsort(signal.columns)]


def _sum(reader: "Reader", op: Op, a: Signal, b: Signal) -> Signal:
    same_order = a.columns is b.columns or np.array_equal(a.columns, b.columns)  # type: ignore[arg-type]
    if a.shape != b.shape or a.channel_last != b.channel_last or not same_order or any(a.pads + b.pads):
        raise Refused(f"a sum of shapes {a.shape} and {b.shape}", "the same shape and order")
    if a.sources == b.sources:
        return reader.affine(op, a, 2 * _one(a), 0 * _one(a))
    if {*a.sources} & {*b.sources}:  # an edge leads from node to node once
        b = reader.affine(op, b, _one(b), 0 * _one(b))
    return replace(a, sources=(*a.sources, *b.sources))


def _flattened(reader: "Reader", op: Op, signal: Signal) -> Signal:
    if len(signal.shape) == 1:
        return signal
    columns = None
    if signal.channel_last and signal.shape[0] > 1 and math.prod(signal.shape[1:]) > 1:
        columns = np.arange(math.prod(signal.shape)).reshape(signal.shape).transpose(1, 2, 0).ravel()
    return reader.add(op.name, lambda name: Flatten(name=name), signal, columns=columns)


def _flatten(reader: "Reader", op: Op, x: Value) -> Value:
    if op.get("axis", 1) != 1:
        raise Refused(f"axis {op.get('axis', 1)}", "1: each sample becomes a row")
    return _flattened(reader, op, _signal(x))


def _reshape(reader: "Reader", op: Op, x: Value, shape: Value) -> Value:
    if isinstance(shape, Signal):
        raise Refused("a shape that depends on the input", "a constant")
    wanted = [int(n) for n in shape.ravel()]
    if not isinstance(x, Signal):
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
    raise Refused(f"to {wanted} from {list(x.shape)}", "to [N, n], or of the input to an image")


def _squeeze(reader: "Reader", op: Op, x: Value, axes: Value | None = None) -> Value:
    if not isinstance(x, Signal):
        wanted = op.get("axes", None) if axes is None else np.asarray(axes).ravel().tolist()
        return x.squeeze(None if wanted is None else tuple(wanted))
    if math.prod(x.shape[1:]) != 1:
        raise Refused(f"an input of shape {x.shape}", "one pixel per channel")
    return _flattened(reader, op, x)


def _transpose(reader: "Reader", op: Op, x: Value) -> Value:
    order = list(op.get("perm", []))
    if not isinstance(x, Signal):
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
    raise Refused(f"order {order} of {len(x.shape) + 1} axes", "[0, 3, 1, 2] at the input, [0, 2, 3, 1] before Flatten")


def _pad(reader: "Reader", op: Op, x: Value, pads: Value, *more: Value | None) -> Value:
    value, axes = (*more, None, None)[:2]
    signal = _signal(x)
    fill = 0 if value is None else np.asarray(value).ravel().tolist() or [0]
    if isinstance(pads, Signal) or axes is not None or op.get("mode", "constant") != "constant" or fill not in (0, [0]):
        raise Refused(f"mode {op.get('mode', 'constant')}, value {fill}", "constant zeros around all axes")
    sizes = [int(n) for n in pads.ravel()]
    if (
        len(signal.shape) != 3
        or signal.channel_last
        or len(sizes) != 8
        or any(sizes[:2] + sizes[4:6])
        or min(sizes) < 0
    ):
        raise Refused(f"pads {sizes}", "zeros around the pixels of images")
    top, left, bottom, right = (a + b for a, b in zip(signal.pads, (*sizes[2:4], *sizes[6:8]), strict=True))
    return replace(signal, pads=(top, left, bottom, right))


def _same(reader: "Reader", op: Op, x: Value, *_: Value | None) -> Value:
    return x


def _dropout(reader: "Reader", op: Op, x: Value, ratio: Value | None = None, training: Value | None = None) -> Value:
    if training is not None and (isinstance(training, Signal) or training.any()):
        raise Refused("training_mode=True", "False", "Export the network in evaluation mode: network.eval().")
    return x


def _cast(reader: "Reader", op: Op, x: Value) -> Value:
    if isinstance(x, Signal):
        if op.get("to", 1) != 1:
            raise Refused(f"to type {op.get('to', 1)}", "float32 (1)")
        return x
    import onnx  # noqa: PLC0415  (optional)

    return x.astype(onnx.helper.tensor_dtype_to_np_dtype(op.get("to", 1)))


def _same_class(reader: "Reader", op: Op, x: Value) -> Value:
    signal = _signal(x)
    if op.node.output[0] != reader.graph.output[0].name:
        raise Refused("within the network", "at its output")
    default = 0 if op.kind == "ArgMax" else -1
    if len(signal.shape) != 1 or op.get("axis", default) not in (1, -1):
        raise Refused(
            f"over axis {op.get('axis', default)} of {len(signal.shape) + 1}", "over the classes of [N, classes]"
        )
    reader.left_out.append(f"{op.kind} at the output, which does not change the class")
    return signal


def _constant(reader: "Reader", op: Op) -> Value:
    (value,) = op.attributes.values()
    if hasattr(value, "raw_data"):  # a tensor
        return array_of(value)
    found = np.asarray(value)
    return found.astype(np.float32) if found.dtype.kind == "f" else found


def _shape(reader: "Reader", op: Op, x: Value) -> Value:
    """Return the axes as a constant; N, which is not known, is -1."""
    if not isinstance(x, Signal):
        return np.asarray(x.shape)
    sizes = (*x.shape[1:], x.shape[0]) if x.channel_last else x.shape
    return np.asarray([-1, *sizes])[op.get("start", 0) : op.get("end", None)]


def _gather(reader: "Reader", op: Op, x: Value, at: Value) -> Value:
    if isinstance(x, Signal) or isinstance(at, Signal):
        raise Refused("parts of a signal", "of a shape")
    return np.take(x, at, axis=op.get("axis", 0))


def _unsqueeze(reader: "Reader", op: Op, x: Value, axes: Value | None = None) -> Value:
    if isinstance(x, Signal) or isinstance(axes, Signal):
        raise Refused("another axis", "the axes of images or of rows")
    return np.expand_dims(x, tuple(op.get("axes", []) if axes is None else axes.ravel().tolist()))


def _concat(reader: "Reader", op: Op, *parts: Value) -> Value:
    constants = [part for part in parts if not isinstance(part, Signal)]
    if len(constants) < len(parts):
        raise Refused("channels of several layers side by side", "sums of layers: Add")
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
