"""``tdd-deploy report`` and ``tdd-deploy compare``."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tdd_deploy.options.declare import Gathered
from tdd_deploy.options.tables import Printed, ReportTable

from .console import echo, echo_json, print_table
from .flags import PATH, with_options

if TYPE_CHECKING:
    from tdd_deploy.tables import Table


@click.command()
@click.argument("file", type=PATH)
@with_options(ReportTable)
def report(file: Path, *, options: Gathered) -> None:
    """Print a table of FILE, a folder that simulate --out wrote; figures are means per inference."""
    from tdd_deploy.commands.report import report as run
    from tdd_deploy.simulator.reports.tables import TABLES

    found, chosen = run(file), options[ReportTable]
    if chosen.format == "json":
        echo_json(found)
    else:
        _print(TABLES[chosen.by](found), chosen)


@click.command()
@click.argument("files", type=PATH, nargs=-1, required=True)
@with_options(Printed)
def compare(files: tuple[Path, ...], *, options: Gathered) -> None:
    """Print FILES, folders that simulate --out wrote, side by side; figures are means per inference."""
    from tdd_deploy.commands.report import compare as run
    from tdd_deploy.simulator.reports.tables import side_by_side

    found, chosen = run(files), options[Printed]
    if chosen.format == "json":
        echo_json(found)
    else:
        _print(side_by_side(found), chosen)


def _print(table: "Table", chosen: Printed) -> None:
    """Print a table in the chosen format, columns and unit."""
    from tdd_deploy.simulator.reports.tables import FORMATS
    from tdd_deploy.tables import as_latex

    table = table.named(chosen.columns) if chosen.columns else table
    table = table.in_unit(chosen.unit) if chosen.unit else table
    if chosen.format == "text":
        print_table(table, whole="--format csv prints everything")
    elif chosen.format == "latex":
        echo(as_latex(table, caption=chosen.caption or "", label=chosen.label or ""), end="")
    elif chosen.format != "json":
        echo(FORMATS[chosen.format](table).rstrip("\n"))
