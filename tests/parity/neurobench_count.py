"""Count synaptic operations with NeuroBench's own function; runs in NeuroBench's environment.

Usage: neurobench_count.py FILE.npz

The file holds ``kinds`` ('dense' or 'conv'), and for each connection i ``weight_i``, ``input_i`` [steps, samples, ...]
and, for a convolution, ``stride_i``, ``padding_i``, ``dilation_i``, ``groups_i``. Prints JSON: per connection the
effective MACs, the effective ACs and the dense count, a number per step, summed over samples. Each sample is a batch of
its own, since NeuroBench decides between AC and MAC per tensor; float64, so that its sums are exact.
"""

import json
import sys
from typing import Any

import numpy as np
import torch
from neurobench.metrics.utils.layers import single_layer_MACs


def layer_of(data: Any, i: int, kind: str) -> torch.nn.Module:
    weight = torch.from_numpy(data[f"weight_{i}"].astype(np.float64))
    if kind == "dense":
        layer = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    else:
        groups = int(data[f"groups_{i}"])
        sizes = {name: tuple(int(v) for v in data[f"{name}_{i}"]) for name in ("stride", "padding", "dilation")}
        layer = torch.nn.Conv2d(
            weight.shape[1] * groups, weight.shape[0], tuple(weight.shape[2:]), groups=groups, bias=False, **sizes
        )
    layer.weight = torch.nn.Parameter(weight, requires_grad=False)
    return layer


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
    with torch.inference_mode(), np.load(sys.argv[1], allow_pickle=False) as file:
        connections = [
            count(layer_of(file, i, str(kind)), torch.from_numpy(file[f"input_{i}"].astype(np.float64)))
            for i, kind in enumerate(file["kinds"])
        ]
    json.dump(connections, sys.stdout)
