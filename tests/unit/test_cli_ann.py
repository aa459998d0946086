"""``tdd-deploy train --method ann``, and its run folder given to every other command."""

import csv
import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tdd_deploy as td
from tdd_deploy.data import open_data
from tdd_deploy.errors import BadFile, Interrupted
from tdd_deploy.run_folder import RunFolder
from tdd_deploy.training import BatchMetrics
from tdd_deploy.training.baseline import WIDTHS
from tests.commands import Call

FAST = ("--method", "ann", "--network", "mlp", "--epochs", 2, "--train-samples", 256)
WORDS = (
    "is the run of an ANN (--method ann) without network.onnx. Train it where onnx is installed"
    " (pip install 'tdd-deploy[onnx]'), or give it to simulate as --baseline."
)


@pytest.fixture(scope="module")
def ann_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ANN baseline of an mlp, trained on digits for two epochs."""
    folder = tmp_path_factory.mktemp("ann") / "run"
    td.train(folder, data="digits", method="ann", network="mlp", epochs=2, train_samples=256)
    return folder


def recorded(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "train.json").read_text())
    return found


def test_a_run_leaves_everything_but_a_nir_file(ann_run: Path) -> None:
    names = {"baseline.json", "network.onnx", "network.safetensors", "train.json", "metrics.csv", "checkpoint.pt"}
    assert {path.name for path in ann_run.iterdir()} == names
    found = recorded(ann_run)
    assert (found["finished"], found["program"], found["options"]["steps"]) == (True, None, 1)
    for epoch in found["epochs"]:
        assert epoch["raw_events"] is epoch["delta_events"] is None
    with (ann_run / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["epoch"], row["raw_events"], row["delta_events"]) for row in rows] == [("1", "", ""), ("2", "", "")]


def test_the_baseline_says_what_was_measured_on_what(ann_run: Path) -> None:
    found = RunFolder.read_baseline(ann_run)
    assert found == RunFolder.read_baseline(ann_run / "baseline.json")
    assert (found["network"], found["input_shape"], found["n_classes"]) == ("mlp", [1, 8, 8], 10)
    assert (found["data"]["name"], found["data"]["train_samples"]) == ("digits", 256)
    assert found["data"]["splits"] == {"val": {"n_samples": 200, "files": {}}, "test": {"n_samples": 500, "files": {}}}
    assert found["quantization"]["calibration_samples"] == 256
    assert found["sparsity"] == 0
    assert found["layers"] == [
        {
            "name": name, "kind": "dense", "macs": n_in * n_out, "weights": n_in * n_out,
            "nonzero_weights": n_in * n_out, "biases": n_out, "inputs": n_in, "outputs": n_out,
        }
        for name, n_in, n_out in (("fc1", 64, 128), ("fc2", 128, 128), ("readout", 128, 10))
    ]  # fmt: skip
    results = found["results"]
    assert [(each["split"], each["weight_bits"], each["activation_bits"]) for each in results] == [
        (split, *widths)
        for split in ("val", "test")
        for widths in ((None, None), *((each.weights, each.activations) for each in WIDTHS))
    ]
    for each in results:
        assert each["n_samples"] == found["data"]["splits"][each["split"]]["n_samples"]
        assert each["accuracy"] == each["n_correct"] / each["n_samples"]
        for layer in found["layers"]:
            assert 0 < each["effective_macs"][layer["name"]] < layer["macs"]
    assert results[0]["accuracy"] == recorded(ann_run)["epochs"][-1]["accuracy"] > 0.4
    x, _ = open_data("digits", split="val").load()
    assert results[0]["effective_macs"]["fc1"] == np.count_nonzero(x) * 128 / 200


def test_of_an_npz_validation_and_the_whole_file_are_measured(call: Call, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    y = np.arange(100) % 3
    path = tmp_path / "own.npz"
    np.savez(path, x=(rng.random((100, 9)) + y[:, None]).astype("f4"), y=y)
    words = ("--method", "ann", "--network", "mlp", "--epochs", 3, "--batch", 16)
    assert call("train", "--data", path, *words, "--out", tmp_path / "run").code == 0
    found = RunFolder.read_baseline(tmp_path / "run")
    files = open_data(str(path)).digests
    assert files.keys() == {"own.npz"}
    assert found["data"]["splits"] == {
        "val": {"n_samples": 10, "files": files}, "all": {"n_samples": 100, "files": files}
    }  # fmt: skip


def test_the_last_line_says_what_it_costs_and_knows(call: Call, tmp_path: Path) -> None:
    out = tmp_path / "run"
    said = call("train", *FAST, "--tensorboard", "--out", out)
    assert (said.code, said.out.count("\n")) == (0, 4)
    found = RunFolder.read_baseline(out)
    last = found["results"][-len(WIDTHS) - 1]["accuracy"]
    assert said.out.splitlines()[-1].startswith(f"{out / 'baseline.json'}: validation accuracy ")
    assert "25,856 dense MACs per sample" in said.out
    assert f"of test {last:.1%} in floats, " in said.out
    assert "spikes" not in said.out + said.err


def test_a_run_that_was_broken_off_ends_with_the_same_files(ann_run: Path, tmp_path: Path) -> None:
    class Stop:
        def batch(self, now: BatchMetrics) -> None:
            os.kill(os.getpid(), signal.SIGINT)

        def epoch(self, history: list[dict[str, Any]]) -> None:
            raise AssertionError

    out = tmp_path / "run"
    words = {"data": "digits", "method": "ann", "network": "mlp", "epochs": 2, "train_samples": 256}
    with pytest.raises(Interrupted):
        td.train(out, watcher=Stop(), **words)
    assert not (out / "baseline.json").exists()
    td.train(out, resume=True)
    for name in ("baseline.json", "network.safetensors", "metrics.csv", "train.json"):
        assert (out / name).read_bytes() == (ann_run / name).read_bytes()


def test_a_finished_run_that_is_resumed_has_its_baseline_again(call: Call, ann_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shutil.copytree(ann_run, out)
    (out / "baseline.json").unlink()
    assert call("train", "--resume", "--out", out).code == 0
    assert (out / "baseline.json").read_bytes() == (ann_run / "baseline.json").read_bytes()


def test_the_network_of_the_best_epoch_is_measured(tmp_path: Path) -> None:
    words = {"epochs": 30, "patience": 2, "learning_rate": 0.3, "schedule": "constant", "optimizer": "adam"}
    run = td.train(tmp_path / "run", data="digits", method="ann", network="mlp", train_samples=256, **words)
    assert run.accuracy == run.history[run.recorded["kept_epoch"] - 1]["accuracy"] > run.history[-1]["accuracy"]
    assert RunFolder.read_baseline(run.path)["results"][0]["accuracy"] == run.accuracy


@pytest.mark.parametrize(
    "words",
    [
        ("simulate", "RUN", "--data", "digits"),
        ("verify", "RUN", "--data", "digits"),
        ("export", "RUN", "--target", "nir", "--out", "OUT"),
        ("inspect", "RUN"),
    ],
)
def test_without_onnx_other_commands_say_that_it_is_an_ann(
    words: tuple[str, ...], call: Call, ann_run: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(ann_run, run)
    (run / "network.onnx").unlink()
    said = call(*({"RUN": run, "OUT": tmp_path / "out"}.get(word, word) for word in words))
    assert (said.code, said.out) == (2, "")
    assert said.err == f"tdd-deploy: {run} {WORDS}\n"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("export", "RUN", "--target", "nir", "--out", "OUT"), "SigmaDelta, for which NIR has no node"),
        (("export", "RUN", "--target", "lava", "--out", "OUT"), "got SigmaDelta, which sends numbers"),
        (("analyze", "RUN", "--data", "digits"), "is the run of an ANN (--method ann). Name the run of a spiking"),
        (
            ("prune", "RUN", "--data", "digits", "--out", "OUT"),
            "is the run of an ANN (--method ann). Name the run of a",
        ),
    ],
)
def test_what_is_for_spikes_alone_refuses_an_ann(
    words: tuple[str, ...], found: str, call: Call, ann_run: Path, tmp_path: Path
) -> None:
    said = call(*({"RUN": ann_run, "OUT": tmp_path / "out"}.get(word, word) for word in words))
    assert (said.code, said.out) == (2, "")
    assert found in said.err
    assert not (tmp_path / "out").exists()


def test_as_a_sigma_delta_network_it_knows_the_same_and_multiplies_what_its_baseline_says(ann_run: Path) -> None:
    simulation = td.simulate(ann_run, data="digits")
    (row,) = (
        each
        for each in RunFolder.read_baseline(ann_run)["results"]
        if each["split"] == "test" and each["weight_bits"] is None
    )
    assert simulation.accuracy == row["accuracy"]
    layers = {layer["name"]: layer for layer in simulation.as_json()["layers"]}
    for name, macs in row["effective_macs"].items():
        assert layers[name]["macs"] + layers[name]["acs"] == pytest.approx(500 * macs)
    assert td.verify(ann_run, data="digits", against=("torch", "reference", "event")).passed


def test_a_delta_threshold_of_a_relu_network_saves_multiplications(ann_run: Path) -> None:
    synops = [
        td.simulate(ann_run, data="digits", delta_threshold=theta).trace.executed.total("synops_effective")
        for theta in (0.0, 0.1)
    ]
    assert synops[1] < synops[0]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"options": []}', '{"options": {"method": "tet"}}'])
def test_another_folder_without_a_nir_file_is_no_ann(text: str, call: Call, tmp_path: Path) -> None:
    (tmp_path / "train.json").write_text(text)
    said = call("inspect", tmp_path)
    assert said.code == 2
    assert "is a folder without network.nir" in said.err


def test_an_unfinished_run_is_refused_with_how_to_finish_it(call: Call, tmp_path: Path) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(b"")
    said = call("inspect", tmp_path)
    assert said.code == 2
    assert "without network.nir" in said.err
    assert f"--out {tmp_path} and --resume" in said.err


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("--steps", 4), "--steps must be 1 with --method ann, which is one forward pass (got 4)."),
        (("--frames",), "--frames cannot be combined with --method ann, which has no time steps"),
        (("--qat", 8, "--neuron", "if"), "(2 found)"),
        (
            ("--network", "sdt-2-64"),
            "--network sdt-2-64 cannot be combined with --method ann, since its gates take spikes alone",
        ),
        (
            ("--penalty-weight", 0.5),
            "--penalty-weight needs --method tdd-ddla, --method l1-spikes, --method l1-delta or --method l1-onset "
            "(got ann)",
        ),
    ],
)
def test_what_it_does_not_have_is_refused(words: tuple[object, ...], found: str, call: Call, tmp_path: Path) -> None:
    said = call("train", "--method", "ann", *words, "--out", tmp_path / "run")
    assert (said.code, said.out) == (2, "")
    assert found in said.err
    assert "Traceback" not in said.err
    assert not (tmp_path / "run").exists()


def test_a_missing_test_set_is_found_out_before_the_run(call: Call, tmp_path: Path) -> None:
    folder = tmp_path / "mnist"
    folder.mkdir()
    images, labels = (np.zeros(shape, np.uint8).tobytes() for shape in ((40, 28, 28), (40,)))
    sizes = [number.to_bytes(4, "big") for number in (40, 28, 28)]
    (folder / "train-images-idx3-ubyte").write_bytes(b"".join([b"\0\0\x08\x03", *sizes, images]))
    (folder / "train-labels-idx1-ubyte").write_bytes(b"".join([b"\0\0\x08\x01", sizes[0], labels]))
    out = tmp_path / "run"
    said = call("train", "--method", "ann", "--data", "mnist", "--data-dir", tmp_path, "--out", out)
    assert said.code == 2
    assert "t10k-images-idx3-ubyte" in said.err
    assert not out.exists()


# --- pruned ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pruned_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ANN baseline on digits of which one weight in ten is left."""
    folder = tmp_path_factory.mktemp("pruned") / "run"
    td.train(folder, data="digits", method="ann", network="mlp", sparsity=0.9, epochs=15)
    return folder


