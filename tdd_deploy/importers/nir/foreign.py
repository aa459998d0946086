"""A graph that another tool wrote becomes a Program, by the rules of the dialect that the user named."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdd_deploy.errors import Violation
from tdd_deploy.neurons import IF, LI, LIF, CubaLI, CubaLIF, I, Neuron, Threshold, VariantLIF
from tdd_deploy.program import (
    Conv,
    Dense,
    Edge,
    Input,
    LinearMap,
    NeuronLayer,
    Node,
    Output,
    Program,
    Scale,
    Shape,
    build,
)
from tdd_deploy.program.nodes import INPUTS, OUTPUTS
from tdd_deploy.program.recurrence import recurrence

from .dialects import Choices, Chosen
from .ends import with_one_input_and_output
from .pass_through import ROUNDED, bypass
from .plain import Pair
from .restore import Restored, RestoredLayer
from .rules import refuse
from .soft_reset import Parts, with_soft_resets

Array = NDArray[np.float64]


def lower_foreign(graph: Restored, chosen: Chosen, *, subject: str) -> Program:
    """Turn a restored graph into a Program.

    Gains and leaks of neurons go into the maps before them; without such a map, a Scale or a map is added.

    Raises:
        UnsupportedGraph: it holds what no Program can hold; every reason is named.
        BadProgram: it breaks a rule of ``program/verify.py``.
    """
    found = _Lowering(graph, chosen)
    refuse(subject, found.violations)
    parts = with_one_input_and_output(with_soft_resets(Parts(found.nodes, found.delays)), graph.outputs)
    looped = recurrence(
        parts.nodes.values(), parts.edges, delayed=[pair for pair, steps in parts.edges.items() if steps]
    )
    refuse(subject, looped.violations)
    return build(
        parts.nodes.values(),
        [Edge(*pair, steps + int(pair in looped.delayed)) for pair, steps in parts.edges.items()],
        dt_s=chosen.choices.dt or 1.0,
        n_steps=chosen.choices.steps,
        integration="euler" if chosen.choices.integration == "euler" else "exact",
        number_format=chosen.choices.numbers,
        provenance={"dialect": str(chosen), **dict(_assumptions(graph, looped.opened))},
        subject=subject,
    )


def _assumptions(graph: Restored, opened: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield the repairs and the assumptions, for the provenance."""
    if graph.repairs:
        yield "repaired", "; ".join(graph.repairs)
    loops = [f"a loop that no input enters begins at {name}" for name in opened]
    if loops:
        yield "assumed", "; ".join(loops)


@dataclass(frozen=True)
class _Leak:
    """``x = kept x + gained current + drift``: what a choice makes of a time constant."""

    kept: Array
    gained: Array
    drift: Array


