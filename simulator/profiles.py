"""Hardware energy profiles: what one event costs, with its source. One TOML file each, strictly read."""

import difflib
import math
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from tdd_deploy.errors import BadFile, BadOption, BadProfile, Violation

from .counts import FIELDS

PICOJOULES = {"fJ": 1e-3, "pJ": 1.0, "nJ": 1e3, "uJ": 1e6}
MILLIWATTS = {"uW": 1e-3, "mW": 1.0, "W": 1e3}
PER_MHZ = "/MHz"
POINT_UNITS = ("uW", "mW", "W", "uJ/inference", "mJ/inference", "pJ/synop")
SCOPES = ("all_in", "dynamic", "static", "unknown")  # of points
CONFIDENCES = ("measured", "regression", "simulated", "vendor", "derived", "secondary")
NEEDS_PLACEMENT = ("messages", "hops_x", "hops_y")  # counted once layers are placed on cores
LAYER_KINDS = ("dense", "conv")


@dataclass(frozen=True, kw_only=True)
class Price:
    """What one count costs, in pJ; ``low`` and ``high`` are what other sources say."""

    term: str
    counts: tuple[str, ...]
    layers: tuple[str, ...]  # kinds of layer it is for; empty: all
    value_pj: float
    low_pj: float
    high_pj: float
    confidence: str
    source: str
    range_source: str

    @property
    def is_counted(self) -> bool:
        """Whether the simulator counts what this price is for."""
        return not set(self.counts) & set(NEEDS_PLACEMENT)


@dataclass(frozen=True, kw_only=True)
class StaticPower:
    """Power that flows whether or not anything happens, per chip; of a running clock per MHz."""

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
class Point:
    """What was measured at one operating point: shown, and never added to or taken for the price of an event."""

    name: str
    low: float
    high: float
    unit: str
    scope: str
    confidence: str
    source: str


@dataclass(frozen=True, kw_only=True)
class Profile:
    """A hardware's prices, all marginal: what one more event costs; and what was measured of it as a whole."""

    name: str
    title: str
    remark: str
    prices: tuple[Price, ...]
    static: tuple[StaticPower, ...]
    clock: Clock | None
    points: tuple[Point, ...]
    not_priced: tuple[str, ...]

    def static_mw(self, clock_mhz: float | None = None) -> float | None:
        """Return what one chip draws without events, at another clock than the profile's if one is given."""
        mhz = clock_mhz if clock_mhz is not None else self.clock.mhz if self.clock else 0.0
        return sum(part.value_mw * (mhz if part.is_per_mhz else 1) for part in self.static) if self.static else None


@cache
def profile_names() -> tuple[str, ...]:
    """Return the names of the profiles that come with the package."""
    return tuple(sorted(p.name.removesuffix(".toml") for p in _folder().iterdir() if p.name.endswith(".toml")))


