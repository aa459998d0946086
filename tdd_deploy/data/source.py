"""One split of a data set, read batch by batch or whole."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tdd_deploy.errors import BadData, BadOption, Violation
from tdd_deploy.files import fingerprint, sha256

from .binning import Binned
from .events import Events
from .labels import UNLABELED, check_labels
from .memory import InMemory

SMALLEST, LARGEST = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)
LARGEST_WHOLE = 1 << 24  # up to here float32 holds every integer
HALF_OF_FLOAT32 = 2  # bytes: integers of as many lie far below


class Table(Protocol):
    """Samples in order, as blocks of a structured dtype with the field ``x``, ``y`` or both."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of one sample."""
        ...

    def read(self, start: int, stop: int, size: int) -> Iterator[npt.NDArray[Any]]:
        """Yield the samples from ``start`` to ``stop``, ``size`` at a time; one block at a time is in memory."""
        ...


@dataclass(frozen=True, eq=False, kw_only=True)
class Batch:
    """Consecutive samples of a split."""

    x: npt.NDArray[np.float32]  # [B, *sample_shape]
    y: npt.NDArray[np.int64] | None  # [B]; labels of time steps [B, T], where -1 means none
    start: int  # index of the first sample in the split


def digest_of(batches: Iterable[Batch]) -> str:
    """Compute the SHA-256 of values and labels, by which a run recognizes the samples that it learned from."""
    digest = hashlib.sha256()
    for batch in batches:
        digest.update(np.ascontiguousarray(batch.x).data)
        if batch.y is not None:
            digest.update(batch.y.data)
    return digest.hexdigest()


@dataclass(frozen=True, eq=False, kw_only=True)
class Windows:
    """How the recordings of a source were cut into windows.

    Attributes:
        window: time steps of each.
        stride: time steps from the begin of one to the next.
        whole: the recordings.
        recordings: the number of the recording of each window, ``[N]``, in ascending order.
        n_unlabeled: windows that were left out, since their last step has no label.
        n_short: recordings that are shorter than a window.
    """

    window: int
    stride: int
    whole: "Source"
    recordings: npt.NDArray[np.int64] = field(repr=False)
    n_unlabeled: int
    n_short: int

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        labels = "last step" if self.whole.has_step_labels else "recording" if self.whole.labeled else None
        return {
            "window": self.window,
            "stride": self.stride,
            "steps_of_recording": self.whole.sample_shape[0],
            "recordings": self.whole.n_samples,
            "labels_from": labels,
            "unlabeled": self.n_unlabeled,
            "short": self.n_short,
        }


