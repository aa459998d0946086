"""Samples ``x`` and labels ``y`` as arrays of a file or in memory: which arrays are allowed, and their source.

Integer ``y`` [N] are labels. Integer ``y`` [N, T] are labels of the time steps of x [N, T, ...], where -1 and 255 mean
none. Floats of any shape are other targets and are not read.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tdd_deploy.errors import BadData, Violation

from .labels import UNLABELED, check_labels
from .source import Source, Table

TYPES = "bool, float16, float32, float64, or integers of 8 to 64 bits"
IMAGE_SCALE, IMAGES = 2.0**-8, "1/256"
LARGEST_LABEL = 2**31 - 1
IN_MEMORY = 1 << 30  # bytes of an array that is not stored sample by sample
LOOKED_AT = 1 << 20  # bytes at a time
LABELS_AT_ONCE = 1 << 16


@dataclass(frozen=True, kw_only=True)
class StoredArray:
    """The array ``x`` or ``y``, not yet read."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    table: Callable[[], Table]  # the array sample by sample
    bytes_at_once: int = 0  # to read a single sample; 0: stored sample by sample


def source_of(
    name: str,
    x: StoredArray,
    y: StoredArray | None,
    *,
    files: tuple[Path, ...] = (),
    other_faults: Iterable[Violation] = (),
) -> Source:
    """Check samples and labels and make a source of them, as stored, not yet split.

    ``n_classes`` is the largest label + 1.

    Raises:
        BadData: the type, shape or length of x or y is wrong, or there are other faults; all are named. Or a label is
            negative.
    """
    if faults := [*_faults_of_x(x), *_faults_of_y(y, x), *other_faults]:
        raise BadData(name, faults)
    n = x.shape[0]
    samples = x.table()
    labels = y.table() if y is not None and y.dtype.kind != "f" else None
    has_step_labels = labels is not None and labels.dtype["y"].shape != ()
    return Source(
        name=name,
        split="all",
        n_samples=n,
        n_classes=None if labels is None else (n_classes_of_steps if has_step_labels else n_classes)(labels, n, name),
        files=files,
        stored=x.dtype.name,
        scale=1.0,
        scale_from="as stored",
        targets=f"{y.dtype.name} {list(y.shape)}" if y is not None and labels is None else None,
        tables=(samples,) if labels is None else (samples, labels),
    )


def with_scale_of_images(source: Source) -> Source:
    """Copy a source of bytes with the scale of images, k/256; return other sources unchanged.

    Raises:
        BadData: the bytes are all 0 and 1, so they may also be spikes.
    """
    if source.stored != "uint8":
        return source
    _check_not_binary(source)
    words = "bytes are read as pixels, k/256; `input_scale=1` keeps the stored values"
    return replace(source, scale=IMAGE_SCALE, scale_from=words)


def n_classes(labels: Table, n: int, subject: str) -> int:
    """Find the largest label + 1 of ``n`` labels.

    Raises:
        BadData: a label is negative, or beyond 32 bits.
    """
    largest = 0
    for start, block in enumerate(labels.read(0, n, LABELS_AT_ONCE)):
        for most in (None, LARGEST_LABEL + 1):
            check_labels(block["y"], most, subject, start=start * LABELS_AT_ONCE)
        largest = max(largest, int(block["y"].max()))
    return largest + 1


