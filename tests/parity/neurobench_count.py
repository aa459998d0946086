"""Count synaptic operations with NeuroBench's own function; runs in NeuroBench's environment.

Usage: neurobench_count.py FILE.npz

Prints JSON: for each connection of the file (torch_layers.py) the effective MACs, the effective ACs and the dense
count, a number per step, summed over samples. Each sample is a batch of its own, since NeuroBench decides between AC
and MAC per tensor.
"""

import json
import sys
from pathlib import Path

import torch
from neurobench.metrics.utils.layers import single_layer_MACs
from torch_layers import connections


def count(layer: torch.nn.Module, inputs: torch.Tensor) -> dict[str, list[int]]:
    counts: dict[str, list[int]] = {"macs": [], "acs": [], "dense": []}
    for step in inputs:
        macs = acs = dense = 0
        for sample in step.split(1):
            operations, spiking = single_layer_MACs(sample, layer)
            acs += operations if spiking else 0
            macs += 0 if spiking else operations
            dense += single_layer_MACs(sample, layer, total=True)[0]
        for name, n in (("macs", macs), ("acs", acs), ("dense", dense)):
            counts[name].append(int(n))
    return counts


if __name__ == "__main__":
    torch.set_num_threads(1)
    with torch.inference_mode():
        json.dump([count(*connection) for connection in connections(Path(sys.argv[1]))], sys.stdout)
