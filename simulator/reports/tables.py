"""Make tables of finished reports, for papers, in Markdown, CSV and LaTeX. Figures are means over samples."""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tdd_deploy.options.vocabulary import Row, TableFormat
from tdd_deploy.simulator.hardware.dense import DATAFLOWS
from tdd_deploy.text import csv_lines, visible

Cell = str | float | None
Report = Mapping[str, Any]  # what Simulation.as_json gave

PJ_PER_NJ = 1e3
USUAL = (None, 8, 4)  # widths whose accuracy is printed; None: floats
PRUNED = 0.01  # a network with fewer zeros among its weights was not pruned
MACHINES = tuple((dataflow, skips) for skips in (False, True) for dataflow in DATAFLOWS)
LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{c: f"\\{c}" for c in "&%$#_{}"},
    **{c: f"{{{c}}}" for c in "[]*"},  # after the end of a row, they are options of it
}
MARKDOWN = re.compile(r"[\\|<]|&(?=#?\w+;)")  # bars end cells; tags and entities are not shown


@dataclass(frozen=True)
class Table:
    """Rows under a head; None was not measured."""

    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


def output_lines(report: Report) -> Iterator[str]:
    """State which potential is the output, and whether the output never changes."""
    found = report["output"]
    sources = " and ".join(found["sources"])
    if found["reading"] == "potential":
        yield f"the output is the potential of {sources} before its reset"
    if found["always_zero"]:
        yield "the output never changes: it is 0 in every sample and time step"
        if found["silent_layer"]:
            yield f"{found['silent_layer']} never fires; `output=potential` reads its potential instead"
    elif found["never_changes"]:
        yield "the output never changes: it is the same in every sample and time step"


def by_layer(report: Report) -> Table:
    """A row per layer, and their sum."""
    return _counts("layer", [(row["name"], row) for row in report["layers"]], report)


def by_step(report: Report) -> Table:
    """A row per time step, and their sum."""
    return _counts("time step", [(str(row["step"]), row) for row in report["steps"]], report)


def by_term(report: Report) -> Table:
    """A row per term of the energy, with its price and source; then what is not priced."""
    energy = report["energy"] or {"terms": [], "not_priced": []}
    n = report["totals"]["samples"]
    rows: list[tuple[Cell, ...]] = [
        (
            term["term"], term["count"] / n, term["price_pj"], term["low_price_pj"], term["high_price_pj"],
            term["energy_pj"] / n / PJ_PER_NJ, term["confidence"], term["source"],
        )
        for term in energy["terms"]
    ]  # fmt: skip
    rows += [(line, None, None, None, None, None, "not priced", "") for line in energy["not_priced"]]
    return Table(("term", "count", "pJ each", "low", "high", "nJ", "confidence", "source"), tuple(rows))


def by_profile(report: Report) -> Table:
    """A row per hardware profile."""
    n = report["totals"]["samples"]
    keys = ("dynamic_pj", "low_pj", "high_pj", "spike_code_pj", "delta_code_pj", "static_low_pj", "static_high_pj")
    rows = tuple((energy["profile"], *(_nj(energy[key], n) for key in keys)) for energy in report["energies"])
    head = ("profile", "dynamic nJ", "low", "high", "plain spikes nJ", "deltas nJ", "static nJ, low", "static nJ, high")
    return Table(head, rows)


def by_placement(report: Report) -> Table:
    """A row per layer on its cores; none when the network was not placed."""
    return by_placed_layer(report["placement"] or {"blocks": []})


