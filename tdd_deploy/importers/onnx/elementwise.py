"""Operators that act on each value: ReLU, sums, factors and batch normalization."""

import math
from dataclasses import replace
from functools import partial, reduce

import numpy as np

from .builder import Builder
from .signals import (
    NO_PADS,
    Array,
    Op,
    Refused,
    Signal,
    Value,
    require_no_pads,
    require_signal,
    require_size,
    require_weights,
)

FLOAT_MAX = float(np.finfo(np.float32).max)
RELU = "Use the larger of a signal and 0, which is ReLU."


def read_relu(builder: Builder, op: Op, x: Value) -> Signal:
    """Add a layer of neurons; zeros of a Pad before it stay zeros."""
    signal = require_signal(x)
    return replace(builder.add_neurons(op.name, replace(signal, pads=NO_PADS)), pads=signal.pads)  # zeros stay zeros


def read_clip(builder: Builder, op: Op, x: Value, low: Value | None = None, high: Value | None = None) -> Value:
    """Read a Clip from 0 on as ReLU, and one without limits as nothing."""
    signal = require_signal(x)
    least, most = (
        np.asarray(op.get(name, default), np.float64) if value is None else require_weights(value, "limits")
        for name, value, default in (("min", low, -np.inf), ("max", high, np.inf))
    )
    if np.any(most < FLOAT_MAX):
        raise Refused(f"clips values to the range from {least} to {most}", remedy="Train with ReLU instead of ReLU6.")
    if np.all(least <= -FLOAT_MAX):
        return x
    if np.any(least != 0):
        raise Refused(f"clips values below {least}, not below 0", remedy="Train with ReLU.")
    return read_relu(builder, op, signal)


def read_max(builder: Builder, op: Op, *values: Value) -> Signal:
    """Read the larger of a signal and 0 as ReLU."""
    if len(values) != 2:
        raise Refused(f"computes the largest of {len(values)} values", remedy=RELU)
    signal, constant = _operands(op, *values)
    if np.any(constant):
        raise Refused("computes the larger of a signal and a number that is not 0", remedy=RELU)
    _per_value(signal, constant)
    return read_relu(builder, op, signal)


def read_batch_norm(builder: Builder, op: Op, x: Value, *statistics: Value) -> Signal:
    """Read a batch normalization as a factor and a shift for each channel."""
    if op.get("training_mode", 0):
        remedy = "Export the network in evaluation mode: network.eval()."
        raise Refused("1", "0", remedy, part="training_mode")
    signal = require_signal(x)
    if signal.channel_last:
        raise Refused("receives an input that is channel last, not channel first")
    gamma, beta, mu, square = (_in_order(signal, require_weights(value, "statistics")) for value in statistics)
    factor = gamma / np.sqrt(square + float(op.get("epsilon", 1e-5)))
    return builder.add_affine(op, signal, factor, beta - mu * factor)


def _in_order(signal: Signal, statistics: Array) -> Array:
    """Shape statistics per channel so that they broadcast to a signal."""
    n = signal.shape[0]
    if statistics.shape != (n,):
        allowed = f"of shape [{n}], one number for each channel"
        raise Refused(f"shape {list(statistics.shape)}", allowed, part="statistics")
    ordered = statistics if signal.columns is None else statistics[np.argsort(signal.columns)]
    return ordered.reshape(-1, *[1] * (len(signal.shape) - 1))


def read_add(builder: Builder, op: Op, a: Value, b: Value) -> Value:
    """Add two signals, or shift one."""
    if (known := _known(op, a, b)) is not None:
        return known
    if isinstance(a, Signal) and isinstance(b, Signal):
        return _sum(builder, op, a, b)
    signal, constant = _operands(op, a, b)
    return builder.add_affine(op, signal, _one(signal), _per_value(signal, constant))


