"""Work that may never return: a copy of this process does it first, within limits that the system enforces."""

import os
import resource
import signal
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

LONGEST = 500  # bytes that are kept of a message
PATIENCE = 12  # wall-clock seconds per second of CPU time: other processes run, and a disk may stall
ENDLESS = (signal.SIGXCPU, signal.SIGALRM, signal.SIGKILL)


def probe(work: Callable[[], object], *, seconds: int, memory: int) -> str:
    """Try some work in a process of its own, and describe how it failed; empty if it did not.

    Args:
        work: a function without side effects.
        seconds: of CPU time; the limit on the clock is ``PATIENCE`` times as long.
        memory: bytes that it may take; only Linux enforces this.
    """
    receiving, sending = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # about forks beside threads; the copy runs one
        copy = os.fork()
    if copy == 0:
        _do_and_exit(work, seconds, memory, sending)
    os.close(sending)
    with os.fdopen(receiving, "rb") as pipe:
        failure = pipe.read().decode(errors="replace")
    _, status = os.waitpid(copy, 0)
    ended = os.waitstatus_to_exitcode(status)  # negative: the signal that ended it
    if ended:
        return "reading it does not end" if -ended in ENDLESS else "reading it ends the process"
    return failure


def reason(error: BaseException) -> str:
    """Quote a library's error about a damaged file, in one line."""
    first_line = str(error).partition("\n")[0]
    return f"{type(error).__name__}: {first_line}" if first_line else type(error).__name__


def _do_and_exit(work: Callable[[], object], seconds: int, memory: int, sending: int) -> NoReturn:
    try:
        os.write(sending, _failure(work, seconds, memory).encode(errors="replace")[:LONGEST])
        os._exit(0)
    finally:
        os._exit(1)  # otherwise the copy would continue as its parent


def _failure(work: Callable[[], object], seconds: int, memory: int) -> str:
    try:
        _limit(seconds, memory)
        work()
    except MemoryError:
        return f"reading it takes more than {memory >> 20:,} MiB of memory"
    except BaseException as error:  # noqa: BLE001  (whatever it is, it is reported)
        return reason(error)
    return ""


def _limit(seconds: int, memory: int) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libraries print before they die
    for default in (signal.SIGINT, signal.SIGALRM):
        signal.signal(default, signal.SIG_DFL)
    signal.alarm(PATIENCE * seconds)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _lower(resource.RLIMIT_CPU, seconds)
    taken = Path("/proc/self/statm")
    if taken.exists():
        limit = int(taken.read_text().split()[0]) * resource.getpagesize() + memory
        _lower(resource.RLIMIT_AS, limit)


def _lower(kind: int, limit: int) -> None:
    """Limit a resource, at most up to the hard limit that this process has already."""
    hard = resource.getrlimit(kind)[1]
    if hard == resource.RLIM_INFINITY:
        hard = limit + 1
    resource.setrlimit(kind, (min(limit, hard), min(limit + 1, hard)))
