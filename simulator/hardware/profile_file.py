"""What the TOML file of a profile may hold, and every way in which one breaks its rules."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tdd_deploy.errors import Violation
from tdd_deploy.simulator.counts import FIELDS

from .chips import chip_names
from .references import REFERENCE, reference_violations
from .schema import CONFIDENCES, NUMBER, READS, Key, allowed, keys_schema, table_violations, tables_schema

PICOJOULES = {"fJ": 1e-3, "pJ": 1.0, "nJ": 1e3, "uJ": 1e6}
MILLIWATTS = {"uW": 1e-3, "mW": 1.0, "W": 1e3}
PER_MHZ = "/MHz"
CYCLES = "clock"
PER_INFERENCE = ("uJ/inference", "mJ/inference")
PER_EVENT = ("fJ/bit", "pJ/bit", "fJ/bit/um", "pJ/cycle", "pJ", "pJ/synop", "nJ/synop")
POINT_UNITS = (*MILLIWATTS, *PER_INFERENCE, *PER_EVENT)
STATIC_SCOPES = ("floor", "boot")
POINT_SCOPES = ("all_in", "dynamic", "floor", "boot", "marginal", "unknown")  # what the power of a point includes
LAYER_KINDS = ("dense", "conv")
IN_USE = "in use"
FLOAT_BITS, INTEGER_BITS = (32, 16), (8, 32)  # of published operations
OPERATIONS = (
    *(f"float{bits}_{what}" for bits in FLOAT_BITS for what in ("add", "mul")),
    *(f"int{bits}_{what}" for bits in INTEGER_BITS for what in ("add", "mul")),
)

_ORIGIN = {"confidence": Key(str, CONFIDENCES), "read": Key(str, READS), "source": Key(str)}
_VALUE = {"value": Key(NUMBER)}
_VALUE_OR_BOUNDS = {bound: Key(NUMBER, required=False) for bound in ("value", "low", "high")}
_TOP = {
    "schema": Key(int, (1,)),
    "name": Key(str),
    "title": Key(str),
    "remark": Key(str, required=False),
    "chip": Key(str, required=False),
    "not_priced": Key(list, required=False),
    **{
        kind: Key(dict, required=False)
        for kind in ("price", "static", "clock", "step_time", "time", "operation", "memory", "point", "reference")
    },
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
    **_ORIGIN,
}
_STATIC = {
    **_VALUE_OR_BOUNDS,
    "unit": Key(str, (*MILLIWATTS, *(f"{unit}{PER_MHZ}" for unit in MILLIWATTS))),
    "state": Key(str, required=False),
    "scope": Key(str, STATIC_SCOPES),
    "apart": Key(bool, required=False),
    **_ORIGIN,
}
_TIME = {
    "counts": Key(list, FIELDS, required=False),
    **_VALUE_OR_BOUNDS,
    "unit": Key(str, ("ns", CYCLES)),
    **_ORIGIN,
}
_CLOCK = {**_VALUE, "unit": Key(str, ("MHz",)), **_ORIGIN}
_STEP_TIME = {**_VALUE, "unit": Key(str, ("ms",)), **_ORIGIN}
_OPERATION = {**_VALUE, "unit": Key(str, tuple(PICOJOULES)), **_ORIGIN}
_MEMORY = {
    **_VALUE_OR_BOUNDS,
    "unit": Key(str, tuple(PICOJOULES)),
    "bits": Key(int, least=1),
    "kilobytes": Key(NUMBER, required=False),
    "off_chip": Key(bool, required=False),
    **_ORIGIN,
}
_POINT = {
    **_VALUE_OR_BOUNDS,
    "unit": Key(str, POINT_UNITS),
    "scope": Key(str, POINT_SCOPES),
    **_ORIGIN,
}


def profile_schema() -> dict[str, Any]:
    """Return the JSON Schema of a profile. It lacks the rules that compare values: ``violations_of`` has them all."""
    found = keys_schema(_TOP)
    of_tables = {
        "price": _PRICE, "static": _STATIC, "time": _TIME, "operation": _OPERATION, "memory": _MEMORY, "point": _POINT,
        "reference": REFERENCE,
    }  # fmt: skip
    found["properties"] |= {name: tables_schema(keys) for name, keys in of_tables.items()}
    found["properties"] |= {"clock": keys_schema(_CLOCK), "step_time": keys_schema(_STEP_TIME)}
    return found


def violations_of(content: Mapping[str, Any]) -> Iterator[Violation]:
    """Yield every rule that a profile breaks."""
    yield from table_violations("", content, _TOP)
    chip = content.get("chip", "")
    if isinstance(chip, str) and chip and chip not in chip_names() and not chip.endswith(".toml"):
        names = ", ".join(chip_names())
        yield Violation("chip", repr(chip), f"{names}, or a path to a .toml file, relative to this file")
    yield from _kinds_of_profile(content)
    yield from reference_violations(content.get("reference"))
    needs_clock = _unclocked(content)
    kinds = (
        ("price", _PRICE, (_contradictions,)),
        ("static", _STATIC, (_unbounded, needs_clock)),
        ("time", _TIME, (_unbounded, needs_clock)),
        ("operation", _OPERATION, (_free, _unknown_operation)),
        ("memory", _MEMORY, (_unbounded, _free)),
        ("point", _POINT, (_unbounded,)),
    )
    for kind, keys, rules in kinds:
        tables = content.get(kind)
        for name, figures in tables.items() if isinstance(tables, dict) else ():
            yield from table_violations(f"{kind}.{name}.", figures, keys)
            for rule in rules if isinstance(figures, dict) else ():
                yield from rule(f"{kind}.{name}", figures)
    for name, keys in (("clock", _CLOCK), ("step_time", _STEP_TIME)):
        if isinstance(content.get(name), dict):
            yield from table_violations(f"{name}.", content[name], keys)
            if content[name].get("value") == 0:
                yield Violation(f"{name}.value", "0", "a number above 0")


def _kinds_of_profile(content: Mapping[str, Any]) -> Iterator[Violation]:
    of_process = {"operation", "memory"} & content.keys()
    if not {"price", "point"} & content.keys() and not of_process:
        remedy = "Give prices of events, operating points, or operations and memories."
        yield Violation("price and point", "are both missing", remedy=remedy)
    elif "price" in content and of_process:
        remedy = "Give prices of events, or figures that they follow from."
        yield Violation(f"price and {' and '.join(sorted(of_process))}", "exclude each other", remedy=remedy)


def _unclocked(content: Mapping[str, Any]) -> Callable[[str, Mapping[str, Any]], Iterator[Violation]]:
    def violations(where: str, figures: Mapping[str, Any]) -> Iterator[Violation]:
        unit = str(figures.get("unit"))
        if (unit.endswith(PER_MHZ) or unit == CYCLES) and "clock" not in content:
            found = f"is {unit}, but there is no table clock"
            yield Violation(f"{where}.unit", found, remedy="Add one with value, unit and source.")

    return violations


def _free(where: str, figures: Mapping[str, Any]) -> Iterator[Violation]:
    for bound in ("value", "low", "high"):
        if figures.get(bound) == 0:
            yield Violation(f"{where}.{bound}", "0", "a number above 0")


def _unknown_operation(where: str, figures: Mapping[str, Any]) -> Iterator[Violation]:
    name = where.removeprefix("operation.")
    if name not in OPERATIONS:
        yield Violation(f"the name of {where}", repr(name), f"one of {', '.join(OPERATIONS)}")


def _unbounded(where: str, figures: Mapping[str, Any]) -> Iterator[Violation]:
    given = sorted({"value", "low", "high"} & figures.keys())
    if given not in (["value"], ["high", "low"]):
        remedy = "Give value, or low and high."
        if given:
            yield Violation(where, f"holds {' and '.join(given)}", remedy=remedy)
        else:
            yield Violation(f"{where}.value", "is missing", remedy=remedy)
    yield from _out_of_order(where, figures, ("low", "high"))


def _contradictions(where: str, figures: Mapping[str, Any]) -> Iterator[Violation]:
    if ("low" in figures or "high" in figures) and "range_source" not in figures:
        yield Violation(f"{where}.range_source", "is missing", remedy="Name the source of low and high.")
    counts = figures.get("counts")
    if counts == []:
        yield Violation(f"{where}.counts", "[]", allowed(_PRICE["counts"]))
    elif isinstance(counts, list) and len(counts) > len({str(count) for count in counts}):
        yield Violation(f"{where}.counts", repr(counts), "a list that names each count once")
    yield from _out_of_order(where, figures, ("low", "value", "high"))


def _out_of_order(where: str, figures: Mapping[str, Any], keys: tuple[str, ...]) -> Iterator[Violation]:
    bounds = [figures.get(key, figures.get("value")) for key in keys]
    if all(isinstance(bound, int | float) for bound in bounds) and bounds != sorted(bounds):
        found = ", ".join(str(bound) for bound in bounds)
        yield Violation(f"{', '.join(keys[:-1])} and {keys[-1]} of {where}", found, "in rising order")
