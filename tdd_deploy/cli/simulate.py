"""``tdd-deploy simulate``."""

import shlex
import sys
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from tdd_deploy.options.dataset import Dataset
from tdd_deploy.options.declare import Gathered
from tdd_deploy.options.encoding import Coding, Encoding
from tdd_deploy.options.execution import Execution
from tdd_deploy.options.functions import OPTIONS
from tdd_deploy.options.model import Model
from tdd_deploy.options.pricing import Pricing
from tdd_deploy.options.tables import SimulationTable

from .console import echo, echo_json, json_option, print_table, print_verdict, progress_bar, say
from .flags import PATH, with_options
from .help import Command
from .profiles import point_line

if TYPE_CHECKING:
    from tdd_deploy.simulator.reports.report import Simulation

FILES = {"step": "steps.csv", "layer": "report.json"}


@click.command(cls=Command)
@click.argument("file", type=PATH)
@with_options(*OPTIONS["simulate"], SimulationTable, required=("data",))
@json_option
@click.option("--out", type=PATH, help="Write report.json, steps.csv and report.html into this folder.")
def simulate(file: Path, *, options: Gathered, as_json: bool, out: Path | None) -> None:
    """Execute FILE (a .nir, .net or .onnx file, or a run folder) on data, event by event.

    Counts are of this run, beside those of plain spikes; --energy prices them.
    """
    from tdd_deploy.commands.simulate import Destination
    from tdd_deploy.commands.simulate import simulate as run
    from tdd_deploy.data import Choice

    with progress_bar("simulating") as progress:
        simulation = run(
            file,
            Choice(options=options[Dataset], steps=options[Encoding].steps),
            model=options[Model],
            encoding=options[Encoding],
            coding=options[Coding],
            execution=options[Execution],
            pricing=options[Pricing],
            destination=Destination(folder=out, command=shlex.join(["tdd-deploy", *sys.argv[1:]])),
            progress=progress,
        )
    if as_json:
        echo_json(simulation.as_json())
    else:
        _print(simulation, options[SimulationTable].by)


def _print(simulation: "Simulation", by: Literal["step", "layer"]) -> None:
    """Print tables of means per inference, notes, and the verdict at the end."""
    from tdd_deploy.simulator.reports.tables import TABLES, by_profile

    report = simulation.as_json()
    print_table(TABLES[by](report), whole=f"--json prints all, and --out writes {FILES[by]}")
    if report["energies"]:
        echo("")
        print_table(by_profile(report))
    echo("")
    say(_notes(report))
    echo("")
    print_verdict(report["verdict"])


def _notes(report: Mapping[str, Any]) -> Iterator[str]:
    """Say how samples became inputs, what the figures rest on, and what they leave out."""
    from tdd_deploy.simulator.reports.lines import run_lines

    yield from run_lines(report)
    if report["energies"]:
        yield from _energy_notes(report)
    headline = report["energies"][0]["cannot_execute"] if report["energies"] else None
    yield from (f"caveat: {line}" for line in report["caveats"] if headline is None or not line.endswith(headline))


def _energy_notes(report: Mapping[str, Any]) -> Iterator[str]:
    from tdd_deploy.simulator.reports.lines import break_even_lines, models_line, not_priced_line, time_lines

    yield from models_line(report)
    yield from time_lines(report)
    for energy in report["energies"]:
        if energy["dynamic_pj"] is None:
            yield from (f"{energy['profile']}, {point_line(point)}" for point in energy["points"])
    yield from islice(break_even_lines(report), 1)
    yield f"{not_priced_line(report['energies'][0])} (tdd-deploy report --by term says why)"
