import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tdd_deploy.errors import Interrupted
from tdd_deploy.training import fit
from tdd_deploy.training.distributed import Processes
from tests.together import BATCH, CASES, N_BATCHES, STOPPED_AT, Ear, case, data
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.usefixtures("one_thread")


def start(words, n=2, **given):
    """Start n processes as torchrun does, but for its watching over them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {"WORLD_SIZE": str(n), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    return [
        subprocess.Popen(
            [sys.executable, *words],
            cwd=ROOT,
            env={**os.environ, **common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **given,
        )
        for rank in range(n)
    ]


def ended(processes, timeout=300):
    """The output and the exit code of each process."""
    try:
        return [(*each.communicate(timeout=timeout), each.returncode) for each in processes]
    finally:
        for each in processes:
            each.kill()


def interrupted_alone(folder):
    """A run of one process, stopped in its first epoch."""
    folder.mkdir()
    ear = Ear()

    def batch(now):
        os.kill(os.getpid(), signal.SIGINT)

    ear.batch = batch
    with pytest.raises(Interrupted):
        fit(case("bptt"), data(), folder, resume=False, watcher=ear)


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """The folder of all runs of two processes, and the results of each of the two."""
    folder = tmp_path_factory.mktemp("together")
    interrupted_alone(folder / "begun alone")
    for out, err, code in ended(start(["-m", "tests.together", str(folder)])):
        assert (out, err, code) == ("", "", 0)
    return folder, [json.loads((folder / f"results-{rank}.json").read_text()) for rank in range(2)]


def alone(folder, name):
    folder.mkdir()
    return fit(case(name), data(), folder, resume=False, watcher=Ear())


def assert_equal_networks(folder, other):
    one, two = (load_file(path / "network.safetensors") for path in (folder, other))
    assert one.keys() == two.keys()
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_two_processes_learn_what_one_learns(tmp_path, together, name):
    folder, (first, second) = together
    trained = alone(tmp_path / "alone", name)
    assert_equal_networks(tmp_path / "alone", folder / name)
    assert first[name]["history"] == second[name]["history"]
    assert first[name]["kept"] == trained.kept_epoch
    for ours, theirs in zip(trained.history, first[name]["history"], strict=True):
        absent = {name for name, value in ours.items() if value is None}
        assert {name for name, value in theirs.items() if value is None} == absent
        measured = {name: value for name, value in ours.items() if name not in absent}
        assert {name: theirs[name] for name in theirs.keys() - absent} == pytest.approx(measured, rel=1e-5, abs=1e-6)


def test_the_first_process_alone_tells_and_writes(together):
    folder, (first, second) = together
    assert first["bptt"]["batches"] == 2 * N_BATCHES
    assert second["bptt"]["batches"] == 0
    assert sorted(path.name for path in (folder / "bptt").iterdir()) == ["checkpoint.pt", "network.safetensors"]


def test_a_batch_that_cannot_be_divided_evenly_is_refused(together):
    for results in together[1]:
        assert results["uneven"]["error"] == (
            "batch must be a multiple of 2, the number of processes (got 15 samples)."
        )


def test_a_run_that_one_process_began_is_continued_by_two(tmp_path, together):
    alone(tmp_path / "alone", "bptt")
    assert_equal_networks(tmp_path / "alone", together[0] / "begun alone")


def test_a_signal_to_any_process_stops_all_at_the_same_batch_and_one_may_continue(tmp_path, together):
    folder, (first, second) = together
    message = f"interrupted; saved after batch {STOPPED_AT - N_BATCHES} of epoch 2; resume continues"
    assert first["stopped"] == {"error": message, "batches": STOPPED_AT}
    assert second["stopped"]["error"] == message
    fit(case("bptt"), data(), folder / "stopped", resume=True, watcher=Ear())
    alone(tmp_path / "alone", "bptt")
    assert_equal_networks(tmp_path / "alone", folder / "stopped")


def test_one_process_alone_exchanges_nothing():
    alone = Processes()
    values = torch.arange(6.0)
    assert alone.part(values) is values
    assert alone.sums([1, 2.5]) == [1, 2.5]
    assert (alone.any(True), alone.any(False), alone.is_first) == (True, False, True)


def test_parts_are_even_and_in_order():
    values = torch.arange(12).view(2, 6)
    parts = [Processes(rank, 3).part(values, dim=1).tolist() for rank in range(3)]
    assert parts == [[[0, 1], [6, 7]], [[2, 3], [8, 9]], [[4, 5], [10, 11]]]


TRAIN = ["-m", "tdd_deploy", "train", "--network", "mlp", "--method", "tet", "--device", "cpu"]


def test_when_one_process_is_killed_the_other_reports_it_and_ends(tmp_path):
    out = tmp_path / "run"
    processes = start([*TRAIN, "--epochs", "2000", "--out", str(out)])
    wait_until((out / "metrics.csv").exists, 200)
    processes[1].kill()
    (_, err, code), _ = ended(processes, timeout=120)
    assert code == 2
    assert "tdd-deploy: process 0 of 2 lost another one, which has ended or does not answer. See its output; " in err
    assert "Traceback" not in err


def test_the_command_line_trains_with_torchrun(tmp_path):
    out = tmp_path / "run"
    words = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *TRAIN]
    called = subprocess.run(
        [sys.executable, *words, "--epochs", "1", "--batch", str(BATCH), "--train-samples", "64", "--out", str(out)],
        capture_output=True, text=True, check=False, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=300,
    )  # fmt: skip
    assert called.returncode == 0, called.stderr
    assert called.stdout.count("validation accuracy") == 1
    assert called.stderr.count("epoch 1/") == 1
    recorded = json.loads((out / "train.json").read_text())
    assert recorded["execution"] == {"device": "cpu", "processes": 2}
    assert recorded["data"]["train_samples"] == 64
    assert sorted(path.name for path in out.iterdir()) == [
        "checkpoint.pt", "metrics.csv", "network.nir", "network.safetensors", "train.json"
    ]  # fmt: skip
