"""The analysis of a finished run, and its record in JSON."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from .diagnostics import EVERYWHERE, Activity, Remainder, Selection, remainders, shrinking
from .fisher import Information, centroid, information, recorded_traces
from .replay import Finished, replay

SCHEMA_VERSION = 1
NOT_MEASURED = "the bound of Theorem 2 on the membrane, whose statement is not available"
COUNTS = ("spikes", "delta_events", "hybrid_events", "spike_synops", "delta_synops", "hybrid_synops")
NO_LABELS = "Fisher information: the data has no labels"


@dataclass(frozen=True)
class Findings:
    """The findings on some samples; those of several batches add up."""

    activity: Activity  # as deployed
    remainders: tuple[Remainder, ...]  # of the network in floats, as is the next
    information: Information | None  # None: the samples have no labels

    def __add__(self, other: Self) -> Self:
        joined = None
        if self.information is not None and other.information is not None:
            joined = self.information + other.information
        both = zip(self.remainders, other.remainders, strict=True)
        return type(self)(self.activity + other.activity, tuple(a + b for a, b in both), joined)


def examine(run: Finished, inputs: NDArray[np.floating], labels: NDArray[np.int64] | None, n_steps: int) -> Findings:
    """Examine a batch of samples.

    Args:
        run: its networks are examined.
        inputs: ``[n_steps, batch, ...]``, or ``[1, batch, ...]`` when they are the same at every step.
        labels: classes ``[batch]``, if there are any.
        n_steps: the number of time steps.
    """
    x = torch.from_numpy(np.ascontiguousarray(inputs, np.float32))
    known = None if labels is None else information(run.network, x, torch.from_numpy(labels), n_steps)
    activity = Activity.of(rasters(run, inputs, n_steps), run.fan_out)
    return Findings(activity, remainders(run.network, x, n_steps), known)


def rasters(run: Finished, inputs: NDArray[np.floating], n_steps: int) -> Mapping[str, NDArray[np.generic]]:
    """Replay samples as deployed; return the spikes of each layer ``[n_steps, batch, ...]``."""
    return replay(run.deployed, np.broadcast_to(inputs, (n_steps, *inputs.shape[1:]))).spikes


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """A finished analysis; counts are sums over its samples."""

    program: str  # its digest
    data: Mapping[str, Any]
    shapes: Mapping[str, tuple[int, ...]]  # of layers, by name
    findings: Findings
    epochs: Sequence[Mapping[str, Any]]  # the history of the run

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
            "theorem1": [asdict(each) for each in self.findings.remainders],
            "theorem2": [asdict(each) for each in shrinking(activity)],
            "not_measured": [NOT_MEASURED, *([] if traces else [NO_LABELS])],
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
    yield from _of_theorems(report["theorem1"], report["theorem2"])
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
