"""Paths from senders to receivers: which maps pass values on, and which make currents of them."""

from collections.abc import Iterator

from tdd_deploy.errors import Violation
from tdd_deploy.program.nodes import Conv, Dense, LinearMap, Node, Pool, Scale
from tdd_deploy.program.program import Edge, Program


class Paths:
    """How values reach receivers: maps without weights pass values on, and maps with weights make them currents."""

    def __init__(self, program: Program) -> None:
        self.program = program
        # Maps without weights carry values if no map upstream has weights; `carried` is integers per float.
        self.carried: dict[str, float] = {layer.name: 1.0 for layer in program.neuron_layers}
        self.carried[program.input.name] = program.input.scale
        self.mixed: list[str] = []
        for node in program.linear_maps:
            sources = [edge.source for edge in program.incoming[node.name]]
            gains = {self.carried[name] for name in sources if name in self.carried}
            if not is_weighted(node) and all(name in self.carried for name in sources):
                if len(gains) > 1:
                    self.mixed.append(node.name)
                self.carried[node.name] = max(gains) * _size(node)
        # From weights on: the receivers reached, each with the size of the windows averaged on the way.
        self.reached: dict[str, list[tuple[str, int]]] = {}
        for node in reversed(program.linear_maps):
            if node.name not in self.carried:
                self.reached[node.name] = [
                    found for edge in program.outgoing[node.name] for found in self._beyond(edge.target)
                ]

    def _beyond(self, target: str) -> list[tuple[str, int]]:
        node = self.program[target]
        if not isinstance(node, LinearMap):
            return [(target, 1)]
        return [(receiver, size * _size(node)) for receiver, size in self.reached.get(target, [])]

    def into(self, target: str) -> float:
        """Return the integers per float of the values that a map with weights receives."""
        return self.carried[self.program.incoming[target][0].source]

    def windows_after(self, name: str) -> int:
        """Return the size of the windows that are averaged between a map with weights and its receiver."""
        return self.reached[name][0][1]

    def windows_after_edge(self, edge: Edge) -> int:
        """Return the size of the windows that are averaged between a bare edge and its receiver."""
        return self._beyond(edge.target)[0][1]

    def receiver(self, name: str) -> str:
        """Return the receiver that a map leads to; of a receiver, itself."""
        return self.reached[name][0][0] if name in self.reached else name

    def bare(self) -> Iterator[Edge]:
        """Yield the edges on which values become currents without a weight."""
        for edge in self.program.edges:
            target = self.program[edge.target]
            passes_on = isinstance(target, LinearMap) and edge.target in self.carried
            if edge.source in self.carried and not is_weighted(target) and not passes_on:
                yield edge

    def violations(self) -> Iterator[Violation]:
        """Yield the maps for which no scale can be chosen."""
        for node in self.program.linear_maps:
            sources = [edge.source for edge in self.program.incoming[node.name]]
            if not is_weighted(node):
                if node.name in self.mixed:
                    yield self._mixed(node.name)
                continue
            weighted = sorted(name for name in sources if name not in self.carried)
            if weighted:
                found = f"follows a map with weights ({', '.join(weighted)}), without neurons between them"
                yield Violation(node.name, found, remedy="Multiply the two maps into one.")
            elif len({self.carried[name] for name in sources}) > 1:
                yield self._mixed(node.name)
            elif len(self.reached[node.name]) > 1:
                listed = ", ".join(sorted({name for name, _ in self.reached[node.name]}))
                found = f"drives several receivers ({listed}), each with a scale of its own"
                yield Violation(node.name, found, remedy="Give each of its targets a map of its own.")

    def _mixed(self, name: str) -> Violation:
        found = "receives integers of different scales: the input, or averages, together with spikes"
        return Violation(name, found, remedy="Give each of its sources a map of its own.")


def is_weighted(node: Node) -> bool:
    """Whether a node has weights, which are rounded."""
    return isinstance(node, Dense | Conv | Scale)


def _size(node: Node) -> int:
    """Return the factor from what a node computes to a plain sum: the window of an average."""
    return node.kernel[0] * node.kernel[1] if isinstance(node, Pool) and node.average else 1
