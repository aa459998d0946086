"""What commands print: tables and lines on stdout, progress on stderr."""

import json
import os
import shutil
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, Literal

import click

from tdd_deploy.text import ends, shortened, visible

from .flags import with_flags

if TYPE_CHECKING:
    from rich.table import Table

    from tdd_deploy.training import Watcher

    from .terminal import Console

LEAST_TEXT = 12  # characters of a column of texts on a narrow terminal

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


def make_table(*columns: str, left: Collection[str] = ()) -> "Table":
    """Make a table without lines: columns in ``left`` hold texts, the others numbers."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in columns:
        justify: Literal["left", "right"] = "left" if name in left else "right"
        table.add_column(name, justify=justify, overflow="fold", no_wrap=name not in left)
    return table


def print_table(
    table: "Table",
    rows: Sequence[Sequence[str]],
    *,
    total: Sequence[str] = (),
    what: str = "rows",
    whole: str = "--json prints all of them",
) -> None:
    """Print a table; of very many rows the first and the last ones.

    Args:
        table: its columns.
        rows: a text per column.
        total: a last row, apart from the others.
        what: what the rows are.
        whole: where all rows are.
    """
    first, last = ends(rows)
    for row in (*first, ["..."], *last) if last else first:
        table.add_row(*row)
    if total:
        table.add_section()
        table.add_row(*total)
    console(at_least=_least_width(table)).print(table)
    if last:
        say([f"{len(rows) - len(first) - len(last):,} of {len(rows):,} {what} are left out; {whole}"])


def _least_width(table: "Table") -> int:
    """Compute the width in which numbers are whole, and texts of several characters side by side."""
    from rich.cells import cell_len

    widths = [max(map(cell_len, map(visible, map(str, (column.header, *column.cells))))) for column in table.columns]
    least = [
        width if column.no_wrap else min(width, LEAST_TEXT) for column, width in zip(table.columns, widths, strict=True)
    ]
    return sum(least) + 2 * (len(least) - 1)


def console(*, at_least: int = 0) -> "Console":
    """Return the console of stdout; a pipe has no width, and a narrow terminal breaks the lines of a table itself."""
    from .terminal import Console

    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 200
    return Console(width=max(width, at_least))


def say(lines: Iterable[str]) -> None:
    """Print lines, parameters as flags."""
    out = console()
    for line in lines:
        out.print(with_flags(line), soft_wrap=True)


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
