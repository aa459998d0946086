"""iniVation's .aedat4, written byte by byte."""

import struct
from collections.abc import Iterable
from pathlib import Path

import lz4.frame
import zstandard

Event = tuple[int, int, int, int]  # t (us), x, y, p
VERSION = b"#!AER-DAT4.0\r\n"
PACK = (
    lambda data: data,
    lz4.frame.compress,
    lambda data: lz4.frame.compress(data, compression_level=9),
    lambda data: zstandard.compress(data, 1),
    lambda data: zstandard.compress(data, 19),
)
OTHER = b"not read"


def xml(streams: dict[int, tuple[str, int, int]]) -> str:
    nodes = "".join(
        f'<node name="{number}" path="/{number}/"><attr key="typeIdentifier" type="string">{kind}</attr>'
        f'<attr key="originalOutputName" type="string">events</attr><node name="info" path="/{number}/info/">'
        f'<attr key="sizeX" type="int">{width}</attr><attr key="sizeY" type="int">{height}</attr></node></node>'
        for number, (kind, width, height) in streams.items()
    )
    return f'<dv version="2.0"><node name="outInfo" path="/outInfo/">{nodes}</node></dv>'


def prefixed(data: bytes) -> bytes:
    return struct.pack("<I", len(data)) + data


def event_packet(events: Iterable[Event]) -> bytes:
    """A buffer of one table with one vector of structs."""
    structs = b"".join(struct.pack("<qhhB3x", *event) for event in events)
    # 0: offset of the table, identifier; 8: vtable of 6 bytes and 2 of padding; 16: table; 24: vector
    table = struct.pack("<i", 16 - 8) + struct.pack("<I", 24 - 20)
    body = struct.pack("<I4s", 16, b"EVTS") + struct.pack("<HHHxx", 6, 8, 4) + table
    return prefixed(body + struct.pack("<I", len(structs) // 16) + structs)


def header(compression: int, table_position: int, text: str) -> bytes:
    """The header, whose fields are: compression, place of the table of packets, streams."""
    node = prefixed(text.encode())
    table = struct.pack("<iiqI", 20 - 8, compression, table_position, 40 - 36) + bytes(0)
    body = struct.pack("<I4s", 20, b"IOHE") + struct.pack("<HHHHHxx", 10, 20, 4, 8, 16) + table
    return prefixed(body + node)


def packet(data: bytes, *, stream: int = 0) -> bytes:
    return struct.pack("<ii", stream, len(data)) + data


def write_aedat4(
    path: Path,
    packets: Iterable[Iterable[Event]],
    *,
    compression: int = 0,
    streams: dict[int, tuple[str, int, int]] | None = None,
    text: str | None = None,
    table: bytes | None = b"table of packets",
) -> Path:
    """Write packets of events as stream 0, each followed by one of stream 1, and the table of packets."""
    pack = PACK[compression]
    text = xml(streams or {0: ("EVTS", 346, 260), 1: ("FRME", 346, 260)}) if text is None else text
    body = b"".join(packet(pack(event_packet(events))) + packet(OTHER, stream=1) for events in packets)
    start = len(VERSION) + len(header(compression, 0, text))
    place = -1 if table is None else start + len(body)
    path.write_bytes(VERSION + header(compression, place, text) + body + (table or b""))
    return path
