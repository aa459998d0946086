"""``tdd-deploy check``."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tdd_deploy.options.dataset import SeenData
from tdd_deploy.options.declare import Gathered
from tdd_deploy.options.functions import OPTIONS
from tdd_deploy.options.model import Model
from tdd_deploy.options.placement import Placement
from tdd_deploy.text import counted

from .console import echo_json, json_option, print_headline, print_table, progress_bar, say
from .flags import PATH, with_options
from .help import Command
from .values import complete

if TYPE_CHECKING:
    from tdd_deploy.simulator.hardware.check import Checked


@click.command(cls=Command)
@click.argument("file", type=PATH)
@click.option(
    "--chip",
    required=True,
    shell_complete=complete,
    help="Place it on this chip (loihi1, loihi2, truenorth), a profile of one, or a .toml.",
)
@with_options(*OPTIONS["check"])
@json_option
def check(file: Path, *, chip: str, options: Gathered, as_json: bool) -> None:
    """Check whether FILE (a .nir, .net or .onnx file, or a run folder) fits on a chip, and what helps if it does not.

    Exit code 1 when it does not fit. Only published limits are checked. The output lists what they leave open, and
    what only data can show, such as whether the input sends nothing but spikes (--data).
    """
    from tdd_deploy.commands.check import check as run
    from tdd_deploy.data import Choice

    data = Choice(options=options[SeenData])
    with progress_bar("checking") as progress:
        checked = run(file, chip, options=options[Placement], model=options[Model], data=data, progress=progress)
    if as_json:
        echo_json(checked.as_json())
    else:
        _print(checked)
    if not checked.fits:
        raise click.exceptions.Exit(1)


def _print(checked: "Checked") -> None:
    """Print where layers lie, what is broken, and what is left open."""
    from tdd_deploy.simulator.reports.lines import input_lines
    from tdd_deploy.simulator.reports.tables import by_placed_layer

    found = checked.as_json()
    print_table(by_placed_layer(found["placement"]))
    chips = "" if found["chips"] == 1 else f" x {found['chips']}"
    lines = [f"{found['title']}. {found['remark']}"]
    lines += [f"assumed: {line}" for line in found["assumptions"]]
    lines += [f"not checked: {line}" for line in found["not_checked"]]
    lines += input_lines(found["data"]) if found["data"] else []
    say(lines)
    n = len(found["faults"])
    verdict = f"does not fit, for {counted(n, 'reason')}" if n else "no published limit is broken"
    verdict += ", with one condition" if found["conditions"] and not n else ""
    print_headline(f"{found['chip']}{chips}: {verdict}")
    say(f"  if: {line}" for line in found["conditions"])
    for fault in checked.faults:
        say([f"  - {fault}", f"    source: {fault.source}"])
