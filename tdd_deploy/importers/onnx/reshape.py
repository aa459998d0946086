"""Operators that move values or add zeros: Flatten, Reshape, Squeeze, Transpose, Pad."""

import math
from dataclasses import replace

import numpy as np

from tdd_deploy.program import Flatten, Shape

from .builder import Builder
from .signals import Op, Refused, Signal, Value, read_axes, require_signal, require_weights


def flatten_signal(builder: Builder, op: Op, signal: Signal) -> Signal:
    """Add a Flatten; the signal keeps the order of the file if that is channel last."""
    if len(signal.shape) == 1:
        return signal
    columns = None
    if signal.channel_last and signal.shape[0] > 1 and math.prod(signal.shape[1:]) > 1:
        columns = np.arange(math.prod(signal.shape)).reshape(signal.shape).transpose(1, 2, 0).ravel()
    return builder.add(op.name, lambda name: Flatten(name=name), signal, columns=columns)


def read_flatten(builder: Builder, op: Op, x: Value) -> Value:
    """Add a Flatten."""
    signal, axis = require_signal(x), int(op.get("axis", 1))
    if axis not in (1, -len(signal.in_file)):
        raise Refused(f"{axis}", "1, so that each sample becomes a row", part="axis")
    return flatten_signal(builder, op, signal)


