"""Progress of a long job: a bar on a terminal or in a notebook, with the time that is left."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

Progress = Callable[[int, int], None]  # done, in all
Shown = bool | Progress | None
COMPILING = "compiling the engine, once"


def unseen(done: int, total: int) -> None:
    """Show no progress."""


@contextmanager
def progress_of(what: str, shown: Shown, *, unit: str = "samples") -> Iterator[Progress]:
    """Give a function that shows the progress of a job.

    Args:
        what: the job.
        shown: a function of the user, True for a bar, False for nothing, None for a bar where somebody can see it.
        unit: what the job counts.
    """
    if callable(shown):
        yield shown
        return
    from rich.console import Console

    console = Console(stderr=True)
    if shown or (shown is None and (console.is_jupyter or sys.stderr.isatty())):
        with bar(what, console, unit=unit) as update:
            yield update
    else:
        yield unseen


@contextmanager
def bar(what: str, console: "Console", *, unit: str = "samples") -> Iterator[Progress]:
    """Show a bar with the finished part of a job and the time that is left."""
    from rich import progress

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(bar_width=20),
        progress.MofNCompleteColumn(),
        progress.TextColumn("{task.fields[unit]}{task.fields[left]}"),
    )
    with progress.Progress(
        *columns,
        console=console,
        transient=True,
        redirect_stdout=False,  # rich would write what others print, escape sequences too
        redirect_stderr=False,
    ) as shown:
        task = shown.add_task(what, total=None, unit=unit, left="")
        estimate = TimeLeft()

        def update(done: int, total: int) -> None:
            left = estimate.at(done / total) if total else None
            shown.update(task, completed=done, total=total, left=f", {left}" if left else "")

        def compiling(is_on: bool) -> None:
            shown.update(task, description=COMPILING if is_on else what, refresh=True)

        with _compiling(compiling):
            yield update


class TimeLeft:
    """Estimates the time that is left from the time that a part of a job took."""

    def __init__(self) -> None:
        self._began: tuple[float, float] | None = None  # when, and the part that was done then

    def at(self, part: float) -> str | None:
        """Return the time left in words; None before something was done since the first call."""
        now = time.monotonic()
        if self._began is None:
            self._began = (now, part)
            return None
        began, before = self._began
        if part <= before:
            return None
        return f"{duration((now - began) * (1 - part) / (part - before))} left"


def duration(seconds: float) -> str:
    """Write a time in words, in whole seconds, minutes, or hours and minutes."""
    if seconds < 99.5:
        return f"{max(seconds, 1):.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


@contextmanager
def _compiling(show: Callable[[bool], None]) -> Iterator[None]:
    """Call a function with True when numba begins to compile, and with False when it is done.

    Nothing is compiled where numba's cache holds the loops.
    """
    from numba.core import event

    class Listener(event.Listener):
        depth = 0  # a function that is compiled compiles those that it calls

        def on_start(self, event: object) -> None:
            self.depth += 1
            if self.depth == 1:
                show(True)

        def on_end(self, event: object) -> None:
            self.depth -= 1
            if self.depth == 0:
                show(False)

    with event.install_listener("numba:compile", Listener()):
        yield
