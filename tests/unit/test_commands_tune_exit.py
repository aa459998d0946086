"""``tune-exit`` writes a margin into a run folder, and ``simulate --early-exit tuned`` reads it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import tdd_deploy as td
from tdd_deploy.commands.tune_exit import CrossValidation
from tdd_deploy.errors import BadData, BadFile, BadOption, BadOptions
from tdd_deploy.run_folder import RunFolder
from tdd_deploy.simulator.early_exit import Decisions
from tests.commands import Call


@pytest.fixture(scope="module")
def tuned(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of its own, with a margin."""
    folder = tmp_path_factory.mktemp("tuned") / "run"
    shutil.copytree(run_folder, folder)
    td.tune_exit(folder, data="digits", lose=2)
    return folder


def test_the_file_says_what_is_lost_and_saved_on_validation_samples(tuned: Path) -> None:
    found = RunFolder(tuned).read_exit()
    assert (found["data"]["name"], found["data"]["split"], found["samples"]) == ("digits", "val", 200)
    assert found["program"] == td.load(tuned).digest
    full = td.simulate(tuned, data="digits", split="val")
    early = td.simulate(tuned, data="digits", split="val", early_exit=found["margin"])
    for figures, result in ((found["full"], full), (found["exit"], early)):
        report = result.as_json()
        assert figures["accuracy"] == result.accuracy
        assert figures["raw_events"] == report["totals"]["spikes"] / 200
        assert figures["delta_events"] == report["totals"]["delta_events"] / 200
        assert figures["raw_synops"] == report["totals"]["spike_code"]["synops_effective"] / 200
        assert figures["delta_synops"] == report["totals"]["delta_code"]["synops_effective"] / 200
    assert found["lost_points"] == pytest.approx(100 * (full.accuracy - early.accuracy))
    assert found["full"]["mean_steps"] == 6
    assert found["full"]["comparison_adds"] == 0
    assert found["exit"]["mean_steps"] == early.as_json()["early_exit"]["mean_steps"] < 6
    assert found["exit"]["comparison_adds"] == pytest.approx(2 * 10 * found["exit"]["mean_steps"])
    assert found["expected_points"] == pytest.approx(100 * 4 / 201)  # 3 of 200 may be lost


def test_the_comparison_is_counted_as_profiles_price_it(tuned: Path) -> None:
    margin = RunFolder(tuned).read_exit()["margin"]
    result = td.simulate(
        tuned, data="digits", split="val", early_exit=margin, energy=True, profiles=["cmos45-horowitz"]
    )
    (term,) = [term for term in result.energy.executed.terms if term.price.term == "exit_comparison"]
    assert 2 * term.count.sum() / 200 == pytest.approx(RunFolder(tuned).read_exit()["exit"]["comparison_adds"])


def test_simulate_reads_the_margin_and_names_its_origin(tuned: Path, call: Call) -> None:
    margin = RunFolder(tuned).read_exit()["margin"]
    words = ("simulate", tuned, "--data", "digits")
    given, read = (json.loads(call(*words, "--early-exit", m, "--json").out) for m in (margin, "tuned"))
    origins = [each["early_exit"].pop("margin_from") for each in (given, read)]
    assert given.pop("command") != read.pop("command")
    assert given == read
    assert origins[0] == "from --early-exit"
    assert origins[1] == (
        f"from {tuned}/exit.json, chosen on 200 samples of digits (val); the expected loss is at most 1.99 points"
    )
    assert origins[1] in call(*words, "--early-exit", "tuned").out
    assert td.simulate(tuned, data="digits", early_exit="tuned", code="spike").early_exit == margin


@pytest.mark.parametrize(
    ("options", "words"),
    [({"steps": 4}, "steps is 4"), ({"encoder": "poisson"}, "encoder is poisson"), ({"input_scale": 1}, "input_scale")],
)
def test_a_margin_is_not_used_for_other_inputs(tuned: Path, options: dict[str, object], words: str) -> None:
    with pytest.raises(BadOptions, match=words):
        td.simulate(tuned, data="digits", early_exit="tuned", **options)


def test_a_margin_belongs_to_one_network_in_a_run_folder(tuned: Path, tmp_path: Path) -> None:
    for network in (RunFolder(tuned).network_nir, td.load(tuned)):
        with pytest.raises(BadOption, match="Name the folder, or give a number"):
            td.simulate(network, data="digits", early_exit="tuned")
    other = tmp_path / "other"
    td.train(other, data="digits", network="mlp", epochs=1, train_samples=64, steps=2, method="tet")
    with pytest.raises(BadFile, match=r"exit\.json is missing.*tune-exit"):
        td.simulate(other, data="digits", early_exit="tuned")
    shutil.copy(RunFolder(tuned).exit_json, other)
    with pytest.raises(BadFile, match=r"margin of another network.*tune-exit"):
        td.simulate(other, data="digits", early_exit="tuned")


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("margin",), 0),
        (("margin",), "3"),
        (("margin",), None),
        (("samples",), 0),
        (("options", "lose"), "much"),
        (("inputs", "steps"), 2.5),
        (("data", "split"), 3),
        (("schema_version",), 99),
    ],
)
def test_a_damaged_file_is_refused(tuned: Path, tmp_path: Path, place: tuple[str, ...], value: object) -> None:
    folder = tmp_path / "run"
    shutil.copytree(tuned, folder)
    file = RunFolder(folder).exit_json
    found = holder = json.loads(file.read_text())
    for name in place[:-1]:
        holder = holder[name]
    holder[place[-1]] = value
    file.write_text(json.dumps(found))
    with pytest.raises(BadFile, match=r"exit\.json.*tune-exit"):
        td.simulate(folder, data="digits", early_exit="tuned")


