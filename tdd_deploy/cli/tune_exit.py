"""``tdd-deploy tune-exit``."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tdd_deploy.options.declare import Gathered
from tdd_deploy.options.early_exit import ExitOptions, ValidationData
from tdd_deploy.options.encoding import Encoding
from tdd_deploy.options.functions import OPTIONS

from .console import echo_json, json_option, make_table, print_table, samples_progress, say
from .flags import PATH, with_options

if TYPE_CHECKING:
    from tdd_deploy.commands.tune_exit import TunedExit


@click.command("tune-exit")
@click.argument("run", type=PATH)
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
    with samples_progress("tuning") as progress:
        tuned = job(run, data, options=options[ExitOptions], encoding=options[Encoding], progress=progress)
    if as_json:
        echo_json(tuned.as_json())
    else:
        _print(tuned, run)


ROWS: dict[str, tuple[str, Callable[[float], str]]] = {
    "accuracy": ("accuracy", "{:.1%}".format),
    "time steps": ("mean_steps", "{:.2f}".format),
    "spikes": ("raw_events", "{:,.0f}".format),
    "delta events": ("delta_events", "{:,.0f}".format),
    "synops: plain spikes": ("raw_synops", "{:,.0f}".format),
    "synops: delta": ("delta_synops", "{:,.0f}".format),
    "adds to compare outputs": ("comparison_adds", "{:,.0f}".format),
}


def _print(tuned: "TunedExit", run: Path) -> None:
    """Print a row per figure, and the loss of accuracy."""
    found = tuned.as_json()
    table = make_table("per sample", "all steps", "early exit", "of all", left=("per sample",))
    print_table(table, list(_rows(found)), what="figures")
    say(_summary(found, run))


def _rows(found: Mapping[str, Any]) -> Iterator[list[str]]:
    for title, (name, text) in ROWS.items():
        full, early = found["full"][name], found["exit"][name]
        part = "" if name == "accuracy" or not full else f"{early / full:.1%}"
        yield [title, text(full), text(early), part]


def _summary(found: Mapping[str, Any], run: Path) -> Iterator[str]:
    data, validated = found["data"], found["cross_validated"]
    yield f"means over {found['samples']:,} samples of {data['name']} ({data['split']}), {data['n_steps']} time steps"
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
