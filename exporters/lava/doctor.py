"""Examine Lava's environment and this machine; every fault comes with a remedy."""

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

import numpy as np

from tdd_deploy.errors import TddDeployError, WorkerFailed

from . import environment, supervisor
from .folder import RUN
from .worker import run_script

SELFTEST = Path(__file__).with_name("selftest")
SELFTEST_S = 60.0
NEEDED_MIB = 16  # of shared memory; a small network takes less than one
# Weights 8 and 4 per step into neurons that keep their potential and fire above 10.
SPIKES = [[0, 0], [1, 0], [0, 1], [1, 0], [0, 0], [1, 1]]


@dataclass(frozen=True)
class Check:
    """One thing that was examined; ``remedy`` is empty when it is in order."""

    name: str
    ok: bool
    found: str
    remedy: str = ""


def doctor() -> list[Check]:
    """Examine everything that a run of Lava needs, and try one."""
    return [*_environment(), _shared_memory(), _leftovers()]


def _environment() -> Iterator[Check]:
    python = environment.find()
    if python is None:
        yield Check("environment", False, f"none in {environment.home()}", f"run {environment.SETUP}")
        return
    yield Check("environment", True, str(python))
    rebuild = f"remove {environment.home() / 'env'} and run {environment.SETUP}"
    try:
        report = environment.report(python)
    except WorkerFailed as error:
        yield Check("interpreter", False, str(error), rebuild)
        return
    fits = report["python"].startswith(f"{environment.PYTHON}.")
    yield Check("interpreter", fits, f"Python {report['python']}", "" if fits else rebuild)
    yield _packages(report["packages"], rebuild)
    numpy = report["packages"]["numpy"]
    below_2 = numpy.split(".")[0] in ("0", "1")
    yield Check("numpy below 2", below_2, numpy, "" if below_2 else rebuild)
    imports = report["lava"] == "fine"
    yield Check("lava imports", imports, "yes" if imports else report["lava"], "" if imports else rebuild)
    yield _spikes(python)


def _packages(found: dict[str, str], remedy: str) -> Check:
    wrong = [f"{name} {found[name]} instead of {pin}" for name, pin in environment.pins().items() if found[name] != pin]
    if wrong:
        return Check("packages", False, ", ".join(wrong), remedy)
    return Check("packages", True, f"{len(found)} as pinned, lava-nc {found['lava-nc']}")


def _spikes(python: Path) -> Check:
    """Run two neurons as a bundle is run."""
    name, folder = "two neurons in Lava", Path(tempfile.mkdtemp(prefix="tdd-doctor-"))
    try:
        np.savez(folder / "in.npz", x=np.ones((len(SPIKES), 2), np.int64))
        given, written = folder / "in.npz", folder / "out.npz"
        run = run_script(SELFTEST / RUN, given, written, subject=SELFTEST, python=python, timeout_s=SELFTEST_S)
        with np.load(folder / "out.npz") as arrays:
            spikes = arrays["output"].tolist()
    except TddDeployError as error:
        return Check(name, False, str(error), "read its log")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if spikes != SPIKES:
        return Check(name, False, f"spikes {spikes} instead of {SPIKES}", "please report this")
    return Check(name, True, f"the right spikes in {run.seconds:.1f} s")


def _shared_memory() -> Check:
    name, remedy = (
        str(supervisor.SHARED_MEMORY),
        f"make it larger; docker has an option for it, shm-size={2 * NEEDED_MIB}m",
    )
    try:
        memory = SharedMemory(create=True, size=1 << 12)
        memory.close()
        memory.unlink()
        free = shutil.disk_usage(supervisor.SHARED_MEMORY).free >> 20
    except OSError as error:
        return Check(name, False, f"cannot be used ({error.strerror})", "mount it and make it writable")
    return Check(name, free >= NEEDED_MIB, f"{free} MiB free", "" if free >= NEEDED_MIB else remedy)


def _leftovers() -> Check:
    """Look for processes and memory of runs whose supervisor is gone."""
    before, running, stored = supervisor.at_work(), list(supervisor.processes()), supervisor.segments()
    at_work = before | supervisor.at_work()  # runs begin and end while we look
    processes = [process for process, run_id in running if run_id not in at_work]
    segments = [path for path in stored if supervisor.run_of(path) not in at_work]
    if not processes and not segments:
        return Check("leftovers of earlier runs", True, "none")
    remedies = [f"kill -9 {' '.join(map(str, processes))}"] * bool(processes)
    remedies += [f"rm {' '.join(map(str, segments))}"] * bool(segments)
    found = f"{len(processes)} processes, {len(segments)} segments of shared memory"
    return Check("leftovers of earlier runs", False, found, "; ".join(remedies))
