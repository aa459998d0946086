"""A .npz of camera events: the events of all samples one after another, and where each sample ends.

======================  =======================================================================================
``events``              structured ``[E]`` with the integer fields ``t`` (us), ``x``, ``y`` and ``p`` (0 or 1), as tonic
                        has them; or arrays ``events_t``, ``events_x``, ``events_y``, ``events_p``. A field may have
                        this name as its title. Without ``y`` the sensor is one row of channels, as SHD's cochlea
                        is; without ``p``, or where all events of a row have one ``p``, there is one polarity
``ends``                integers ``[N]``: sample i is ``events[ends[i - 1]:ends[i]]``, sorted by time
``sensor``              two integers: height, width; for one row the width alone is enough
``labels``              optional integers ``[N]``
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
from .events import FIELDS, POLARITIES, Events, Recording, Sensor, survey
from .npz import Member, names_in, npz_members
from .records import Records
from .samples import n_classes
from .source import Source, Table

APART = tuple(f"events_{name}" for name in FIELDS)
NEEDED = ("t", "x")
UNREAD = {  # arrays of a file of samples, and what to do with them in an event file
    "x": "Keep the events or x: these are two readings.",
    "y": "Name them labels.",
    "scale": "Leave it out, and use `input_scale`, which multiplies the binned events.",
}
LARGEST_SENSOR = 1 << 14  # pixels in height or width
REMEDY = "write it with numpy.savez(path, events=events, ends=ends, sensor=(height, width), labels=labels)"


@dataclass(frozen=True, eq=False, kw_only=True)
class EventFile:
    """The recordings of a file (``events.Recordings``)."""

    tables: tuple[Records, ...]  # read side by side; between them the fields t and x, and optionally y and p
    ends: npt.NDArray[np.int64]  # [N]
    sensor: Sensor

    def read(self, start: int, stop: int) -> Iterator[Recording]:
        """Yield the recordings from ``start`` to ``stop``; one at a time is in memory."""
        cuts = [0, *self.ends.tolist()][start : stop + 1]
        for blocks in zip(*(table.between(cuts) for table in self.tables), strict=True):
            columns = {name: block[name] for block in blocks for name in FIELDS if name in (block.dtype.fields or ())}
            zeros = np.zeros(len(columns["t"]), np.uint8)
            if self.sensor.polarities == 1:
                columns["p"] = zeros
            yield Recording(**{name: columns.get(name, zeros) for name in FIELDS})


def holds_events(path: Path) -> bool:
    """Find out whether a .npz holds camera events."""
    return bool(npz_members(path, "events", APART[0]))


def open_events(path: Path, binning: Binning) -> Source:
    """Open the samples of an event file as frames in time, not yet split; ``n_classes`` is the largest label + 1.

    The file is read once from end to end: every event is checked, and the longest sample gives the number of steps.

    Raises:
        BadFile: not a .npz, damaged, or without an array that is needed.
        BadData: an array or an event breaks a rule; all broken rules are named.
    """
    members = npz_members(path, "events", *APART, "ends", "sensor", "labels", *UNREAD)
    columns = ["events"] if "events" in members else [name for name in APART if name in members]
    needed = ["events"] if "events" in members else [f"events_{name}" for name in NEEDED]
    if missing := [name for name in (*needed, "ends", "sensor") if name not in members]:
        raise BadFile(path, f"holds no array {', '.join(missing)} among its {names_in(path)}", REMEDY)
    fields = _fields(members, columns)
    if found := [
        *_unread(members),
        *_faults_of_events(members, columns),
        *_faults_of_shapes(members, has_rows="y" in fields),
    ]:
        raise BadData(str(path), found)
    n_events = members[columns[0]].shape[0]
    ends, size = (_values(members[name]) for name in ("ends", "sensor"))
    if found := [*_faults_of_ends(ends, n_events), *_faults_of_sensor(size, has_rows="y" in fields)]:
        raise BadData(str(path), found)
    *rows, width = size.tolist()
    recordings = EventFile(
        tables=tuple(_table(members[name]) for name in columns),
        ends=ends,
        sensor=Sensor(
            height=rows[0] if rows else 1,
            width=width,
            polarities=POLARITIES if "p" in fields else 1,
            has_rows="y" in fields,
        ),
    )
    durations = survey(recordings, len(ends), str(path))
    if not recordings.sensor.has_rows and not _differ_in_polarity(recordings):
        recordings = replace(recordings, sensor=replace(recordings.sensor, polarities=1))
    tables: list[Table] = [Events(subject=str(path), recordings=recordings, binning=binning, durations_us=durations)]
    labels = members["labels"].records("y") if "labels" in members else None
    return Source(
        name=str(path),
        split="all",
        n_samples=len(ends),
        n_classes=n_classes(labels, len(ends), str(path)) if labels else None,
        files=(path,),
        stored="events",
        scale=1.0,
        scale_from=binning.counted,
        tables=(*tables, labels) if labels else tuple(tables),
    )


def _unread(members: Mapping[str, Member]) -> Iterator[Violation]:
    for name, remedy in UNREAD.items():
        if name in members:
            yield Violation(name, "cannot be combined with events", remedy=remedy)


def _table(column: Member) -> Records:
    """Read events as records, with their own fields or in one field named by the last letter of the array."""
    records = column.records(column.name[-1])
    return replace(records, dtype=column.dtype) if column.dtype.names else records


def _fields(members: Mapping[str, Member], columns: Sequence[str]) -> set[str]:
    """Find the fields of each event by name or title."""
    known = members["events"].dtype.fields or () if columns == ["events"] else (name[-1] for name in columns)
    return set(known) & set(FIELDS)


def _differ_in_polarity(recordings: EventFile) -> bool:
    seen: set[int] = set()
    for recording in recordings.read(0, len(recordings.ends)):
        seen.update(np.unique(recording.p).tolist())
        if len(seen) > 1:
            return True
    return False


def _values(member: Member) -> npt.NDArray[np.int64]:
    """Read a short array whole."""
    (block,) = member.records().read(0, member.shape[0], member.shape[0])
    values: npt.NDArray[np.int64] = block[member.name].astype(np.int64)
    return values


def _faults_of_events(members: Mapping[str, Member], columns: Sequence[str]) -> Iterator[Violation]:
    for name in columns:
        member = members[name]
        if len(member.shape) != 1 or member.shape != members[columns[0]].shape:
            first = columns[0]
            allowed = "[E], one for each event" if name == first else f"{list(members[first].shape)}, as {first} has"
            yield Violation(f"the shape of {name}", str(list(member.shape)), allowed)
    if columns == ["events"]:
        events = members["events"].dtype
        if events.hasobject or not set(NEEDED) <= set(events.fields or ()):
            allowed = f"a structured type with {', '.join(NEEDED)}, optionally y and p, no objects"
            remedy = "Rename the fields, or give them these titles."
            yield Violation("the type of events", str(events), allowed, remedy)
            return
        types = {name: (f"field {name} of events", events[name]) for name in FIELDS if name in (events.fields or ())}
    else:
        types = {name[-1]: (name, members[name].dtype) for name in columns}
    for name, (where, dtype) in types.items():
        if dtype.kind not in ("iub" if name == "p" else "iu"):
            yield Violation(f"the type of {where}", dtype.name, "an integer type")


def _faults_of_shapes(members: Mapping[str, Member], *, has_rows: bool) -> Iterator[Violation]:
    ends = members["ends"].shape
    if len(ends) != 1 or ends[0] < 1:
        yield Violation("the shape of ends", str(list(ends)), "[N] with 1 sample or more")
    if members["sensor"].shape not in ((2,), *(() if has_rows else ((1,),))):
        allowed = "[2]: height, width" if has_rows else "[1]: width, since the events have no y"
        yield Violation("the shape of sensor", str(list(members["sensor"].shape)), allowed)
    if "labels" in members and members["labels"].shape != ends:
        found = str(list(members["labels"].shape))
        yield Violation("the shape of labels", found, f"{list(ends)}, one for each of ends")
    for name in ("ends", "sensor", "labels"):
        dtype: Any = members[name].dtype if name in members else np.dtype(np.int64)
        if dtype.kind not in "iu":
            yield Violation(f"the type of {name}", dtype.name, "an integer type")


def _faults_of_ends(ends: npt.NDArray[np.int64], n_events: int) -> Iterator[Violation]:
    starts = np.concatenate([[0], ends[:-1]])
    if (ends < starts).any():
        first = int(np.argmax(ends < starts))
        remedy = "Save numpy.cumsum of the numbers of events."
        allowed = f"{starts[first]} or more, the end before"
        yield Violation(f"the end of sample {first}", str(ends[first]), allowed, remedy)
    if ends[-1] != n_events:
        yield Violation("the last of ends", str(ends[-1]), f"{n_events}, the number of events")


def _faults_of_sensor(sensor: npt.NDArray[np.int64], *, has_rows: bool) -> Iterator[Violation]:
    sizes = dict(zip(("width", "height"), reversed(sensor.tolist()), strict=False))
    if not has_rows and sizes.get("height", 1) != 1:
        remedy = "Name the field that holds the row y, or save the width alone."
        yield Violation("the height of sensor", str(sizes["height"]), "1, since the events have no y", remedy)
        return
    for name, size in reversed(sizes.items()):
        if not 1 <= size <= LARGEST_SENSOR:
            yield Violation(f"the {name} of sensor", str(size), f"1 to {LARGEST_SENSOR:,}")
