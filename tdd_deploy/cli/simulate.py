"""``tdd-deploy simulate``."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tdd_deploy.options.dataset import Dataset
from tdd_deploy.options.declare import Gathered
from tdd_deploy.options.encoding import Coding, Encoding
from tdd_deploy.options.execution import Execution
from tdd_deploy.options.functions import OPTIONS
from tdd_deploy.options.model import Model
from tdd_deploy.options.pricing import Pricing
from tdd_deploy.options.tables import SimulationTable

from .console import echo_json, json_option, make_table, print_table, samples_progress, say
from .flags import PATH, with_options
from .profiles import point_line

if TYPE_CHECKING:
    from tdd_deploy.simulator.reports.report import Simulation


@click.command()
@click.argument("file", type=PATH)
@with_options(*OPTIONS["simulate"], SimulationTable, required=("data",))
@json_option
@click.option("--out", type=PATH, help="Write report.json, steps.csv and report.html into this folder.")
def simulate(file: Path, *, options: Gathered, as_json: bool, out: Path | None) -> None:
    """Execute FILE (a .nir, .net or .onnx file, or a run folder) on data, event by event.

    Counts are of this run, beside those of plain spikes; --energy prices them.
    """
    from tdd_deploy.commands.simulate import simulate as run
    from tdd_deploy.data import Choice

    with samples_progress("simulating") as progress:
        simulation = run(
            file,
            Choice(options=options[Dataset], steps=options[Encoding].steps),
            model=options[Model],
            encoding=options[Encoding],
            coding=options[Coding],
            execution=options[Execution],
            pricing=options[Pricing],
            out=out,
            progress=progress,
        )
    if as_json:
        echo_json(simulation.as_json())
    else:
        _print(simulation, options[SimulationTable].by)


def _print(simulation: "Simulation", by: str) -> None:
    """Print a table of means over samples, and a summary."""
    from tdd_deploy.simulator.reports.report import mean_text
    from tdd_deploy.simulator.reports.tables import significant

    report = simulation.as_json()
    n = report["totals"]["samples"]
    label = "step" if by == "step" else "name"
    columns: dict[str, Callable[[Mapping[str, Any]], str]] = {
        label: lambda row: str(row[label]),
        "spikes": lambda row: mean_text(row["spikes"] / n),
        "delta events": lambda row: mean_text(row["delta_events"] / n),
        "synops run": lambda row: mean_text(row["synops_effective"] / n),
        "plain spikes": lambda row: mean_text(row["spike_code"]["synops_effective"] / n),
        "dense": lambda row: mean_text(row["dense"] / n),
    }
    if report["totals"]["energy_pj"] is not None:
        columns["nJ run"] = lambda row: significant(row["energy_pj"] / n / 1e3, 3)
        columns["nJ plain"] = lambda row: significant(row["spike_code"]["energy_pj"] / n / 1e3, 3)
    table = make_table(*columns, left=(label,))
    print_table(
        table,
        [[text(row) for text in columns.values()] for row in report["steps" if by == "step" else "layers"]],
        total=[text({**report["totals"], label: "total"}) for text in columns.values()],
        what="time steps" if by == "step" else "layers",
        whole=f"--json prints all of them, and --out writes them to {'steps.csv' if by == 'step' else 'report.json'}",
    )
    if len(report["energies"]) > 1:
        _print_energies(report)
    say(_summary(report))


def _summary(report: Mapping[str, Any]) -> Iterator[str]:
    from tdd_deploy.simulator.reports.tables import (
        baseline_lines,
        binned_line,
        input_lines,
        output_lines,
        verdict_lines,
    )

    totals, n = report["totals"], report["totals"]["samples"]
    accuracy = "no labels" if report["accuracy"] is None else f"accuracy {report['accuracy']:.1%}"
    data = report["data"]
    yield (
        f"means over {n} samples of {data['name']} ({data['split']}), {len(report['steps'])} time steps, "
        f"{report['program']['code']} code: {accuracy}"
    )
    yield from output_lines(report)
    yield from input_lines(data)
    if report["early_exit"]:
        found = report["early_exit"]
        yield (
            f"early exit at a margin of {found['margin']:g}: {found['mean_steps']:.2f} of {len(report['steps'])} time "
            f"steps per sample, {found['steps_saved']:.1%} not executed"
        )
        yield f"the margin is {found['margin_from']}"
    if data["binned"]:
        yield binned_line(data)
    if report["program"]["rounding"]:
        yield f"currents can round, so codes may differ in the last bit: {', '.join(report['program']['rounding'])}"
    if totals["saved_by_repeating_input"]:
        saved = totals["saved_by_repeating_input"] / n
        yield f"{saved:,.0f} of the synops saved come only from showing the same image at every step"
    if report["energy"]:
        yield from _energy_lines(report, n)
        for each in report["energies"]:
            if each["dynamic_pj"] is None:
                yield from (f"{each['profile']}, {point_line(point)}" for point in each["points"])
    yield from baseline_lines(report)
    yield from verdict_lines(report)
    for line in report["caveats"]:
        yield f"  caveat: {line}"


def _energy_lines(report: Mapping[str, Any], n: int) -> Iterator[str]:
    from tdd_deploy.simulator.reports.tables import energy_lines

    energy = report["energy"]
    yield from energy_lines(report)
    if energy["seconds"]:
        yield from _time_lines(energy, n)
    yield f"  {energy['profile']}: {energy['title']}"
    yield f"  {energy['remark']}"
    for line in energy["not_priced"]:
        yield f"  not priced: {line}"


def _time_lines(energy: Mapping[str, Any], n: int) -> Iterator[str]:
    """Describe the time on the hardware, and the static energy in it."""
    from tdd_deploy.simulator.reports.tables import range_text, span_text

    seconds = energy["seconds"]
    yield f"time: {range_text(seconds['low'] / n * 1e6, seconds['high'] / n * 1e6)} us per sample: {seconds['basis']}"
    if energy["static_low_pj"] is not None:
        static = span_text(energy["static_low_pj"] / n / 1e3, energy["static_high_pj"] / n / 1e3)
        yield f"static energy: {static} nJ per sample, in this time"


def _print_energies(report: Mapping[str, Any]) -> None:
    """Print a row per profile, in nJ per sample."""
    from tdd_deploy.simulator.reports.tables import by_profile, significant

    columns = ("profile", "nJ run", "low", "high", "nJ plain", "nJ deltas", "static, low", "static, high")
    table = make_table(*columns, left=("profile",))
    rows = [
        [str(name), *("" if figure is None else significant(float(figure), 3) for figure in figures)]
        for name, *figures in by_profile(report).rows
    ]
    print_table(table, rows, what="profiles")
