"""A .npz of camera events: the events of all samples one after another, and where each sample ends.

======================  =======================================================================================
``events``              structured ``[E]`` with the integer fields ``t`` (us), ``x``, ``y`` and ``p`` (0 or 1), as tonic
                        has them; or four arrays ``events_t``, ``events_x``, ``events_y``, ``events_p``
``ends``                integers ``[N]``: sample i is ``events[ends[i - 1]:ends[i]]``, sorted by time
``sensor``              two integers: height, width
``labels``              where wanted, integers ``[N]``
======================  =======================================================================================
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tdd_deploy.errors import BadData, BadFile, Violation

from .binning import Binning
from .events import FIELDS, Events, Recording, Sensor, survey
from .npz import Member, n_classes, names_in, npz_members
from .records import Records
from .source import Source, Table

APART = tuple(f"events_{name}" for name in FIELDS)
LARGEST_SENSOR = 1 << 14  # pixels in height or width
REMEDY = "write it with numpy.savez(path, events=events, ends=ends, sensor=(height, width), labels=labels)"


@dataclass(frozen=True, eq=False, kw_only=True)
class EventFile:
    """The recordings of a file (``events.Recordings``)."""

    tables: tuple[Records, ...]  # read side by side; between them the fields t, x, y and p
    ends: npt.NDArray[np.int64]  # [N]
    sensor: Sensor

    def read(self, start: int, stop: int) -> Iterator[Recording]:
        """Yield the recordings from ``start`` to ``stop``; one is in memory."""
        cuts = [0, *self.ends.tolist()][start : stop + 1]
        for blocks in zip(*(table.between(cuts) for table in self.tables), strict=True):
            columns = {name: block[name] for block in blocks for name in block.dtype.names or ()}
            yield Recording(**{name: columns[name] for name in FIELDS})


def holds_events(path: Path) -> bool:
    """Say whether a .npz holds camera events."""
    return bool(npz_members(path, "events", APART[0]))


def open_events(path: Path, binning: Binning) -> Source:
    """Return the samples of an event file as frames in time, not yet split; ``n_classes`` is the largest label + 1.

    The file is read through once, since no event of it is trusted and the longest sample says how many steps there are.

    Raises:
        BadFile: not a .npz, damaged, or without an array that is needed.
        BadData: an array or an event breaks a rule; all rules that are broken are named.
    """
    members = npz_members(path, "events", *APART, "ends", "sensor", "labels")
    columns = ["events"] if "events" in members else list(APART)
    if missing := [name for name in (*columns, "ends", "sensor") if name not in members]:
        raise BadFile(path, f"holds no array {', '.join(missing)} among its {names_in(path)}", REMEDY)
    if found := [*_faults_of_events(members, columns), *_faults_of_shapes(members)]:
        raise BadData(str(path), found)
    n_events = members[columns[0]].shape[0]
    ends, sensor = (_values(members[name]) for name in ("ends", "sensor"))
    if found := [*_faults_of_ends(ends, n_events), *_faults_of_sensor(sensor)]:
        raise BadData(str(path), found)
    recordings = EventFile(
        tables=tuple(_table(members[name]) for name in columns),
        ends=ends,
        sensor=(int(sensor[0]), int(sensor[1])),
    )
    durations = survey(recordings, len(ends), str(path))
    tables: list[Table] = [Events(subject=str(path), recordings=recordings, binning=binning, durations_us=durations)]
    labels = members["labels"].records("y") if "labels" in members else None
    return Source(
        name=str(path),
        split="all",
        n_samples=len(ends),
        n_classes=n_classes(labels) if labels else None,
        files=(path,),
        scale=1.0,
        tables=(*tables, labels) if labels else tuple(tables),
    )


def _table(column: Member) -> Records:
    """Return events, with their own fields or in one field, named by the last letter of the array."""
    records = column.records(column.name[-1])
    return replace(records, dtype=column.dtype) if column.dtype.names else records


def _values(member: Member) -> npt.NDArray[np.int64]:
    """Return a short array whole."""
    (block,) = member.records().read(0, member.shape[0], member.shape[0])
    values: npt.NDArray[np.int64] = block[member.name].astype(np.int64)
    return values


def _faults_of_events(members: Mapping[str, Member], columns: Sequence[str]) -> Iterator[Violation]:
    for name in columns:
        member = members[name]
        if len(member.shape) != 1 or member.shape != members[columns[0]].shape:
            allowed = "[E], one for each event" if name == columns[0] else f"that of {columns[0]}"
            yield Violation(name, f"shape is {list(member.shape)}", allowed)
    if columns == list(APART):
        types = {name: members[name].dtype for name in columns}
    else:
        events = members["events"].dtype
        if events.hasobject or not set(FIELDS) <= set(events.names or ()):
            yield Violation("events", f"type is {events}", f"a structured type with {', '.join(FIELDS)}, no objects")
            return
        types = {f"events, field {name}": events[name] for name in FIELDS}
    for (where, dtype), field in zip(types.items(), FIELDS, strict=True):
        if dtype.kind not in ("iub" if field == "p" else "iu"):
            yield Violation(where, f"type is {dtype.name}", "an integer type")


def _faults_of_shapes(members: Mapping[str, Member]) -> Iterator[Violation]:
    ends = members["ends"].shape
    if len(ends) != 1 or ends[0] < 1:
        yield Violation("ends", f"shape is {list(ends)}", "[N] with 1 sample or more")
    if members["sensor"].shape != (2,):
        yield Violation("sensor", f"shape is {list(members['sensor'].shape)}", "[2]: height, width")
    if "labels" in members and members["labels"].shape != ends:
        found = f"shape is {list(members['labels'].shape)}"
        yield Violation("labels", found, f"{list(ends)}, one for each of ends")
    for name in ("ends", "sensor", "labels"):
        dtype: Any = members[name].dtype if name in members else np.dtype(np.int64)
        if dtype.kind not in "iu" or not np.can_cast(dtype, np.int64):
            yield Violation(name, f"type is {dtype.name}", "an integer type within int64")


def _faults_of_ends(ends: npt.NDArray[np.int64], n_events: int) -> Iterator[Violation]:
    starts = np.concatenate([[0], ends[:-1]])
    if (ends < starts).any():
        first = int(np.argmax(ends < starts))
        remedy = "Save numpy.cumsum of the numbers of events."
        yield Violation(
            "ends", f"sample {first} ends at {ends[first]}, before {starts[first]}", "no end before", remedy
        )
    if ends[-1] != n_events:
        yield Violation("ends", f"the last is {ends[-1]}", f"{n_events}, as many as there are events")


def _faults_of_sensor(sensor: npt.NDArray[np.int64]) -> Iterator[Violation]:
    for name, size in zip(("height", "width"), sensor.tolist(), strict=True):
        if not 1 <= size <= LARGEST_SENSOR:
            yield Violation("sensor", f"{name} is {size}", f"1 to {LARGEST_SENSOR:,}")
