"""A bundle's run.py in Lava: its outputs are exact, and it leaves nothing behind."""

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tdd_deploy.errors import MissingDependency
from tdd_deploy.exporters.lava import environment
from tests.lava.lava_bundles import Branch, Map, Net, expected, random_input, random_net, write_bundle
from tests.waiting import wait_until

PATIENCE_S = 120.0
STOP_S = 20.0  # the run itself would take minutes
MARK = "TDD_BUNDLE_TEST"  # in the environment of every process of a run

NETWORKS = [  # mapping, arithmetic, recurrent, seed; inputs are static where the seed is even
    ("fused", "fixed_pt", False, 6),  # convolutions with groups, a pool, a junction of images
    ("fused", "fixed_pt", False, 9),  # dense layers, junctions with delays
    ("fused", "floating_pt", False, 7),
    ("fused", "fixed_pt", True, 6),
    ("stock", "fixed_pt", False, 6),
    ("stock", "fixed_pt", False, 7),
    ("stock", "floating_pt", False, 11),
    ("stock", "fixed_pt", True, 7),
    ("spike", "fixed_pt", False, 9),
    ("spike", "floating_pt", False, 6),
]


@dataclass(frozen=True)
class Run:
    """A started run.py."""

    process: subprocess.Popen[str]
    outputs: Path
    mark: str

    def end(self) -> tuple[int, str]:
        """Wait for it; return its exit code and what it said."""
        _, said = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, said

    def pids(self) -> list[int]:
        """Return its living processes."""
        mark = f"{MARK}={self.mark}".encode()
        return [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/environ") if mark in _bytes(path)]

    def wait_for_processes(self, number: int) -> list[int]:
        """Wait until this number of processes live."""
        wait_until(lambda: len(self.pids()) >= number or self.process.poll() is not None)
        return self.pids()

    def wait_until_it_runs(self) -> list[int]:
        """Wait until all its processes compute; by then each has decided what to do with signals."""
        self.wait_for_processes(6)
        wait_until(lambda: all(_cpu_ticks(pid) > 2 for pid in self.pids()))
        return self.pids()

    def is_gone(self) -> bool:
        """Wait until the kernel has ended them."""
        wait_until(lambda: not self.pids())
        return not list(self.outputs.parent.glob("*.part"))


@pytest.fixture(scope="module")
def python() -> str:
    if given := os.environ.get("TDD_DEPLOY_LAVA_PYTHON"):
        return given
    try:
        found = environment.find()
    except MissingDependency as missing:
        pytest.skip(str(missing))
    return str(found) if found else pytest.skip(f"Lava's environment is not set up; {environment.SETUP} does it")


@pytest.fixture
def start(python: str, tmp_path: Path) -> Callable[..., Run]:
    """Start run.py of a bundle on x."""

    def start(bundle: Path, x: Any, *options: str) -> Run:
        inputs, outputs, mark = tmp_path / "inputs.npz", tmp_path / "outputs.npz", uuid.uuid4().hex
        np.savez(inputs, x=x)
        command = [python, bundle / "run.py", inputs, outputs, *options]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, MARK: mark})
        return Run(process, outputs, mark)

    return start


@pytest.fixture
def long_run(start: Callable[..., Run], tmp_path: Path) -> Run:
    """A run of a small network that would take minutes."""
    net = random_net(np.random.default_rng(0), "fused", "fixed_pt")
    x = np.zeros((100_000, *net.input_shape), np.int64)
    return start(write_bundle(net, tmp_path / "bundle"), x)


def _cpu_ticks(pid: int) -> int:
    """Read the time that a process has computed."""
    fields = _bytes(Path(f"/proc/{pid}/stat")).rpartition(b")")[2].split()
    return int(fields[11]) + int(fields[12]) if fields else 0


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it ended meanwhile
        return b""


def _small(mapping: str = "fused", **changes: Any) -> Net:
    """Return a network that nobody needs to run."""
    return replace(random_net(np.random.default_rng(0), mapping, "fixed_pt"), **changes)


