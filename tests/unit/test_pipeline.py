"""The commands as functions."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tdd_deploy.data import encode, open_data
from tdd_deploy.errors import BadData, BadFile, BadOption, DataNotFound
from tdd_deploy.pipeline import read_program, simulate, train
from tdd_deploy.simulator import reference


def test_a_recording_holds_what_the_reference_computes(run_folder: Path, tmp_path: Path) -> None:
    simulate(run_folder, data="digits", samples=30, steps=4, batch=7, record=tmp_path / "spikes.npz")
    program = read_program(run_folder)
    x = next(open_data("digits").batches(30)).x
    sent = reference.run(program, np.repeat(x[None], 4, axis=0))
    with np.load(tmp_path / "spikes.npz", allow_pickle=False) as recorded:
        assert set(recorded) == {*(layer.name for layer in program.neuron_layers), "output"}
        for name in recorded:
            assert np.array_equal(recorded[name].swapaxes(0, 1), sent[name])
            assert recorded[name].shape[:2] == (30, 4)
    assert [path.name for path in tmp_path.iterdir()] == ["spikes.npz"]


@pytest.mark.parametrize("code", ["spike", "auto"])
def test_every_code_gives_the_same_spikes(code: str, run_folder: Path, tmp_path: Path) -> None:
    for name in ("delta", code):
        simulate(run_folder, data="digits", samples=40, code=name, record=tmp_path / f"{name}.npz")
    with np.load(tmp_path / "delta.npz") as delta, np.load(tmp_path / f"{code}.npz") as other:
        assert all(np.array_equal(delta[name], other[name]) for name in delta)


def test_counts_do_not_depend_on_the_batch(run_folder: Path) -> None:
    reports = [simulate(run_folder, data="digits", samples=20, batch=size).as_json() for size in (1, 6, 64)]
    assert reports[0] == reports[1] == reports[2]


def test_the_auto_code_runs_no_more_synops_than_delta_or_spike_on_its_calibration_data(run_folder: Path) -> None:
    totals = {
        code: simulate(run_folder, data="digits", split="train", samples=64, code=code).trace.executed.total(
            "synops_effective"
        )
        for code in ("auto", "delta", "spike")
    }
    assert totals["auto"] <= min(totals["delta"], totals["spike"])


def test_a_saving_by_repetition_is_told(run_folder: Path) -> None:
    """The first layer of a static image costs once in delta code, and every step in spike code."""
    report = simulate(run_folder, data="digits", samples=10).as_json()
    first = next(layer for layer in report["layers"] if layer["name"] == "conv1")
    assert first["spike_code"]["synops_effective"] == 6 * first["synops_effective"]
    assert report["totals"]["saved_by_repeating_input"] == 5 * first["synops_effective"]
    assert simulate(run_folder, data="digits", samples=10, encoder="poisson").saved_by_repeating_input is None


def test_a_poisson_encoding_is_that_of_its_seed_for_any_batch(run_folder: Path) -> None:
    reports = [
        simulate(run_folder, data="digits", samples=9, encoder="poisson", seed=seed, batch=batch).as_json()["layers"]
        for seed, batch in ((1, 9), (1, 2), (2, 9))
    ]
    assert reports[0] == reports[1]
    assert reports[0] != reports[2]


def test_samples_in_time_are_taken_frame_by_frame(run_folder: Path, tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 9, (5, 3, 8, 8)).astype("f4") / 8
    np.savez(tmp_path / "frames.npz", x=x)
    simulation = simulate(run_folder, data=str(tmp_path / "frames.npz"), record=tmp_path / "spikes.npz")
    sent = reference.run(read_program(run_folder), x.swapaxes(0, 1)[:, :, None])
    assert simulation.accuracy is None
    assert simulation.as_json()["data"]["static"] is False
    with np.load(tmp_path / "spikes.npz") as recorded:
        assert np.array_equal(recorded["conv1_spikes"].swapaxes(0, 1), sent["conv1_spikes"])
    with pytest.raises(BadOption, match="--steps"):
        simulate(run_folder, data=str(tmp_path / "frames.npz"), steps=4)


def test_accuracy_is_that_of_the_largest_output_summed_over_time(run_folder: Path) -> None:
    batch = next(open_data("digits").batches(50))
    frames = encode(batch.x, in_time=False, encoder="direct", n_steps=6, seed=0, start=0)
    outputs = reference.run(read_program(run_folder), np.stack([frames.at(t) for t in range(6)]))["output"]
    expected = np.mean(outputs.sum(0).argmax(1) == batch.y)
    assert simulate(run_folder, data="digits", samples=50).accuracy == expected


@pytest.mark.parametrize("network", ["mlp", "conv-small"])
@pytest.mark.parametrize("in_time", [False, True])
def test_training_takes_any_labelled_npz(network: str, in_time: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    y = np.arange(120) % 3
    shape = (120, 4, 9, 9) if in_time else (120, 9, 9)
    x = (rng.random(shape) < 0.2 + 0.3 * y.reshape(-1, *[1] * (len(shape) - 1))).astype("f4")
    np.savez(tmp_path / "data.npz", x=x, y=y)
    data = str(tmp_path / "data.npz")
    found = train(tmp_path / "run", data=data, frames=in_time, network=network, epochs=3, steps=4, batch=16)
    assert found["finished"]
    assert found["data"]["train_samples"] == 108
    assert simulate(tmp_path / "run", data=data).trace.n_samples == 120


def test_train_json_says_how_a_network_came_about(run_folder: Path) -> None:
    found = json.loads((run_folder / "train.json").read_text())
    assert found["options"]["method"] == "tet"
    assert found["options"]["seed"] == 0
    assert set(found["versions"]) == {"tdd-deploy", "python", "torch", "numpy", "nir"}
    assert found["finished"] is True
    assert found["program"] == read_program(run_folder).digest
    assert set(found["epochs"][0]) >= {"loss", "accuracy", "raw_events", "delta_events"}


def test_training_on_changed_data_is_not_resumed(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    x, y = np.random.default_rng(0).random((40, 6)).astype("f4"), np.arange(40) % 2
    np.savez(path, x=x, y=y)
    train(tmp_path / "run", data=str(path), network="mlp", epochs=1, steps=2, batch=8)
    np.savez(path, x=x / 2, y=y)
    with pytest.raises(BadData, match="changed"):
        train(tmp_path / "run", resume=True)


@pytest.mark.parametrize("options", [{"colour": "red"}, {"epochs": "many"}, []])
def test_a_train_json_that_was_changed_is_refused_by_name(options: object, run_folder: Path, tmp_path: Path) -> None:
    run = shutil.copytree(run_folder, tmp_path / "run")
    recorded = json.loads((run / "train.json").read_text())
    recorded["options"] = {**recorded["options"], **options} if isinstance(options, dict) else options
    (run / "train.json").write_text(json.dumps(recorded))
    with pytest.raises(BadFile, match=r"train.json.*damaged"):
        train(run, resume=True)


def test_training_data_that_is_missing_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TDD_DEPLOY_DATA", raising=False)
    with pytest.raises(DataNotFound, match="mnist"):
        train(tmp_path / "run", data="mnist")
    assert not (tmp_path / "run").exists()


def test_memory_does_not_grow_with_the_number_of_samples(run_folder: Path, tmp_path: Path) -> None:
    """40 times the samples, an array of 10 MB read in place of 0.25 MB: less than 4 MB more at the peak."""
    peaks = []
    for n in (1_000, 40_000):
        np.savez(tmp_path / f"{n}.npz", x=np.zeros((n, 1, 8, 8), "f4"))
        code = (
            "import resource; from pathlib import Path; from tdd_deploy.pipeline import simulate; "
            f"simulate(Path({str(run_folder)!r}), data={str(tmp_path / f'{n}.npz')!r}, steps=1, batch=100); "
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        peaks.append(int(subprocess.check_output([sys.executable, "-c", code], text=True)))
    assert peaks[1] - peaks[0] < 4_000  # KiB
