"""Make tables of finished reports. Figures are means per inference."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tdd_deploy.options.vocabulary import Row, TableFormat
from tdd_deploy.simulator.hardware.dense import DATAFLOWS
from tdd_deploy.tables import Cell, Column, Format, Span, Table, as_csv, as_html, as_latex, as_markdown
from tdd_deploy.text import counted

from .lines import cheapest, compared, network_text, onnx_name, scale_text

Report = Mapping[str, Any]  # what Simulation.as_json gave
Cells = tuple[Cell, ...]

MACHINES = tuple((dataflow, skips) for skips in (False, True) for dataflow in DATAFLOWS)
BOUNDS = ("dynamic_pj", "low_pj", "high_pj")


def by_layer(report: Report) -> Table:
    """A row per layer, and their sum."""
    return _counts("layer", [(row["name"], row) for row in report["layers"]], report)


def by_step(report: Report) -> Table:
    """A row per time step, and their sum."""
    return _counts("step", [(str(row["step"]), row) for row in report["steps"]], report)


def by_term(report: Report) -> Table:
    """A row per term of the energy of each profile, with its price and source; then what is not priced."""
    n = report["totals"]["samples"]
    rows: list[Cells] = []
    for energy in report["energies"]:
        name = energy["profile"]
        for term in energy["terms"]:
            price = Span(*(term[key] for key in ("price_pj", "low_price_pj", "high_price_pj")))
            figures = (term["count"] / n, price, term["energy_pj"] / n)
            rows.append((name, term["term"], *figures, term["confidence"], term["source"]))
        rows += [(name, line, None, None, None, "not priced", "") for line in energy["not_priced"]]
    columns = (
        Column("profile", drop=1),
        Column("term"),
        Column("count", Format.NUMBER),
        Column("price", Format.FIGURE, unit="pJ"),
        Column("energy", Format.ENERGY),
        Column("confidence", drop=2),
        Column("source", drop=3),
    )
    return Table(columns=columns, rows=tuple(rows), caption=_caption(report))


def by_profile(report: Report) -> Table:
    """A row per hardware profile, then the dense networks beside it."""
    n = report["totals"]["samples"]
    rows: list[Cells] = []
    for energy in report["energies"]:
        executed = None if energy["dynamic_pj"] is None else Span(*(energy[key] / n for key in BOUNDS))
        low, high = energy["static_low_pj"], energy["static_high_pj"]
        static = None if low is None else Span(None, low / n, high / n)
        in_codes = (_per_inference(energy[key], n) for key in ("spike_code_pj", "delta_code_pj"))
        rows.append((energy["profile"], executed, *in_codes, static))
        rows += _dense_rows(report, energy)
    columns = (
        Column("profile"),
        Column("energy", Format.ENERGY),
        Column("as plain spikes", Format.ENERGY, drop=2),
        Column("as deltas", Format.ENERGY, drop=3),
        Column("static, in addition", Format.ENERGY, drop=1),
    )
    return Table(columns=columns, rows=tuple(rows), caption=f"{_caption(report)}, dynamic energy")


def _dense_rows(report: Report, energy: Mapping[str, Any]) -> list[Cells]:
    """Return rows for the strongest dense machine in floats and in integers, and for that of each ONNX file."""
    by_name: dict[str, list[Mapping[str, Any]]] = {"dense ANN": []}
    for row in energy["comparison"]["rows"] if energy["comparison"] else ():
        file = onnx_name(report, row)
        if file or row["is_comparable"]:  # a file was asked for, however accurate it is
            by_name.setdefault(file or "dense ANN", []).append(row)
    rows: list[Cells] = []
    for name, found in by_name.items():
        for numbers, row in cheapest(found).items():
            pj = Span(row["dense_pj"], row["low_pj"], row["high_pj"])
            less = "" if row["is_comparable"] else ", less accurate"
            rows.append((f"  {name}, {numbers}{less}", pj, None, None, None))
    return rows


def by_placement(report: Report) -> Table:
    """A row per layer on its cores; none when the network was not placed."""
    return by_placed_layer(report["placement"] or {"blocks": []})


def by_ann_baseline(report: Report) -> Table:
    """A row per dense network and pair of widths, for each process: what spikes cost, as a multiple of its cost."""
    rows: list[Cells] = []
    for energy, found in compared(report):
        networks: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
        for row in found["rows"]:
            networks.setdefault((row["baseline"], row["weight_bits"], row["activation_bits"]), []).append(row)
        for machines in networks.values():
            first, ratios = machines[0], {(row["dataflow"], row["skips_zeros"]): row["ratio"] for row in machines}
            macs = {row["skips_zeros"]: row["macs"] for row in machines}
            cells = (first["accuracy"], macs.get(False), macs.get(True), *(ratios.get(key) for key in MACHINES))
            file = onnx_name(report, first)
            rows.append((energy["profile"], f"{file}, {network_text(first)}" if file else network_text(first), *cells))
    machine_columns = (
        Column(f"{dataflow}{', zeros skipped' if skips else ''}", Format.RATIO, drop=0 if i in (2, 5) else 3)
        for i, (dataflow, skips) in enumerate(MACHINES)
    )
    columns = (
        Column("profile", drop=1),
        Column("dense network"),
        Column("accuracy", Format.PERCENT),
        Column("MACs", Format.NUMBER, drop=4),
        Column("of nonzero numbers", Format.NUMBER, drop=4),
        *machine_columns,
    )
    return Table(columns=columns, rows=tuple(rows), caption="what spikes cost, as a multiple of a dense pass")


def by_estimators(report: Report) -> Table:
    """Rows for our figures by each profile, as executed and in plain spikes, and a row per estimator of others.

    Energies are per inference. Our dense network is the least favorable to spikes.
    """
    n = report["totals"]["samples"]
    rows: list[Cells] = []
    for energy in report["energies"]:
        found = energy["comparison"]
        place = found and found["least_favorable"]
        dense = None if place is None else found["rows"][place]["dense_pj"]
        for code, key in ((f"{report['program']['code']} code", "dynamic_pj"), ("plain spikes", "spike_code_pj")):
            spiking = _per_inference(energy[key], n)
            ratio = None if spiking is None or dense is None else spiking / dense
            assumes = "prices of the profile; the strongest dense machine"
            rows.append((f"{energy['profile']}, {code}", spiking, dense, ratio, assumes, "tdd-deploy"))
    for row in report["estimators"]:
        rows.append((row["name"], row["spiking_pj"], row["dense_pj"], row["ratio"], row["assumes"], row["source"]))
    columns = (
        Column("estimator"),
        Column("spiking", Format.ENERGY),
        Column("dense", Format.ENERGY),
        Column("ratio", Format.RATIO),
        Column("assumes", drop=1),
        Column("source", drop=2),
    )
    return Table(columns=columns, rows=tuple(rows), caption=_caption(report))


def by_placed_layer(placement: Mapping[str, Any]) -> Table:
    """A row per layer on its cores, with the figures of its fullest core."""
    counted = ("neurons", "synapse_bits", "axons_in", "axons_out", "destinations")
    rows: dict[str, list[Mapping[str, Any]]] = {}
    for block in placement["blocks"]:
        rows.setdefault(block["layer"], []).append(block)
    names = ("neurons", "synapse bits", "axons in", "axons out", "cores reached")
    columns = (
        Column("layer"),
        Column("cores", Format.NUMBER),
        Column("block", drop=2),
        *(Column(name, Format.NUMBER, drop=1 if name == "cores reached" else 0) for name in names),
    )
    cells = tuple(
        (
            layer,
            len(blocks),
            " x ".join(map(str, blocks[0]["shape"])),
            *(max(block["load"][name] for block in blocks) for name in counted),
        )
        for layer, blocks in rows.items()
    )
    return Table(columns=columns, rows=cells, caption="on the fullest core of each layer")


def side_by_side(reports: Mapping[str, Report]) -> Table:
    """A row per run."""
    profiles = list(dict.fromkeys(energy["profile"] for each in reports.values() for energy in each["energies"]))
    columns = (
        Column("run"),
        Column("data", drop=3),
        Column("samples", Format.NUMBER, drop=2),
        Column("steps", Format.NUMBER, drop=1),
        Column("input scale", drop=4),
        Column("code"),
        Column("numbers", drop=2),
        Column("accuracy", Format.PERCENT),
        Column("spikes", Format.NUMBER),
        Column("delta events", Format.NUMBER),
        Column("synops", Format.NUMBER),
        Column("as plain spikes", Format.NUMBER, drop=1),
        Column("dense", Format.NUMBER, drop=2),
        *(Column(profile, Format.ENERGY) for profile in profiles),
        *(Column(f"{profile}, static", Format.ENERGY, drop=5) for profile in profiles),
    )
    rows = tuple((name, *_figures(report, profiles)) for name, report in reports.items())
    used = [i for i in range(len(columns)) if i == 0 or any(row[i] is not None for row in rows)]
    return Table(columns=columns, rows=rows, caption="means per inference").only(used)


def _figures(report: Report, profiles: Sequence[str]) -> Cells:
    """Return the figures by which runs are compared."""
    totals, n = report["totals"], report["totals"]["samples"]
    energies = {energy["profile"]: energy for energy in report["energies"]}
    priced, static = [], []
    for profile in profiles:
        energy = energies.get(profile)
        has_price = energy is not None and energy["dynamic_pj"] is not None
        priced.append(Span(*(energy[key] / n for key in BOUNDS)) if energy is not None and has_price else None)
        has_static = energy is not None and energy["static_low_pj"] is not None
        bounds = (
            [energy[f"static_{end}_pj"] / n for end in ("low", "high")] if energy is not None and has_static else []
        )
        static.append(Span(None, *bounds) if bounds else None)
    return (
        f"{report['data']['name']} ({report['data']['split']})",
        n,
        len(report["steps"]),
        scale_text(report["data"]["input"]["scale"]),
        report["program"]["code"],
        report["program"]["number_format"],
        report["accuracy"],
        totals["spikes"] / n,
        totals["delta_events"] / n,
        totals["synops_effective"] / n,
        totals["spike_code"]["synops_effective"] / n,
        totals["dense"] / n,
        *priced,
        *static,
    )


TABLES: dict[Row, Callable[[Report], Table]] = {
    "layer": by_layer,
    "step": by_step,
    "term": by_term,
    "profile": by_profile,
    "placement": by_placement,
    "ann-baseline": by_ann_baseline,
    "estimators": by_estimators,
}
FORMATS: dict[TableFormat, Callable[[Table], str]] = {
    "md": as_markdown,
    "csv": as_csv,
    "latex": as_latex,
    "html": as_html,
}


def _counts(label: str, rows: Sequence[tuple[str, Mapping[str, Any]]], report: Report) -> Table:
    n = report["totals"]["samples"]
    priced = report["totals"]["energy_pj"] is not None
    columns = (
        Column(label),
        Column("spikes", Format.NUMBER),
        Column("delta events", Format.NUMBER),
        Column("synops", Format.NUMBER),
        Column("as plain spikes", Format.NUMBER),
        Column("as deltas", Format.NUMBER, drop=2),
        Column("dense", Format.NUMBER, drop=1),
        *((Column("energy", Format.ENERGY), Column("energy as plain spikes", Format.ENERGY, drop=3)) if priced else ()),
    )

    def cells(name: str, row: Mapping[str, Any]) -> Cells:
        synops = (row["synops_effective"], *(row[code]["synops_effective"] for code in ("spike_code", "delta_code")))
        counts = (row["spikes"], row["delta_events"], *synops, row["dense"])
        energies = (row["energy_pj"], row["spike_code"]["energy_pj"]) if priced else ()
        return (name, *(count / n for count in (*counts, *energies)))

    caption = _caption(report)
    if priced:
        caption += f"; energy by {report['energies'][0]['profile']}"
    body = tuple(cells(name, row) for name, row in rows)
    return Table(columns=columns, rows=body, total=cells("total", report["totals"]), caption=caption)


def _caption(report: Report) -> str:
    n = report["totals"]["samples"]
    return f"means per inference over {counted(n, 'sample')} of {report['data']['name']} ({report['data']['split']})"


def _per_inference(energy_pj: float | None, n: int) -> float | None:
    return None if energy_pj is None else energy_pj / n
