"""Count synaptic operations with sinabs's own hooks; runs in the environment of NeuroBench and sinabs.

Usage: sinabs_count.py FILE.npz

Prints JSON: for each connection of the file (torch_layers.py) a number per step, summed over samples; and last, for
``pooled`` [steps, samples, channels, height, width] in the file, a dense layer of one output after averages over
windows of 2.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from sinabs.hooks import register_synops_hooks
from torch_layers import connections


def count(inputs: torch.Tensor, *layers: torch.nn.Module) -> list[float]:
    """sinabs takes the mean over a batch; here each sample is a batch of its own."""
    network = torch.nn.Sequential(*layers)
    register_synops_hooks(network)

    def one(sample: torch.Tensor) -> float:
        network(sample)
        return float(network.hook_data["total_synops_per_timestep"])

    return [sum(one(sample) for sample in step.split(1)) for step in inputs]


def averaged(pooled: torch.Tensor) -> list[float]:
    n_in = pooled[0, 0].numel() // 4
    dense = torch.nn.Linear(n_in, 1, bias=False, dtype=pooled.dtype)
    return count(pooled, torch.nn.AvgPool2d(2), torch.nn.Flatten(), dense)


if __name__ == "__main__":
    torch.set_num_threads(1)
    path = Path(sys.argv[1])
    with torch.inference_mode():
        counts = [count(inputs, layer) for layer, inputs in connections(path)]
        counts.append(averaged(torch.from_numpy(np.load(path)["pooled"])))
    json.dump(counts, sys.stdout)
