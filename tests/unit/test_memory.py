"""Limits on memory: a sentence names them, good files stay good, and large weights are copied few times."""

import errno
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tdd_deploy as td
from tdd_deploy import memory
from tdd_deploy.errors import TooLittleMemory
from tdd_deploy.importers import hdf5, probe
from tdd_deploy.neurons import LIF
from tdd_deploy.program import Dense, Edge, Input, NeuronLayer, Output, Program, build
from tests import by_hand

limited = pytest.mark.skipif(sys.platform != "linux", reason="address space is limited on Linux alone")
WEIGHTS = 3000**2 * 4  # bytes
MB = memory.MB


def dense(n: int) -> Program:
    weight = np.random.default_rng(0).standard_normal((n, n), dtype=np.float32) / np.float32(n)
    one = np.float32(1)
    layer = NeuronLayer(name="lif", shape=(n,), neuron=LIF(v_threshold=one, v_reset=0 * one, beta=one / 2))
    nodes = [Input(name="in", shape=(n,)), Dense(name="fc", weight=weight), layer, Output(name="out")]
    return build(nodes, [Edge("in", "fc"), Edge("fc", "lif"), Edge("lif", "out")], dt_s=1e-3, n_steps=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("networks")
    for name, n in (("small", 8), ("large", 3000)):
        td.export(dense(n), target="nir", out=folder / f"{name}.nir")
        np.savez(folder / f"{name}.npz", x=np.ones((2, n), np.float32))
    return folder


# A new process inherits the peak of its parent, so a small launcher starts it, and not the process of the tests.
LAUNCHER = """
import os, sys
child = os.posix_spawn(sys.executable, [sys.executable, "-m", "tdd_deploy", *sys.argv[1:]], os.environ)
_, status, used = os.wait4(child, 0)
sys.stderr.write(str(used.ru_maxrss * 1024))
sys.exit(os.waitstatus_to_exitcode(status))
"""


def peak(words: list[str], folder: Path) -> int:
    """Return the largest resident set of a command, or of a process that it starts."""
    command = [sys.executable, "-S", "-c", LAUNCHER, *words]
    done = subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=True)
    return int(done.stderr)


@limited
@pytest.mark.parametrize(
    "command",
    [
        "inspect NET.nir",
        "check NET.nir --chip loihi2",
        "simulate NET.nir --data NET.npz",
        "export NET.nir --target nir --out NET-out.nir",
        "export NET.nir --target onnx --out NET-out.onnx",
    ],
)
def test_a_command_takes_at_most_three_times_the_memory_of_the_weights(command: str, folder: Path) -> None:
    small, large = (peak(command.replace("NET", name).split(), folder) for name in ("small", "large"))
    assert WEIGHTS / 2 < large - small < 3 * WEIGHTS


def run_limited(words: list[str], limit: int, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tdd_deploy", *words],
        cwd=cwd,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@limited
@pytest.mark.parametrize("megabytes", [100, 200, 250, 400])
@pytest.mark.parametrize(
    "command", ["inspect small.nir", "simulate small.nir --data small.npz", "train --data digits --out run"]
)
def test_a_hard_limit_is_one_sentence_and_never_a_damaged_file(command: str, megabytes: int, folder: Path) -> None:
    done = run_limited([*command.split()], megabytes * MB, folder)
    assert done.returncode in (0, 2)
    assert "damaged" not in done.stderr
    assert "Traceback" not in done.stderr
    if done.returncode:
        assert f"the limit of {megabytes} MB" in done.stderr
        assert "ulimit -v" in done.stderr
        assert done.stderr.count("\n") == 1


@limited
def test_help_needs_hardly_any_memory(folder: Path) -> None:
    assert run_limited(["train", "--help"], 100 * MB, folder).returncode == 0


def test_without_a_limit_everything_may_be_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (resource.RLIM_INFINITY,) * 2)
    memory.reserve(1 << 60, "a test")
    assert memory.address_space() is None


