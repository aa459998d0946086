"""Recognize soft reset in standard nodes: membrane -> threshold -> scale -> membrane is one layer of neurons.

v(t) = beta v(t-1) + current - beta v_threshold s(t-1) = beta (v - v_threshold s)(t-1) + current. With v_threshold in
place of beta v_threshold, the reset comes a step late.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeGuard

import numpy as np

from tdd_deploy.neurons import IF, LI, LIF, Firing, I, LoihiLIF, Threshold, VariantLIF
from tdd_deploy.neurons.loihi import UNIT
from tdd_deploy.neurons.variant import When
from tdd_deploy.program import NeuronLayer, Node, Scale

Pair = tuple[str, str]  # source, target


@dataclass(frozen=True)
class Parts:
    """Nodes, and the edges between them with the steps that each is known to take."""

    nodes: Mapping[str, Node]
    edges: Mapping[Pair, int]


@dataclass(frozen=True)
class Loop:
    """A soft reset in standard nodes."""

    membrane: NeuronLayer
    threshold: NeuronLayer
    reset: Scale

    def neuron(self) -> Firing | VariantLIF:
        """Make the neuron that computes the same."""
        unit = self.threshold.neuron
        assert isinstance(unit, Threshold)
        threshold, compare = unit.v_threshold, unit.compare
        unused = np.zeros_like(threshold, shape=())
        given: dict[str, Any] = {"v_threshold": threshold, "v_reset": unused, "reset": "soft", "compare": compare}
        match self.membrane.neuron:
            case LoihiLIF() as neuron:
                return replace(neuron, v_threshold=UNIT * threshold, compare=compare)
            case LI() as neuron if self.resets() == "next step":
                return VariantLIF(alpha=unused, beta=neuron.beta, resets="next step", **given)
            case LI() as neuron:
                return LIF(beta=neuron.beta, **given)
        return IF(**given)

    def resets(self) -> When | None:
        """Decide when the scale resets exactly as a soft reset does in the number format; None if it never does.

        Subtracting beta v_threshold is a reset at once; subtracting all of v_threshold is one a step late.
        """
        threshold = self.threshold.neuron.parameters()["v_threshold"]
        if self.reset.factor.shape not in ((), self.threshold.shape):
            return None
        if np.all(self.reset.factor == -(getattr(self.membrane.neuron, "beta", 1) * threshold)):
            return "at once"
        is_late = isinstance(self.membrane.neuron, LI) and np.all(self.reset.factor == -threshold)
        return "next step" if is_late else None


def with_soft_resets(parts: Parts) -> Parts:
    """Put one layer with soft reset, named after the threshold, in place of each loop of standard nodes."""
    nodes, edges = dict(parts.nodes), dict(parts.edges)
    for loop in _loops(parts):
        name, membrane, reset = loop.threshold.name, loop.membrane.name, loop.reset.name
        del nodes[membrane], nodes[reset]
        nodes[name] = replace(loop.threshold, neuron=loop.neuron())
        for pair in ((membrane, name), (name, reset), (reset, membrane)):
            del edges[pair]
        edges = {(source, name if target == membrane else target): n for (source, target), n in edges.items()}
    return Parts(nodes, edges)


def _loops(parts: Parts) -> Iterator[Loop]:
    targets: dict[str, set[str]] = defaultdict(set)
    sources: dict[str, set[str]] = defaultdict(set)
    for source, target in parts.edges:
        targets[source].add(target)
        sources[target].add(source)
    for threshold in parts.nodes.values():
        if not (isinstance(threshold, NeuronLayer) and isinstance(threshold.neuron, Threshold)):
            continue
        membranes = [parts.nodes[name] for name in sources[threshold.name]]
        if len(membranes) != 1 or not _is_membrane(membranes[0], threshold, targets):
            continue
        if parts.edges[membranes[0].name, threshold.name]:
            continue
        resets = [parts.nodes[name] for name in sorted(targets[threshold.name])]
        loops = [
            Loop(membranes[0], threshold, reset)
            for reset in resets
            if isinstance(reset, Scale)
            and sources[reset.name] == {threshold.name}
            and targets[reset.name] == {membranes[0].name}
            and not parts.edges[threshold.name, reset.name] + parts.edges[reset.name, membranes[0].name]
        ]
        yield from [loop for loop in loops if loop.resets()][:1]


def _is_membrane(node: Node, threshold: NeuronLayer, targets: Mapping[str, set[str]]) -> TypeGuard[NeuronLayer]:
    return (
        isinstance(node, NeuronLayer)
        and isinstance(node.neuron, LI | I | LoihiLIF)
        and node.shape == threshold.shape
        and targets[node.name] == {threshold.name}
    )
