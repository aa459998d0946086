"""Count ACs and MACs with syops, a sample at a time; runs in syops's environment.

Usage: syops_energy.py FOLDER

Prints JSON: for each network of the folder (torch_chains.py) the mean ACs and MACs per sample of the spiking network,
and those of the dense one.
"""

import contextlib
import io
import json
import sys
from pathlib import Path
from typing import Any

import torch
from spikingjelly.clock_driven.neuron import IFNode, LIFNode
from syops import get_model_complexity_info
from torch import nn
from torch_chains import Steps, chains


def neurons(made: dict[str, Any]) -> nn.Module:
    given = {"v_threshold": made["threshold"], "v_reset": 0.0}
    return LIFNode(tau=2.0, decay_input=False, **given) if made["leaky"] else IFNode(**given)


def counted(network: nn.Module, samples: list[torch.Tensor]) -> list[float]:
    with contextlib.redirect_stderr(io.StringIO()):
        found, _ = get_model_complexity_info(
            network,
            tuple(samples[0].shape[1:]),
            [(sample, None) for sample in samples],
            as_strings=False,
            print_per_layer_stat=False,
        )
    return [float(found[1]), float(found[2])]


if __name__ == "__main__":
    torch.set_num_threads(1)
    results = []
    for chain in chains(Path(sys.argv[1])):
        samples = list(chain.inputs.transpose(0, 1).split(1))
        spiking = counted(Steps(chain.spiking(neurons)), samples)
        results.append({"spiking": spiking, "dense": counted(chain.dense(relu=True), [chain.image])})
    json.dump(results, sys.stdout)
