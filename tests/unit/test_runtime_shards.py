"""A simulation in shards, in this process and in others."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import reduce
from itertools import pairwise
from operator import add
from pathlib import Path
from typing import Any, NamedTuple

import distributed
import numpy as np
import pytest

from tdd_deploy import simulate
from tdd_deploy.data import Choice, open_data
from tdd_deploy.errors import BadData, BadOption, BadOptions, WorkerFailed
from tdd_deploy.options.dataset import Dataset
from tdd_deploy.options.encoding import Encoding
from tdd_deploy.options.execution import Execution
from tdd_deploy.program import Program
from tdd_deploy.runtime import dask as cluster
from tdd_deploy.runtime import watch
from tdd_deploy.runtime.inputs import EncodedInputs
from tdd_deploy.runtime.run import run
from tdd_deploy.runtime.shards import Job, Shard
from tdd_deploy.simulator.hardware.placement import place
from tdd_deploy.simulator.routes import Routes
from tests import by_hand
from tests.waiting import wait_until

N = 403


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    path = tmp_path / "samples.npz"
    np.savez(path, x=rng.integers(0, 256, (N, 2)).astype(np.uint8), y=np.zeros(N, np.int64))
    return path


def job(path: Path, *, program: Program | None = None, batch: int = 7, early_exit: float | None = None) -> Job:
    data = Choice(options=Dataset(data=str(path)))
    source = data.open()
    encoding = Encoding(steps=5, encoder="poisson", seed=3)
    program = program or by_hand.program()
    inputs = EncodedInputs.of(program, source, encoding)
    return Job.of(inputs, source, data, Execution(batch=batch, early_exit=early_exit), routes_of(program))


def routes_of(program: Program) -> Routes:
    """Cores that hold one neuron each."""
    return place(program, by_hand.with_limit("neurons", 1), weight_bits=8).routes


def whole(job: Job, *cuts: int) -> Shard:
    """The sum of the shards between cuts."""
    edges = [0, *cuts, N]
    ranges = [range(a, b) for a, b in pairwise(edges)]
    return reduce(add, [shard for samples in ranges for shard in job.execute(samples)])


def assert_same(one: Shard, other: Shard) -> None:
    assert one.n_correct == other.n_correct
    assert one.trace.layers == other.trace.layers
    np.testing.assert_array_equal(one.trace.n_running, other.trace.n_running)
    np.testing.assert_array_equal(one.outputs, other.outputs)
    assert one.sent == other.sent
    for code in ("executed", "spike_code", "delta_code"):
        for name, counts in vars(getattr(one.trace, code)).items():
            np.testing.assert_array_equal(counts, getattr(getattr(other.trace, code), name))
        assert getattr(one.trace.core_synops, code).sum() > 0
        np.testing.assert_array_equal(getattr(one.trace.core_synops, code), getattr(other.trace.core_synops, code))


@pytest.mark.parametrize("cuts", [(1,), (7, 14), (100, 101, 300), (402,)])
@pytest.mark.parametrize("batch", [1, 8, 500])
def test_the_sum_does_not_depend_on_the_cuts(samples: Path, cuts: tuple[int, ...], batch: int) -> None:
    expected = whole(job(samples))
    assert expected.trace.n_samples == N
    assert expected.trace.executed.spikes.sum() > N
    assert_same(whole(job(samples, batch=batch), *cuts), expected)


@pytest.mark.parametrize(
    ("n", "batch", "threads"), [(1, 64, 2), (403, 7, 2), (403, 64, 4), (10**6, 64, 2), (10**5, 64, 16)]
)
def test_shards_are_whole_batches_and_hold_every_sample_once(n: int, batch: int, threads: int) -> None:
    ranges = list(cluster._ranges(n, batch, threads))
    assert [i.start for i in ranges] == [0, *(i.stop for i in ranges[:-1])]
    assert ranges[-1].stop == n
    assert all(len(i) % batch == 0 for i in ranges[:-1])
    assert len(ranges) <= 2 * cluster.PER_THREAD * threads or len(ranges[0]) in (batch, cluster.LARGEST)
    assert max(map(len, ranges)) <= max(batch, cluster.LARGEST)


def test_workers_that_import_a_script_without_a_guard_are_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**given: object) -> None:
        raise RuntimeError("Nanny failed to start.")

    monkeypatch.setattr(distributed, "LocalCluster", fail)
    with pytest.raises(WorkerFailed, match="__main__"), cluster.workers(1):
        pytest.fail("the body must not run")


def test_a_worker_with_another_version_or_other_data_is_refused(samples: Path) -> None:
    with pytest.raises(WorkerFailed, match=r"a worker has tdd-deploy .*, not 0\.0\.1\. Install the same version"):
        next(replace(job(samples), version="0.0.1").execute(range(3)))
    with pytest.raises(WorkerFailed, match=r"a worker has other bytes in .*samples\.npz\. Let all"):
        next(replace(job(samples), files={"samples.npz": "0"}).execute(range(3)))


def test_threads_of_this_process_give_the_same_as_its_shards(samples: Path) -> None:
    expected, data = job(samples), Choice(options=Dataset(data=str(samples)))
    source, reported = data.open(), []
    inputs = EncodedInputs.of(by_hand.program(), source, expected.encoding)
    execution = Execution(batch=100, threads=3)
    given = {"n_samples": N, "routes": routes_of(by_hand.program())}
    total = run(inputs, source, data, execution, **given, progress=lambda done, n: reported.append((done, n)))
    assert_same(total, whole(expected))
    assert reported == [(0, N), (100, N), (200, N), (300, N), (400, N), (N, N)]


# --- workers -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def client() -> Iterator[object]:
    with cluster.workers(2) as client:
        yield client


def test_two_workers_give_what_one_process_gives(samples: Path, client: object) -> None:
    for changed in ({}, {"batch": 64}, {"early_exit": 0.5, "program": two_classes()}):
        given = job(samples, **changed)
        assert_same(reduce(add, cluster.in_shards(given, N, client)), whole(given))


def two_classes() -> object:
    program = by_hand.program()
    readout = replace(by_hand.READOUT, weight=np.array([[2, -1], [0, 1]]))
    return replace(program, nodes=tuple(readout if node.name == "readout" else node for node in program.nodes))


def test_what_a_worker_meets_is_said_as_ever(samples: Path, client: object) -> None:
    damaged = samples.with_name("damaged.npz")
    x = np.zeros((N, 2), np.float32)
    x[350] = 2  # no probability
    np.savez(damaged, x=x)
    with pytest.raises(BadData, match="poisson encoder"):
        list(cluster.in_shards(job(damaged), N, client))


def test_a_killed_worker_loses_nothing(samples: Path, client: object) -> None:
    pids = client.run(os.getpid)
    given = job(samples, batch=1)
    assert_same(with_a_worker_killed(given, client), whole(given))
    assert client.run(os.getpid) != pids


def with_a_worker_killed(given: Job, client: object) -> Shard:
    shards = cluster.in_shards(given, N, client)
    found = [next(shards)]
    os.kill(next(iter(client.run(os.getpid).values())), signal.SIGKILL)
    return reduce(add, [*found, *shards])


def test_samples_that_end_every_worker_are_given_up(
    samples: Path, client: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "_execute", lambda job, samples: os._exit(1))
    expected = (
        r"some samples were lost with their worker, again and again\. Lower batch, which is 7, if memory ran out\."
    )
    with pytest.raises(WorkerFailed, match=expected):
        list(cluster.in_shards(job(samples), 5, client))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Started(NamedTuple):
    address: str
    scheduler: subprocess.Popen[bytes]


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Started]:
    """A scheduler and two workers without nannies, each a process started by hand."""
    address = f"tcp://127.0.0.1:{free_port()}"
    port = address.rpartition(":")[2]
    worker = ["-m", "distributed.cli.dask_worker", address, "--no-nanny", "--nthreads", "1", "--no-dashboard"]
    commands = [["-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard"]]
    commands += [[*worker, "--name", name, "--local-directory", str(tmp_path)] for name in ("first", "second")]
    processes = [subprocess.Popen([sys.executable, *words], stderr=subprocess.DEVNULL) for words in commands]
    yield Started(address, processes[0])
    for process in processes:
        process.kill()
        process.wait()


def test_workers_of_a_scheduler_on_its_own_and_one_of_them_is_lost(samples: Path, started: Started) -> None:
    with cluster.scheduler(started.address) as client:
        client.wait_for_workers(2, timeout=60)
        given = job(samples, batch=1)
        assert_same(with_a_worker_killed(given, client), whole(given))
        assert len(client.run(os.getpid)) == 1


def test_a_scheduler_that_is_lost_is_said(samples: Path, started: Started) -> None:
    with cluster.scheduler(started.address) as client:
        shards = cluster.in_shards(job(samples, batch=1), N, client)
        next(shards)
        started.scheduler.kill()
        with pytest.raises(WorkerFailed, match=r"^the scheduler is gone, and nothing was written\. Start it again\.$"):
            list(shards)


def test_a_scheduler_without_workers_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "CONNECT_S", 1)
    with (
        distributed.LocalCluster(n_workers=0, dashboard_address="127.0.0.1:0") as empty,
        pytest.raises(WorkerFailed, match=r"the scheduler at tcp://\S+ has no workers\. Start one: dask worker tcp://"),
        cluster.scheduler(empty.scheduler_address),
    ):
        pass


def test_where_no_scheduler_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "CONNECT_S", 0.5)
    for address in (f"tcp://127.0.0.1:{free_port()}", "nowhere"):
        with pytest.raises(BadOption, match=r"scheduler must be the address of .* \(got "), cluster.scheduler(address):
            pass


# --- the command -------------------------------------------------------------------------------------------------


def without_command(printed: str) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(printed)
    return report | {"command": None}


def test_the_report_is_the_same_whoever_executed(run_folder: Path, call) -> None:
    words = ("simulate", run_folder, "--data", "digits", "--samples", 90, "--batch", 16, "--energy", "--json")
    expected = call(*words)
    assert expected.code == 0
    for where in (("--threads", 1), ("--threads", 3), ("--workers", 2)):
        found = call(*words, *where)
        assert (found.code, found.err) == (0, "")
        assert without_command(found.out) == without_command(expected.out)


def test_what_cannot_go_together_is_said_at_once(run_folder: Path, tmp_path: Path) -> None:
    chosen = {"threads": 1, "workers": 2, "early_exit": 1.0, "record": tmp_path / "x.npz"}
    with pytest.raises(BadOptions) as refused:
        simulate(run_folder, data="digits", **chosen)
    assert [violation.where for violation in refused.value.violations] == [
        "`threads` and `workers`",
        "`record`",
        "`record`",
    ]
    assert [word in str(refused.value) for word in ("Use threads.", "cannot be combined with early_exit")] == [True] * 2


def test_samples_in_memory_travel_to_the_workers(run_folder: Path) -> None:
    x, y = open_data("digits", split="test").load()
    alone, shared = (simulate(run_folder, x[:50], y[:50], batch=5, workers=n).as_json() for n in (None, 2))
    assert alone == shared


def test_one_of_the_options_is_enough(run_folder: Path) -> None:
    with pytest.raises(BadOptions, match=r"^workers and scheduler cannot be combined\. Choose one of them\.$"):
        simulate(run_folder, data="digits", workers=2, scheduler="tcp://localhost:1")
    for name in ("threads", "workers"):
        with pytest.raises(BadOptions, match=rf"{name} must be 1 (or more|to 1,024) \(got 0\)"):
            simulate(run_folder, data="digits", **{name: 0})


def test_an_early_exit_says_what_it_saved(run_folder: Path, tmp_path: Path, call) -> None:
    simulate(run_folder, data="digits", record=tmp_path / "spikes.npz")
    with np.load(tmp_path / "spikes.npz") as recorded:
        means = recorded["output"].cumsum(axis=1) / np.arange(1, 7)[None, :, None]
    ranked = np.sort(means, axis=2)
    margin = float(np.median((ranked[..., -1] - ranked[..., -2]).max(axis=1)))  # half of the samples come so far
    words = ("simulate", run_folder, "--data", "digits", "--early-exit", margin)
    report = json.loads(call(*words, "--json").out)
    running = [step["samples"] for step in report["steps"]]
    assert running[0] == 500 > running[-1] > 0
    found = report["early_exit"]
    assert found == {
        "margin": margin,
        "margin_from": "from --early-exit",
        "mean_steps": pytest.approx(sum(running) / 500),
        "steps_saved": pytest.approx(1 - sum(running) / 3000),
    }
    printed = call(*words).out
    assert f"early exit at a margin of {margin:g}, from --early-exit" in printed
    assert f"{found['mean_steps']:.2f} of 6 steps" in printed


TELLING = """
import sys
from tdd_deploy.runtime import dask

in_shards = dask.in_shards


def telling(*arguments):
    for shard in in_shards(*arguments):
        print("a shard is finished", flush=True)
        yield shard


dask.in_shards = telling
from tdd_deploy.cli import main

sys.exit(main())
"""


def test_an_interrupted_run_on_workers_leaves_no_process_behind(run_folder: Path, tmp_path: Path) -> None:
    x = np.zeros((200_000, 1, 8, 8), np.uint8)
    np.savez(tmp_path / "many.npz", x=x)
    command = [sys.executable, "-c", TELLING, "simulate", str(run_folder), "--data", str(tmp_path / "many.npz")]
    command += ["--steps", "20", "--workers", "2"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command, text=True, start_new_session=True, **pipes)
    assert process.stdout is not None
    assert process.stdout.readline() == "a shard is finished\n"
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert (process.returncode, err.strip()) == (130, "tdd-deploy: interrupted")
    wait_until(lambda: not is_there(process.pid))


def is_there(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
