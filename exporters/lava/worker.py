"""Execute a bundle in Lava, in processes of its own that leave nothing behind: see ``supervisor.py``."""

import contextlib
import json
import os
import secrets
import shutil
import signal
import string
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from tdd_deploy.errors import BadFile, BadOption, TddDeployError, WorkerFailed
from tdd_deploy.files import FOLDER_OF_FILE, find_target, make_folder, replacing, writing

from . import environment, supervisor
from .folder import BUNDLE, MANIFEST, RUN, WEIGHTS
from .supervisor import Order, Verdict

TIMEOUT_S = 3600.0
GRACE_S = 3.0
BAD_INPUT = 2  # run.py's exit code after one sentence on stderr
RUN_ID_LENGTH = 5  # multiprocessing leaves no more characters in the name of a segment
LAST_LINES = 12
TAIL_BYTES = 1 << 16


@dataclass(frozen=True, kw_only=True)
class LavaRun:
    """How long a run of Lava took, and the end of its log."""

    seconds: float  # of all Lava time steps, without the start
    start_seconds: float
    lava_steps: int
    log: str  # the end of the output of Lava


def run_bundle(
    bundle: Path,
    inputs: Path,
    outputs: Path,
    *,
    python: Path,
    layers: bool = False,
    potentials: bool = False,
    timeout_s: float = TIMEOUT_S,
) -> LavaRun:
    """Execute a bundle on ``inputs`` (.npz) and write ``outputs`` (.npz), as ``run_script`` does.

    The network comes from the bundle and the code from this package: nothing in the bundle is executed.

    Args:
        bundle: a folder with a manifest and weights.
        inputs: the file that run.py reads: ``x``, [samples, n_steps, *shape] or [samples, *shape].
        outputs: the file that run.py writes.
        python: the interpreter that has Lava.
        layers: also write every layer's spikes.
        potentials: also write every layer's potential before the reset.
        timeout_s: wall-clock seconds, the start included.

    Raises:
        BadFile: no such bundle or inputs, or ``outputs`` cannot be written.
        WorkerFailed: Lava failed or was too slow, or run.py refused the inputs.
    """
    for name in (MANIFEST, WEIGHTS):
        _check_file(bundle / name, "name a folder that an export to Lava wrote")
    flags = ["--bundle", str(bundle.absolute()), *["--layers"] * layers, *["--potentials"] * potentials]
    script = BUNDLE / RUN
    return run_script(script, inputs, outputs, subject=bundle, python=python, flags=flags, timeout_s=timeout_s)


def run_script(
    script: Path,
    inputs: Path,
    outputs: Path,
    *,
    subject: Path,
    python: Path,
    flags: Sequence[str] = (),
    timeout_s: float = TIMEOUT_S,
) -> LavaRun:
    """Execute a run.py, which writes ``outputs``, whole or not at all.

    Whatever happens, to Lava or to this process, no process, shared memory or temporary file is left. The log of a
    run that failed is kept in the folder ``logs`` of ``environment.home()``.

    Args:
        script: takes the names of the inputs and of the outputs, and ``flags``.
        inputs: an .npz file.
        outputs: an .npz file, or a link to one.
        subject: what is executed, for error messages.
        python: the interpreter that has Lava.
        flags: further words on the command line.
        timeout_s: wall-clock seconds, the start included.

    Raises:
        BadFile: there are no such inputs, or ``outputs`` cannot be written.
        WorkerFailed: the script failed or was too slow, or refused the inputs.
    """
    if not timeout_s > 0:
        raise BadOption("timeout_s", f"{timeout_s:g}", "a number of seconds above 0")
    _check_file(inputs, "name an .npz file")
    target = find_target(outputs)
    with _folder_beside(target) as beside, _scratch_folder() as scratch:
        written = beside / "outputs.npz"
        order = Order(
            command=[str(python), "-s", str(script.absolute()), str(inputs.absolute()), str(written), *flags],
            folder=str(scratch),
            timeout_s=timeout_s,
            grace_s=GRACE_S,
            parent=os.getpid(),
            remove=[str(beside), str(scratch)],
        )
        log = scratch / "log.txt"
        with _supervised(order, log, scratch) as verdict:
            run = _judged(verdict, written, subject, log, timeout_s)
            _move(written, target)
    return run


def _check_file(path: Path, remedy: str) -> None:
    if not path.is_file():
        raise BadFile(path, "does not exist", remedy)


@contextlib.contextmanager
def _folder_beside(path: Path) -> Iterator[Path]:
    """Make a folder from which a file can be renamed to ``path``."""
    with writing(path, FOLDER_OF_FILE):
        folder = tempfile.TemporaryDirectory(
            prefix=f".{path.name}.", suffix=".part", dir=path.absolute().parent, ignore_cleanup_errors=True
        )
    with folder as name:
        yield Path(name)


