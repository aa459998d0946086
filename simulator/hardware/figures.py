"""The figures that a profile of hardware holds, each with its source, what it is, and how it was read."""

from collections.abc import Sequence
from dataclasses import dataclass

from tdd_deploy.simulator.routes import COSTS

from .schema import READS


@dataclass(frozen=True, kw_only=True)
class Price:
    """The price of one count, in pJ; ``low`` and ``high`` are the figures of other sources."""

    term: str
    counts: tuple[str, ...]
    layers: tuple[str, ...]  # the kinds of layers that it prices; empty: all
    value_pj: float
    low_pj: float
    high_pj: float
    confidence: str
    read: str
    source: str
    range_source: str

    @property
    def needs_placement(self) -> bool:
        """Whether its counts exist only when layers are placed on cores."""
        return bool(set(self.counts) & set(COSTS))


@dataclass(frozen=True, kw_only=True)
class StaticPower:
    """Power that one chip draws whether or not anything happens; or, for a running clock, power per MHz.

    Attributes:
        state: the parts of a state add up; states are alternatives.
        scope: "floor", in use with nothing to do, or "boot", before a program ever ran.
        is_apart: whether it is drawn beside the chip's own logic; it is listed, and never added.

    """

    name: str
    state: str
    scope: str
    low_mw: float
    high_mw: float
    is_per_mhz: bool
    is_apart: bool
    confidence: str
    read: str
    source: str


@dataclass(frozen=True, kw_only=True)
class Clock:
    """The frequency that static power and latencies are taken at."""

    mhz: float
    confidence: str
    read: str
    source: str


@dataclass(frozen=True, kw_only=True)
class StepTime:
    """The only time step at which the static power holds."""

    seconds: float
    confidence: str
    read: str
    source: str


@dataclass(frozen=True, kw_only=True)
class Latency:
    """The time that a core takes for one count; without counts, the time that every step takes."""

    term: str
    counts: tuple[str, ...]
    low_ns: float
    high_ns: float
    is_of_clock: bool  # published in cycles, so it changes with the clock; here at the clock of the profile
    confidence: str
    read: str
    source: str


@dataclass(frozen=True, kw_only=True)
class Operation:
    """The published energy of one arithmetic operation."""

    name: str  # number format, width and operation, as in int8_add
    value_pj: float
    confidence: str
    read: str
    source: str


@dataclass(frozen=True, kw_only=True)
class Memory:
    """The published energy of one access."""

    name: str
    bits: int
    low_pj: float
    high_pj: float
    kilobytes: float | None
    is_off_chip: bool
    confidence: str
    read: str
    source: str


@dataclass(frozen=True, kw_only=True)
class Point:
    """A figure at one operating point: it is shown, but never added up or used as the price of an event."""

    name: str
    low: float
    high: float
    unit: str
    scope: str
    confidence: str
    read: str
    source: str


def least_direct(reads: Sequence[str]) -> str:
    """Return how the figure that is furthest from its publication was read."""
    return max(reads, key=READS.index)
