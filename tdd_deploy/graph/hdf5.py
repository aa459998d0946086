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
DEEPEST = 8  # node, nodes, the node, its metadata: half of it


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


def holds_texts_and_numbers(group: h5py.Group, *, depth: int = 0) -> bool:
    """Say whether a group holds nothing but groups, texts and numbers, all of them in this file."""
    return depth < DEEPEST and all(
        isinstance(group.get(name, getlink=True), h5py.HardLink) and _is_plain(group[name], depth) for name in group
    )


def _is_plain(item: h5py.Group | h5py.Dataset | h5py.Datatype, depth: int) -> bool:
    if isinstance(item, h5py.Group):
        return holds_texts_and_numbers(item, depth=depth + 1)
    if not isinstance(item, h5py.Dataset) or item.is_virtual or item.external:
        return False
    return item.dtype.kind in "biufS" or h5py.check_string_dtype(item.dtype) is not None
