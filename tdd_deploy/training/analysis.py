"""The analysis of a finished run, and its record in JSON."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from .compared import Compared
from .diagnostics import EVERYWHERE, Activity, Remainder, Selection, observe, remainders, shrinking
from .fisher import Information, centroid, information, recorded_traces
from .replay import Finished, replay
from .theory import EPSILON, Differences, Theory, theories

SCHEMA_VERSION = 1
COUNTS = ("spikes", "delta_events", "hybrid_events", "spike_synops", "delta_synops", "hybrid_synops")
NO_LABELS = "Fisher information: the data has no labels"


@dataclass(frozen=True)
class Findings:
    """The findings on some samples; those of several batches add up."""

    activity: Activity  # as deployed, as is the next
    differences: Differences
    remainders: tuple[Remainder, ...]  # of the network in floats, as are the next two
    theories: tuple[Theory, ...]
    information: Information | None  # None: the samples have no labels

    def __add__(self, other: Self) -> Self:
        joined = None
        if self.information is not None and other.information is not None:
            joined = self.information + other.information
        return type(self)(
            self.activity + other.activity,
            self.differences + other.differences,
            tuple(a + b for a, b in zip(self.remainders, other.remainders, strict=True)),
            tuple(a + b for a, b in zip(self.theories, other.theories, strict=True)),
            joined,
        )


def examine(
    run: Finished,
    inputs: NDArray[np.floating],
    labels: NDArray[np.int64] | None,
    n_steps: int,
    *,
    epsilon: float = EPSILON,
) -> Findings:
    """Examine a batch of samples.

    Args:
        run: its networks are examined.
        inputs: ``[n_steps, batch, ...]``, or ``[1, batch, ...]`` when they are the same at every step.
        labels: classes ``[batch]``, if there are any.
        n_steps: the number of time steps.
        epsilon: the bound of Definition 1.
    """
    x = torch.from_numpy(np.ascontiguousarray(inputs, np.float32))
    known = None if labels is None else information(run.network, x, torch.from_numpy(labels), n_steps)
    spikes = rasters(run, inputs, n_steps)
    seen = observe(run.network, x, n_steps)
    return Findings(
        Activity.of(spikes, run.fan_out),
        Differences.of(spikes, epsilon),
        remainders(seen),
        theories(run.network, seen),
        known,
    )


def rasters(run: Finished, inputs: NDArray[np.floating], n_steps: int) -> Mapping[str, NDArray[np.generic]]:
    """Replay samples as deployed; return the spikes of each layer ``[n_steps, batch, ...]``."""
    return replay(run.deployed, np.broadcast_to(inputs, (n_steps, *inputs.shape[1:]))).spikes


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """A finished analysis; counts are sums over its samples."""

    program: str  # its digest
    network: str  # one of ``vocabulary.Network``
    data: Mapping[str, Any]
    shapes: Mapping[str, tuple[int, ...]]  # of layers, by name
    findings: Findings
    map_norms: Mapping[str, float]  # of layers that receive spikes
    epochs: Sequence[Mapping[str, Any]]  # the history of the run
    compared: Sequence[Compared] = ()  # this run first; empty without others

    def __repr__(self) -> str:
        name, n = f"{self.data['name']} ({self.data['split']})", self.findings.activity.n_samples
        return f"Analysis of {', '.join(self.shapes)} on {n:,} samples of {name}"

    @property
    def traces(self) -> list[float] | None:
        """Fisher information per time step; None without labels."""
        found = self.findings.information
        return None if found is None else found.traces

    @property
    def centroids(self) -> dict[int, float | None]:
        """The time step around which information lay after each epoch, where training recorded it."""
        known = ((entry["epoch"], recorded_traces(entry)) for entry in self.epochs)
        return {epoch: centroid(traces) for epoch, traces in known if traces}

    def as_json(self) -> dict[str, Any]:
        """Return the analysis as plain values."""
        activity, traces = self.findings.activity, self.traces
        n_steps = activity.spikes.shape[1]
        return {
            "schema_version": SCHEMA_VERSION,
            "program": self.program,
            "network": self.network,
            "data": dict(self.data),
            "samples": activity.n_samples,
            "layers": [self._layer(row) for row in range(len(activity.layers))],
            "steps": [{"step": t + 1, **self._counts((slice(None), t))} for t in range(n_steps)],
            "totals": self._counts(EVERYWHERE),
            "fisher": {
                "labels": "of the data",
                "traces": traces,
                "centroid": None if traces is None else centroid(traces),
                "epochs": [{"epoch": epoch, "centroid": center} for epoch, center in self.centroids.items()],
            },
            "definition1": self.findings.differences.as_json(),
            "theorem1": [asdict(each) for each in self.findings.remainders],
            "theorem2": [asdict(each) for each in shrinking(activity)],
            "as_printed": {"phi": 0, "k": 1, "layers": [self._as_printed(each) for each in self.findings.theories]},
            "compared": [each.as_json() for each in self.compared],
            "not_measured": [] if traces else [NO_LABELS],
        }

    def _as_printed(self, theory: Theory) -> dict[str, Any]:
        n_steps, covariance = self.findings.activity.spikes.shape[1], theory.covariance
        return {
            "layer": theory.layer,
            "r": theory.reset,
            "statements": [asdict(each) for each in theory.statements],
            "covariance": None if covariance is None else covariance.as_json(self.map_norms[theory.layer], n_steps),
        }

    def _layer(self, row: int) -> dict[str, Any]:
        activity = self.findings.activity
        name = activity.layers[row]
        steps = ({"step": t + 1, **self._counts((row, t))} for t in range(activity.spikes.shape[1]))
        return {
            "name": name,
            "shape": list(self.shapes[name]),
            "neurons": activity.neurons[row],
            **self._counts((row, slice(None))),
            "steps": list(steps),
        }

    def _counts(self, selected: Selection) -> dict[str, Any]:
        activity = self.findings.activity
        spikes, deltas = (int(events[selected].sum()) for events in (activity.spikes, activity.deltas))
        return {
            "spikes": spikes,
            "delta_events": deltas,
            "fewer": "equal" if deltas == spikes else "delta" if deltas < spikes else "spike",
            "hybrid_events": int(activity.hybrid[selected].sum()),
            "spike_synops": int(activity.spike_synops[selected].sum()),
            "delta_synops": int(activity.delta_synops[selected].sum()),
            "hybrid_synops": int(activity.hybrid_synops[selected].sum()),
            "overlap": activity.overlap(selected),
            "persistence": activity.persistence(selected),
        }


def summary(report: Mapping[str, Any]) -> Iterator[str]:
    """Describe the JSON of an analysis, line by line."""
    totals, layers, n = report["totals"], report["layers"], report["samples"]
    paying = [layer["name"] for layer in layers if layer["fewer"] == "delta"]
    per_sample = {key: totals[key] / n for key in COUNTS}
    yield (
        f"means over {n} samples of {report['data']['name']} ({report['data']['split']}); "
        f"delta pays where P(1->1) is above 1/2: in {len(paying)} of {len(layers)} layers"
    )
    yield (
        f"events per sample: {per_sample['spikes']:,.0f} as spikes, {per_sample['delta_events']:,.0f} as deltas, "
        f"{per_sample['hybrid_events']:,.0f} with the cheaper code in each layer"
    )
    yield (
        f"synaptic operations of these events: {per_sample['spike_synops']:,.0f}, {per_sample['delta_synops']:,.0f} "
        f"and {per_sample['hybrid_synops']:,.0f}"
    )
    yield from _of_fisher(report["fisher"])
    yield from _of_definition(report["definition1"], n)
    yield from _of_theorems(report["theorem1"], report["theorem2"])
    yield from _of_statements(report["as_printed"]["layers"])
    yield from _of_covariances([layer["covariance"] for layer in report["as_printed"]["layers"] if layer["covariance"]])
    for line in report["not_measured"]:
        yield f"not measured: {line}"


def _of_fisher(fisher: Mapping[str, Any]) -> Iterator[str]:
    if fisher["centroid"] is not None:
        yield f"Fisher information (labels {fisher['labels']}) lies around time step {fisher['centroid']:.2f}"
    known = [entry for entry in fisher["epochs"] if entry["centroid"] is not None]
    if known:
        first, last = known[0], known[-1]
        yield (
            f"  while training, on training samples: {first['centroid']:.2f} after epoch {first['epoch']}, "
            f"{last['centroid']:.2f} after epoch {last['epoch']}"
        )


def _of_theorems(first: Sequence[Mapping[str, Any]], second: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    cases = sum(layer["cases"] for layer in first)
    if cases:
        within, as_printed = (sum(layer[key] for layer in first) for key in ("within", "within_as_printed"))
        yield (
            f"Theorem 1 (Taylor remainder): {within:,} of {cases:,} cases within the bound, the largest error "
            f"{max(layer['largest'] for layer in first):.1%} of it; with the derivative as printed {as_printed:,}"
        )
    steps = sum(layer["steps"] for layer in second)
    if steps:
        exponents = [layer["exponent"] for layer in second if layer["exponent"] is not None]
        violated = sum(layer["violated"] for layer in second)
        fall = f"; they fall as 1 / t^p with p from {min(exponents):.2f} to {max(exponents):.2f}" if exponents else ""
        yield f"Theorem 2 (deltas fall as 1 / t): violated at {violated} of {steps} steps of layers{fall}"


def _of_definition(definition: Mapping[str, Any], n_samples: int) -> Iterator[str]:
    cells = [cell for layer in definition["layers"] for cell in layer["steps"]]
    if cells:
        overlapping, norms = sum(cell["overlapping"] for cell in cells), [cell["norm"] for cell in cells]
        yield (
            f"Definition 1 (overlap where ||O^t xor O^(t-1)|| < {definition['epsilon']:g}): layers overlap in "
            f"{overlapping:,} of {len(cells) * n_samples:,} cases"
        )
        yield f"  the norm is {_range(norms, '.3g')} by layer and step (overlap and P(1->1) above are our own measures)"


def _of_statements(layers: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    by_statement = list(zip(*(layer["statements"] for layer in layers), strict=True))
    if by_statement:
        yield "Theorem 2 as printed, phi = 0: percentage of steps and samples that violate it, by layer"
    for of_layers in by_statement:
        shares = [100 * each["violated"] / each["cases"] for each in of_layers]
        yield f"  {of_layers[0]['equation']:7} {of_layers[0]['text']:42} {_range(shares, '.1f')}"
    if by_statement:
        yield "  (14 and 25 are compared for each neuron; h is the sum of spikes, and r s is what spikes remove)"


def _of_covariances(layers: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Describe equations 12, 15 and 18, where layers change at all."""
    if not layers:
        return
    columns = {
        key: np.array([value for layer in layers for value in layer[key]])
        for key in ("eq12_as_printed", "eq12_without_square", "eq12_all_pairs", "eq18_left", "eq18_right")
    }
    steps, cases = len(columns["eq18_left"]), sum(layer["samples"] * len(layer["eq15"]) for layer in layers)
    above, below = (sum(layer[key] for layer in layers) for key in ("eq15_above_error", "eq15_below_eq12"))
    squared, plain = (_range(columns[f"eq12_{key}"], ".3g") for key in ("as_printed", "without_square"))
    yield "Theorems 1 and 2 at k = 1, where the error is exactly 0:"
    yield f"  12      e* as printed is {squared}; without the square of Cov {plain}"
    for equation, what, upper, lower in (
        (
            "12",
            "the latter, with pairs i, j of neurons too, grows by a factor of",
            "eq12_all_pairs",
            "eq12_without_square",
        ),
        ("18", "the left side divided by the right side is", "eq18_left", "eq18_right"),
    ):
        known = columns[lower] > 0
        if known.any():
            yield f"  {equation:7} {what} {_range(columns[upper][known] / columns[lower][known], '.3g')}"
    yield f"  15      the bound is above 0 in {above:,} of {cases:,} cases, below e* in {below:,} of {steps:,} steps"


def _range(values: Sequence[float] | NDArray[np.float64], form: str) -> str:
    """Write the smallest and the largest value, or one if both are written alike."""
    low, high = f"{min(values):{form}}", f"{max(values):{form}}"
    return low if low == high else f"{low} to {high}"
