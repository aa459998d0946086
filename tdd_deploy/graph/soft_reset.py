"""Soft reset in standard nodes, recognised: membrane -> threshold -> scale -> membrane is one layer of neurons.

v(t) = beta v(t-1) + current - beta v_threshold s(t-1) = beta (v - v_threshold s)(t-1) + current
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeGuard

import numpy as np

from tdd_deploy.neurons import IF, LI, LIF, Firing, I, LoihiLIF, Threshold
from tdd_deploy.neurons.loihi import UNIT
from tdd_deploy.program import NeuronLayer, Node, Scale

Pair = tuple[str, str]  # source, target


@dataclass(frozen=True)
class Parts:
    """Nodes and the edges between them."""

    nodes: Mapping[str, Node]
    edges: frozenset[Pair]


@dataclass(frozen=True)
class Loop:
    """A soft reset in standard nodes."""

    membrane: NeuronLayer
    threshold: NeuronLayer
    reset: Scale

    def neuron(self) -> Firing:
        """Return the neuron that computes the same."""
        threshold = self.threshold.neuron.parameters()["v_threshold"]
        if isinstance(self.membrane.neuron, LoihiLIF):
            return replace(self.membrane.neuron, v_threshold=UNIT * threshold)
        unused = np.zeros_like(threshold, shape=())
        if isinstance(self.membrane.neuron, LI):
            return LIF(beta=self.membrane.neuron.beta, v_threshold=threshold, v_reset=unused, reset="soft")
        return IF(v_threshold=threshold, v_reset=unused, reset="soft")

    def resets_softly(self) -> bool:
        """Say whether the scale takes away exactly what a soft reset does, in the number format."""
        beta = getattr(self.membrane.neuron, "beta", 1)
        reset = -(beta * self.threshold.neuron.parameters()["v_threshold"])
        return self.reset.factor.shape in ((), self.threshold.shape) and bool(np.all(self.reset.factor == reset))


def with_soft_resets(parts: Parts) -> Parts:
    """Put one layer with soft reset, named after the threshold, in place of each loop of standard nodes."""
    nodes, edges = dict(parts.nodes), set(parts.edges)
    for loop in _loops(parts):
        name, membrane, reset = loop.threshold.name, loop.membrane.name, loop.reset.name
        del nodes[membrane], nodes[reset]
        nodes[name] = replace(loop.threshold, neuron=loop.neuron())
        edges -= {(membrane, name), (name, reset), (reset, membrane)}
        edges = {(source, name if target == membrane else target) for source, target in edges}
    return Parts(nodes, frozenset(edges))


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
        resets = [parts.nodes[name] for name in sorted(targets[threshold.name])]
        loops = [
            Loop(membranes[0], threshold, reset)
            for reset in resets
            if isinstance(reset, Scale)
            and sources[reset.name] == {threshold.name}
            and targets[reset.name] == {membranes[0].name}
        ]
        yield from [loop for loop in loops if loop.resets_softly()][:1]


def _is_membrane(node: Node, threshold: NeuronLayer, targets: Mapping[str, set[str]]) -> TypeGuard[NeuronLayer]:
    return (
        isinstance(node, NeuronLayer)
        and isinstance(node.neuron, LI | I | LoihiLIF)
        and node.shape == threshold.shape
        and targets[node.name] == {threshold.name}
    )
