"""``tdd-deploy report`` and ``tdd-deploy compare``."""

from pathlib import Path

import click

from tdd_deploy.options.declare import Gathered
from tdd_deploy.options.tables import Printed, ReportTable

from .console import echo, echo_json
from .flags import PATH, with_options


@click.command()
@click.argument("file", type=PATH)
@with_options(ReportTable)
def report(file: Path, *, options: Gathered) -> None:
    """Print a table of FILE, a folder that simulate --out wrote; figures are means over samples."""
    from tdd_deploy.commands.report import report as run
    from tdd_deploy.simulator.reports import tables

    found, chosen = run(file), options[ReportTable]
    if chosen.format == "json":
        echo_json(found)
    else:
        echo(tables.FORMATS[chosen.format](tables.TABLES[chosen.by](found)), end="")


@click.command()
@click.argument("files", type=PATH, nargs=-1, required=True)
@with_options(Printed)
def compare(files: tuple[Path, ...], *, options: Gathered) -> None:
    """Print FILES, folders that simulate --out wrote, side by side; figures are means over samples."""
    from tdd_deploy.commands.report import compare as run
    from tdd_deploy.simulator.reports import tables

    found, chosen = run(files), options[Printed]
    if chosen.format == "json":
        echo_json(found)
    else:
        echo(tables.FORMATS[chosen.format](tables.side_by_side(found)), end="")
