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
    from tdd_deploy.training import BatchMetrics, Watcher

WIDTH_OF_PIPES = 120
BOLD, PLAIN = "\x1b[1m", "\x1b[0m"
LEAST_WIDTH = 20  # a terminal that says it has none is believed no further

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


def echo(text: str, *, end: str = "\n", err: bool = False) -> None:
    """Print a text as it is; the streams make control characters visible."""
    file = sys.stderr if err else sys.stdout
    file.write(f"{text}{end}")
    file.flush()


def echo_styled(text: str) -> None:
    """Print a text with colors of ours on stdout; what comes from elsewhere is visible in it already."""
    file = getattr(sys.stdout, "rich_proxied_file", sys.stdout) if has_color() else sys.stdout
    file.write(text)
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

    echo_styled(as_terminal(table, width(), color=has_color(), whole=whole))


def print_verdict(verdict: Mapping[str, Any]) -> None:
    """Print a verdict: its line, what changes its meaning, and its summary."""
    from tdd_deploy.simulator.reports.verdict import verdict_text

    bold, plain = _bold()
    echo_styled(f"{with_flags(verdict_text(verdict, width(), bold=bold, plain=plain))}\n")


def print_headline(line: str) -> None:
    """Print the answer of a command in bold, after an empty line."""
    bold, plain = _bold()
    shown = textwrap.wrap(visible(with_flags(line)), width(), break_on_hyphens=False)
    echo_styled("\n" + "".join(f"{bold}{each}{plain}\n" for each in shown))


def _bold() -> tuple[str, str]:
    """Return what begins and what ends a bold text; nothing where colors are not shown."""
    return (BOLD, PLAIN) if has_color() else ("", "")


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


def progress_bar(what: str, *, unit: str = "samples") -> AbstractContextManager[Callable[[int, int], None]]:
    """Show a bar on stderr, on a terminal only."""
    from tdd_deploy.runtime.progress import progress_of

    return progress_of(what, None, unit=unit)


@contextmanager
def training_progress() -> "Iterator[Watcher]":
    """Print a line per epoch on stderr, and on a terminal a bar over all epochs; both say how much time is left."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    from tdd_deploy.runtime.progress import TimeLeft

    out = Console(stderr=True, soft_wrap=True)
    texts = (TextColumn("epoch {task.fields[epoch]}"), TextColumn("loss {task.fields[loss]:.4f}{task.fields[left]}"))
    is_shown = is_first() and sys.stderr.isatty()
    with Progress(
        texts[0], BarColumn(bar_width=20), texts[1],
        console=out, transient=True, disable=not is_shown, redirect_stdout=False, redirect_stderr=False,
    ) as bar:  # fmt: skip
        task = bar.add_task("", total=None, epoch="1", loss=0.0, left="")
        estimate = TimeLeft()

        class Shown:
            epochs = 0
            left = ""

            def batch(self, now: "BatchMetrics") -> None:
                left = estimate.at(now.part)
                self.epochs, self.left = now.epochs, f"  {left}" if left else ""
                epoch = f"{now.epoch}/{now.epochs}, batch {now.batch:,}/{now.batches:,}"
                bar.update(task, completed=now.part, total=1, epoch=epoch, loss=now.loss, left=self.left)

            def epoch(self, history: list[dict[str, Any]]) -> None:
                now = history[-1]
                of_all = f"/{self.epochs}" if self.epochs else ""  # resumed after the last batch of an epoch
                number = f"{now['epoch']:{len(of_all) - 1 if of_all else 1}d}{of_all}"
                line = f"epoch {number}  loss {now['loss']:.4f}  {now['accuracy']:6.1%}"
                counted = (("spikes", now["raw_events"]), ("delta events", now["delta_events"]))
                events = [f"{count:,.0f} {name}" for name, count in counted if count is not None]
                line += f"  {', '.join(events)}" if events else ""
                bar.console.print(line + (self.left if now["epoch"] < self.epochs else ""), highlight=False)

        yield Shown()


def is_first() -> bool:
    """Decide whether this process prints for all that torchrun started with it."""
    return os.environ.get("RANK", "0") == "0"
