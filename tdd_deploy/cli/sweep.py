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

from .console import echo_json, json_option, print_table, progress_bar, say
from .flags import PATH, with_options
from .help import Command

PJ_PER_NJ = 1e3


@click.command(cls=Command)
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
    with progress_bar("sweeping", unit="points") as progress:
        found = run(runs, data, out, grid=options[Grid], model=options[Model], steps=steps, progress=progress)
    if as_json:
        echo_json(found)
    else:
        _print(found)


def _print(found: Mapping[str, Any]) -> None:
    """Print a row per point; points that no other point beats have a star."""
    from tdd_deploy.tables import Column, Format, Table

    names = list(dict.fromkeys(name for point in found["points"] for name in point["energy_nj"]))
    has_deltas = any(point["delta_threshold"] is not None for point in found["points"])
    columns = (
        Column("run"),
        Column("code"),
        Column("bits"),
        Column("threshold", Format.WRITTEN, drop=1),
        *((Column("delta threshold", Format.WRITTEN),) if has_deltas else ()),
        Column("accuracy", Format.PERCENT),
        Column("synops", Format.NUMBER),
        *(Column(name, Format.ENERGY, drop=2 if i else 0) for i, name in enumerate(names)),
        Column(""),
    )
    rows = []
    for point in found["points"]:
        energies = (point["energy_nj"].get(name) for name in names)
        thresholds = [point["input_threshold"], *([point["delta_threshold"]] if has_deltas else [])]
        row = (
            point["run"],
            point["code"],
            "float" if point["bits"] is None else str(point["bits"]),
            *(None if threshold is None else f"{threshold:g}" for threshold in thresholds),
            point["accuracy"],
            point["synops_effective"],
            *(None if energy is None else PJ_PER_NJ * energy for energy in energies),
            "*" if point["is_best"] else "",
        )
        rows.append(row)
    print_table(Table(columns=columns, rows=tuple(rows)), whole="sweep.csv holds all of them")
    if found["profile"]:
        say([f"* no other point is as accurate with less energy ({found['profile']})"])
    say(dict.fromkeys(line for point in found["points"] for line in point["inputs"]))
