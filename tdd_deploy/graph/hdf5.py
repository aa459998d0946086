"""The damages that the HDF5 library does not survive, looked for before it meets them.

It reads a heap with an entry of no size forever, and dies of a sequence where a text should be.
Source: HDF5 File Format Specification 3.0, section III.E, global heap.
"""

import mmap
import re
import struct
from pathlib import Path

import h5py

COLLECTION = re.compile(rb"GCOL\x01\0\0\0")
SIZE = struct.Struct("<Q")
ENTRY = struct.Struct("<HHIQ")  # index, references, reserved, size
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
