"""A network small enough to be counted by hand, with every number derived in comments.

input (2) -> fc -> hidden (2 LIF) -> readout -> out; three steps, two samples: one of spikes, one of grey values.
"""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from tdd_deploy.neurons import LIF
from tdd_deploy.program import Dense, Edge, Input, NeuronLayer, Output, Program, build
from tdd_deploy.simulator.counts import FIELDS, Counts, Trace
from tdd_deploy.simulator.engine.engine import Engine, Result
from tdd_deploy.simulator.hardware.chips import Chip, Limit, Mesh, Spikes, Synapses
from tdd_deploy.simulator.hardware.placement import Placement, place
from tdd_deploy.simulator.hardware.profiles import Profile, load_profile
from tdd_deploy.simulator.reports.report import Priced, Simulation, priced
from tests.zoo import Given

# Input 0 reaches both neurons, input 1 reaches neuron 1 alone; one bias of two is zero.
FC = Dense(name="fc", weight=np.array([[1, 0], [2, 1]]), bias=np.array([0, 1]))
# v = v / 2 + current, fires above 1, back to 0.
HIDDEN = NeuronLayer(
    name="hidden", shape=(2,), neuron=LIF(beta=np.array(0.5), v_threshold=np.array(1.0), v_reset=np.array(0.0))
)
READOUT = Dense(name="readout", weight=np.array([[2, -1]]))

#                     step 1    step 2    step 3
INPUTS = np.array(
    [
        [[1.0, 0.0], [0.5, 0.0]],
        [[1.0, 1.0], [0.5, 0.0]],
        [[0.0, 1.0], [0.5, 1.0]],
    ]
)  # [n_steps, sample, 2]

# Sample 0. Currents of neuron 0: x0         = 1, 1, 0;  v = 1 (does not pass 1), 1.5 fires, 0.
#           Currents of neuron 1: 2 x0 + x1 + 1 = 3, 4, 2;  fires at every step.
# Sample 1. Currents of neuron 0: 0.5 always;              v = 0.5, 0.75, 0.875, never fires.
#           Currents of neuron 1: 2, 2, 3;                 fires at every step.
SPIKES = np.array(
    [
        [[0, 1], [1, 1], [0, 1]],
        [[0, 1], [0, 1], [0, 1]],
    ]
)  # [sample, n_steps, 2]
OUTPUT = np.array([[[-1], [1], [-1]], [[-1], [-1], [-1]]])  # 2 s0 - s1

LAYERS = (("input", "input", (2,)), ("fc", "dense", (2,)), ("hidden", "LIF", (2,)), ("readout", "dense", (1,)))