def test_a_limit_that_leaves_too_little_is_named_with_what_it_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "address_space", lambda: 500 * MB)
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    memory.reserve(400 * MB, "a test", taken=100 * MB)
    with pytest.raises(TooLittleMemory) as refused:
        memory.reserve(401 * MB, "a test", taken=100 * MB)
    text = str(refused.value)
    assert text.startswith("a test needs 401 MB of memory, and the limit of 500 MB leaves 400 MB. ")
    assert "ulimit -v" in text
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    with pytest.raises(TooLittleMemory, match="needs 408 MB"):  # a thread's stack for each further core
        memory.reserve(400 * MB, "a test", taken=100 * MB)


def group(root: Path, *, limit: str, used: str, unused: str, folder: str, numbers: tuple[str, str, int]) -> None:
    (root / folder).mkdir(parents=True, exist_ok=True)
    (root / folder / limit).write_text(f"{numbers[0]}\n")
    (root / folder / used).write_text(f"{numbers[1]}\n")
    (root / folder / "memory.stat").write_text(f"anon 1\n{unused} {numbers[2]}\n")


@pytest.mark.parametrize("version", ["", "memory"])
def test_control_groups_leave_what_the_narrowest_of_them_leaves(
    version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = dict(zip(("limit", "used", "unused"), memory.LIMITS[version], strict=True))
    root = tmp_path / version
    group(root, **names, folder="job/step", numbers=("max" if not version else "9223372036854771712", "700", 0))
    group(root, **names, folder="job", numbers=("1000", "700", 50))
    (tmp_path / "groups").write_text(f"3:{version}:/job/step\n1:cpu:/elsewhere\n")
    monkeypatch.setattr(memory, "GROUPS", tmp_path / "groups")
    monkeypatch.setattr(memory, "ROOT", tmp_path)
    assert memory.available() == 350


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
        RuntimeError("can't start new thread"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:114] DefaultCPUAllocator: not enough memory"),
        RuntimeError("std::bad_alloc"),
        np._core._exceptions._ArrayMemoryError((10**12,), np.dtype("f4")),
    ],
    ids=repr,
)
def test_errors_of_libraries_that_ran_out_of_memory_are_known(error: Exception) -> None:
    assert memory.ran_out(error)
    outer = ValueError("what came of it")
    outer.__cause__ = error
    assert memory.ran_out(outer)


@pytest.mark.parametrize("error", [ValueError("no such filter"), KeyError("v"), OSError(errno.ENOSPC, "disk full")])
def test_other_errors_are_no_lack_of_memory(error: Exception) -> None:
    assert not memory.ran_out(error)


@limited
def test_a_probe_that_a_limit_of_the_session_stops_says_nothing_about_the_file() -> None:
    code = (
        "import resource; from pathlib import Path; from tdd_deploy.importers.probe import probe\n"
        "from tdd_deploy.errors import TooLittleMemory\n"
        "taken = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, 2 * (taken + (64 << 20),))\n"
        "try: print(probe(lambda: bytes(128 << 20), seconds=5, memory=256 << 20))\n"
        "except TooLittleMemory as error: print(error)"
    )
    printed = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert "ran out of memory" in printed
    assert "ulimit -v" in printed


def test_a_probe_that_the_system_kills_says_nothing_about_the_file() -> None:
    with pytest.raises(TooLittleMemory):
        probe.probe(lambda: os.kill(os.getpid(), signal.SIGKILL), seconds=5, memory=256 << 20)


def test_a_file_is_not_probed_where_a_limit_leaves_too_little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "any.nir").write_bytes(b"x")
    monkeypatch.setattr(memory, "address_space", lambda: 1)
    with pytest.raises(TooLittleMemory, match=r"reading .*any\.nir needs"):
        hdf5.find_fault(tmp_path / "any.nir")


def test_outputs_beyond_the_memory_that_is_free_are_refused_before_they_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez(tmp_path / "x.npz", x=np.zeros((4, *by_hand.program().input.shape), np.float32))
    monkeypatch.setattr(memory, "available", lambda: 1000)
    with pytest.raises(TooLittleMemory) as refused:
        td.simulate(by_hand.program(), data=tmp_path / "x.npz", steps=1_000_000, batch=4)
    assert "a batch of 4 samples with 1,000,000 time steps" in str(refused.value)
    assert "smaller batch or fewer steps" in str(refused.value)
