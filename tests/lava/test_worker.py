"""The worker, with bundles whose run.py needs no Lava: whatever happens, nothing is left."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tdd_deploy.errors import BadFile, BadOption, WorkerFailed
from tdd_deploy.exporters.lava import supervisor, worker
from tdd_deploy.exporters.lava.worker import LavaRun, run_bundle, run_script
from tests.waiting import wait_until

PATIENCE_S = 60.0

GOOD = """
import sys
import numpy as np
print("Lava says hello")
x = np.load(sys.argv[1])["x"]
np.savez(sys.argv[2], output=x + len(sys.argv), seconds=1.5, start_seconds=0.25, lava_steps=7)
"""

# Four processes that SIGTERM does not impress, one of them in another session, and two segments.
CROWD = """
import os, signal, subprocess, sys, time
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
signal.signal(signal.SIGTERM, signal.SIG_IGN)
run_id = os.environ["TDD_LAVA_RUN_ID"]
memory = [SharedMemory(f"tdd{run_id}_{i}", create=True, size=64) for i in range(2)]
processes = [os.getpid()]
for kind in ("fork", "session"):
    child = os.fork()
    if not child:
        if kind == "session":
            os.setsid()
        while True:
            time.sleep(1)
    processes.append(child)
processes.append(subprocess.Popen(["sleep", "1000"]).pid)
Path(sys.argv[2]).write_text("half an output")
print("the crowd is there", flush=True)
part = Path(__file__).with_name("part")
part.write_text(" ".join([run_id, *map(str, processes)]))
part.rename(Path(__file__).with_name("crowd"))
END
"""
SLEEPING = CROWD.replace("END", "time.sleep(1000)")

PARENT = """
import os, signal, sys, time
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell in the background ignores it
from tdd_deploy.exporters.lava import worker
worker.GRACE_S = 0.2
bundle, inputs, outputs = map(Path, sys.argv[1:])
worker.run_script(bundle / "run.py", inputs, outputs, subject=bundle, python=Path(sys.executable))
"""
# Another thread forks while the run goes on: the fork holds the supervisor's pipe open, and outlives the parent.
FORKING_PARENT = PARENT.replace(
    "worker.run_script",
    """
import threading
def fork():
    while not (bundle / "crowd").exists():
        time.sleep(0.02)
    fork = os.fork()
    if not fork:
        time.sleep(1000)
        os._exit(0)
    (bundle / "part").write_text(str(fork))
    (bundle / "part").rename(bundle / "fork")
