#!/bin/sh
# evlib 0.13.2 adds the roll-over of EVT2 again with every EVT_TIME_HIGH that follows it.
#
# Expected: EVT2 states time in 34 bits, which roll over after 4.77 hours. Six events 50 ms apart, around that time,
#           are 50 ms apart after reading.
# Seen:     the events before the roll-over and the first one after it are right. Each later event with a new
#           EVT_TIME_HIGH comes another 4.77 hours later, so the sixth is at 19 hours.
# Matters:  recordings of more than 4.77 hours, such as those of a camera that watches a place.
#
# Source:   EVT 2.0 as documented by Prophesee. faery 0.7.1 reads the same file with the times that it states.
#
# Exit code 0: as described. 1: something has changed. 2: the packages could not be installed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
{ python3 -m venv "$folder/venv" &&
    "$folder/venv/bin/python" -m pip install --quiet evlib==0.13.2 faery==0.7.1 'numpy<3'; } >&2 || exit 2
"$folder/venv/bin/python" -W ignore - "$folder/events.raw" 2>/dev/null <<'PYTHON'
import sys
from importlib.metadata import version
from pathlib import Path

import evlib
import faery
import numpy as np

path = Path(sys.argv[1])
print(", ".join(f"{name} {version(name)}" for name in ("evlib", "faery", "numpy")))
turn = 1 << 34  # us
times = [turn - 100_000 + 50_000 * i for i in range(6)]
words = []
for t in times:
    words.append(0x8 << 28 | t >> 6 & (1 << 28) - 1)  # EVT_TIME_HIGH: 28 bits
    words.append(1 << 28 | (t & 63) << 22 | 7 << 11 | 5)  # CD_ON: 6 lower bits of the time, column 7, row 5
path.write_bytes(b"% evt 2.0\n% format EVT2;height=720;width=1280\n% end\n" + np.array(words, "<u4").tobytes())
column = evlib.load_events(str(path)).collect()["t"].to_list()
read = {
    "faery": faery.events_stream_from_file(path).to_array()["t"].tolist(),
    "evlib": [round(each.total_seconds() * 1e6) for each in column],
}
gaps = {name: np.diff(t).tolist() for name, t in read.items()}
print(f"stated: gaps of {np.diff(times).tolist()} us")
for name, found in gaps.items():
    print(f"{name}: gaps of {found} us")
as_described = gaps["faery"] == [50_000] * 5 and gaps["evlib"][:2] == [50_000] * 2
as_described &= all(gap == turn + 50_000 for gap in gaps["evlib"][2:])
print("as described" if as_described else "changed")
sys.exit(not as_described)
PYTHON