# --- what comes out ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mapping", "arithmetic", "recurrent", "seed"), NETWORKS)
def test_lava_gives_the_spikes_of_plain_numpy(
    start: Callable[..., Run], tmp_path: Path, mapping: str, arithmetic: str, recurrent: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    net = random_net(rng, mapping, arithmetic, recurrent=recurrent)
    x = random_input(rng, net, 2 if recurrent else 3, static=seed % 2 == 0)
    options = ["--layers", *(["--potentials"] if mapping == "fused" else [])]
    run = start(write_bundle(net, tmp_path / "bundle"), x, *options)
    assert run.end() == (0, "")
    got, want = dict(np.load(run.outputs)), expected(net, x)
    np.testing.assert_array_equal(got.pop("output"), want.output, strict=True)
    assert got.pop("lava_steps") > 0 < got.pop("seconds") + got.pop("start_seconds")
    for name, spikes in want.spikes.items():
        np.testing.assert_array_equal(got.pop(f"spikes/{name}"), spikes.astype(np.uint8), strict=True)
    for name, v in want.v.items() if mapping == "fused" else ():
        np.testing.assert_array_equal(got.pop(f"v/{name}"), v.astype(np.int32 if net.fixed else float), strict=True)
    assert not got


def test_an_input_of_both_codes_has_two_sources(start: Callable[..., Run], tmp_path: Path) -> None:
    net = random_net(np.random.default_rng(6), "fused", "fixed_pt")
    first = net.layers[0]
    both = [Branch("input", first.branches[0].maps, code) for code in ("spike", "delta")]
    net = replace(net, layers=[replace(first, branches=both), *net.layers[1:]])
    x = random_input(np.random.default_rng(6), net, 2, static=False)
    run = start(write_bundle(net, tmp_path / "bundle"), x)
    assert run.end() == (0, "")
    np.testing.assert_array_equal(np.load(run.outputs)["output"], expected(net, x).output)


def test_more_groups_than_lava_can_count_to(start: Callable[..., Run], tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    net = random_net(rng, "spike", "fixed_pt")
    pool = Map("conv", (130, 2, 2), (130, 1, 1), np.ones((130, 1, 2, 2), np.int64), groups=130)
    dense = Map("dense", (130,), (4,), rng.integers(-20, 20, (4, 130)) * 2)
    net = replace(net, input_shape=(130, 2, 2), layers=[], output=[Branch("input", [pool, dense], "spike")])
    x = random_input(rng, net, 1, static=False)
    run = start(write_bundle(net, tmp_path / "bundle"), x)
    assert run.end() == (0, "")
    np.testing.assert_array_equal(np.load(run.outputs)["output"], expected(net, x).output)


def test_a_bundle_stays_as_it_was_exported(start: Callable[..., Run], tmp_path: Path) -> None:
    net = _small()
    bundle = write_bundle(net, tmp_path / "bundle")
    before = {path: path.read_bytes() for path in bundle.rglob("*") if path.is_file()}
    assert start(bundle, np.zeros((1, *net.input_shape), np.int8)).end() == (0, "")
    assert {path: path.read_bytes() for path in bundle.rglob("*") if path.is_file()} == before


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda shape: np.zeros((2, 7), int), "x has shape [2, 7]; this bundle takes [samples, "),
        (lambda shape: np.zeros((0, *shape), int), "x has shape [0, "),
        (lambda shape: np.zeros((1, *shape)), "x holds float64; this bundle takes whole numbers"),
        (lambda shape: np.full((1, *shape), 21), "x goes from 21 to 21; this bundle takes -20 to 20"),
        (lambda shape: np.full((1, *shape), {}), "is no npz file that holds x"),
    ],
)
def test_an_input_that_does_not_fit_is_refused(
    start: Callable[..., Run], tmp_path: Path, make: Callable[[tuple[int, ...]], Any], said: str
) -> None:
    net = _small()
    code, answer = start(write_bundle(net, tmp_path / "bundle"), make(net.input_shape)).end()
    assert (code, answer.count("\n")) == (2, 1)
    assert said in answer


def _another_weight(bundle: Path) -> None:
    np.savez(bundle / "weights.npz", x=1)


def _another_version(bundle: Path) -> None:
    _edit(bundle, schema_version=2)


def _half_a_manifest(bundle: Path) -> None:
    path = bundle / "manifest.json"
    path.write_text(path.read_text()[:200])


def _no_neurons(bundle: Path) -> None:
    _edit(bundle, neurons=[{"name": "layer0"}])


def _another_mapping(bundle: Path) -> None:
    _edit(bundle, mapping="none")


def _no_weights(bundle: Path) -> None:
    (bundle / "weights.npz").unlink()


