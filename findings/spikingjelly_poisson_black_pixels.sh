#!/bin/sh
# SpikingJelly 2.0.0: the Poisson encoder makes black pixels spike.
#
# Expected: PoissonEncoder turns a value x from 0 to 1 into a spike with probability x. A pixel of 0 never spikes, so that a
#           black image is silent, and so that an input layer reads nothing from the background of a digit.
# Seen:     it spikes where a random number of [0, 1) is below or equal to x. float32 draws give exactly 0 about once in
#           16.8 million, and then a pixel of 0 spikes. torch.bernoulli gives no spike for the same input.
# Matters:  60,000 images of MNIST are four fifths black: over 10 steps about 20 spikes per epoch come from black pixels.
#           An event-driven program, a count of input events or a test that expects silence from silence meets them, and
#           no seed but that one repeats it.
#
# Exit code 0: as described. 1: something has changed. 2: the packages could not be installed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
{ python3 -m venv "$folder/venv" &&
    "$folder/venv/bin/python" -m pip install --quiet 'torch==2.13.0' 'numpy==2.4.6' matplotlib tqdm loguru &&
    "$folder/venv/bin/python" -m pip install --quiet --no-deps 'spikingjelly==2.0.0'; } >&2 || exit 2
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys
from importlib.metadata import version

import torch
from spikingjelly.activation_based.encoding import PoissonEncoder

PIXELS, IMAGES = 1 << 24, 16  # so that about 16 of 268 million draws are exactly 0
print(", ".join(f"{name} {version(name)}" for name in ("spikingjelly", "torch")))
torch.manual_seed(0)
encoder, black = PoissonEncoder(), torch.zeros(PIXELS)
spikes = sum(int(encoder(black).sum()) for _ in range(IMAGES))
by_torch = sum(int(torch.bernoulli(black).sum()) for _ in range(IMAGES))
print(f"{spikes} spikes from {PIXELS * IMAGES:,} black pixels; {by_torch} from torch.bernoulli")
seen = spikes > 0 and by_torch == 0
print("as described" if seen else "changed")
sys.exit(not seen)
PYTHON