def by_ann_baseline(report: Report) -> Table:
    """A row per dense network and pair of widths, for each process: what spikes cost, as a multiple of its cost."""
    rows: list[tuple[Cell, ...]] = []
    for energy, found in _compared(report):
        networks: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
        for row in found["rows"]:
            networks.setdefault((row["baseline"], row["weight_bits"], row["activation_bits"]), []).append(row)
        for machines in networks.values():
            first, ratios = machines[0], {(row["dataflow"], row["skips_zeros"]): row["ratio"] for row in machines}
            macs = {row["skips_zeros"]: row["macs"] for row in machines}
            accuracy = None if first["accuracy"] is None else 100 * first["accuracy"]
            cells = (accuracy, macs.get(False), macs.get(True), *(ratios.get(key) for key in MACHINES))
            rows.append((energy["profile"], _network_text(first), *cells))
    names = (f"{dataflow}{', zeros skipped' if skips else ''}" for dataflow, skips in MACHINES)
    head = ("profile", "dense network", "accuracy, %", "MACs", "of nonzero numbers", *names)
    return Table(head, tuple(rows))


def _compared(report: Report) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    for energy in report["energies"]:
        if energy["comparison"]:
            yield energy, energy["comparison"]


def _network_text(row: Mapping[str, Any]) -> str:
    """Describe a dense network: its widths, and how much of it was pruned."""
    widths = widths_text(row)
    return f"{widths}, {row['sparsity']:.0%} pruned" if row["sparsity"] >= PRUNED else widths


def widths_text(row: Mapping[str, Any]) -> str:
    """Name the widths of weights and activations."""
    weights, values = row["weight_bits"], row["activation_bits"]
    if values != weights:
        return f"{weights}-bit weights and {values}-bit activations"
    return "floats" if weights is None else f"{weights} bits"


def by_estimators(report: Report) -> Table:
    """Rows for our figures by each profile, as executed and in plain spikes, and a row per estimator of others.

    Energies are per sample. Our dense network is the least favorable to spikes.
    """
    n = report["totals"]["samples"]
    rows: list[tuple[Cell, ...]] = []
    for energy in report["energies"]:
        found = energy["comparison"]
        place = found and found["least_favorable"]
        dense = None if place is None else found["rows"][place]["dense_pj"]
        for code, key in ((f"{report['program']['code']} code", "dynamic_pj"), ("plain spikes", "spike_code_pj")):
            spiking = energy[key]
            ratio = None if spiking is None or dense is None else spiking / n / dense
            name = f"{energy['profile']}, {code}"
            rows.append(
                (
                    name,
                    _nj(spiking, n),
                    _nj(dense, 1),
                    ratio,
                    "prices of the profile; the strongest dense machine",
                    "tdd-deploy",
                )
            )
    for row in report["estimators"]:
        energies = (_nj(row["spiking_pj"], 1), _nj(row["dense_pj"], 1))
        rows.append((row["name"], *energies, row["ratio"], row["assumes"], row["source"]))
    return Table(("estimator", "spiking nJ", "dense nJ", "ratio", "assumes", "source"), tuple(rows))


def by_placed_layer(placement: Mapping[str, Any]) -> Table:
    """A row per layer on its cores, with the figures of its fullest core."""
    columns = ("neurons", "synapse_bits", "axons_in", "axons_out", "destinations")
    rows: dict[str, list[Mapping[str, Any]]] = {}
    for block in placement["blocks"]:
        rows.setdefault(block["layer"], []).append(block)
    head = ("layer", "cores", "block", "neurons", "synapse bits", "axons in", "axons out", "cores reached")
    return Table(
        head,
        tuple(
            (
                layer,
                len(blocks),
                " x ".join(map(str, blocks[0]["shape"])),
                *(max(block["load"][name] for block in blocks) for name in columns),
            )
            for layer, blocks in rows.items()
        ),
    )


def side_by_side(reports: Mapping[str, Report]) -> Table:
    """A column per run."""
    columns = [_figures(report) for report in reports.values()]
    names = dict.fromkeys(name for column in columns for name in column)
    rows = tuple((name, *(column.get(name) for column in columns)) for name in names)
    return Table(("", *reports), rows)


