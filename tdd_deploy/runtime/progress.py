"""Progress of a long job: a bar on a terminal or in a notebook."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

Update = Callable[[int, int], None]  # samples done, samples in all
Shown = bool | Update | None


@contextmanager
def progress_of(what: str, shown: Shown) -> Iterator[Update]:
    """Give a function that shows the progress of a job.

    Args:
        what: the job.
        shown: a function of the user, True for a bar, False for nothing, None for a bar where somebody can see it.
    """
    if callable(shown):
        yield shown
        return
    from rich.console import Console

    console = Console(stderr=True)
    if shown or (shown is None and (console.is_jupyter or sys.stderr.isatty())):
        with bar(what, console) as update:
            yield update
    else:
        yield lambda done, total: None


@contextmanager
def bar(what: str, console: "Console") -> Iterator[Update]:
    """Show a bar with the number of finished samples per second."""
    from rich import progress
    from rich.text import Text

    class Speed(progress.ProgressColumn):
        def render(self, task: progress.Task) -> Text:
            return Text(f"{task.speed:,.0f} samples/s" if task.speed else "")

    columns = (progress.TextColumn(what), progress.BarColumn(), progress.MofNCompleteColumn(), Speed())
    with progress.Progress(
        *columns,
        progress.TimeRemainingColumn(),
        console=console,
        transient=True,
        redirect_stdout=False,  # rich would write what others print, escape sequences too
        redirect_stderr=False,
    ) as shown:
        task = shown.add_task(what, total=None)
        yield lambda done, total: shown.update(task, completed=done, total=total)
