"""The contents of another tool's graph, and what each dialect would make of it, for those who have to choose one."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdd_deploy.errors import TddDeployError
from tdd_deploy.program import Shape
from tdd_deploy.program.describe import kind, parameters

from .dialects import APPLIES_TO, DIALECTS, Choices, Dialect, open_keys
from .restore import Restored, RestoredLayer

Array = NDArray[np.float64]
MODELS = ("LIF", "CubaLIF", "IF", "LI", "CubaLI", "I", "Threshold")  # in this order, the first that exists is shown


@dataclass(frozen=True)
class Reading:
    """One dialect with its open choices, and what it would make of a graph."""

    option: str
    about: str
    does: str


@dataclass(eq=False)
class AmbiguousGraph(TddDeployError):
    """Another tool wrote a graph, and no dialect was chosen."""

    subject: str
    shown: str  # the layer that the readings are about
    readings: tuple[Reading, ...]
    per_node: str = ""  # how to choose for one of several nodes

    @property
    def message(self) -> str:
        """The whole message, parameters in backticks."""
        differing = f"\nIf layers differ: {self.per_node}" if self.per_node else ""
        about = f" of {self.shown}" if self.shown else ""
        lines = "".join(f"\n  `dialect={each.option}`\n      {each.about}\n      {each.does}" for each in self.readings)
        return (
            f"{self.subject} was written by another tool, and NIR does not define all that it computes. "
            f"Choose a reading with `dialect`. What each makes{about}:{lines}{differing}"
        )


def ambiguous(graph: Restored, subject: str) -> AmbiguousGraph:
    """Make the error that lists every dialect with what it would do."""
    return AmbiguousGraph(subject, _shown(graph), readings(graph), _per_node(graph))


def readings(graph: Restored) -> tuple[Reading, ...]:
    """Describe what each dialect would make of the first layer of neurons."""
    kinds = kinds_of(graph)
    shown = _shown(graph)
    return tuple(
        Reading(
            option=_option(dialect, kinds),
            about=dialect.about,
            does=_sketch(dialect.choices, graph.layers[shown]) if shown else "no layer of neurons: nothing is open",
        )
        for dialect in DIALECTS.values()
    )


def survey_graph(graph: Restored) -> dict[str, Any]:
    """Describe the nodes of a graph and what is open, as plain values."""
    into: dict[str, list[str]] = {}
    for source, target in graph.edges:
        into.setdefault(target, []).append(source)
    per_node = _per_node(graph)
    return {
        "nodes": [
            {
                "name": name,
                "kind": what,
                "shape": list(shape),
                "parameters": described,
                "from": sorted(into.get(name, [])),
            }
            for name, what, shape, described in _rows(graph)
        ],
        "repaired": list(graph.repairs),
        "what each dialect makes" + (f" of {_shown(graph)}" if _shown(graph) else ""): {
            each.option: f"{each.does} ({each.about})" for each in readings(graph)
        },
        **({"if layers differ": per_node} if per_node else {}),
    }


def _per_node(graph: Restored) -> str:
    """Explain how to choose for one of several layers that fire; empty if there is only one."""
    firing = [name for name, layer in graph.layers.items() if layer.kind in APPLIES_TO["reset"]]
    return f"KEY[NODE]=VALUE sets a choice for one node, such as reset[{firing[-1]}]=none" if len(firing) > 1 else ""


def _rows(graph: Restored) -> Iterable[tuple[str, str, Shape, str]]:
    for name, shape in graph.sent.items():
        if name in graph.layers:
            values = graph.layers[name].values
            yield name, graph.layers[name].kind, shape, ", ".join(f"{key} {_range(v)}" for key, v in values.items())
        elif name in graph.maps:
            yield name, kind(graph.maps[name]), shape, parameters(graph.maps[name])
        elif name in graph.pass_through:
            yield name, "Delay", shape, f"{graph.pass_through[name]:g} s"
        else:
            yield name, "Input" if name in graph.inputs else "Output", shape, ""


def kinds_of(graph: Restored) -> dict[str, str]:
    """Map the name of every node to its kind, without pass-through nodes that take no time."""
    return {
        **dict.fromkeys(graph.inputs, "Input"),
        **dict.fromkeys(graph.outputs, "Output"),
        **{name: kind(node) for name, node in graph.maps.items()},
        **{name: layer.kind for name, layer in graph.layers.items()},
        **{name: "Delay" for name, seconds in graph.pass_through.items() if seconds},
    }


def _shown(graph: Restored) -> str:
    ranked = sorted(graph.layers, key=lambda name: MODELS.index(graph.layers[name].kind))
    return ranked[0] if ranked else ""


def _option(dialect: Dialect, kinds: Mapping[str, str]) -> str:
    return ",".join([dialect.name, *(f"{key}=..." for key in open_keys(dialect, kinds))])


def _sketch(choices: Choices, layer: RestoredLayer) -> str:
    """Describe what one layer does at each step, in a line."""
    steps = []
    if "tau" in layer.values or "tau_mem" in layer.values:
        tau = layer.values["tau" if "tau" in layer.values else "tau_mem"].flat[0]
        steps.append(f"v = {_kept(choices, tau)} v + {_gained(choices, tau, layer)} x")
    elif "r" in layer.values:
        steps.append(f"v = v + {_integrated(choices, layer.values)} x")
    if "v_threshold" in layer.values:
        height = _range(layer.values["v_threshold"])
        often = f"once or often (v / {height})" if choices.spikes is None else f"v / {height} times"
        steps.append(f"fires {often}" if choices.spikes != "one" else f"fires at v {choices.compare} {height}")
        steps.append(_reset(choices, layer.values, height))
    if choices.spike_delay == "yes":
        steps.append("sends it a step later")
    return ", ".join(steps)


def _kept(choices: Choices, tau: float) -> str:
    euler, exponential = f"1 - dt / {tau:g}", f"exp(-dt / {tau:g})"
    if choices.integration is None:
        return f"({euler} or {exponential})"
    if choices.dt is None:
        return f"({euler})" if choices.integration == "euler" else exponential
    ratio = choices.dt / tau
    if choices.integration == "euler" and ratio > 1:
        return f"(not possible: tau {tau:g} s is below dt)"
    return f"{1 - ratio if choices.integration == 'euler' else np.exp(-ratio):.4g}"


def _gained(choices: Choices, tau: float, layer: RestoredLayer) -> str:
    r, gain = layer.values["r"].flat[0], choices.gain_of(layer.kind)
    if gain is None:
        return "(1 or 1 - kept)"
    if gain != "nir":
        return {"r": f"{r:g}", "one": "1", "norm": "(1 - kept)", "kept": "kept"}[gain]
    return f"{r:g} dt / {tau:g}" if choices.dt is None else f"{r * choices.dt / tau:.4g}"


def _integrated(choices: Choices, values: Mapping[str, Array]) -> str:
    r = values["r"].flat[0]
    if choices.gain_if == "nir":
        return f"{r:g} dt" if choices.dt is None else f"{r * choices.dt:.4g}"
    return f"{r:g}" if choices.gain_if == "r" else "1"


def _reset(choices: Choices, values: Mapping[str, Array], height: str) -> str:
    late = {"yes": ", a step later", None: ", at once or a step later"}.get(choices.reset_delay, "")
    if choices.reset is None:
        return f"then loses {height}, goes to 0 or stays{late}"
    level = "0" if choices.reset_to == "zero" else _range(values["v_reset"])
    return {"soft": f"then loses {height}", "hard": f"then goes to {level}", "none": "no reset"}[choices.reset] + late


def _range(values: Array) -> str:
    low, high = float(np.min(values)), float(np.max(values))
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"
