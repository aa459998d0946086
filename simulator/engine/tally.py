"""Counting while a batch runs: as executed, and as it would have been in one code throughout."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from tdd_deploy.program import Code
from tdd_deploy.simulator.counts import Counts, IntArray, Layer, Trace
from tdd_deploy.simulator.routes import COSTS, EVERYWHERE, Found, Routes

from .scatter import Events, Synapses

Number = int | IntArray  # for one time step, or for each


@dataclass(frozen=True)
class Synops:
    """Synaptic operations of a batch at one map. A sample with an event other than -1 or 1 needs MACs."""

    effective: Number
    stored: Number
    macs: Number

    @classmethod
    def of(cls, synapses: Synapses, events: Events, batch: int) -> "Synops":
        """Count what events cost."""
        per_sample = np.bincount(events.sample, weights=synapses.fan_effective[events.at], minlength=batch)
        graded = np.zeros(batch, bool)
        graded[events.sample[np.abs(events.value) != 1]] = True
        stored = int(synapses.fan_stored[events.at].sum())
        return cls(int(per_sample.sum()), stored, int(per_sample[graded].sum()))


class Tally:
    """The counts of one batch; ``t`` is the time step that is being counted, from 0, or all of them.

    ``n_running`` are the samples that each step executes. ``by_class`` are events of maps by the class of their inputs,
    ``[n_steps, (spike, delta), n_classes]``; see ``CoreFans``.
    """

    def __init__(self, layers: tuple[Layer, ...], n_running: IntArray, routes: Routes) -> None:
        self.t: int | slice = slice(None)
        self._layers = layers
        self._row = {layer.name: row for row, layer in enumerate(layers)}
        self._n_running = n_running
        self._routes = routes
        n_steps = len(n_running)
        self._is_first = np.arange(n_steps) == 0
        self._executed, self._spike, self._delta = (Counts.zeros(len(layers), n_steps) for _ in range(3))
        self.by_class = np.zeros((n_steps, 2, routes.n_classes), np.int64)

    def trace(self) -> Trace:
        """Return the counts."""
        fans = self._routes.fans
        core_synops = None if fans is None else fans.synops(self.by_class)
        return Trace(self._layers, self._executed, self._spike, self._delta, self._n_running, core_synops)

    def sent(self, name: str, codes: Collection[Code], *, n_values: Number, n_changes: Number, is_input: bool) -> None:
        """Count what the input or a layer of neurons sent on edges of these codes."""
        by_code = {"spike": n_values, "delta": n_changes}
        events = sum(by_code[code] for code in set(codes))
        self._add("input_events" if is_input else "events", name, events, n_values, n_changes)
        if not is_input:
            self._add("spikes", name, n_values, n_values, n_values)
            self._add("delta_events", name, n_changes, n_changes, n_changes)

    def routed(self, name: str, found: Found) -> None:
        """Count what the events of the input or of a layer cost on the mesh."""
        route = self._routes.senders[name]
        executed, spikes, deltas = route.executed(found), found[EVERYWHERE]["spike"], found[EVERYWHERE]["delta"]
        for i, cost in enumerate(COSTS):
            self._add(cost, name, executed[i], spikes[i], deltas[i])

    def updated(self, name: str, *, n_active: Number, n_neurons: int) -> None:
        """Count the neurons of a layer, ``n_neurons`` in each sample."""
        n_idle = n_neurons * self._n_running[self.t] - n_active
        self._add("updates_active", name, n_active, n_active, n_active)
        self._add("updates_idle", name, n_idle, n_idle, n_idle)

    def connected(self, name: str, synapses: Synapses, code: Code, *, spikes: Synops, deltas: Synops) -> None:
        """Count the synaptic operations of a map that executed ``code``, and of the other code."""
        self._add_both("synops_effective", name, code, spikes.effective, deltas.effective)
        self._add_both("synops_stored", name, code, spikes.stored, deltas.stored)
        self._add_both("acs", name, code, spikes.effective - spikes.macs, deltas.effective - deltas.macs)
        self._add_both("macs", name, code, spikes.macs, deltas.macs)
        biases = self._n_running[self.t] * synapses.bias_adds
        self._add_both("bias_adds", name, code, biases, biases * self._is_first[self.t])
        dense = self._n_running[self.t] * synapses.dense
        self._add_both("dense", name, code, dense, dense)

    def _add_both(self, field: str, name: str, code: Code, spike: Number, delta: Number) -> None:
        self._add(field, name, spike if code == "spike" else delta, spike, delta)

    def _add(self, field: str, name: str, executed: Number, spike: Number, delta: Number) -> None:
        cell = self._row[name], self.t
        for counts, n in ((self._executed, executed), (self._spike, spike), (self._delta, delta)):
            getattr(counts, field)[cell] += n
