"""What commands print: tables and lines on stdout, progress on stderr."""

import json
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

import click

from tdd_deploy.text import shortened, visible

from .flags import with_flags

if TYPE_CHECKING:
    from tdd_deploy.tables import Table
    from tdd_deploy.training import Watcher

WIDTH_OF_PIPES = 120
BOLD, PLAIN = "\x1b[1m", "\x1b[0m"
LEAST_WIDTH = 20  # a terminal that says it has none is believed no further

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


def echo(text: str, *, end: str = "\n", err: bool = False) -> None:
    """Print a text as it is; the streams make control characters visible."""
    file = sys.stderr if err else sys.stdout
    file.write(f"{text}{end}")
    file.flush()


def echo_json(values: Mapping[str, Any]) -> None:
    """Print a JSON object in one line; texts in it name flags."""
    text = with_flags(json.dumps(values, allow_nan=False))
    echo(text.replace("\x7f", r"\u007f"))  # the one control character that JSON leaves as it is


def echo_usage(error: click.ClickException) -> None:
    """Print an error of click, on stderr; it may quote a long value."""
    message = shortened(visible(error.format_message()))
    if isinstance(error, click.UsageError):
        click.UsageError(message, error.ctx).show(sys.stderr)
    else:
        click.ClickException(message).show(sys.stderr)


def print_table(table: "Table", *, whole: str = "--json prints all of them") -> None:
    """Print a table in the width of the terminal; ``whole`` says where everything is, if it is shown in part."""
    from tdd_deploy.tables import as_terminal

    echo(as_terminal(table, width(), color=has_color(), whole=whole), end="")


def print_verdict(verdict: Mapping[str, Any]) -> None:
    """Print a verdict: its line, what changes its meaning, and its summary."""
    from tdd_deploy.simulator.reports.verdict import verdict_text

    bold, plain = (BOLD, PLAIN) if has_color() else ("", "")
    echo(with_flags(verdict_text(verdict, width(), bold=bold, plain=plain)))


def width() -> int:
    """Return the width of lines: that of the terminal, or $COLUMNS; a pipe has none, and gets 120 characters."""
    return max(shutil.get_terminal_size((WIDTH_OF_PIPES, 24)).columns, LEAST_WIDTH)


def has_color() -> bool:
    """Decide whether stdout shows colors; see https://no-color.org."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def say(lines: Iterable[str]) -> None:
    """Print lines, parameters as flags; a terminal gets them broken at words."""
    for line in map(with_flags, lines):
        if not sys.stdout.isatty():
            echo(line)
            continue
        indent = " " * (len(line) - len(line.lstrip()))
        echo("\n".join(textwrap.wrap(line, width(), subsequent_indent=f"{indent}  ", break_on_hyphens=False) or [""]))


def samples_progress(what: str) -> AbstractContextManager[Callable[[int, int], None]]:
    """Show a bar on stderr, on a terminal only."""
    from tdd_deploy.runtime.progress import progress_of

    return progress_of(what, None)


@contextmanager
def training_progress() -> "Iterator[Watcher]":
    """Print a line per epoch on stderr, and on a terminal a bar within the epoch."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    out = Console(stderr=True, soft_wrap=True)
    columns = (TextColumn("epoch"), BarColumn(), MofNCompleteColumn(), TextColumn("loss {task.fields[loss]:.4f}"))
    is_shown = is_first() and sys.stderr.isatty()
    with Progress(
        *columns, console=out, transient=True, disable=not is_shown, redirect_stdout=False, redirect_stderr=False
    ) as bar:
        task = bar.add_task("epoch", total=None, loss=0.0)

        class Shown:
            def batch(self, done: int, total: int, loss: float) -> None:
                bar.update(task, completed=done, total=total, loss=loss)

            def epoch(self, history: list[dict[str, Any]]) -> None:
                now = history[-1]
                line = f"epoch {now['epoch']:3d}  loss {now['loss']:.4f}  accuracy {now['accuracy']:.3f}"
                counted = (("spikes", now["raw_events"]), ("delta events", now["delta_events"]))
                events = [f"{name} {count:,.0f}" for name, count in counted if count is not None]
                line += f"  {'  '.join(events)} per sample" if events else ""
                bar.console.print(line, highlight=False)

        yield Shown()


def is_first() -> bool:
    """Decide whether this process prints for all that torchrun started with it."""
    return os.environ.get("RANK", "0") == "0"
