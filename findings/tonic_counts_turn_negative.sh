#!/bin/sh
# tonic 1.7.0: a pixel with more than 32,767 events in a frame has a negative count, and the total is wrong without a word.
#
# Expected: ToFrame and ToImage accumulate events, so the sum of a frame is the number of its events. A pixel that sees a
#           lamp flicker at 1 kHz for 40 s sends 40,000 events of each polarity.
# Seen:     frames are int16. 32,767 events are counted, 32,768 become -32,768, 40,000 become -25,536, and 65,536 become 0,
#           as if the pixel had been silent. All four ways to cut a recording and ToImage do so; no warning is given.
# Matters:  one hot pixel makes an image negative or dark where it was brightest. Normalization by the largest count then
#           divides by that of another pixel. A count that wraps around to 0 cannot be told from no events at all.
#
# Exit code 0: as described. 1: something has changed. 2: the packages could not be installed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
{ python3 -m venv "$folder/venv" &&
    "$folder/venv/bin/python" -m pip install --quiet 'tonic==1.7.0' 'numpy==2.4.6'; } >&2 || exit 2
"$folder/venv/bin/python" -W error::RuntimeWarning - <<'PYTHON'
import sys
from importlib.metadata import version

import numpy as np
import tonic.transforms as tonic

SENSOR = (2, 1, 1)


def counted(transform, n):
    """Return the sum over all frames of n events of one pixel, one per microsecond."""
    events = np.zeros(n, [("t", "<i8"), ("x", "<i4"), ("y", "<i4"), ("p", "<i4")])
    events["t"] = np.arange(n)
    return int(transform(events).astype(np.int64).sum())


print(", ".join(f"{name} {version(name)}" for name in ("tonic", "numpy")))
found = {n: counted(tonic.ToImage(sensor_size=SENSOR), n) for n in (32767, 32768, 40000, 65536)}
for n, count in found.items():
    print(f"ToImage: {n} events of one pixel are counted as {count}")
ways = {"time_window": 40000, "event_count": 40000, "n_event_bins": 1}
frames = {name: counted(tonic.ToFrame(sensor_size=SENSOR, **{name: value}), 40000) for name, value in ways.items()}
for name, count in frames.items():
    print(f"ToFrame, {name}={ways[name]}: 40000 events of one pixel are counted as {count}")
seen = found == {32767: 32767, 32768: -32768, 40000: -25536, 65536: 0} and set(frames.values()) == {-25536}
print("as described" if seen else "changed")
sys.exit(not seen)
PYTHON
