"""Equal records after a header, read in order: idx, CIFAR, npy and bytes in memory are all of this form."""

import gzip
import os
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from io import BufferedReader
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from tdd_deploy.errors import BadFile
from tdd_deploy.files import is_special

PIECE = 1 << 20  # bytes asked for at once
REMEDY = "get or write it again"
DAMAGE = (  # what gzip, zipfile and the npy header reader raise on broken bytes
    OSError,
    EOFError,
    ValueError,
    TypeError,
    OverflowError,
    RuntimeError,
    SyntaxError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


class ByteStream(Protocol):
    """An open file, compressed or not."""

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes, none only at the end."""
        ...


Opener: TypeAlias = Callable[[], AbstractContextManager[ByteStream]]


def open_file(path: Path) -> AbstractContextManager[ByteStream]:
    """Open a file of bytes, and decompress it if its name ends in .gz."""
    return gzip.GzipFile(path) if path.suffix == ".gz" else path.open("rb")


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn the errors of file libraries into BadFile, and refuse a file that could block or never end."""
    if is_special(path):
        raise BadFile(path, "is a pipe or a device", "name a regular file")
    try:
        yield
    except DAMAGE as error:
        if (
            isinstance(error, OSError) and error.strerror
        ):  # the reason of the system: missing, a directory, not permitted
            raise BadFile(path, f"cannot be read: {error.strerror}", "name a file that can be read") from error
        raise BadFile(path, "is damaged, cut short or of another format", REMEDY) from error


@dataclass(frozen=True, kw_only=True)
class Records:
    """``n`` records of one structured dtype with the field ``x``, ``y`` or both.

    Several ``parts`` are read as one file; ``header`` bytes are skipped before the first record.
    """

    path: Path  # named in errors
    parts: tuple[Opener, ...]
    header: int = 0
    n: int
    dtype: np.dtype[Any]

    def read(self, start: int, stop: int, size: int) -> Iterator[npt.NDArray[Any]]:
        """Yield the records from ``start`` to ``stop``, ``size`` at a time; see ``between``."""
        return self.between([*range(start, stop, size), stop])

    def between(self, cuts: Sequence[int]) -> Iterator[npt.NDArray[Any]]:
        """Yield the records from each cut to the next; one block at a time is in memory.

        Raises:
            BadFile: the file is damaged, or holds fewer or more bytes than ``n`` records.
        """
        with reading(self.path), ExitStack() as stack:
            streams = [stack.enter_context(part()) for part in self.parts]
            self._skip(streams, self.header + cuts[0] * self.dtype.itemsize)
            for start, stop in pairwise(cuts):
                yield np.frombuffer(self._take(streams, (stop - start) * self.dtype.itemsize), self.dtype)
            # Looking past the end also lets gzip compare its checksum.
            if cuts[-1] == self.n and any(stream.read(1) for stream in streams):
                raise BadFile(self.path, f"holds more than {self.n} samples of {self.dtype.itemsize} bytes", REMEDY)

    def _skip(self, streams: Sequence[ByteStream], n_bytes: int) -> None:
        """Skip bytes: in a plain file by a jump, in others by reading them."""
        for stream in streams:
            if isinstance(stream, BufferedReader):
                n_bytes -= stream.seek(min(n_bytes, os.fstat(stream.fileno()).st_size))
            elif isinstance(stream, zipfile.ZipExtFile):  # from Python 3.12 on jumps in what is stored
                while n_bytes and (passed := -stream.tell() + stream.seek(min(PIECE, n_bytes), os.SEEK_CUR)):
                    n_bytes -= passed
            else:
                while n_bytes and (piece := stream.read(min(PIECE, n_bytes))):
                    n_bytes -= len(piece)
        if n_bytes:
            self._ends_early()

    def _take(self, streams: Sequence[ByteStream], n_bytes: int) -> bytearray:
        data = bytearray()
        for stream in streams:  # a stream at its end gives nothing, and the next one goes on
            while len(data) < n_bytes and (piece := stream.read(min(PIECE, n_bytes - len(data)))):
                data += piece
        if len(data) < n_bytes:
            self._ends_early()
        return data

    def _ends_early(self) -> NoReturn:
        raise BadFile(self.path, f"ends before its {self.n} samples of {self.dtype.itemsize} bytes do", REMEDY)


def check_size(path: Path, *, found: int, promised: int, what: str = "its header") -> None:
    """Raise BadFile when a file or member does not hold the bytes it should."""
    if found != promised:
        raise BadFile(path, f"holds {found} bytes where {what} promises {promised}", REMEDY)
