"""Runs on the same data, compared by their events."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .diagnostics import Activity

NOT_NAMED = ("method", "steps", "seed")  # the first begins a name; the others do not make another method


@dataclass(frozen=True)
class Compared:
    """The events of one run on the analyzed samples."""

    run: str  # its folder
    program: str  # its digest
    method: str  # its name, and the options in which runs of one method differ
    activity: Activity

    def as_json(self) -> dict[str, Any]:
        """Return the events as plain values, in sums over samples."""
        spikes, deltas = self.activity.spikes.sum(0), self.activity.deltas.sum(0)
        return {
            "run": self.run,
            "program": self.program,
            "method": self.method,
            "n_steps": len(spikes),
            "samples": self.activity.n_samples,
            "spikes": int(spikes.sum()),
            "delta_events": int(deltas.sum()),
            "steps": [
                {"step": t + 1, "spikes": int(spikes[t]), "delta_events": int(deltas[t])} for t in range(len(spikes))
            ],
        }


def name_methods(options: Sequence[Mapping[str, Any]]) -> list[str]:
    """Name the method of each run, given its recorded options.

    Runs of one method that differ in other options get these too, such as ``tet, reset to 1``; time steps and seeds do
    not count.
    """
    return [_name(each, [other for other in options if other["method"] == each["method"]]) for each in options]


def _name(chosen: Mapping[str, Any], of_method: Sequence[Mapping[str, Any]]) -> str:
    names = (name for name in chosen if name not in NOT_NAMED)
    differing = (name for name in names if any(other.get(name) != chosen[name] for other in of_method))
    return ", ".join([chosen["method"], *(f"{name.replace('_', ' ')} {_written(chosen[name])}" for name in differing)])


def _written(value: object) -> str:
    if isinstance(value, list | tuple):
        return "-".join(map(_written, value)) or "none"
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True)
class Curve:
    """One method of a comparison: events per sample, the mean of runs that differ in their seed alone."""

    method: str
    at: tuple[int, ...]  # numbers of time steps, or time steps
    spikes: tuple[float, ...]
    delta_events: tuple[float, ...]


def by_steps(compared: Sequence[Mapping[str, Any]]) -> list[Curve]:
    """Arrange runs by method: events per sample against the number of time steps T."""
    curves = []
    for method in dict.fromkeys(run["method"] for run in compared):
        runs = [run for run in compared if run["method"] == method]
        at = sorted({run["n_steps"] for run in runs})
        groups = [[run for run in runs if run["n_steps"] == n_steps] for n_steps in at]
        spikes, deltas = (
            tuple(_mean(run[key] / run["samples"] for run in group) for group in groups)
            for key in ("spikes", "delta_events")
        )
        curves.append(Curve(method, tuple(at), spikes, deltas))
    return curves


def per_step(compared: Sequence[Mapping[str, Any]]) -> list[Curve]:
    """Arrange the runs with as many time steps as the first by method: events per sample at each time step."""
    n_steps = compared[0]["n_steps"]
    alike = [run for run in compared if run["n_steps"] == n_steps]
    curves = []
    for method in dict.fromkeys(run["method"] for run in alike):
        runs = [run for run in alike if run["method"] == method]
        spikes, deltas = (
            tuple(_mean(run["steps"][t][key] / run["samples"] for run in runs) for t in range(n_steps))
            for key in ("spikes", "delta_events")
        )
        curves.append(Curve(method, tuple(range(1, n_steps + 1)), spikes, deltas))
    return curves


def _mean(values: Iterable[float]) -> float:
    known = list(values)
    return sum(known) / len(known)
