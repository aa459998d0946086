"""How much memory this process may take, by the limits that its environment sets.

Libraries in C end the process, or wait forever, when a limit leaves them nothing. So a place that loads one, or makes
a large array, asks first. A good file is never called damaged because memory ran out.
"""

import errno
import os
import resource
from collections.abc import Iterator
from pathlib import Path

from .errors import TooLittleMemory

MB = 1_000_000
# Address space that libraries take, in bytes, measured on Linux and rounded up. Each core adds a thread's stack.
NUMPY = 170 * MB  # with h5py, click and rich
ENGINE = 420 * MB  # numba and LLVM, with compilation
COMPILING = 150 * MB  # the rest of it, when a program is laid out
ONNXRUNTIME = 400 * MB
TORCH = 600 * MB  # beside its libraries
WORKERS = 1_200 * MB  # of each worker process
LAVA = 3_000 * MB  # of each process of Lava, which starts many threads
PER_CORE = 8 * MB
STATM, MEMINFO, GROUPS = Path("/proc/self/statm"), Path("/proc/meminfo"), Path("/proc/self/cgroup")
ROOT = Path("/sys/fs/cgroup")
LIMITS = {  # by the controllers of a line in GROUPS: version 2 of control groups, and version 1
    "": ("memory.max", "memory.current", "inactive_file"),
    "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}
SIGNS = (
    "failed to map segment",
    "cannot allocate memory",
    "can't start new thread",
    "can't allocate memory",
    "not enough memory",
    "bad_alloc",
    "bad allocation",
    "failed to allocate memory",
    "unable to allocate",
    "memory allocation failed",
)
RAISE = "Raise the limit (ulimit -v), or ask the batch system for more memory"


def reserve(needed: int, subject: str, *, taken: int | None = None) -> None:
    """Refuse to go on if the limit on address space leaves less than ``needed`` bytes.

    Args:
        needed: bytes.
        subject: what needs them.
        taken: bytes that are taken already; by default by this process.

    Raises:
        TooLittleMemory: the error names the limit.
    """
    limit = address_space()
    if limit is None:
        return
    left, needed = limit - (_taken() if taken is None else taken), needed + PER_CORE * ((os.cpu_count() or 1) - 1)
    if left < needed:
        found = f"needs {_megabytes(needed)} of memory, and the limit of {_megabytes(limit)} leaves {_megabytes(left)}"
        raise TooLittleMemory(subject, found, RAISE)


def address_space() -> int | None:
    """Return the limit on address space, in bytes; None without one, and where the system hides what is taken."""
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if limit == resource.RLIM_INFINITY or not STATM.exists() else limit


def available() -> int | None:
    """Return how many bytes can be taken, by the limit, the control group and the machine; None if unknown."""
    found = []
    limit = address_space()
    if limit is not None:
        found.append(limit - _taken())
    if MEMINFO.exists():
        lines = (line.split() for line in MEMINFO.read_text().splitlines())
        kib = {words[0]: int(words[1]) for words in lines if words[0] in ("MemAvailable:", "SwapFree:")}
        found.append(1024 * sum(kib.values()))
    found += _left_in_groups()
    return min(found, default=None)


def ran_out(error: BaseException | None) -> bool:
    """Decide whether an error, or an error that led to it, says that no memory was left."""
    while error is not None:
        text = str(error).lower()
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
            return True
        if any(sign in text for sign in SIGNS):
            return True
        error = error.__cause__ or error.__context__
    return False


def _taken() -> int:
    return int(STATM.read_text().split()[0]) * resource.getpagesize()


def _left_in_groups() -> Iterator[int]:
    """Yield what the control groups of this process leave it, those around its own included."""
    for line in GROUPS.read_text().splitlines() if GROUPS.exists() else ():
        _, controllers, path = line.split(":", 2)
        if controllers in LIMITS:
            folder, names = ROOT / controllers / path.lstrip("/"), LIMITS[controllers]
            yield from (left for group in (folder, *folder.parents) if (left := _left_in(group, *names)) is not None)


def _left_in(group: Path, limit: str, used: str, unused: str) -> int | None:
    """Return what one group leaves: files that the system keeps for speed count as free."""
    try:
        most = (group / limit).read_text().strip()
        kept = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        return int(most) - int((group / used).read_text()) + int(kept[unused]) if most.isdigit() else None
    except (OSError, KeyError, ValueError):
        return None  # there is no such group, or it has no limit


def _megabytes(size: int) -> str:
    return f"{max(0, size) // MB:,} MB"
