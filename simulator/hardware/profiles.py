"""Hardware energy profiles: what one event costs, with its source. Each is one TOML file, read strictly.

A profile of a chip has prices of events. A profile of a process has published operations and accesses to memory;
``process.py`` makes prices of them, for the widths of a program's numbers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tdd_deploy.errors import BadProfile

from .chips import chip_names
from .figures import Clock, Latency, Memory, Operation, Point, Price, StaticPower, StepTime
from .profile_file import CYCLES, IN_USE, MILLIWATTS, PER_MHZ, PICOJOULES, violations_of
from .references import Reference
from .schema import names_in, read_table

NS_PER_US = 1e3


@dataclass(frozen=True, kw_only=True)
class Profile:
    """The figures of hardware: what one more event costs, or what one operation does; and what was measured."""

    name: str
    title: str
    remark: str
    prices: tuple[Price, ...]  # all marginal
    static: tuple[StaticPower, ...]
    clock: Clock | None
    step_time: StepTime | None
    chip: str | None  # where its programs are placed: a name, or a path
    latencies: tuple[Latency, ...]
    operations: tuple[Operation, ...]
    memories: tuple[Memory, ...]
    points: tuple[Point, ...]
    not_priced: tuple[str, ...]
    references: tuple[Reference, ...]
    sha256: str  # of its file

    @property
    def is_process(self) -> bool:
        """Whether prices follow from operations and accesses to memory."""
        return bool(self.operations or self.memories)

    @property
    def has_prices(self) -> bool:
        """Whether any event has a price."""
        return bool(self.prices) or self.is_process

    def static_states(self, clock_mhz: float | None = None) -> dict[str, tuple[float, float]]:
        """Sum the power of one chip without events in each state, low and high, in mW.

        Args:
            clock_mhz: replaces the clock of the profile.
        """
        mhz = clock_mhz if clock_mhz is not None else self.clock.mhz if self.clock else 0.0
        states: dict[str, tuple[float, float]] = {}
        for part in self.static:
            if not part.is_apart:
                low, high = states.get(part.state, (0.0, 0.0))
                times = mhz if part.is_per_mhz else 1.0
                states[part.state] = (low + part.low_mw * times, high + part.high_mw * times)
        return states

    def static_mw(self, clock_mhz: float | None = None) -> tuple[float, float] | None:
        """Return the least and the most power of one chip without events, over its states; None if none is known."""
        states = self.static_states(clock_mhz).values()
        return (min(low for low, _ in states), max(high for _, high in states)) if states else None


@cache
def profile_names() -> tuple[str, ...]:
    """Return the names of the profiles that come with the package."""
    return names_in("profiles")


def load_profile(name: str, *, option: str = "profiles") -> Profile:
    """Read a profile by its name, or from a path that ends in ``.toml``; ``option`` is the parameter that gave it.

    Raises:
        BadOption: no profile has this name.
        BadFile: the file is missing or not TOML.
        BadProfile: every unknown key, missing number, unit or source.
    """
    return _profile(name, *read_table("profiles", name, option=option))


def _profile(name: str, content: Mapping[str, Any], sha256: str) -> Profile:
    violations = list(violations_of(content))
    if violations:
        raise BadProfile(f"profile {name}", violations)
    clock = _clock(content["clock"]) if "clock" in content else None
    return Profile(
        name=content["name"],
        title=content["title"],
        remark=content.get("remark", ""),
        prices=tuple(_price(term, figures) for term, figures in content.get("price", {}).items()),
        static=tuple(_static(part, figures) for part, figures in content.get("static", {}).items()),
        clock=clock,
        step_time=_step_time(content["step_time"]) if "step_time" in content else None,
        chip=_chip(name, content.get("chip")),
        latencies=tuple(_latency(term, figures, clock) for term, figures in content.get("time", {}).items()),
        operations=tuple(_operation(each, figures) for each, figures in content.get("operation", {}).items()),
        memories=tuple(_memory(each, figures) for each, figures in content.get("memory", {}).items()),
        points=tuple(_point(point, figures) for point, figures in content.get("point", {}).items()),
        not_priced=tuple(content.get("not_priced", ())),
        references=tuple(Reference.of(key, entry) for key, entry in content.get("reference", {}).items()),
        sha256=sha256,
    )


def _chip(profile: str, chip: str | None) -> str | None:
    """Return a chip's name, or the path of a user's file, which the profile gives relative to itself."""
    return chip if chip is None or chip in chip_names() else str(Path(profile).parent / chip)


def _bounds(figures: Mapping[str, Any]) -> tuple[float, float]:
    low, high = (figures.get(bound, figures.get("value")) for bound in ("low", "high"))
    assert low is not None
    assert high is not None
    return low, high


def _origin(figures: Mapping[str, Any]) -> dict[str, str]:
    return {key: figures[key] for key in ("confidence", "read", "source")}


def _clock(figures: Mapping[str, Any]) -> Clock:
    return Clock(mhz=figures["value"], **_origin(figures))


def _step_time(figures: Mapping[str, Any]) -> StepTime:
    return StepTime(seconds=figures["value"] / 1e3, **_origin(figures))


def _static(name: str, figures: Mapping[str, Any]) -> StaticPower:
    unit = figures["unit"]
    low, high = (bound * MILLIWATTS[unit.removesuffix(PER_MHZ)] for bound in _bounds(figures))
    return StaticPower(
        name=name,
        state=figures.get("state", IN_USE),
        scope=figures["scope"],
        low_mw=low,
        high_mw=high,
        is_per_mhz=unit.endswith(PER_MHZ),
        is_apart=figures.get("apart", False),
        **_origin(figures),
    )


def _point(name: str, figures: Mapping[str, Any]) -> Point:
    low, high = _bounds(figures)
    return Point(name=name, low=low, high=high, unit=figures["unit"], scope=figures["scope"], **_origin(figures))


def _latency(term: str, figures: Mapping[str, Any], clock: Clock | None) -> Latency:
    is_of_clock = figures["unit"] == CYCLES
    ns = NS_PER_US / clock.mhz if is_of_clock and clock else 1.0
    low, high = (bound * ns for bound in _bounds(figures))
    counts = tuple(figures.get("counts", ()))
    return Latency(term=term, counts=counts, low_ns=low, high_ns=high, is_of_clock=is_of_clock, **_origin(figures))


def _operation(name: str, figures: Mapping[str, Any]) -> Operation:
    return Operation(name=name, value_pj=figures["value"] * PICOJOULES[figures["unit"]], **_origin(figures))


def _memory(name: str, figures: Mapping[str, Any]) -> Memory:
    low, high = (bound * PICOJOULES[figures["unit"]] for bound in _bounds(figures))
    return Memory(
        name=name,
        bits=figures["bits"],
        low_pj=low,
        high_pj=high,
        kilobytes=figures.get("kilobytes"),
        is_off_chip=figures.get("off_chip", False),
        **_origin(figures),
    )


def _price(term: str, figures: Mapping[str, Any]) -> Price:
    pj = PICOJOULES[figures["unit"]]
    return Price(
        term=term,
        counts=tuple(figures["counts"]),
        layers=tuple(figures.get("layers", ())),
        value_pj=figures["value"] * pj,
        low_pj=figures.get("low", figures["value"]) * pj,
        high_pj=figures.get("high", figures["value"]) * pj,
        range_source=figures.get("range_source", ""),
        **_origin(figures),
    )
