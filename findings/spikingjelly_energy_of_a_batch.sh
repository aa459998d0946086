#!/bin/sh
# SpikingJelly 2.0.0: Lemaire's energy per image grows with the number of images that are executed together.
#
# Expected: estimate_lemaire_energy prices an access to a memory by the size of that memory. The potentials and the analog
#           input of one image need the same memory whatever the batch, so that the energy of a batch is the energy of its
#           images.
# Seen:     the memory grows with the batch, and so does the price of each access. An image alone, and 64 copies of it,
#           differ by more than a factor of 5 per image. The estimate of the dense network grows too, by another factor,
#           so that their ratio changes as well.
# Matters:  the tutorial's example has a batch of 2, and papers state an energy per inference. Two authors with the same
#           network and data report other energies, and another saving, only since their batches differ.
#
# Exit code 0: as described. 1: something has changed. 2: the packages could not be installed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
{ python3 -m venv "$folder/venv" &&
    "$folder/venv/bin/python" -m pip install --quiet 'torch==2.13.0' 'numpy==2.4.6' matplotlib tqdm loguru &&
    "$folder/venv/bin/python" -m pip install --quiet --no-deps 'spikingjelly==2.0.0'; } >&2 || exit 2
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import logging
import sys
from importlib.metadata import version

import torch
from spikingjelly.activation_based import functional, neuron
from spikingjelly.activation_based.op_counter import estimate_lemaire_energy
from torch import nn

logging.disable()
torch.manual_seed(0)
IMAGE = (torch.rand(1, 4, 16, 16) < 0.1).float()
ANALOG = torch.rand(1, 4, 16, 16)
spiking = nn.Sequential(nn.Conv2d(4, 8, 3, padding=1), neuron.IFNode(v_threshold=0.3)).eval()
dense = nn.Sequential(nn.Conv2d(4, 8, 3, padding=1)).eval()


def per_image(network, image, batch):
    """Return nJ per image of a batch of copies."""
    functional.reset_net(network)
    return estimate_lemaire_energy(network, image.repeat(batch, 1, 1, 1)).total_pj / batch / 1e3


print(", ".join(f"{name} {version(name)}" for name in ("spikingjelly", "torch")))
found = {}
for batch in (1, 2, 8, 64):
    energies = per_image(spiking, IMAGE, batch), per_image(dense, ANALOG, batch)
    found[batch] = energies
    print(f"batch {batch:2}: {energies[0]:7.1f} nJ per image; dense {energies[1]:7.1f} nJ; ratio {energies[0] / energies[1]:.3f}")
(alone, dense_alone), (together, dense_together) = found[1], found[64]
seen = together > 5 * alone and abs(together / dense_together / (alone / dense_alone) - 1) > 0.1
print("as described" if seen else "changed")
sys.exit(not seen)
PYTHON