# Counts per step, written sample 0 + sample 1, for each layer.
SAME_IN_EVERY_CODE = {
    "hidden": {
        "spikes": [1 + 1, 2 + 1, 1 + 1],
        "delta_events": [1 + 1, 1 + 0, 1 + 0],  # neuron 1 on; neuron 0 on; neuron 0 off
        "updates_active": [2 + 2, 2 + 2, 1 + 2],  # at step 3, neuron 0 of sample 0 has no current and was reset to 0
        "updates_idle": [0, 0, 1],
    },
    "fc": {"dense": [4 + 4] * 3},
    "readout": {"dense": [2 + 2] * 3},
}
SPIKE_CODE = {
    "input": {"input_events": [1 + 1, 2 + 1, 1 + 2], "messages": [1 + 1, 2 + 1, 1 + 2]},
    "fc": {
        "synops_effective": [2 + 2, 3 + 2, 1 + 3],  # two weights receive from input 0, one from input 1
        "synops_stored": [2 + 2, 4 + 2, 2 + 4],
        "acs": [2, 3, 1],  # sample 0
        "macs": [2, 2, 3],  # sample 1: at step 3 its 1.0 beside the 0.5 makes no AC
        "bias_adds": [2, 2, 2],  # one nonzero bias, two samples, every step
    },
    "hidden": {"events": [1 + 1, 2 + 1, 1 + 1], "messages": [1 + 1, 2 + 1, 1 + 1], "hops_y": [1 + 1, 2 + 1, 1 + 1]},
    "readout": {
        "synops_effective": [1 + 1, 2 + 1, 1 + 1],
        "synops_stored": [1 + 1, 2 + 1, 1 + 1],
        "acs": [1 + 1, 2 + 1, 1 + 1],
    },
}
DELTA_CODE = {
    # x0 on; x1 on, nothing; x0 off, x1 on
    "input": {"input_events": [1 + 1, 1 + 0, 1 + 1], "messages": [1 + 1, 1 + 0, 1 + 1]},
    "fc": {
        "synops_effective": [2 + 2, 1 + 0, 2 + 1],
        "synops_stored": [2 + 2, 2 + 0, 2 + 2],
        "acs": [2, 1, 2 + 1],  # sample 1 at step 3: its one event is x1 going from 0 to 1
        "macs": [2, 0, 0],
        "bias_adds": [2, 0, 0],  # once, held from then on
    },
    "hidden": {"events": [1 + 1, 1 + 0, 1 + 0], "messages": [1 + 1, 1 + 0, 1 + 0], "hops_y": [1 + 1, 1 + 0, 1 + 0]},
    "readout": {
        "synops_effective": [1 + 1, 1 + 0, 1 + 0],
        "synops_stored": [1 + 1, 1 + 0, 1 + 0],
        "acs": [1 + 1, 1 + 0, 1 + 0],
    },
}
# A chip of one core per tile: hidden lies on the first, where inputs enter, and the output on the one below.
CHIP = Chip(
    name="by-hand",
    title="Two cores",
    remark="",
    limits={"neurons": Limit(name="neurons", value=2, confidence="derived", source="made up")},
    mesh=Mesh(columns=2, rows=2, cores_per_tile=1, source="made up"),
    synapses=Synapses(sharing="none", source="made up"),
    spikes=Spikes(kind="graded", bits=8, source="made up"),
    neurons=None,
    not_checked=("anything",),
)
# The network executes fc in delta code and readout in spike code.
EXECUTED = {name: (SPIKE_CODE if name in ("hidden", "readout") else DELTA_CODE)[name] for name in SPIKE_CODE}

# Sums over layers and steps of what was executed.
TOTALS = {
    "spikes": 7,
    "delta_events": 4,
    "events": 7,
    "input_events": 5,
    "synops_effective": 8 + 7,
    "synops_stored": 10 + 7,
    "acs": 6 + 7,
    "macs": 2,
    "dense": 24 + 12,
    "bias_adds": 2,
    "updates_active": 11,
    "updates_idle": 1,
    "messages": 5 + 7,
    "hops_x": 0,
    "hops_y": 7,
}


def counts_of(by_layer: dict[str, dict[str, list[int]]]) -> Counts:
    """Write the tables above as Counts; what is not named is zero."""
    counts = Counts.zeros(len(LAYERS), 3)
    for table in (SAME_IN_EVERY_CODE, by_layer):
        for row, (name, _, _) in enumerate(LAYERS):
            for field, per_step in table.get(name, {}).items():
                assert field in FIELDS
                getattr(counts, field)[row] = per_step
    return counts


def program(*, fc_code: str = "delta", readout_code: str = "spike") -> Program:
    edges = [
        Edge("input", "fc", code=fc_code),
        Edge("fc", "hidden", code=fc_code),
        Edge("hidden", "readout", code=readout_code),
        Edge("readout", "out", code=readout_code),
    ]
    nodes = [Input(name="input", shape=(2,)), FC, HIDDEN, READOUT, Output(name="out")]
    return build(nodes, edges, dt_s=1e-3, n_steps=3, provenance={"file": "by_hand.nir", "sha256": "abc"})


def renamed(program: Program, old: str, new: str) -> Program:
    """The same program with another name for a node."""
    nodes = [replace(node, name=new) if node.name == old else node for node in program.nodes]
    edges = [
        replace(
            edge, source=new if edge.source == old else edge.source, target=new if edge.target == old else edge.target
        )
        for edge in program.edges
    ]
    return build(nodes, edges, dt_s=program.dt_s, n_steps=program.n_steps)


