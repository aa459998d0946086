"""Run one command, and leave no process, no shared memory and no folder of it behind, whoever dies first.

A script of the standard library alone, in a session of its own: it outlives the process that started it, and then
cleans up. Linux only, like Lava's processes. Its stderr is the log of the command. Any byte on stdin, or its end, ends
the run. stdout gets one line of JSON, a ``Verdict``; the folders are kept until stdin ends.

usage: python -I -S supervisor.py RUN_ID ORDER      (ORDER: an ``Order`` as JSON)
"""

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

RUN_ID = "TDD_LAVA_RUN_ID"  # in the environment of every process of a run; run.py puts it into the names of segments
SHARED_MEMORY = Path("/dev/shm")
POLL_S = 0.05
UNKILLABLE_S = 5.0  # how long a process may take to die of SIGKILL


@dataclass(frozen=True)
class Order:
    """A command, and the limits of its run."""

    command: Sequence[str]
    folder: str  # where it runs
    timeout_s: float
    grace_s: float  # between SIGTERM and SIGKILL
    parent: int  # process id of the process that gave the order
    remove: Sequence[str]  # folders, at the very end


@dataclass(frozen=True)
class Verdict:
    """How the command ended."""

    end: Literal["exit", "timeout", "stop", "no start"]
    code: int  # as subprocess has it: negative for a signal
    stubborn: Sequence[int] = ()  # processes that SIGKILL did not end


def segments(run_id: str = "?????") -> list[Path]:
    """Return the shared-memory segments of a run, or of all."""
    return sorted(SHARED_MEMORY.glob(f"tdd{run_id}_*"))


def run_of(segment: Path) -> str:
    """Return the run id in the name of a segment."""
    return segment.name[len("tdd") : segment.name.index("_")]


def processes() -> Iterator[tuple[int, str]]:
    """Yield process id and run id of every living process of ours; a zombie has no environment."""
    mark = f"{RUN_ID}="
    for process, entries in _facts("environ"):
        for entry in entries:
            if entry.startswith(mark):
                yield process, entry.removeprefix(mark)


def at_work() -> set[str]:
    """Return the ids of runs that have a living supervisor."""
    commands = (words for _, words in _facts("cmdline"))
    return {words[4] for words in commands if len(words) > 5 and Path(words[3]).name == Path(__file__).name}


def _facts(name: str) -> Iterator[tuple[int, list[str]]]:
    """Yield process id and the words of a file in /proc, for every process whose file we can read."""
    for path in Path("/proc").glob(f"[0-9]*/{name}"):
        with contextlib.suppress(OSError):  # ended meanwhile, or not ours
            yield int(path.parent.name), path.read_bytes().decode(errors="replace").split("\0")


def clear(run_id: str) -> list[int]:
    """End every process of a run and remove its segments; return the processes that do not die."""
    until = time.monotonic() + UNKILLABLE_S
    while (left := _of(run_id)) and time.monotonic() < until:
        for process in left:
            _send(os.kill, process, signal.SIGKILL)
        time.sleep(POLL_S)
    for segment in segments(run_id):
        segment.unlink(missing_ok=True)
    return left


def supervise(run_id: str, order: Order) -> Verdict:
    """Run the command until it ends, is too slow, or nobody waits for it any more; then clean up."""
    try:
        worker = subprocess.Popen(
            order.command,
            cwd=order.folder,
            env={**os.environ, RUN_ID: run_id},
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
            stderr=sys.stderr,
            start_new_session=True,
        )
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        return Verdict("no start", 1)
    try:
        end = _watch(worker.pid, order)
    finally:
        stubborn = _stop(worker.pid, run_id, order.grace_s)
        code = worker.poll()
    return Verdict(end, -signal.SIGKILL if code is None else code, stubborn)


def _watch(worker: int, order: Order) -> Literal["exit", "timeout", "stop"]:
    until = time.monotonic() + order.timeout_s
    while not _has_ended(worker):
        if time.monotonic() > until:
            return "timeout"
        if _nobody_waits(order.parent):
            return "stop"
    return "exit"


def _stop(worker: int, run_id: str, grace_s: float) -> list[int]:
    """Stop the worker's group and processes that left it; reap the worker later, so that the group keeps its number."""
    until = time.monotonic() + grace_s
    for target in (worker, *_of(run_id)):
        _send(os.killpg if target == worker else os.kill, target, signal.SIGTERM)
    while (_of(run_id) or not _has_ended(worker)) and time.monotonic() < until:
        time.sleep(POLL_S)
    _send(os.killpg, worker, signal.SIGKILL)
    return clear(run_id)


def _nobody_waits(parent: int) -> bool:
    """Wait a moment for the parent to end this; its forks may hold the pipe open, so compare the parent's id too."""
    readable, _, _ = select.select([sys.stdin], [], [], POLL_S)
    return bool(readable) or os.getppid() != parent


def _has_ended(child: int) -> bool:
    """Ask without reaping."""
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _of(run_id: str) -> list[int]:
    return [process for process, its_run in processes() if its_run == run_id]


def _send(kill: Callable[[int, int], None], target: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        kill(target, number)


def main() -> None:
    """Obey the order on the command line."""
    run_id, order = sys.argv[1], Order(**json.loads(sys.argv[2]))
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)  # to end this, end the parent
    try:
        verdict = supervise(run_id, order)
        with contextlib.suppress(BrokenPipeError):
            sys.stdout.write(json.dumps(asdict(verdict)) + "\n")
            sys.stdout.flush()
        while not _nobody_waits(order.parent):
            pass
    finally:
        for folder in order.remove:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
