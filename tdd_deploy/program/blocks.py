"""Large arrays in blocks of rows, so that no temporary array is as large as the weights.

A function that takes a whole array at once needs several times its memory: for a copy in float64, for magnitudes, for
a mask. Results are bit for bit the same: rows stay whole, and sums over everything are paired as numpy pairs them.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK = 1 << 19  # numbers: 4 MiB in float64
ROWS = 64  # blocks have multiples of this many rows: the loops of BLAS take several rows at a time


def blocks(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Yield an array in blocks of whole rows, which are views; a single number is one block."""
    if array.ndim == 0:
        yield array
        return
    for rows in row_ranges(array):
        yield array[rows]


def row_ranges(array: NDArray[Any]) -> Iterator[slice]:
    """Yield the rows of each block of an array of one dimension or more."""
    at_once = max(1, BLOCK // max(1, array[:1].size) // ROWS) * ROWS
    for start in range(0, len(array), at_once):
        yield slice(start, start + at_once)


def row_magnitudes(weight: NDArray[Any]) -> NDArray[np.float64]:
    """Sum the magnitudes of each row ``[n_out, ...]`` in float64."""
    sums = [np.abs(part.astype(np.float64)).reshape(len(part), -1).sum(axis=1) for part in blocks(weight)]
    return np.concatenate([np.zeros(0), *sums])


def sum_in_pairs(size: int, part: Callable[[int, int], NDArray[np.float64]]) -> float:
    """Sum ``size`` numbers, which ``part(start, stop)`` computes, as numpy sums one array of them: to the same bit."""

    def between(start: int, stop: int) -> float:
        n = stop - start
        if n <= BLOCK:
            return float(part(start, stop).sum())
        half = n // 2 - n // 2 % 8  # as in pairwise_sum of numpy's loops
        return between(start, start + half) + between(start + half, stop)

    return between(0, size)