def placed(program: Program) -> Placement:
    return place(program, CHIP, weight_bits=8)


def with_limit(name: str, value: int) -> Chip:
    """The chip with another limit, or one more."""
    limit = Limit(name=name, value=value, confidence="derived", source="made up")
    return replace(CHIP, limits={**CHIP.limits, name: limit})


def silent() -> Trace:
    """The counts of an input of zeros to a network without its bias."""
    nodes = [replace(node, bias=None) if node.name == "fc" else node for node in program().nodes]
    quiet = build(nodes, program().edges, dt_s=1e-3, n_steps=3)
    return Engine(quiet).run(Given(np.zeros_like(INPUTS)), n_steps=3).trace


@cache
def result() -> Result:
    """What the engine makes of it, the hidden layer recorded."""
    return Engine(program(), routes=placed(program()).routes).run(Given(INPUTS), n_steps=3, record=("hidden",))


# What training with the method ann would write of its ANN baseline: as many multiplications, on the same data.
ANN_BASELINE = {
    "network": "by hand",
    "quantization": {"method": "post-training"},
    "data": {
        "name": "by hand",
        "input_scale": 1.0,
        "splits": {"test": {"n_samples": 4, "files": {"by_hand.npz": "def012"}}},
    },
    "sparsity": 0.0,
    "layers": [
        {
            "name": name, "kind": "dense", "macs": n_in * n_out, "weights": n_in * n_out,
            "nonzero_weights": n_in * n_out, "biases": n_out, "inputs": n_in, "outputs": n_out,
        }
        for name, n_in, n_out in (("fc", 2, 2), ("readout", 2, 1))
    ],
    "results": [
        {
            "split": split, "weight_bits": weight_bits, "activation_bits": activation_bits, "n_samples": 4,
            "accuracy": accuracy, "effective_macs": {"fc": 3, "readout": 1},
        }
        for split, weight_bits, activation_bits, accuracy in (
            ("test", None, None, 0.75), ("test", 8, 8, 0.5), ("test", 8, 4, 0.25), ("val", None, None, 1.0)
        )
    ],
}  # fmt: skip
DATA = {
    "name": "by hand",
    "split": "test",
    "encoder": "direct",
    "seed": 0,
    "n_steps": 3,
    "static": False,
    "binned": None,
    "encoder_from": "from the network",
    "n_steps_from": "from the data",
    "n_steps_of_data": 3,
    "input": {"stored": "float32", "shape": [3, 2], "scale": 1.0, "scale_from": "as stored", "targets": None},
    "sent": {
        "values": 12,
        "nonzero": 8,
        "neither_0_nor_1": 0,
        "off_grid": 0,
        "lowest": 0.0,
        "highest": 1.0,
        "rounding": None,
    },
    "files": {"by_hand.npz": "def012"},
}


def simulation(profile: str | None = "loihi1-davies2018", *, n_samples: int = 2, **changed: Any) -> Simulation:
    """The network as a finished simulation, some of its fields changed."""
    executed = changed.get("program", program())
    placement = placed(executed)
    trace = changed.get("trace")
    if trace is None:
        trace = Engine(executed, routes=placement.routes).run(Given(INPUTS), n_steps=3).trace
        trace = replace(trace, n_running=np.full(3, n_samples))
    fields = {
        "program": executed,
        "data": DATA,
        "code": "auto",
        "code_from": "from `code`",
        "trace": trace,
        "n_correct": 1,
        "energies": ()
        if profile is None or "energies" in changed
        else (_priced(trace, load_profile(profile), executed, placement),),
        "placement": placement,
    }
    return Simulation(**fields | changed)


def _priced(trace: Trace, profile: Profile, program: Program, placement: Placement) -> Priced:
    return priced(trace, profile, program, placement=placement if profile.chip else None)
