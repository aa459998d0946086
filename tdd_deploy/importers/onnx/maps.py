"""Operators with windows or weights: convolutions, average pools and dense maps."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tdd_deploy.program import Conv, Dense, Pool

from .builder import Builder
from .reshape import flatten_signal
from .signals import NO_PADS, Array, Op, Refused, Signal, Value, read_axes, require_signal, require_weights

LARGEST_PAD = 1 << 10
IMAGES = "receives an input that is not an image, channel first"


def read_conv(builder: Builder, op: Op, x: Value, w: Value, b: Value | None = None) -> Signal:
    """Add a convolution."""
    signal, weight = require_signal(x), require_weights(w)
    if weight.ndim != len(signal.in_file) + 1 or len(signal.shape) != 3 or signal.channel_last:
        order = "last" if signal.channel_last else "first"
        found = f"has weights of {weight.ndim} axes, an input of {len(signal.in_file) + 1}, channel {order}"
        remedy = "Use 3 axes each for signals in time, or 4 each for images, channel first."
        raise Refused(found, remedy=remedy)
    weight = weight[:, :, None] if signal.is_line else weight
    bias = None if b is None else require_weights(b, "a bias")
    stride, dilation = _pair(op, "strides", signal), _pair(op, "dilations", signal)
    pads = _pads(op, signal, weight.shape[2:], stride, dilation)
    weight, padding, evened = _evened(weight, pads, dilation)
    groups, n_out = int(op.get("group", 1)), len(weight)
    if bias is not None and bias.shape != (n_out,):
        raise Refused(f"shape {list(bias.shape)}", f"of shape [{n_out}], one number for each channel", part="bias")
    if groups < 1 or n_out % groups:
        raise Refused(f"{groups}", f"a divisor of its {n_out} channels", part="group")

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

    return builder.add(op.name, make, replace(signal, pads=NO_PADS))


def _pair(op: Op, attribute: str, signal: Signal) -> tuple[int, int]:
    """Read an attribute as two numbers, for height and width."""
    n = 1 if signal.is_line else 2
    values = op.get(attribute, [1] * n)
    if len(values) != n or min(values) < 1:
        raise Refused(f"{list(values)}", f"{n} numbers, 1 or more each", part=attribute)
    return (1, int(values[0])) if signal.is_line else (int(values[0]), int(values[1]))


def _pads(
    op: Op, signal: Signal, kernel: Sequence[int], stride: tuple[int, int], dilation: tuple[int, int] = (1, 1)
) -> tuple[int, int, int, int]:
    """Compute how many zeros are added around the pixels: top, left, bottom, right."""
    auto = op.get("auto_pad", "NOTSET")
    if auto in ("NOTSET", "VALID"):
        n = 2 if signal.is_line else 4
        own = [int(n) for n in op.get("pads", [0] * n)] if auto == "NOTSET" else [0] * n
        if len(own) != n:
            raise Refused(f"{own}", f"{n} numbers", part="pads")
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
        raise Refused(f"{list(pads)}", f"0 to {LARGEST_PAD:,}", part="pads")
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
            raise Refused(f"{list(pads)}", f"alike on both sides at dilation {step}", part="pads")
        more.append((max(after - before, 0) // step, max(before - after, 0) // step))
    (top, bottom), (left, right) = more
    grown = np.pad(weight, [(0, 0), (0, 0), *more])
    return grown, (max(pads[0], pads[2]), max(pads[1], pads[3])), (top, left, bottom, right)


def read_average_pool(builder: Builder, op: Op, x: Value) -> Signal:
    """Add an average pool, or with uneven pads the convolution that computes it."""
    signal = require_signal(x)
    if len(signal.shape) != 3 or signal.channel_last:
        raise Refused(IMAGES)
    kernel, stride = _pair(op, "kernel_shape", signal), _pair(op, "strides", signal)
    pads = _pads(op, signal, kernel, stride)
    if any(a > b for a, b in zip(pads, signal.pads, strict=True)) and not op.get("count_include_pad", 0):
        raise Refused("leaves padded zeros out of its averages", remedy="Use no pads, or count_include_pad=1.")
    sizes = [n + pads[i] + pads[i + 2] - kernel[i] for i, n in enumerate(signal.shape[1:])]
    if op.get("ceil_mode", 0) and any(size % step for size, step in zip(sizes, stride, strict=True)):
        raise Refused("has windows that lie partly outside, with ceil_mode=1", remedy="Use ceil_mode=0.")
    if max(dilation := _pair(op, "dilations", signal)) > 1:
        raise Refused(f"{list(dilation)}", "1", part="dilations")
    signal = replace(signal, pads=NO_PADS)
    if pads[:2] == pads[2:]:
        padding = pads[0], pads[1]
        return builder.add(
            op.name,
            lambda name: Pool(name=name, kernel=kernel, stride=stride, padding=padding, average=True),
            signal,
        )
    channels = signal.shape[0]
    weight, padding, evened = _evened(np.full((channels, 1, *kernel), 1 / math.prod(kernel)), pads, (1, 1))
    builder.counted.append(f"{op.name}: an average pool with uneven pads")
    return builder.add(
        op.name,
        lambda name: Conv(name=name, weight=weight, stride=stride, padding=padding, groups=channels, evened=evened),
        signal,
    )


def read_global_average(builder: Builder, op: Op, x: Value) -> Signal:
    """Add an average pool over all pixels."""
    signal = require_signal(x)
    if len(signal.shape) != 3 or (signal.channel_last and op.kind == "GlobalAveragePool"):
        raise Refused(IMAGES)
    kernel = signal.shape[1], signal.shape[2]
    kept = {"channel_last": signal.channel_last}
    return builder.add(
        op.name, lambda name: Pool(name=name, kernel=kernel, stride=kernel, average=True), signal, **kept
    )


def read_reduce_mean(builder: Builder, op: Op, x: Value, axes: Value | None = None) -> Signal:
    """Read a mean over all pixels as an average pool."""
    signal = require_signal(x)
    rank = len(signal.in_file) + 1
    wanted = read_axes(op, axes, rank)
    pixels = [axis for axis in range(1, rank) if axis != (rank - 1 if signal.channel_last else 1)]
    if len(signal.shape) != 3 or sorted(wanted or []) != pixels:
        raise Refused(f"{wanted}", f"{pixels}, the pixels of images", part="axes")
    mean = read_global_average(builder, op, signal)
    return mean if op.get("keepdims", 1) else flatten_signal(builder, op, mean)


def read_gemm(builder: Builder, op: Op, a: Value, b: Value, c: Value | None = None) -> Signal:
    """Add a dense map with its bias."""
    weight = require_weights(b) * float(op.get("alpha", 1.0))
    if op.get("transA", 0):
        raise Refused("1", "0, with samples in rows", part="transA")
    bias = None if c is None else require_weights(c, "a bias") * float(op.get("beta", 1.0))
    return _dense(builder, op, require_signal(a), weight if op.get("transB", 0) else weight.T, bias)


def read_matmul(builder: Builder, op: Op, a: Value, b: Value) -> Signal:
    """Add a dense map."""
    return _dense(builder, op, require_signal(a), require_weights(b).T)


def _dense(builder: Builder, op: Op, signal: Signal, weight: Array, bias: Array | None = None) -> Signal:
    """Add a map ``weight [n_out, n_in]``, its columns in the order of the file."""
    if len(signal.shape) != 1 or weight.ndim != 2 or weight.shape[1] != signal.shape[0]:
        found = f"receives shape {signal.shape} with weights {list(weight.shape)}"
        raise Refused(found, remedy="Put Flatten before it, so that it receives one axis.")
    if bias is not None:
        n_out = len(weight)
        if bias.shape not in ((), (1,), (n_out,), (1, 1), (1, n_out)):  # [n, 1] is one for each sample
            raise Refused(f"shape {list(bias.shape)}", f"one number, or one for each of {n_out} outputs", part="bias")
        bias = np.broadcast_to(bias.reshape(-1), len(weight))
    if signal.columns is not None:
        weight = weight[:, np.argsort(signal.columns)]
    return builder.add(op.name, lambda name: Dense(name=name, weight=weight, bias=bias), signal)
