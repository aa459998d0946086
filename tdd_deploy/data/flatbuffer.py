"""The part of FlatBuffers that AEDAT4 needs. Every offset of a file is checked before it is followed."""

import struct
from dataclasses import dataclass
from typing import Self

PREFIX = 4  # bytes that state the size of a buffer


class DamagedBufferError(ValueError):
    """A buffer holds an offset or a size that leads out of it."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of fields, each found by its number in the schema."""

    data: bytes
    at: int
    entries: tuple[int, ...]  # for each field its place from ``at`` on; 0: not stated

    @classmethod
    def root(cls, data: bytes, identifier: bytes) -> Self:
        """Find the table of a buffer with its size before it.

        Raises:
            DamagedBufferError: the size, the identifier or an offset is wrong.
        """
        size = _number(data, 0, "<I")
        if size != len(data) - PREFIX:
            raise DamagedBufferError(f"it holds {len(data) - PREFIX:,} bytes and states {size:,}")
        if (found := data[8:12]) != identifier:
            raise DamagedBufferError(f"it is of type {found!r}, not {identifier!r}")
        at = PREFIX + _number(data, PREFIX, "<I")
        fields = at - _number(data, at, "<i")
        n_bytes = _number(data, fields, "<H")
        n_entries = max(0, n_bytes // 2 - 2)
        _check(data, fields, 4 + 2 * n_entries)
        return cls(data=data, at=at, entries=struct.unpack_from(f"<{n_entries}H", data, fields + 4))

    def number(self, field: int, form: str, default: int) -> int:
        """Read an integer by its ``struct`` form."""
        place = self._place(field)
        return default if place is None else _number(self.data, place, form)

    def vector(self, field: int, size: int) -> memoryview:
        """Return the bytes of a vector of parts of ``size`` bytes; empty without it."""
        place = self._place(field)
        if place is None:
            return memoryview(b"")
        place += _number(self.data, place, "<I")
        n_bytes = _number(self.data, place, "<I") * size
        _check(self.data, place + 4, n_bytes)
        return memoryview(self.data)[place + 4 : place + 4 + n_bytes]

    def _place(self, field: int) -> int | None:
        entry = self.entries[field] if field < len(self.entries) else 0
        return self.at + entry if entry else None


def _check(data: bytes, at: int, size: int) -> None:
    if not 0 <= at <= len(data) - size:
        raise DamagedBufferError(f"an offset leads to byte {at:,} of {len(data):,}")


def _number(data: bytes, at: int, form: str) -> int:
    _check(data, at, struct.calcsize(form))
    (value,) = struct.unpack_from(form, data, at)
    return int(value)
