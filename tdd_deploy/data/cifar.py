"""The binary version of CIFAR-10 and CIFAR-100: label bytes, then 3072 bytes of red, green and blue."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from tdd_deploy.errors import BadFile

from .records import REMEDY, Records, open_file, reading
from .source import Source

IMAGE = ("x", "u1", (3, 32, 32))
RECORD_10 = np.dtype([("y", "u1"), IMAGE])
RECORD_100 = np.dtype([("coarse", "u1"), ("y", "u1"), IMAGE])


def open_cifar10(name: str, *files: Path) -> Source:
    """Open the images ``[3, 32, 32]`` and the 10 labels of CIFAR-10 files, read as one, not yet split.

    Raises:
        BadFile: a file is not whole records.
    """
    return _open(name, files, RECORD_10, n_classes=10)


def open_cifar100(name: str, *files: Path) -> Source:
    """Open the images ``[3, 32, 32]`` and the 100 fine labels of a CIFAR-100 file, not yet split.

    Raises:
        BadFile: the file is not whole records.
    """
    return _open(name, files, RECORD_100, n_classes=100)


def _open(name: str, files: Sequence[Path], record: np.dtype[np.void], *, n_classes: int) -> Source:
    n = sum(_n_records(path, record.itemsize) for path in files)
    parts = tuple(partial(open_file, path) for path in files)
    return Source(
        name=name,
        split="all",
        n_samples=n,
        n_classes=n_classes,
        files=tuple(files),
        stored="uint8",
        scale=2.0**-8,
        scale_from="pixels of bytes are k/256",
        tables=(Records(path=files[0].parent, parts=parts, n=n, dtype=record),),
    )


def _n_records(path: Path, n_bytes: int) -> int:
    with reading(path), open_file(path):  # opened, since a directory has a size too
        size = path.stat().st_size
    if size % n_bytes:
        raise BadFile(path, f"holds {size} bytes, not whole records of {n_bytes}", REMEDY)
    return size // n_bytes