threading.Thread(target=fork).start()
worker.run_script""",
)


@dataclass(frozen=True)
class Place:
    """A bundle, its inputs and outputs, and where logs and temporary files go."""

    root: Path

    @property
    def bundle(self) -> Path:
        return self.root / "bundle"

    @property
    def outputs(self) -> Path:
        return self.root / "out" / "y.npz"

    @property
    def arguments(self) -> tuple[Path, Path, Path]:
        return self.bundle, self.root / "x.npz", self.outputs

    def run(self, code: str, *, timeout_s: float = PATIENCE_S, flags: Sequence[str] = ()) -> LavaRun:
        (self.bundle / "run.py").write_text(code)
        return self.run_with(Path(sys.executable), timeout_s=timeout_s, flags=flags)

    def run_with(self, python: Path, *, timeout_s: float = PATIENCE_S, flags: Sequence[str] = ()) -> LavaRun:
        bundle, inputs, outputs = self.arguments
        return run_script(
            bundle / "run.py", inputs, outputs, subject=bundle, python=python, timeout_s=timeout_s, flags=flags
        )

    def start(self, parent: str) -> subprocess.Popen[bytes]:
        """Start a parent of a run that sleeps, and wait until all its processes are there."""
        (self.bundle / "run.py").write_text(SLEEPING)
        environment = {**os.environ, "TMPDIR": str(self.root / "tmp")}
        process = subprocess.Popen(
            [sys.executable, "-c", parent, *map(str, self.arguments)],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until((self.bundle / "crowd").exists)
        return process

    def crowd(self) -> tuple[str, list[int]]:
        run_id, *processes = (self.bundle / "crowd").read_text().split()
        return run_id, [int(process) for process in processes]

    def forks(self) -> list[int]:
        """Return the process that a parent forked beside its run."""
        path = self.bundle / "fork"
        return [int(path.read_text())] if path.exists() else []

    def assert_nothing_is_left(self) -> None:
        run_id, processes = self.crowd()
        wait_until(lambda: not any(is_alive(process) for process in processes))
        wait_until(lambda: run_id not in supervisor.at_work())
        assert supervisor.segments(run_id) == []
        assert list((self.root / "tmp").iterdir()) == []
        assert list((self.root / "out").iterdir()) == []


def is_alive(process: int) -> bool:
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    for name in ("bundle", "out", "tmp"):
        (tmp_path / name).mkdir()
    np.savez(tmp_path / "x.npz", x=np.arange(3))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setattr(worker, "GRACE_S", 0.2)
    monkeypatch.setenv("TDD_DEPLOY_LAVA_HOME", str(tmp_path / "home"))
    place = Place(tmp_path)
    yield place
    if (place.bundle / "crowd").exists():  # a failing test must not leave what it tests for
        for process in [*place.crowd()[1], *place.forks()]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)


def test_a_good_run_gives_its_outputs_and_leaves_nothing_else(place: Place) -> None:
    run = place.run(GOOD, flags=["--layers", "--potentials"])
    assert (run.seconds, run.start_seconds, run.lava_steps, run.log) == (1.5, 0.25, 7, "Lava says hello\n")
    with np.load(place.outputs) as arrays:
        assert arrays["output"].tolist() == [5, 6, 7]
    assert sorted(path.name for path in place.root.rglob("*") if path.is_file()) == ["run.py", "x.npz", "y.npz"]


def test_leftovers_of_a_good_run_are_removed(place: Place) -> None:
    place.run(CROWD.replace("END", GOOD))
    place.outputs.unlink()
    place.assert_nothing_is_left()


def test_a_run_sees_nothing_of_our_environment(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/ours")
    monkeypatch.setenv("SECRET", "ours")
    log = place.run("import json, os; print(json.dumps([os.getcwd(), dict(os.environ)]))" + GOOD).log
    folder, variables = json.loads(log.splitlines()[0])
    assert variables.keys().isdisjoint({"PYTHONPATH", "SECRET"})
    assert len(variables["TDD_LAVA_RUN_ID"]) == 5
    assert variables["OMP_NUM_THREADS"] == variables["PYTHONNOUSERSITE"] == "1"
    assert folder == variables["TMPDIR"]
    assert Path(folder).parent == place.root / "tmp"


def test_a_run_that_is_too_slow_is_stopped_and_its_log_is_kept(place: Place) -> None:
    began = time.monotonic()
    with pytest.raises(WorkerFailed, match=r"bundle was stopped after 4 s\. .*timeout_s") as failed:
        place.run(SLEEPING, timeout_s=4)
    assert time.monotonic() - began < PATIENCE_S
    place.assert_nothing_is_left()
    assert "  | the crowd is there" in str(failed.value)
    assert failed.value.log is not None
    assert failed.value.log.read_text() == "the crowd is there\n"
    assert failed.value.log.parent == place.root / "home" / "logs"


def test_a_run_that_raises_shows_its_last_lines_and_the_path_of_its_log(place: Place) -> None:
    with pytest.raises(WorkerFailed, match=r"bundle failed in Lava \(exit code 1\)") as failed:
        place.run(CROWD.replace("END", "raise ValueError('too many spikes')"))
    place.assert_nothing_is_left()
    assert failed.value.last_lines[-1] == "ValueError: too many spikes"
    assert str(failed.value).endswith(f"the whole log: {failed.value.log}")
    assert failed.value.exit_code == 2


def test_a_run_that_ends_by_a_signal_says_which(place: Place) -> None:
    with pytest.raises(WorkerFailed, match=r"ended by signal 9.*memory"):
        place.run("import os; os.kill(os.getpid(), 9)")


def test_a_refused_input_is_one_sentence_without_a_log(place: Place) -> None:
    code = "import sys; print('warming up'); print('x is [3], not [n, 6, 64].', file=sys.stderr); sys.exit(2)"
    with pytest.raises(WorkerFailed) as failed:
        place.run(code)
    assert str(failed.value) == f"{place.bundle} cannot be run: x is [3], not [n, 6, 64]."
    assert not (place.root / "home").exists()


@pytest.mark.parametrize("code", ["", "import sys; open(sys.argv[2], 'w').write('nonsense')"])
def test_a_run_without_readable_outputs_has_failed(code: str, place: Place) -> None:
    with pytest.raises(WorkerFailed, match="outputs cannot be read"):
        place.run(code)
    assert list((place.root / "out").iterdir()) == []


def test_an_interpreter_that_does_not_run_is_reported(place: Place) -> None:
    (place.bundle / "run.py").touch()
    with pytest.raises(WorkerFailed, match=r"could not be started(.|\n)*No such file"):
        place.run_with(place.root / "python")


def test_missing_files_are_reported_before_anything_runs(place: Place) -> None:
    bundle, inputs, outputs = place.arguments
    with pytest.raises(BadFile, match=r"manifest\.json does not exist\. Name a folder"):
        run_bundle(bundle, inputs, outputs, python=Path(sys.executable))
    for name in ("manifest.json", "weights.npz"):
        (bundle / name).touch()
    for files, found in (
        ((bundle, place.root / "no.npz", outputs), "does not exist"),
        ((bundle, inputs, place.root / "no" / "y.npz"), "cannot be written"),
        ((bundle, inputs, place.root), "is a folder"),
    ):
        with pytest.raises(BadFile, match=found):
            run_bundle(*files, python=Path(sys.executable))
    with pytest.raises(BadOption, match=r"^timeout_s must be a number of seconds above 0 \(got 0\)"):
        place.run(GOOD, timeout_s=0)


def test_outputs_follow_a_link_and_never_replace_a_pipe_or_a_device(place: Place) -> None:
    (place.root / "elsewhere.npz").write_bytes(b"earlier outputs")
    place.outputs.symlink_to(place.root / "elsewhere.npz")
    place.run(GOOD)
    assert place.outputs.is_symlink()
    with np.load(place.root / "elsewhere.npz") as arrays:
        assert arrays["output"].tolist() == [3, 4, 5]
    place.outputs.unlink()
    os.mkfifo(place.outputs)
    with pytest.raises(BadFile, match="is a pipe or a device"):
        place.run(GOOD)
    assert place.outputs.is_fifo()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_when_the_parent_is_killed(number: int, place: Place) -> None:
    parent = place.start(PARENT)
    parent.send_signal(number)
    parent.wait(PATIENCE_S)
    place.assert_nothing_is_left()


def test_nothing_is_left_when_a_fork_of_the_killed_parent_lives_on(place: Place) -> None:
    parent = place.start(FORKING_PARENT)
    wait_until((place.bundle / "fork").exists)
    parent.kill()
    parent.wait(PATIENCE_S)
    place.assert_nothing_is_left()


def test_an_exception_in_the_parent_does_not_wait_for_its_forks(place: Place) -> None:
    parent = place.start(FORKING_PARENT)
    wait_until((place.bundle / "fork").exists)
    parent.send_signal(signal.SIGINT)
    parent.wait(PATIENCE_S)  # the fork sleeps longer
    place.assert_nothing_is_left()


def test_nothing_is_left_when_the_supervisor_is_killed(place: Place) -> None:
    parent = place.start(PARENT)
    run_id, _ = place.crowd()
    (watching,) = (int(path.parent.name) for path in Path("/proc").glob("[0-9]*/cmdline") if run_id in words_of(path))
    os.kill(watching, signal.SIGKILL)
    assert parent.wait(PATIENCE_S) != 0
    place.assert_nothing_is_left()


def words_of(path: Path) -> list[str]:
    try:
        return path.read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []
