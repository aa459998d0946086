"""Weights on a binary grid: float sums without rounding, hence the same spikes in any order of summation.

A sum of float32 numbers is exact when every number is a multiple of one power of two, the grid, and no partial
sum needs more than 24 bits above it (float64: 53). Spikes and delta spikes select weights, and any partial sum of
selected weights is bounded by the sum of their magnitudes. So with weights on such a grid, accumulated delta spikes
give bit for bit the currents of the spikes themselves, in every backend. The grid belongs to the receiver: maps that
drive the same neurons must share one.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

MANTISSA_BITS = {"float32": 24, "float64": 53}


def bound_of(weight: NDArray[Any], bias: NDArray[Any], *, largest: int = 1) -> float:
    """Bound the magnitude of a map's currents.

    Args:
        weight: ``[n_out, ...]``, whose rows are summed.
        bias: ``[n_out]``.
        largest: magnitude of an input.
    """
    sums = np.abs(weight.astype(np.float64)).reshape(len(weight), -1).sum(axis=1) * largest
    return float((sums + np.abs(bias.astype(np.float64))).max())


def grid_of(bound: float, number_format: str = "float32") -> float:
    """Find the finest power of two on which sums up to ``bound`` are exact, in float32 or float64."""
    if bound == 0.0:
        return 1.0
    # One bit is left free, since rounding to the grid can lift a sum above its bound.
    return 2.0 ** (math.ceil(math.log2(bound)) - (MANTISSA_BITS[number_format] - 1))


def next_below(values: NDArray[Any]) -> NDArray[Any]:
    """Return the next lower numbers of the format: any v is above the result when ``v >= values``."""
    lower: NDArray[Any] = values - 1 if values.dtype.kind == "i" else np.nextafter(values, -np.inf, dtype=values.dtype)
    return lower


def on_grid(values: NDArray[Any], grid: float) -> NDArray[np.float64]:
    """Round to the nearest multiple of the grid, halves to even."""
    return np.asarray(np.rint(values.astype(np.float64) / grid) * grid)
