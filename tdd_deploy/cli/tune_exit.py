"""``tdd-deploy tune-exit``."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tdd_deploy.options.declare import Gathered
from tdd_deploy.options.early_exit import ExitOptions, ValidationData
from tdd_deploy.options.encoding import Encoding
from tdd_deploy.options.functions import OPTIONS
from tdd_deploy.text import counted

from .console import echo_json, json_option, print_table, progress_bar, say
from .flags import PATH, with_options
from .help import Command
from .values import complete

if TYPE_CHECKING:
    from tdd_deploy.commands.tune_exit import TunedExit


@click.command("tune-exit", cls=Command)
@click.argument("run", type=PATH, shell_complete=complete)
@with_options(*OPTIONS["tune_exit"], required=("data",))
@json_option
def tune_exit(run: Path, *, options: Gathered, as_json: bool) -> None:
    """Find the margin at which samples of RUN, a run folder, can end early, and write it into the folder.

    A sample ends once its largest mean output leads the next one by the margin. The margin is chosen on validation
    samples; simulate RUN --early-exit tuned uses it on others.
    """
    from tdd_deploy.commands.tune_exit import tune_exit as job
    from tdd_deploy.data import Choice

    data = Choice(options=options[ValidationData], steps=options[Encoding].steps)
    with progress_bar("tuning") as progress:
        tuned = job(run, data, options=options[ExitOptions], encoding=options[Encoding], progress=progress)
    if as_json:
        echo_json(tuned.as_json())
    else:
        _print(tuned, run)


ROWS = {
    "time steps": "mean_steps",
    "spikes": "raw_events",
    "delta events": "delta_events",
    "synops: plain spikes": "raw_synops",
    "synops: delta": "delta_synops",
    "adds to compare outputs": "comparison_adds",
}


def _print(tuned: "TunedExit", run: Path) -> None:
    """Print a row per figure, and the loss of accuracy."""
    from tdd_deploy.tables import Cell, Column, Format, Table, fixed

    found = tuned.as_json()
    columns = (
        Column("per sample"),
        Column("all steps", Format.WRITTEN),
        Column("early exit", Format.WRITTEN),
        Column("of all", Format.PERCENT),
    )
    full, early = found["full"], found["exit"]
    rows: list[tuple[Cell, ...]] = [
        ("accuracy, %", f"{100 * full['accuracy']:.1f}", f"{100 * early['accuracy']:.1f}", None)
    ]
    for title, name in ROWS.items():
        decimals = 2 if name == "mean_steps" else 0
        texts = (fixed(each[name], decimals) for each in (full, early))
        rows.append((title, *texts, early[name] / full[name] if full[name] else None))
    print_table(Table(columns=columns, rows=tuple(rows)))
    say(_summary(found, run))


def _summary(found: Mapping[str, Any], run: Path) -> Iterator[str]:
    data, validated = found["data"], found["cross_validated"]
    samples = f"{counted(found['samples'], 'sample')} of {data['name']} ({data['split']})"
    yield f"means over {samples}, {counted(data['n_steps'], 'time step')}"
    yield (
        f"margin {found['margin']:g}: accuracy {_change(found['lost_points'])} on these samples; on others, it is "
        f"expected to fall by at most {found['expected_points']:.2f} points"
    )
    yield (
        f"on samples that did not choose the margin ({len(validated['margins'])} folds), accuracy "
        f"{_change(validated['lost_points'])} (standard error {validated['standard_error']:.2f})"
    )
    for line in found["warnings"]:
        yield f"  caveat: {line}"
    yield f"simulate {run} --early-exit tuned uses this margin"


def _change(lost_points: float) -> str:
    """Say whether accuracy falls or rises."""
    shown = f"{abs(lost_points):.2f} points"
    return f"rises by {shown}" if lost_points < 0 else f"falls by {shown}"
