"""What each kind of node of an ONNX file becomes; ``onnx.py`` walks through them.

Values are without the batch axis and channel first; a tensor that stands channel last in the file is marked so.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial, reduce
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tdd_deploy.program import Conv, Dense, Flatten, Pool, Shape

if TYPE_CHECKING:
    from .read import Reader

LARGEST_PAD = 1 << 10
LARGEST_CONSTANT = 1 << 24  # elements that a constant may have after broadcasting
NO_PADS = (0, 0, 0, 0)
FLOAT_MAX = float(np.finfo(np.float32).max)
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
    is_line: bool = False  # in the file without the height, which is 1
    columns: Array | None = None  # flattened: place in the file -> place here; None: the same
    pads: tuple[int, int, int, int] = (
        NO_PADS  # zeros of a Pad that the next map still has to add: top, left, bottom, right
    )

    @property
    def in_file(self) -> Shape:
        """The axes after N, as in the file."""
        channels, *pixels = self.shape
        pixels = pixels[1:] if self.is_line else pixels
        return (*pixels, channels) if self.channel_last else (channels, *pixels)


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


def type_name(number: int) -> str:
    """Name a type of ONNX."""
    import onnx  # noqa: PLC0415  (optional)

    names = onnx.TensorProto.DataType
    return str(names.Name(number)).lower() if number in names.values() else str(number)


def _weights(value: Value | None, what: str = "weights") -> Array:
    if value is None:
        raise Refused(f"no {what}", "all inputs and attributes that ONNX requires")
    if isinstance(value, Signal):
        raise Refused(f"{what} computed from the input", "constants")
    if value.dtype != np.float32:
        raise Refused(f"{what} of type {value.dtype}", "float32", "Export the network in float32.")
    return value.astype(np.float64)  # what is folded into them is rounded once, in the end


def _signal(value: Value | None) -> Signal:
    if not isinstance(value, Signal):
        raise Refused("an input that does not depend on the network's", "a signal")
    return value


def _conv(reader: "Reader", op: Op, x: Value, w: Value, b: Value | None = None) -> Signal:
    signal, weight = _signal(x), _weights(w)
    if weight.ndim != len(signal.in_file) + 1 or len(signal.shape) != 3 or signal.channel_last:
        order = "last" if signal.channel_last else "first"
        found = f"weights of {weight.ndim} axes, an input of {len(signal.in_file) + 1}, channel {order}"
        raise Refused(found, "3 each (signals in time) or 4 each (images), channel first")
    weight = weight[:, :, None] if signal.is_line else weight
    bias = None if b is None else _weights(b, "a bias")
    stride, dilation = _pair(op, "strides", signal), _pair(op, "dilations", signal)
    pads = _pads(op, signal, weight.shape[2:], stride, dilation)
    weight, padding, evened = _evened(weight, pads, dilation)
    groups, n_out = int(op.get("group", 1)), len(weight)
    if bias is not None and bias.shape != (n_out,):
        raise Refused(f"a bias of shape {list(bias.shape)}", f"[{n_out}], one for each channel")
    if groups < 1 or n_out % groups:
        raise Refused(f"group {groups}", f"a divisor of its {n_out} channels")

    def make(name: str) -> Conv:
        return Conv(
            name=name,
            weight=weight,
            bias=bias,
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
            evened=evened,
        )

    return reader.add(op.name, make, replace(signal, pads=NO_PADS))


def _pair(op: Op, attribute: str, signal: Signal) -> tuple[int, int]:
    """Read an attribute as two numbers, for height and width."""
    n = 1 if signal.is_line else 2
    values = op.get(attribute, [1] * n)
    if len(values) != n or min(values) < 1:
        raise Refused(f"{attribute} {list(values)}", f"{n} numbers, 1 or more each")
    return (1, int(values[0])) if signal.is_line else (int(values[0]), int(values[1]))


def _pads(
    op: Op, signal: Signal, kernel: Sequence[int], stride: tuple[int, int], dilation: tuple[int, int] = (1, 1)
) -> tuple[int, int, int, int]:
    """Return how many zeros are put around: top, left, bottom, right."""
    auto = op.get("auto_pad", "NOTSET")
    if auto in ("NOTSET", "VALID"):
        n = 2 if signal.is_line else 4
        own = [int(n) for n in op.get("pads", [0] * n)] if auto == "NOTSET" else [0] * n
        if len(own) != n:
            raise Refused(f"pads {own}", f"{n} numbers")
        own = [0, own[0], 0, own[1]] if signal.is_line else own
    else:
        spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
        padded = [n + a + b for n, a, b in zip(signal.shape[1:], signal.pads[:2], signal.pads[2:], strict=True)]
        sizes = zip(padded, stride, spans, strict=True)
        missing = [max((math.ceil(n / s) - 1) * s + span - n, 0) for n, s, span in sizes]
        low = [(n + 1) // 2 if auto == "SAME_LOWER" else n // 2 for n in missing]
        own = [*low, *(n - before for n, before in zip(missing, low, strict=True))]
    pads = tuple(a + b for a, b in zip(own, signal.pads, strict=True))
    if min(pads) < 0 or max(pads) > LARGEST_PAD:
        raise Refused(f"pads {list(pads)}", f"0 to {LARGEST_PAD:,}")
    return pads[0], pads[1], pads[2], pads[3]


def _evened(
    weight: Array, pads: tuple[int, int, int, int], dilation: tuple[int, int]
) -> tuple[Array, tuple[int, int], tuple[int, int, int, int]]:
    """Extend a kernel by zeros so that equal pads on both sides give the results of these pads.

    Return these pads too, and the numbers of added rows and columns of zeros: top, left, bottom, right.
    """
    more = []
    for before, after, step in zip(pads[:2], pads[2:], dilation, strict=True):
        if abs(before - after) % step:
            raise Refused(f"pads {list(pads)} at dilation {step}", "pads alike on both sides")
        more.append((max(after - before, 0) // step, max(before - after, 0) // step))
    (top, bottom), (left, right) = more
    grown = np.pad(weight, [(0, 0), (0, 0), *more])
    return grown, (max(pads[0], pads[2]), max(pads[1], pads[3])), (top, left, bottom, right)


def _average_pool(reader: "Reader", op: Op, x: Value) -> Signal:
    signal = _signal(x)
    if len(signal.shape) != 3 or signal.channel_last:
        raise Refused("an input that is not [channels, height, width]", "images, channel first")
    kernel, stride = _pair(op, "kernel_shape", signal), _pair(op, "strides", signal)
    pads = _pads(op, signal, kernel, stride)
    if any(a > b for a, b in zip(pads, signal.pads, strict=True)) and not op.get("count_include_pad", 0):
        raise Refused("averages that leave out what is padded", "no pads, or count_include_pad=1")
    sizes = [n + pads[i] + pads[i + 2] - kernel[i] for i, n in enumerate(signal.shape[1:])]
    if op.get("ceil_mode", 0) and any(size % step for size, step in zip(sizes, stride, strict=True)):
        raise Refused("ceil_mode=1, and windows that lie partly outside", "ceil_mode=0")
    if max(_pair(op, "dilations", signal)) > 1:
        raise Refused("dilated windows", "dilations of 1")
    signal = replace(signal, pads=NO_PADS)
    if pads[:2] == pads[2:]:
        padding = pads[0], pads[1]
        return reader.add(
            op.name,
            lambda name: Pool(name=name, kernel=kernel, stride=stride, padding=padding, average=True),
            signal,
        )
    channels = signal.shape[0]
    weight, padding, evened = _evened(np.full((channels, 1, *kernel), 1 / math.prod(kernel)), pads, (1, 1))
    reader.counted.append(f"{op.name}: an average pool with uneven pads")
    return reader.add(
        op.name,
        lambda name: Conv(name=name, weight=weight, stride=stride, padding=padding, groups=channels, evened=evened),
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
    rank = len(signal.in_file) + 1
    wanted = _axes(op, axes, rank)
    pixels = [axis for axis in range(1, rank) if axis != (rank - 1 if signal.channel_last else 1)]
    if len(signal.shape) != 3 or sorted(wanted or []) != pixels:
        raise Refused(f"a mean over axes {wanted}", f"over {pixels}, the pixels of images")
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
        n_out = len(weight)
        if bias.shape not in ((), (1,), (n_out,), (1, 1), (1, n_out)):  # [n, 1] is one for each sample
            raise Refused(f"a bias of shape {list(bias.shape)}", f"one number, or one for each of {n_out}")
        bias = np.broadcast_to(bias.reshape(-1), len(weight))
    if signal.columns is not None:
        weight = weight[:, np.argsort(signal.columns)]
    return reader.add(op.name, lambda name: Dense(name=name, weight=weight, bias=bias), signal)


def _axes(op: Op, axes: Value | None, rank: int) -> list[int] | None:
    """Read the axes of a node from an input or an attribute, counted from the first axis."""
    if isinstance(axes, Signal):
        raise Refused("axes that depend on the input", "constants")
    found = op.get("axes", None) if axes is None else axes.ravel().tolist()
    if found is not None and any(not -rank <= axis < rank for axis in found):
        raise Refused(f"axes {list(found)}", f"axes of {rank}")
    return None if found is None else [axis % rank for axis in found]


def _relu(reader: "Reader", op: Op, x: Value) -> Signal:
    signal = _signal(x)
    return replace(reader.neurons(op.name, replace(signal, pads=NO_PADS)), pads=signal.pads)  # zeros stay zeros


def _clip(reader: "Reader", op: Op, x: Value, low: Value | None = None, high: Value | None = None) -> Value:
    signal = _signal(x)
    least, most = (
        np.asarray(op.get(name, default), np.float64) if value is None else _weights(value, "limits")
        for name, value, default in (("min", low, -np.inf), ("max", high, np.inf))
    )
    if np.any(most < FLOAT_MAX):
        raise Refused(
            f"from {least} to {most}", "from 0 on, without an upper limit", "Train with ReLU instead of ReLU6."
        )
    if np.all(least <= -FLOAT_MAX):
        return x
    if np.any(least != 0):
        raise Refused(f"from {least} on", "from 0 on", "Train with ReLU.")
    return _relu(reader, op, signal)


def _max(reader: "Reader", op: Op, *values: Value) -> Signal:
    if len(values) != 2:
        raise Refused(f"the largest of {len(values)} values", "the larger of a signal and 0, which is ReLU")
    signal, constant = _operands(op, *values)
    if np.any(constant):
        raise Refused("the larger of a signal and another number than 0", "the larger of a signal and 0, which is ReLU")
    _per_value(signal, constant)
    return _relu(reader, op, signal)


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
    """Shape statistics per channel so that they broadcast to a signal."""
    n = signal.shape[0]
    if statistics.shape != (n,):
        raise Refused(f"statistics of shape {list(statistics.shape)}", f"[{n}], one for each channel")
    ordered = statistics if signal.columns is None else statistics[np.argsort(signal.columns)]
    return ordered.reshape(-1, *[1] * (len(signal.shape) - 1))


def _not_too_many(n: int) -> None:
    """Refuse constants that become large from a small file."""
    if n > LARGEST_CONSTANT:
        raise Refused(f"a constant of {n:,} numbers", f"at most {LARGEST_CONSTANT:,}")


def _known(op: Op, a: Value | None, b: Value | None) -> Array | None:
    """Compute a node of two constants; None if one of them is a signal."""
    if not isinstance(a, np.ndarray) or not isinstance(b, np.ndarray):
        return None
    _not_too_many(math.prod(np.broadcast_shapes(a.shape, b.shape)))
    divide = np.floor_divide if a.dtype.kind == "i" else np.divide
    made = {"Add": np.add, "Sum": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": divide}[op.kind](a, b)
    return np.asarray(made)


def _add(reader: "Reader", op: Op, a: Value, b: Value) -> Value:
    if (known := _known(op, a, b)) is not None:
        return known
    if isinstance(a, Signal) and isinstance(b, Signal):
        return _sum(reader, op, a, b)
    signal, constant = _operands(op, a, b)
    return reader.affine(op, signal, _one(signal), _per_value(signal, constant))


def _sub(reader: "Reader", op: Op, a: Value, b: Value) -> Value:
    if (known := _known(op, a, b)) is not None:
        return known
    if isinstance(a, Signal) and isinstance(b, Signal):
        return _sum(reader, op, a, reader.affine(op, b, -_one(b), 0 * _one(b)))
    signal, constant = _operands(op, a, b)
    sign = 1 if isinstance(a, Signal) else -1
    return reader.affine(op, signal, sign * _one(signal), -sign * _per_value(signal, constant))


def _sum_of_all(reader: "Reader", op: Op, *values: Value) -> Value:
    return reduce(partial(_add, reader, op), values)


def _neg(reader: "Reader", op: Op, x: Value) -> Value:
    return reader.affine(op, x, -_one(x), 0 * _one(x)) if isinstance(x, Signal) else -x


def _mul(reader: "Reader", op: Op, a: Value, b: Value) -> Value:
    if (known := _known(op, a, b)) is not None:
        return known
    signal, constant = _operands(op, a, b)
    return reader.affine(op, signal, _per_value(signal, constant), 0 * _one(signal))


def _div(reader: "Reader", op: Op, a: Value, b: Value) -> Value:
    if (known := _known(op, a, b)) is not None:
        return known
    signal = _signal(a)
    factor = 1 / _per_value(signal, _weights(b, "a constant"))
    return reader.affine(op, signal, factor, 0 * _one(signal))


def _operands(op: Op, a: Value, b: Value) -> tuple[Signal, Array]:
    """Return a signal and a constant, in whatever order they stand."""
    constant, signal = (b, a) if isinstance(a, Signal) else (a, b)
    if "axis" in op.attributes or op.get("broadcast", 0):
        found = "constants along an axis, as before opset 7"
        raise Refused(found, "opset 7 or later", "Convert it: onnx.version_converter.convert_version(model, 17).")
    return _signal(signal), _weights(constant, "a constant")


def _one(signal: Signal) -> Array:
    return np.ones([1] * len(signal.shape))


def _per_value(signal: Signal, constant: Array) -> Array:
    """Give a constant one axis for each axis of a signal, of the same size or 1."""
    in_file = signal.in_file
    sizes = (1,) * (len(in_file) + 1 - constant.ndim) + constant.shape
    if len(sizes) != len(in_file) + 1 or any(size not in (1, n) for size, n in zip(sizes, (1, *in_file), strict=True)):
        allowed = f"a shape that is broadcast to {list(in_file)}, a sample"
        raise Refused(f"a constant of shape {list(constant.shape)}", allowed)
    values = constant.reshape(sizes[1:])
    if signal.channel_last:
        values = np.moveaxis(values, -1, 0)
    if signal.is_line:
        values = values[:, None]
    return values if signal.columns is None or values.size == 1 else values[np.argsort(signal.columns)]


def _sum(reader: "Reader", op: Op, a: Signal, b: Signal) -> Signal:
    if any(a.pads + b.pads):
        raise Refused(
            "receives the output of Pad", "Conv or AveragePool after Pad, with only ReLU or a factor between them"
        )
    same_order = a.columns is b.columns or np.array_equal(a.columns, b.columns)  # type: ignore[arg-type]
    if (a.shape, a.in_file) != (b.shape, b.in_file) or not same_order:
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
    signal, axis = _signal(x), int(op.get("axis", 1))
    if axis not in (1, -len(signal.in_file)):
        raise Refused(f"axis {axis}", "1: each sample becomes a row")
    return _flattened(reader, op, signal)


def _reshape(reader: "Reader", op: Op, x: Value, shape: Value | None = None) -> Value:
    if isinstance(shape, Signal):
        raise Refused("a shape that depends on the input", "a constant")
    wanted = [int(n) for n in (op.get("shape", []) if shape is None else shape.ravel())]
    if not isinstance(x, Signal):
        return x.reshape(wanted)
    size = math.prod(x.shape)
    if not op.get("allowzero", 0):  # 0 keeps the size of the input
        wanted = wanted[:1] + [x.in_file[i] if n == 0 and i < len(x.in_file) else n for i, n in enumerate(wanted[1:])]
    sizes = tuple(size // max(1, -math.prod(wanted[1:])) if n == -1 else n for n in wanted[1:])
    if math.prod(sizes) == size and wanted[:1] in ([-1], [0], [reader.batch]):
        made = _in_axes(reader, op, x, sizes)
        if made is not None:
            return made
    raise Refused(f"to {wanted} from {list(x.in_file)}", "to [N, n], or of the input to an image")


def _in_axes(reader: "Reader", op: Op, x: Signal, sizes: Shape) -> Signal | None:
    """Reshape a signal to other sizes of its axes after N in the file; None if no Program can do that."""
    if len(sizes) == 1:
        return _flattened(reader, op, x)
    is_line, image = len(sizes) == 2, (sizes[0], 1, sizes[1]) if len(sizes) == 2 else sizes
    if image == x.shape and not x.channel_last:
        return replace(x, is_line=is_line)
    if len(image) == 3 and x.sources == (reader.input,):
        return reader.as_input(image, is_line=is_line)
    return None


def _squeeze(reader: "Reader", op: Op, x: Value, axes: Value | None = None) -> Value:
    if not isinstance(x, Signal):
        wanted = _axes(op, axes, x.ndim)
        return x.squeeze(None if wanted is None else tuple(wanted))
    wanted = _axes(op, axes, len(x.in_file) + 1)
    if wanted is None:  # all axes of 1
        wanted = [axis for axis, n in enumerate(x.in_file, start=1) if n == 1]
    left = tuple(n for axis, n in enumerate(x.in_file, start=1) if axis not in wanted)
    made = _in_axes(reader, op, x, left) if left and 0 not in wanted and math.prod(left) == math.prod(x.shape) else None
    if made is None:
        raise Refused(f"axes {wanted} of {list(x.in_file)}", "axes of one pixel")
    return made


def _transpose(reader: "Reader", op: Op, x: Value) -> Value:
    order = list(op.get("perm", []))
    if not isinstance(x, Signal):
        return x.transpose(order or None)
    rank = len(x.in_file) + 1
    to_last, to_first = [0, *range(2, rank), 1], [0, rank - 1, *range(1, rank - 1)]
    if len(x.shape) == 3 and not any(x.pads):
        at_input = x.sources == (reader.input,) and not x.channel_last
        if order == to_last and not x.channel_last and not (at_input and order == to_first):
            return replace(x, channel_last=True)
        if order == to_first and x.channel_last:
            return replace(x, channel_last=False)
        if order == to_first and at_input:
            *pixels, channels = x.in_file
            reader.left_out.append("Transpose at the input: samples are taken channel first")
            return reader.as_input((channels, *([1] if x.is_line else []), *pixels), is_line=x.is_line)
    raise Refused(f"order {order} of {rank} axes", "[0, 3, 1, 2] at the input, [0, 2, 3, 1] before Flatten")


def _pad(reader: "Reader", op: Op, x: Value, pads: Value | None = None, *more: Value | None) -> Value:
    value, axes = (*more, None, None)[:2]
    signal = _signal(x)
    fill = np.asarray(op.get("value", 0.0)) if value is None else _weights(value, "a value")
    if op.get("mode", "constant") != "constant" or np.any(fill):
        raise Refused(f"mode {op.get('mode', 'constant')}, value {fill}", "constant zeros")
    sizes = _pad_sizes(op, signal, pads, axes)
    if any(sizes) and (len(signal.shape) != 3 or signal.channel_last):
        raise Refused(f"pads {sizes}", "zeros around the pixels of images, channel first")
    top, left, bottom, right = (a + b for a, b in zip(signal.pads, sizes, strict=True))
    return replace(signal, pads=(top, left, bottom, right))


def _pad_sizes(op: Op, signal: Signal, pads: Value | None, axes: Value | None) -> list[int]:
    """Read how many zeros are added around the pixels: top, left, bottom, right."""
    if isinstance(pads, Signal):
        raise Refused("pads that depend on the input", "constants")
    rank = len(signal.in_file) + 1
    given = op.get("pads", op.get("paddings", [])) if pads is None else pads.ravel().tolist()
    along = list(range(rank)) if axes is None else _axes(op, axes, rank) or []
    if len(given) != 2 * len(along):
        raise Refused(f"pads {list(given)}", f"two for each of {len(along)} axes")
    around = {axis: (int(given[i]), int(given[i + len(along)])) for i, axis in enumerate(along)}
    n_pixels = 1 if signal.is_line else 2
    pixels = [around.pop(axis, (0, 0)) for axis in range(rank - n_pixels, rank)]
    if min(given, default=0) < 0 or any(any(pair) for pair in around.values()):
        raise Refused(f"pads {list(given)}", "zeros around the pixels of images")
    (top, bottom), (left, right) = [(0, 0)] * (2 - n_pixels) + pixels
    return [top, left, bottom, right]


def _same(reader: "Reader", op: Op, x: Value, *_: Value | None) -> Value:
    return x


def _dropout(reader: "Reader", op: Op, x: Value, ratio: Value | None = None, training: Value | None = None) -> Value:
    if training is not None and (isinstance(training, Signal) or training.any()):
        raise Refused("training_mode=True", "False", "Export the network in evaluation mode: network.eval().")
    return x


def _cast(reader: "Reader", op: Op, x: Value) -> Value:
    if isinstance(x, Signal):
        if op.get("to", 1) != 1:
            raise Refused(f"to type {type_name(op.get('to', 1))}", "float")
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
    return np.asarray([-1, *x.in_file])[op.get("start", 0) : op.get("end", None)]


def _gather(reader: "Reader", op: Op, x: Value, at: Value) -> Value:
    if isinstance(x, Signal) or isinstance(at, Signal):
        raise Refused("a part of a signal", "of a shape")
    axis = op.get("axis", 0)
    _not_too_many(at.size * x.size // max(1, x.shape[axis]))
    return np.take(x, at, axis=axis)


def _slice(reader: "Reader", op: Op, x: Value, *bounds: Value | None) -> Value:
    if isinstance(x, Signal) or any(isinstance(bound, Signal) for bound in bounds):
        raise Refused("a part of a signal", "of a shape")
    names = ("starts", "ends", "axes", "steps")
    given = [op.get(name, None) for name in names] if not bounds else [*bounds, None, None, None, None][:4]
    starts, ends, axes, steps = ([] if bound is None else np.asarray(bound).ravel().tolist() for bound in given)
    parts = [slice(None)] * x.ndim
    along = axes or range(len(starts))
    for axis, start, end, step in zip(along, starts, ends, steps or [1] * len(starts), strict=True):
        parts[axis] = slice(start, None if step < 0 and end < -x.shape[axis] else end, step)
    return x[tuple(parts)]


def _constant_of_shape(reader: "Reader", op: Op, shape: Value) -> Value:
    if isinstance(shape, Signal):
        raise Refused("a shape that depends on the input", "a constant")
    sizes = [int(n) for n in shape.ravel()]
    _not_too_many(math.prod(sizes))
    value = array_of(op.attributes["value"]) if "value" in op.attributes else np.zeros(1, np.float32)
    return np.full(sizes, value.ravel()[0])


def _unsqueeze(reader: "Reader", op: Op, x: Value, axes: Value | None = None) -> Value:
    rank = len(x.in_file) + 1 if isinstance(x, Signal) else x.ndim
    wanted = _axes(op, axes, rank + 1) or []
    if not isinstance(x, Signal):
        return np.expand_dims(x, tuple(wanted))
    sizes = list(x.in_file)
    for axis in wanted:
        sizes.insert(axis - 1, 1)
    made = _in_axes(reader, op, x, tuple(sizes)) if len(wanted) == 1 and wanted[0] else None
    if made is None:
        raise Refused(f"another axis, {wanted}", "a height of 1, or a channel of the input")
    return made


def _concat(reader: "Reader", op: Op, *parts: Value) -> Value:
    constants = [part for part in parts if not isinstance(part, Signal)]
    if len(constants) < len(parts):
        raise Refused("channels of several layers side by side", "sums of layers: Add")
    _not_too_many(sum(part.size for part in constants))
    return np.concatenate(constants, axis=op.get("axis", 0))


READ: dict[str, Callable[..., Value]] = {
    "Add": _add,
    "ArgMax": _same_class,
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Cast": _cast,
    "Clip": _clip,
    "Concat": _concat,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
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
    "Max": _max,
    "Mul": _mul,
    "Neg": _neg,
    "Pad": _pad,
    "ReduceMean": _reduce_mean,
    "Relu": _relu,
    "Reshape": _reshape,
    "Shape": _shape,
    "Slice": _slice,
    "Softmax": _same_class,
    "Squeeze": _squeeze,
    "Sub": _sub,
    "Sum": _sum_of_all,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
