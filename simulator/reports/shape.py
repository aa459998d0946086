"""The shape of a report.json, as ``Simulation.as_json`` writes it. Readers check it; ``schema`` publishes it."""

from collections.abc import Iterator
from typing import Any

from tdd_deploy.shapes import (
    ANYTHING,
    BOOLEAN,
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

COUNTS = (
    "spikes", "delta_events", "events", "input_events", "synops_effective", "synops_stored", "acs", "macs", "dense",
    "bias_adds", "updates_active", "updates_idle",
)  # fmt: skip
COUNTS_BY_CODE = ("events", "input_events", "synops_effective", "synops_stored", "acs", "macs", "bias_adds")
_PLACED = dict.fromkeys(("messages", "hops_x", "hops_y"), COUNT)  # of a network that was placed on a chip
_CODE = Table({**dict.fromkeys(COUNTS_BY_CODE, COUNT), "energy_pj": Maybe(NUMBER)}, _PLACED)
_ROW: dict[str, Shape] = {
    **dict.fromkeys(COUNTS, COUNT),
    "energy_pj": Maybe(NUMBER),
    "spike_code": _CODE,
    "delta_code": _CODE,
}
_VERDICT = Table({"line": TEXT, "caveats": ListOf(TEXT), "summary": ListOf(ListOf(TEXT, least=2))})
_PROGRAM: dict[str, Shape] = {
    **dict.fromkeys(("digest", "number_format", "code", "code_from"), TEXT),
    "dt_s": Maybe(NUMBER),
    "integration": Maybe(TEXT),
    "codes": Each(TEXT),
    "sent": Each(ListOf(TEXT)),
    "rounding": ListOf(TEXT),
}
_PRICES = dict.fromkeys(("price_pj", "low_price_pj", "high_price_pj"), NUMBER)
_MODEL_TERM: dict[str, Shape] = {
    "term": TEXT,
    **dict.fromkeys(("counts", "layers"), ListOf(TEXT)),
    "count": COUNT,
    **_PRICES,
    "energy_pj": NUMBER,
}
_TERM: dict[str, Shape] = {
    **_MODEL_TERM,
    **dict.fromkeys(("confidence", "read", "source", "range_source"), TEXT),
}
_SUMS = ("dynamic_pj", "low_pj", "high_pj", "static_low_pj", "static_high_pj", "spike_code_pj", "delta_code_pj")
_POWER = dict.fromkeys(("low_mw", "high_mw"), NUMBER)
_STATIC: dict[str, Shape] = {
    "states": ListOf(Table({"state": TEXT, **_POWER})),
    "chips": POSITIVE,
    "clock_mhz": Maybe(NUMBER),
    **_POWER,
    "parts": ListOf(ANYTHING),
}
_LATENCY: dict[str, Shape] = {
    **dict.fromkeys(("term", "confidence", "read", "source"), TEXT),
    "counts": ListOf(TEXT),
    "low_ns": NUMBER,
    "high_ns": NUMBER,
    "is_of_clock": BOOLEAN,
}
_BUSY = Table({"layers": ListOf(TEXT), "work": Each(ListOf(NUMBER)), "ns": ListOf(NUMBER)})
_TIME: dict[str, Shape] = {
    **dict.fromkeys(("low_s", "high_s"), NUMBER),
    "basis": TEXT,
    "step_s": Maybe(NUMBER),
    "steps_executed": COUNT,
    "latencies": ListOf(Table(_LATENCY)),
    "busy": Maybe(Table({"low": _BUSY, "high": _BUSY})),
}
_ORIGIN = dict.fromkeys(("confidence", "read", "source", "range_source"), TEXT)
_DENSE_TERM: dict[str, Shape] = {"what": TEXT, "count": NUMBER, "price": COUNT}  # price: its place in prices
_DENSE: dict[str, Shape] = {
    "baseline": Maybe(COUNT),
    "dataflow": TEXT,
    "sparsity": FRACTION,
    "accuracy": Maybe(FRACTION),
    "skips_zeros": BOOLEAN,
    "is_comparable": BOOLEAN,
    **dict.fromkeys(("weight_bits", "activation_bits"), Maybe(POSITIVE)),
    **dict.fromkeys(("macs", "ratio", "dense_pj", "low_pj", "high_pj"), NUMBER),
    "crossover_rate": Maybe(NUMBER),
    "terms": ListOf(Table(_DENSE_TERM)),
}
_COMPARISON: dict[str, Shape] = {
    "spiking_pj": NUMBER,
    **dict.fromkeys(("rate", "fixed_pj", "growing_pj"), Maybe(NUMBER)),
    **dict.fromkeys(("least_favorable", "most_favorable"), Maybe(COUNT)),
    "prices": ListOf(Table({**_PRICES, **_ORIGIN})),
    "rows": ListOf(Table(_DENSE)),
}
_ENERGY: dict[str, Shape] = {
    **dict.fromkeys(("profile", "title", "remark", "sha256"), TEXT),
    **dict.fromkeys(("chip", "cannot_execute"), Maybe(TEXT)),
    **dict.fromkeys(_SUMS, Maybe(NUMBER)),
    "terms": ListOf(Table(_TERM)),
    "not_priced": ListOf(TEXT),
    "static": Maybe(Table(_STATIC)),
    "time": Maybe(Table(_TIME)),
    "points": ListOf(ANYTHING),
    "comparison": Maybe(Table(_COMPARISON)),
}
_ESTIMATE: dict[str, Shape] = {
    **dict.fromkeys(("name", "assumes", "source"), TEXT),
    **dict.fromkeys(("spiking_pj", "dense_pj", "ratio"), Maybe(NUMBER)),
}
_BLOCK: dict[str, Shape] = {
    "layer": TEXT,
    "core": COUNT,
    "first": ListOf(COUNT),
    "shape": ListOf(POSITIVE),
    "load": Table(dict.fromkeys(("neurons", "synapse_bits", "axons_in", "axons_out", "destinations", "fan_in"), COUNT)),
}
_PLACEMENT: dict[str, Shape] = {
    **dict.fromkeys(("chip", "title"), TEXT),
    **dict.fromkeys(("weight_bits", "cores", "chips"), POSITIVE),
    "limits": Each(COUNT),
    "mesh": ANYTHING,
    "blocks": ListOf(Table(_BLOCK)),
}
_RESULT: dict[str, Shape] = {
    "split": TEXT,
    "accuracy": Maybe(FRACTION),
    "n_samples": POSITIVE,
    **dict.fromkeys(("weight_bits", "activation_bits"), Maybe(POSITIVE)),
}
_OF_LAYER: dict[str, Shape] = {
    **dict.fromkeys(("name", "kind"), TEXT),
    **dict.fromkeys(("weights", "nonzero_weights", "biases", "inputs", "outputs"), COUNT),
    **dict.fromkeys(("weight_bits", "activation_bits"), Maybe(POSITIVE)),
}
_ONNX = Table(
    {
        "files": Each(TEXT),
        **dict.fromkeys(("sample", "not_measured"), Maybe(TEXT)),
        "left_out": ListOf(Table({"operator": TEXT, "nodes": COUNT, "values": COUNT})),
        "assumes": ListOf(TEXT),
    }
)
_BASELINE: dict[str, Shape] = {
    "sparsity": FRACTION,
    "layers": ListOf(Table({"macs": COUNT}, _OF_LAYER)),
    "results": ListOf(Table(_RESULT, {"n_correct": Maybe(COUNT), "effective_macs": Maybe(Each(NUMBER))})),
}
_OF_BASELINE: dict[str, Shape] = {
    "schema_version": POSITIVE,
    "network": TEXT,
    "input_shape": ListOf(POSITIVE),
    "n_classes": Maybe(POSITIVE),
    "data": ANYTHING,
    "quantization": ANYTHING,
    "onnx": _ONNX,
}
_DATA: dict[str, Shape] = {
    **dict.fromkeys(("name", "split", "encoder", "encoder_from", "n_steps_from"), TEXT),
    "seed": COUNT,
    "n_steps": POSITIVE,
    "n_steps_of_data": Maybe(POSITIVE),
    "static": BOOLEAN,
    "files": Each(TEXT),
    "input": Table(
        {"stored": TEXT, "shape": ListOf(POSITIVE), "scale": Number(least=0, above=True)},
        {"scale_from": TEXT, "targets": Maybe(TEXT), "windows": ANYTHING},
    ),
    "sent": Table(
        dict.fromkeys(("values", "nonzero", "neither_0_nor_1", "off_grid"), COUNT),
        {"lowest": NUMBER, "highest": NUMBER, "rounding": ANYTHING},
    ),
}
_OF_DATA: dict[str, Shape] = {
    "input_threshold": NUMBER,
    "binned": ANYTHING,
    "scale_learned": Maybe(NUMBER),
    "input_shape": ListOf(POSITIVE),
}
_OUTPUT: dict[str, Shape] = {
    "reading": TEXT,
    "sources": ListOf(TEXT),
    "silent_layer": Maybe(TEXT),
    "always_zero": BOOLEAN,
    "never_changes": BOOLEAN,
}
_EXIT: dict[str, Shape] = {
    **dict.fromkeys(("margin", "mean_steps", "steps_saved"), NUMBER),
    "margin_from": TEXT,
}
_MODEL: dict[str, Shape] = {
    **dict.fromkeys(("profile", "sha256"), TEXT),
    **dict.fromkeys(("dynamic_pj", "low_pj", "high_pj"), NUMBER),
    "terms": ListOf(Table(_MODEL_TERM)),
}
_CELLS = Each(ListOf(ListOf(NUMBER)))  # [n_layers][n_steps] by count, or by profile
_MATRIX: dict[str, Shape] = {
    **dict.fromkeys(("executed", "spike_code", "delta_code", "energy_pj"), _CELLS),
    "derived": Each(_CELLS),
}
REPORT = Table(
    {
        "schema_version": POSITIVE,
        "verdict": _VERDICT,
        "program": Table(_PROGRAM, dict.fromkeys(("file", "sha256"), TEXT)),
        "data": Table(_DATA, _OF_DATA),
        "command": Maybe(TEXT),
        "versions": Each(TEXT),
        "options": Each(ANYTHING),
        "accuracy": Maybe(FRACTION),
        "output": Table(_OUTPUT),
        "steps": ListOf(Table({"step": POSITIVE, "samples": COUNT, **_ROW}, _PLACED)),
        "layers": ListOf(Table({"name": TEXT, "kind": TEXT, "shape": ListOf(POSITIVE), **_ROW}, _PLACED)),
        "early_exit": Maybe(Table(_EXIT)),
        "overlap": Maybe(Each(ListOf(Maybe(FRACTION)))),
        "caveats": ListOf(TEXT),
        "placement": Maybe(Table(_PLACEMENT)),
        "unplaced": Maybe(TEXT),
        "totals": Table({"samples": POSITIVE, **_ROW, "saved_by_repeating_input": Maybe(NUMBER)}, _PLACED),
        "matrix": Table({"left_out": Maybe(TEXT)}, _MATRIX),
        "energies": ListOf(Table(_ENERGY)),
        "models": ListOf(Table(_MODEL)),
        "estimators": ListOf(Table(_ESTIMATE)),
        "dense": Table(
            {
                "passes": POSITIVE,
                **dict.fromkeys(("macs", "weights", "inputs", "outputs", "biases"), NUMBER),
                "left_out": ListOf(TEXT),
            }
        ),
        "baselines": ListOf(Table(_BASELINE, _OF_BASELINE)),
    },
    {"labeled_steps": COUNT},
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
        for j, row in enumerate(found["rows"] if found else ()):
            if row["baseline"] is not None and row["baseline"] >= len(report["baselines"]):
                named = f"names baseline {shown(row['baseline'])} of {len(report['baselines'])}"
                yield f"energies[{i}].comparison.rows[{j}].baseline {named}"
        for key in ("least_favorable", "most_favorable"):
            if found and found[key] is not None and found[key] >= len(found["rows"]):
                yield f"energies[{i}].comparison.{key} names row {shown(found[key])} of {len(found['rows'])}"
