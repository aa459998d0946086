"""``tdd-deploy inspect``."""

from pathlib import Path

import click

from tdd_deploy.options.declare import Gathered
from tdd_deploy.options.functions import OPTIONS
from tdd_deploy.options.model import Model

from .console import console, echo_json, json_option, make_table, say
from .flags import PATH, with_options


@click.command()
@click.argument("file", type=PATH)
@with_options(*OPTIONS["inspect"])
@json_option
def inspect(file: Path, *, options: Gathered, as_json: bool) -> None:
    """Print the contents of FILE (a .nir, .net or .onnx file, or a run folder), every choice named.

    For a file of another tool without --dialect, print its contents and what each dialect would make of it.
    """
    from tdd_deploy.commands.inspect import inspect as run

    found = run(file, model=options[Model])
    if as_json:
        echo_json(found)
        return
    columns = ("node", "kind", "shape", "parameters", "receives from")
    table = make_table(*columns, left=columns)
    for node in found["nodes"]:
        table.add_row(
            node["name"], node["kind"], " x ".join(map(str, node["shape"])), node["parameters"], ", ".join(node["from"])
        )
    console().print(table)
    for name, value in found.items():
        if name != "nodes":
            text = "".join(f"\n  {line}" for line in _lines(value)) if isinstance(value, list | dict) else f" {value}"
            say([f"{name}:{text or ' nothing'}"])


def _lines(value: list[str] | dict[str, str]) -> list[str]:
    return value if isinstance(value, list) else [f"{name}: {text}" for name, text in value.items()]