def load_profile(name: str) -> Profile:
    """Read a profile by its name, or from a path that ends in ``.toml``.

    Raises:
        BadOption: no profile has this name.
        BadFile: the file is missing or not TOML.
        BadProfile: every unknown key, missing number, unit or source.
    """
    if name in profile_names():
        return _parse(name, (_folder() / f"{name}.toml").read_text(encoding="utf-8"))
    if not name.endswith(".toml"):
        longer = [known for known in profile_names() if name and known.startswith(name)]
        near = longer or difflib.get_close_matches(name, profile_names(), n=1)
        hint = f" (did you mean {' or '.join(near)}?)" if near else ""
        raise BadOption("--profile", f"{name!r}{hint}", f"{', '.join(profile_names())}, or a path to a .toml")
    try:
        return _parse(name, Path(name).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise BadFile(name, "is missing or not a text file", "name a profile or a .toml file") from error


def _folder() -> Any:
    return resources.files(__package__) / "profiles"


def _parse(name: str, text: str) -> Profile:
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadFile(name, f"is not TOML ({error})", "mend it; a profile of the package shows the form") from error
    violations = list(_violations(content))
    if violations:
        raise BadProfile(f"profile {name}", violations)
    return Profile(
        name=content["name"],
        title=content["title"],
        remark=content.get("remark", ""),
        prices=tuple(_price(term, figures) for term, figures in content.get("price", {}).items()),
        static=tuple(_static(part, figures) for part, figures in content.get("static", {}).items()),
        clock=Clock(mhz=content["clock"]["value"], source=content["clock"]["source"]) if "clock" in content else None,
        points=tuple(_point(point, figures) for point, figures in content.get("point", {}).items()),
        not_priced=tuple(content.get("not_priced", ())),
    )


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


@dataclass(frozen=True)
class _Key:
    """What a key of a profile may hold."""

    kind: type | tuple[type, ...]
    allowed: tuple[Any, ...] = ()
    required: bool = True


_NUMBER = (int, float)
_TOP = {
    "schema": _Key(int, (1,)),
    "name": _Key(str),
    "title": _Key(str),
    "remark": _Key(str, required=False),
    "not_priced": _Key(list, required=False),
    "price": _Key(dict, required=False),
    "static": _Key(dict, required=False),
    "clock": _Key(dict, required=False),
    "point": _Key(dict, required=False),
}
_PRICE = {
    "counts": _Key(list, (*FIELDS, *NEEDS_PLACEMENT)),
    "layers": _Key(list, LAYER_KINDS, required=False),
    "value": _Key(_NUMBER),
    "unit": _Key(str, tuple(PICOJOULES)),
    "low": _Key(_NUMBER, required=False),
    "high": _Key(_NUMBER, required=False),
    "range_source": _Key(str, required=False),
    "scope": _Key(str, ("marginal",)),
    "confidence": _Key(str, CONFIDENCES),
    "source": _Key(str),
}
_STATIC = {
    "value": _Key(_NUMBER),
    "unit": _Key(str, (*MILLIWATTS, *(f"{unit}{PER_MHZ}" for unit in MILLIWATTS))),
    "confidence": _Key(str, CONFIDENCES),
    "source": _Key(str),
}
_CLOCK = {"value": _Key(_NUMBER), "unit": _Key(str, ("MHz",)), "source": _Key(str)}
_POINT = {
    "value": _Key(_NUMBER, required=False),
    "low": _Key(_NUMBER, required=False),
    "high": _Key(_NUMBER, required=False),
    "unit": _Key(str, POINT_UNITS),
    "scope": _Key(str, SCOPES),
    "confidence": _Key(str, CONFIDENCES),
    "source": _Key(str),
}


def _violations(content: Mapping[str, Any]) -> Iterator[Violation]:
    yield from _table("", content, _TOP)
    if not {"price", "point"} & content.keys():
        yield Violation("price, point", "both missing", "prices of events, or operating points, or both")
    kinds = (
        ("price", _PRICE, _contradictions),
        ("static", _STATIC, _unclocked(content)),
        ("point", _POINT, _unbounded),
    )
    for kind, keys, further in kinds:
        tables = content.get(kind)
        for name, figures in tables.items() if isinstance(tables, dict) else ():
            yield from _table(f"{kind}.{name}.", figures, keys)
            if isinstance(figures, dict):
                yield from further(f"{kind}.{name}", figures)
    if isinstance(content.get("clock"), dict):
        yield from _table("clock.", content["clock"], _CLOCK)


def _unclocked(content: Mapping[str, Any]) -> Callable[[str, Mapping[str, Any]], Iterator[Violation]]:
    def violations(where: str, figures: Mapping[str, Any]) -> Iterator[Violation]:
        if str(figures.get("unit")).endswith(PER_MHZ) and "clock" not in content:
            yield Violation(f"{where}.unit", figures["unit"], "with a table clock: value, unit and source")

    return violations


def _unbounded(where: str, figures: Mapping[str, Any]) -> Iterator[Violation]:
    given = sorted({"value", "low", "high"} & figures.keys())
    if given not in (["value"], ["high", "low"]):
        yield Violation(
            f"{where}.value", f"{', '.join(given)} given" if given else "is missing", "value, or low and high"
        )


def _contradictions(where: str, figures: Mapping[str, Any]) -> Iterator[Violation]:
    if ("low" in figures or "high" in figures) and "range_source" not in figures:
        yield Violation(f"{where}.range_source", "is missing", "the source of low and high")
    counts, bounds = figures.get("counts"), [figures.get(key, figures.get("value")) for key in ("low", "value", "high")]
    if counts == []:
        yield Violation(f"{where}.counts", "[]", _allowed(_PRICE["counts"]))
    elif isinstance(counts, list) and len(counts) > len({str(count) for count in counts}):
        yield Violation(f"{where}.counts", repr(counts), "each count once")
    if all(isinstance(bound, int | float) for bound in bounds) and bounds != sorted(bounds):
        found = ", ".join(str(bound) for bound in bounds)
        yield Violation(f"{where}.low, .value, .high", found, "low to high")


def _table(where: str, found: Any, keys: Mapping[str, _Key]) -> Iterator[Violation]:
    """Hold one table against its keys."""
    if not isinstance(found, dict):
        yield Violation(where.rstrip("."), f"{found!r}", "a table")
        return
    for key in sorted(found.keys() - keys.keys()):
        near = difflib.get_close_matches(key, keys, n=1)
        hint = f"Did you mean {near[0]}?" if near else ""
        yield Violation(f"{where}{key}", "an unknown key", ", ".join(keys), hint)
    for name, key in keys.items():
        if name not in found:
            if key.required:
                yield Violation(f"{where}{name}", "is missing", _allowed(key))
            continue
        value = found[name]
        values = value if isinstance(value, list) else [value]
        if not isinstance(value, key.kind) or isinstance(value, bool) or not all(_fits(v, key) for v in values):
            yield Violation(f"{where}{name}", repr(value), _allowed(key))


def _fits(value: Any, key: _Key) -> bool:
    if key.allowed:
        return value in key.allowed
    if key.kind is list:
        return isinstance(value, str)
    if isinstance(value, float | int):
        return math.isfinite(value) and value >= 0
    return value not in ("", {})


def _allowed(key: _Key) -> str:
    if key.allowed:
        return ", ".join(str(value) for value in key.allowed)
    if key.kind is str:
        return "a text that is not empty"
    if key.kind is dict:
        return "a table that is not empty"
    return "a list of texts" if key.kind is list else "a number, 0 or more"
