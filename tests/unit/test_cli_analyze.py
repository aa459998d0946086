"""analyze and prune, as a stranger uses them."""

import importlib
import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

import tdd_deploy as td
from tdd_deploy.data import open_data
from tdd_deploy.errors import Interrupted
from tdd_deploy.program import Conv, Dense
from tdd_deploy.training import figures
from tests.commands import Call

MAPS = ("figure1-features", "figure3-changes")


@pytest.fixture(scope="module")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An mlp trained on digits for two epochs, four time steps."""
    folder = tmp_path_factory.mktemp("small") / "run"
    td.train(folder, data="digits", network="mlp", method="tet", epochs=2, steps=4)
    return folder


@pytest.fixture(autouse=True)
def small_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "DPI", 40)


@pytest.fixture
def unlabelled(tmp_path: Path) -> Path:
    x, _ = open_data("digits", split="test").load()
    np.savez(tmp_path / "unlabelled.npz", x=x[:8])
    return tmp_path / "unlabelled.npz"


def listing(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


# --- analyze -----------------------------------------------------------------------------------------------------


def test_analyze_prints_layers_steps_and_findings(call: Call, small_run: Path) -> None:
    said = call("analyze", small_run, "--data", "digits", "--samples", 16)
    assert (said.code, said.err) == (0, "")
    words = ("fc1_spikes", "fc2_spikes", "total", "overlap", "P(1->1)", "Fisher information (labels of the data) lies")
    for word in (*words, "means over 16 samples of digits (test)", "Theorem 1", "Theorem 2 as printed", "Definition 1"):
        assert word in said.out
    assert call("analyze", "--help").code == 0


def test_analyze_as_json_agrees_with_simulate(call: Call, small_run: Path) -> None:
    said = call("analyze", small_run, "--data", "digits", "--samples", 40, "--json")
    found = json.loads(said.out)
    assert found["schema_version"] == 1
    assert (found["samples"], found["data"]["split"]) == (40, "test")
    report = td.simulate(small_run, data="digits", samples=40).as_json()
    counted = {layer["name"]: layer for layer in report["layers"]}
    for layer in found["layers"]:
        for key in ("spikes", "delta_events"):
            assert layer[key] == counted[layer["name"]][key] == sum(step[key] for step in layer["steps"])
    for key in ("spikes", "delta_events"):
        assert found["totals"][key] == report["totals"][key]
        assert [step[key] for step in found["steps"]] == [step[key] for step in report["steps"]]
    assert found["totals"]["hybrid_events"] <= min(found["totals"]["spikes"], found["totals"]["delta_events"])
    for cells in (found["totals"], *found["layers"], *found["steps"]):
        pays = cells["persistence"] is not None and cells["persistence"] > 0.5
        assert (cells["fewer"] == "delta") == pays == (cells["delta_events"] < cells["spikes"])
    assert len(found["fisher"]["traces"]) == 4
    assert 1 < found["fisher"]["centroid"] < 4
    assert all(layer["within"] == layer["cases"] for layer in found["theorem1"])
    assert sum(layer["cases"] for layer in found["theorem1"]) > 0
    assert [layer["layer"] for layer in found["theorem2"]] == ["fc1_spikes", "fc2_spikes"]


def test_analyze_writes_a_folder(call: Call, small_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "analysis"
    said = call("analyze", small_run, "--data", "digits", "--samples", 4, "--json", "--out", out)
    assert json.loads((out / "analysis.json").read_text()) == json.loads(said.out)
    maps = {f"{what}-{layer}.png" for what in MAPS for layer in ("fc1_spikes", "fc2_spikes")}
    assert listing(out) == {"analysis.json", *maps, "events.png", "overlap.png", "fisher.png"}
    only = tmp_path / "only"
    words = ("--samples", 4, "--layer", "fc2_spikes", "--sample", 3)
    assert call("analyze", small_run, "--data", "digits", *words, "--out", only).code == 0
    assert not [name for name in listing(only) if "fc1_spikes" in name]
    assert {f"{what}-fc2_spikes.png" for what in MAPS} < listing(only)


def test_runs_of_the_same_network_and_data_are_compared(call: Call, small_run: Path, tmp_path: Path) -> None:
    words = {"data": "digits", "network": "mlp", "epochs": 1}
    td.train(tmp_path / "short", method="tet", steps=1, **words)
    td.train(tmp_path / "sticky", method="l1-spikes", steps=4, reset_to=(1.0,), **words)
    others = ("--compare", tmp_path / "short", "--compare", tmp_path / "sticky")
    said = call("analyze", small_run, "--data", "digits", "--samples", 40, *others, "--out", tmp_path / "out")
    assert said.code == 0
    assert "l1-spikes" in said.out
    assert {"figure4-events-by-steps.png", "figure5-events-per-step.png"} < listing(tmp_path / "out")
    compared = json.loads((tmp_path / "out" / "analysis.json").read_text())["compared"]
    assert [Path(run["run"]).name for run in compared] == ["run", "short", "sticky"]
    assert [run["n_steps"] for run in compared] == [4, 1, 4]
    for run in compared:
        report = td.simulate(run["run"], data="digits", samples=40).as_json()
        assert {key: run[key] for key in ("spikes", "delta_events")} == {
            key: report["totals"][key] for key in ("spikes", "delta_events")
        }
        assert [step["delta_events"] for step in run["steps"]] == [step["delta_events"] for step in report["steps"]]
    alone = td.analyze(small_run, data="digits", samples=2).as_json()
    assert alone["compared"] == []
    assert len(td.analyze(small_run, data="digits", samples=2, compare=tmp_path / "short").as_json()["compared"]) == 2


def test_runs_of_another_network_or_other_data_are_refused_by_name(call: Call, small_run: Path, tmp_path: Path) -> None:
    x, y = open_data("digits", split="train").load()
    td.train(tmp_path / "arrays", x[:80], y[:80], network="conv-small", method="tet", epochs=1, steps=1)
    td.train(tmp_path / "fewer", data="digits", train_samples=80, network="mlp", method="tet", epochs=1, steps=1)
    others = ("--compare", tmp_path / "arrays", "--compare", tmp_path / "fewer")
    said = call("analyze", small_run, "--data", "digits", *others, "--out", tmp_path / "out")
    assert said.code == 2
    for word in ("(3 found)", "arrays is a run of the network conv-small", "fewer is a run on other samples of digits"):
        assert word in said.err
    assert not (tmp_path / "out").exists()


def test_a_run_is_compared_once(call: Call, small_run: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(small_run)
    said = call("analyze", small_run, "--data", "digits", "--compare", small_run, "--compare", tmp_path / "link")
    assert said.code == 2
    assert "(2 found)" in said.err
    assert said.err.count("is named twice. Name every run once") == 2


def test_epsilon_decides_where_a_layer_overlaps(small_run: Path) -> None:
    for epsilon, all_overlap in ((1.0, False), (100.0, True)):
        found = td.analyze(small_run, data="digits", samples=8, epsilon=epsilon).as_json()["definition1"]
        cells = [cell for layer in found["layers"] for cell in layer["steps"]]
        assert found["epsilon"] == epsilon
        assert all(cell["overlapping"] == 8 for cell in cells) is all_overlap
        assert [layer["layer"] for layer in found["layers"]] == ["fc1_spikes", "fc2_spikes"]


def test_printed_statements_are_measured_at_every_layer(small_run: Path) -> None:
    found = td.analyze(small_run, data="digits", samples=8).as_json()
    printed = found["as_printed"]
    assert (printed["phi"], printed["k"], found["not_measured"]) == (0, 1, [])
    assert [layer["layer"] for layer in printed["layers"]] == ["fc1_spikes", "fc2_spikes"]
    for layer in printed["layers"]:
        assert {each["equation"] for each in layer["statements"]} == {"13", "14, 25", "26"}
        assert all(0 <= each["violated"] <= each["cases"] for each in layer["statements"])
    assert [layer["covariance"] is None for layer in printed["layers"]] == [True, False]
    assert printed["layers"][1]["covariance"]["eq15_above_error"] == 3 * 8


def test_batches_do_not_change_an_analysis(small_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = td.analyze(small_run, data="digits", samples=7).as_json()
    monkeypatch.setattr(importlib.import_module("tdd_deploy.commands.analyze"), "BATCH", 3)
    parts = td.analyze(small_run, data="digits", samples=7).as_json()
    assert parts["fisher"]["traces"] == pytest.approx(whole["fisher"]["traces"], rel=1e-5)
    for report in (whole, parts):
        report["fisher"]["traces"] = report["fisher"]["centroid"] = None
    for ours, other in zip(parts["as_printed"]["layers"], whole["as_printed"]["layers"], strict=True):
        for key, value in (ours.pop("covariance") or {}).items():
            assert value == pytest.approx(other["covariance"][key], rel=1e-6, abs=1e-9)
        del other["covariance"]
    assert parts == whole


def test_data_without_labels_leave_fisher_information_out(
    call: Call, small_run: Path, unlabelled: Path, tmp_path: Path
) -> None:
    said = call("analyze", small_run, "--data", unlabelled, "--out", tmp_path / "out")
    assert said.code == 0
    assert "not measured: Fisher information: the data has no labels" in said.out
    assert "fisher.png" not in listing(tmp_path / "out")
    found = json.loads(call("analyze", small_run, "--data", unlabelled, "--json").out)
    assert found["fisher"]["traces"] is None


def test_a_run_in_integers_is_analyzed_as_it_is_deployed(tmp_path: Path) -> None:
    td.train(tmp_path / "run", data="digits", network="mlp", method="tet", epochs=1, steps=2, qat=4)
    found = td.analyze(tmp_path / "run", data="digits", samples=8).as_json()
    counted = td.simulate(tmp_path / "run", data="digits", samples=8).as_json()["totals"]
    assert {key: found["totals"][key] for key in ("spikes", "delta_events")} == {
        key: counted[key] for key in ("spikes", "delta_events")
    }
    assert found["fisher"]["centroid"] is not None


def test_where_information_lay_is_recorded_after_each_epoch(call: Call, tmp_path: Path) -> None:
    runs = [tmp_path / name for name in ("with", "without")]
    words = ("--data", "digits", "--network", "mlp", "--method", "tet", "--epochs", 2, "--steps", 3)
    assert call("train", *words, "--fisher", 16, "--out", runs[0]).code == 0
    assert call("train", *words, "--out", runs[1]).code == 0
    with_, without = (json.loads((run / "train.json").read_text())["epochs"] for run in runs)
    assert [set(epoch) for epoch in with_] == [set(epoch) | {"fisher_1", "fisher_2", "fisher_3"} for epoch in without]
    assert [epoch["loss"] for epoch in with_] == [epoch["loss"] for epoch in without]  # nothing else is changed by it
    assert (runs[0] / "network.safetensors").read_bytes() == (runs[1] / "network.safetensors").read_bytes()
    # The last epoch's network is the one that is analyzed: on the same samples, the same traces.
    found = json.loads(call("analyze", runs[0], "--data", "digits", "--split", "train", "--samples", 16, "--json").out)
    assert found["fisher"]["traces"] == pytest.approx([with_[1][f"fisher_{t}"] for t in (1, 2, 3)], rel=1e-5)
    assert [entry["epoch"] for entry in found["fisher"]["epochs"]] == [1, 2]
    assert found["fisher"]["epochs"][1]["centroid"] == pytest.approx(found["fisher"]["centroid"], rel=1e-5)
    assert "while training, on training samples" in call("analyze", runs[0], "--data", "digits", "--samples", 2).out
    assert call("train", *words, "--fisher", -1, "--out", tmp_path / "none").code == 2


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("--layer", "conv9"), "--layer must be fc1_spikes or fc2_spikes (got 'conv9')"),
        (("--samples", 3, "--sample", 3), "--sample must be 0 to 2, as no others are analyzed (got 3)"),
        (("--epsilon", 0), "--epsilon must be above 0 (got 0)"),
        (("--split", "half"), "must be train, val or test (got 'half')"),
    ],
)
def test_mistakes_are_reported_without_a_traceback(
    words: tuple[object, ...], found: str, call: Call, small_run: Path, tmp_path: Path
) -> None:
    said = call("analyze", small_run, "--data", "digits", *words, "--out", tmp_path / "out")
    assert said.code == 2
    assert found in said.err
    assert "Traceback" not in said.err
    assert not (tmp_path / "out").exists()


def test_only_a_finished_run_is_analyzed_or_pruned(call: Call, small_run: Path, tmp_path: Path) -> None:
    for path in (tmp_path / "nothing", small_run / "network.nir"):
        said = call("analyze", path, "--data", "digits")
        assert (said.code, said.out) == (2, "")
        assert "is not a run folder. Name a folder that train wrote" in said.err
    empty = tmp_path / "empty"
    empty.mkdir()
    for command in (("analyze", empty), ("prune", empty, "--out", tmp_path / "out")):
        assert call(*command, "--data", "digits").code == 2
    assert listing(tmp_path) == {"empty"}


def test_a_file_in_the_place_of_the_folder_is_found_out_before_the_work(call: Call, small_run: Path) -> None:
    said = call("analyze", small_run, "--data", "digits", "--out", small_run / "train.json")
    assert said.code == 2
    assert "is a file. Name a folder" in said.err


def test_pictures_without_matplotlib_exit_with_3(
    call: Call, small_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    said = call("analyze", small_run, "--data", "digits", "--out", tmp_path / "out")
    assert said.code == 3
    assert "tdd-deploy[report]" in said.err
    assert call("analyze", small_run, "--data", "digits", "--samples", 2).code == 0  # tables need none


# --- prune -------------------------------------------------------------------------------------------------------


def test_a_pruned_run_is_simulated_exported_and_verified(call: Call, small_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "runs" / "pruned"
    words = ("--sparsity", 0.7, "--rounds", 2, "--epochs", 1, "--fisher-samples", 32)
    said = call("prune", small_run, "--data", "digits", *words, "--out", out)
    assert (said.code, said.err) == (0, "")
    assert "weights zero" in said.out
    assert "70.0" in said.out
    assert listing(out) == {"network.nir", "network.safetensors", "train.json"}
    assert listing(tmp_path / "runs") == {"pruned"}
    program = td.load(out)
    maps = [node for node in program.linear_maps if isinstance(node, Dense | Conv)]
    zeros, n = (sum(count(node.weight) for node in maps) for count in (lambda w: (w == 0).sum(), np.size))
    assert zeros / n == pytest.approx(0.7, abs=0.001)
    recorded = json.loads((out / "train.json").read_text())
    before = json.loads((small_run / "train.json").read_text())
    assert recorded["pruning"]["from"]["program"] == before["program"] == td.load(small_run).digest
    assert recorded["program"] == program.digest
    assert recorded["options"] == before["options"]
    rounds = recorded["pruning"]["rounds"]
    assert [each["round"] for each in rounds] == [0, 1, 2]
    totals = td.simulate(out, data="digits", split="val").as_json()
    assert rounds[2]["delta_synops"] * 200 == pytest.approx(totals["totals"]["delta_code"]["synops_effective"])
    assert rounds[2]["delta_events"] * 200 == pytest.approx(totals["totals"]["delta_events"])
    assert rounds[2]["accuracy"] == pytest.approx(totals["accuracy"])
    assert rounds[2]["delta_synops"] < rounds[0]["delta_synops"]
    assert td.verify(out, data="digits", samples=4, against=("torch", "reference", "event")).passed
    td.export(out, target="nir", out=tmp_path / "pruned.nir", bits=8)
    assert call("analyze", out, "--data", "digits", "--samples", 2).code == 0


def test_prune_as_json(call: Call, small_run: Path, tmp_path: Path) -> None:
    words = ("--rounds", 1, "--epochs", 0, "--importance", "magnitude", "--json")
    said = call("prune", small_run, "--data", "digits", *words, "--out", tmp_path / "pruned")
    found = json.loads(said.out)
    assert found["schema_version"] == 1
    assert found["options"]["importance"] == "magnitude"
    assert found["rounds"][-1]["sparsity"] == pytest.approx(0.8, abs=1e-4)


def test_an_interrupt_keeps_the_rounds_that_are_finished(small_run: Path, tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done == total // 2 + 1:  # the first batch of round 2
            os.kill(os.getpid(), signal.SIGINT)

    out = tmp_path / "pruned"
    with pytest.raises(Interrupted, match="holds the network after round 1 of 2"):
        td.prune(small_run, data="digits", out=out, rounds=2, epochs=1, fisher_samples=16, progress=stop)
    assert listing(tmp_path) == {"pruned"}
    assert len(json.loads((out / "train.json").read_text())["pruning"]["rounds"]) == 2
    assert td.verify(out, data="digits", samples=2, against=("torch", "event")).passed


def test_an_interrupt_before_that_leaves_nothing(call: Call, small_run: Path, tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted, match="nothing was written"):
        td.prune(small_run, data="digits", out=tmp_path / "pruned", epochs=1, fisher_samples=16, progress=stop)
    assert listing(tmp_path) == set()


def test_a_second_ctrl_c_keeps_the_rounds_that_are_finished(small_run: Path, tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done == total // 2 + 1:
            for _ in range(2):
                os.kill(os.getpid(), signal.SIGINT)

    out = tmp_path / "pruned"
    with pytest.raises(Interrupted, match="holds the network after round 1 of 2"):
        td.prune(small_run, data="digits", out=out, rounds=2, epochs=1, fisher_samples=16, progress=stop)
    assert listing(tmp_path) == {"pruned"}
    assert td.verify(out, data="digits", samples=2, against=("torch", "event")).passed


@pytest.mark.parametrize("where", ["finished_run", "_same_data", "_measured", "_write"])
def test_prune_that_is_interrupted_anywhere_else_writes_nothing(
    where: str, small_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*args: object, **named: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"tdd_deploy.commands.prune.{where}", stop)
    with pytest.raises(Interrupted, match="nothing was written"):
        td.prune(small_run, data="digits", out=tmp_path / "pruned", epochs=1, fisher_samples=16)
    assert listing(tmp_path) == set()


def test_prune_without_enough_memory_says_so(small_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr("tdd_deploy.training.strategies.Unrolling.learn", fail)
    with pytest.raises(MemoryError, match="can't allocate memory"):
        td.prune(small_run, data="digits", out=tmp_path / "pruned", epochs=1, fisher_samples=16)
    assert listing(tmp_path) == set()


def test_prune_reports_mistakes_and_leaves_no_folder(
    call: Call, small_run: Path, tmp_path: Path, unlabelled: Path
) -> None:
    out = tmp_path / "out"
    np.savez(tmp_path / "other.npz", x=np.zeros((40, 5), np.float32), y=np.arange(40) % 10)
    cases: dict[tuple[object, ...], str] = {
        ("--data", "digits", "--sparsity", 1.5, "--rounds", 0): "(2 found)",
        (
            "--data",
            "digits",
            "--sparsity",
            0.9999999,
        ): "at most 0.999884, which leaves a weight per connection (got 0.9999999)",
        ("--data", unlabelled): "its labels must be one integer per sample, in y (got y is missing)",
        ("--data", tmp_path / "other.npz"): "its input shape must be [1, 8, 8], as in ",
        ("--data", "nonsense"): "nonsense",
    }
    before = listing(tmp_path)
    for words, found in cases.items():
        said = call("prune", small_run, *words, "--out", out)
        assert said.code == 2
        assert found in said.err
        assert "Traceback" not in said.err
        assert listing(tmp_path) == before
    said = call("prune", small_run, "--data", "digits", "--out", small_run)
    assert said.code == 2
    assert "is not an empty folder. Name a new folder" in said.err


def test_a_run_in_integers_is_not_pruned(call: Call, tmp_path: Path) -> None:
    td.train(tmp_path / "run", data="digits", network="mlp", method="tet", epochs=1, steps=2, qat=8)
    said = call("prune", tmp_path / "run", "--data", "digits", "--out", tmp_path / "out")
    assert said.code == 2
    assert "was trained for integers (--qat). Prune a run in floats, then export it with --bits" in said.err
