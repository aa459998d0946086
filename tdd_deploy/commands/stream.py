"""Measure whether a delta code pays on a stream, before there is a network."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdd_deploy.data import Choice, Source
from tdd_deploy.data.changes import Changes, default_thresholds
from tdd_deploy.errors import BadOption
from tdd_deploy.files import check_folder, filling, write_json
from tdd_deploy.options.stream import StreamOptions
from tdd_deploy.runtime.progress import Progress, unseen
from tdd_deploy.simulator.reports import pictures, stream_pictures
from tdd_deploy.simulator.reports.stream import channels_table, stream_verdict, thresholds_table
from tdd_deploy.tables import as_csv

from .load import chosen_samples, describe_source

FILES = ("stream.json", "channels.csv", "thresholds.csv", "stream.svg")
LARGEST_BATCH = 1 << 22  # numbers
MOST_SAMPLES = 64  # in a batch
MOST_CHANNELS = 16  # with a row each
MOST_EXTREMES = 3  # values that save most events, and as many that lose most
MOST_POINTS = 500  # of the picture
POLARITIES = ("off", "on")
SCHEMA_VERSION = 1
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False, kw_only=True)
class Stream:
    """What was measured on a stream.

    Attributes:
        changes: all counts; the first threshold is 0.
        data: the samples and how they were read, as plain values.
        dt_s: seconds per time step; None if not known.
        thresholds_from: how the thresholds were chosen.
        names: of the channels, if these have names.
    """

    changes: Changes
    data: dict[str, Any]
    dt_s: float | None
    thresholds_from: str
    names: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the report as plain values."""
        report = {
            "data": self.data,
            "dt_s": self.dt_s,
            "samples": self.changes.n_samples,
            "n_steps": self.changes.n_steps,
            "mean_steps": self.changes.n / self.changes.n_samples,
            "step_shape": list(self.changes.nonzero.shape),
            "is_binary": self.changes.is_binary,
            "total": self._row("all", np.ones(self.changes.nonzero.shape, bool)),
            "channels": list(self._channels()),
            "extremes": list(self._extremes()),
            "thresholds": list(self._thresholds()),
            "thresholds_from": self.thresholds_from,
        }
        return {"schema_version": SCHEMA_VERSION, "verdict": stream_verdict(report), **report}

    def points(self) -> list[tuple[float, float]]:
        """Return rates and change rates of the values, at most ``MOST_POINTS``, evenly spaced by rate."""
        rates, changed = self.changes.rates.ravel(), (self.changes.changed / self.changes.n).ravel()
        order = np.lexsort((changed, rates))
        if len(order) > MOST_POINTS:
            order = order[np.linspace(0, len(order) - 1, MOST_POINTS).round().astype(int)]
        return [(float(rates[i]), float(changed[i])) for i in order]

    def _row(self, name: str, places: Mask) -> dict[str, Any]:
        nonzero, changed = (int(each[places].sum()) for each in (self.changes.nonzero, self.changes.changed))
        n_values = int(places.sum())
        n = n_values * self.changes.n
        return {
            "name": name,
            "values": n_values,
            "nonzero": nonzero,
            "changes": changed,
            "rate": nonzero / n,
            "change_rate": changed / n,
            "independent_rate": float(self.changes.independent[places].mean()),
            "changes_per_nonzero": changed / nonzero if nonzero else None,
        }

    def _channels(self) -> Iterator[dict[str, Any]]:
        """Yield a row per channel, the first axis of a time step; none if there are too many, or only one."""
        shape = self.changes.nonzero.shape
        if not shape or not 1 < shape[0] <= MOST_CHANNELS:
            return
        for i in range(shape[0]):
            places = np.zeros(shape, bool)
            places[i] = True
            yield self._row(self.names[i] if self.names else str(i), places)

    def _extremes(self) -> Iterator[dict[str, Any]]:
        """Yield those of many values that save most events as deltas, then those that lose most."""
        shape = self.changes.nonzero.shape
        if math.prod(shape) <= MOST_CHANNELS:
            return
        saved = (self.changes.nonzero - self.changes.changed).ravel()
        order = np.argsort(-saved, kind="stable")
        most = [i for i in order[:MOST_EXTREMES] if saved[i] > 0]
        least = [i for i in order[::-1][:MOST_EXTREMES] if saved[i] < 0]
        for i in [*most, *least[::-1]]:
            places = np.zeros(shape, bool)
            places.flat[i] = True
            yield self._row(str([int(axis) for axis in np.unravel_index(i, shape)]), places)

    def _thresholds(self) -> Iterator[dict[str, Any]]:
        changes = self.changes
        nonzero, all_changes = int(changes.nonzero.sum()), int(changes.changed.sum())
        for held in changes.held:
            per_step = held.events / changes.n
            yield {
                "threshold": held.threshold,
                "events": held.events,
                "events_per_step": per_step,
                "events_per_s": None if self.dt_s is None else per_step / self.dt_s,
                "events_per_nonzero": held.events / nonzero if nonzero else None,
                "kept": held.events / all_changes if all_changes else None,
                "largest_error": held.error,
            }


