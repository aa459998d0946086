"""One time step of a Program as an ONNX graph.

Receivers work as in the event engine: they hold the sum of all changes from delta edges, and add the values that spike
edges bring in this step. Biases of maps in delta code are constants of the receiver, so every state begins at zero.
"""

from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property, reduce
from operator import add

import numpy as np
from numpy.typing import NDArray

from tdd_deploy.program import Code, Conv, Dense, Edge, Input, LinearMap, NeuronLayer, Node, Output, Program, Scale
from tdd_deploy.program.biases import currents_of_biases
from tdd_deploy.program.bounds import worst_case_sums
from tdd_deploy.program.program import arrays

from .graph import NOTHING, Graph, Tensor, arithmetic_of
from .maps import apply
from .states import held, next_of, sent, states


def add_step(graph: Graph, program: Program) -> None:
    """Add one time step: values are named after their nodes, and states as in ``states``."""
    step = _Step(graph, program)
    for node in program.nodes:
        with graph.of(node.name, arrays(node), program.shapes[node.name]):
            step.take(node)
    for name in (program.input.name, *(layer.name for layer in program.neuron_layers)):
        step.remember(name)


class _Step:
    """A time step under construction."""

    def __init__(self, graph: Graph, program: Program) -> None:
        self._graph = graph
        self._program = program
        self._arithmetic = arithmetic_of(program)
        self._states = {state.name: graph.input(state.name, program.dtype) for state in states(program)}
        self._sent: dict[str, Tensor] = {}  # by the input and by neurons: values; by maps: in the code of their edges
        self._changes: dict[tuple[str, int], Tensor] = {}

    def take(self, node: Node) -> None:
        """Add the operators of a node."""
        name = node.name
        match node:
            case Input():
                self._sent[name] = self._graph.input(name, self._program.dtype)
            case LinearMap():
                self._sent[name] = self._graph.named(self._mapped(node), name)
            case NeuronLayer():
                self._fire(node)
            case Output():
                self._sent[name] = self._graph.named(self._current(name), name)

    def remember(self, name: str) -> None:
        """Store the value that a node sent for later steps."""
        steps = 1
        while sent(name, steps) in self._states:
            self._graph.named(self._value(name, steps - 1), next_of(sent(name, steps)))
            steps += 1

    def _fire(self, layer: NeuronLayer) -> None:
        names = [f"{layer.name}.{state}" for state in layer.neuron.states]
        before = tuple(self._states.get(name, NOTHING) for name in names)
        after, values = layer.neuron.step(self._arithmetic, before, self._current(layer.name))
        self._sent[layer.name] = self._graph.named(values, layer.name)
        for name, tensor in zip(names, after, strict=True):
            if name in self._states:
                self._graph.named(tensor, next_of(name))

    def _mapped(self, node: LinearMap) -> Tensor:
        edges = self._program.incoming[node.name]
        if edges[0].code == "delta" and isinstance(node, Dense | Conv | Scale):
            node = replace(node, bias=None)
        received = reduce(add, map(self._message, edges))
        return apply(self._graph, node, received, self._program.in_shape(node.name), largest=self._largest_into(edges))

    def _current(self, name: str) -> Tensor:
        """Sum the changes that a receiver holds and the values that arrive in this step."""
        parts = []
        changes = self._messages(name, "delta")
        if changes:
            sums = reduce(add, changes, self._states[held(name)])
            parts.append(self._graph.named(sums, next_of(held(name))))
        current = reduce(add, parts + self._messages(name, "spike"))
        bias = self._bias(name)
        if bias.any():
            current += self._graph.constant(bias, current.dtype, "biases_of_maps")
        return self._graph.hinted(current, f"{name}.current")

    def _messages(self, name: str, code: Code) -> list[Tensor]:
        return [self._message(edge) for edge in self._program.incoming[name] if edge.code == code]

    def _message(self, edge: Edge) -> Tensor:
        """Return the message of an edge, in its code."""
        if isinstance(self._program[edge.source], LinearMap):
            return self._sent[edge.source]
        take = self._value if edge.code == "spike" else self._change
        return take(edge.source, edge.delay)

    def _value(self, name: str, steps: int) -> Tensor:
        """Return the value that the input or a layer sent some steps ago."""
        return self._states[sent(name, steps)] if steps else self._sent[name]

    def _change(self, name: str, steps: int) -> Tensor:
        if (name, steps) not in self._changes:
            change = self._value(name, steps) - self._value(name, steps + 1)
            self._changes[name, steps] = self._graph.hinted(
                change, f"{name}.change_{steps}" if steps else f"{name}.change"
            )
        return self._changes[name, steps]

    def _largest_into(self, edges: Iterable[Edge]) -> int:
        """Bound the magnitude of integers that edges bring to a map; a change can be twice a value."""
        if self._program.number_format != "integer":
            return 0
        return sum(self._largest[edge.source] * (2 if edge.code == "delta" else 1) for edge in edges)

    @cached_property
    def _largest(self) -> dict[str, int]:
        sums = {name: int(worst.max()) for name, worst in worst_case_sums(self._program).items()}
        spikes = dict.fromkeys((layer.name for layer in self._program.neuron_layers), 1)
        return {self._program.input.name: self._program.input.largest, **sums, **spikes}

    @cached_property
    def _biases(self) -> dict[str, NDArray[np.float64]]:
        return currents_of_biases(self._program)

    def _bias(self, name: str) -> NDArray[np.float64]:
        """Sum the biases that delta edges bring into a receiver, one per value of its current or per channel."""
        sources = [edge.source for edge in self._program.incoming[name] if edge.code == "delta"]
        biases = [self._biases[source] for source in sources if isinstance(self._program[source], LinearMap)]
        bias = sum(biases, np.zeros(self._program.in_shape(name)))
        per_channel = bias[:, :1, :1] if bias.ndim == 3 else bias
        return per_channel if (bias == per_channel).all() else bias
