"""Recordings of event cameras as samples: binned when a batch is read, so that no more than a batch is ever dense."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tdd_deploy.errors import BadData, Violation
from tdd_deploy.options.dataset import LONGEST_US

from .binning import Binned, Binning

MOST_VALUES = 1 << 28  # of a sample: a GiB of float32
FIELDS = ("t", "x", "y", "p")
POLARITIES = 2  # channel 0: darker (off), channel 1: brighter (on)


@dataclass(frozen=True, kw_only=True)
class Sensor:
    """The sensor of a camera: pixels in rows, or one row of channels without a coordinate ``y``."""

    height: int
    width: int
    polarities: int = POLARITIES  # 1: the events have no polarity, or all have the same
    has_rows: bool = True

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.height, self.width

    def frame_shape(self, by: int) -> tuple[int, ...]:
        """Return the shape of a time step after summing ``by`` x ``by`` pixels, or ``by`` channels of a row."""
        if self.has_rows:
            return self.polarities, self.height // by, self.width // by
        return (*((self.polarities,) if self.polarities > 1 else ()), self.width // by)

    def summed(self, by: int) -> tuple[int, int]:
        """Return how many rows and columns are summed into one."""
        return by if self.has_rows else 1, by


@dataclass(frozen=True, eq=False, kw_only=True)
class Recording:
    """The events of one sample, in order of time; each array ``[n_events]``, of integers or booleans."""

    t: npt.NDArray[Any]  # us
    x: npt.NDArray[Any]  # column, from 0 on
    y: npt.NDArray[Any]  # row, from 0 on
    p: npt.NDArray[Any]  # 0: darker, 1: brighter

    @property
    def duration_us(self) -> int:
        """Time from the first to the last event."""
        return int(self.t[-1]) - int(self.t[0]) if len(self.t) else 0

    def faults(self, sensor: Sensor, sample: int) -> Iterator[tuple[str, Violation]]:
        """Yield each broken rule with the first event that breaks it."""
        limits = (("x", sensor.width, ""), ("y", sensor.height, ""), ("p", sensor.polarities, "Save p > 0."))
        for name, size, remedy in limits:
            values = getattr(self, name)
            if (event := _first((values < 0) | (values >= size))) is not None:
                where = f"{name} of event {event} in sample {sample}"
                yield name, Violation(where, f"{values[event]:d}", f"0 to {size - 1}", remedy)
        if (event := _first(self.t[1:] < self.t[:-1])) is not None:
            where = f"t of event {event + 1} in sample {sample}"
            allowed = f"{self.t[event]} us or more, the time of the event before"
            yield "t", Violation(where, f"{self.t[event + 1]} us", allowed, "Sort the events of a sample by t.")
        elif self.duration_us > LONGEST_US:
            allowed = f"at most {LONGEST_US:,} us, which are 13 days"
            yield "length", Violation(f"the duration of sample {sample}", f"{self.duration_us:,} us", allowed)


def _first(wrong: npt.NDArray[np.bool_]) -> int | None:
    return int(np.argmax(wrong)) if wrong.any() else None


class Recordings(Protocol):
    """Recordings of one camera, in order."""

    @property
    def sensor(self) -> Sensor:
        """Pixels of the camera."""
        ...

    def read(self, start: int, stop: int) -> Iterator[Recording]:
        """Yield the recordings from ``start`` to ``stop``; one at a time is in memory."""
        ...


@dataclass(frozen=True, eq=False, kw_only=True)
class Events:
    """A table of samples (``source.Table``) with the field x: frames ``[n_steps, *Sensor.frame_shape]`` of events.

    Attributes:
        subject: name of the events, for errors.
        recordings: where the events come from.
        binning: how the events are cut.
        durations_us: of every recording; None if unknown, since all recordings would have to be read.
    """

    subject: str
    recordings: Recordings
    binning: Binning
    durations_us: npt.NDArray[np.int64] | None = field(repr=False)

    def __post_init__(self) -> None:
        if found := list(self._faults()):
            raise BadData(self.subject, found)

    @property
    def n_steps(self) -> int:
        """Time steps of every sample."""
        return self.binning.steps_for(0 if self.durations_us is None else int(self.durations_us.max()))

    @property
    def lengths(self) -> npt.NDArray[np.int64] | None:
        """The time steps until each recording ends; None where it is not known."""
        if self.binning.bin_us is None or self.durations_us is None:
            return None
        return np.minimum(self.durations_us // self.binning.bin_us + 1, self.n_steps)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of one sample."""
        return np.dtype([("x", "f4", self._shape)])

    def read(self, start: int, stop: int, size: int) -> Iterator[npt.NDArray[Any]]:
        """Yield the samples from ``start`` to ``stop``, ``size`` at a time; one block at a time is in memory.

        Raises:
            BadData: the events of a sample break a rule.
            BadFile: the file is damaged.
        """
        recordings = self.recordings.read(start, stop)
        for first in range(start, stop, size):
            block = np.zeros(min(size, stop - first), self.dtype)
            for i, (frames, recording) in enumerate(zip(block["x"], recordings, strict=False), first):
                if found := [violation for _, violation in recording.faults(self.recordings.sensor, i)]:
                    raise BadData(self.subject, found)
                self._add(recording, frames)
            yield block

    def binned(self, samples: range) -> Binned:
        """Describe how these samples were cut, for a report."""
        n_cut = 0 if self.binning.bins else None
        if self.binning.bin_us and self.durations_us is not None:
            n_cut = int((self.durations_us[samples.start : samples.stop] >= self.n_steps * self.binning.bin_us).sum())
        sensor = self.recordings.sensor
        return Binned(
            binning=self.binning, n_steps=self.n_steps, sensor=sensor.size, polarities=sensor.polarities, n_cut=n_cut
        )

    @property
    def _shape(self) -> tuple[int, ...]:
        return self.n_steps, *self.recordings.sensor.frame_shape(self.binning.downsample)

    def _faults(self) -> Iterator[Violation]:
        sensor = self.recordings.sensor
        height, width = sensor.size
        rows, columns = sensor.summed(self.binning.downsample)
        if height % rows or width % columns:
            sizes = f"{height} and {width} pixels" if sensor.has_rows else f"{width} channels"
            yield Violation("`downsample`", str(columns), f"a divisor of the sensor's {sizes}")
        size = self.n_steps * sensor.polarities * height * width // (rows * columns)
        if size > MOST_VALUES:
            found = f"{size:,} for {self.n_steps:,} time steps of {height} x {width} pixels"
            remedy = "Choose longer or fewer bins."
            yield Violation("the numbers in a sample", found, f"at most {MOST_VALUES:,}", remedy)

    def _add(self, recording: Recording, frames: npt.NDArray[np.float32]) -> None:
        """Add the events of a sample to its frames ``[n_steps, *Sensor.frame_shape]``, all zero."""
        sensor = self.recordings.sensor
        rows, columns = sensor.summed(self.binning.downsample)
        height, width = sensor.height // rows, sensor.width // columns
        t, x, y, p = (getattr(recording, name).astype(np.int64) for name in FIELDS)
        steps = self.binning.step_of(t - t[:1])
        places = ((steps * sensor.polarities + p) * height + y // rows) * width + x // columns
        kept = places[: np.searchsorted(steps, self.n_steps)]
        if self.binning.bin_value == "binary":
            frames.reshape(-1)[kept] = 1
        else:
            np.add.at(frames.reshape(-1), kept, 1)


def survey(recordings: Recordings, n: int, subject: str) -> npt.NDArray[np.int64]:
    """Read all recordings once, check them, and measure how long each lasts, in us.

    Raises:
        BadData: rules are broken; each is named with the first event that breaks it.
    """
    durations = np.zeros(n, np.int64)
    found: dict[str, Violation] = {}
    for i, recording in enumerate(recordings.read(0, n)):
        for rule, violation in recording.faults(recordings.sensor, i):
            found.setdefault(rule, violation)
        if not found:
            durations[i] = recording.duration_us
    if found:
        raise BadData(subject, list(found.values()))
    return durations