def stream(
    data: Choice,
    *,
    options: StreamOptions = StreamOptions(),
    out: Path | None = None,
    progress: Progress = unseen,
) -> Stream:
    """Measure rates and changes of a stream, and what thresholds leave of them; no network is needed.

    The first axis of every sample is time.

    Args:
        data: the samples.
        options: thresholds, and the length of a time step.
        out: a folder for stream.json, channels.csv, thresholds.csv and stream.svg.
        progress: receives the number of finished samples.

    Raises:
        BadOption: a time step has two lengths.
        BadData: the samples have no time axis.
        MissingDependency: matplotlib is not installed, which ``out`` needs.
        TddDeployError: anything else wrong with a file or the data.
    """
    if out is not None:
        pictures.require("stream.svg")
        check_folder(out, FILES)
    source = data.open_stream()
    dt_s = _dt_s(source, options.dt_s)
    n_samples = chosen_samples(source, data)
    thresholds, origin = _thresholds(source, n_samples, options.thresholds)
    found = None
    lengths = source.lengths
    for values in _batches(source, n_samples):
        done = 0 if found is None else found.n_samples
        n = None if lengths is None else int(lengths[done : done + values.shape[1]].sum())
        counted = Changes.of(values, thresholds, n=n)
        found = counted if found is None else found + counted
        progress(found.n_samples, n_samples)
    assert found is not None  # a source without samples is refused
    is_camera = source.binned is not None and source.binned.polarities == len(POLARITIES)
    made = Stream(
        changes=found,
        data=describe_source(source),
        dt_s=dt_s,
        thresholds_from=origin,
        names=POLARITIES if is_camera and found.nonzero.shape[0] == len(POLARITIES) else (),
    )
    if out is not None:
        _write(out, made)
    return made


def _dt_s(source: Source, stated: float | None) -> float | None:
    """Find the length of a time step, if somebody knows it."""
    bin_us = source.binned.binning.bin_us if source.binned else None
    if bin_us is not None and stated is not None:
        raise BadOption("dt_s", f"cannot be combined with `bin_us={bin_us}`, which states it", remedy="Leave it out.")
    return stated if bin_us is None else bin_us / 1e6


def _thresholds(source: Source, n_samples: int, wanted: Sequence[float]) -> tuple[tuple[float, ...], str]:
    """Return 0 and all thresholds in order, and where they come from."""
    chosen, origin = tuple(wanted), "as asked for"
    if not wanted:
        first = next(_batches(source, n_samples))
        chosen, how = default_thresholds(first)
        samples = f"the first {first.shape[1]:,} samples" if first.shape[1] > 1 else "the first sample"
        origin = f"{how}, in {samples}"
    return tuple(sorted({0.0, *chosen})), origin


def _batches(source: Source, n_samples: int) -> Iterator[NDArray[np.float32]]:
    """Yield batches ``[n_steps, B, *shape]``."""
    size = max(1, min(MOST_SAMPLES, LARGEST_BATCH // math.prod(source.sample_shape)))
    for batch in source.batches(size, limit=n_samples):
        yield batch.x.swapaxes(0, 1)


def _write(out: Path, made: Stream) -> None:
    """Write all files; a failure changes nothing."""
    report = made.as_json()
    with filling(out) as folder:
        write_json(folder / "stream.json", report)
        (folder / "channels.csv").write_text(as_csv(channels_table(report)), encoding="utf-8")
        (folder / "thresholds.csv").write_text(as_csv(thresholds_table(report)), encoding="utf-8")
        picture = stream_pictures.changes_by_rate(made.points(), report)
        (folder / "stream.svg").write_text(picture.svg, encoding="utf-8")
