"""Estimate energy with SpikingJelly, a sample at a time; runs in the peers' environment.

Usage: spikingjelly_energy.py FOLDER

Prints JSON: for each network of the folder (torch_chains.py) and both estimators the mean energy in pJ per sample of
the spiking network and of the dense one; and the ACs per sample that are no synaptic operations.
"""

import json
import logging
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
from spikingjelly.activation_based import functional
from spikingjelly.activation_based.neuron import IFNode, LIFNode
from spikingjelly.activation_based.op_counter import (
    LemaireEnergyConfig,
    estimate_lemaire_energy,
    estimate_simple_energy,
)
from torch import nn
from torch_chains import Chain, Steps, chains

TOLERANT = LemaireEnergyConfig(strict=False)  # Flatten is outside the formulas, and costs nothing


def neurons(made: dict[str, Any]) -> nn.Module:
    given = {"v_threshold": made["threshold"], "v_reset": 0.0}
    return LIFNode(tau=2.0, decay_input=False, **given) if made["leaky"] else IFNode(**given)


def estimated(chain: Chain) -> dict[str, Any]:
    samples = chain.inputs.transpose(0, 1).split(1)
    network = Steps(chain.spiking(neurons))
    found = {"simple": 0.0, "lemaire": 0.0, "other_acs": 0.0}
    for sample in samples:
        functional.reset_net(network)
        report = estimate_simple_energy(network, sample)
        found["simple"] += report.energy_total_pj / len(samples)
        found["other_acs"] += (report.counts["ac"] - report.counts["synop"]) / len(samples)
        functional.reset_net(network)
        found["lemaire"] += estimate_lemaire_energy(network, sample, config=TOLERANT).total_pj / len(samples)
    dense = chain.dense(relu=True)
    found["simple_dense"] = estimate_simple_energy(dense, chain.image).energy_total_pj
    found["lemaire_dense"] = estimate_lemaire_energy(dense, chain.image, config=TOLERANT).total_pj
    return found


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.disable()
    torch.set_num_threads(1)
    json.dump([estimated(chain) for chain in chains(Path(sys.argv[1]))], sys.stdout)
