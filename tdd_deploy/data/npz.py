"""A user's .npz: ``x`` [N, ...], optionally ``y`` [N] and a scalar ``scale``. Never unpickled.

Integer ``y`` [N] are labels. Floats of any shape are other targets and are not read.
"""

import math
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

from .labels import check_labels
from .records import REMEDY, ByteStream, Records, check_size, reading
from .source import LARGEST, SMALLEST, Source, Table

TYPES = "bool, float16, float32, float64, or integers of 8 to 64 bits"
IMAGE_SCALE, IMAGES = 2.0**-8, "1/256"
LARGEST_LABEL = 2**31 - 1
IN_MEMORY = 1 << 30  # bytes of an array that is not stored sample by sample
LOOKED_AT = 1 << 20  # bytes at a time
COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
LABELS_AT_ONCE = 1 << 16


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
        """Return the array as records along its first axis, in one field, named after the array without a name."""
        n, *shape = self.shape or (1,)
        with reading(self.path):  # numpy bounds the axes and the bytes of a record
            dtype = np.dtype([(field or self.name, self.dtype, tuple(shape))])
        promised = self.header + n * dtype.itemsize
        check_size(self.path, found=self.n_bytes, promised=promised, what=f"the header of {self.name}.npy")
        opener = partial(_open_member, self.path, self.name)
        return Records(path=self.path, parts=(opener,), header=self.header, n=n, dtype=dtype)

    def table(self) -> Table:
        """Return the array sample by sample, whatever its order in the file."""
        records = self.records()
        return Transposed(records=records) if self.is_transposed else records

    @property
    def is_transposed(self) -> bool:
        """Whether the samples of the array are interleaved in the file."""
        return self.fortran and len(self.shape) > 1


@dataclass(frozen=True, eq=False, kw_only=True)
class Transposed:
    """An array in Fortran order as a table of samples (``source.Table``); the whole array is read once."""

    records: Records  # of the same shape, as if it were stored in C order

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of one sample."""
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
    """Return the samples of a .npz, shaped as stored, not yet split; ``n_classes`` is the largest label + 1.

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
    if faults := [*_faults_of_x(x), *_faults_of_y(y, x), *_faults_of_scale(in_file)]:
        raise BadData(str(path), faults)
    samples = x.table()
    labels = y.records() if y and y.dtype.kind != "f" else None
    source = Source(
        name=str(path),
        split="all",
        n_samples=x.shape[0],
        n_classes=n_classes(labels) if labels else None,
        files=(path,),
        stored=x.dtype.name,
        scale=1.0,
        scale_from="as stored",
        targets=f"{y.dtype.name} {list(y.shape)}" if y and not labels else None,
        tables=(samples, labels) if labels else (samples,),
    )
    if scale is not None:
        return source.scaled(scale)
    if in_file:
        return replace(source, scale=_scale(in_file), scale_from="from the array scale of the file")
    if x.dtype != np.uint8:
        return source
    _check_not_binary(path, samples, x.shape[0])
    words = "bytes are read as pixels, k/256; --input-scale 1 keeps the stored values"
    return replace(source, scale=IMAGE_SCALE, scale_from=words)


