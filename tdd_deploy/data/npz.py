"""A .npz of one's own: ``x`` [N, ...], where wanted ``y`` [N] and a scalar ``scale``. Never unpickled."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from tdd_deploy.errors import BadData, BadFile, Violation

from .labels import check_labels
from .records import REMEDY, ByteStream, Records, check_size, reading
from .source import Source

SCALES = {"uint8": 2.0**-8, "int8": 1.0, "bool": 1.0, "float16": 1.0, "float32": 1.0, "float64": 1.0}
SCALABLE = ("uint8", "int8")
COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
LABELS_AT_ONCE = 1 << 16
SMALLEST, LARGEST = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)


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


def open_npz(path: Path) -> Source:
    """Return the samples of a .npz, shaped as stored, not yet split; ``n_classes`` is the largest label + 1.

    x of uint8 is multiplied by 2**-8 and of int8 by 1, or either by ``scale`` (event counts: 1); bool and floats
    are used as they are.

    Raises:
        BadFile: not a .npz, damaged, or without x.
        BadData: the type, shape, order or length of x, y or scale is wrong (all are named), or a label is negative.
    """
    members = npz_members(path, "x", "y", "scale")
    if "x" not in members:
        remedy = "write it with numpy.savez(path, x=x, y=y)"
        raise BadFile(path, f"holds no array x among its {names_in(path)}", remedy)
    x, y, scale = members["x"], members.get("y"), members.get("scale")
    if faults := [*_faults_of_x(x), *_faults_of_y(y, x), *_faults_of_scale(scale, x)]:
        raise BadData(str(path), faults)
    samples = x.records()
    labels = y.records() if y else None
    return Source(
        name=str(path),
        split="all",
        n_samples=samples.n,
        n_classes=n_classes(labels) if labels else None,
        files=(path,),
        scale=_scale(scale) if scale else SCALES[x.dtype.name],
        tables=(samples, labels) if labels else (samples,),
    )


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
    if x.dtype.name not in SCALES:
        yield Violation("x", f"type is {x.dtype.name}", ", ".join(SCALES))
    if not x.shape or min(x.shape) < 1:
        yield Violation("x", f"shape is {list(x.shape)}", "[N, ...] with 1 sample or more, none of them empty")
    if x.fortran:
        yield Violation("x", "stored in Fortran order", "C order", "Save numpy.ascontiguousarray(x).")


def _faults_of_y(y: Member | None, x: Member) -> Iterator[Violation]:
    if y is None:
        return
    if y.dtype.kind not in "iu" or not np.can_cast(y.dtype, np.int64):
        yield Violation("y", f"type is {y.dtype.name}", "an integer type within int64")
    if y.shape != x.shape[:1]:
        yield Violation("y", f"shape is {list(y.shape)}", f"{list(x.shape[:1])}, one label per sample of x")


def _faults_of_scale(scale: Member | None, x: Member) -> Iterator[Violation]:
    if scale is None:
        return
    if scale.dtype.kind not in "iuf" or scale.shape:
        yield Violation("scale", f"{scale.dtype.name} of shape {list(scale.shape)}", "one number, shape []")
    if x.dtype.name not in SCALABLE:
        yield Violation("scale", f"x is {x.dtype.name}", f"a scale for {' and '.join(SCALABLE)} only", "Leave it out.")


def n_classes(labels: Records) -> int:
    """Return the largest label + 1; raises BadData for a negative one."""
    largest = 0
    for start, block in enumerate(labels.read(0, labels.n, LABELS_AT_ONCE)):
        check_labels(block["y"], None, str(labels.path), start=start * LABELS_AT_ONCE)
        largest = max(largest, int(block["y"].max()))
    return largest + 1


def _scale(member: Member) -> float:
    (block,) = member.records().read(0, 1, 1)
    scale = float(block["scale"][0])
    if not SMALLEST <= scale <= LARGEST:
        raise BadData(str(member.path), [Violation("scale", f"{scale:g}", "a number above 0 that float32 holds")])
    return scale
