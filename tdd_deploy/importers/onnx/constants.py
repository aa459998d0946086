"""Operators on constants, from which exporters compute shapes and pads."""

import math

import numpy as np

from .builder import Builder
from .signals import Op, Refused, Signal, Value, array_of, require_size, type_name


def read_constant(builder: Builder, op: Op) -> Value:
    """Read a constant that is an attribute of a node."""
    (value,) = op.attributes.values()
    if hasattr(value, "raw_data"):  # a tensor
        return array_of(value)
    found = np.asarray(value)
    return found.astype(np.float32) if found.dtype.kind == "f" else found


def read_shape(builder: Builder, op: Op, x: Value) -> Value:
    """Return the axes as a constant; N, which is not known, is -1."""
    if not isinstance(x, Signal):
        return np.asarray(x.shape)
    return np.asarray([-1, *x.in_file])[op.get("start", 0) : op.get("end", None)]


def read_gather(builder: Builder, op: Op, x: Value, at: Value) -> Value:
    """Take elements of a constant."""
    if isinstance(x, Signal) or isinstance(at, Signal):
        raise Refused("takes a part of a signal; only parts of constants are possible")
    axis = op.get("axis", 0)
    require_size(at.size * x.size // max(1, x.shape[axis]))
    return np.take(x, at, axis=axis)


def read_slice(builder: Builder, op: Op, x: Value, *bounds: Value | None) -> Value:
    """Cut a part out of a constant."""
    if isinstance(x, Signal) or any(isinstance(bound, Signal) for bound in bounds):
        raise Refused("takes a part of a signal; only parts of constants are possible")
    names = ("starts", "ends", "axes", "steps")
    given = [op.get(name, None) for name in names] if not bounds else [*bounds, None, None, None, None][:4]
    starts, ends, axes, steps = ([] if bound is None else np.asarray(bound).ravel().tolist() for bound in given)
    parts = [slice(None)] * x.ndim
    along = axes or range(len(starts))
    for axis, start, end, step in zip(along, starts, ends, steps or [1] * len(starts), strict=True):
        parts[axis] = slice(start, None if step < 0 and end < -x.shape[axis] else end, step)
    return x[tuple(parts)]


def read_constant_of_shape(builder: Builder, op: Op, shape: Value) -> Value:
    """Make a constant of one value."""
    if isinstance(shape, Signal):
        raise Refused("has a shape that depends on the input")
    sizes = [int(n) for n in shape.ravel()]
    require_size(math.prod(sizes))
    value = array_of(op.attributes["value"]) if "value" in op.attributes else np.zeros(1, np.float32)
    return np.full(sizes, value.ravel()[0])


def read_concat(builder: Builder, op: Op, *parts: Value) -> Value:
    """Join constants."""
    constants = [part for part in parts if not isinstance(part, Signal)]
    if len(constants) < len(parts):
        raise Refused("puts channels of several layers side by side", remedy="Use sums of layers: Add.")
    require_size(sum(part.size for part in constants))
    return np.concatenate(constants, axis=op.get("axis", 0))


def read_cast(builder: Builder, op: Op, x: Value) -> Value:
    """Convert a constant to another type; a signal has to stay in float32."""
    if isinstance(x, Signal):
        if op.get("to", 1) != 1:
            raise Refused(type_name(op.get("to", 1)), "float", part="to")
        return x
    import onnx  # noqa: PLC0415  (optional)

    return x.astype(onnx.helper.tensor_dtype_to_np_dtype(op.get("to", 1)))
