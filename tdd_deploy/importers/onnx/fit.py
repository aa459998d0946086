"""How a sample of a data set becomes the input of an ONNX network."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from tdd_deploy.errors import Violation

from .signals import Array, type_name

MOST_VALUES = 1 << 28  # in a tensor for one sample
FLOATS = {"float": np.float32, "double": np.float64, "float16": np.float16}
How = Literal["as it is", "reshaped", "flattened", "channel last", ""]


@dataclass(frozen=True, kw_only=True)
class Fit:
    """How a sample becomes an input.

    Attributes:
        shape: of an input, without the batch.
        batch: how many samples the network takes at once; it takes any number if ``is_open``.
        is_open: whether the file leaves the batch open.
        dtype: what the network takes; None for integers.
        how: what is done with a sample; empty where it does not fit.
        found: why it does not fit, as a predicate.
    """

    shape: tuple[int, ...]
    batch: int
    is_open: bool
    dtype: Any
    how: How
    found: str = ""

    def inputs(self, x: Array) -> Array:
        """Make inputs ``[N, *shape]`` of samples that fit."""
        turned = np.moveaxis(x, 1, -1) if self.how == "channel last" else x
        return np.ascontiguousarray(turned.reshape(len(x), *self.shape), dtype=self.dtype)


def fit_of(entry: Any, sample_shape: Sequence[int]) -> Fit | Violation:
    """Find how samples fit the input of a graph, or what has to be known first.

    Axes that the file leaves open are those of the sample.
    """
    tensor = entry.type.tensor_type
    axes = [axis.dim_value if axis.HasField("dim_value") else None for axis in tensor.shape.dim]
    shown = ", ".join(axis.dim_param or str(axis.dim_value) for axis in tensor.shape.dim)
    where = f"input {entry.name}"
    if len(axes) < 2 or any(size is not None and size < 1 for size in axes):
        return Violation(where, f"shape [{shown}]", "of shape [N, ...]", "Export the network with a batch axis.")
    batch, *sizes = axes
    shape, how = _match(sizes, tuple(sample_shape))
    if not how and (None in sizes or (batch or 1) > 1):
        allowed = f"[N, ...] with the shape of a sample, {list(sample_shape)}, or with all axes known and N = 1"
        return Violation(where, f"shape [{shown}]", allowed)
    if math.prod(shape) * (batch or 1) > MOST_VALUES:
        return Violation(where, f"{math.prod(shape):,} values", f"at most {MOST_VALUES:,} values")
    kind = type_name(tensor.elem_type)
    found = "" if how else f"its input is {list(shape)}, and a sample is {list(sample_shape)}"
    if how and kind not in FLOATS:
        how, found = "", f"its input is of type {kind}, and samples are floats"
    return Fit(shape=shape, batch=batch or 1, is_open=batch is None, dtype=FLOATS.get(kind), how=how, found=found)


def _match(sizes: Sequence[int | None], sample: tuple[int, ...]) -> tuple[tuple[int, ...], How]:
    """Match the axes of an input, None where open, with those of a sample."""
    if _is_match(sizes, sample):
        return sample, "as it is"
    if len(sample) == 3 and _is_match(sizes, (*sample[1:], sample[0])):
        return (*sample[1:], sample[0]), "channel last"
    if len(sizes) == 1 and sizes[0] in (None, math.prod(sample)):
        return (math.prod(sample),), "flattened"
    known = tuple(size or 0 for size in sizes)
    if None not in sizes and [n for n in known if n > 1] == [n for n in sample if n > 1]:
        return known, "reshaped"
    return known, ""


def _is_match(sizes: Sequence[int | None], sample: tuple[int, ...]) -> bool:
    return len(sizes) == len(sample) and all(a in (None, b) for a, b in zip(sizes, sample, strict=True))