@dataclass
class _Lowering:
    """Nodes, and how many steps each edge takes, in the making."""

    graph: Restored
    chosen: Chosen
    nodes: dict[str, Node] = field(default_factory=dict)
    delays: dict[Pair, int] = field(default_factory=dict)
    violations: list[Violation] = field(default_factory=list)

    def __post_init__(self) -> None:
        graph = self.graph
        self._check_ends()
        self.nodes |= {name: Input(name=name, shape=shape) for name, shape in graph.inputs.items()}
        self.nodes |= {name: Output(name=name) for name in graph.outputs}
        self.nodes |= graph.maps
        edges = bypass(graph.edges, graph.pass_through, dt_s=self.chosen.choices.dt or 1.0)
        self.delays |= edges.delays
        self.violations += edges.violations
        for name, layer in graph.layers.items():
            self._lower(name, layer)
        if self.violations:
            return
        self._delay(
            pair
            for pair in self.delays
            if isinstance(self.nodes[pair[1]], Dense | Conv) and self.chosen.of(pair[1]).map_delay == "yes"
        )
        firing = {name for name, layer in graph.layers.items() if "v_threshold" in layer.values}
        late = {name for name in firing if self.chosen.of(name).spike_delay == "yes"}
        self._delay(pair for pair in self.delays if pair[0] in late)
        self._push_delays()

    def _check_ends(self) -> None:
        for kind, names in (("Input", self.graph.inputs), ("Output", self.graph.outputs)):
            if not names:
                self.violations.append(Violation("the graph", f"has no node of kind {kind}"))
        ends = (INPUTS, self.graph.inputs), (OUTPUTS, self.graph.outputs)
        for taken in (name for name, several in ends if len(several) > 1 and name in self.graph.sent):
            found = "is the name of a node, but is reserved for all inputs or outputs together"
            self.violations.append(Violation(taken, found, remedy="Rename the node."))

    # ---- edges

    def _delay(self, pairs: Iterable[Pair]) -> None:
        for pair in list(pairs):
            self.delays[pair] += 1

    def _push_delays(self) -> None:
        """Move a delay after a linear map to before it, since edges delay only what neurons send."""
        for _ in range(len(self.nodes) + 1):  # a path through all maps, and once to see that none is left
            after_maps = [pair for pair, taken in self.delays.items() if taken and self._is_map(pair[0])]
            if not after_maps:
                return
            for pair in after_maps:
                if not self._push(pair):
                    return
        found = f"has a delay on a cycle of linear maps, {after_maps[0][0]} among them"
        self.violations.append(Violation("the graph", found, remedy="Put a layer of neurons into the cycle."))

    def _is_map(self, name: str) -> bool:
        return isinstance(self.nodes[name], LinearMap)

    def _push(self, pair: Pair) -> bool:
        """Move the delay after a map to the edges into it; return whether that was possible."""
        source, target = pair
        outgoing = [other for other in self.delays if other[0] == source]
        if len(outgoing) > 1 or getattr(self.nodes[source], "bias", None) is not None:
            why = "which has a bias" if len(outgoing) == 1 else "whose other targets receive it without a delay"
            found = f"has a delay after the map {source}, {why}"
            remedy = "Put the delay after neurons, or after a map without a bias that leads to one node."
            self.violations.append(Violation(f"edge {source} -> {target}", found, remedy=remedy))
            return False
        taken, self.delays[pair] = self.delays[pair], 0
        for other in self.delays:
            if other[1] == source:
                self.delays[other] += taken
        return True

    # ---- neurons

    def _lower(self, name: str, layer: RestoredLayer) -> None:
        faults = [*self._faults(name, layer), *self._ignored(name, layer)]
        if faults:
            self.violations += faults
            return
        neuron, gain, drift = _Rules(self.chosen.of(name), layer, feeds_itself=self._feeds_itself(name)).neuron()
        self.nodes[name] = NeuronLayer(name=name, shape=layer.shape, neuron=neuron)
        self._feed(name, layer, gain, drift)

    def _feeds_itself(self, name: str) -> bool:
        """Decide whether a layer is recurrent: it leads to itself, directly or through one map."""
        targets = {target for source, target in self.delays if source == name}
        return name in targets or any((target, name) in self.delays for target in targets)

    def _faults(self, name: str, layer: RestoredLayer) -> Iterator[Violation]:
        choices, values = self.chosen.of(name), layer.values
        r_is, dt = self.chosen.dialect.r_is, choices.dt or 1.0
        for key in ("tau", "tau_syn", "tau_mem"):
            if key not in values:
                continue
            tau = _tau(values[key], choices)
            if not (tau > 0).all():
                yield Violation(f"{name}.{key}", f"{tau.min():g}", "above 0 seconds")
            elif choices.integration == "euler" and (tau < dt * (1 - ROUNDED)).any():
                remedy = self._remedy_of_a_short_tau(choices)
                found = f"{tau.min():g} s with dt {dt:g} s"
                yield Violation(f"{name}.{key}", found, "dt or more with integration=euler", remedy)
            elif r_is is not None and choices.gain == self.chosen.dialect.choices.gain and key != "tau_syn":
                expected = r_is(tau, dt)
                if not np.allclose(values["r"], expected, rtol=1e-3):
                    found = f"{values['r'].flat[0]:g}"
                    allowed = (
                        f"{expected.flat[0]:g}, which {self._name} writes for tau {tau.flat[0]:g} s and dt {dt:g} s"
                    )
                    yield Violation(f"{name}.r", found, allowed, "Choose the dt of its export, or gain=nir.")
        if layer.kind == "LI" and choices.start != "zero" and np.any(values["v_leak"]):
            found = f"{values['v_leak'][values['v_leak'] != 0][0]:g}"
            remedy = "Choose start=zero if v starts at 0."
            yield Violation(f"{name}.v_leak", found, "0, since v is sent and starts there", remedy)
        if choices.start == "reset" and {"v_leak", "v_reset"} <= values.keys():
            away = values["v_leak"] != values["v_reset"]
            if away.any():
                found, start = (f"{values[key].flat[0]:g}" for key in ("v_leak", "v_reset"))
                remedy = "Choose start=rest or start=zero if v starts elsewhere."
                yield Violation(f"{name}.v_leak", found, f"{start} as v_reset is, where v starts", remedy)
        fires_often = choices.spikes == "many" and "v_threshold" in values
        if fires_often and np.any(values["v_threshold"] <= 0):
            yield Violation(
                f"{name}.v_threshold", f"{values['v_threshold'].min():g}", "above 0 for many spikes per step"
            )

    def _remedy_of_a_short_tau(self, choices: Choices) -> str:
        if choices.tau == "times_dt":
            return "Drop tau=times_dt if the file states seconds."
        if self._is("norse"):
            return "Its own export writes tau times dt: add ,tau=times_dt to `dialect`."
        if "dt" not in self.chosen.given and self.chosen.dialect.choices.dt is not None:
            return "Add ,dt=... to `dialect` with the dt of its export, or name the dialect of the tool that wrote it."
        return "Choose a smaller dt, or integration=exact."

    def _ignored(self, name: str, layer: RestoredLayer) -> Iterator[Violation]:
        """Yield a choice that snnTorch 1.0 accepts but ignores: its RSynaptic always resets in the next step."""
        choices, is_specified = self.chosen.of(name), "reset_delay" in self.chosen.of_nodes.get(name, {})
        is_rsynaptic = self._is("snntorch") and layer.kind == "CubaLIF" and self._feeds_itself(name)
        if is_rsynaptic and not is_specified and choices.reset_delay == "no" and choices.reset != "none":
            found = "is an RSynaptic of snnTorch 1.0, which ignores reset_delay=no and resets in the next step"
            remedy = f"Add ,reset_delay[{name}]=yes to `dialect`, as snnTorch computes, or ,reset_delay[{name}]=no."
            yield Violation(name, found, remedy=remedy)

    @property
    def _name(self) -> str:
        return self.chosen.dialect.name

    def _is(self, name: str) -> bool:
        return self._name == name

    def _feed(self, name: str, layer: RestoredLayer, gain: Array, drift: Array) -> None:
        """Put the gain and the constant current of a layer into the maps before it."""
        gain = np.where(np.abs(gain - 1) <= ROUNDED, 1.0, gain)
        into = [pair for pair in self.delays if pair[1] == name]
        if not np.any(drift) and np.all(gain == 1):
            return
        maps = [self.nodes.get(source) for source, _ in into]
        outgoing = {source: sum(pair[0] == source for pair in self.delays) for source, _ in into}
        folded = [
            _fold(node, gain, drift if at == 0 else np.zeros(()))
            if isinstance(node, Dense | Conv) and outgoing[node.name] == 1
            else None
            for at, node in enumerate(maps)
        ]
        if into and all(node is not None for node in folded):
            self.nodes |= {node.name: node for node in folded if node is not None}
            return
        made = _gain_map(f"{name}.gain", layer.shape, gain, drift)
        self.nodes[made.name] = made
        for pair in into:
            self.delays[pair[0], made.name] = self.delays.pop(pair)
        self.delays[made.name, name] = 0


