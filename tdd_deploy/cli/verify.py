"""``tdd-deploy verify``."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tdd_deploy.options.dataset import ComparedData
from tdd_deploy.options.declare import Gathered
from tdd_deploy.options.encoding import Output, Steps
from tdd_deploy.options.functions import OPTIONS
from tdd_deploy.options.model import Model
from tdd_deploy.options.quantization import ComparedQuantization
from tdd_deploy.options.verification import Verification
from tdd_deploy.text import counted

from .console import echo_json, json_option, print_headline, print_table, progress_bar, say
from .flags import PATH, with_options
from .help import Command

if TYPE_CHECKING:
    from tdd_deploy.commands.verify import Verified


@click.command(cls=Command)
@click.argument("file", type=PATH)
@with_options(*OPTIONS["verify"], required=("data",))
@json_option
def verify(file: Path, *, options: Gathered, as_json: bool) -> None:
    """Run samples on several backends and compare each one with the one before it.

    Exit code 1 when two backends differ, or when nothing was compared. The first divergence is shown with its layer,
    time step and neuron.
    FILE is a .nir, .net or .onnx file, or a run folder; torch needs the folder.
    """
    from tdd_deploy.commands.verify import verify as run
    from tdd_deploy.data import Choice
    from tdd_deploy.simulator.reports.lines import input_lines

    with progress_bar("verifying") as progress:
        verified = run(
            file,
            Choice(options=options[ComparedData], steps=options[Steps].steps),
            options=options[Verification],
            model=options[Model],
            steps=options[Steps],
            quantization=options[ComparedQuantization],
            output=options[Output],
            progress=progress,
        )
    if as_json:
        echo_json(verified.as_json())
    else:
        _print(verified)
        say(input_lines(verified.data))
        print_headline(_headline(verified))
    if not verified.passed:
        raise click.exceptions.Exit(1)


def _print(verified: "Verified") -> None:
    """Print a row per backend, compared with the row above; then the bounds, and the first differences."""
    from tdd_deploy.tables import Cell, Column, Format, Table, significant

    has_messages = any(each.messages for each in verified.comparisons)
    columns = (
        Column("", Format.MARK),
        Column("backend"),
        Column("spikes differing", Format.WRITTEN),
        *((Column("messages", Format.WRITTEN),) if has_messages else ()),
        Column("outputs", Format.WRITTEN),
        Column("predictions", Format.WRITTEN),
        Column("max |dv| / threshold", Format.WRITTEN, drop=1),
        Column("ms per sample", Format.NUMBER, drop=2),
    )
    rows: list[tuple[Cell, ...]] = [("", verified.comparisons[0].before, *[None] * (len(columns) - 2))]
    for each in verified.comparisons:
        row = (
            "ok" if each.passed else "NO",
            each.after,
            f"{each.differing:,} of {each.spikes:,}",
            *([f"{each.messages_differing:,} of {each.messages:,}"] if has_messages else []),
            "other units" if each.outputs is None else f"{each.outputs_differing:,} of {each.outputs:,}",
            f"{each.predictions_differing:,} of {each.n_samples:,}",
            "-" if each.largest_dv is None else significant(each.largest_dv),
            1e3 * verified.seconds[each.after] / verified.n_samples,
        )
        rows.append(row)
    print_table(Table(columns=columns, rows=tuple(rows)))
    say(_lines(verified))


def _headline(verified: "Verified") -> str:
    """Say whether the backends agree."""
    of_samples = f"on {counted(verified.n_samples, 'sample')}"
    failed = [f"{each.after} from {each.before}" for each in verified.comparisons if not each.passed]
    if failed:
        return f"backends differ {of_samples}: {'; '.join(failed)}"
    if not verified.comparisons:
        return "nothing was compared: a single backend was left"
    return f"all {len(verified.comparisons) + 1} backends agree {of_samples}, within what is allowed"


def _lines(verified: "Verified") -> Iterator[str]:
    """Describe the bounds, the first divergences, and what was left out."""
    comparisons = verified.comparisons
    yield "each row is compared with the row above"
    for bound in dict.fromkeys(each.bound for each in comparisons):
        names = "; ".join(each.after for each in comparisons if each.bound == bound)
        yield f"allowed: {bound.words} ({names})"
    for each in comparisons:
        if each.first_divergence is not None:
            yield f"{each.before} -> {each.after}: {each.first_divergence}"
        if each.not_compared:
            found = f"{each.not_compared:,} messages and outputs after the first differing spike of their sample"
            yield f"{each.before} -> {each.after}: not compared: {found}"
    zero = [name for name in comparisons[-1].always_zero if all(name in each.always_zero for each in comparisons)]
    if zero:
        yield f"always 0 on every backend: {', '.join(zero)}"
    for reason in verified.left_out:
        yield from f"left out: {reason}".split("\n")
