"""Whatever happens, run.py ends and leaves nothing: no process, no shared memory, no half-written file.

Lava waits forever for a process that died, and for a model that raised an exception; when its parent is killed, its
processes live on, and so does its shared memory. Here

* every forked process dies with its parent (the kernel sees to that, even after SIGKILL), and leaves signals to it;
* shared memory has no name, so that none can be left (infrastructure.py);
* a thread watches: when a process of Lava ends too early, or stopping takes too long, all ends with exit code 1;
* SIGTERM and SIGINT end everything at once, and so does an exception that nobody caught.

Linux only, as the fork that Lava needs is.
"""

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from multiprocessing import connection
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

POLL_S = 0.1
TRACEBACK_S = 1.0  # how long a traceback may be on its way from the process that died
STOP_S = 30.0  # how long Lava may take to stop
PR_SET_PDEATHSIG = 1  # prctl(2)


class Actor:
    """A process of Lava; ``process`` is Lava's own object, which closes itself once somebody waited for it."""

    def __init__(self, process: Any, model: str) -> None:
        self.process = process
        self.model = model
        self.pid: int = process.pid
        self.end = os.fdopen(os.dup(process.sentinel))  # readable when the process has ended; lives as long as this

    def complaint(self) -> str | None:
        """Return why the process died, if it did; its traceback if there is one."""
        with contextlib.suppress(OSError, EOFError, ValueError):  # it died while it wrote, or is closed
            if self.process.exception:
                return f"{self.model}:\n{self.process.exception[1]}"
            if self.process.exitcode:  # negative: the signal
                return f"{self.model}: its process ended with exit code {self.process.exitcode}\n"
        return None


class Guard:
    """Knows every process of Lava, and ends them all when one ends too early."""

    def __init__(self) -> None:
        self.unfinished: Path | None = None  # a file that is being written
        self._actors: list[Actor] = []
        self._stop_until: float | None = None
        self._ending = threading.Lock()

    def begin(self) -> None:
        """Take over signals, forks and uncaught exceptions; call it before Lava is imported."""
        libc = ctypes.CDLL(None)
        parent = [os.getpid()]
        os.register_at_fork(
            before=lambda: parent.__setitem__(0, os.getpid()),
            after_in_child=lambda: _die_with(parent[0], libc.prctl),
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda received, _: self.leave(128 + received))
        sys.excepthook = self._on_error
        threading.Thread(target=self._watch, name="guard", daemon=True).start()

    def watch(self, process: Any, model: str) -> None:
        """From now on, the end of this process is the end of the run."""
        self._actors.append(Actor(process, model))

    @contextlib.contextmanager
    def stopping(self) -> Iterator[None]:
        """While Lava stops, its processes end; afterwards they are gone."""
        self._stop_until = time.monotonic() + STOP_S
        yield
        self._actors = []  # first, as in leave
        self._stop_until = None

    def leave(self, code: int) -> NoReturn:
        """End everything and this process, without waiting for Lava or Python to clear up."""
        actors, self._actors = self._actors, []  # first: the watching thread must not see these ends as early ones
        for actor in actors:
            with contextlib.suppress(ProcessLookupError):
                os.kill(actor.pid, signal.SIGKILL)
        for actor in actors:
            with contextlib.suppress(ChildProcessError):  # Lava waited for it already
                os.waitpid(actor.pid, 0)
        if self.unfinished is not None:
            self.unfinished.unlink(missing_ok=True)
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, RuntimeError):  # nobody reads, or a signal came while it was written
                stream.flush()
        os._exit(code)

    def fail(self, otherwise: str) -> NoReturn:
        """Write the complaints of the processes that died, or ``otherwise``, and leave with 1."""
        with self._ending:  # for good: the first one to come here ends the run
            until = time.monotonic() + (TRACEBACK_S if self._actors else 0)
            while not (complaints := [text for actor in self._actors if (text := actor.complaint())]):
                if time.monotonic() > until:
                    complaints = [otherwise]
                    break
                time.sleep(POLL_S)
            sys.stderr.write("Lava failed.\n" + "\n".join(complaints))
            self.leave(1)

    def _on_error(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        self.fail("".join(traceback.format_exception(kind, error, trace)))

    def _watch(self) -> None:
        while True:
            actors = self._actors
            if actors and self._stop_until is None:
                ended = connection.wait([actor.end for actor in actors], POLL_S)
                if ended and self._stop_until is None and self._actors is actors:
                    self.fail("A process of Lava's ended too early, and left no traceback.\n")
            else:
                time.sleep(POLL_S)
            if (until := self._stop_until) is not None and time.monotonic() > until:
                self.fail(f"Lava did not stop within {STOP_S:g} s.\n")


def _die_with(parent: int, prctl: Callable[..., int]) -> None:
    """In a new child: be killed when the parent ends, and leave Ctrl-C and SIGTERM to it."""
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the line above
        os._exit(1)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
