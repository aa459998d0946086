"""``tdd-deploy report`` and ``tdd-deploy compare``."""

from pathlib import Path
from typing import Literal

import click

from tdd_deploy.options.vocabulary import ROWS, TABLE_FORMATS, Row, TableFormat

from .console import echo_json
from .flags import PATH, with_options

table_format = click.option(
    "--format",
    "as_format",
    type=click.Choice((*TABLE_FORMATS, "json")),
    default="md",
    show_default=True,
    help="Print in this format.",
)


@click.command()
@click.argument("file", type=PATH)
@with_options()
@click.option(
    "--by", type=click.Choice(ROWS), default="layer", show_default=True, help="Print a row for each of these."
)
@table_format
def report(file: Path, *, by: Row, as_format: TableFormat | Literal["json"]) -> None:
    """Print a table of FILE, a folder that simulate --out wrote; figures are means over samples."""
    from tdd_deploy.commands.report import report as run
    from tdd_deploy.simulator.reports import tables

    found = run(file)
    if as_format == "json":
        echo_json(found)
    else:
        click.echo(tables.FORMATS[as_format](tables.TABLES[by](found)), nl=False)


@click.command()
@click.argument("files", type=PATH, nargs=-1, required=True)
@with_options()
@table_format
def compare(files: tuple[Path, ...], *, as_format: TableFormat | Literal["json"]) -> None:
    """Print FILES, folders that simulate --out wrote, side by side; figures are means over samples."""
    from tdd_deploy.commands.report import compare as run
    from tdd_deploy.simulator.reports import tables

    found = run(files)
    if as_format == "json":
        echo_json(found)
    else:
        click.echo(tables.FORMATS[as_format](tables.side_by_side(found)), nl=False)
