#!/bin/sh
# tonic 1.7.0: a fixed number of frames leaves out the end of a recording, and more of it with a larger overlap.
#
# Expected: n_time_bins divides the recording into this many frames, and every event is in one of them. By the documentation
#           of SliceByTimeBins, overlap makes each bin longer by that part and leaves their number; the documentation of
#           ToFrame offers it for robustness and has n_time_bins=100, overlap=0.1 as an example.
# Seen:     the bins grow by the factor 1 + overlap, but start only (1 + overlap) (1 - overlap) bins after each other. Of
#           1,000 evenly spaced events in ten frames, an overlap of 0.5 leaves out the last 175, and 0.9 the last 639;
#           n_event_bins loses 175 and 648. Without overlap, the length of a time bin is cut to whole ticks: 60 frames of
#           1,000 events in 100 ms leave out the last 400 when t is in ms, and the last one when t is in us.
# Matters:  a label that the end of a sample decides is learned without it. The frames look complete, and their number is right.
#
# Exit code 0: as described. 1: something has changed. 2: the packages could not be installed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
{ python3 -m venv "$folder/venv" &&
    "$folder/venv/bin/python" -m pip install --quiet 'tonic==1.7.0' 'numpy==2.4.6'; } >&2 || exit 2
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys
from importlib.metadata import version

import numpy as np
import tonic.transforms as tonic

EVENTS = 1000


def recording(ticks):
    """Return evenly spaced events, each at a pixel of its own."""
    events = np.zeros(EVENTS, [("t", "<i8"), ("x", "<i4"), ("y", "<i4"), ("p", "<i4")])
    events["t"] = np.arange(EVENTS) * ticks // EVENTS
    events["x"] = np.arange(EVENTS)
    return events


def left_out(ticks, **chosen):
    """Return how many events are in no frame, all of them later than the events that are in one."""
    frames = tonic.ToFrame(sensor_size=(EVENTS, 1, 1), **chosen)(recording(ticks))
    in_a_frame = frames.sum(axis=(0, 1, 2)) > 0
    covered = int(in_a_frame.sum())
    assert len(frames) == next(iter(chosen.values())) and in_a_frame[:covered].all()
    return EVENTS - covered


print(", ".join(f"{name} {version(name)}" for name in ("tonic", "numpy")))
overlaps, found = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9), {}
for kind in ("n_time_bins", "n_event_bins"):
    found[kind] = [left_out(EVENTS * 1000, **{kind: 10}, overlap=overlap) for overlap in overlaps]
    for overlap, events in zip(overlaps, found[kind], strict=True):
        print(f"{kind}=10, overlap={overlap}: {events} of {EVENTS} events are in no frame")
units = {unit: left_out(ticks, n_time_bins=60) for unit, ticks in (("us", 100_000), ("ms", 100))}
for unit, events in units.items():
    print(f"n_time_bins=60, 100 ms counted in {unit}: {events} of {EVENTS} events are in no frame")
described = {"n_time_bins": [1, 0, 32, 175, 431, 639], "n_event_bins": [0, 0, 38, 175, 438, 648]}
seen = found == described and units == {"us": 1, "ms": 400}
print("as described" if seen else "changed")
sys.exit(not seen)
PYTHON