@dataclass(frozen=True, eq=False, kw_only=True)
class Source:
    """One split of a data set: ``n_samples`` samples from number ``first`` on, in the order of the file.

    Stored values are multiplied by ``scale``. For images of bytes it is 2**-8, not 1/255, so that every value is
    exact in float32 and in fixed point: the brightest pixel is 255/256.

    Attributes:
        stored: the type of the values in the file, or a description of them.
        scale_from: where the scale comes from, for reports.
        targets: what ``y`` holds if these are not labels; None for labels, or without ``y``.
        windows: how recordings became these samples; None if they are not windows.
    """

    name: str
    split: str
    n_samples: int
    n_classes: int | None  # None: not labeled
    files: tuple[Path, ...]  # empty: the data came with a package, or are in memory
    stored: str
    scale: float
    scale_from: str
    targets: str | None = None
    first: int = 0
    windows: Windows | None = None
    tables: tuple[Table, ...] = field(repr=False)  # read side by side; between them the fields x and, if labeled, y

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one sample, channel first for images of a named data set."""
        return self._fields["x"].shape

    @property
    def labeled(self) -> bool:
        """Whether every sample has a label, or every time step may have one."""
        return "y" in self._fields

    @property
    def has_step_labels(self) -> bool:
        """Whether labels belong to time steps."""
        return self.labeled and self._fields["y"].shape != ()

    @property
    def binned(self) -> Binned | None:
        """How a camera's events became these samples; None if they are no events."""
        if self.windows is not None:
            return self.windows.whole.binned
        table = self.tables[0]
        return table.binned(range(self.first, self.first + self.n_samples)) if isinstance(table, Events) else None

    @property
    def lengths(self) -> npt.NDArray[np.int64] | None:
        """The time steps until each recording of a camera ends; None for other data, or where it is not known."""
        table = self.tables[0]
        found = table.lengths if isinstance(table, Events) else None
        return None if found is None else found[self.first : self.first + self.n_samples]

    @property
    def digests(self) -> dict[str, str]:
        """The SHA-256 of each file, by name; of arrays in memory, of their bytes in C order, by ``x`` and ``y``."""
        if self.windows is not None:
            return self.windows.whole.digests
        of_arrays = {table.name: table.sha256 for table in self.tables if isinstance(table, InMemory)}
        return {file.name: sha256(file) for file in self.files} | of_arrays

    @property
    def fingerprints(self) -> dict[str, str]:
        """A quick hash of each file, by name; see ``files.fingerprint``."""
        return {file.name: fingerprint(file) for file in self.files}

    @property
    def _fields(self) -> dict[str, np.dtype[Any]]:
        return {name: table.dtype[name] for table in self.tables for name in table.dtype.names or ()}

    def scaled(self, scale: float | None) -> "Source":
        """Copy the source with values multiplied by a scale that the user chose; without one, return it unchanged.

        Raises:
            BadOption: float32 does not hold the scale.
        """
        if scale is None:
            return self
        if not SMALLEST <= scale <= LARGEST:
            raise BadOption("input_scale", f"{scale:g}", "a number above 0 that float32 holds")
        return replace(self, scale=scale, scale_from="from `input_scale`")

    def without_labels(self) -> "Source":
        """Copy the source without its labels, which lie in a table of their own."""
        tables = tuple(table for table in self.tables if "x" in (table.dtype.names or ()))
        return replace(self, n_classes=None, tables=tables) if self.labeled else self

    def without_step_labels(self) -> "Source":
        """Copy the source without labels of time steps; labels of samples stay."""
        return self.without_labels() if self.has_step_labels else self

    def as_json(self) -> dict[str, Any]:
        """Describe how stored values become numbers, for a report."""
        return {
            "stored": self.stored,
            "shape": list(self.sample_shape),
            "scale": self.scale,
            "scale_from": self.scale_from,
            "targets": self.targets,
            **({} if self.windows is None else {"windows": self.windows.as_json()}),
        }

    def part(self, split: str, samples: range) -> "Source":
        """Cut out these samples as a split.

        Raises:
            BadData: there are none.
        """
        if not samples:
            found = f"would hold none of the {self.n_samples} samples"
            raise BadData(self.name, [Violation(f"split {split}", found)])
        return replace(self, split=split, first=self.first + samples.start, n_samples=len(samples))

    def batches(self, size: int, *, first: int = 0, limit: int | None = None) -> Iterator[Batch]:
        """Yield ``limit`` samples (all without it) from number ``first`` on, ``size`` at a time, in constant memory.

        Raises:
            BadOption: a size or limit below 1.
            BadFile: while reading, a file turns out to be damaged.
            BadData: while reading, a value is NaN or infinite or a label is out of range.
        """
        for option, value in (("batch", size), ("samples", limit)):
            if value is not None and value < 1:
                raise BadOption(option, str(value), "1 or more")
        left = self.n_samples - first
        return self._stream(size, first, left if limit is None else min(limit, left))

    def check_labels_of_samples(self) -> None:
        """Refuse labels of time steps, as samples need one each.

        Raises:
            BadData: labels belong to time steps.
        """
        if self.has_step_labels:
            found = f"holds a label per time step, [N, {self._fields['y'].shape[0]}]"
            remedy = "Cut windows out of the samples with `window`. Each takes the label of its last step."
            raise BadData(self.name, [Violation("y", found, remedy=remedy)])

    def load(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64] | None]:
        """Read all of x ``[N, *sample_shape]`` and y ``[N]`` into memory; raises what ``batches`` raises."""
        (batch,) = self.batches(self.n_samples)
        return batch.x, batch.y

    def _stream(self, size: int, start: int, n: int) -> Iterator[Batch]:
        begin = self.first + start
        for blocks in zip(*(table.read(begin, begin + n, size) for table in self.tables), strict=True):
            columns = {name: block[name] for block in blocks for name in block.dtype.names or ()}
            yield Batch(x=self._values(columns["x"], start), y=self._labels(columns.get("y"), start), start=start)
            start += len(blocks[0])

    def _values(self, stored: npt.NDArray[Any], start: int) -> npt.NDArray[np.float32]:
        x: npt.NDArray[np.float32] = stored
        if stored.dtype.kind in "iu" and stored.dtype.itemsize > HALF_OF_FLOAT32:
            self._check_whole(stored, start)
        if stored.dtype != np.float32 or self.scale != 1:
            with np.errstate(over="ignore"):  # beyond float32 becomes infinite, and is refused below
                x = np.multiply(stored, self.scale, dtype=np.float32)
        finite = np.isfinite(x).reshape(len(x), -1).all(axis=1)
        if finite.all():
            return x
        sample = int(np.argmin(finite))
        found = "NaN or infinity"
        if np.isfinite(stored[sample]).all():
            found = f"{np.abs(stored[sample].astype(np.float64)).max():g}, times {self.scale:g}"
        raise BadData(self._subject, [Violation(f"x of sample {start + sample}", found, "finite numbers of float32")])

    def _check_whole(self, stored: npt.NDArray[Any], start: int) -> None:
        """Refuse integers that float32 might round."""
        beyond = (stored > LARGEST_WHOLE) | (stored < -LARGEST_WHOLE)
        if beyond.any():
            sample = int(np.argmax(beyond.reshape(len(stored), -1).any(axis=1)))
            found = str(stored[beyond][0])
            allowed = f"{-LARGEST_WHOLE:,} to {LARGEST_WHOLE:,}, the integers that float32 holds"
            remedy = "Round x as you need, and use floats."
            raise BadData(self._subject, [Violation(f"x of sample {start + sample}", found, allowed, remedy)])

    def _labels(self, stored: npt.NDArray[Any] | None, start: int) -> npt.NDArray[np.int64] | None:
        if stored is None:
            return None
        if stored.ndim > 1:
            y = stored.astype(np.int64)
            return np.where(np.isin(y, UNLABELED), -1, y)
        check_labels(stored, self.n_classes, self._subject, start=start)
        return stored.astype(np.int64)

    @property
    def _subject(self) -> str:
        return f"{self.name}, split {self.split}"


def check_has_time(source: Source, *, is_image: bool) -> None:
    """Refuse samples without a time axis.

    Raises:
        BadData: a sample is one value, or an image of a named data set.
    """
    if source.sample_shape and not is_image:
        return
    shape = list(source.sample_shape)
    found = f"{shape}, an image, which does not change" if is_image else f"{shape}, a single value"
    remedy = "Name a file whose x is [N, T, ...], or events of a camera. Save one recording [T, ...] as x[None]."
    raise BadData(source.name, [Violation("the shape of a sample", found, "[T, ...], with a time axis", remedy)])
