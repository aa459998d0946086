"""What ``analyse`` finds out about a run, and how it is written down."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from .diagnostics import EVERYWHERE, Activity, Cells, Remainder, remainders, shrinking
from .fisher import Information, centroid, information, recorded_traces
from .replay import Finished, replay

SCHEMA_VERSION = 1
NOT_MEASURED = "the bound on the membrane of Theorem 2: its statement is not at hand"
COUNTS = ("spikes", "delta_events", "hybrid_events", "spike_synops", "delta_synops", "hybrid_synops")
NO_LABELS = "Fisher information: the data has no labels"


@dataclass(frozen=True)
class Findings:
    """What samples show; the parts add up over batches."""

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
    """Return what a batch shows.

    Args:
        run: whose networks are examined.
        inputs: ``[n_steps, batch, ...]``, or ``[1, batch, ...]`` when they are the same at every step.
        labels: classes ``[batch]``, if there are any.
        n_steps: how many.
    """
    x = torch.from_numpy(np.ascontiguousarray(inputs, np.float32))
    known = None if labels is None else information(run.network, x, torch.from_numpy(labels), n_steps)
    activity = Activity.of(rasters(run, inputs, n_steps), run.fan_out)
    return Findings(activity, remainders(run.network, x, n_steps), known)


def rasters(run: Finished, inputs: NDArray[np.floating], n_steps: int) -> Mapping[str, NDArray[np.generic]]:
    """Return the spikes of each layer ``[n_steps, batch, ...]``, as deployed."""
    return replay(run.deployed, np.broadcast_to(inputs, (n_steps, *inputs.shape[1:]))).spikes


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """A finished analysis; counts are sums over its samples."""

    program: str  # its digest
    data: Mapping[str, Any]
    shapes: Mapping[str, tuple[int, ...]]  # of layers
    findings: Findings
    epochs: Sequence[Mapping[str, Any]]  # of the run's history

    @property
    def traces(self) -> list[float] | None:
        """Fisher information per time step; None without labels."""
        found = self.findings.information
        return None if found is None else found.traces

    @property
    def centroids(self) -> dict[int, float | None]:
        """Where information lay after each epoch, as far as training recorded it."""
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
            "steps": [{"step": t + 1, **self._cells((slice(None), t))} for t in range(n_steps)],
            "totals": self._cells(EVERYWHERE),
            "fisher": {
                "labels": "of the data",
                "traces": traces,
                "centroid": None if traces is None else centroid(traces),
                "epochs": [{"epoch": epoch, "centroid": centre} for epoch, centre in self.centroids.items()],
            },
            "theorem1": [asdict(each) for each in self.findings.remainders],
            "theorem2": [asdict(each) for each in shrinking(activity)],
            "not_measured": [NOT_MEASURED, *([] if traces else [NO_LABELS])],
        }

    def _layer(self, row: int) -> dict[str, Any]:
        activity = self.findings.activity
        name = activity.layers[row]
        steps = ({"step": t + 1, **self._cells((row, t))} for t in range(activity.spikes.shape[1]))
        return {
            "name": name,
            "shape": list(self.shapes[name]),
            "neurons": activity.neurons[row],
            **self._cells((row, slice(None))),
            "steps": list(steps),
        }

    def _cells(self, cells: Cells) -> dict[str, Any]:
        activity = self.findings.activity
        spikes, deltas = (int(events[cells].sum()) for events in (activity.spikes, activity.deltas))
        return {
            "spikes": spikes,
            "delta_events": deltas,
            "fewer": "equal" if deltas == spikes else "delta" if deltas < spikes else "spike",
            "hybrid_events": int(activity.hybrid[cells].sum()),
            "spike_synops": int(activity.spike_synops[cells].sum()),
            "delta_synops": int(activity.delta_synops[cells].sum()),
            "hybrid_synops": int(activity.hybrid_synops[cells].sum()),
            "overlap": activity.overlap(cells),
            "persistence": activity.persistence(cells),
        }


def summary(report: Mapping[str, Any]) -> Iterator[str]:
    """Yield what ``Analysis.as_json`` says, in sentences."""
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
        f"synaptic operations behind them: {per_sample['spike_synops']:,.0f}, {per_sample['delta_synops']:,.0f} and "
        f"{per_sample['hybrid_synops']:,.0f}"
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
        fall = f"; they go as 1 / t^p, p {min(exponents):.2f} to {max(exponents):.2f}" if exponents else ""
        yield f"Theorem 2 (deltas fall as 1 / t): broken at {violated} of {steps} steps of layers{fall}"