def read_sub(builder: Builder, op: Op, a: Value, b: Value) -> Value:
    """Subtract two signals, or shift one."""
    if (known := _known(op, a, b)) is not None:
        return known
    if isinstance(a, Signal) and isinstance(b, Signal):
        return _sum(builder, op, a, builder.add_affine(op, b, -_one(b), 0 * _one(b)))
    signal, constant = _operands(op, a, b)
    sign = 1 if isinstance(a, Signal) else -1
    return builder.add_affine(op, signal, sign * _one(signal), -sign * _per_value(signal, constant))


def read_sum(builder: Builder, op: Op, *values: Value) -> Value:
    """Add signals and constants."""
    return reduce(partial(read_add, builder, op), values)


def read_neg(builder: Builder, op: Op, x: Value) -> Value:
    """Negate a value."""
    return builder.add_affine(op, x, -_one(x), 0 * _one(x)) if isinstance(x, Signal) else -x


def read_mul(builder: Builder, op: Op, a: Value, b: Value) -> Value:
    """Multiply a signal by a constant."""
    if (known := _known(op, a, b)) is not None:
        return known
    signal, constant = _operands(op, a, b)
    return builder.add_affine(op, signal, _per_value(signal, constant), 0 * _one(signal))


def read_div(builder: Builder, op: Op, a: Value, b: Value) -> Value:
    """Divide a signal by a constant."""
    if (known := _known(op, a, b)) is not None:
        return known
    signal = require_signal(a)
    factor = 1 / _per_value(signal, require_weights(b, "a divisor"))
    return builder.add_affine(op, signal, factor, 0 * _one(signal))


def _known(op: Op, a: Value | None, b: Value | None) -> Array | None:
    """Compute a node of two constants; None if one of them is a signal."""
    if not isinstance(a, np.ndarray) or not isinstance(b, np.ndarray):
        return None
    require_size(math.prod(np.broadcast_shapes(a.shape, b.shape)))
    divide = np.floor_divide if a.dtype.kind == "i" else np.divide
    made = {"Add": np.add, "Sum": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": divide}[op.kind](a, b)
    return np.asarray(made)


def _operands(op: Op, a: Value, b: Value) -> tuple[Signal, Array]:
    """Sort two operands into a signal and a constant."""
    constant, signal = (b, a) if isinstance(a, Signal) else (a, b)
    if "axis" in op.attributes or op.get("broadcast", 0):
        remedy = "Convert it: onnx.version_converter.convert_version(model, 17)."
        raise Refused("aligns a constant with an axis, as before opset 7", remedy=remedy)
    return require_signal(signal), require_weights(constant, "a second operand")


def _one(signal: Signal) -> Array:
    return np.ones([1] * len(signal.shape))


def _per_value(signal: Signal, constant: Array) -> Array:
    """Give a constant one axis for each axis of a signal, of the same size or 1."""
    in_file = signal.in_file
    sizes = (1,) * (len(in_file) + 1 - constant.ndim) + constant.shape
    if len(sizes) != len(in_file) + 1 or any(size not in (1, n) for size, n in zip(sizes, (1, *in_file), strict=True)):
        allowed = f"of a shape that broadcasts to {list(in_file)}, a sample"
        raise Refused(f"shape {list(constant.shape)}", allowed, part="the constant")
    values = constant.reshape(sizes[1:])
    if signal.channel_last:
        values = np.moveaxis(values, -1, 0)
    if signal.is_line:
        values = values[:, None]
    return values if signal.columns is None or values.size == 1 else values[np.argsort(signal.columns)]


def _sum(builder: Builder, op: Op, a: Signal, b: Signal) -> Signal:
    require_no_pads(a, b)
    same_order = a.columns is b.columns or np.array_equal(a.columns, b.columns)  # type: ignore[arg-type]
    if (a.shape, a.in_file) != (b.shape, b.in_file) or not same_order:
        raise Refused(f"adds shapes {a.shape} and {b.shape}, which differ or are in another order")
    if a.sources == b.sources:
        return builder.add_affine(op, a, 2 * _one(a), 0 * _one(a))
    if {*a.sources} & {*b.sources}:  # an edge leads from node to node once
        b = builder.add_affine(op, b, _one(b), 0 * _one(b))
    return replace(a, sources=(*a.sources, *b.sources))