def read_reshape(builder: Builder, op: Op, x: Value, shape: Value | None = None) -> Value:
    """Reshape a constant, flatten a signal, or give the input another shape."""
    if isinstance(shape, Signal):
        raise Refused("has a shape that depends on the input")
    wanted = [int(n) for n in (op.get("shape", []) if shape is None else shape.ravel())]
    if not isinstance(x, Signal):
        return x.reshape(wanted)
    size = math.prod(x.shape)
    if not op.get("allowzero", 0):  # 0 keeps the size of the input
        wanted = wanted[:1] + [x.in_file[i] if n == 0 and i < len(x.in_file) else n for i, n in enumerate(wanted[1:])]
    sizes = tuple(size // max(1, -math.prod(wanted[1:])) if n == -1 else n for n in wanted[1:])
    if math.prod(sizes) == size and wanted[:1] in ([-1], [0], [builder.batch]):
        made = _in_axes(builder, op, x, sizes)
        if made is not None:
            return made
    remedy = "Reshape to [N, n], or reshape the input to an image."
    raise Refused(f"reshapes {list(x.in_file)} to {wanted}", remedy=remedy)


def _in_axes(builder: Builder, op: Op, x: Signal, sizes: Shape) -> Signal | None:
    """Reshape a signal to other sizes of its axes after N in the file; None if no Program can do that."""
    if len(sizes) == 1:
        return flatten_signal(builder, op, x)
    is_line, image = len(sizes) == 2, (sizes[0], 1, sizes[1]) if len(sizes) == 2 else sizes
    if image == x.shape and not x.channel_last:
        return replace(x, is_line=is_line)
    if len(image) == 3 and x.sources == (builder.input,):
        return builder.reshape_input(image, is_line=is_line)
    return None


def read_squeeze(builder: Builder, op: Op, x: Value, axes: Value | None = None) -> Value:
    """Remove axes of size 1."""
    if not isinstance(x, Signal):
        wanted = read_axes(op, axes, x.ndim)
        return x.squeeze(None if wanted is None else tuple(wanted))
    wanted = read_axes(op, axes, len(x.in_file) + 1)
    if wanted is None:  # all axes of 1
        wanted = [axis for axis, n in enumerate(x.in_file, start=1) if n == 1]
    left = tuple(n for axis, n in enumerate(x.in_file, start=1) if axis not in wanted)
    made = (
        _in_axes(builder, op, x, left) if left and 0 not in wanted and math.prod(left) == math.prod(x.shape) else None
    )
    if made is None:
        raise Refused(f"{wanted} of {list(x.in_file)}", "axes of one pixel", part="axes")
    return made


def read_unsqueeze(builder: Builder, op: Op, x: Value, axes: Value | None = None) -> Value:
    """Insert axes of size 1."""
    rank = len(x.in_file) + 1 if isinstance(x, Signal) else x.ndim
    wanted = read_axes(op, axes, rank + 1) or []
    if not isinstance(x, Signal):
        return np.expand_dims(x, tuple(wanted))
    sizes = list(x.in_file)
    for axis in wanted:
        sizes.insert(axis - 1, 1)
    made = _in_axes(builder, op, x, tuple(sizes)) if len(wanted) == 1 and wanted[0] else None
    if made is None:
        raise Refused(f"{wanted}", "a height of 1, or a channel of the input", part="axes")
    return made


def read_transpose(builder: Builder, op: Op, x: Value) -> Value:
    """Transpose a constant; of a signal, only mark whether it is channel last."""
    order = list(op.get("perm", []))
    if not isinstance(x, Signal):
        return x.transpose(order or None)
    rank = len(x.in_file) + 1
    to_last, to_first = [0, *range(2, rank), 1], [0, rank - 1, *range(1, rank - 1)]
    if len(x.shape) == 3 and not any(x.pads):
        at_input = x.sources == (builder.input,) and not x.channel_last
        if order == to_last and not x.channel_last and not (at_input and order == to_first):
            return replace(x, channel_last=True)
        if order == to_first and x.channel_last:
            return replace(x, channel_last=False)
        if order == to_first and at_input:
            *pixels, channels = x.in_file
            builder.left_out.append("Transpose at the input: samples are taken channel first")
            return builder.reshape_input((channels, *([1] if x.is_line else []), *pixels), is_line=x.is_line)
    allowed = "[0, 3, 1, 2] at the input, or [0, 2, 3, 1] before Flatten"
    raise Refused(f"{order}", allowed, part="perm")


def read_pad(builder: Builder, op: Op, x: Value, pads: Value | None = None, *more: Value | None) -> Value:
    """Keep zeros around the pixels of a signal for the map after it."""
    value, axes = (*more, None, None)[:2]
    signal = require_signal(x)
    fill = np.asarray(op.get("value", 0.0)) if value is None else require_weights(value, "a value")
    if op.get("mode", "constant") != "constant" or np.any(fill):
        found = f"pads with mode {op.get('mode', 'constant')} and value {fill}, not with constant zeros"
        raise Refused(found)
    sizes = _pad_sizes(op, signal, pads, axes)
    if any(sizes) and (len(signal.shape) != 3 or signal.channel_last):
        raise Refused(f"{sizes}", "zeros around the pixels of images, channel first", part="pads")
    top, left, bottom, right = (a + b for a, b in zip(signal.pads, sizes, strict=True))
    return replace(signal, pads=(top, left, bottom, right))


def _pad_sizes(op: Op, signal: Signal, pads: Value | None, axes: Value | None) -> list[int]:
    """Read how many zeros are added around the pixels: top, left, bottom, right."""
    if isinstance(pads, Signal):
        raise Refused("has pads that depend on the input")
    rank = len(signal.in_file) + 1
    given = op.get("pads", op.get("paddings", [])) if pads is None else pads.ravel().tolist()
    along = list(range(rank)) if axes is None else read_axes(op, axes, rank) or []
    if len(given) != 2 * len(along):
        raise Refused(f"{list(given)}", f"two numbers for each of {len(along)} axes", part="pads")
    around = {axis: (int(given[i]), int(given[i + len(along)])) for i, axis in enumerate(along)}
    n_pixels = 1 if signal.is_line else 2
    pixels = [around.pop(axis, (0, 0)) for axis in range(rank - n_pixels, rank)]
    if min(given, default=0) < 0 or any(any(pair) for pair in around.values()):
        raise Refused(f"{list(given)}", "zeros around the pixels of images", part="pads")
    (top, bottom), (left, right) = [(0, 0)] * (2 - n_pixels) + pixels
    return [top, left, bottom, right]