def test_a_pruned_baseline_says_so_and_multiplies_less_at_nearly_the_same_accuracy(pruned_run: Path) -> None:
    assert recorded(pruned_run)["options"]["sparsity"] == 0.9
    found = RunFolder.read_baseline(pruned_run)
    assert found["sparsity"] == 0.9
    weights = sum(layer["weights"] for layer in found["layers"])
    assert sum(layer["nonzero_weights"] for layer in found["layers"]) == round(0.1 * weights)
    (row,) = (each for each in found["results"] if each["split"] == "test" and each["weight_bits"] is None)
    assert row["accuracy"] > 0.9
    assert sum(row["effective_macs"].values()) < 0.15 * sum(layer["macs"] for layer in found["layers"])


def test_the_removed_weights_are_exactly_zero_in_the_network_file_and_cost_nothing(pruned_run: Path) -> None:
    found = RunFolder.read_baseline(pruned_run)
    program = td.load(pruned_run)
    layers = {layer["name"]: layer for layer in found["layers"]}
    for name, layer in layers.items():
        assert np.count_nonzero(program[name].weight) == layer["nonzero_weights"]
    (row,) = (each for each in found["results"] if each["split"] == "test" and each["weight_bits"] is None)
    simulation = td.simulate(pruned_run, data="digits")
    assert simulation.accuracy == row["accuracy"]
    for layer in simulation.as_json()["layers"]:
        if layer["name"] in layers:
            assert layer["macs"] + layer["acs"] == pytest.approx(500 * row["effective_macs"][layer["name"]])


def test_a_simulation_is_compared_with_a_dense_and_a_pruned_baseline(
    call: Call, ann_run: Path, pruned_run: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    td.train(run, data="digits", network="mlp", epochs=1, train_samples=64, steps=2)
    both = ("--baseline", ann_run, "--baseline", pruned_run)
    said = call("simulate", run, "--data", "digits", "--samples", 5, "--energy", *both, "--out", tmp_path / "out")
    assert said.code == 0
    macs = [line.partition(";")[0] for line in said.out.splitlines() if line.startswith("ANN baseline")]
    assert [line.partition(": ")[0] for line in macs] == ["ANN baseline", "ANN baseline, 90% pruned"]
    assert "dense ANN, integers" in said.out
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [baseline["sparsity"] for baseline in report["baselines"]] == [0, 0.9]
    assert report["options"]["baseline"] == [str(ann_run), str(pruned_run)]
    for baseline in report["baselines"]:
        assert len([row for row in baseline["results"] if row["split"] == "test"]) == 1 + len(WIDTHS)
    for given in (ann_run, [ann_run], [ann_run, pruned_run]):
        simulation = td.simulate(run, data="digits", samples=5, baseline=given)
        assert len(simulation.as_json()["baselines"]) == (2 if given == [ann_run, pruned_run] else 1)
    # A price of later keeps the baselines that there are.
    assert len(td.price(simulation, energy=True).baselines) == 2


def test_each_of_several_baselines_is_checked(call: Call, ann_run: Path, tmp_path: Path) -> None:
    other, run = tmp_path / "other", tmp_path / "run"
    shutil.copytree(ann_run, other)
    found = json.loads((other / "baseline.json").read_text())
    found["data"]["name"] = "other"
    (other / "baseline.json").write_text(json.dumps(found))
    td.train(run, data="digits", network="mlp", epochs=1, train_samples=64, steps=2)
    said = call("simulate", run, "--data", "digits", "--baseline", ann_run, "--baseline", other)
    assert (said.code, said.out) == (2, "")
    assert f"--baseline {other}: its data must be digits (test) (got other" in said.err


def test_a_sparsity_of_another_method_is_one_error(call: Call, tmp_path: Path) -> None:
    said = call("train", "--method", "tet", "--sparsity", 0.5, "--out", tmp_path / "run")
    assert (said.code, said.out) == (2, "")
    assert said.err == "tdd-deploy: --sparsity needs --method ann (got tet).\n"


# --- baseline.json -----------------------------------------------------------------------------------------------


def without(found: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in found.items() if name != key}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda found: [], "is no baseline"),
        (lambda found: without(found, "schema_version"), "is no baseline"),
        (lambda found: {**found, "schema_version": 3}, "is a baseline of schema 3, not 4. Train the ANN again."),
        (lambda found: {**found, "sparsity": 2}, "is damaged"),
        (
            lambda found: {**found, "layers": [{**layer, "nonzero_weights": 10**6} for layer in found["layers"]]},
            "layers[0].nonzero_weights is more than weights",
        ),
        (
            lambda found: {
                **found,
                "layers": [{**layer, "weights": 0, "nonzero_weights": 0} for layer in found["layers"]],
            },
            "layers[0].weights must be a whole number, 1 or more (got 0)",
        ),
        (
            lambda found: {**found, "layers": [{**layer, "macs": 0} for layer in found["layers"]]},
            "is more than the layer's macs",
        ),
        (
            lambda found: {**found, "results": [{**found["results"][0], "weight_bits": 8}]},
            "results[0] has only one of weight_bits and activation_bits",
        ),
        (lambda found: {**found, "data": without(found["data"], "input_scale")}, "is damaged"),
        (lambda found: {**found, "data": {**found["data"], "input_scale": "1"}}, "is damaged"),
        *(
            (lambda found, name=name: without(found, name), "is damaged")
            for name in ("network", "input_shape", "n_classes", "sparsity", "data", "quantization", "layers", "results")
        ),
        (lambda found: {**found, "layers": found["layers"][1:]}, "is damaged"),
        (lambda found: {**found, "results": [without(found["results"][0], "activation_bits")]}, "is damaged"),
        (lambda found: {**found, "results": [{**found["results"][0], "split": "train"}]}, "is damaged"),
        (lambda found: {**found, "results": 3}, "is damaged"),
        (lambda found: {**found, "results": []}, "is damaged"),
        (lambda found: {**found, "results": [{**found["results"][0], "n_samples": 3}]}, "is damaged"),
        (lambda found: {**found, "results": [{**found["results"][0], "accuracy": "all"}]}, "is damaged"),
    ],
)
def test_a_baseline_that_is_damaged_is_refused(change: Any, expected: str, ann_run: Path, tmp_path: Path) -> None:
    found = json.loads((ann_run / "baseline.json").read_text())
    (tmp_path / "baseline.json").write_text(json.dumps(change(found)))
    with pytest.raises(BadFile) as refused:
        RunFolder.read_baseline(tmp_path)
    assert expected in str(refused.value)


def test_a_folder_without_a_baseline_says_where_one_comes_from(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"is missing. Name the folder of a finished run of train with method=ann"):
        RunFolder.read_baseline(tmp_path)
    (tmp_path / "baseline.json").write_text("{")
    with pytest.raises(BadFile, match="is not JSON"):
        RunFolder.read_baseline(tmp_path)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is none")
def test_a_baseline_is_measured_where_the_network_learned(tmp_path: Path) -> None:
    td.train(tmp_path / "run", data="digits", method="ann", epochs=1, device="cuda")
    assert RunFolder.read_baseline(tmp_path / "run")["results"][0]["accuracy"] > 0.5
