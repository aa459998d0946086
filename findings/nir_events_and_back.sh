#!/bin/sh
# nir 1.0.8: spikes that TimeGriddedData turns into events, and back into time steps of the same dt, are not the same spikes.
#
# Expected: the docstring of to_event says that n_events limits the events per neuron, so a limit of 10 keeps three neurons
#           with ten spikes each. to_time_gridded(dt) puts every spike into the step it came from, as nir's own test of
#           the two functions asserts for ten steps.
# Seen:     n_events limits all neurons of a sample together: 10 of the 30 spikes remain, the earliest. A spike's time is
#           step * dt, its step the integer part of time / dt, and for many dt the two differ by rounding: with dt = 1e-4,
#           68 of 1,000 spikes come back one step early. With dt = 1e-3 none does in 1,000 steps, but 34 do in 5,000.
#           With time_shift = dt / 2, all come back.
# Matters:  this is NIR's format for the data beside a network. Two spikes that meet in one step become one, and nothing is
#           reported. 1e-4 s is also the dt with which snnTorch and SpikingJelly read NIR files.
#
# Exit code 0: as described. 1: something has changed. 2: the packages could not be installed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
{ python3 -m venv "$folder/venv" &&
    "$folder/venv/bin/python" -m pip install --quiet 'nir==1.0.8' 'numpy==2.4.6' 'h5py==3.16.0'; } >&2 || exit 2
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys
from importlib.metadata import version

import nir
import numpy as np


def early(dt, steps, time_shift=0.0):
    """Return how many spikes come back one step early, of one neuron per step that fires in this step alone."""
    sent = nir.TimeGriddedData(np.eye(steps, dtype=bool)[None], dt)
    received = sent.to_event(n_events=steps, time_shift=time_shift).to_time_gridded(dt)
    moved = np.arange(steps) - received.data[0].argmax(axis=0)
    assert received.data.sum() == steps and set(moved) <= {0, 1}
    return int((moved == 1).sum())


print(", ".join(f"{name} {version(name)}" for name in ("nir", "numpy")))
raster = np.zeros((1, 100, 3), bool)
for neuron, first in enumerate((0, 3, 7)):
    raster[0, first::10, neuron] = True
stored = [nir.TimeGriddedData(raster, 1.0).to_event(n_events=limit) for limit in (10, 30)]
kept = [np.bincount(each.idx[each.idx >= 0], minlength=3).tolist() for each in stored]
print(f"spikes of three neurons {raster[0].sum(axis=0).tolist()}; kept with n_events=10: {kept[0]}; with n_events=30: {kept[1]}")
last = float(stored[0].time[0].max())
print(f"the last event that n_events=10 keeps is in step {last:g} of 100")
described = {(0.1, 10): 0, (1.0, 1000): 0, (1e-3, 1000): 0, (1e-3, 5000): 34, (1e-2, 1000): 68, (5e-3, 1000): 68, (1e-4, 1000): 68}
counts = {(dt, steps): early(dt, steps) for dt, steps in described}
for (dt, steps), count in counts.items():
    print(f"dt = {dt:g}: {count} of {steps} spikes come back one step early")
shifted = early(1e-4, 1000, time_shift=5e-5)
print(f"dt = 0.0001, time_shift = dt / 2: {shifted}")
both = nir.TimeGriddedData(np.ones((1, 1000, 1), bool), 1e-4)
silent = np.flatnonzero(~both.to_event(n_events=1000).to_time_gridded(1e-4).data)
print(f"dt = 0.0001, a neuron that fires in each of 1000 steps comes back with {1000 - silent.size} spikes")
seen = kept == [[4, 3, 3], [10, 10, 10]] and last == 30 and shifted == 0 and silent.size == 68 and counts == described
print("as described" if seen else "changed")
sys.exit(not seen)
PYTHON
