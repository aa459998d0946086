"""Compare a spiking network with its ANN baseline: accuracy, price, and the rate at which both cost the same."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tdd_deploy.errors import Violation
from tdd_deploy.program import LinearMap, Program
from tdd_deploy.simulator.counts import Trace
from tdd_deploy.simulator.engine.scatter import Synapses, ready

from .energy import Energy
from .profiles import Profile

CAVEAT = (
    "an ANN baseline is priced as if each of its MACs were executed on its own, with the memory that the profile "
    "prices for it: an accelerator that reuses weights and sums, or leaves out zeros, needs less"
)
INTEGER_BITS = 8  # of the ANN baseline with which integers are compared
FIXED = ("updates_active", "updates_idle", "bias_adds")  # counts that do not follow from events


def disagreements(baseline: Mapping[str, Any], program: Program, data: Mapping[str, Any]) -> Iterator[Violation]:
    """Yield why a baseline does not belong to a program and its data.

    Args:
        baseline: what training with the method ann measured.
        program: what is executed.
        data: the samples, as ``report.Simulation`` describes them.
    """
    maps = {node.name: ready(node, program.in_shape(node.name)) for node in program.linear_maps}
    own = {name: synapses.dense for name, synapses in maps.items() if isinstance(synapses, Synapses)}
    layers = {layer["name"]: layer["macs"] for layer in baseline["layers"]}
    if own != layers:
        remedy = "Train an ANN baseline of this network."
        yield Violation("its layers", _listed(layers), f"{_listed(own)}, as in this network", remedy)
    splits = baseline["data"]["splits"]
    name, split = data["name"], data["split"]
    if baseline["data"]["name"] != name or split not in splits:
        found = f"{baseline['data']['name']} ({', '.join(splits)})"
        yield Violation("its data", found, f"{name} ({split})", "Train it on the same data.")
    elif splits[split]["files"] != data["files"]:
        yield Violation("its data", f"other files of {name}", "the files of this run", "Train it on the same files.")
    measured, now = baseline["data"]["input_scale"], data["input"]["scale"]
    if measured != now:
        remedy = f"Train it with `input_scale={now:.17g}`, or use `input_scale={measured:.17g}` here."
        yield Violation("its data", f"values times {measured:g}", f"values times {now:g}, as in this run", remedy)


def _listed(layers: Mapping[str, int]) -> str:
    return ", ".join(f"{name} ({macs:,} multiplications)" for name, macs in layers.items())


def baseline_json(baseline: Mapping[str, Any], split: str, profiles: Sequence[Profile]) -> dict[str, Any]:
    """Return the results of the baseline on a split, its energy per inference by each profile, and its quantization."""
    macs = sum(layer["macs"] for layer in baseline["layers"])
    rows = [
        {
            "weight_bits": result["weight_bits"],
            "activation_bits": result["activation_bits"],
            "accuracy": result["accuracy"],
            "samples": result["n_samples"],
            "macs": macs,
            "effective_macs": sum(result["effective_macs"].values()),
            "energy_pj": {profile.name: _priced(profile, result, macs) for profile in profiles},
        }
        for result in baseline["results"]
        if result["split"] == split
    ]
    return {
        "network": baseline["network"],
        "sparsity": baseline["sparsity"],
        "quantization": baseline["quantization"],
        "caveat": CAVEAT,
        "results": rows,
    }


def _priced(profile: Profile, widths: Mapping[str, Any], macs: int) -> float | None:
    """Return the energy of a dense execution, or None where a profile does not price it."""
    bits = widths["weight_bits"]
    price = profile.mac_pj(bits) if bits == widths["activation_bits"] else None
    return None if price is None else macs * price


def break_even(program: Program, trace: Trace, energy: Energy) -> dict[str, Any] | None:
    """Return the rate of events at which a run costs as much as its ANN baseline; None where that has no price.

    The cost of events of neurons is assumed to grow with their number; neuron updates, biases, and the cost of the
    input stay as they were. A rate is events per neuron and time step. It is negative where the latter alone cost
    more than the baseline.
    """
    macs = int(trace.executed.dense[:, 0].sum() // trace.n_samples)
    bits = None if energy.profile.arithmetic == "float" else INTEGER_BITS
    dense_pj = _priced(energy.profile, {"weight_bits": bits, "activation_bits": bits}, macs)
    if dense_pj is None:
        return None
    fed = fed_by_input(program)
    after_neurons = np.array([layer.name not in fed for layer in trace.layers])
    of_events = [term for term in energy.terms if not set(term.price.counts) & set(FIXED)]
    grows = sum(float(term.energy_pj[after_neurons].sum()) for term in of_events)
    events = trace.executed.total("events")
    neurons = sum(int(np.prod(layer.shape)) for layer in program.neuron_layers)
    slots = neurons * int(trace.n_running.sum())
    if not grows or not events:
        return None
    factor = (dense_pj * trace.n_samples - (energy.dynamic_pj - grows)) / grows
    rate = events / slots
    return {"rate": rate, "break_even_rate": factor * rate, "ann_baseline_pj": dense_pj, "bits": bits}


def fed_by_input(program: Program) -> set[str]:
    """Return the input, and the linear maps that it reaches before any neuron."""
    reached = {program.input.name}
    for node in program.nodes:
        if isinstance(node, LinearMap) and any(e.source in reached for e in program.incoming[node.name]):
            reached.add(node.name)
    return reached
