"""Prophesee's .raw: lines of text that begin with %, then words of EVT2 or EVT3 (``prophesee``)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import NoReturn

import numpy as np

from tdd_deploy.errors import BadFile

from .events import FIELDS, Recording, Sensor
from .prophesee import DECODERS, Decoder
from .records import REMEDY, ByteStream, reading

WORDS_AT_ONCE = 1 << 16
LONGEST_HEADER = 1 << 16  # bytes
LONGEST_LINE = 1 << 12
GEOMETRY = re.compile(r"(\d{1,9})x(\d{1,9})")
ADD_SIZE = "write the line % geometry WIDTHxHEIGHT into its header, after the first line"


@dataclass(frozen=True, kw_only=True)
class Header:
    """What the lines of text state."""

    format: str  # EVT2 or EVT3
    sensor: Sensor
    n_bytes: int


@dataclass(frozen=True, eq=False, kw_only=True)
class RawFile:
    """A recording (``events.Recordings``) with its header."""

    path: Path
    header: Header
    left_out: list[str] = field(default_factory=lambda: [""])  # by the last reading

    @property
    def sensor(self) -> Sensor:
        """Pixels of the camera."""
        return self.header.sensor

    def ignored(self) -> str:
        """Describe the words that became no event."""
        return self.left_out[0]

    def read(self, start: int, stop: int) -> Iterator[Recording]:
        """Yield the recording as sample 0.

        Raises:
            BadFile: the file ends within a word, or holds no time.
        """
        if start < stop:
            yield self._read()

    def _read(self) -> Recording:
        decoder: Decoder = DECODERS[self.header.format]()
        with reading(self.path), self.path.open("rb") as stream:
            stream.seek(self.header.n_bytes)
            parts = [decoder.decode(words) for words in self._words(stream, decoder)]
        self.left_out[0] = str(decoder.ignored)
        return joined(parts)

    def _words(self, stream: ByteStream, decoder: Decoder) -> Iterator["np.ndarray[tuple[int], np.dtype[np.generic]]"]:
        size, at = decoder.word.itemsize, self.header.n_bytes
        while piece := stream.read(WORDS_AT_ONCE * size):
            if rest := len(piece) % size:
                where = at + len(piece) - rest
                word = f"a word of {size} bytes, which begins at byte {where:,}"
                raise BadFile(self.path, f"ends after {rest} of {word}", REMEDY)
            yield np.frombuffer(piece, decoder.word)
            at += len(piece)


def joined(parts: list[Recording]) -> Recording:
    """Join parts of a recording, and sort its events by time; events of one time keep their order."""
    columns = {name: [getattr(part, name) for part in parts] for name in FIELDS}
    empty = Recording(t=np.zeros(0, np.int64), **dict.fromkeys("xyp", np.zeros(0, np.uint16)))
    whole = Recording(**{name: np.concatenate(arrays) for name, arrays in columns.items()}) if parts else empty
    if (whole.t[1:] >= whole.t[:-1]).all():
        return whole
    order = np.argsort(whole.t, kind="stable")
    return Recording(**{name: getattr(whole, name)[order] for name in FIELDS})


def open_raw(path: Path) -> RawFile:
    """Read the header of a .raw.

    Raises:
        BadFile: there is no header, its format is neither EVT2 nor EVT3, or it states no size.
    """
    with reading(path), path.open("rb") as stream:
        lines = _lines(path, stream)
        n_bytes = stream.tell()
    if not lines:
        _refuse(path, "has no header: its first line does not begin with %", REMEDY)
    fields: dict[str, str] = {}
    for line in lines:
        key, _, value = line.strip().partition(" ")
        fields.setdefault(key.lower(), value.strip())
    form, *properties = fields.get("format", "").split(";")
    stated = dict(each.lower().partition("=")[::2] for each in properties)
    version = fields.get("evt", "")
    form = form.upper() or {"2.0": "EVT2", "3.0": "EVT3"}.get(version, f"EVT {version}" if version else "")
    if form not in DECODERS:
        remedy = "record or convert it as EVT3 or EVT2"
        _refuse(path, f"is of format {form}, not EVT2 or EVT3" if form else "states no format in its header", remedy)
    if version and form[3:] != version.partition(".")[0]:
        _refuse(path, f"states two formats in its header, {form} and EVT {version}", REMEDY)
    if fields.get("endianness", "little") != "little":
        _refuse(path, f"has words that are {fields['endianness']}-endian", "convert it to little-endian words")
    return RawFile(path=path, header=Header(format=form, sensor=_sensor(path, stated, fields), n_bytes=n_bytes))


def _lines(path: Path, stream: BufferedReader) -> list[str]:
    """Read the lines that begin with %, and leave the stream at the first word."""
    lines: list[str] = []
    size = 0
    while (at := stream.tell()) is not None and stream.read(2) == b"% ":
        line = stream.readline(LONGEST_LINE)
        size += 2 + len(line)
        if not line.endswith(b"\n") or size > LONGEST_HEADER:
            _refuse(path, f"has a header that does not end, at byte {at:,}", REMEDY)
        lines.append(line.decode("latin-1"))
        if lines[-1].strip() == "end":
            return lines
    stream.seek(at)
    return lines


def _sensor(path: Path, stated: dict[str, str], fields: dict[str, str]) -> Sensor:
    """Find the size of the sensor: in the line of the format, in a line of its own, or in two."""
    geometry = GEOMETRY.fullmatch(fields.get("geometry", ""))
    width, height = geometry.groups() if geometry else ("", "")
    sizes = {
        (each["width"], each["height"])
        for each in (stated, fields, {"width": width, "height": height})
        if each.get("width") and each.get("height")
    }
    if len(sizes) > 1:
        found = " and ".join(sorted(f"{width} x {height}" for width, height in sizes))
        _refuse(path, f"states two sizes of its sensor, {found}", "leave one of them in its header")
    if not sizes:
        _refuse(path, "states no size of its sensor", ADD_SIZE)
    ((width, height),) = sizes
    if not all(re.fullmatch(r"[0-9]{1,9}", size) for size in (width, height)):
        _refuse(path, f"states the size of its sensor as {width} x {height}", ADD_SIZE)
    return Sensor(height=int(height), width=int(width))


def _refuse(path: Path, found: str, remedy: str) -> NoReturn:
    raise BadFile(path, found, remedy)
