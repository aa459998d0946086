"""``tdd-deploy inspect``."""

from pathlib import Path

import click

from tdd_deploy.options.declare import Gathered
from tdd_deploy.options.functions import OPTIONS
from tdd_deploy.options.model import Model

from .console import echo_json, json_option, print_table, say
from .flags import PATH, with_options
from .help import Command


@click.command(cls=Command)
@click.argument("file", type=PATH)
@with_options(*OPTIONS["inspect"])
@json_option
def inspect(file: Path, *, options: Gathered, as_json: bool) -> None:
    """Print the contents of FILE (a .nir, .net or .onnx file, or a run folder), every choice named.

    For a file of another tool without --dialect, print its contents and what each dialect would make of it.
    """
    from tdd_deploy.commands.inspect import inspect as run
    from tdd_deploy.tables import Column, Table

    found = run(file, model=options[Model])
    if as_json:
        echo_json(found)
        return
    rows = tuple(
        (node["name"], node["kind"], " x ".join(map(str, node["shape"])), node["parameters"], ", ".join(node["from"]))
        for node in found["nodes"]
    )
    columns = tuple(map(Column, ("node", "kind", "shape", "parameters", "receives from")))
    print_table(Table(columns=columns, rows=rows))
    for name, value in found.items():
        if name != "nodes":
            say(_lines(name, value))


def _lines(name: str, value: object) -> list[str]:
    """Describe a property of a network; parts of it on lines of their own."""
    if not isinstance(value, list | dict):
        return [f"{name}: {value}"]
    parts = value if isinstance(value, list) else [f"{key}: {text}" for key, text in value.items()]
    return [f"{name}:", *(f"  {part}" for part in parts)] if parts else [f"{name}: nothing"]
