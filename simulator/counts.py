"""Counts of events and operations, per layer and time step.

A synaptic operation is one weight added to one accumulator. ``synops_effective`` leaves zero weights out, as
NeuroBench does; ``synops_stored`` has them, as SANA-FE, sinabs and the Loihi 2 profiler do. Padding is never counted.
A Scale has one weight per value. NeuroBench counts dense layers and convolutions only, so it does not count it.
The effective operations of a layer, sample and step are ``acs`` when all its events are in {-1, 0, 1}, else ``macs``.
"""

from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Sums over samples, each ``[n_layers, n_steps]``.

    Attributes:
        spikes: values that neurons sent, nonzero.
        delta_events: values of neurons that changed since the step before; at step 1, since nothing.
        events: what neurons sent in the codes of their edges.
        input_events: what the input sent in the codes of its edges.
        synops_effective: events times nonzero weights; ``acs`` + ``macs``.
        synops_stored: events times weights, zero or not.
        dense: multiplications of a dense execution, padding excluded.
        bias_adds: nonzero biases added.
        updates_active: neurons with a current, or with a state that was not at zero.
        updates_idle: the other neurons.
        messages: events that neurons or the input sent, times the cores that each goes to; zero without a placement.
        hops_x: columns of the mesh that messages cross; zero without a placement.
        hops_y: rows of the mesh that messages cross; zero without a placement.

    """

    spikes: IntArray
    delta_events: IntArray
    events: IntArray
    input_events: IntArray
    synops_effective: IntArray
    synops_stored: IntArray
    acs: IntArray
    macs: IntArray
    dense: IntArray
    bias_adds: IntArray
    updates_active: IntArray
    updates_idle: IntArray
    messages: IntArray
    hops_x: IntArray
    hops_y: IntArray

    @classmethod
    def zeros(cls, n_layers: int, n_steps: int) -> Self:
        """Return counts of nothing."""
        return cls(**{f.name: np.zeros((n_layers, n_steps), np.int64) for f in fields(cls)})

    def __add__(self, other: Self) -> Self:
        assert self.spikes.shape == other.spikes.shape, "counts of the same layers and steps"
        return type(self)(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})

    def total(self, name: str) -> int:
        """Return a count over all layers and steps."""
        return int(getattr(self, name).sum())


FIELDS = tuple(f.name for f in fields(Counts))


@dataclass(frozen=True)
class Layer:
    """A row of the counts: the input, a linear map with synapses, or a layer of neurons."""

    name: str
    kind: str  # input, dense, conv, or the neuron's name
    shape: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class CoreSynops:
    """Stored synaptic operations of each core, sums over samples, each ``[n_cores, n_steps]``.

    A core adds the weights that lead to its own neurons. Sums between two maps that several cores need are made on each
    of these cores, so that all cores together can have more operations than ``Counts.synops_stored``.
    """

    executed: IntArray
    spike_code: IntArray
    delta_code: IntArray

    def __add__(self, other: Self) -> Self:
        return type(self)(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})


@dataclass(frozen=True)
class Trace:
    """The counts of a run: as executed, and as the same run would have been in one code throughout."""

    layers: tuple[Layer, ...]
    executed: Counts
    spike_code: Counts
    delta_code: Counts
    n_running: IntArray  # [n_steps], samples executed
    core_synops: CoreSynops | None  # by the placement that counted messages; None without one

    @property
    def n_samples(self) -> int:
        """How many samples ran, if only for one step."""
        return int(self.n_running[0])

    def __add__(self, other: "Trace") -> "Trace":
        own, others = self.core_synops, other.core_synops
        return Trace(
            self.layers,
            self.executed + other.executed,
            self.spike_code + other.spike_code,
            self.delta_code + other.delta_code,
            self.n_running + other.n_running,
            None if own is None or others is None else own + others,
        )