def n_classes_of_steps(labels: Table, n: int, subject: str) -> int:
    """Find the largest label + 1 of ``n`` samples with a label per time step, some of them ``UNLABELED``.

    Raises:
        BadData: a label is below -1, or beyond 32 bits; or no step has a label.
    """
    largest = -1
    n_at_once = max(1, LABELS_AT_ONCE // labels.dtype.itemsize)
    for start, block in enumerate(labels.read(0, n, n_at_once)):
        y = block["y"].astype(np.int64) if block["y"].dtype != np.uint64 else np.minimum(block["y"], LARGEST_LABEL + 1)
        y = np.where(np.isin(y, UNLABELED), -1, y.astype(np.int64))
        wrong = (y < -1) | (y > LARGEST_LABEL)
        if wrong.any():
            sample, step = np.argwhere(wrong)[0]
            where = f"the label of step {step} in sample {start * n_at_once + sample}"
            allowed = f"0 to {LARGEST_LABEL:,}, or -1 or 255 without a label"
            raise BadData(subject, [Violation(where, str(block["y"][sample, step]), allowed)])
        largest = max(largest, int(y.max()))
    if largest < 0:
        raise BadData(subject, [Violation("y", "holds -1 or 255 at every step, so none has a label")])
    return largest + 1


def _check_not_binary(source: Source) -> None:
    """Refuse bytes that are all 0 and 1, with at least one 1; the first larger byte ends the search."""
    samples = source.tables[0]
    highest = 0
    for block in samples.read(0, source.n_samples, max(1, LOOKED_AT // samples.dtype.itemsize)):
        highest = max(highest, int(block["x"].max()))
        if highest > 1:
            return
    if highest:
        found = "holds bytes that are all 0 and 1, so they are spikes or almost black pixels"
        remedy = f"Use `input_scale=1` for spikes, which these data suggest, or `input_scale={IMAGES}` for pixels."
        raise BadData(source.name, [Violation("x", found, remedy=remedy)])


def _faults_of_x(x: StoredArray) -> Iterator[Violation]:
    if not _is_number(x.dtype):
        yield Violation("the type of x", x.dtype.name, TYPES)
    if not x.shape or min(x.shape) < 1:
        allowed = "[N, ...] with 1 sample or more, none of them empty"
        yield Violation("the shape of x", str(list(x.shape)), allowed)
    elif x.bytes_at_once > IN_MEMORY:
        found = f"has {x.bytes_at_once:,} bytes in Fortran order, more than {IN_MEMORY:,}"
        yield Violation("x", found, remedy="Save numpy.ascontiguousarray(x).")


def _is_number(dtype: np.dtype[Any]) -> bool:
    return dtype.kind in "biu" or dtype.name in ("float16", "float32", "float64")


def _faults_of_y(y: StoredArray | None, x: StoredArray) -> Iterator[Violation]:
    if y is None:
        return
    where, found = "the shape of y", str(list(y.shape))
    allowed = f"{list(x.shape[:1])}, one label per sample in x"
    if not _is_number(y.dtype):
        yield Violation("the type of y", y.dtype.name, "integers (labels) or floats (other targets)")
    elif y.shape[:1] != x.shape[:1]:
        is_swapped = len(x.shape) > 1 and y.shape[:1] == x.shape[1:2]
        remedy = "If time is the first axis of x, use numpy.swapaxes(x, 0, 1)." if is_swapped else ""
        yield Violation(where, found, allowed, remedy)
    elif len(y.shape) > 1 and _is_one_hot(y):
        remedy = "Use numpy.argmax(y, axis=1) for labels, or leave y out."
        yield Violation(where, f"{found}, and each row is one-hot", allowed, remedy)
    elif len(y.shape) > 1 and y.dtype.kind != "f" and not _are_of_steps(y, x):
        is_column = math.prod(y.shape[1:]) == 1
        remedy = "Use y.ravel()." if is_column else "Leave y out, or use floats for targets that are not labels."
        yield Violation(where, found, allowed, remedy)


def _are_of_steps(y: StoredArray, x: StoredArray) -> bool:
    """Decide whether y ``[N, T]`` holds a label per time step of x ``[N, T, ...]``."""
    return len(y.shape) == 2 and y.shape[1] > 1 and y.shape == x.shape[:2]


def _is_one_hot(y: StoredArray) -> bool:
    """Decide whether ``[N, classes]`` can be one-hot labels."""
    if len(y.shape) != 2 or y.shape[1] < 2 or y.bytes_at_once > IN_MEMORY:
        return False
    table = y.table()
    blocks = (block["y"] for block in table.read(0, y.shape[0], max(1, LOOKED_AT // table.dtype.itemsize)))
    return all(((rows == 0) | (rows == 1)).all() and (rows.sum(axis=1) == 1).all() for rows in blocks)
