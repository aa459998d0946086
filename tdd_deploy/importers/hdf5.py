"""HDF5 files that nobody vouches for.

On a damaged file the HDF5 library can loop forever, die, or ask for all memory, and no exception comes back. So a file
is read twice, the first time by a process that may end (``probe.py``).
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import h5py

from tdd_deploy.errors import BadFile, TddDeployError
from tdd_deploy.memory import ran_out, reserve

from .probe import probe, reason

SMALL = 64 << 20  # bytes that any file may hold
COMPRESSED = 200  # the bytes that may come out of a file, as a multiple of its size
SECONDS = 5  # of CPU time that reading a file may take, and one more for each of these bytes:
BYTES_PER_SECOND = 10 << 20
MEMORY = 512 << 20  # bytes that reading a file may take, or this multiple of its size if that is more:
TIMES = 8
READING = 64 << 20  # bytes that reading even a small file may take; less than that says nothing about the file
AT_ONCE = 4 << 20  # bytes that are read at once
DEEPEST = 64  # a graph in a graph takes two


SIGNATURE = b"\x89HDF\r\n\x1a\n"
HEADER = 64  # bytes, more than the superblock of a file needs
END_AT = {0: 40, 1: 44, 2: 28, 3: 28}  # where the superblock of each version stores the length of its file
NO_ADDRESS = 2**63  # larger numbers cannot be lengths of files
IS_OPEN = 0b101  # flags in a superblock of version 3: a program is writing


@contextmanager
def open_hdf5(path: Path, *, remedy: str) -> Iterator[h5py.File]:
    """Open a file; whatever goes wrong, also while it is read, becomes BadFile.

    Raises:
        BadFile: it is damaged, holds more than groups, texts and numbers, or unpacks to far more than its size.
    """
    if found := find_missing_end(path):
        raise BadFile(path, found, "write or copy it again")
    if found := find_fault(path):
        raise BadFile(path, f"is damaged ({found})", "write it again")
    try:
        with h5py.File(path, "r") as file:
            size = count_bytes(file)
            if size is None:
                found = "holds more than groups, texts and numbers, has links to other files, or is nested too deeply"
                raise BadFile(path, found, remedy)
            if size > _most(path):
                raise BadFile(path, f"unpacks to {size:,} bytes, more than {COMPRESSED} times its size", remedy)
            yield file
    except TddDeployError:
        raise
    except Exception as error:  # h5py raises anything on a damaged file
        if ran_out(error):
            raise
        raise BadFile(path, f"is damaged ({reason(error)})", "write it again") from error


def find_missing_end(path: Path) -> str:
    """Describe how an HDF5 file is incomplete, by its superblock; empty if it is complete.

    Source: HDF5 File Format Specification 3.0, II.A.
    """
    with path.open("rb") as file:
        header = file.read(HEADER)
    size = path.stat().st_size
    if not header.startswith(SIGNATURE):
        return ""
    if size < HEADER:
        return f"was half written: it ends after {size} bytes, within its header"
    version = header[8]
    if version == 3 and header[11] & IS_OPEN:
        return "is still being written, or the program that wrote it did not close it"
    start = END_AT.get(version, HEADER)
    end = int.from_bytes(header[start : start + 8], "little")  # 0 for an unknown version
    return f"was half written: it holds {size:,} of {end:,} bytes" if size < end < NO_ADDRESS else ""


def find_fault(path: Path) -> str:
    """Describe what would happen to a process that reads a file; empty if it survives.

    Raises:
        TooLittleMemory: a limit leaves too little to find out.
    """
    about = path.stat()
    reserve(READING + 3 * about.st_size, f"reading {path}")
    return _fault(path, about.st_size, about.st_mtime_ns)


@lru_cache(maxsize=64)
def _fault(path: Path, size: int, _changed: int) -> str:
    seconds, memory = SECONDS + size // BYTES_PER_SECOND, max(MEMORY, TIMES * size)
    return probe(lambda: _read_all(path), seconds=seconds, memory=memory)


def _read_all(path: Path) -> None:
    """Read everything in a file, with a part of one array in memory at a time."""
    with h5py.File(path, "r") as file:
        size = count_bytes(file)
        if size is not None and size <= _most(path):
            file.visititems(_read)


def _read(_name: str, item: h5py.Group | h5py.Dataset) -> None:
    if not isinstance(item, h5py.Dataset):
        return
    if not item.shape:
        item[()]
        return
    chunk = item.chunks[0] if item.chunks else 1  # rows that are packed together
    at_once = chunk * max(1, AT_ONCE // max(1, chunk * math.prod(item.shape[1:]) * item.dtype.itemsize))
    for start in range(0, len(item), at_once):
        item[start : start + at_once]


def _most(path: Path) -> int:
    """Compute how many bytes may come out of a file."""
    return max(SMALL, COMPRESSED * path.stat().st_size)


def count_bytes(group: h5py.Group, *, depth: int = 0, seen: set[int] | None = None) -> int | None:
    """Count the bytes of the numbers in a group; None if it holds more than groups, texts and numbers.

    Each must be in this file and be named once, since links that repeat a group would repeat it endlessly.
    """
    seen = set() if seen is None else seen
    total = 0
    for name in group:
        if depth >= DEEPEST or not isinstance(group.get(name, getlink=True), h5py.HardLink):
            return None
        item = group[name]
        address = h5py.h5o.get_info(item.id).addr
        if address in seen:
            return None
        seen.add(address)
        size = (
            count_bytes(item, depth=depth + 1, seen=seen) if isinstance(item, h5py.Group) else _count_plain_bytes(item)
        )
        if size is None:
            return None
        total += size
    return total


def _count_plain_bytes(item: h5py.Dataset | h5py.Datatype) -> int | None:
    if not isinstance(item, h5py.Dataset) or item.is_virtual or item.external:
        return None
    is_plain = item.dtype.kind in "biufS" or h5py.check_string_dtype(item.dtype) is not None
    return int(item.size or 0) * item.dtype.itemsize if is_plain else None
