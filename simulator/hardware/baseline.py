"""Compare a spiking network with dense networks of the same layers, and find the rate at which both cost the same."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tdd_deploy.errors import Violation
from tdd_deploy.program import Conv, Dense, Pool, Program, Scale
from tdd_deploy.simulator.counts import Trace
from tdd_deploy.simulator.engine.scatter import Synapses, ready

from .dense import DATAFLOWS, Candidate, DenseTerm, Work
from .energy import Energy
from .execution import biases_of, fed_by_input
from .process import EXIT_COMPARISON, NEURON_BIASES, READOUT, Figure, Numbers, Process

COMPARABLE = 0.01  # of accuracy
FIXED = (
    "updates_active",
    "updates_idle",
    "bias_adds",
    NEURON_BIASES,
    READOUT,
    EXIT_COMPARISON,
)  # they do not follow from events


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
    if own != layers and has_own_layers(baseline):
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


def has_own_layers(baseline: Mapping[str, Any]) -> bool:
    """Decide whether a baseline has the layers of the spiking network; one in an ONNX file has any."""
    return "onnx" not in baseline


def _listed(layers: Mapping[str, int]) -> str:
    return ", ".join(f"{name} ({macs:,} multiplications)" for name, macs in layers.items())


def comparison(
    program: Program, trace: Trace, energy: Energy, candidates: Sequence[Candidate], *, accuracy: float | None
) -> dict[str, Any] | None:
    """Compare a run with every dense machine that could execute its layers; None where a profile prices none.

    A machine whose arithmetic a profile prices in part is compared only with spikes that lack the same part.
    The row that leads is the least favorable to spikes among those whose network is as accurate; see ``tolerance``.
    """
    if not energy.profile.is_process or not energy.terms:
        return None
    process, numbers = Process(energy.profile), Numbers.of(program)
    lacks = process.without(numbers.sum_bits, numbers.weight_bits, numbers.value_bits, is_float=numbers.is_float)
    spiking_pj = energy.dynamic_pj / trace.n_samples
    growth = _growth(program, trace, energy)
    figures: dict[Figure, int] = {}  # each price once, by its place in a list
    rows = [
        {
            "baseline": candidate.baseline,
            "sparsity": candidate.sparsity,
            "accuracy": candidate.accuracy,
            **asdict(machine),
            "macs": work.macs + candidate.other_macs,
            **_costs([term for m, each in parts for term in m.terms(each, process)], spiking_pj, growth, figures),
            "is_comparable": _is_comparable(candidate.accuracy, accuracy, trace.n_samples),
        }
        for candidate in candidates
        for machine, work in candidate.machines(DATAFLOWS if energy.profile.memories else ("none",))
        for parts in (candidate.parts(machine, work),)
        if work.outputs and all(each.without(process) == lacks for each, _ in parts)
    ]
    if not rows:
        return None
    ratios = {i: row["ratio"] for i, row in enumerate(rows) if row["is_comparable"]}
    return {
        "spiking_pj": spiking_pj,
        "rate": None if growth is None else growth.rate,
        "fixed_pj": None if growth is None else growth.fixed_pj,
        "growing_pj": None if growth is None else growth.growing_pj,
        "least_favorable": max(ratios, key=ratios.__getitem__, default=None),
        "most_favorable": min(ratios, key=ratios.__getitem__, default=None),
        "prices": [_price_json(figure) for figure in figures],
        "rows": rows,
    }


def _price_json(figure: Figure) -> dict[str, Any]:
    return {
        "price_pj": figure.value_pj,
        "low_price_pj": figure.low_pj,
        "high_price_pj": figure.high_pj,
        "confidence": figure.confidence,
        "read": figure.read,
        "source": figure.source,
        "range_source": figure.range_source,
    }


def _is_comparable(dense: float | None, spiking: float | None, n_samples: int) -> bool:
    return dense is None or spiking is None or dense >= spiking - tolerance(spiking, n_samples)


def tolerance(accuracy: float, n_samples: int) -> float:
    """Return by how much a dense network may be less accurate and still do the same work.

    It is a point, or two standard errors where few samples cannot tell a point apart (Agresti and Coull 1998).
    """
    n = n_samples + 4
    center = (accuracy * n_samples + 2) / n
    return max(COMPARABLE, 2 * math.sqrt(center * (1 - center) / n))


def _costs(
    terms: Sequence[DenseTerm], spiking_pj: float, growth: "_Growth | None", figures: dict[Figure, int]
) -> dict[str, Any]:
    """Price one dense inference, and compare it with a spiking one."""
    low, value, high = (
        sum(term.count * getattr(term.figure, bound) for term in terms) for bound in ("low_pj", "value_pj", "high_pj")
    )
    return {
        "dense_pj": value,
        "low_pj": low,
        "high_pj": high,
        "ratio": spiking_pj / value,
        "crossover_rate": None if growth is None else growth.rate_at(value),
        "terms": [
            {"what": term.what, "count": term.count, "price": figures.setdefault(term.figure, len(figures))}
            for term in terms
        ],
    }


@dataclass(frozen=True, kw_only=True)
class _Growth:
    """How the energy of one inference grows with the rate of events.

    The cost of events of neurons is assumed to grow with their number; neuron updates, biases, the readout, and the
    cost of the input stay as they were. A rate is events per neuron and time step.
    """

    rate: float
    fixed_pj: float
    growing_pj: float

    def rate_at(self, pj: float) -> float:
        """Return the rate at which the energy is this; it is negative where what stays costs more."""
        return self.rate * (pj - self.fixed_pj) / self.growing_pj


def _growth(program: Program, trace: Trace, energy: Energy) -> _Growth | None:
    """Find what grows with the rate of events; None without events."""
    fed = fed_by_input(program)
    after_neurons = np.array([layer.name not in fed for layer in trace.layers])
    of_events = [term for term in energy.terms if not set(term.price.counts) & set(FIXED)]
    grows = sum(float(term.energy_pj[after_neurons].sum()) for term in of_events)
    events = trace.executed.total("events")
    if not grows or not events:
        return None
    neurons = sum(int(np.prod(layer.shape)) for layer in program.neuron_layers)
    return _Growth(
        rate=events / (neurons * int(trace.n_running.sum())),
        fixed_pj=(energy.dynamic_pj - grows) / trace.n_samples,
        growing_pj=grows / trace.n_samples,
    )


def left_out_of_dense(program: Program) -> Iterator[str]:
    """Yield what one dense pass of the same layers leaves out."""
    for node in program.linear_maps:
        if isinstance(node, Pool):
            yield f"{node.name}: the sums of a pool"
    for edge in program.edges:
        if edge.delay:
            yield f"{edge.source} -> {edge.target}: a delayed edge, which one pass would not repeat; so it has no price"


def dense_work(program: Program) -> Work:
    """Return what the layers of a program would need in a dense execution."""
    weighted = [node for node in program.linear_maps if isinstance(node, Dense | Conv | Scale)]
    synapses = [ready(node, program.in_shape(node.name)) for node in weighted]
    counted = [each for each in synapses if isinstance(each, Synapses)]
    return Work(
        macs=sum(each.dense for each in counted),
        weights=sum(node.factor.size if isinstance(node, Scale) else node.weight.size for node in weighted),
        inputs=sum(math.prod(program.in_shape(node.name)) for node in weighted),
        outputs=sum(math.prod(program.shapes[node.name]) for node in weighted),
        biases=sum(each.bias_adds for each in counted) + sum(map(biases_of, program.neuron_layers)),
    )
