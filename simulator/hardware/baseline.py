"""The dense ANN twin beside a spiking network: what it knows, what it would cost, and where they break even."""

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
    "a twin is priced as if each of its MACs were executed on its own, with whatever memory the profile prices for it: "
    "an accelerator that reuses weights and sums, or leaves out zeros, needs less"
)
INTEGER_BITS = 8  # of the twin that integers are compared with
FIXED = ("updates_active", "updates_idle", "bias_adds")  # counts that do not follow from events


def disagreements(baseline: Mapping[str, Any], program: Program, data: Mapping[str, Any]) -> Iterator[Violation]:
    """Yield why a baseline is not that of a program on some data.

    Args:
        baseline: what ``train --method ann`` measured.
        program: that is run.
        data: that it is run on, as ``report.Simulation`` has it.
    """
    maps = {node.name: ready(node, program.in_shape(node.name)) for node in program.linear_maps}
    own = {name: synapses.dense for name, synapses in maps.items() if isinstance(synapses, Synapses)}
    twin = {layer["name"]: layer["macs"] for layer in baseline["layers"]}
    if own != twin:
        yield Violation("its layers", _listed(twin), f"{_listed(own)}, as in this network", "Train its own twin.")
    splits = baseline["data"]["splits"]
    name, split = data["name"], data["split"]
    if baseline["data"]["name"] != name or split not in splits:
        found = f"{baseline['data']['name']} ({', '.join(splits)})"
        yield Violation("its data", found, f"{name} ({split})", "Train it on the same data.")
    elif splits[split]["files"] != data["files"]:
        yield Violation("its data", f"other files of {name}", "those of this run", "Train it on the same files.")
    measured, now = baseline["data"]["input_scale"], data["input"]["scale"]
    if measured != now:
        remedy = f"Train it with --input-scale {now:.17g}, or say --input-scale {measured:.17g}."
        yield Violation("its data", f"values times {measured:g}", f"times {now:g}, as in this run", remedy)


def _listed(layers: Mapping[str, int]) -> str:
    return ", ".join(f"{name} ({macs:,} multiplications)" for name, macs in layers.items())


def baseline_json(baseline: Mapping[str, Any], split: str, profiles: Sequence[Profile]) -> dict[str, Any]:
    """Return the twin's results on a split, its energy by each profile in pJ per inference, and its quantisation."""
    macs = sum(layer["macs"] for layer in baseline["layers"])
    rows = [
        {
            "bits": result["bits"],
            "accuracy": result["accuracy"],
            "samples": result["n_samples"],
            "macs": macs,
            "effective_macs": sum(result["effective_macs"].values()),
            "energy_pj": {profile.name: _priced(profile, result["bits"], macs) for profile in profiles},
        }
        for result in baseline["results"]
        if result["split"] == split
    ]
    return {
        "network": baseline["network"],
        "quantisation": baseline["quantization"],
        "caveat": CAVEAT,
        "results": rows,
    }


def _priced(profile: Profile, bits: int | None, macs: int) -> float | None:
    """Return the energy of a dense execution, or None where a profile does not price it."""
    price = profile.mac_pj(bits)
    return None if price is None else macs * price


def break_even(program: Program, trace: Trace, energy: Energy) -> dict[str, Any] | None:
    """Return the rate of events at which a run costs what its twin does; None where the twin has no price.

    All that follows from events of neurons is taken to grow with their number; neuron updates, biases, and what the
    input costs stay as they were. A rate is events per neuron and time step. It is negative where the latter alone
    cost more than the twin.
    """
    macs = int(trace.executed.dense[:, 0].sum() // trace.n_samples)
    bits = None if energy.profile.arithmetic == "float" else INTEGER_BITS
    twin = _priced(energy.profile, bits, macs)
    if twin is None:
        return None
    fed = fed_by_input(program)
    behind_neurons = np.array([layer.name not in fed for layer in trace.layers])
    of_events = [term for term in energy.terms if not set(term.price.counts) & set(FIXED)]
    grows = sum(float(term.energy_pj[behind_neurons].sum()) for term in of_events)
    events = trace.executed.total("events")
    neurons = sum(int(np.prod(layer.shape)) for layer in program.neuron_layers)
    slots = neurons * int(trace.n_running.sum())
    if not grows or not events:
        return None
    factor = (twin * trace.n_samples - (energy.dynamic_pj - grows)) / grows
    return {"rate": events / slots, "break_even_rate": factor * events / slots, "twin_pj": twin, "bits": bits}


def fed_by_input(program: Program) -> set[str]:
    """Return the input, and the linear maps that it reaches before any neuron."""
    reached = {program.input.name}
    for node in program.nodes:
        if isinstance(node, LinearMap) and any(e.source in reached for e in program.incoming[node.name]):
            reached.add(node.name)
    return reached