def _check_not_binary(path: Path, samples: Table, n: int) -> None:
    """Refuse bytes that are all 0 and 1, with at least one 1; the first larger byte ends the search."""
    highest = 0
    for block in samples.read(0, n, max(1, LOOKED_AT // samples.dtype.itemsize)):
        highest = max(highest, int(block["x"].max()))
        if highest > 1:
            return
    if highest:
        found = "bytes that are all 0 and 1, so they are spikes or almost black pixels"
        allowed = f"--input-scale 1 for spikes, which these data suggest, or --input-scale {IMAGES} for pixels"
        raise BadData(str(path), [Violation("x", found, allowed)])


def npz_members(path: Path, *names: str) -> dict[str, Member]:
    """Return those of the named arrays that the archive holds, by their headers."""
    with reading(path), zipfile.ZipFile(path) as archive:
        present = archive.namelist()
        return {name: _member(path, archive, name) for name in names if f"{name}.npy" in present}


def names_in(path: Path) -> str:
    """Say what an archive holds."""
    with reading(path), zipfile.ZipFile(path) as archive:
        present = archive.namelist()
    return f"{len(present)} ({', '.join(present[:8])})"


def _member(path: Path, archive: zipfile.ZipFile, name: str) -> Member:
    info = archive.getinfo(f"{name}.npy")
    if info.compress_type not in COMPRESSIONS:
        raise BadFile(path, f"compresses {name} by zip method {info.compress_type}", "store or deflate it")
    with archive.open(info) as stream:
        version = npy.read_magic(stream)
        if version not in HEADERS:
            raise BadFile(path, f"holds {name} as npy version {version}, meant for structured arrays", REMEDY)
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


def _faults_of_x(x: Member) -> Iterator[Violation]:
    if not _is_number(x.dtype):
        yield Violation("x", f"type is {x.dtype.name}", TYPES)
    if not x.shape or min(x.shape) < 1:
        yield Violation("x", f"shape is {list(x.shape)}", "[N, ...] with 1 sample or more, none of them empty")
    elif x.is_transposed and x.n_bytes > IN_MEMORY:
        found = f"stored in Fortran order, {x.n_bytes:,} bytes"
        yield Violation("x", found, f"C order, or {IN_MEMORY:,} bytes", "Save numpy.ascontiguousarray(x).")


def _is_number(dtype: np.dtype[Any]) -> bool:
    return dtype.kind in "biu" or dtype.name in ("float16", "float32", "float64")


def _faults_of_y(y: Member | None, x: Member) -> Iterator[Violation]:
    if y is None:
        return
    allowed = f"{list(x.shape[:1])}, one label per sample in x"
    if not _is_number(y.dtype):
        yield Violation("y", f"type is {y.dtype.name}", "integers (labels) or floats (other targets)")
    elif y.shape[:1] != x.shape[:1]:
        is_swapped = len(x.shape) > 1 and y.shape[:1] == x.shape[1:2]
        remedy = "If time is the first axis of x, save numpy.swapaxes(x, 0, 1)." if is_swapped else ""
        yield Violation("y", f"shape is {list(y.shape)}", allowed, remedy)
    elif len(y.shape) > 1 and _is_one_hot(y):
        found = f"shape is {list(y.shape)}, and each row is one-hot"
        remedy = "Save numpy.argmax(y, axis=1) for labels, or leave y out."
        yield Violation("y", found, allowed, remedy)
    elif len(y.shape) > 1 and y.dtype.kind != "f":
        is_column = math.prod(y.shape[1:]) == 1
        remedy = "Save y.ravel()." if is_column else "Leave y out, or save targets that are not labels as floats."
        yield Violation("y", f"shape is {list(y.shape)}", allowed, remedy)


def _is_one_hot(y: Member) -> bool:
    """Whether ``[N, classes]`` can be one-hot labels."""
    if len(y.shape) != 2 or y.shape[1] < 2 or (y.is_transposed and y.n_bytes > IN_MEMORY):
        return False
    table = y.table()
    blocks = (block["y"] for block in table.read(0, y.shape[0], max(1, LOOKED_AT // table.dtype.itemsize)))
    return all(((rows == 0) | (rows == 1)).all() and (rows.sum(axis=1) == 1).all() for rows in blocks)


def _faults_of_scale(scale: Member | None) -> Iterator[Violation]:
    if scale is not None and (scale.dtype.kind not in "iuf" or scale.shape):
        yield Violation("scale", f"{scale.dtype.name} of shape {list(scale.shape)}", "one number, shape []")


def n_classes(labels: Records) -> int:
    """Return the largest label + 1; raises BadData for a negative one, and for one beyond 32 bits."""
    largest = 0
    for start, block in enumerate(labels.read(0, labels.n, LABELS_AT_ONCE)):
        for most in (None, LARGEST_LABEL + 1):
            check_labels(block["y"], most, str(labels.path), start=start * LABELS_AT_ONCE)
        largest = max(largest, int(block["y"].max()))
    return largest + 1


def _scale(member: Member) -> float:
    (block,) = member.records().read(0, 1, 1)
    scale = float(block["scale"][0])
    if not SMALLEST <= scale <= LARGEST:
        raise BadData(str(member.path), [Violation("scale", f"{scale:g}", "a number above 0 that float32 holds")])
    return scale
