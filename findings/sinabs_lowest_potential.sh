#!/bin/sh
# sinabs 3.1.3: integrate-and-fire neurons that go through NIR and back have a lowest potential, and fire other spikes.
#
# Expected: to_nir writes an integrate-and-fire neuron without a lowest potential (min_v_mem=None, the default) as the IF
#           node of NIR, which has none either. from_nir makes the same neuron of it.
# Seen:     from_nir sets min_v_mem to -v_threshold. A neuron with threshold 1 that receives -5 and then 5 returns to 0
#           and stays silent; the one that was read back stops at -1, reaches 4 and fires four times. LIF neurons come back
#           without a lowest potential, and stay silent.
# Matters:  a network with inhibition, trained without a lowest potential, changes within one library. In other libraries
#           the same file behaves as it was trained, so sinabs alone disagrees. On the DYNAP-CNN chip the lowest potential
#           is a setting, and it would now be set.
#
# Exit code 0: as described. 1: something has changed. 2: the packages could not be installed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
{ python3 -m venv "$folder/venv" &&
    "$folder/venv/bin/python" -m pip install --quiet 'torch==2.13.0' 'numpy==2.4.6' 'nir==1.0.8' pbr matplotlib &&
    "$folder/venv/bin/python" -m pip install --quiet --no-deps 'sinabs==3.1.3' 'nirtorch==2.6'; } >&2 || exit 2
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import sys
from importlib.metadata import version

import torch
from sinabs.layers import IAFSqueeze, LIFSqueeze
from sinabs.nir import from_nir, to_nir
from torch import nn

INPUT = torch.tensor([[-5.0], [5.0]])  # one neuron, two time steps


def spikes(network):
    """Return the number of spikes at each time step."""
    with torch.no_grad():
        output = network(INPUT)
    return (output[0] if isinstance(output, tuple) else output).flatten().tolist()


def there_and_back(neuron):
    """Return the spikes before and after NIR, and the lowest potential afterwards."""
    network = nn.Sequential(nn.Linear(1, 1, bias=False), neuron)
    nn.init.ones_(network[0].weight)
    graph = to_nir(network, INPUT, 1)
    before = spikes(network)
    back = from_nir(graph, batch_size=1)
    (lowest,) = [each.min_v_mem for each in back.modules() if hasattr(each, "min_v_mem")]
    return type(graph.nodes["1"]).__name__, before, spikes(back), None if lowest is None else float(lowest.detach())


print(", ".join(f"{name} {version(name)}" for name in ("sinabs", "nir", "nirtorch", "torch")))
neurons = {
    "IAFSqueeze": IAFSqueeze(batch_size=1),
    "LIFSqueeze": LIFSqueeze(tau_mem=1e6, norm_input=False, batch_size=1),
}
found = {name: there_and_back(neuron) for name, neuron in neurons.items()}
for name, (node, before, after, lowest) in found.items():
    print(f"{name}, in NIR {node}: spikes {before}, read back {after}, lowest potential {lowest}")
silent = [0.0, 0.0]
seen = found == {"IAFSqueeze": ("IF", silent, [0.0, 4.0], -1.0), "LIFSqueeze": ("LIF", silent, silent, None)}
print("as described" if seen else "changed")
sys.exit(not seen)
PYTHON
