"""The costs of events on a chip: messages and hops on the mesh, and synaptic operations on each core."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

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


@dataclass(frozen=True, kw_only=True)
class CoreFans:
    """The weights, zero or not, that an event of each input of a map adds on each core.

    Events of one class of inputs add equally many weights, core by core. A dense map has one class; a convolution has a
    few, since pixels differ only near the borders of what a core holds.

    Attributes:
        classes: the class of each input, flat, channel last.
        entries: ``[n, (class, core, weights)]`` where there are any weights, cores rising.
    """

    classes: IntArray
    entries: IntArray

    @property
    def n_classes(self) -> int:
        """How many classes there are."""
        return int(self.classes.max()) + 1

    def synops(self, events: IntArray, n_cores: int) -> IntArray:
        """Turn the events of each class, ``[..., n_classes]``, into the operations of each core, ``[n_cores, ...]``."""
        by_core = np.zeros((n_cores, *events.shape[:-1]), np.int64)
        of_class, core, weights = self.entries.T
        cores, starts = np.unique(core, return_index=True)
        if len(cores):
            by_core[cores] = np.moveaxis(np.add.reduceat(events[..., of_class] * weights, starts, axis=-1), -1, 0)
        return by_core


@dataclass(frozen=True, kw_only=True)
class Routes:
    """What is counted by a placement.

    Attributes:
        senders: the costs of events on the mesh, by input or layer of neurons.
        fans: the operations on each core, by map with weights.
        n_cores: how many cores hold something.
    """

    senders: Mapping[str, Route] = field(default_factory=dict)
    fans: Mapping[str, CoreFans] = field(default_factory=dict)
    n_cores: int = 0
