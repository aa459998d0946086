"""Large arrays as a part of serialized messages of protobuf, without a copy of them in between.

protobuf copies an array into a message, each message into the one around it, and all of it into bytes. So a message is
built with a token in place of each large array, and the arrays are put in when it is written. The bytes are the same.
"""

import io
import secrets
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from tdd_deploy.program.blocks import blocks

LARGE = 1 << 16  # bytes of an array, from which on it is put in later
LENGTH_DELIMITED, VARINT = 2, 0
FIXED = {1: 8, 5: 4}  # bytes of the wire types of fixed size

Array = NDArray[Any]
Part = bytes | Array


def token() -> bytes:
    """Make a token that no message holds by chance, or on purpose."""
    return secrets.token_bytes(32)


class Spliced:
    """A serialized message with arrays in place of their tokens.

    Args:
        message: the message with tokens.
        arrays: by token.
    """

    def __init__(self, message: bytes, arrays: Mapping[bytes, Array]) -> None:
        self._parts = list(_spliced(message, arrays))

    def write(self, file: BinaryIO) -> None:
        """Write the message."""
        for part in self._parts:
            if isinstance(part, bytes):
                file.write(part)
                continue
            for block in blocks(part):
                file.write(np.ascontiguousarray(block).data)

    def whole(self) -> bytes:
        """Return the message."""
        file = io.BytesIO()
        self.write(file)
        return file.getvalue()


def _spliced(message: bytes, arrays: Mapping[bytes, Array]) -> Iterator[Part]:
    """Yield the parts of a message, the lengths of everything that grows corrected."""
    for tag, kind, payload in _fields(message):
        if kind != LENGTH_DELIMITED:
            yield tag + payload
            continue
        parts: list[Part] = [payload]
        if payload in arrays:
            parts = [arrays[payload]]
        elif any(each in payload for each in arrays):
            parts = list(_spliced(payload, arrays))
        yield tag + _varint(sum(part.nbytes if isinstance(part, np.ndarray) else len(part) for part in parts))
        yield from parts


def _fields(message: bytes) -> Iterator[tuple[bytes, int, bytes]]:
    """Yield tag, wire type and payload of each field; the payload is without its length."""
    at = 0
    while at < len(message):
        start, (tag, at) = at, _read_varint(message, at)
        kind, begin = tag & 7, at
        if kind == LENGTH_DELIMITED:
            length, begin = _read_varint(message, at)
            end = begin + length
        else:
            end = _read_varint(message, at)[1] if kind == VARINT else at + FIXED[kind]
        yield message[start:at], kind, message[begin:end]
        at = end


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    """Read a number of seven bits per byte, the lowest first; return it and where the next field begins."""
    number, shift = 0, 0
    while True:
        byte = message[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return number, at


def _varint(number: int) -> bytes:
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])