def test_the_table_shows_what_the_comparison_costs(tuned: Path, call: Call) -> None:
    called = call("tune-exit", tuned, "--data", "digits", "--lose", 2)
    assert called.code == 0
    for word in ("adds to compare outputs", "time steps", "5 folds", "standard error", "--early-exit tuned"):
        assert word in called.out
    assert "too few" not in called.out
    assert "use 999 or more" in call("tune-exit", tuned, "--data", "digits", "--lose", 0.1).out
    td.tune_exit(tuned, data="digits", lose=2)


def test_test_and_training_samples_choose_no_margin(tuned: Path, call: Call) -> None:
    before = RunFolder(tuned).exit_json.read_bytes()
    for split in ("test", "train"):
        called = call("tune-exit", tuned, "--data", "digits", "--split", split)
        assert called.code == 2
        assert f"--split must not be {split}" in called.err
        assert "Use --split val" in called.err
    assert RunFolder(tuned).exit_json.read_bytes() == before


def test_arrays_are_validation_samples(tuned: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(tuned, folder)
    x, y = td.open_data("digits", split="val").load()
    found = td.tune_exit(folder, x, y, lose=2)
    assert found.n_samples == 200
    assert found.margin == RunFolder(tuned).read_exit()["margin"]
    with pytest.raises(BadData, match="its labels are missing"):
        td.tune_exit(folder, x)
    with pytest.raises(BadData, match=r"its labels are float64 \[200\], not one integer per sample"):
        td.tune_exit(folder, x, y + 0.5)


def test_a_single_sample_cannot_choose_a_margin_and_test_it(tuned: Path, call: Call) -> None:
    called = call("tune-exit", tuned, "--data", "digits", "--samples", 1)
    assert called.code == 2
    assert "digits: the number of samples must be 2 or more" in called.err
    assert "(got 1)" in called.err


def test_a_file_that_a_run_learned_from_is_not_used_as_a_whole(tmp_path: Path, call: Call) -> None:
    data, run = tmp_path / "own.npz", tmp_path / "run"
    x, y = td.open_data("digits", split="val").load()
    np.savez(data, x=x, y=y)
    td.train(run, data=data, network="mlp", epochs=1, steps=2, method="tet", train_samples=64)
    whole = call("tune-exit", run, "--data", data, "--split", "all")
    assert whole.code == 2
    assert "own.npz: all its samples hold training samples of this run" in whole.err
    assert "Use --split val." in whole.err
    assert call("tune-exit", run, "--data", data).code == 0
    np.savez(data, x=x + 1, y=y)  # another file of this name
    assert call("tune-exit", run, "--data", data, "--split", "all").code == 0
    with pytest.raises(BadFile, match="a single time step, so no sample can end early"):
        td.simulate(run, data=data, steps=1, early_exit="tuned")


def test_the_same_inputs_may_be_stored_with_another_scale(tuned: Path) -> None:
    x, y = td.open_data("digits", split="test").load()  # floats, times 1
    stored = td.simulate(tuned, data="digits", early_exit="tuned")
    assert td.simulate(tuned, x, y, early_exit="tuned").accuracy == stored.accuracy


def test_a_gain_is_not_a_negative_loss(tuned: Path, tmp_path: Path, call: Call) -> None:
    x, _ = td.open_data("digits", split="val").load()
    first = td.simulate(tuned, x, steps=1)
    last = td.simulate(tuned, x)
    changed = first.predictions != last.predictions
    np.savez(tmp_path / "first.npz", x=x, y=first.predictions)
    folder = tmp_path / "run"
    shutil.copytree(tuned, folder)
    called = call("tune-exit", folder, "--data", tmp_path / "first.npz", "--split", "all")
    assert changed.any()
    assert "accuracy rises by" in called.out


def test_one_time_step_leaves_nothing_to_exit_from(tmp_path: Path) -> None:
    td.train(tmp_path / "run", data="digits", network="mlp", epochs=1, train_samples=64, steps=1, method="tet")
    with pytest.raises(BadFile, match="a single time step, so no sample can end early"):
        td.tune_exit(tmp_path / "run", data="digits")
    with pytest.raises(BadFile, match="not a run folder"):
        td.tune_exit(RunFolder(tmp_path / "run").network_nir, data="digits")


def test_cross_validation_measures_each_fold_with_a_margin_that_it_did_not_choose() -> None:
    # Only the first sample is lost early; without its fold nothing is known of it.
    leads, is_right = np.tile([2.0, 3.0], (10, 1)), np.ones((10, 2), bool)
    leads[0], is_right[0, 0] = [2.5, 3.0], False
    found = CrossValidation.of(Decisions(leads, is_right), 0, 5)
    assert found.margins == pytest.approx((1.0, *(2.5 * 1.001,) * 4))
    assert (found.lost_points, found.standard_error) == pytest.approx((10, 10))
    nothing = CrossValidation.of(Decisions(leads, np.ones((10, 2), bool)), 0, 5)
    assert (nothing.lost_points, nothing.standard_error) == pytest.approx((0, 10))  # 1 of 10 could be lost
