"""iniVation's .aedat4 (AEDAT 4.0): a header, then packets of several streams, each compressed on its own.

The header and the packets are FlatBuffers. A packet of events (EVTS) holds structs of 16 bytes: the time in us since
1970, column, row and polarity. Packets of other types, such as frames, are skipped and counted.
"""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import NoReturn

import numpy as np

from tdd_deploy.errors import BadFile

from .aedat4_streams import Stream, read_streams
from .compression import COMPRESSIONS, Unpacked
from .events import Recording, Sensor
from .flatbuffer import DamagedBufferError, Table
from .raw_file import joined
from .records import REMEDY, reading

VERSION = b"#!AER-DAT4.0\r\n"
EVENT = np.dtype(
    {"names": ["t", "x", "y", "p"], "formats": ["<i8", "<i2", "<i2", "u1"], "offsets": [0, 8, 10, 12], "itemsize": 16}
)
COMPRESSION, TABLE_POSITION, INFO_NODE = 0, 1, 2  # fields of the header
ELEMENTS = 0  # of a packet of events
LONGEST_HEADER = 1 << 20  # bytes
PACKET = struct.Struct("<iI")  # number of the stream, bytes


@dataclass(frozen=True, eq=False, kw_only=True)
class Aedat4:
    """A recording (``events.Recordings``) with what the header states."""

    path: Path
    start: int  # byte of the first packet
    stop: int  # byte after the last one
    compression: str
    stream: Stream
    left_out: dict[int, int] = field(default_factory=dict)  # packets of other streams, by the last reading

    @property
    def sensor(self) -> Sensor:
        """Pixels of the camera."""
        return self.stream.sensor

    def ignored(self) -> str:
        """Describe the packets that hold no events."""
        return f"{sum(self.left_out.values()):,} packets of other streams" if self.left_out else ""

    def read(self, start: int, stop: int) -> Iterator[Recording]:
        """Yield the recording as sample 0.

        Raises:
            BadFile: the file is cut short, or a packet is damaged or unpacks to more than a packet may hold.
            MissingDependency: the package of the compression is not installed.
        """
        if start < stop:
            with reading(self.path), self.path.open("rb") as stream:
                parts = [*self._parts(stream)]
            yield joined(parts)

    def _parts(self, stream: BufferedReader) -> Iterator[Recording]:
        unpacked = Unpacked(path=self.path, compression=self.compression, n_bytes=self.stop)
        self.left_out.clear()
        at = stream.seek(self.start)
        while at < self.stop:
            head = stream.read(min(PACKET.size, self.stop - at))
            number, size = PACKET.unpack(head) if len(head) == PACKET.size else (0, 0)
            end = at + PACKET.size + size
            if len(head) < PACKET.size or end > self.stop:
                _refuse(self.path, f"ends within the packet that begins at byte {at:,}")
            if number == self.stream.number:
                yield self._events(unpacked.unpack(stream.read(size), at), at)
            else:
                self.left_out[number] = self.left_out.get(number, 0) + 1
                stream.seek(end)
            at = end

    def _events(self, data: bytes, at: int) -> Recording:
        try:
            elements = Table.root(data, b"EVTS").vector(ELEMENTS, EVENT.itemsize)
        except DamagedBufferError as error:
            _refuse(self.path, f"has a damaged packet at byte {at:,}: {error}")
        events = np.frombuffer(elements, EVENT)
        return Recording(t=events["t"], x=events["x"], y=events["y"], p=events["p"])


def open_aedat4(path: Path) -> Aedat4:
    """Read the header of an .aedat4.

    Raises:
        BadFile: it is of another version, damaged, or states not exactly one stream of events with its size.
    """
    with reading(path), path.open("rb") as stream:
        n_bytes = os.fstat(stream.fileno()).st_size
        if (version := stream.read(len(VERSION))) != VERSION:
            found = f"begins with {version!r}, not {VERSION!r}"
            raise BadFile(path, found, "record or convert it as AEDAT 4.0")
        size = stream.read(4)
        stated = int.from_bytes(size, "little")
        if stated > min(LONGEST_HEADER, n_bytes - stream.tell()):
            _refuse(path, f"states a header of {stated:,} bytes in a file of {n_bytes:,}")
        data = size + stream.read(stated)
        start = stream.tell()
    try:
        header = Table.root(data, b"IOHE")
        compression = header.number(COMPRESSION, "<i", 0)
        table = header.number(TABLE_POSITION, "<q", -1)
        text = bytes(header.vector(INFO_NODE, 1))
    except DamagedBufferError as error:
        _refuse(path, f"has a damaged header: {error}")
    if not 0 <= compression < len(COMPRESSIONS):
        known = ", ".join(COMPRESSIONS)
        _refuse(path, f"states compression {compression}, not 0 to {len(COMPRESSIONS) - 1} ({known})")
    if table != -1 and not start <= table <= n_bytes:
        _refuse(path, f"states its table of packets at byte {table:,}, outside {start:,} to {n_bytes:,}")
    return Aedat4(
        path=path,
        start=start,
        stop=n_bytes if table == -1 else table,
        compression=COMPRESSIONS[compression],
        stream=_only(path, read_streams(path, text)),
    )


def _only(path: Path, streams: list[Stream]) -> Stream:
    """Return the one stream of events."""
    if len(streams) == 1:
        return streams[0]
    if not streams:
        raise BadFile(path, "holds no stream of events (EVTS)", "record the events of the camera")
    found = ", ".join(f"{each.number} ({each.name}, {each.sensor.width} x {each.sensor.height})" for each in streams)
    raise BadFile(path, f"holds {len(streams)} streams of events: {found}", "save one of them in a file of its own")


def _refuse(path: Path, found: str) -> NoReturn:
    raise BadFile(path, found, REMEDY)
