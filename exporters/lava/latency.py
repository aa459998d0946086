"""Latencies in Lava: a synapse process sends the sum of the last step, so each is one step late."""

from collections.abc import Mapping
from dataclasses import dataclass

from tdd_deploy.program import Edge, Flatten, LinearMap, Node, Program


@dataclass(frozen=True)
class Latencies:
    """The Lava steps by which each node is late, and the additional steps that each edge must wait."""

    of: Mapping[str, int]
    waits: Mapping[Edge, int]


def latencies(program: Program) -> Latencies | None:
    """Find the least latencies at which all summands arrive together.

    Returns:
        None if a cycle passes more synapse processes than its delay has time steps: then there are none.
    """
    late = {node.name: 0 for node in program.nodes}
    for _ in program.nodes:
        changed = False
        for edge in program.edges:
            least = late[edge.source] - edge.delay + _own(program[edge.target])
            if late[edge.target] < least:
                late[edge.target], changed = least, True
        if not changed:
            waits = {
                edge: late[edge.target] - _own(program[edge.target]) - late[edge.source] + edge.delay
                for edge in program.edges
            }
            return Latencies(late, waits)
    return None


def _own(node: Node) -> int:
    """Count the steps by which a node itself delays; Flatten is a way of wiring, and no process."""
    return int(isinstance(node, LinearMap) and not isinstance(node, Flatten))
