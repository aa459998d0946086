"""Price counts: energy in pJ, and a list of what has no price."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tdd_deploy.simulator.counts import Counts, Layer

from .profiles import Price, Profile

# What a reader may expect in an energy figure: it is listed if no price of the profile covers it.
COVERAGE = {
    "synaptic operations": ("synops_effective", "synops_stored", "acs", "macs"),
    "neuron updates": ("updates_active", "updates_idle"),
    "sending of events": ("events", "messages"),
    "bias additions": ("bias_adds",),
    "input events": ("input_events", "messages"),
}
PJ_PER_MILLIJOULE = 1e9
UNPLACED = "needs a placement of layers on cores"
EXCLUDED = "input and output of the chip, host, sensor, loading of weights"


@dataclass(frozen=True)
class Seconds:
    """How long the hardware takes."""

    low: float
    high: float


@dataclass(frozen=True)
class Term:
    """One price times its count, per layer and time step."""

    price: Price
    count: NDArray[np.int64]  # [n_layers, n_steps]

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
    static_mw: float | None  # of all chips

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
        """Static power of all chips times the shortest time; None where one of them is not known."""
        return None if self.seconds is None else self._static_pj(self.seconds.low)

    @property
    def static_high_pj(self) -> float | None:
        """Static power of all chips times the longest time; None where one of them is not known."""
        return None if self.seconds is None else self._static_pj(self.seconds.high)

    @property
    def low_pj(self) -> float:
        """Dynamic energy at the lowest price that a source gives for each term."""
        return float(sum(term.count.sum() * term.price.low_pj for term in self.terms))

    @property
    def high_pj(self) -> float:
        """Dynamic energy at the highest price that a source gives for each term."""
        return float(sum(term.count.sum() * term.price.high_pj for term in self.terms))

    def _static_pj(self, seconds: float) -> float | None:
        return None if self.static_mw is None else PJ_PER_MILLIJOULE * self.static_mw * seconds


def price_counts(
    counts: Counts,
    layers: tuple[Layer, ...],
    profile: Profile,
    *,
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
        seconds: the time that the hardware takes for all samples, for its static power.
        time_basis: how this time was found, for people.
        clock_mhz: replaces the clock of the profile.
        n_chips: the chips on which the program was placed while events were counted; None if it was not placed.
        unplaced: why it was not placed.
    """
    is_placed = n_chips is not None
    priced = [price for price in profile.prices if is_placed or not price.needs_placement]
    terms = tuple(Term(price, _count(counts, layers, price)) for price in priced)
    lines = [] if is_placed else _without_placement(profile, unplaced)
    lines += _not_priced(profile, clock_mhz=clock_mhz, is_timed=seconds is not None)
    power_mw = profile.static_mw(clock_mhz)
    static_mw = None if power_mw is None else power_mw * (n_chips or 1)
    return Energy(profile, terms, tuple(lines), counts.spikes.shape, seconds, time_basis, static_mw)


def _without_placement(profile: Profile, why: str) -> list[str]:
    return [f"{price.term} ({price.value_pj:g} pJ each): {why}" for price in profile.prices if price.needs_placement]


def _not_priced(profile: Profile, *, clock_mhz: float | None, is_timed: bool) -> list[str]:
    """Describe, one line each, what the energy leaves out, with or without a placement."""
    covered = {count for price in profile.prices for count in price.counts}
    lines = [f"{what}: the profile has no price" for what, counts in COVERAGE.items() if not covered & set(counts)]
    power_mw = profile.static_mw(clock_mhz)
    if power_mw is None:
        lines.append("static power: the profile has none")
    elif not is_timed:
        parts = "; ".join(f"{part.name}, {part.confidence}: {part.source}" for part in profile.static)
        lines.append(
            f"static power: {power_mw:g} mW per chip ({parts}); the time per step is not given (`step_time_s`)"
        )
    return [*lines, *profile.not_priced, f"{EXCLUDED}: outside this count"]


def _count(counts: Counts, layers: tuple[Layer, ...], price: Price) -> NDArray[np.int64]:
    chosen = np.array([not price.layers or layer.kind in price.layers for layer in layers])
    total = np.sum([getattr(counts, name) for name in price.counts], axis=0)
    return np.where(chosen[:, None], total, 0)