def _edit(bundle: Path, **changes: Any) -> None:
    path = bundle / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_another_weight, "its SHA-256 differs"),
        (_another_version, "version 2; this run.py reads"),
        (_half_a_manifest, "manifest.json is damaged"),
        (_no_neurons, "manifest.json is damaged"),
        (_another_mapping, "manifest.json is damaged (ValueError(\"mapping 'none'\"))"),
        (_no_weights, "No such file"),
    ],
)
def test_a_damaged_bundle_is_refused(
    start: Callable[..., Run], tmp_path: Path, damage: Callable[[Path], None], said: str
) -> None:
    net = _small()
    bundle = write_bundle(net, tmp_path / "bundle")
    damage(bundle)
    code, answer = start(bundle, np.zeros((1, *net.input_shape), int)).end()
    assert (code, answer.count("\n")) == (2, 1)
    assert said in answer


def test_outputs_follow_a_link_and_never_replace_a_pipe(start: Callable[..., Run], tmp_path: Path) -> None:
    net = _small()
    bundle, x = write_bundle(net, tmp_path / "bundle"), np.zeros((1, *net.input_shape), int)
    (tmp_path / "outputs.npz").symlink_to("elsewhere.npz")
    run = start(bundle, x)
    assert run.end() == (0, "")
    assert run.outputs.is_symlink()
    assert "output" in np.load(tmp_path / "elsewhere.npz")
    run.outputs.unlink()
    os.mkfifo(run.outputs)
    code, answer = start(bundle, x).end()
    assert (code, answer) == (2, f"{run.outputs} is no regular file; name one.\n")
    assert run.outputs.is_fifo()


def test_what_lavas_own_neurons_cannot_hold_is_refused(start: Callable[..., Run], tmp_path: Path) -> None:
    net = _small("stock")
    layers = [replace(net.layers[0], v_threshold=np.array(100)), *net.layers[1:]]
    bundle = write_bundle(replace(net, layers=layers), tmp_path / "bundle")
    code, answer = start(bundle, np.zeros((1, *net.input_shape), int)).end()
    assert (code, answer) == (
        2,
        "layer0, in the stock mapping: v_threshold is 100; Lava's LIF takes multiples of 64.\n",
    )


# --- what fails, and what is left -------------------------------------------------------------------------------------


def test_an_exception_inside_a_model_is_shown_and_nothing_hangs(start: Callable[..., Run], tmp_path: Path) -> None:
    """A kernel with too few input channels: Lava finds out when it convolves."""
    net = random_net(np.random.default_rng(8), "fused", "fixed_pt")
    bundle = write_bundle(net, tmp_path / "bundle")
    arrays = dict(np.load(bundle / "weights.npz"))
    name = next(name for name, array in arrays.items() if array.ndim == 4)
    np.savez(bundle / "weights.npz", **arrays | {name: arrays[name][:, :0]})
    _edit(bundle, sha256={"weights.npz": hashlib.sha256((bundle / "weights.npz").read_bytes()).hexdigest()})
    run = start(bundle, np.zeros((3, *net.input_shape), int))
    code, answer = run.end()
    assert code == 1
    assert f"PyConvModelFixed of {name.removesuffix('.weight')}:\nTraceback" in answer
    assert "IndexError" in answer
    assert run.is_gone()
    assert not run.outputs.exists()


def test_a_process_of_lavas_that_dies_ends_the_run(long_run: Run) -> None:
    pids = long_run.wait_for_processes(6)
    os.kill(max(pids), signal.SIGKILL)
    code, answer = long_run.end()
    assert code == 1
    assert "its process ended with exit code -9" in answer
    assert long_run.is_gone()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_a_run_that_is_stopped_leaves_nothing(long_run: Run, number: signal.Signals, code: int) -> None:
    pids = long_run.wait_until_it_runs()
    maps = [path for pid in pids for path in _bytes(Path(f"/proc/{pid}/maps")).decode().splitlines()]
    assert maps
    assert not [path for path in maps if "/dev/shm/" in path and not path.endswith("(deleted)")]
    began = time.monotonic()
    long_run.process.send_signal(number)
    assert long_run.end() == (code, "")
    assert time.monotonic() - began < STOP_S
    assert long_run.is_gone()


def test_a_group_that_is_stopped_says_who_was_asked(long_run: Run) -> None:
    """A supervisor signals all processes at once: the run is stopped, it has not failed."""
    for pid in long_run.wait_until_it_runs():
        with contextlib.suppress(ProcessLookupError):  # the one asked first may have ended the others already
            os.kill(pid, signal.SIGTERM)
    assert long_run.end() == (143, "")
    assert long_run.is_gone()