def baseline_lines(report: Report) -> Iterator[str]:
    """State the accuracy of each trained dense network, in the widths that are usual."""
    for baseline in report["baselines"]:
        macs = sum(layer["macs"] for layer in baseline["layers"])
        pruned = f", {baseline['sparsity']:.0%} pruned" if baseline["sparsity"] else ""
        results = [row for row in baseline["results"] if row["split"] == report["data"]["split"]]
        usual = [row for row in results if row["weight_bits"] == row["activation_bits"] and row["weight_bits"] in USUAL]
        found = ", ".join(f"{row['accuracy']:.1%} in {widths_text(row)}" for row in usual)
        yield f"ANN baseline{pruned}: {macs:,} MACs; accuracy {found}"


def verdict_lines(report: Report) -> Iterator[str]:
    """State, by process, what spikes cost beside the strongest and the weakest dense machine, and where they pay."""
    for energy, found in _compared(report):
        if found["least_favorable"] is None:
            yield f"{energy['profile']}: no dense network of these layers is as accurate"
            continue
        has_dataflows = len({row["dataflow"] for row in found["rows"]}) > 1
        worst, best = (found["rows"][found[key]] for key in ("least_favorable", "most_favorable"))
        numbers = "integers" if report["program"]["number_format"] == "integer" else "floats"
        strongest, weakest = (machine_text(row, has_dataflows=has_dataflows) for row in (worst, best))
        yield (
            f"{energy['profile']}: spikes in {numbers} cost {significant(worst['ratio'])} times as much as the "
            f"strongest dense machine ({strongest}), and {significant(best['ratio'])} times as much as the weakest "
            f"({weakest})"
        )
        if found["rate"] is not None:
            yield (
                f"  {_percent(found['rate'])} of neurons send an event per time step; they would cost as much as the "
                f"strongest at {_rate_text(worst['crossover_rate'])}, and as the weakest at "
                f"{_rate_text(best['crossover_rate'])}"
            )


def machine_text(row: Mapping[str, Any], *, has_dataflows: bool = True) -> str:
    """Describe a dense network and the machine that executes it."""
    parts = [_network_text(row)]
    if has_dataflows:
        parts.append("no reuse" if row["dataflow"] == "none" else str(row["dataflow"]).replace("-", " "))
    if row["skips_zeros"]:
        parts.append("zeros skipped")
    parts.append("accuracy not measured" if row["accuracy"] is None else f"accuracy {row['accuracy']:.1%}")
    return ", ".join(parts)


def _percent(rate: float) -> str:
    return f"{rate:.1%}" if rate >= 0.001 else f"{significant(100 * rate)}%"


def _rate_text(rate: float) -> str:
    return "no rate" if rate <= 0 else "any rate" if rate > 1 else f"{significant(100 * rate)}%"


def significant(figure: float, digits: int = 2) -> str:
    """Format a figure with so many significant digits."""
    if figure == 0:
        return "0"
    shift = digits - 1 - math.floor(math.log10(abs(figure)))
    return f"{round(figure, shift):,.{max(0, shift)}f}"


def energy_lines(report: Report) -> Iterator[str]:
    """State the dynamic energy by the first profile, over its sources, and over all models."""
    energy, n = report["energy"], report["totals"]["samples"]
    if energy["dynamic_pj"] is None:
        yield "dynamic energy: not priced, since no price of an event is published"
        return
    value, low, high = (energy[key] / n / PJ_PER_NJ for key in ("dynamic_pj", "low_pj", "high_pj"))
    line = f"dynamic energy: {spread_text(value, low, high)} nJ per sample by {energy['profile']}"
    if low < high:
        line += f", {span_text(low, high)} over its sources"
    yield line
    models = [model["dynamic_pj"] / n / PJ_PER_NJ for model in report["models"]]
    if len(models) > 1:
        yield (
            f"  {span_text(min(models), max(models))} nJ over {len(models)} models of hardware; docs/energy.md says "
            "what these numbers do not mean"
        )


def span_text(low: float, high: float) -> str:
    """Format bounds with two significant digits; as one number where they look the same."""
    least, most = significant(low), significant(high)
    return least if least == most else f"{least} to {most}"


