"""``tdd-deploy analyze``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from tdd_deploy.options.analysis import AnalysisOptions
from tdd_deploy.options.dataset import AnalyzedData
from tdd_deploy.options.declare import Gathered
from tdd_deploy.options.functions import OPTIONS

from .console import echo_json, json_option, print_table, progress_bar, say
from .flags import PATH, with_options
from .help import Command
from .values import complete

WHOLE = "--json prints all of them, and --out writes them to analysis.json"


@click.command(cls=Command)
@click.argument("run", type=PATH, shell_complete=complete)
@with_options(*OPTIONS["analyze"], required=("data",))
@json_option
@click.option("--out", type=PATH, help="Write analysis.json and pictures (PNG) into this folder.")
def analyze(run: Path, *, options: Gathered, as_json: bool, out: Path | None) -> None:
    """Show what a trained network repeats from step to step, where deltas pay, and where its information lies.

    RUN is a run folder. Overlap is the fraction of a layer's spikes whose neurons also spiked a step ago. P(1->1) is
    the fraction of spikes that repeat a step later. Both are measures of our own. The lines below the tables evaluate
    Definition 1 and the theorems of the TDD-DDLA paper. Fisher information is measured at the outputs up to each time
    step. --out draws figures 1 and 3 of the paper. With --compare it also draws figures 4 and 5, which show events by
    method against T and per step.
    """
    from tdd_deploy.commands.training_package import require_torch

    require_torch("tdd-deploy analyze")
    from tdd_deploy.commands.analyze import analyze as job
    from tdd_deploy.data import Choice
    from tdd_deploy.simulator.reports.lines import input_lines

    data = Choice(options=options[AnalyzedData])
    with progress_bar("analyzing") as progress:
        analysis = job(run, data, options=options[AnalysisOptions], out=out, progress=progress)
    report = analysis.as_json()
    if as_json:
        echo_json(report)
    else:
        _print(report)
        say(input_lines(report["data"]))


def _print(report: Mapping[str, Any]) -> None:
    """Print a row per layer, one per time step, and what they come to."""
    from tdd_deploy.training.analysis import summary

    _print_activity(report, "layer")
    _print_activity(report, "step")
    if report["compared"]:
        _print_runs(report["compared"])
    say(summary(report))


def _print_runs(runs: Sequence[Mapping[str, Any]]) -> None:
    """Print a row per compared run."""
    from tdd_deploy.tables import Column, Format, Table

    columns = (
        Column("run"),
        Column("method"),
        Column("T", Format.NUMBER),
        Column("spikes", Format.NUMBER),
        Column("delta events", Format.NUMBER),
    )
    rows = tuple(
        (
            Path(run["run"]).name,
            run["method"],
            run["n_steps"],
            *(run[key] / run["samples"] for key in ("spikes", "delta_events")),
        )
        for run in runs
    )
    print_table(Table(columns=columns, rows=rows), whole=WHOLE)


def _print_activity(report: Mapping[str, Any], label: str) -> None:
    from tdd_deploy.tables import Cell, Column, Format, Table

    n, traces = report["samples"], report["fisher"]["traces"]
    by_layer = label == "layer"

    def row(cells: Mapping[str, Any]) -> list[Cell]:
        events = [cells[key] / n for key in ("spikes", "delta_events", "hybrid_events", "delta_synops")]
        return [*events, cells["overlap"], cells["persistence"]]

    columns = [
        Column(label),
        Column("spikes", Format.NUMBER),
        Column("delta events", Format.NUMBER),
        Column("cheaper code", Format.NUMBER, drop=1),
        Column("synops: delta", Format.NUMBER),
        Column("overlap", Format.NUMBER, decimals=3),
        Column("P(1->1)", Format.NUMBER, decimals=3),
    ]
    if by_layer:
        columns.append(Column("cheaper is"))
        rows = [(layer["name"], *row(layer), layer["fewer"]) for layer in report["layers"]]
        total = ("total", *row(report["totals"]), "")
        print_table(Table(columns=tuple(columns), rows=tuple(rows), total=total), whole=WHOLE)
        return
    columns += [Column("Fisher information", Format.FIGURE)] if traces else []
    rows = [
        (str(step["step"]), *row(step), *([traces[step["step"] - 1]] if traces else [])) for step in report["steps"]
    ]
    print_table(Table(columns=tuple(columns), rows=tuple(rows)), whole=WHOLE)
