"""Where the machine code of the engine is kept between processes."""

import os
from dataclasses import dataclass
from pathlib import Path

from . import loading  # noqa: F401  (before numba)
from .kernels import run as kernels


@dataclass(frozen=True)
class Cache:
    """The folder of numba's cache; None if numba finds none that it can write."""

    folder: Path | None
    n_compiled: int  # versions of the loops: for floats, for integers, for other processors


def examine_cache() -> Cache:
    """Look at the cache; nothing is compiled."""
    path = kernels.cache_folder()
    if path is None or not os.access(path if path.exists() else path.parent, os.W_OK):
        return Cache(None, 0)
    return Cache(path, len(list(path.glob(f"{Path(kernels.__file__).stem}.*.nbc"))))
