"""``tdd-deploy report`` and ``tdd-deploy compare``."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tdd_deploy.options.declare import Gathered
from tdd_deploy.options.tables import Printed, ReportTable

from .console import echo, echo_json, json_option, print_table
from .flags import PATH, with_options
from .help import Command

if TYPE_CHECKING:
    from tdd_deploy.tables import Table


@click.command(cls=Command)
@click.argument("file", type=PATH)
@with_options(ReportTable)
@json_option
def report(file: Path, *, options: Gathered, as_json: bool) -> None:
    """Print a table of FILE, a folder that simulate --out wrote; figures are means per inference."""
    from tdd_deploy.commands.report import report as run
    from tdd_deploy.simulator.reports.tables import TABLES

    chosen = options[ReportTable]
    _check_json(chosen, as_json=as_json)
    found = run(file)
    if as_json:
        echo_json(found)
    else:
        _print(TABLES[chosen.by](found), chosen)


@click.command(cls=Command)
@click.argument("files", type=PATH, nargs=-1, required=True)
@with_options(Printed)
@json_option
def compare(files: tuple[Path, ...], *, options: Gathered, as_json: bool) -> None:
    """Print FILES, folders that simulate --out wrote, side by side; figures are means per inference."""
    from tdd_deploy.commands.report import compare as run
    from tdd_deploy.simulator.reports.tables import side_by_side

    chosen = options[Printed]
    _check_json(chosen, as_json=as_json)
    found = run(files)
    if as_json:
        echo_json(found)
    else:
        _print(side_by_side(found), chosen)


def _check_json(chosen: Printed, *, as_json: bool) -> None:
    """Refuse what would choose from a table where everything is printed."""
    flags = {
        "--format": chosen.format != "text", "--columns": bool(chosen.columns), "--unit": chosen.unit is not None
    }  # fmt: skip
    if as_json and any(flags.values()):
        names = " and ".join(flag for flag, is_given in flags.items() if is_given)
        raise click.UsageError(f"{names} cannot be combined with --json, which prints the whole report in pJ.")


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
    else:
        echo(FORMATS[chosen.format](table).rstrip("\n"))
