"""``tdd-deploy prune``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from tdd_deploy.options.dataset import NamedData
from tdd_deploy.options.declare import Gathered
from tdd_deploy.options.functions import OPTIONS
from tdd_deploy.options.pruning import PruneOptions

from .console import echo_json, json_option, print_table, progress_bar, say
from .flags import PATH, with_options
from .help import Command
from .values import complete


@click.command(cls=Command)
@click.argument("run", type=PATH, shell_complete=complete)
@with_options(*OPTIONS["prune"], required=("data",))
@json_option
@click.option("--out", type=PATH, required=True, help="Write this new run folder.")
def prune(run: Path, *, options: Gathered, as_json: bool, out: Path) -> None:
    """Set weights of RUN, a run folder, to zero that carry little information in early time steps; then train on.

    The new run folder can be simulated, exported and verified as any other. Ctrl-C keeps the finished rounds.
    """
    from tdd_deploy.commands.training_package import require_torch

    require_torch("tdd-deploy prune")
    from tdd_deploy.commands.prune import prune as job
    from tdd_deploy.simulator.reports.lines import input_lines

    with progress_bar("pruning", unit="batches") as progress:
        pruned = job(run, options[NamedData], out, options=options[PruneOptions], progress=progress)
    if as_json:
        echo_json(pruned)
    else:
        _print(pruned)
        say(input_lines(pruned["data"]))


def _print(pruned: Mapping[str, Any]) -> None:
    """Print a row per round; round 0 is where it began."""
    from tdd_deploy.tables import Column, Format, Table

    names = ("raw_events", "delta_events", "spike_synops", "delta_synops")
    columns = (
        Column("round", Format.NUMBER),
        Column("weights zero", Format.PERCENT),
        Column("accuracy", Format.PERCENT),
        Column("spikes", Format.NUMBER),
        Column("delta events", Format.NUMBER),
        Column("synops: plain spikes", Format.NUMBER),
        Column("synops: delta", Format.NUMBER),
    )
    rows = tuple(
        (row["round"], row["sparsity"], row["accuracy"], *(row[name] for name in names)) for row in pruned["rounds"]
    )
    print_table(Table(columns=columns, rows=rows, caption="means over the validation samples"))
