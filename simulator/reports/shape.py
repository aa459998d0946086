"""The shape of a report.json: the values that tables rely on, as ``Simulation.as_json`` writes them."""

from collections.abc import Iterator
from typing import Any

from tdd_deploy.shapes import (
    COUNT,
    FRACTION,
    NUMBER,
    POSITIVE,
    TEXT,
    Each,
    ListOf,
    Maybe,
    Number,
    Shape,
    Table,
    fault_in,
    shown,
)

_CODE = Table({"synops_effective": COUNT})
_ROW: dict[str, Shape] = {
    **dict.fromkeys(("spikes", "delta_events", "synops_effective", "dense"), COUNT),
    "energy_pj": Maybe(NUMBER),
    "spike_code": _CODE,
    "delta_code": _CODE,
}
_TERM: dict[str, Shape] = {
    **dict.fromkeys(("term", "confidence", "source"), TEXT),
    "count": COUNT,
    **dict.fromkeys(("price_pj", "low_price_pj", "high_price_pj", "energy_pj"), NUMBER),
}
_SUMS = ("dynamic_pj", "low_pj", "high_pj", "static_low_pj", "static_high_pj", "spike_code_pj", "delta_code_pj")
_ESTIMATE: dict[str, Shape] = {
    **dict.fromkeys(("name", "assumes", "source"), TEXT),
    **dict.fromkeys(("spiking_pj", "dense_pj", "ratio"), Maybe(NUMBER)),
}
_BLOCK: dict[str, Shape] = {
    "layer": TEXT,
    "shape": ListOf(POSITIVE),
    "load": Table(dict.fromkeys(("neurons", "synapse_bits", "axons_in", "axons_out", "destinations"), COUNT)),
}
_RESULT: dict[str, Shape] = {
    "bits": Maybe(POSITIVE),
    "accuracy": FRACTION,
    "samples": POSITIVE,
    "macs": COUNT,
    "energy_pj": Each(Maybe(NUMBER)),
}
REPORT = Table(
    {
        "program": Table({"code": TEXT, "number_format": TEXT}),
        "data": Table({"name": TEXT, "split": TEXT, "input": Table({"scale": Number(least=0, above=True)})}),
        "accuracy": Maybe(FRACTION),
        "steps": ListOf(Table({"step": POSITIVE, **_ROW})),
        "layers": ListOf(Table({"name": TEXT, **_ROW})),
        "placement": Maybe(Table({"blocks": ListOf(Table(_BLOCK))})),
        "totals": Table({"samples": POSITIVE, **_ROW}),
        "energy": Maybe(Table({"terms": ListOf(Table(_TERM)), "not_priced": ListOf(TEXT)})),
        "energies": ListOf(Table({"profile": TEXT, **dict.fromkeys(_SUMS, Maybe(NUMBER))})),
        "estimators": ListOf(Table(_ESTIMATE)),
        "baseline": Maybe(Table({"results": ListOf(Table(_RESULT))})),
    }
)


def report_fault(report: Any) -> str:
    """Describe the first place in a report that tables could not read, as a predicate; empty if there is none."""
    return fault_in(report, REPORT, _contradictions)


def _contradictions(report: Any) -> Iterator[str]:
    """Yield each bound without the other one, and each missing price of a baseline."""
    for i, energy in enumerate(report["energies"]):
        for low, high in (("low_pj", "high_pj"), ("static_low_pj", "static_high_pj")):
            if (energy[low] is None) != (energy[high] is None):
                yield f"energies[{i}] has only one of {low} and {high}"
    for i, row in enumerate(report["baseline"]["results"] if report["baseline"] else ()):
        for energy in report["energies"]:
            if energy["profile"] not in row["energy_pj"]:
                yield f"baseline.results[{i}].energy_pj lacks {shown(energy['profile'])}"
