"""Estimate how long hardware takes for a run, from the latencies of its profile."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tdd_deploy.program import LinearMap, Program
from tdd_deploy.simulator.counts import Counts, IntArray, Layer

from .energy import Busy, Seconds
from .figures import Latency
from .placement import Block, Placement, placed_layers
from .profiles import Profile

Fractions = NDArray[np.float64]
NS = 1e-9
STORED = "synops_stored"
BASIS = (
    "the busiest core in each time step, and the barrier between steps, at the latencies of the profile. A core has "
    "its own synaptic operations and an even part of its layer's updates. The real time is longer, since messages on "
    "their way are left out and the busiest core is found in sums over samples; it is shorter where a latency is a "
    "published maximum"
)
SERIAL_BASIS = (
    "one core that executes one operation after the other, at the latencies of the profile; whatever has no published "
    "latency takes no time here, so it is no less than this"
)
STEP_TIME_BASIS = "the only time step at which the static power of the profile holds"


def run_time(
    program: Program,
    counts: Counts,
    layers: tuple[Layer, ...],
    n_running: IntArray,
    core_synops: IntArray | None,
    *,
    profile: Profile,
    placement: Placement,
    clock_mhz: float | None = None,
) -> Seconds | None:
    """Return how long a run takes when one sample follows the other.

    None when the profile has no latencies, or when the operations of each core were not counted.

    In each time step all cores wait for the busiest one. It is found in sums over samples: another core may be the
    busiest in some samples, so this is a lower bound of the sum over samples. Synaptic operations are those of each
    core; of all other counts of a layer, a core has a part in proportion to its neurons.

    Args:
        program: what was executed.
        counts: sums over all samples.
        layers: the rows of the counts.
        n_running: samples of each time step.
        core_synops: stored synaptic operations in the code of the counts, ``[n_cores, n_steps]``, by this placement;
            None: not counted.
        profile: the latencies.
        placement: the cores, which work at the same time.
        clock_mhz: replaces the clock of the profile.
    """
    if not profile.latencies or core_synops is None:
        return None
    row = {layer.name: i for i, layer in enumerate(layers)}
    latencies = at_clock(profile, clock_mhz)
    names = tuple(dict.fromkeys(count for latency in latencies for count in latency.counts))
    cores: list[tuple[str, dict[str, Fractions]]] = []  # a layer, and the counts of its cores, [n_cores, n_steps]
    for name in placed_layers(program):
        parts = dict.fromkeys((name, *_maps_before(program, name)))
        rows = [row[part] for part in parts if part in row]
        synops, fractions = _on_cores(placement.of(name), core_synops)
        works = [synops if count == STORED else fractions * _count(counts, count, rows) for count in names]
        cores.append((name, {count: work.astype(np.float64) for count, work in zip(names, works, strict=True)}))
    low, high = (_busiest(cores, latencies, bound, len(n_running)) for bound in ("low_ns", "high_ns"))
    return _seconds(low, high, latencies, n_running)


def _busiest(cores: list[tuple[str, dict[str, Fractions]]], latencies: list[Latency], bound: str, n_steps: int) -> Busy:
    """Find the core that takes longest, in each time step."""
    found = Busy(("",) * n_steps, {}, np.zeros(n_steps))
    for layer, work in cores:
        ns = np.atleast_2d(_ns(work, latencies, bound, n_steps))
        core, longest = ns.argmax(axis=0)[None], ns.max(axis=0)
        is_longer = longest > found.ns
        layers = tuple(layer if now else name for name, now in zip(found.layers, is_longer.tolist(), strict=True))
        mine = {name: np.take_along_axis(count, core, axis=0)[0] for name, count in work.items()}
        works = {name: np.where(is_longer, count, found.work.get(name, 0.0)) for name, count in mine.items()}
        found = Busy(layers, works, np.maximum(longest, found.ns))
    return found


def _ns(work: Mapping[str, Fractions], latencies: list[Latency], bound: str, n_steps: int) -> Fractions:
    """Return the time that counts take, ``[n_cores, n_steps]`` or ``[n_steps]`` as these."""
    total: Fractions = np.zeros(n_steps)
    for latency in latencies:
        for count in latency.counts:
            total = total + work[count] * getattr(latency, bound)
    return total


def _seconds(low: Busy, high: Busy, latencies: list[Latency], n_running: IntArray) -> Seconds:
    """Add up the time of the busiest cores, and what every time step takes."""
    per_step = [latency for latency in latencies if not latency.counts]
    n_steps = int(n_running.sum())
    least = float(low.ns.sum()) + n_steps * sum(latency.low_ns for latency in per_step)
    most = float(high.ns.sum()) + n_steps * sum(latency.high_ns for latency in per_step)
    return Seconds(least * NS, most * NS, (low, high))


def _on_cores(blocks: tuple[Block, ...], core_synops: IntArray) -> tuple[IntArray, Fractions]:
    """Return the operations of a layer's cores, ``[n_blocks, n_steps]``, and their fractions of its neurons."""
    neurons = np.array([[block.load.neurons] for block in blocks])
    return core_synops[[block.core for block in blocks]], neurons / neurons.sum()


def _count(counts: Counts, name: str, rows: list[int]) -> IntArray:
    """Return a count of each time step."""
    total: IntArray = getattr(counts, name)[rows].sum(axis=0)
    return total


def _maps_before(program: Program, name: str) -> Iterator[str]:
    """Yield the maps between a layer and its senders."""
    for edge in program.incoming[name]:
        if isinstance(program[edge.source], LinearMap):
            yield edge.source
            yield from _maps_before(program, edge.source)


def serial_time(
    counts: Counts, n_running: IntArray, *, profile: Profile, clock_mhz: float | None = None
) -> Seconds | None:
    """Return how long one core takes that does everything in sequence; None when the profile has no latencies.

    Args:
        counts: sums over all samples.
        n_running: samples of each time step.
        profile: the latencies.
        clock_mhz: replaces the clock of the profile.
    """
    if not profile.latencies:
        return None
    latencies = at_clock(profile, clock_mhz)
    work = {
        name: getattr(counts, name).sum(axis=0).astype(np.float64) for latency in latencies for name in latency.counts
    }
    low, high = (Busy((), work, _ns(work, latencies, bound, len(n_running))) for bound in ("low_ns", "high_ns"))
    return _seconds(low, high, latencies, n_running)


def at_clock(profile: Profile, clock_mhz: float | None) -> list[Latency]:
    """Return latencies at another clock: those that were published in cycles change with it."""
    slower = profile.clock.mhz / clock_mhz if profile.clock and clock_mhz else 1.0
    return [
        replace(each, low_ns=slower * each.low_ns, high_ns=slower * each.high_ns) if each.is_of_clock else each
        for each in profile.latencies
    ]
