"""The damages that the HDF5 library does not survive, looked for before it meets them.

It reads a heap with an entry of no size forever, and dies of a sequence where a text should be.
Source: HDF5 File Format Specification 3.0, section III.E, global heap.
"""

import mmap
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from tdd_deploy.errors import BadFile, TddDeployError

COLLECTION = re.compile(rb"GCOL\x01\0\0\0")
SIZE = struct.Struct("<Q")
ENTRY = struct.Struct("<HHIQ")  # index, references, reserved, size
SMALL = 64 << 20  # bytes that any file may hold
COMPRESSED = 200  # times the size of a file: the bytes that may come out of it
DEEPEST = 64  # a graph in a graph takes two


def has_whole_heaps(path: Path) -> bool:
    """Say whether the entries of every global heap of a file, not empty, end where the heap does."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return all(_is_whole(content, match.start()) for match in COLLECTION.finditer(content))


def _is_whole(content: mmap.mmap, start: int) -> bool:
    header = len(b"GCOL") + 4 + SIZE.size
    if start + header > len(content):
        return False
    (size,) = SIZE.unpack_from(content, start + header - SIZE.size)
    place, end = start + header, start + size
    if end > len(content):
        return False
    while place + ENTRY.size <= end:
        index, _, _, size = ENTRY.unpack_from(content, place)
        step = size if index == 0 else ENTRY.size + (size + 7) // 8 * 8  # index 0: the room that is left
        if not 0 < step <= end - place:
            return False
        place += step
    return True


@contextmanager
def opened(path: Path, *, remedy: str) -> Iterator[h5py.File]:
    """Open an HDF5 file that nobody vouches for; whatever goes wrong, also while it is read, becomes BadFile.

    Raises:
        BadFile: it is damaged, holds more than groups, texts and numbers, or unpacks to far more than its size.
    """
    if not has_whole_heaps(path):
        raise BadFile(path, "is damaged (a heap of texts does not end)", "write it again")
    try:
        with h5py.File(path, "r") as file:
            size = n_bytes(file)
            if size is None:
                found = "holds more than groups, texts and numbers, links to other files, or is nested too deeply"
                raise BadFile(path, found, remedy)
            if size > max(SMALL, COMPRESSED * path.stat().st_size):
                raise BadFile(path, f"unpacks to {size:,} bytes, {COMPRESSED} times its size and more", remedy)
            yield file
    except TddDeployError:
        raise
    except Exception as error:  # h5py raises anything on a damaged file
        raise BadFile(path, f"is damaged ({reason(error)})", "write it again") from error


def reason(error: Exception) -> str:
    """Return what a library said of a damaged file, in a line."""
    first_line = str(error).partition("\n")[0]
    return f"{type(error).__name__}: {first_line}" if first_line else type(error).__name__


def n_bytes(group: h5py.Group, *, depth: int = 0, seen: set[int] | None = None) -> int | None:
    """Return how many bytes the numbers of a group take; None unless it holds nothing but groups, texts and numbers.

    Each must be in this file, and be named once: links that repeat a group would repeat it without an end.
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
        size = n_bytes(item, depth=depth + 1, seen=seen) if isinstance(item, h5py.Group) else _plain_bytes(item)
        if size is None:
            return None
        total += size
    return total


def _plain_bytes(item: h5py.Dataset | h5py.Datatype) -> int | None:
    if not isinstance(item, h5py.Dataset) or item.is_virtual or item.external:
        return None
    is_plain = item.dtype.kind in "biufS" or h5py.check_string_dtype(item.dtype) is not None
    return int(item.size or 0) * item.dtype.itemsize if is_plain else None
