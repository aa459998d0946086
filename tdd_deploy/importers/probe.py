"""Work that may never return: a copy of this process does it first, within limits that the system enforces."""

import os
import resource
import signal
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from tdd_deploy.errors import TooLittleMemory
from tdd_deploy.memory import RAISE, ran_out

LONGEST = 500  # bytes that are kept of a message
PATIENCE = 12  # wall-clock seconds per second of CPU time: other processes run, and a disk may stall
ENDLESS = (signal.SIGXCPU, signal.SIGALRM)
OUT_OF_MEMORY = 3  # the exit code of a copy to which a limit of this process leaves too little


def probe(work: Callable[[], object], *, seconds: int, memory: int) -> str:
    """Try some work in a process of its own, and describe how it failed; empty if it did not.

    Args:
        work: a function without side effects.
        seconds: of CPU time; the limit on the clock is ``PATIENCE`` times as long.
        memory: bytes that it may take; only Linux enforces this.

    Raises:
        TooLittleMemory: a limit of this process, or of the machine, ended it; that says nothing about the work.
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
    _, status, used = os.wait4(copy, 0)
    ended = os.waitstatus_to_exitcode(status)  # negative: the signal that ended it
    if ended == OUT_OF_MEMORY or (-ended == signal.SIGKILL and used.ru_utime + used.ru_stime < seconds):
        found = "ran out of memory, by a limit of this process or of the machine"
        raise TooLittleMemory("a separate process, which reads untrusted files first,", found, RAISE)
    if -ended == signal.SIGKILL:  # by the limit on its CPU time
        return "reading it does not end"
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
    is_ours = True  # the limit that the work can reach
    try:
        is_ours = _limit(seconds, memory)
        work()
    except BaseException as error:  # noqa: BLE001  (whatever it is, it is reported)
        if ran_out(error) and not is_ours:
            os._exit(OUT_OF_MEMORY)
        is_too_large = isinstance(error, MemoryError)
        return f"reading it takes more than {memory >> 20:,} MiB of memory" if is_too_large else reason(error)
    return ""


def _limit(seconds: int, memory: int) -> bool:
    """Limit this process; return whether its memory is as large as was asked for."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libraries print before they die
    for default in (signal.SIGINT, signal.SIGALRM):
        signal.signal(default, signal.SIG_DFL)
    signal.alarm(PATIENCE * seconds)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _lower(resource.RLIMIT_CPU, seconds)
    taken = Path("/proc/self/statm")
    if not taken.exists():
        return True
    limit = int(taken.read_text().split()[0]) * resource.getpagesize() + memory
    return _lower(resource.RLIMIT_AS, limit)


def _lower(kind: int, limit: int) -> bool:
    """Limit a resource, at most up to the limits that this process has already; return whether they allow ``limit``."""
    lowest = min((each for each in resource.getrlimit(kind) if each != resource.RLIM_INFINITY), default=limit + 1)
    resource.setrlimit(kind, (min(limit, lowest), min(limit + 1, lowest)))
    return limit <= lowest
