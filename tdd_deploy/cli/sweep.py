"""``tdd-deploy sweep``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from tdd_deploy.options.dataset import Dataset
from tdd_deploy.options.declare import Gathered
from tdd_deploy.options.encoding import SeededSteps
from tdd_deploy.options.functions import OPTIONS
from tdd_deploy.options.grid import Grid
from tdd_deploy.options.model import Model

from .console import echo_json, json_option, make_table, print_table, samples_progress, say
from .flags import PATH, with_options


@click.command()
@click.argument("runs", type=PATH, nargs=-1, required=True)
@with_options(*OPTIONS["sweep"], required=("data",))
@json_option
@click.option("--out", type=PATH, required=True, help="Write sweep.json, sweep.csv and sweep.svg into this folder.")
def sweep(runs: tuple[Path, ...], *, options: Gathered, as_json: bool, out: Path) -> None:
    """Simulate every combination of RUNS (.nir or .net files, run folders), codes, bits and thresholds.

    A picture shows accuracy against energy. The same command again continues where the last one was stopped. Options of
    training are swept by training runs: for k in 0.2 0.5 0.8; do tdd-deploy train --keep $k --out runs/k$k ...
    """
    from tdd_deploy.commands.sweep import sweep as run
    from tdd_deploy.data import Choice

    steps = options[SeededSteps]
    data = Choice(options=options[Dataset], steps=steps.steps)
    with samples_progress("sweeping") as progress:
        found = run(runs, data, out, grid=options[Grid], model=options[Model], steps=steps, progress=progress)
    if as_json:
        echo_json(found)
    else:
        _print(found)


def _print(found: Mapping[str, Any]) -> None:
    """Print a row per point; points that no other point beats have a star."""
    from tdd_deploy.simulator.reports.report import mean_text

    names = list(dict.fromkeys(name for point in found["points"] for name in point["energy_nj"]))
    left = ("run", "code", "bits")
    has_deltas = any(point["delta_threshold"] is not None for point in found["points"])
    thresholds = ("threshold", *(("delta threshold",) if has_deltas else ()))
    columns = (*left, *thresholds, "accuracy", "synops", *(f"nJ, {name}" for name in names), "")
    table = make_table(*columns, left=left)
    rows = []
    for point in found["points"]:
        energies = (point["energy_nj"].get(name) for name in names)
        row = [
            point["run"],
            point["code"],
            "float" if point["bits"] is None else str(point["bits"]),
            f"{point['input_threshold']:g}",
            *(["" if point["delta_threshold"] is None else f"{point['delta_threshold']:g}"] if has_deltas else []),
            "" if point["accuracy"] is None else f"{point['accuracy']:.1%}",
            mean_text(point["synops_effective"]),
            *("" if energy is None else mean_text(energy) for energy in energies),
            "*" if point["is_best"] else "",
        ]
        rows.append(row)
    print_table(table, rows, what="points", whole="sweep.csv holds all of them")
    if found["profile"]:
        say([f"* no other point is as accurate with less energy ({found['profile']})"])
    say(dict.fromkeys(line for point in found["points"] for line in point["inputs"]))
