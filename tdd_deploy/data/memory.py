"""An array in memory as a table of samples."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

PIECE = 1 << 24  # bytes hashed at once, if they have to be copied


@dataclass(frozen=True, eq=False, kw_only=True)
class InMemory:
    """An array ``[N, ...]`` as a table of samples (``source.Table``) with one field; the array is not copied."""

    name: str  # of the field
    values: npt.NDArray[Any] = field(repr=False)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of one sample."""
        return np.dtype([(self.name, self.values.dtype, self.values.shape[1:])])

    def read(self, start: int, stop: int, size: int) -> Iterator[npt.NDArray[Any]]:
        """Yield the samples from ``start`` to ``stop``, ``size`` at a time."""
        for first in range(start, stop, size):
            block = np.empty(min(size, stop - first), self.dtype)
            block[self.name] = self.values[first : first + len(block)]
            yield block

    @property
    def sha256(self) -> str:
        """The SHA-256 of the array's bytes in C order."""
        digest = hashlib.sha256()
        n_at_once = max(1, PIECE // self.dtype.itemsize)
        for first in range(0, len(self.values), n_at_once):
            piece = np.ascontiguousarray(self.values[first : first + n_at_once])
            digest.update(piece.reshape(-1).view(np.uint8).data)
        return digest.hexdigest()
