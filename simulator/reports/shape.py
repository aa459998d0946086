"""The shape of a report.json: the values that tables rely on, as ``Simulation.as_json`` writes them."""

from collections.abc import Iterator
from typing import Any

from tdd_deploy.shapes import (
    BOOLEAN,
    COUNT,
    FRACTION,
    NUMBER,
    POSITIVE,
    TEXT,
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
_DENSE: dict[str, Shape] = {
    "baseline": Maybe(COUNT),
    "dataflow": TEXT,
    "sparsity": FRACTION,
    "accuracy": Maybe(FRACTION),
    "skips_zeros": BOOLEAN,
    **dict.fromkeys(("weight_bits", "activation_bits"), Maybe(POSITIVE)),
    **dict.fromkeys(("macs", "ratio", "dense_pj"), NUMBER),
    "crossover_rate": Maybe(NUMBER),
}
_RESULT: dict[str, Shape] = {
    "split": TEXT,
    "accuracy": FRACTION,
    "n_samples": POSITIVE,
    **dict.fromkeys(("weight_bits", "activation_bits"), Maybe(POSITIVE)),
}
_COMPARISON: dict[str, Shape] = {
    "rate": Maybe(NUMBER),
    **dict.fromkeys(("least_favorable", "most_favorable"), Maybe(COUNT)),
    "rows": ListOf(Table(_DENSE)),
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
        "baselines": ListOf(
            Table({"sparsity": FRACTION, "layers": ListOf(Table({"macs": COUNT})), "results": ListOf(Table(_RESULT))})
        ),
        "models": ListOf(Table({"dynamic_pj": NUMBER})),
        "energies": ListOf(
            Table({"profile": TEXT, "comparison": Maybe(Table(_COMPARISON)), **dict.fromkeys(_SUMS, Maybe(NUMBER))})
        ),
        "estimators": ListOf(Table(_ESTIMATE)),
    }
)


def report_fault(report: Any) -> str:
    """Describe the first place in a report that tables could not read, as a predicate; empty if there is none."""
    return fault_in(report, REPORT, _contradictions)


def _contradictions(report: Any) -> Iterator[str]:
    """Yield each bound without the other one, and each row that is not there."""
    for i, energy in enumerate(report["energies"]):
        for low, high in (("low_pj", "high_pj"), ("static_low_pj", "static_high_pj")):
            if (energy[low] is None) != (energy[high] is None):
                yield f"energies[{i}] has only one of {low} and {high}"
        found = energy["comparison"]
        for key in ("least_favorable", "most_favorable"):
            if found and found[key] is not None and found[key] >= len(found["rows"]):
                yield f"energies[{i}].comparison.{key} names row {shown(found[key])} of {len(found['rows'])}"
