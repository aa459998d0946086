"""Weights divided by everything but their receiver's scale, computed in float64 block by block."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from tdd_deploy.program.blocks import blocks, row_ranges, sum_in_pairs
from tdd_deploy.program.nodes import Array

from .loihi_numbers import Float64Array, rounded


@dataclass(frozen=True, eq=False)
class Unscaled:
    """``values / divisor``; ``values`` have channels first."""

    values: Array
    divisor: float

    def largest(self, axis: int | None) -> Float64Array:
        """Find the largest magnitude, of all or per channel."""
        if axis is None:
            return np.asarray(max(float(np.abs(self._of(part)).max()) for part in blocks(self.values)))
        rows = (np.abs(self._of(part)).reshape(len(part), -1) for part in blocks(self.values))
        return np.concatenate([each.max(axis=1) for each in rows])

    def rounded(self, scale: Float64Array, bits: int) -> Array:
        """Multiply by a scale, one or one per channel, and round; the array is read-only."""
        whole = np.empty(self.values.shape, np.int32)
        if not self.values.ndim:
            whole[...] = rounded(self._of(self.values) * scale, bits)
        for rows, factor in self._rows(scale):
            whole[rows] = rounded(self._of(self.values[rows]) * factor, bits)
        whole.setflags(write=False)
        return whole

    def sum(self, of: Callable[[Float64Array, Float64Array], Float64Array], scale: Float64Array) -> float:
        """Sum a function of the weights and their scales over all weights."""
        flat = self.values.reshape(-1)
        per_channel = flat.size // max(1, scale.size)

        def part(start: int, stop: int) -> Float64Array:
            at = scale[np.arange(start, stop) // per_channel] if scale.ndim else scale
            return of(self._of(flat[start:stop]), at)

        return sum_in_pairs(flat.size, part)

    def sums(
        self, of: Callable[[Float64Array, Float64Array], Float64Array], scale: Float64Array, axis: int | None
    ) -> Float64Array:
        """Sum a function of the weights and their scales over all weights, or per channel."""
        if axis is None:
            return np.asarray(self.sum(of, scale))
        parts = [of(self._of(self.values[rows]), factor) for rows, factor in self._rows(scale)]
        return np.concatenate([part.reshape(len(part), -1).sum(axis=-1) for part in parts])

    def _rows(self, scale: Float64Array) -> Iterator[tuple[slice, Float64Array]]:
        """Yield blocks of rows with their scales."""
        for rows in row_ranges(self.values) if self.values.ndim else ():
            yield rows, scale[rows].reshape(-1, *[1] * (self.values.ndim - 1)) if scale.ndim else scale

    def _of(self, values: Array) -> Float64Array:
        return np.asarray(values.astype(np.float64) / self.divisor)
