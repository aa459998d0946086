#!/bin/sh
# expelliarmus 1.1.12 reads 40 s of EVT3 as 80 s, and does not read back the times that it wrote itself.
#
# Expected: EVT3 states time in 24 bits: EVT_TIME_HIGH holds the upper 12, EVT_TIME_LOW the lower 12. The file holds an
#           event per millisecond, and every value of EVT_TIME_HIGH in order, so its last event is at 39.999 s.
# Seen:     the first five times are right. The event after the first change of EVT_TIME_HIGH is 4,096 us late, each
#           later change adds as much, and the last event is at about 80 s. An array with one event per 10 ms over 20 s,
#           saved by expelliarmus as EVT3 and read by it again, lasts 3.6 s. The same array as EVT2 is read right.
# Matters:  rates halve, and windows of time hold half of their events, without a warning.
#
# Source:   EVT 3.0 as documented by Prophesee. faery 0.7.1 reads the same file with the times that it states.
#
# Exit code 0: as described. 1: something has changed. 2: the packages could not be installed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
{ python3 -m venv "$folder/venv" &&
    "$folder/venv/bin/python" -m pip install --quiet expelliarmus==1.1.12 faery==0.7.1 'numpy<3'; } >&2 || exit 2
"$folder/venv/bin/python" -W ignore - "$folder" <<'PYTHON'
import sys
from importlib.metadata import version
from pathlib import Path

import faery
import numpy as np
from expelliarmus import Wizard

folder = Path(sys.argv[1])
print(", ".join(f"{name} {version(name)}" for name in ("expelliarmus", "faery", "numpy")))

times = np.arange(0, 40_000_000, 1000)
words, high = [], -1
for t in times.tolist():
    while high < t >> 12:
        high += 1
        words.append(0x8000 | high & 0xFFF)  # EVT_TIME_HIGH
    words += [0x6000 | t & 0xFFF, 5, 0x2800 | 7]  # EVT_TIME_LOW, EVT_ADDR_Y: 5, EVT_ADDR_X: 7, polarity 1
header = b"% evt 3.0\n% format EVT3;height=720;width=1280\n% end\n"
path = folder / "by_hand.raw"
path.write_bytes(header + np.array(words, "<u2").tobytes())
read = {
    "faery": faery.events_stream_from_file(path).to_array()["t"],
    "expelliarmus": Wizard(encoding="evt3").read(str(path))["t"],
}
print(f"stated: {len(times):,} events, times {times[:6].tolist()} ... {times[-1]:,} us")
for name, t in read.items():
    print(f"{name}: {len(t):,} events, times {t[:6].tolist()} ... {t[-1]:,} us")
as_described = np.array_equal(read["faery"], times)
as_described &= len(read["expelliarmus"]) == len(times) and 1.9 < read["expelliarmus"][-1] / times[-1] < 2.1

own = np.zeros(2000, [("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("p", "u1")])
own["t"] = np.arange(2000) * 10_000
for encoding, is_right in (("evt2", True), ("evt3", False)):
    saved = str(folder / f"{encoding}.raw")
    Wizard(encoding=encoding).save(fpath=saved, arr=own)
    t = Wizard(encoding=encoding).read(saved)["t"]
    print(f"{encoding}, saved and read by expelliarmus: ends at {t[-1]:,} us, saved {own['t'][-1]:,}")
    as_described &= np.array_equal(t, own["t"]) == is_right
print("as described" if as_described else "changed")
sys.exit(not as_described)
PYTHON
