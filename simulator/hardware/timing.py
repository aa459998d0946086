"""Estimate how long hardware takes for a run, from the latencies of its profile."""

from collections.abc import Iterator

import numpy as np

from tdd_deploy.program import LinearMap, Program
from tdd_deploy.simulator.counts import Counts, IntArray, Layer

from .energy import Seconds
from .placement import Placement, placed_layers
from .profiles import Profile

NS = 1e-9
BASIS = (
    "the cores of the busiest layer in each time step, its work shared evenly by them, and the barrier between steps, "
    "at the latencies of the profile; messages on their way are left out, so it is no less than this"
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
    *,
    profile: Profile,
    placement: Placement,
) -> Seconds | None:
    """Return how long a run takes when one sample follows the other; None when the profile has no latencies.

    Args:
        program: what was executed.
        counts: sums over all samples.
        layers: the rows of the counts.
        n_running: samples of each time step.
        profile: the latencies.
        placement: the cores, which work at the same time.
    """
    if not profile.latencies:
        return None
    row = {layer.name: i for i, layer in enumerate(layers)}
    low, high = (np.zeros(len(n_running)) for _ in range(2))
    for name in placed_layers(program):
        parts = dict.fromkeys((name, *_maps_before(program, name)))
        rows = [row[part] for part in parts if part in row]
        work = [
            (_count(counts, latency.counts, rows) / len(placement.of(name)), latency)
            for latency in profile.latencies
            if latency.counts
        ]
        low = np.maximum(low, sum(n * latency.low_ns for n, latency in work))
        high = np.maximum(high, sum(n * latency.high_ns for n, latency in work))
    per_step = [latency for latency in profile.latencies if not latency.counts]
    low += n_running * sum(latency.low_ns for latency in per_step)
    high += n_running * sum(latency.high_ns for latency in per_step)
    return Seconds(float(low.sum()) * NS, float(high.sum()) * NS)


def _count(counts: Counts, names: tuple[str, ...], rows: list[int]) -> IntArray:
    """Return a count of each time step."""
    total: IntArray = np.sum([getattr(counts, name)[rows].sum(axis=0) for name in names], axis=0)
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
    low = high = 0.0
    for latency in profile.latencies:
        n = sum(counts.total(name) for name in latency.counts) if latency.counts else int(n_running.sum())
        slower = profile.clock.mhz / clock_mhz if latency.is_of_clock and profile.clock and clock_mhz else 1.0
        low += n * slower * latency.low_ns
        high += n * slower * latency.high_ns
    return Seconds(low * NS, high * NS)
