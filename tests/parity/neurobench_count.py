"""Count synaptic operations with NeuroBench's own per-layer function.

Usage: count.py FILE.npz

FILE.npz holds `kinds`, an array of 'dense' | 'conv', and for each connection i:
  weight_i    dense [out, in], or conv [O, I/groups, kH, kW]
  input_i     [steps, samples, ...]: the tensors that enter the connection,
              dense [..., in], or conv [..., I, H, W]
  stride_i, padding_i, dilation_i (two ints each), groups_i: conv only

Prints JSON: for each connection, lists with one entry per step, summed over the
samples. Every sample is counted as a batch of one, without a bias. Counting is
in float64, so that NeuroBench's own sums are exact.
"""

import json
import sys

import numpy as np
import torch
from neurobench.metrics.utils.layers import single_layer_MACs
from neurobench.version import __version__ as neurobench_version


def make_layer(data, i):
    """The connection as the torch layer that NeuroBench counts."""
    weight = torch.from_numpy(data[f"weight_{i}"].astype(np.float64))
    kind = str(data["kinds"][i])
    if kind == "dense":
        layer = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    elif kind == "conv":
        stride, padding, dilation = (
            tuple(int(v) for v in data[f"{key}_{i}"])
            for key in ("stride", "padding", "dilation")
        )
        groups = int(data[f"groups_{i}"])
        layer = torch.nn.Conv2d(
            weight.shape[1] * groups,
            weight.shape[0],
            tuple(weight.shape[2:]),
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
            bias=False,
        )
    else:
        raise ValueError(f"connection {i}: unknown kind {kind!r}")
    layer.weight = torch.nn.Parameter(weight, requires_grad=False)
    return layer


def count_connection(layer, inputs):
    """Per step, summed over samples: effective MACs and ACs, and dense."""
    counts = {"effective_macs": [], "effective_acs": [], "dense": []}
    for step in inputs:
        macs = acs = dense = 0
        for sample in step.split(1):
            operations, spiking = single_layer_MACs(sample, layer)
            if spiking:
                acs += operations
            else:
                macs += operations
            dense += single_layer_MACs(sample, layer, total=True)[0]
        counts["effective_macs"].append(macs)
        counts["effective_acs"].append(acs)
        counts["dense"].append(dense)
    return counts


def count_file(path):
    with np.load(path, allow_pickle=False) as data:
        connections = []
        for i, kind in enumerate(data["kinds"]):
            inputs = torch.from_numpy(data[f"input_{i}"].astype(np.float64))
            counts = count_connection(make_layer(data, i), inputs)
            connections.append({"kind": str(kind), **counts})
    return {"neurobench": neurobench_version, "connections": connections}


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: count.py FILE.npz")
    with torch.inference_mode():
        json.dump(count_file(sys.argv[1]), sys.stdout, indent=2)
    print()
