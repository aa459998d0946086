"""Energy: counts times prices, in pJ, and what has no price."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .counts import Counts, Layer
from .profiles import NEEDS_PLACEMENT, Price, Profile

# What a reader may take for granted in an energy figure: named when no price of the profile covers it.
COVERAGE = {
    "synaptic operations": ("synops_effective", "synops_stored", "acs", "macs"),
    "neuron updates": ("updates_active", "updates_idle"),
    "sending of events": ("events", "messages"),
    "bias additions": ("bias_adds",),
    "input events": ("input_events", "messages"),
}
EXCLUDED = "input and output of the chip, host, sensor, loading of weights"


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

    @cached_property
    def per_cell_pj(self) -> NDArray[np.float64]:
        """Energy ``[n_layers, n_steps]``."""
        return sum((term.energy_pj for term in self.terms), start=np.zeros(self.shape))

    @property
    def dynamic_pj(self) -> float:
        """Energy over all layers and steps."""
        return float(self.per_cell_pj.sum())

    @property
    def low_pj(self) -> float:
        """The same with the lowest price that a source gives for each term."""
        return float(sum(term.count.sum() * term.price.low_pj for term in self.terms))

    @property
    def high_pj(self) -> float:
        """The same with the highest."""
        return float(sum(term.count.sum() * term.price.high_pj for term in self.terms))


def price_counts(counts: Counts, layers: tuple[Layer, ...], profile: Profile) -> Energy:
    """Price what was counted."""
    priced = [price for price in profile.prices if price.is_counted]
    terms = tuple(Term(price, _count(counts, layers, price)) for price in priced)
    return Energy(profile, terms, not_priced(profile), counts.spikes.shape)


def not_priced(profile: Profile) -> tuple[str, ...]:
    """Say, one line each, what the energy leaves out."""
    placed = [price for price in profile.prices if not price.is_counted]
    lines = [f"{price.term} ({price.value_pj:g} pJ each): needs a placement of layers on cores" for price in placed]
    covered = {count for price in profile.prices for count in price.counts}
    lines += [f"{what}: the profile has no price" for what, counts in COVERAGE.items() if not covered & set(counts)]
    if profile.static is None:
        lines.append("static power: the profile has none")
    else:
        power = f"{profile.static.value_mw:g} mW per chip ({profile.static.confidence}: {profile.static.source})"
        lines.append(f"static power: {power}; the time per step is not known")
    return (*lines, *profile.not_priced, f"{EXCLUDED}: outside this count")


def _count(counts: Counts, layers: tuple[Layer, ...], price: Price) -> NDArray[np.int64]:
    assert not set(price.counts) & set(NEEDS_PLACEMENT)
    chosen = np.array([not price.layers or layer.kind in price.layers for layer in layers])
    total = np.sum([getattr(counts, name) for name in price.counts], axis=0)
    return np.where(chosen[:, None], total, 0)
