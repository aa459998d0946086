#!/bin/sh
# snnTorch 1.0.0: a recurrent neuron whose recurrent weights are all zero does not fire like the plain neuron.
#
# Expected: with V = 0 nothing comes back, so RLeaky fires as Leaky does, and RSynaptic as Synaptic does, for every
#           reset_mechanism and reset_delay.
# Seen:     RLeaky with reset_mechanism="zero" and the default reset_delay=True also drops the input of the step in which
#           it resets; Leaky keeps that input. RSynaptic with reset_delay=False resets one step late all the same;
#           Synaptic obeys. The other five of eight pairs agree.
# Matters:  export_to_nir writes the same nodes for all of these settings, so a reader of the file has to be given the
#           reset of every layer.
#
# Exit code 0: as described. 1: something has changed. 2: the packages could not be installed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
{ python3 -m venv "$folder/venv" &&
    "$folder/venv/bin/python" -m pip install --quiet 'snntorch==1.0.0' 'torch==2.13.0' 'numpy<3'; } >&2 || exit 2
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys
from importlib.metadata import version

import snntorch as snn
import torch

INPUTS = (7 * torch.arange(24) % 13 + 4).reshape(-1, 1, 1) / 16


def spikes(name, cell, is_recurrent):
    fired, spike, state = [], torch.zeros(1, 1), [torch.zeros(1, 1)] * (2 if hasattr(cell, "alpha") else 1)
    for x in INPUTS * (0.5 if name == "Synaptic" else 1):  # the mean current is then the same
        spike, *state = cell(x, *([spike] if is_recurrent else []), *state)
        fired.append(int(spike.item()))
    return fired


def pair(name, **chosen):
    times = {"beta": 0.9} | ({"alpha": 0.5} if name == "Synaptic" else {})
    plain = getattr(snn, name)(**times, **chosen)
    recurrent = getattr(snn, f"R{name}")(**times, **chosen, all_to_all=False, V=torch.zeros(1))
    with torch.no_grad():
        return spikes(name, plain, False), spikes(name, recurrent, True)


print(f"snntorch {version('snntorch')}, torch {version('torch')}; spikes of the plain and of the recurrent neuron:")
differ = set()
for name in ("Leaky", "Synaptic"):
    for reset in ("subtract", "zero"):
        for delay in (True, False):
            plain, recurrent = pair(name, reset_mechanism=reset, reset_delay=delay)
            rows = ["".join(map(str, each)) for each in (plain, recurrent)]
            print(f"{name:9} {reset:9} reset_delay={delay!s:5} {rows[0]} {rows[1]}")
            if plain != recurrent:
                differ.add((name, reset, delay))
expected = {("Leaky", "zero", True), ("Synaptic", "subtract", False), ("Synaptic", "zero", False)}
print("as described" if differ == expected else f"changed: these pairs differ: {sorted(differ)}")
sys.exit(differ != expected)
PYTHON