@contextlib.contextmanager
def _scratch_folder() -> Iterator[Path]:
    """Make a folder for the log and for Lava's sockets, whose paths must be short."""
    with tempfile.TemporaryDirectory(prefix="tdd-lava-", ignore_cleanup_errors=True) as name:
        yield Path(name)


@contextlib.contextmanager
def _supervised(order: Order, log: Path, scratch: Path) -> Iterator[Verdict]:
    """Have a supervisor execute the order; afterwards the run has ended and left nothing, whatever happened."""
    run_id = _new_run_id()
    with log.open("wb") as stream:
        supervising = subprocess.Popen(
            [sys.executable, "-I", "-S", supervisor.__file__, run_id, json.dumps(asdict(order))],
            env=_environment(scratch),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stream,
            start_new_session=True,
        )
    assert supervising.stdin is not None
    assert supervising.stdout is not None
    try:
        line = supervising.stdout.readline()
        yield Verdict(**json.loads(line)) if line else Verdict("no start", supervising.wait())
    finally:
        with contextlib.suppress(BrokenPipeError):
            supervising.stdin.write(b".")
            supervising.stdin.close()
        supervising.stdout.close()
        _end(supervising, run_id, order.grace_s)


def _end(supervising: subprocess.Popen[bytes], run_id: str, grace_s: float) -> None:
    """Wait until the supervisor has cleaned up; do its work if it was killed."""
    try:
        code = supervising.wait(grace_s + 2 * supervisor.UNKILLABLE_S)
    except subprocess.TimeoutExpired:
        supervising.kill()
        code = supervising.wait()
    if code != 0:
        supervisor.clear(run_id)


def _new_run_id() -> str:
    taken = {run_id for _, run_id in supervisor.processes()}
    while True:
        run_id = "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(RUN_ID_LENGTH))
        if run_id not in taken and not supervisor.segments(run_id):
            return run_id


def _move(written: Path, target: Path) -> None:
    """Move a finished file to its place, and wait until it is on the disk."""
    with replacing(target) as part:
        written.replace(part)


def _environment(scratch: Path) -> dict[str, str]:
    """Choose the variables that Lava's processes see: none of ours can mislead them."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LD_LIBRARY_PATH") if name in os.environ}
    threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
    return {
        **kept,
        **dict.fromkeys(threads, "1"),  # Lava has a process per layer already
        "LANG": "C.UTF-8",
        "PYTHONNOUSERSITE": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",  # so the log of a killed process is complete
        "TMPDIR": str(scratch),
    }


def _judged(verdict: Verdict, written: Path, subject: Path, log: Path, timeout_s: float) -> LavaRun:
    """Return the times of a good run.

    Raises:
        WorkerFailed: it was not good.
    """
    text = _tail(log)
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    if (verdict.end, verdict.code) == ("exit", BAD_INPUT) and lines:
        raise WorkerFailed(str(subject), f"cannot be run: {lines[-1]}")
    found, remedy = _fault(verdict, timeout_s)
    if not found:
        try:
            return _read(written, text)
        except (OSError, KeyError, ValueError, TypeError, zipfile.BadZipFile) as error:
            found, remedy = f"ended well, but its outputs cannot be read ({error})", ""
    raise WorkerFailed(str(subject), found, remedy, lines[-LAST_LINES:], _kept(log, subject))


def _fault(verdict: Verdict, timeout_s: float) -> tuple[str, str]:
    """Describe the fault of a run and its remedy; both are empty if there is none."""
    if verdict.stubborn:
        listed = ", ".join(map(str, verdict.stubborn))
        return f"started processes that cannot be ended ({listed})", "find out what they wait for"
    match verdict.end:
        case "timeout":
            return f"was stopped after {timeout_s:g} s", "allow more time with `timeout_s`, or run fewer samples"
        case "no start":
            return "could not be started", "run tdd-deploy lava doctor to find the cause"
        case "stop":
            return "was stopped from outside", ""
    if verdict.code < 0:
        cause = ", often a sign that memory ran out" if -verdict.code == signal.SIGKILL else ""
        return f"was ended by signal {-verdict.code}{cause}", ""
    return (f"failed in Lava (exit code {verdict.code})", "") if verdict.code else ("", "")


def _read(written: Path, log: str) -> LavaRun:
    with np.load(written, allow_pickle=False) as arrays:
        return LavaRun(
            seconds=float(arrays["seconds"]),
            start_seconds=float(arrays["start_seconds"]),
            lava_steps=int(arrays["lava_steps"]),
            log=log,
        )


def _tail(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - TAIL_BYTES))
        return file.read().decode(errors="replace")


def _kept(log: Path, subject: Path) -> Path | None:
    """Copy a log to the folder of logs, if that is possible."""
    try:
        folder = environment.home() / "logs"
        make_folder(folder)
        path = folder / f"{subject.absolute().name}-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}.log"
        shutil.copyfile(log, path)
    except (TddDeployError, OSError):
        return None  # an error quotes the last lines in any case
    return path
