"""The commands as functions."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tdd_deploy import export, simulate, train, verify
from tdd_deploy import load as read_program
from tdd_deploy.data import encode, open_data
from tdd_deploy.errors import BadData, BadFile, BadOption, BadOptions, DataNotFound, MissingDependency
from tdd_deploy.simulator import reference
from tdd_deploy.verification import backends
from tdd_deploy.verification.recording import Recorded


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


def test_a_record_cannot_take_the_place_of_the_folder(run_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BadOption, match=r"record must be another path than out"):
        simulate(run_folder, data="digits", samples=3, out=tmp_path / "a", record=tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("code", ["spike", "auto"])
def test_every_code_gives_the_same_spikes(code: str, run_folder: Path, tmp_path: Path) -> None:
    for name in ("delta", code):
        simulate(run_folder, data="digits", samples=40, code=name, record=tmp_path / f"{name}.npz")
    with np.load(tmp_path / "delta.npz") as delta, np.load(tmp_path / f"{code}.npz") as other:
        assert all(delta[name].any() for name in delta)
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


def test_a_saving_by_repetition_is_reported(run_folder: Path) -> None:
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
    simulation = simulate(run_folder, data=str(tmp_path / "frames.npz"), frames=True, record=tmp_path / "spikes.npz")
    sent = reference.run(read_program(run_folder), x.swapaxes(0, 1)[:, :, None])
    assert simulation.accuracy is None
    assert simulation.as_json()["data"]["static"] is False
    with np.load(tmp_path / "spikes.npz") as recorded:
        assert np.array_equal(recorded["conv1_spikes"].swapaxes(0, 1), sent["conv1_spikes"])
    with pytest.raises(BadOption, match=r"steps must be 1 to 3"):
        simulate(run_folder, data=str(tmp_path / "frames.npz"), frames=True, steps=4)


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
    run = train(tmp_path / "run", data=data, frames=in_time, network=network, epochs=3, steps=4, batch=16)
    assert run.recorded["finished"]
    assert run.recorded["data"]["train_samples"] == 108
    assert (len(run.history), run.as_json()) == (3, run.recorded)
    assert simulate(run, data=data, frames=in_time).trace.n_samples == 120


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


def test_a_run_stopped_before_its_first_checkpoint_begins_again(run_folder: Path, tmp_path: Path) -> None:
    run = shutil.copytree(run_folder, tmp_path / "run")
    (run / "checkpoint.pt").unlink()
    (run / "metrics.csv").unlink()
    finished = (run / "train.json").read_text()
    with pytest.raises(BadFile, match=r"checkpoint\.pt is missing"):
        train(run, resume=True)
    assert (run / "train.json").read_text() == finished
    began = {**json.loads(finished), "finished": False, "epochs": []}
    (run / "train.json").write_text(json.dumps(began))
    assert train(run, resume=True).recorded["program"] == json.loads(finished)["program"]


@pytest.mark.parametrize("options", [{"color": "red"}, {"epochs": "many"}, []])
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


@pytest.mark.skipif(sys.platform != "linux", reason="getrusage shows a child the peak of its parent; /proc does not")
def test_memory_does_not_grow_with_the_number_of_samples(run_folder: Path, tmp_path: Path) -> None:
    """40 times the samples, an array of 10 MB read in place of 0.25 MB: less than 4 MB more at the peak."""
    peaks = []
    for n in (100, 1_000, 40_000):  # the first compiles, if need be
        np.savez(tmp_path / f"{n}.npz", x=np.zeros((n, 1, 8, 8), "f4"))
        code = (
            "import re; from pathlib import Path; from tdd_deploy import simulate; "
            f"simulate(Path({str(run_folder)!r}), data={str(tmp_path / f'{n}.npz')!r}, steps=1, batch=100); "
            "print(re.search(r'VmHWM:\\s+(\\d+) kB', Path('/proc/self/status').read_text()).group(1))"
        )
        peaks.append(int(subprocess.check_output([sys.executable, "-c", code], text=True)))
    assert peaks[2] - peaks[1] < 4_000  # KiB


@pytest.fixture(scope="module")
def integer_file(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained network, quantized."""
    path = tmp_path_factory.mktemp("integers") / "network.nir"
    export(run_folder, target="nir", out=path, bits=8)
    return path


def test_an_exported_program_of_integers_is_read_back_as_it_was(run_folder: Path, tmp_path: Path) -> None:
    exported = export(run_folder, target="nir", out=tmp_path / "n.nir", bits=4, per="neuron", input_bits=6)
    assert exported.program.number_format == "integer"
    assert read_program(tmp_path / "n.nir") == exported.program
    assert exported.program.input.scale == 64


@pytest.mark.parametrize("options", [{}, {"mapping": "stock"}, {"mapping": "spike"}, {"code": "spike"}, {"bits": 5}])
def test_a_bundle_is_of_the_program_that_was_exported(
    options: dict[str, Any], run_folder: Path, tmp_path: Path
) -> None:
    exported = export(run_folder, target="lava", out=tmp_path / "bundle", **options)
    assert json.loads((tmp_path / "bundle" / "manifest.json").read_text())["program"] == exported.program.digest
    assert exported.program.number_format == "integer"


def test_calibration_measures_on_as_many_samples_as_asked(run_folder: Path, tmp_path: Path) -> None:
    exported = export(run_folder, target="nir", out=tmp_path / "n.nir", bits=8, data="digits", samples=70)
    found = exported.calibration
    assert found is not None
    assert found.n_samples == 70
    assert [layer.name for layer in found.layers] == [layer.name for layer in exported.program.neuron_layers]
    assert json.loads(json.dumps(exported.as_json(), allow_nan=False))["calibration"]["n_samples"] == 70


def test_data_without_labels_calibrates_without_accuracies(run_folder: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=np.random.default_rng(0).random((30, 1, 8, 8), np.float32))
    found = export(run_folder, target="nir", out=tmp_path / "n.nir", bits=8, data=str(tmp_path / "x.npz")).calibration
    assert found is not None
    assert found.accuracy_float is None


@pytest.mark.parametrize("against", [["integer"], ["reference", "event", "integer"]])
def test_verify_quantizes_for_the_largest_value_of_its_data(
    against: list[str], run_folder: Path, tmp_path: Path
) -> None:
    """Values up to 3 need integers that hold 4; quantized for values up to 1, they would be refused."""
    x = 3 * np.random.default_rng(0).random((6, 1, 8, 8), np.float32)
    np.savez(tmp_path / "x.npz", x=x)
    verified = verify(run_folder, data=str(tmp_path / "x.npz"), against=against)
    assert [comparison.passed for comparison in verified.comparisons if comparison.after.startswith("integer, ")] == [
        True,
        True,
    ]


@pytest.mark.parametrize("batch", [1, 2, 32])
def test_a_verification_does_not_depend_on_the_batch(
    batch: int, integer_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Known by its image, sample 2 has spike 7 flipped at step 4, and sample 0 all 128 at step 5."""
    x = next(open_data("digits").batches(5)).x

    def faulty(program: Any, name: str, code: Any) -> Any:
        def run(inputs: np.ndarray) -> Recorded:
            recorded = backends.reference_backend(program, name)(inputs)
            spikes = {layer: array.copy() for layer, array in recorded.spikes.items()}
            for sample, image in enumerate(inputs[0]):
                if np.array_equal(image, x[2]):
                    spikes["fc1_spikes"][sample, 3, 7] = 1 - spikes["fc1_spikes"][sample, 3, 7]
                elif np.array_equal(image, x[0]):
                    spikes["fc1_spikes"][sample, 4] = 1 - spikes["fc1_spikes"][sample, 4]
            return replace(recorded, spikes=spikes)

        return run

    monkeypatch.setattr(backends, "event_backend", faulty)
    verified = verify(integer_file, data="digits", samples=5, batch=batch, against=["reference", "event"])
    comparison = verified.comparisons[0]
    assert (verified.passed, verified.n_samples, comparison.n_samples) == (False, 5, 5)
    assert comparison.differing == 1 + 128
    assert comparison.first_divergence is not None
    assert (
        comparison.first_divergence.layer,
        comparison.first_divergence.step,
        comparison.first_divergence.sample,
        comparison.first_divergence.neuron,
    ) == ("fc1_spikes", 4, 2, (7,))
    assert verified.comparisons[1].passed


def test_backends_of_integers_need_no_floats(integer_file: Path) -> None:
    verified = verify(integer_file, data="digits", samples=3, against=["reference", "event", "integer"])
    assert [comparison.after for comparison in verified.comparisons] == ["event, delta code", "event, spike code"]
    assert verified.passed
    assert verified.accuracies["reference"] == verified.accuracies["event, spike code"]


def test_asking_for_more_samples_than_there_are_takes_all(integer_file: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=np.zeros((3, 1, 8, 8), "f4"))
    reported: list[tuple[int, int]] = []
    verified = verify(
        integer_file,
        data=str(tmp_path / "x.npz"),
        samples=9,
        batch=2,
        against=["reference", "event"],
        progress=lambda done, total: reported.append((done, total)),
    )
    assert (verified.n_samples, verified.accuracies) == (3, {})
    assert reported == [(0, 3), (2, 3), (3, 3)]


def test_without_torch_all_other_backends_are_compared(run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(path: Path, program: Any) -> None:
        raise MissingDependency("torch", "`against=torch`", "'tdd-deploy[train]'")

    monkeypatch.setattr(backends, "torch_backend", missing)
    monkeypatch.setenv("TDD_DEPLOY_LAVA_HOME", str(run_folder / "nowhere"))
    verified = verify(run_folder, data="digits", samples=2)
    assert {"torch", "lava"} <= {line.partition(":")[0] for line in verified.left_out} <= {"torch", "openvino", "lava"}
    assert verified.comparisons[0].before == "reference"
    with pytest.raises(MissingDependency):
        verify(run_folder, data="digits", samples=2, against=["torch", "reference"])


def test_bits_out_of_range_are_refused_and_not_left_out(run_folder: Path) -> None:
    with pytest.raises(BadOptions, match=r"bits must be 2 to 8 \(got 9\)"):
        verify(run_folder, data="digits", bits=9, against=["reference", "integer"])
