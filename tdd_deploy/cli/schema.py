"""``tdd-deploy schema``."""

import json
from typing import get_args

import click

from tdd_deploy.options.vocabulary import Document

from .console import echo
from .flags import with_options
from .help import Command


@click.command(cls=Command)
@click.argument("document", type=click.Choice(get_args(Document)))
@with_options()
def schema(document: Document) -> None:
    """Print the JSON Schema (draft 2020-12) of DOCUMENT: report.json, or the TOML file of a profile or a chip."""
    from tdd_deploy.commands.schema import schema as run

    echo(json.dumps(run(document), indent=2))
