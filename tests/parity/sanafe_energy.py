"""Execute networks on SANA-FE's model of Loihi 1; runs in SANA-FE's environment.

Usage: sanafe_energy.py NETWORKS.json RESULTS.json

A network is one population, the inputs first: ``core`` of each neuron; of neurons after the inputs ``threshold``,
``leak``, ``bias``, and as ``synapses`` the kind, dense or conv, of what leads to them; ``source``, ``target`` and
``weight`` of each synapse; ``trains`` [sample, input, step]. Of a sample it returns the energy in J, in total and per
step, and which neurons fired in each step.
"""

import json
import sys
from pathlib import Path
from typing import Any

import sanafe


def execute(network: dict[str, Any]) -> list[dict[str, Any]]:
    arch = sanafe.load_loihi()
    chip = sanafe.SpikingChip(arch)
    chip.load(built(network, [core for tile in arch.tiles for core in tile.cores]))
    return [one_sample(chip, train) for train in network["trains"]]


def one_sample(chip: Any, train: list[list[int]]) -> dict[str, Any]:
    chip.reset()
    for neuron, spikes in zip(chip.mapped_neuron_groups["all"], train, strict=False):
        neuron.set_attributes(model_attributes={"spikes": spikes})
    found = chip.sim(len(train[0]), timing_model="simple", processing_threads=1, spike_trace=True, perf_trace=True)
    return {
        "total": found["energy"]["total"],
        "per_step": found["perf_trace"]["total_energy"],
        "fired": [sorted(neuron.neuron_offset for neuron in step) for step in found["spike_trace"]],
    }


def built(network: dict[str, Any], cores: list[Any]) -> Any:
    net = sanafe.Network()
    group = net.create_neuron_group("all", len(network["core"]), default_dendrite_hw_name="loihi_dendrites")
    neurons = list(group)
    n_inputs = len(network["trains"][0])
    for i, neuron in enumerate(neurons[:n_inputs]):
        # A core has 1024 units for inputs, one input each; inputs lie on the four cores of a tile in turn.
        neuron.set_attributes(soma_hw_name=f"loihi_inputs[{i // 4}]", model_attributes={"spikes": [0]})
    for i, neuron in enumerate(neurons[n_inputs:]):
        neuron.set_attributes(
            soma_hw_name="loihi_lif",
            default_synapse_hw_name=f"loihi_{network['synapses'][i]}_synapse",
            model_attributes={
                "threshold": network["threshold"][i],
                "leak_decay": network["leak"][i],
                "bias": network["bias"][i],
                "reset_mode": "hard",
                "reset": 0.0,
            },
        )
    for neuron, core in zip(neurons, network["core"], strict=True):
        neuron.set_attributes(log_spikes=True)
        neuron.map_to_core(cores[core])
    pairs = list(zip(network["source"], network["target"], strict=True))
    group.connect_neurons_sparse(group, {"weight": network["weight"]}, pairs)
    return net


if __name__ == "__main__":
    networks = json.loads(Path(sys.argv[1]).read_text())
    Path(sys.argv[2]).write_text(json.dumps([execute(network) for network in networks]))
