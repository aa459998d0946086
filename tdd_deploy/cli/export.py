"""``tdd-deploy export``."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tdd_deploy.options.dataset import CalibrationData
from tdd_deploy.options.declare import Gathered
from tdd_deploy.options.encoding import StatedSteps
from tdd_deploy.options.export import Export
from tdd_deploy.options.functions import OPTIONS
from tdd_deploy.options.model import Model
from tdd_deploy.options.quantization import Quantization
from tdd_deploy.options.vocabulary import TARGETS

from .console import echo_json, json_option, print_table, progress_bar, say
from .flags import PATH, with_options, word_option
from .help import Command

if TYPE_CHECKING:
    from tdd_deploy.commands.quantization import Quantized


@click.command(cls=Command)
@click.argument("file", type=PATH)
@word_option("--target", words=TARGETS, required=True, help="Write the network for this target.")
@click.option("--out", type=PATH, required=True, help="Write this file; lava: folder.")
@with_options(*OPTIONS["export"])
@json_option
def export(file: Path, *, target: str, out: Path, options: Gathered, as_json: bool) -> None:
    """Write FILE (a .nir, .net or .onnx file, or a run folder) for a target.

    nir: one file. lava: a folder with weights, manifest and a run.py that needs only lava-nc (tdd-deploy lava run).
    onnx: one file, whose states are inputs and outputs.
    """
    from tdd_deploy.commands.export import export as run
    from tdd_deploy.data import Choice
    from tdd_deploy.simulator.reports.lines import input_lines

    steps = options[StatedSteps]
    with progress_bar("calibrating") as progress:
        exported = run(
            file,
            target,
            out,
            options=options[Export],
            model=options[Model],
            quantization=options[Quantization],
            data=Choice(options=options[CalibrationData], steps=steps.steps),
            steps=steps,
            progress=progress,
        )
    if as_json:
        echo_json(exported.as_json())
        return
    if exported.layers:
        _print(exported)
    program = exported.program
    if exported.data:
        say(input_lines(exported.data))
    if exported.input_of_integers:
        say([_integers_line(**exported.input_of_integers, is_measured=exported.data is not None)])
    layers = f"{len(program.neuron_layers)} layers of neurons"
    say([f"{out}: {layers}, {program.number_format}, program {program.digest[:12]}"])


def _integers_line(*, unit: float, largest: float, is_measured: bool) -> str:
    """Describe the values that the input of a quantized network takes, and the option that changes them."""
    if unit == largest == 1:
        return "the input takes the integers -1, 0 and 1 (change it with `input_bits`)"
    found = f"the input takes multiples of {unit:g}, from {-largest:g} to {largest:g} (`input_bits`"
    return f"{found})" if is_measured else f"{found}; `data` measures the range)"


def _print(exported: "Quantized") -> None:
    """Print a row per layer: what it became, and what that changed."""
    from tdd_deploy.tables import Cell, Column, Format, Table

    found = exported.calibration
    measured = {layer.name: layer for layer in found.layers} if found else {}
    columns = (
        Column("layer"),
        Column("scale", Format.WRITTEN),
        Column("limited by", drop=1),
        Column("weights", Format.NUMBER, drop=2),
        Column("clipped", Format.NUMBER),
        Column("rounded off", Format.PERCENT, decimals=2),
        Column("worst-case sum", Format.NUMBER),
        *((Column("largest seen", Format.WRITTEN), Column("flips", Format.PERCENT, decimals=2)) if found else ()),
    )
    rows = []
    for layer in exported.layers:
        low, high = layer.scale
        row: list[Cell] = [
            layer.name,
            f"{low:,.1f}" if low == high else f"{low:,.1f} to {high:,.1f}",
            layer.limited_by,
            layer.weights,
            layer.clipped,
            layer.error,
            float(layer.worst_case_sum),
        ]
        if found:
            seen = measured.get(layer.name)
            wraps = f", {seen.wraps} wrapped" if seen and seen.wraps else ""
            row += [f"{seen.largest_sum:,}{wraps}", seen.flips] if seen else [None, None]
        rows.append(tuple(row))
    print_table(Table(columns=columns, rows=tuple(rows)))
    say(["sums below 131,072 cannot wrap the chip's 24 bits"])
    if found and found.accuracy_float is not None and found.accuracy_integer is not None:
        say(
            [
                f"accuracy on {found.n_samples} training samples: {found.accuracy_float:.1%} in floats, "
                f"{found.accuracy_integer:.1%} in integers"
            ]
        )