@dataclass(frozen=True)
class _Rules:
    """The choices, for one layer."""

    choices: Choices
    layer: RestoredLayer
    feeds_itself: bool

    def neuron(self) -> tuple[Neuron, Array, Array]:
        """Make the neuron, the gain of its current, and the constant current that its leak causes."""
        nothing, everything, kind = np.zeros(()), np.ones(()), self.layer.kind
        if kind == "Threshold":
            return self._threshold(), everything, nothing
        if kind in ("I", "IF"):
            return I() if kind == "I" else self._firing(nothing, everything, None), self._integrated(), nothing
        if kind in ("LI", "LIF"):
            membrane = self._leak("tau", "r", self.choices.gain_of(kind))
            neuron = LI(beta=_parameter(membrane.kept)) if kind == "LI" else self._firing(nothing, membrane.kept, LIF)
            return neuron, membrane.gained, membrane.drift
        synapse = self._leak("tau_syn", "w_in", self.choices.gain_syn)
        membrane = self._leak("tau_mem", "r", self.choices.gain)
        gain = synapse.gained * membrane.gained
        if kind == "CubaLI":
            return CubaLI(alpha=_parameter(synapse.kept), beta=_parameter(membrane.kept)), gain, membrane.drift
        return self._firing(synapse.kept, membrane.kept, CubaLIF), gain, membrane.drift

    def _leak(self, tau_key: str, r_key: str, gain: str | None) -> _Leak:
        values, dt = self.layer.values, self.choices.dt or 1.0
        ratio = dt / _tau(values[tau_key], self.choices)
        is_euler = self.choices.integration == "euler"
        kept = np.asarray(np.maximum(1 - ratio, 0) if is_euler else np.exp(-ratio))  # below 0 by rounding alone
        lost = np.asarray(ratio if is_euler else -np.expm1(-ratio))
        gained = {
            "nir": values[r_key] * (ratio if self.choices.integration == "impulse" else lost),
            "r": values[r_key],
            "one": np.ones(()),
            "norm": lost,
            "kept": kept,
        }[gain or "nir"]
        is_driven = self.choices.v_leak == "used" and self.choices.start == "zero" and r_key == "r"
        return _Leak(kept, np.asarray(gained), np.asarray(lost * values["v_leak"] if is_driven else np.zeros(())))

    def _integrated(self) -> Array:
        r = self.layer.values["r"]
        return {"nir": r * (self.choices.dt or 1.0), "r": r, "one": np.ones(())}.get(self.choices.gain_if or "nir", r)

    def _firing(self, alpha: Array, beta: Array, kind: type[LIF] | type[CubaLIF] | None) -> Neuron:
        choices, values = self.choices, self.layer.values
        rest = self._rest()
        heights = {
            "v_threshold": _parameter(values["v_threshold"] - rest),
            "v_reset": _parameter((values["v_reset"] if choices.reset_to == "v_reset" else np.zeros(())) - rest),
        }
        v_min = None if choices.v_min is None or math.isinf(choices.v_min) else np.asarray(choices.v_min - rest)
        is_late = choices.reset_delay == "yes" and not self._resets_before_leaking(kind)
        is_held = choices.left_over == "held" and choices.reset == "soft" and not is_late
        if choices.spikes == "many" or is_late or is_held or choices.reset == "none" or v_min is not None:
            return VariantLIF(
                alpha=_parameter(alpha),
                beta=_parameter(beta),
                **heights,
                v_min=v_min,
                reset=choices.reset or "hard",
                resets="next step" if is_late else "at once",
                compare=choices.compare,
                spikes=choices.spikes or "one",
                left_over="held" if is_held else "fires",
            )
        chosen: dict[str, Any] = {**heights, "reset": choices.reset, "compare": choices.compare}
        if kind is None:
            return IF(**chosen)
        if kind is LIF:
            return LIF(beta=_parameter(beta), **chosen)
        return CubaLIF(alpha=_parameter(alpha), beta=_parameter(beta), **chosen)

    def _resets_before_leaking(self, kind: type[LIF] | type[CubaLIF] | None) -> bool:
        """Decide whether a late hard reset is made before the leak, and so is one at once, as in snnTorch's Leaky.

        In Synaptic, RLeaky and RSynaptic the input of that step is lost, too.
        """
        return self.choices.reset == "hard" and kind is not CubaLIF and not self.feeds_itself

    def _rest(self) -> Array:
        """Return where v starts and leaks to; all potentials are held as distances from there."""
        if self.choices.start == "zero":
            return np.zeros(())
        return self.layer.values["v_reset" if self.layer.kind == "IF" else "v_leak"]

    def _threshold(self) -> Threshold:
        height = _parameter(self.layer.values["threshold"])
        return Threshold(v_threshold=height, compare=self.choices.compare)


