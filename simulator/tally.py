"""Counting while a batch runs: as executed, and as it would have been in one code throughout."""

from collections.abc import Collection

import numpy as np

from tdd_deploy.program import Code

from .counts import Counts, Layer, Trace
from .scatter import Events, Synapses


class Tally:
    """The counts of one batch; ``t`` is the time step that is being counted, from 0."""

    def __init__(self, layers: tuple[Layer, ...], *, n_steps: int, batch: int) -> None:
        self.t = 0
        self._layers = layers
        self._row = {layer.name: row for row, layer in enumerate(layers)}
        self._batch = batch
        self._executed, self._spike, self._delta = (Counts.zeros(len(layers), n_steps) for _ in range(3))

    def trace(self) -> Trace:
        """Return what was counted."""
        return Trace(self._layers, self._executed, self._spike, self._delta, self._batch)

    def sent(self, name: str, codes: Collection[Code], *, n_values: int, n_changes: int, is_input: bool) -> None:
        """Count what the input or a layer of neurons sent on edges of these codes."""
        by_code = {"spike": n_values, "delta": n_changes}
        events = sum(by_code[code] for code in set(codes))
        self._add("input_events" if is_input else "events", name, events, n_values, n_changes)
        if not is_input:
            self._add("spikes", name, n_values, n_values, n_values)
            self._add("delta_events", name, n_changes, n_changes, n_changes)

    def updated(self, name: str, *, n_active: int, n_idle: int) -> None:
        """Count the neurons of a layer."""
        self._add("updates_active", name, n_active, n_active, n_active)
        self._add("updates_idle", name, n_idle, n_idle, n_idle)

    def connected(self, name: str, synapses: Synapses, code: Code, *, spikes: Events, deltas: Events) -> None:
        """Count the synaptic operations of a map that executed ``code``, and of the other code."""
        in_spikes, in_deltas = (_synops(synapses, events, self._batch) for events in (spikes, deltas))
        biases = self._batch * synapses.bias_adds
        in_spikes["bias_adds"], in_deltas["bias_adds"] = biases, biases if self.t == 0 else 0
        in_spikes["dense"] = in_deltas["dense"] = self._batch * int(synapses.fan_stored.sum())
        executed = in_spikes if code == "spike" else in_deltas
        for field, n in executed.items():
            self._add(field, name, n, in_spikes[field], in_deltas[field])

    def _add(self, field: str, name: str, executed: int, spike: int, delta: int) -> None:
        cell = self._row[name], self.t
        for counts, n in ((self._executed, executed), (self._spike, spike), (self._delta, delta)):
            getattr(counts, field)[cell] += n


def _synops(synapses: Synapses, events: Events, batch: int) -> dict[str, int]:
    """Count synaptic operations; a sample's are MACs when one of its events is not -1 or 1."""
    per_sample = np.bincount(events.sample, weights=synapses.fan_effective[events.at], minlength=batch)
    graded = np.zeros(batch, bool)
    graded[events.sample[np.abs(events.value) != 1]] = True
    return {
        "synops_effective": int(per_sample.sum()),
        "synops_stored": int(synapses.fan_stored[events.at].sum()),
        "acs": int(per_sample[~graded].sum()),
        "macs": int(per_sample[graded].sum()),
    }
