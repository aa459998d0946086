"""The costs of events on the mesh of cores under a layer."""

from collections.abc import Mapping
from dataclasses import dataclass

from tdd_deploy.program import Code

from .counts import IntArray

EVERYWHERE = "everywhere"
COSTS = ("messages", "hops_x", "hops_y")
Found = Mapping[str, Mapping[Code, IntArray]]  # by table and code: costs, [3] of one time step or [3, n_steps]


@dataclass(frozen=True)
class Route:
    """The costs of one event of each neuron of a layer, or of each value of the input, channel last.

    Attributes:
        codes: of the edges that lead from it to cores.
        tables: ``[n, (messages, hops in x, hops in y)]``, to the receivers of all edges (``everywhere``); and where
            edges of both codes leave, to the receivers of each code.
    """

    codes: frozenset[Code]
    tables: Mapping[str, IntArray]

    def executed(self, found: Found) -> IntArray:
        """Return the costs in the codes of the edges, given those by each table in each code."""
        parts = [found[code if code in self.tables else EVERYWHERE][code] for code in sorted(self.codes)]
        return parts[0] if len(parts) == 1 else parts[0] + parts[1]
