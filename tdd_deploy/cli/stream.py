"""``tdd-deploy stream``."""

from pathlib import Path

import click

from tdd_deploy.options.dataset import AnalyzedData
from tdd_deploy.options.declare import gather
from tdd_deploy.options.functions import OPTIONS
from tdd_deploy.options.stream import StreamOptions

from .console import echo_json, json_option, print_table, print_verdict, progress_bar, say
from .flags import PATH, with_options
from .help import Command
from .values import complete

WHOLE = "--json prints all of them, and --out writes them to stream.json"


@click.command(cls=Command)
@click.argument("named", metavar="DATA", required=False, shell_complete=complete)
@with_options(*OPTIONS["stream"], check=False)
@json_option
@click.option("--out", type=PATH, help="Write stream.json, two tables (CSV) and a picture (SVG) into this folder.")
def stream(named: str | None, *, options: dict[str, object], as_json: bool, out: Path | None) -> None:
    """Measure whether a delta code pays on a sensor's stream, before there is a network.

    DATA names the samples, as --data does.
    The first axis of a sample is time. The tables show by channel how often values are not zero and how often they
    change, and by threshold how many changes --input-threshold of simulate would send.
    """
    from tdd_deploy.commands.stream import stream as job
    from tdd_deploy.data import Choice
    from tdd_deploy.simulator.reports.stream import channels_table, extremes_table, stream_lines, thresholds_table

    gathered = gather(_with_data(named, options), *OPTIONS["stream"])
    data = Choice(options=gathered[AnalyzedData])
    with progress_bar("measuring") as progress:
        report = job(data, options=gathered[StreamOptions], out=out, progress=progress).as_json()
    if as_json:
        echo_json(report)
        return
    for table in (channels_table(report), extremes_table(report), thresholds_table(report)):
        if table is not None:
            print_table(table, whole=WHOLE)
    say(stream_lines(report))
    print_verdict(report["verdict"])


def _with_data(named: str | None, options: dict[str, object]) -> dict[str, object]:
    """Add the data that the argument names."""
    if named is None:
        if "data" not in options:
            raise click.UsageError("Missing argument 'DATA'.")
        return options
    if "data" in options:
        raise click.UsageError("DATA and --data cannot be combined. Name the samples once.")
    return {**options, "data": named}
