"""Hardware energy profiles: what one event costs, with its source. Each is one TOML file, read strictly."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tdd_deploy.errors import BadProfile, Violation
from tdd_deploy.simulator.counts import FIELDS
from tdd_deploy.simulator.routes import COSTS

from .chips import chip_names
from .schema import CONFIDENCES, NUMBER, Key, allowed, names_in, read_table, table_violations

PICOJOULES = {"fJ": 1e-3, "pJ": 1.0, "nJ": 1e3, "uJ": 1e6}
MILLIWATTS = {"uW": 1e-3, "mW": 1.0, "W": 1e3}
PER_MHZ = "/MHz"
POINT_UNITS = ("uW", "mW", "W", "uJ/inference", "mJ/inference", "pJ/synop")
SCOPES = ("all_in", "dynamic", "static", "unknown")  # what the power of a point includes
LAYER_KINDS = ("dense", "conv")


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
    source: str
    range_source: str

    @property
    def needs_placement(self) -> bool:
        """Whether its counts exist only when layers are placed on cores."""
        return bool(set(self.counts) & set(COSTS))


@dataclass(frozen=True, kw_only=True)
class StaticPower:
    """Power that one chip draws whether or not anything happens; or, for a running clock, power per MHz."""

    name: str
    value_mw: float
    is_per_mhz: bool
    confidence: str
    source: str


@dataclass(frozen=True, kw_only=True)
class Clock:
    """The frequency that ``Profile.static`` is taken at."""

    mhz: float
    source: str


@dataclass(frozen=True, kw_only=True)
class Latency:
    """The time that a core takes for one count; without counts, the time that every step takes."""

    term: str
    counts: tuple[str, ...]
    low_ns: float
    high_ns: float
    confidence: str
    source: str


@dataclass(frozen=True, kw_only=True)
class IntegerMac:
    """The price of a multiply-accumulate of integers, in pJ, for an ANN baseline."""

    bits: int
    value_pj: float
    confidence: str
    source: str


@dataclass(frozen=True, kw_only=True)
class Point:
    """A measurement at one operating point: it is shown, but never added up or used as the price of an event."""

    name: str
    low: float
    high: float
    unit: str
    scope: str
    confidence: str
    source: str


@dataclass(frozen=True, kw_only=True)
class Profile:
    """The prices of hardware, all marginal: what one more event costs; and what was measured as a whole."""

    name: str
    title: str
    remark: str
    arithmetic: str  # float or integer: the MACs that are priced
    prices: tuple[Price, ...]
    static: tuple[StaticPower, ...]
    clock: Clock | None
    chip: str | None  # where its programs are placed: a name, or a path
    latencies: tuple[Latency, ...]
    points: tuple[Point, ...]
    integer_macs: tuple[IntegerMac, ...]
    not_priced: tuple[str, ...]

    def mac_pj(self, bits: int | None = None) -> float | None:
        """Return the price of a MAC of a dense network, in floats or in integers; None if there is none.

        In floats, a MAC of a spiking network costs the same, if the profile prices floats.
        """
        if bits is not None:
            return next((mac.value_pj for mac in self.integer_macs if mac.bits == bits), None)
        prices = [price.value_pj for price in self.prices if "macs" in price.counts]
        return sum(prices) if prices and self.arithmetic == "float" else None

    def static_mw(self, clock_mhz: float | None = None) -> float | None:
        """Return the power of one chip without events, at a given clock or at the clock of the profile."""
        mhz = clock_mhz if clock_mhz is not None else self.clock.mhz if self.clock else 0.0
        return sum(part.value_mw * (mhz if part.is_per_mhz else 1) for part in self.static) if self.static else None


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
    return _profile(name, read_table("profiles", name, option=option))


def _profile(name: str, content: Mapping[str, Any]) -> Profile:
    violations = list(_violations(content))
    if violations:
        raise BadProfile(f"profile {name}", violations)
    return Profile(
        name=content["name"],
        title=content["title"],
        remark=content.get("remark", ""),
        arithmetic=content.get("arithmetic", "float"),
        prices=tuple(_price(term, figures) for term, figures in content.get("price", {}).items()),
        static=tuple(_static(part, figures) for part, figures in content.get("static", {}).items()),
        clock=Clock(mhz=content["clock"]["value"], source=content["clock"]["source"]) if "clock" in content else None,
        chip=_chip(name, content.get("chip")),
        latencies=tuple(_latency(term, figures) for term, figures in content.get("time", {}).items()),
        integer_macs=tuple(_integer_mac(bits, figures) for bits, figures in content.get("integer_mac", {}).items()),
        points=tuple(_point(point, figures) for point, figures in content.get("point", {}).items()),
        not_priced=tuple(content.get("not_priced", ())),
    )


def _chip(profile: str, chip: str | None) -> str | None:
    """Return a chip's name, or the path of a user's file, which the profile gives relative to itself."""
    return chip if chip is None or chip in chip_names() else str(Path(profile).parent / chip)


def _static(name: str, figures: Mapping[str, Any]) -> StaticPower:
    unit = figures["unit"]
    return StaticPower(
        name=name,
        value_mw=figures["value"] * MILLIWATTS[unit.removesuffix(PER_MHZ)],
        is_per_mhz=unit.endswith(PER_MHZ),
        confidence=figures["confidence"],
        source=figures["source"],
    )


def _point(name: str, figures: Mapping[str, Any]) -> Point:
    low, high = (figures.get(bound, figures.get("value")) for bound in ("low", "high"))
    others = {key: figures[key] for key in ("unit", "scope", "confidence", "source")}
    return Point(name=name, low=low, high=high, **others)


def _latency(term: str, figures: Mapping[str, Any]) -> Latency:
    low, high = (figures.get(bound, figures.get("value")) for bound in ("low", "high"))
    others = {key: figures[key] for key in ("confidence", "source")}
    return Latency(term=term, counts=tuple(figures.get("counts", ())), low_ns=low, high_ns=high, **others)


def _integer_mac(bits: str, figures: Mapping[str, Any]) -> IntegerMac:
    value_pj = figures["value"] * PICOJOULES[figures["unit"]]
    return IntegerMac(bits=int(bits), value_pj=value_pj, confidence=figures["confidence"], source=figures["source"])


def _price(term: str, figures: Mapping[str, Any]) -> Price:
    pj = PICOJOULES[figures["unit"]]
    return Price(
        term=term,
        counts=tuple(figures["counts"]),
        layers=tuple(figures.get("layers", ())),
        value_pj=figures["value"] * pj,
        low_pj=figures.get("low", figures["value"]) * pj,
        high_pj=figures.get("high", figures["value"]) * pj,
        confidence=figures["confidence"],
        source=figures["source"],
        range_source=figures.get("range_source", ""),
    )


_TOP = {
    "schema": Key(int, (1,)),
    "name": Key(str),
    "title": Key(str),
    "remark": Key(str, required=False),
    "arithmetic": Key(str, ("float", "integer"), required=False),
    "not_priced": Key(list, required=False),
    "price": Key(dict, required=False),
    "static": Key(dict, required=False),
    "clock": Key(dict, required=False),
    "chip": Key(str, required=False),
    "time": Key(dict, required=False),
    "integer_mac": Key(dict, required=False),
    "point": Key(dict, required=False),
}
_PRICE = {
    "counts": Key(list, FIELDS),
    "layers": Key(list, LAYER_KINDS, required=False),
    "value": Key(NUMBER),
    "unit": Key(str, tuple(PICOJOULES)),
    "low": Key(NUMBER, required=False),
    "high": Key(NUMBER, required=False),
    "range_source": Key(str, required=False),
    "scope": Key(str, ("marginal",)),
    "confidence": Key(str, CONFIDENCES),
    "source": Key(str),
}
_STATIC = {
    "value": Key(NUMBER),
    "unit": Key(str, (*MILLIWATTS, *(f"{unit}{PER_MHZ}" for unit in MILLIWATTS))),
    "confidence": Key(str, CONFIDENCES),
    "source": Key(str),
}
_TIME = {
    "counts": Key(list, FIELDS, required=False),
    "value": Key(NUMBER, required=False),
    "low": Key(NUMBER, required=False),
    "high": Key(NUMBER, required=False),
    "unit": Key(str, ("ns",)),
    "confidence": Key(str, CONFIDENCES),
    "source": Key(str),
}
_INTEGER_MAC = {
    "value": Key(NUMBER),
    "unit": Key(str, tuple(PICOJOULES)),
    "confidence": Key(str, CONFIDENCES),
    "source": Key(str),
}
_CLOCK = {"value": Key(NUMBER), "unit": Key(str, ("MHz",)), "source": Key(str)}
_POINT = {
    "value": Key(NUMBER, required=False),
    "low": Key(NUMBER, required=False),
    "high": Key(NUMBER, required=False),
    "unit": Key(str, POINT_UNITS),
    "scope": Key(str, SCOPES),
    "confidence": Key(str, CONFIDENCES),
    "source": Key(str),
}


def _violations(content: Mapping[str, Any]) -> Iterator[Violation]:
    yield from table_violations("", content, _TOP)
    chip = content.get("chip", "")
    if isinstance(chip, str) and chip and chip not in chip_names() and not chip.endswith(".toml"):
        names = ", ".join(chip_names())
        yield Violation("chip", repr(chip), f"{names}, or a path to a .toml file, relative to this file")
    if not {"price", "point"} & content.keys():
        remedy = "Give prices of events, operating points, or both."
        yield Violation("price and point", "are both missing", remedy=remedy)
    kinds = (
        ("price", _PRICE, _contradictions),
        ("static", _STATIC, _unclocked(content)),
        ("time", _TIME, _unbounded),
        ("integer_mac", _INTEGER_MAC, _no_bits),
        ("point", _POINT, _unbounded),
    )
    for kind, keys, further in kinds:
        tables = content.get(kind)
        for name, figures in tables.items() if isinstance(tables, dict) else ():
            yield from table_violations(f"{kind}.{name}.", figures, keys)
            if isinstance(figures, dict):
                yield from further(f"{kind}.{name}", figures)
    if isinstance(content.get("clock"), dict):
        yield from table_violations("clock.", content["clock"], _CLOCK)


def _unclocked(content: Mapping[str, Any]) -> Callable[[str, Mapping[str, Any]], Iterator[Violation]]:
    def violations(where: str, figures: Mapping[str, Any]) -> Iterator[Violation]:
        if str(figures.get("unit")).endswith(PER_MHZ) and "clock" not in content:
            found = f"is {figures['unit']}, but there is no table clock"
            yield Violation(f"{where}.unit", found, remedy="Add one with value, unit and source.")

    return violations


def _no_bits(where: str, _: Mapping[str, Any]) -> Iterator[Violation]:
    bits = where.removeprefix("integer_mac.")
    if not (bits.isdecimal() and 1 <= int(bits) <= 64):
        yield Violation(f"the name of {where}", repr(bits), "a number of bits, 1 to 64, as in integer_mac.8")


def _unbounded(where: str, figures: Mapping[str, Any]) -> Iterator[Violation]:
    given = sorted({"value", "low", "high"} & figures.keys())
    if given not in (["value"], ["high", "low"]):
        remedy = "Give value, or low and high."
        if given:
            yield Violation(where, f"holds {' and '.join(given)}", remedy=remedy)
        else:
            yield Violation(f"{where}.value", "is missing", remedy=remedy)


def _contradictions(where: str, figures: Mapping[str, Any]) -> Iterator[Violation]:
    if ("low" in figures or "high" in figures) and "range_source" not in figures:
        yield Violation(f"{where}.range_source", "is missing", remedy="Name the source of low and high.")
    counts, bounds = figures.get("counts"), [figures.get(key, figures.get("value")) for key in ("low", "value", "high")]
    if counts == []:
        yield Violation(f"{where}.counts", "[]", allowed(_PRICE["counts"]))
    elif isinstance(counts, list) and len(counts) > len({str(count) for count in counts}):
        yield Violation(f"{where}.counts", repr(counts), "a list that names each count once")
    if all(isinstance(bound, int | float) for bound in bounds) and bounds != sorted(bounds):
        found = ", ".join(str(bound) for bound in bounds)
        yield Violation(f"low, value and high of {where}", found, "in rising order")
