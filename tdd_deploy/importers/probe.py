"""Work that may not come back: done first by a copy of this process, within bounds that the system enforces."""

import os
import resource
import signal
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

LONGEST = 500  # bytes of what an exception says
PATIENCE = 12  # wall-clock seconds per second of CPU time: other processes run, and a disk may stall
ENDLESS = (signal.SIGXCPU, signal.SIGALRM, signal.SIGKILL)


def ending_of(work: Callable[[], object], *, seconds: int, room: int) -> str:
    """Try some work in a process of its own, and describe how it failed; empty if it did not.

    Args:
        work: a function without side effects.
        seconds: of CPU time; the limit on the clock is ``PATIENCE`` times as long.
        room: bytes of memory that it may take; only Linux enforces this.
    """
    listening, telling = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads: the copy has one of its own
        copy = os.fork()
    if copy == 0:
        _do_and_exit(work, seconds, room, telling)
    os.close(telling)
    with os.fdopen(listening, "rb") as told:
        said = told.read().decode(errors="replace")
    _, status = os.waitpid(copy, 0)
    ended = os.waitstatus_to_exitcode(status)  # negative: the signal that ended it
    if ended:
        return "reading it does not end" if -ended in ENDLESS else "reading it ends the process"
    return said


def reason(error: BaseException) -> str:
    """Return what a library said of a damaged file, in a line."""
    first_line = str(error).partition("\n")[0]
    return f"{type(error).__name__}: {first_line}" if first_line else type(error).__name__


def _do_and_exit(work: Callable[[], object], seconds: int, room: int, telling: int) -> NoReturn:
    try:
        os.write(telling, _said_of(work, seconds, room).encode(errors="replace")[:LONGEST])
        os._exit(0)
    finally:
        os._exit(1)  # otherwise the copy would continue as its parent


def _said_of(work: Callable[[], object], seconds: int, room: int) -> str:
    try:
        _bound(seconds, room)
        work()
    except MemoryError:
        return f"reading it takes more than {room >> 20:,} MiB of memory"
    except BaseException as error:  # noqa: BLE001  (whatever it is, it is told)
        return reason(error)
    return ""


def _bound(seconds: int, room: int) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libraries speak before they die
    for default in (signal.SIGINT, signal.SIGALRM):
        signal.signal(default, signal.SIG_DFL)
    signal.alarm(PATIENCE * seconds)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    memory = Path("/proc/self/statm")
    if memory.exists():
        all_of_it = int(memory.read_text().split()[0]) * resource.getpagesize() + room
        resource.setrlimit(resource.RLIMIT_AS, (all_of_it, all_of_it))
