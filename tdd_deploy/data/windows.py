"""Windows of long recordings as samples; a batch reads the recordings of its windows one at a time.

A label of a recording is the label of each of its windows. Of labels per time step, a window has the label of its last
step, since a network that has seen the window so far answers there. ``UNLABELED`` steps have none, and windows that end
in such a step are left out.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tdd_deploy.errors import BadData, BadOption, Violation

from .labels import UNLABELED
from .memory import InMemory
from .source import Source, Table, Windows

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False, kw_only=True)
class Cut:
    """A table of windows (``source.Table``) with the field x, cut out of a table of recordings."""

    table: Table
    recordings: Ints = field(repr=False)  # [N], in ascending order: the recording of each window
    starts: Ints = field(repr=False)  # [N]: the first time step of each window
    window: int

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of one sample."""
        x = self.table.dtype["x"]
        return np.dtype([("x", x.base, (self.window, *x.shape[1:]))])

    def read(self, start: int, stop: int, size: int) -> Iterator[npt.NDArray[Any]]:
        """Yield the windows from ``start`` to ``stop``, ``size`` at a time; one block at a time is in memory."""
        current = int(self.recordings[start])
        blocks = self.table.read(current, int(self.recordings[stop - 1]) + 1, 1)
        steps = next(blocks)["x"][0]
        for first in range(start, stop, size):
            block = np.empty(min(size, stop - first), self.dtype)
            for i in range(len(block)):
                while current < self.recordings[first + i]:
                    current, steps = current + 1, next(blocks)["x"][0]
                begin = self.starts[first + i]
                block["x"][i] = steps[begin : begin + self.window]
            yield block


def in_windows(source: Source, window: int, stride: int | None) -> Source:
    """Cut the samples of a source into windows; by default one begins where the one before ends.

    What follows the last whole window of a recording is left out, and so is the silence after a camera's recording.

    Raises:
        BadOption: the source holds windows already, or no recording is as long as a window.
        BadData: the samples have no time axis, or no window has a label.
    """
    stride = stride or window
    if source.windows is not None:
        raise BadOption("window", "cannot be combined with samples that are windows already", remedy="Leave it out.")
    if not source.sample_shape:
        raise BadData(source.name, [Violation("the shape of a sample", "[]", "[T, ...], with a time axis")])
    lengths = source.lengths
    if lengths is None:
        lengths = np.full(source.n_samples, source.sample_shape[0], np.int64)
    if window > lengths.max():
        raise BadOption("window", str(window), f"1 to {lengths.max():,}, the time steps of the longest sample")
    counts = np.maximum(0, (lengths - window) // stride + 1)
    recordings = np.repeat(np.arange(source.n_samples), counts)
    starts = stride * (np.arange(len(recordings)) - np.repeat(np.cumsum(counts) - counts, counts))
    labels = _labels(source, recordings, starts + window - 1) if source.labeled else None
    kept = np.ones(len(recordings), bool)
    if labels is not None and source.has_step_labels:
        kept = ~np.isin(labels, UNLABELED)
        if not kept.any():
            remedy = "Choose a smaller `stride`, or leave y out."
            raise BadData(source.name, [Violation("the last step of every window", "has no label", remedy=remedy)])
    cut = Cut(
        table=next(table for table in source.tables if "x" in (table.dtype.names or ())),
        recordings=source.first + recordings[kept],
        starts=starts[kept],
        window=window,
    )
    windows = Windows(
        window=window,
        stride=stride,
        whole=source,
        recordings=cut.recordings,
        n_unlabeled=int((~kept).sum()),
        n_short=int((counts == 0).sum()),
    )
    labeled = () if labels is None else (InMemory(name="y", values=labels[kept]),)
    return replace(source, n_samples=int(kept.sum()), first=0, tables=(cut, *labeled), windows=windows)


def _labels(source: Source, recordings: Ints, last: Ints) -> Ints:
    """Return the label of each window: its recording's, or its last step's."""
    table = next(table for table in source.tables if "y" in (table.dtype.names or ()))
    (block,) = table.read(source.first, source.first + source.n_samples, source.n_samples)
    y = block["y"].astype(np.int64)
    labels: Ints = y[recordings, last] if source.has_step_labels else y[recordings]
    return labels
