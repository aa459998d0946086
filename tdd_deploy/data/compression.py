"""Packets of an .aedat4 as they were before compression, within limits."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from tdd_deploy.errors import BadFile, MissingDependency

from .records import REMEDY

COMPRESSIONS = ("NONE", "LZ4", "LZ4_HIGH", "ZSTD", "ZSTD_HIGH")  # by their number in the header
LARGEST_PACKET = 1 << 26  # bytes: 4 million events
LARGEST_FILE = 1 << 28  # bytes of all packets; or
TIMES = 64  # this number of times the bytes of the file
WINDOW = 1 << 27  # bytes of zstd's memory
EXTRA = "'tdd-deploy[aedat]'"
Method: TypeAlias = tuple[Callable[[bytes], bytes], tuple[type[Exception], ...]]  # a function, and what it raises


@dataclass(kw_only=True)
class Unpacked:
    """Unpacks one packet after another, and counts their bytes."""

    path: Path
    compression: str
    n_bytes: int  # of the file
    total: int = 0

    def unpack(self, data: bytes, at: int) -> bytes:
        """Unpack a packet that begins at byte ``at``.

        Raises:
            BadFile: the packet is damaged, or it or the file holds more bytes than the limits allow.
            MissingDependency: the package of the compression is not installed.
        """
        unpacked = data if self.compression == "NONE" else self._decompressed(data, at)
        if len(unpacked) > LARGEST_PACKET:
            found = f"has a packet of more than {LARGEST_PACKET:,} bytes at byte {at:,}"
            raise BadFile(self.path, found, "record it in smaller packets")
        self.total += len(unpacked)
        if self.total > (most := max(LARGEST_FILE, TIMES * self.n_bytes)):
            found = f"unpacks to more than {most:,} bytes"
            raise BadFile(self.path, found, "split the recording")
        return unpacked

    def _decompressed(self, data: bytes, at: int) -> bytes:
        """Unpack until the end, or until the packet is too large."""
        unpack, damage = _zstd(self.path) if self.compression.startswith("ZSTD") else _lz4(self.path)
        try:
            return unpack(data)
        except damage as error:
            found = f"has a packet at byte {at:,} that {self.compression} cannot unpack"
            raise BadFile(self.path, found, REMEDY) from error


def _lz4(path: Path) -> Method:
    try:
        import lz4.frame  # noqa: PLC0415  (optional)
    except ImportError as error:
        raise MissingDependency("lz4", str(path), EXTRA) from error

    def unpack(data: bytes) -> bytes:
        return bytes(lz4.frame.LZ4FrameDecompressor().decompress(data, max_length=LARGEST_PACKET + 1))

    return unpack, (RuntimeError, EOFError, ValueError)


def _zstd(path: Path) -> Method:
    try:
        import zstandard  # noqa: PLC0415  (optional)
    except ImportError as error:
        raise MissingDependency("zstandard", str(path), EXTRA) from error

    def unpack(data: bytes) -> bytes:
        with zstandard.ZstdDecompressor(max_window_size=WINDOW).stream_reader(data) as stream:
            return stream.read(LARGEST_PACKET + 1)

    return unpack, (zstandard.ZstdError, MemoryError)
