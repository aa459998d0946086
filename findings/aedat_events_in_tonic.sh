#!/bin/sh
# aedat 2.3.0 and faery 0.7.1 read AEDAT4 events that tonic 1.7.0 does not accept, though their field p can be read.
#
# Expected: both readers give a structured array on which events["p"] works, so tonic's transforms take it.
# Seen:     the polarity field is named "on" and only titled "p". numpy resolves a title in events["p"], but
#           dtype.names does not list it. ToFrame and ToVoxelGrid raise an AssertionError without a message, and
#           ToTimesurface raises "tuple.index(x): x not in tuple". The same events with a field named p pass.
# Matters:  whoever reads AEDAT4 and saves the array hands it on with this dtype, since numpy.save keeps titles.
#
# Exit code 0: as described. 1: something has changed. 2: the packages could not be installed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
{ python3 -m venv "$folder/venv" &&
    "$folder/venv/bin/python" -m pip install --quiet aedat==2.3.0 faery==0.7.1 tonic==1.7.0 'numpy<3'; } >&2 || exit 2
"$folder/venv/bin/python" -W ignore - "$folder/events.aedat4" <<'PYTHON'
import sys
from importlib.metadata import version

import aedat
import faery
import numpy as np
import tonic.transforms as tonic

path, size = sys.argv[1], (8, 8, 2)
rng = np.random.default_rng(0)
plain = np.zeros(200, [("t", "<u8"), ("x", "<u2"), ("y", "<u2"), ("p", "?")])
plain["t"] = np.sort(rng.integers(0, 10_000, 200))
for field, end in (("x", 8), ("y", 8), ("p", 2)):
    plain[field] = rng.integers(0, end, 200)
faery.events_stream_from_array(plain.astype(faery.EVENTS_DTYPE), dimensions=size[:2]).to_file(path)
read = {
    "aedat": np.concatenate([packet["events"] for packet in aedat.Decoder(path) if "events" in packet]),
    "faery": faery.events_stream_from_file(path).to_array(),
}
transforms = {
    "ToFrame": tonic.ToFrame(sensor_size=size, time_window=1000),
    "ToVoxelGrid": tonic.ToVoxelGrid(sensor_size=size, n_time_bins=4),
    "ToTimesurface": tonic.ToTimesurface(sensor_size=size, dt=1000, tau=1000),
}
print(", ".join(f"{name} {version(name)}" for name in ("aedat", "faery", "tonic", "numpy")))
as_described = True
for name, events in (("a field named p", plain), *read.items()):
    same = all((events[field] == plain[field]).all() for field in plain.dtype.names)
    print(f"{name}: {events.dtype.names}, the same events by t, x, y, p: {same}")
    for transform, apply in transforms.items():
        try:
            outcome = f"an array {apply(events.copy()).shape}"
        except (AssertionError, ValueError) as error:
            outcome = f"{type(error).__name__}({str(error)!r})"
        print(f"  {transform}: {outcome}")
        as_described &= same and outcome.startswith("an array") == (events is plain)
print("as described" if as_described else "changed")
sys.exit(not as_described)
PYTHON
