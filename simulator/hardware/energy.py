"""Price counts: energy in pJ, and a list of what has no price."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tdd_deploy.simulator.counts import FIELDS, Counts, IntArray, Layer

from .execution import Execution
from .figures import Price, StaticPower
from .process import EXIT_COMPARISON, READOUT, Numbers, Process, prices_of
from .profiles import Profile

# What a reader may expect in an energy figure: it is listed if no price of the profile covers it.
COVERAGE = {
    "synaptic operations": ("synops_effective", "synops_stored", "acs", "macs"),
    "neuron updates": ("updates_active", "updates_idle"),
    "sending of events": ("events", "messages"),
    "bias additions": ("bias_adds",),
    "input events": ("input_events", "messages"),
}
# The same for counts that take place in some executions only.
DERIVED_COVERAGE = {"readout": READOUT, "the comparison of an early exit": EXIT_COMPARISON}
PJ_PER_MILLIJOULE = 1e9
NO_TIME = "the time per step is not given (`step_time_s`)"
UNPLACED = "needs a placement of layers on cores"
EXCLUDED = "input and output of the chip, host, sensor, loading of weights"


@dataclass(frozen=True, eq=False)
class Busy:
    """The core that the others wait for in each time step.

    Attributes:
        layers: whose neurons it holds, a name per time step; empty where one core does everything.
        work: its counts ``[n_steps]`` by name, over all samples.
        ns: the time ``[n_steps]`` that they take.
    """

    layers: tuple[str, ...]
    work: Mapping[str, NDArray[np.float64]]
    ns: NDArray[np.float64]


@dataclass(frozen=True)
class Seconds:
    """How long the hardware takes.

    Attributes:
        low: at the lowest latencies.
        high: at the highest ones.
        busy: what takes this time, for both; None where the time was given.
        step: the time of a step, where it was given.
    """

    low: float
    high: float
    busy: tuple[Busy, Busy] | None = field(default=None, compare=False)
    step: float | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Term:
    """One price times its count, per layer and time step."""

    price: Price
    count: IntArray  # [n_layers, n_steps]

    @property
    def energy_pj(self) -> NDArray[np.float64]:
        """Energy ``[n_layers, n_steps]``."""
        return self.count * np.float64(self.price.value_pj)


@dataclass(frozen=True)
class Energy:
    """Dynamic energy of a run in one code, over all samples."""

    profile: Profile
    terms: tuple[Term, ...]
    not_priced: tuple[str, ...]
    shape: tuple[int, int]  # n_layers, n_steps
    seconds: Seconds | None  # of all samples, where it is known
    time_basis: str
    static_mw: tuple[float, float] | None  # of all chips, in the states that draw least and most
    n_chips: int | None = None  # None: not placed
    clock_mhz: float | None = None  # None: as the profile says

    @property
    def mhz(self) -> float | None:
        """The clock at which static power and latencies are taken; None without one."""
        return self.clock_mhz or (self.profile.clock.mhz if self.profile.clock else None)

    @cached_property
    def per_cell_pj(self) -> NDArray[np.float64]:
        """Energy ``[n_layers, n_steps]``."""
        return sum((term.energy_pj for term in self.terms), start=np.zeros(self.shape))

    @property
    def dynamic_pj(self) -> float:
        """Dynamic energy over all layers and steps."""
        return float(self.per_cell_pj.sum())

    @property
    def static_low_pj(self) -> float | None:
        """The least static power of all chips times the shortest time; None where one of them is not known."""
        if self.static_mw is None or self.seconds is None:
            return None
        return PJ_PER_MILLIJOULE * self.static_mw[0] * self.seconds.low

    @property
    def static_high_pj(self) -> float | None:
        """The most static power of all chips times the longest time; None where one of them is not known."""
        if self.static_mw is None or self.seconds is None:
            return None
        return PJ_PER_MILLIJOULE * self.static_mw[1] * self.seconds.high

    @property
    def low_pj(self) -> float:
        """Dynamic energy at the lowest price that a source gives for each term."""
        return float(sum(term.count.sum() * term.price.low_pj for term in self.terms))

    @property
    def high_pj(self) -> float:
        """Dynamic energy at the highest price that a source gives for each term."""
        return float(sum(term.count.sum() * term.price.high_pj for term in self.terms))


def price_counts(
    counts: Counts,
    layers: tuple[Layer, ...],
    profile: Profile,
    *,
    execution: Execution,
    seconds: Seconds | None = None,
    time_basis: str = "",
    clock_mhz: float | None = None,
    n_chips: int | None = None,
    unplaced: str = UNPLACED,
) -> Energy:
    """Price counts.

    Args:
        counts: sums over all samples.
        layers: the rows of the counts.
        profile: the prices.
        execution: the widths of numbers, and counts that follow.
        seconds: the time that the hardware takes for all samples, for its static power.
        time_basis: how this time was found, for people.
        clock_mhz: replaces the clock of the profile.
        n_chips: the chips on which the program was placed while events were counted; None if it was not placed.
        unplaced: why it was not placed.
    """
    prices = prices_of(profile, execution.numbers)
    placed = [price for price in prices if n_chips is not None or not price.needs_placement]
    known = {**{name: getattr(counts, name) for name in FIELDS}, **execution.derived}
    terms = tuple(Term(price, _count(known, layers, price)) for price in placed if known.keys() >= set(price.counts))
    lines = [] if n_chips is not None else _without_placement(prices, unplaced)
    lines += _uncovered(prices, execution)
    lines += _without_figures(profile, execution.numbers)
    lines += _static_lines(profile, clock_mhz=clock_mhz, is_timed=seconds is not None, is_placed=n_chips is not None)
    lines += [*profile.not_priced, f"{EXCLUDED}: outside this count"]
    power_mw = profile.static_mw(clock_mhz)
    static_mw = None if power_mw is None else (power_mw[0] * (n_chips or 1), power_mw[1] * (n_chips or 1))
    shape = counts.spikes.shape
    return Energy(profile, terms, tuple(lines), shape, seconds, time_basis, static_mw, n_chips, clock_mhz)


def _without_placement(prices: Iterable[Price], why: str) -> list[str]:
    return [f"{price.term} ({price.value_pj:g} pJ each): {why}" for price in prices if price.needs_placement]


def _uncovered(prices: Iterable[Price], execution: Execution) -> Iterator[str]:
    """Yield what no price covers, with or without a placement."""
    covered = {count for price in prices for count in price.counts}
    for what, counts in COVERAGE.items():
        if not covered & set(counts):
            yield f"{what}: the profile has no price"
    for what, count in DERIVED_COVERAGE.items():
        if count in execution.derived and count not in covered:
            yield f"{what}: the profile has no price"


def _without_figures(profile: Profile, numbers: Numbers) -> Iterator[str]:
    """Yield what a process has no figures for, unless the profile says so in its own words."""
    process, words = Process(profile), tuple(line.partition(":")[0] for line in profile.not_priced)
    widths = numbers.sum_bits, numbers.weight_bits, numbers.value_bits
    arithmetic = any(process.without(*widths, is_float=numbers.is_float))
    for what, is_missing in (("arithmetic", arithmetic), ("memory", process.access(1) is None)):
        if profile.is_process and is_missing and what not in words:
            yield f"{what}: the profile has no figures for all of it in the numbers of this network"


def _static_lines(profile: Profile, *, clock_mhz: float | None, is_timed: bool, is_placed: bool) -> Iterator[str]:
    """Yield the static power that the energy leaves out."""
    states = profile.static_states(clock_mhz)
    if not states:
        yield "static power: the profile has none"
    elif not is_timed:
        origins = "; ".join(_origin(part) for part in profile.static if not part.is_apart)
        named = ", ".join(f"{_mw(low, high)} {state}" for state, (low, high) in states.items())
        yield f"static power per chip: {named} ({origins}); {NO_TIME}"
    elif not is_placed:
        yield "static power of a second chip and more: how many chips the network needs is not known"
    for part in profile.static:
        if part.is_apart:
            yield f"{part.state}: {_mw(part.low_mw, part.high_mw)} per chip are apart, and not added ({_origin(part)})"


def _mw(low: float, high: float) -> str:
    return f"{low:g} mW" if low == high else f"{low:g} to {high:g} mW"


def _origin(part: StaticPower) -> str:
    return f"{part.name}, {part.confidence}: {part.source}"


def _count(known: Mapping[str, IntArray], layers: tuple[Layer, ...], price: Price) -> IntArray:
    chosen = np.array([not price.layers or layer.kind in price.layers for layer in layers])
    total = np.sum([known[name] for name in price.counts], axis=0)
    return np.where(chosen[:, None], total, 0)