def _tau(tau: Array, choices: Choices) -> Array:
    """Convert time constants to the unit of dt."""
    return tau / (choices.dt or 1.0) if choices.tau == "times_dt" else tau


def _parameter(values: Array) -> Array:
    """Reduce equal numbers to one of shape ()."""
    return np.asarray(values.flat[0]) if not np.ptp(values) else np.asarray(values)


def _fold(node: Dense | Conv, gain: Array, drift: Array) -> Dense | Conv | None:
    """Multiply the outputs of a map and add a constant; None if these differ within a channel."""
    rows, added = (_per_row(values, node) for values in (gain, drift))
    if rows is None or added is None:
        return None
    bias = added if node.bias is None else node.bias * rows + added
    weight = node.weight * rows.reshape(-1, *[1] * (node.weight.ndim - 1))
    return replace(node, weight=weight, bias=np.broadcast_to(bias, len(weight)) if np.any(bias) else None)


def _per_row(values: Array, node: Dense | Conv) -> Array | None:
    """Reduce values to one per row of a weight; None if a row has several."""
    if values.ndim == 3:
        if np.ptp(values, axis=(1, 2)).any():
            return None
        values = values[:, 0, 0]
    return np.asarray(np.broadcast_to(values, len(node.weight)))


def _gain_map(name: str, shape: Shape, gain: Array, drift: Array) -> LinearMap:
    """Make the map that multiplies the current of each neuron and adds a constant."""
    factor, bias = _parameter(np.asarray(gain)), _parameter(np.asarray(drift))
    if len(shape) == 3 and np.any(drift):  # NIR has a node for a bias per channel, none for one per neuron
        size = shape[0]
        depthwise = _fold(Conv(name=name, weight=np.ones((size, 1, 1, 1)), groups=size), factor, bias)
        if depthwise is not None:
            return depthwise
    return Scale(name=name, factor=factor, bias=bias if np.any(drift) else None)