def spread_text(figure: float, low: float, high: float) -> str:
    """Format a figure with two significant digits, or three where its sources agree within a tenth."""
    return significant(figure, 3 if high - low <= abs(figure) / 10 else 2)


def as_markdown(table: Table) -> str:
    """Format a table in Markdown."""
    rows = [table.head, ["---"] * len(table.head), *table.rows]
    return "".join(f"| {' | '.join(MARKDOWN.sub(_backslashed, cell_text(cell)) for cell in row)} |\n" for row in rows)


def as_csv(table: Table) -> str:
    """Format a table as CSV, numbers in full."""
    return csv_lines([table.head, *table.rows])


def as_latex(table: Table) -> str:
    """Format a table in LaTeX, for the package booktabs."""
    columns = "l" + "".join("r" if _is_numeric(table, i) else "l" for i in range(1, len(table.head)))
    lines = [" & ".join(_escaped(cell_text(cell)) for cell in row) + r" \\" for row in (table.head, *table.rows)]
    body = "\n".join(lines[1:])
    return (
        f"\\begin{{tabular}}{{{columns}}}\n\\toprule\n{lines[0]}\n\\midrule\n{body}\n\\bottomrule\n\\end{{tabular}}\n"
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
FORMATS: dict[TableFormat, Callable[[Table], str]] = {"md": as_markdown, "csv": as_csv, "latex": as_latex}


def _counts(label: str, rows: Sequence[tuple[str, Mapping[str, Any]]], report: Report) -> Table:
    n = report["totals"]["samples"]
    head = (label, "spikes", "delta events", "synops executed", "synops, plain spikes", "synops, deltas", "dense")

    def cells(name: str, row: Mapping[str, Any]) -> tuple[Cell, ...]:
        synops = (row["synops_effective"], *(row[code]["synops_effective"] for code in ("spike_code", "delta_code")))
        counts = (row["spikes"], row["delta_events"], *synops, row["dense"])
        return (name, *(count / n for count in counts), _nj(row["energy_pj"], n))

    return Table((*head, "nJ"), tuple(cells(name, row) for name, row in [*rows, ("total", report["totals"])]))


def _figures(report: Report) -> dict[str, Cell]:
    """Return the figures by which runs are compared."""
    totals, n = report["totals"], report["totals"]["samples"]
    figures: dict[str, Cell] = {
        "data": f"{report['data']['name']} ({report['data']['split']})",
        "samples": n,
        "time steps": len(report["steps"]),
        "input scale": scale_text(report["data"]["input"]["scale"]),
        "code": report["program"]["code"],
        "number format": report["program"]["number_format"],
        "accuracy, %": None if report["accuracy"] is None else 100 * report["accuracy"],
        "spikes": totals["spikes"] / n,
        "delta events": totals["delta_events"] / n,
        "synops executed": totals["synops_effective"] / n,
        "synops, plain spikes": totals["spike_code"]["synops_effective"] / n,
        "dense": totals["dense"] / n,
    }
    for energy in report["energies"]:
        figures[f"{energy['profile']}, nJ"] = _nj(energy["dynamic_pj"], n)
        figures[f"{energy['profile']}, low to high"] = _range(energy, "low_pj", "high_pj", n)
        figures[f"{energy['profile']}, static nJ"] = _range(energy, "static_low_pj", "static_high_pj", n)
    return figures


def _range(energy: Mapping[str, Any], low: str, high: str, n: int) -> str | None:
    if energy[low] is None:
        return None
    return range_text(energy[low] / n / PJ_PER_NJ, energy[high] / n / PJ_PER_NJ)


def range_text(low: float, high: float) -> str:
    """Format bounds for people; as one number where they look the same."""
    least, most = cell_text(low), cell_text(high)
    return least if least == most else f"{least} to {most}"


def _nj(energy_pj: float | None, n: int) -> float | None:
    return None if energy_pj is None else energy_pj / n / PJ_PER_NJ


def binned_line(data: Mapping[str, Any]) -> str:
    """Describe how events became time steps."""
    binned = data["binned"]
    height, width = binned["sensor"]
    length = f"of {binned['bin_us']:,} us" if binned["bin_us"] else "of equal length from first to last event"
    value = "counts" if binned["bin_value"] == "count" else "0 or 1"
    apart = "off and on events apart" if binned["polarities"] > 1 else "events of one polarity"
    summed = f", {binned['downsample']} x {binned['downsample']} pixels summed" if binned["downsample"] > 1 else ""
    line = f"events of a camera of {height} x {width} pixels in {binned['n_steps']} time steps {length}, {value}, "
    line += f"{apart}{summed}"
    if data["n_steps"] < binned["n_steps"]:
        line += f"; the first {data['n_steps']} of them are executed"
    if binned["samples_cut"]:
        line += f"; {binned['samples_cut']:,} samples are longer, and cut"
    return line


def input_lines(data: Mapping[str, Any]) -> Iterator[str]:
    """Describe how stored values became inputs, and where each choice comes from."""
    stored, scale = data["input"]["stored"], data["input"]["scale"]
    values = f"{stored}, rounded to float32," if stored == "float64" else stored
    encoder = f"; {data['encoder']} encoder ({data['encoder_from']})" if "encoder" in data else ""
    yield f"input: {values} times {scale_text(scale)} ({data['input']['scale_from']}){encoder}"
    learned = data.get("scale_learned")
    if learned is not None and learned != scale:
        yield f"the network was trained on {stored} times {scale_text(learned)} (`input_scale={scale_text(learned)}`)"
    if "n_steps" in data:
        yield _steps_line(data)
    for key, network in (("sent", "the network"), ("sent_in_integers", "the quantized network")):
        rounding = data.get(key, {}).get("rounding")
        if rounding and rounding["rounded"]:
            yield (
                f"rounded to {network}'s integers: {rounding['rounded']:,} of {data[key]['values']:,} input values, "
                f"to multiples of {rounding['unit']:g}; {rounding['rounded_to_zero']:,} values other than 0 become 0"
            )
    if "input_shape" in data:
        time = f"is {data['input']['shape'][0]} time steps of shape"
        is_open = data["static"] and len(data["input"]["shape"]) > 1 and data["name"].endswith(".npz")
        frames = "; `frames=True` would read its first axis as time" if is_open else ""
        taken = f"{'has no time axis and is read as' if data['static'] else time} {data['input_shape']}"
        yield f"a sample {data['input']['shape']} {taken}{frames}"
    if data["input"]["targets"]:
        yield f"labels: none, so there is no accuracy; y holds {data['input']['targets']}, and labels must be integers"


def _steps_line(data: Mapping[str, Any]) -> str:
    n_steps, of_data = data["n_steps"], data["n_steps_of_data"]
    line = f"time steps per sample: {n_steps} ({data['n_steps_from']})"
    if of_data is None:
        return f"{line}, each showing the whole sample"
    return line if of_data == n_steps else f"{line}, the first of {of_data} in the data"


def scale_text(scale: float) -> str:
    """Format a scale for people: as 1/n where that is exact."""
    return f"1/{1 / scale:g}" if scale < 1 and (1 / scale).is_integer() else f"{scale:g}"


def cell_text(cell: Cell) -> str:
    """Format a cell for people, in one line."""
    if cell is None:
        return ""
    if isinstance(cell, str):
        return visible(cell)
    digits = 0 if abs(cell) >= 1000 or cell == int(cell) else 1 if abs(cell) >= 100 else 2
    return f"{cell:,.{digits}f}" if cell == 0 or abs(cell) >= 0.1 else f"{cell:.3g}"


def _is_numeric(table: Table, column: int) -> bool:
    return not any(isinstance(row[column], str) for row in table.rows)


def _escaped(text: str) -> str:
    return re.sub(r"[\\&%$#_{}~^\[\]*]", lambda found: LATEX[found[0]], text)


def _backslashed(found: re.Match[str]) -> str:
    return f"\\{found[0]}"
