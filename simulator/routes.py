"""The costs of events on a chip: messages and hops on the mesh, and synaptic operations on each core."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tdd_deploy.program import Code

from .counts import CoreSynops, IntArray

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

    Inputs are in classes, numbered from map to map. Events of one class add equally many weights, core by core. A dense
    map has one class; a convolution has a few, since pixels differ only near the borders of what a core holds.

    Attributes:
        classes: by map, the class of each input, flat, channel last.
        is_delta: by class, whether its map receives changes.
        entries: ``[(class, core, weights), n]`` where there are any weights, cores rising.
        n_cores: how many cores hold something.
    """

    classes: Mapping[str, IntArray]
    is_delta: NDArray[np.bool_]
    entries: IntArray
    n_cores: int

    @property
    def n_classes(self) -> int:
        """How many classes all maps have."""
        return len(self.is_delta)

    def synops(self, events: IntArray) -> CoreSynops:
        """Return the operations of each core.

        Args:
            events: of each class, ``[n_steps, (spike, delta), n_classes]``.
        """
        spikes, deltas = events[:, 0], events[:, 1]
        return CoreSynops(
            executed=self._on_cores(np.where(self.is_delta, deltas, spikes)),
            spike_code=self._on_cores(spikes),
            delta_code=self._on_cores(deltas),
        )

    def _on_cores(self, events: IntArray) -> IntArray:
        of_class, _, weights = self.entries
        by_core = np.zeros((self.n_cores, len(events)), np.int64)
        cores, starts = self._runs
        if len(cores):
            by_core[cores] = np.add.reduceat(events[:, of_class] * weights, starts, axis=1).T
        return by_core

    @cached_property
    def _runs(self) -> tuple[IntArray, IntArray]:
        """Return the cores that have entries, and where each one's begin."""
        cores, starts = np.unique(self.entries[1], return_index=True)
        return cores, starts


@dataclass(frozen=True, kw_only=True)
class Routes:
    """What is counted by a placement.

    Attributes:
        senders: the costs of events on the mesh, by input or layer of neurons.
        fans: the operations on each core; None: they are not counted.
    """

    senders: Mapping[str, Route] = field(default_factory=dict)
    fans: CoreFans | None = None

    @property
    def n_classes(self) -> int:
        """How many classes of inputs are counted."""
        return 0 if self.fans is None else self.fans.n_classes

    @property
    def classes(self) -> Mapping[str, IntArray]:
        """The class of each input, by map."""
        return {} if self.fans is None else self.fans.classes
