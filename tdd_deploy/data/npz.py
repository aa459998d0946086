"""A user's .npz: ``x`` [N, ...], optionally ``y`` [N] and a scalar ``scale``. Never unpickled; see ``samples``."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from tdd_deploy.errors import BadData, BadFile, Violation

from .records import REMEDY, ByteStream, Records, check_size, reading
from .samples import StoredArray, source_of, with_scale_of_images
from .source import LARGEST, SMALLEST, Source, Table

COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


@dataclass(frozen=True, kw_only=True)
class Member:
    """One array of the archive, as its header describes it."""

    path: Path
    name: str
    n_bytes: int  # header included
    header: int  # bytes
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran: bool

    def records(self, field: str | None = None) -> Records:
        """Read the array as records along its first axis, with one field, by default named after the array."""
        n, *shape = self.shape or (1,)
        with reading(self.path):  # numpy bounds the axes and the bytes of a record
            dtype = np.dtype([(field or self.name, self.dtype, tuple(shape))])
        promised = self.header + n * dtype.itemsize
        check_size(self.path, found=self.n_bytes, promised=promised, what=f"the header of {self.name}.npy")
        opener = partial(_open_member, self.path, self.name)
        return Records(path=self.path, parts=(opener,), header=self.header, n=n, dtype=dtype)

    def table(self) -> Table:
        """Read the array sample by sample, whatever its order in the file."""
        records = self.records()
        return Transposed(records=records) if self._is_transposed else records

    def stored(self) -> StoredArray:
        """Describe the array for ``samples.source_of``."""
        at_once = self.n_bytes if self._is_transposed else 0
        return StoredArray(name=self.name, dtype=self.dtype, shape=self.shape, table=self.table, bytes_at_once=at_once)

    @property
    def _is_transposed(self) -> bool:
        """Whether the samples of the array are interleaved in the file."""
        return self.fortran and len(self.shape) > 1


@dataclass(frozen=True, eq=False, kw_only=True)
class Transposed:
    """An array in Fortran order as a table of samples (``source.Table``); the whole array is read once."""

    records: Records  # of the same shape, as if it were stored in C order

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of one sample."""
        return self.records.dtype

    def read(self, start: int, stop: int, size: int) -> Iterator[NDArray[Any]]:
        """Yield the samples from ``start`` to ``stop``, ``size`` at a time."""
        ((name, whole),) = self._columns.items()
        for first in range(start, stop, size):
            block = np.empty(min(size, stop - first), self.dtype)
            block[name] = whole[first : first + len(block)]
            yield block

    @cached_property
    def _columns(self) -> dict[str, NDArray[Any]]:
        (block,) = self.records.read(0, self.records.n, self.records.n)
        (name,) = self.dtype.names or ()
        values = block[name]
        return {name: values.reshape(values.shape[::-1]).T}


def open_npz(path: Path, *, scale: float | None = None) -> Source:
    """Open the samples of a .npz, shaped as stored, not yet split.

    x is multiplied by ``scale``, or by the array ``scale`` of the file. Without both, bytes are k/256, as images are,
    and all other values are as they are stored. Bytes that are all 0 and 1 may also be spikes, so they need a scale.

    Raises:
        BadOption: float32 does not hold the scale.
        BadFile: not a .npz, damaged, or without x.
        BadData: the type, shape or length of x, y or scale is wrong (all are named), a label is negative, or bytes
            are all 0 and 1 and no scale was given.
    """
    members = npz_members(path, "x", "y", "scale")
    if "x" not in members:
        remedy = "write it with numpy.savez(path, x=x, y=y)"
        raise BadFile(path, f"holds no array x among its {names_in(path)}", remedy)
    x, y, in_file = members["x"], members.get("y"), members.get("scale")
    source = source_of(
        str(path), x.stored(), y.stored() if y else None, files=(path,), other_faults=_faults_of_scale(in_file)
    )
    if scale is not None:
        return source.scaled(scale)
    if in_file:
        return replace(source, scale=_scale(in_file), scale_from="from the array scale of the file")
    return with_scale_of_images(source)


def npz_members(path: Path, *names: str) -> dict[str, Member]:
    """Read the headers of those named arrays that the archive holds."""
    with reading(path), zipfile.ZipFile(path) as archive:
        present = archive.namelist()
        return {name: _member(path, archive, name) for name in names if f"{name}.npy" in present}


def names_in(path: Path) -> str:
    """Name the files in an archive, at most 8 of them."""
    with reading(path), zipfile.ZipFile(path) as archive:
        present = archive.namelist()
    return f"{len(present)} {'file' if len(present) == 1 else 'files'} ({', '.join(present[:8])})"


def _member(path: Path, archive: zipfile.ZipFile, name: str) -> Member:
    info = archive.getinfo(f"{name}.npy")
    if info.compress_type not in COMPRESSIONS:
        raise BadFile(path, f"compresses {name} by zip method {info.compress_type}", "store or deflate it")
    with archive.open(info) as stream:
        version = npy.read_magic(stream)
        if version not in HEADERS:
            raise BadFile(path, f"holds {name} as npy version {version}, which is for structured arrays", REMEDY)
        shape, fortran, dtype = HEADERS[version](stream)
        return Member(
            path=path,
            name=name,
            n_bytes=info.file_size,
            header=stream.tell(),
            dtype=dtype,
            shape=shape,
            fortran=fortran,
        )


@contextmanager
def _open_member(path: Path, name: str) -> Iterator[ByteStream]:
    with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as stream:
        yield stream


def _faults_of_scale(scale: Member | None) -> Iterator[Violation]:
    if scale is not None and (scale.dtype.kind not in "iuf" or scale.shape):
        yield Violation("scale", f"{scale.dtype.name} of shape {list(scale.shape)}", "one number, of shape []")


def _scale(member: Member) -> float:
    (block,) = member.records().read(0, 1, 1)
    scale = float(block["scale"][0])
    if not SMALLEST <= scale <= LARGEST:
        raise BadData(str(member.path), [Violation("scale", f"{scale:g}", "a number above 0 that float32 holds")])
    return scale
