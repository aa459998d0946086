"""The command line, as a stranger uses it."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import h5py
import numpy as np
import onnx
import pytest

from tdd_deploy import __version__
from tdd_deploy.data import DATASETS
from tdd_deploy.errors import MissingDependency
from tdd_deploy.options import vocabulary
from tdd_deploy.simulator.hardware.profiles import profile_names
from tdd_deploy.simulator.reports.report import SCHEMA_VERSION
from tdd_deploy.verification import backends
from tests import by_hand
from tests.commands import Call


def listing(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else b"" for p in folder.rglob("*")}


def edited(path: Path, run: Path, edit: Callable[[h5py.Group], None]) -> Path:
    """A copy of a run's network with its nodes changed."""
    shutil.copy(run / "network.nir", path)
    with h5py.File(path, "a") as file:
        edit(file["node/nodes"])
    return path


def test_help_and_version_answer_without_numpy_or_torch() -> None:
    code = "import sys; from tdd_deploy import cli; print([m for m in ('numpy', 'torch', 'rich') if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_every_command_explains_itself(call: Call) -> None:
    listed = call("--help")
    assert listed.code == 0
    for command in ("train", "export", "simulate", "verify", "inspect"):
        assert command in listed.out
        assert call(command, "--help").code == 0
    assert call("--version").out.strip() == f"tdd-deploy {__version__}"


def test_help_shows_the_words_of_an_option(call: Call) -> None:
    train, simulate = (re.sub(r"\s+", " ", call(command, "--help").out) for command in ("train", "simulate"))
    sweep = re.sub(r"\s+", "", call("sweep", "--help").out)
    assert "[auto|delta|spike],..." in sweep
    assert "Default:loihi1-davies2018,cmos45-memory,cmos45-horowitz." in sweep
    for words in (vocabulary.Score, vocabulary.DdlaReading, vocabulary.Schedule, vocabulary.Weigh):
        assert f"[{'|'.join(get_args(words))}]" in train
    assert all(name in simulate for name in (*vocabulary.DEFAULT_PROFILES, *DATASETS))
    assert set(vocabulary.DEFAULT_PROFILES) <= set(profile_names())


def test_simulate_prints_a_table_with_both_counts_and_energy(call: Call, run_folder: Path) -> None:
    called = call("simulate", run_folder, "--data", "digits", "--samples", 20, "--energy")
    assert called.code == 0
    assert called.err == ""
    for word in ("delta events", "plain spikes", "dense", "nJ", "accuracy", "not priced", "total"):
        assert word in called.out


def test_simulate_compares_profiles_and_adds_static_power_for_the_time_that_is_given(
    call: Call, run_folder: Path
) -> None:
    words = ["simulate", run_folder, "--data", "digits", "--samples", 5, "--energy", "--step-time", 1e-3]
    words += [word for name in ("odin", "loihi2", "cmos45-memory") for word in ("--profile", name)]
    report = json.loads(call(*words, "--clock", 10, "--json").out)
    odin, loihi2, memory = report["energies"]
    assert [energy["profile"] for energy in report["energies"]] == ["odin", "loihi2", "cmos45-memory"]
    seconds = 1e-3 * 5 * len(report["steps"])
    assert odin["static_low_pj"] == odin["static_high_pj"] == pytest.approx((27.3 + 1.78 * 10) * 1e6 * seconds)
    assert odin["dynamic_pj"] == report["totals"]["energy_pj"] > 0
    assert (loihi2["dynamic_pj"], loihi2["static_low_pj"], memory["static_low_pj"]) == (None, None, None)
    printed = call(*words).out
    for word in ("static, in", "odin", "loihi2", "cmos45-memory", "in addition, in 6,000 us"):
        assert word in printed


def test_a_chip_without_public_prices_is_answered_with_what_was_measured(call: Call, run_folder: Path) -> None:
    called = call("simulate", run_folder, "--data", "digits", "--samples", 5, "--energy", "--profile", "loihi2")
    assert called.code == 0
    assert "not priced by loihi2: no price of an event is published" in called.out
    assert "pilotnet_lif: 1.661 mJ/inference, all in" in called.out
    assert "energy by" not in called.out


def test_runs_are_reported_and_compared_for_papers(call: Call, run_folder: Path, tmp_path: Path) -> None:
    runs = [tmp_path / code for code in ("delta", "spike")]
    for out in runs:
        words = ["simulate", run_folder, "--data", "digits", "--samples", 5, "--energy", "--code", out.name]
        assert call(*words, "--out", out).code == 0
    table = call("report", runs[0], "--by", "layer", "--format", "md").out.splitlines()
    assert table[0].startswith("| layer | spikes | delta events |")
    assert table[-1].startswith("| total |")
    side_by_side = call("compare", *runs, "--format", "md").out.splitlines()
    assert side_by_side[0].startswith("| run | data | samples |")
    assert "cmos45-memory, uJ" in side_by_side[0]
    assert [row.split(" | ")[0] for row in side_by_side[2:]] == ["| delta", "| spike"]
    assert json.loads(call("report", runs[0], "--json").out)["schema_version"] == SCHEMA_VERSION
    assert set(json.loads(call("compare", *runs, "--json").out)) == {"delta", "spike"}
    assert f"| {runs[0]} |" in call("compare", runs[0], runs[0] / "report.json", "--format", "md").out


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (None, "is missing"),
        ("{", "is not JSON"),
        ("[]", "is no report of a simulation"),
        ('{"schema_version": 2}', "is no report of a simulation"),
    ],
)
def test_what_is_no_report_is_refused(call: Call, tmp_path: Path, text: str | None, found: str) -> None:
    if text is not None:
        (tmp_path / "report.json").write_text(text)
    called = call("report", tmp_path)
    assert (called.code, called.out) == (2, "")
    assert found in called.err


def test_a_report_of_another_schema_is_refused(call: Call, tmp_path: Path) -> None:
    old = by_hand.simulation().as_json() | {"schema_version": 0}
    (tmp_path / "report.json").write_text(json.dumps(old))
    assert f"is a report of schema 0, not {SCHEMA_VERSION}. Simulate again." in call("report", tmp_path).err


def test_a_damaged_report_is_refused_by_its_place(call: Call, tmp_path: Path) -> None:
    damaged = by_hand.simulation().as_json()
    damaged["steps"][2]["energy_pj"] = "x"
    path = tmp_path / "report.json"
    path.write_text(json.dumps(damaged))
    for words in (("report", path, "--by", "term"), ("compare", path), ("report", path, "--json")):
        called = call(*words)
        assert (called.code, called.out) == (2, "")
        found = 'is damaged: steps[2].energy_pj must be a number (got "x"). Simulate again.'
        assert called.err == f"tdd-deploy: {path} {found}\n"


def test_profiles_are_listed_and_explained(call: Call) -> None:
    listed = call("profiles").out
    assert all(name in listed for name in profile_names())
    explained = call("profiles", "odin", "loihi1-davies2018").out
    for word in ("synop: 8.43 pJ for each of synops_stored", "Frenkel", "0.00178 mW per MHz", "23.6 to 35.5", "hops_x"):
        assert word in explained
    (odin,) = json.loads(call("profiles", "odin", "--json").out)["profiles"]
    assert odin["static_mw"] == pytest.approx([0.1608, 0.1608])
    assert odin["static_states"] == {"in use": pytest.approx([0.1608, 0.1608])}
    assert "Did you mean odin?" in call("profiles", "oddin").err


def test_simulate_prints_one_json_object(call: Call, run_folder: Path) -> None:
    called = call("simulate", run_folder / "network.nir", "--data", "digits", "--samples", 20, "--energy", "--json")
    report = json.loads(called.out)
    assert report["schema_version"] == SCHEMA_VERSION
    assert [step["step"] for step in report["steps"]] == [1, 2, 3, 4, 5, 6]
    assert report["totals"]["samples"] == 20
    energy = report["energies"][0]
    assert energy["profile"] == "cmos45-memory"  # Loihi 1 has no signed events
    assert energy["low_pj"] <= energy["dynamic_pj"] <= energy["high_pj"]


def test_inspect_names_every_choice(call: Call, run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    called = call("inspect", run_folder)
    for word in ("conv2_spikes", "LIF", "beta 0.5", "hard reset", "v > v_threshold", "euler", "0.001 s", "direct"):
        assert word in re.sub(r"\s+", " ", called.out)
    assert json.loads(call("inspect", run_folder, "--json").out)["neurons"] == 3456


def test_exporting_a_run_gives_the_same_program(call: Call, run_folder: Path, tmp_path: Path) -> None:
    assert call("export", run_folder, "--target", "nir", "--out", tmp_path / "copy.nir").code == 0
    digests = [json.loads(call("inspect", p, "--json").out)["digest"] for p in (run_folder, tmp_path / "copy.nir")]
    assert digests[0] == digests[1]


def test_a_report_folder_holds_json_csv_and_html(call: Call, run_folder: Path, tmp_path: Path) -> None:
    called = call("simulate", run_folder, "--data", "digits", "--samples", 10, "--energy", "--out", tmp_path / "report")
    assert called.code == 0
    assert sorted(p.name for p in (tmp_path / "report").iterdir()) == ["report.html", "report.json", "steps.csv"]


BAD_FILES = {
    "truncated": (
        lambda path, run: path.write_bytes((run / "network.nir").read_bytes()[:5000]),
        "half written: it holds 5,000 of",
    ),
    "not a NIR file": (lambda path, run: path.write_text("hello"), "not a NIR file"),
    "a folder": (lambda path, run: path.mkdir(), "folder"),
    "missing": (lambda path, run: None, "is missing. Name a .nir, .net or .onnx file"),
    "NaN weights": (
        lambda path, run: edited(
            path, run, lambda nodes: nodes["conv1/weight"].write_direct(np.full((32, 1, 3, 3), np.nan, "f4"))
        ),
        "NaN",
    ),
    "unknown node": (
        lambda path, run: edited(
            path, run, lambda nodes: nodes["conv1_spikes/type"].write_direct(np.array(b"Izhikevich", "O"))
        ),
        "Izhikevich",
    ),
}


@pytest.mark.parametrize("fault", BAD_FILES)
def test_a_bad_file_is_answered_in_one_sentence(fault: str, call: Call, run_folder: Path, tmp_path: Path) -> None:
    make, word = BAD_FILES[fault]
    path = tmp_path / "bad.nir"
    make(path, run_folder)
    before = listing(tmp_path)
    for command in (["simulate", path, "--data", "digits"], ["inspect", path], ["export", path, "--target", "nir"]):
        out = ["--out", tmp_path / "out"] if command[0] != "inspect" else []
        called = call(*command, *out)
        assert called.code == 2
        assert called.out == ""
        assert word in called.err
        assert called.err.count("\n") == 1
        assert listing(tmp_path) == before


def images(shape: tuple[int, ...], labels: list[int], dtype: str = "f4") -> dict[str, np.ndarray]:
    return {"x": np.zeros(shape, dtype), "y": np.array(labels, int)}


BAD_DATA = {
    "wrong input shape": (images((4, 1, 9, 9), [0] * 4), "[1, 9, 9]"),
    "empty": (images((0, 1, 8, 8), []), "[0, 1, 8, 8]"),
    "label out of range": (images((4, 1, 8, 8), [0, 1, 77, 3]), "77"),
    "NaN": ({"x": np.full((4, 1, 8, 8), np.nan, "f4")}, "NaN"),
    "no x": ({"images": np.zeros((4, 1, 8, 8))}, "x"),
}


@pytest.mark.parametrize("fault", BAD_DATA)
def test_bad_data_is_answered_in_one_sentence(fault: str, call: Call, run_folder: Path, tmp_path: Path) -> None:
    arrays, word = BAD_DATA[fault]
    np.savez(tmp_path / "data.npz", **arrays)
    before = listing(tmp_path)
    outputs = ["--out", tmp_path / "report", "--record", tmp_path / "record.npz"]
    called = call("simulate", run_folder, "--data", tmp_path / "data.npz", "--energy", *outputs)
    assert (called.code, called.out) == (2, "")
    assert word in called.err
    assert called.err.count("\n") == 1
    assert listing(tmp_path) == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--data", "mnits"], "Did you mean mnist?"),
        (["--data", "mnist"], "TDD_DEPLOY_DATA"),
        (["--data", "digits", "--energy", "--profile", "loihi1"], "Did you mean loihi1-davies2018 or loihi1-sanafe?"),
        (["--data", "digits", "--profile", "odin"], "--profile needs --energy."),
        (["--data", "digits", "--step-time", "1"], "--step-time needs --energy."),
        (["--data", "digits", "--energy", "--step-time", "-1"], "--step-time must be above 0 (got -1)."),
        (
            ["--data", "digits", "--energy", "--clock", "5"],
            "--clock needs a profile whose static power depends on a clock (got loihi1-davies2018, ",
        ),
        (["--data", "digits", "--split", "training"], "train, val or test (got 'training'). Did you mean train?"),
        (["--data", "digits", "--out", "FILE"], "is a file"),
        (["--data", "digits", "--record", "FOLDER"], "is a folder"),
        (["--data", "digits", "--steps", "0"], "--steps must be 1 to 16,777,216 (got 0)."),
        (["--data", "digits", "--code", "both"], "--code must be auto, delta or spike (got 'both')."),
        ([], "--data"),
    ],
)
def test_a_bad_option_is_answered_with_what_is_allowed(
    words: list[str], said: str, call: Call, run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TDD_DEPLOY_DATA", raising=False)
    (tmp_path / "FILE").touch()
    (tmp_path / "FOLDER").mkdir()
    before = listing(tmp_path)
    called = call("simulate", run_folder, *[str(tmp_path / word) if word.isupper() else word for word in words])
    assert (called.code, called.out) == (2, "")
    assert said in called.err
    assert "Traceback" not in called.err
    assert listing(tmp_path) == before


def test_a_bad_profile_names_every_key_that_is_wrong(call: Call, run_folder: Path, tmp_path: Path) -> None:
    profile = tmp_path / "mine.toml"
    profile.write_text(
        'schema = 1\nname = "mine"\ntitle = "t"\n[price.synop]\ncounts = ["synops"]\nvalue = 1\nunits = "pJ"\n'
    )
    called = call("simulate", run_folder, "--data", "digits", "--energy", "--profile", profile)
    assert called.code == 2
    for word in ("price.synop.units", "price.synop.unit is missing", "price.synop.source", "price.synop.counts"):
        assert word in called.err


def test_training_refuses_bad_options_all_at_once(call: Call, tmp_path: Path) -> None:
    called = call(
        "train", "--method", "tet", "--keep", "0.5", "--beta", "2", "--epochs", "0", "--out", tmp_path / "run"
    )
    assert called.code == 2
    for flag in ("--keep", "--beta", "--epochs"):
        assert flag in called.err
    assert not (tmp_path / "run").exists()


def test_training_refuses_a_folder_that_is_not_empty(call: Call, run_folder: Path) -> None:
    before = listing(run_folder)
    called = call("train", "--data", "digits", "--out", run_folder)
    assert called.code == 2
    assert "--resume" in called.err
    assert listing(run_folder) == before


def test_resuming_a_finished_run_changes_nothing_that_counts(call: Call, run_folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run_folder, tmp_path / "run")
    assert call("train", "--resume", "--out", copy).code == 0
    for name in ("network.nir", "network.safetensors", "train.json"):
        assert (copy / name).read_bytes() == (run_folder / name).read_bytes()


def test_resuming_with_other_options_is_refused(call: Call, run_folder: Path) -> None:
    called = call("train", "--resume", "--epochs", 5, "--penalty-weight", 0.5, "--data", "mnist", "--out", run_folder)
    assert called.code == 2
    for flag in ("--epochs", "--penalty-weight", "--data"):
        assert flag in called.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_training_is_saved_and_goes_on(number: int, tmp_path: Path, call: Call) -> None:
    run = tmp_path / "run"
    command = [
        sys.executable,
        "-m",
        "tdd_deploy",
        "train",
        "--method",
        "tet",
        "--epochs",
        "2000",
        "--out",
        str(run),
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("epoch    1/2000"):
            break
    time.sleep(0.2)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "--resume" in err
    assert "Traceback" not in err
    assert not (run / "network.nir").exists()
    epochs = json.loads((run / "train.json").read_text())["epochs"]
    assert len(epochs) >= 1
    assert [p for p in run.iterdir() if p.name.startswith(".")] == []


@pytest.mark.parametrize(
    ("kib", "words"),
    [
        (100, "simulate RUN --data digits --samples 300 --record record.npz"),
        (4, "simulate RUN --data digits --samples 10 --energy --out report"),
        (20, "train --method tet --epochs 1 --out new"),
        (20, "export RUN --target nir --out network.nir"),
    ],
)
def test_a_full_disk_is_answered_in_one_sentence(kib: int, words: str, run_folder: Path, tmp_path: Path) -> None:
    """A limit on every file's size stands for the disk."""
    command = f"ulimit -f {kib}; exec {sys.executable} -m tdd_deploy {words}"
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    called = subprocess.run(
        ["bash", "-c", command.replace("RUN", str(run_folder))],
        capture_output=True, text=True, check=False, cwd=tmp_path, env=environment,
    )  # fmt: skip
    assert called.returncode == 2
    assert called.stderr.count("\n") == 1
    assert "space" in called.stderr
    assert [path for path in tmp_path.rglob(".*") if path.name.endswith(".part")] == []


def test_training_without_torch_says_what_to_install(call: Call, tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None; from tdd_deploy import cli; "
        f"sys.argv = ['tdd-deploy', 'train', '--out', {str(tmp_path / 'run')!r}]; cli.main()"
    )
    called = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert called.returncode == 3
    assert "pip install 'tdd-deploy[train]'" in called.stderr
    assert not (tmp_path / "run").exists()


def test_a_fault_of_ours_is_exit_4(call: Call, run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("oh")

    monkeypatch.setattr("tdd_deploy.commands.inspect.inspect", broken)
    called = call("inspect", run_folder)
    assert called.code == 4
    assert "bug" in called.err


def test_a_reader_who_leaves_is_no_error(run_folder: Path) -> None:
    command = f"{sys.executable} -m tdd_deploy inspect {run_folder} --json | head -c 1; echo ${{PIPESTATUS[0]}}"
    called = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert called.stdout.strip().endswith("0")
    assert called.stderr == ""


@pytest.fixture(scope="module")
def integer_file(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained network, quantized."""
    from tdd_deploy import export

    path = tmp_path_factory.mktemp("integers") / "network.nir"
    export(run_folder, target="nir", out=path, bits=8)
    return path


def test_quantizing_prints_a_row_per_layer_and_what_calibration_saw(
    call: Call, run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    words = ["export", run_folder, "--target", "nir", "--bits", 6, "--per", "neuron", "--out", tmp_path / "n.nir"]
    plain = call(*words)
    measured = call(*words, "--data", "digits", "--samples", 10)
    assert (plain.code, measured.code, plain.err, measured.err) == (0, 0, "", "")
    for name in ("conv1_spikes", "fc1_spikes", "output", "case sum", "131,072", "4 layers of neurons, integer"):
        assert name in plain.out
        assert name in measured.out
    assert "flips" not in plain.out
    for name in ("flips", "largest seen", "accuracy on 10 training samples"):
        assert name in measured.out
    assert [path.name for path in tmp_path.iterdir()] == ["n.nir"]


@pytest.mark.parametrize(
    ("words", "number_format"),
    [
        ("--target nir", "float32"),
        ("--target nir --bits 2 --data digits --samples 3", "integer"),
        ("--target lava", "integer"),
        ("--target lava --floats --mapping stock", "float32"),
        ("--target lava --bits 3 --per neuron --code spike", "integer"),
        ("--target onnx", "float32"),
        ("--target onnx --form scan --code delta --bits 8 --per neuron", "integer"),
    ],
)
def test_an_export_prints_one_json_object(
    words: str, number_format: str, call: Call, run_folder: Path, tmp_path: Path
) -> None:
    called = call("export", run_folder, "--out", tmp_path / "out", "--json", *words.split())
    assert (called.code, called.err) == (0, "")
    report = json.loads(called.out)
    assert (report["schema_version"], report["number_format"]) == (1, number_format)
    assert len(report["layers"]) == (5 if number_format == "integer" else 0)
    assert (report["calibration"] is not None) == ("--data" in words)


BAD_EXPORTS = {
    "--target nir --mapping fused": ["--mapping"],
    "--target nir --mapping stock --floats --code spike --per neuron --data digits": [
        "--mapping", "--floats", "--code", "--per", "--data needs",
    ],
    "--target nir --per neuron --input-bits 4": ["--per needs --bits", "--input-bits needs --bits"],
    "--target nir --samples 9 --data-dir . --frames": [
        "--samples needs --data", "--data-dir needs --data", "--frames needs --data",
    ],
    "--target nir --form scan --code delta": [
        "--form needs --target onnx", "--code needs --target lava or --target onnx",
    ],
    "--target lava --form step": ["--form"],
    "--target nir --fast": ["--fast needs --target onnx"],
    "--target onnx --fast --bits 8": ["--fast cannot be combined with integers"],
    "--target onnx --form loop": ["--form"],
    "--target onnx --mapping stock --floats": ["--mapping", "--floats"],
    "--target lava --floats --bits 8": ["--bits", "--floats"],
    "--target lava --floats --data digits": ["--data"],
    "--target lava --mapping stock --code spike": ["--code", "--mapping fused"],
    "--target lava --mapping spike --code spike": ["--code", "--mapping fused"],
    "--target nir --bits 9 --input-bits 0": ["--bits", "2 to 8", "--input-bits", "1 to 12"],
    "--target nir --bits 1": ["--bits", "2 to 8"],
    "--target nir --bits 8 --data nowhere": ["nowhere"],
    "--target nir --bits 8 --data digits --samples 0": ["--samples"],
    "--target nir --bits 8 --per channel": ["--per"],
    "--target loihi": ["--target"],
    "--target lava --mapping dense": ["--mapping"],
}  # fmt: skip


@pytest.mark.parametrize("words", BAD_EXPORTS)
def test_export_options_that_do_not_go_together_are_all_reported(
    words: str, call: Call, run_folder: Path, tmp_path: Path
) -> None:
    called = call("export", run_folder, "--out", tmp_path / "out", *words.split())
    assert (called.code, called.out) == (2, "")
    for word in BAD_EXPORTS[words]:
        assert word in called.err
    assert "Traceback" not in called.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--target nir --bits 8", "Leave out --bits."),
        ("--target lava --floats", "Leave out --floats."),
        ("--target lava --per neuron", "Leave out --per."),
    ],
)
def test_integers_are_not_quantized_again(
    words: str, said: str, call: Call, integer_file: Path, tmp_path: Path
) -> None:
    called = call("export", integer_file, "--out", tmp_path / "out", *words.split())
    assert (called.code, called.err.count("\n")) == (2, 1)
    assert said in called.err
    assert list(tmp_path.iterdir()) == []


def test_a_bundle_never_replaces_something_else(call: Call, integer_file: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    (tmp_path / "file").write_text("more work")
    before = listing(tmp_path)
    for name in ("mine", "file"):
        called = call("export", integer_file, "--target", "lava", "--out", tmp_path / name)
        assert (called.code, called.err.count("\n")) == (2, 1)
    assert listing(tmp_path) == before
    assert call("export", integer_file, "--target", "lava", "--out", tmp_path / "new").code == 0
    assert call("export", integer_file, "--target", "lava", "--out", tmp_path / "new", "--mapping", "stock").code == 0


@pytest.mark.parametrize("words", ["", "--form scan --code delta --bits 8"])
def test_an_exported_model_is_of_the_form_that_was_asked(
    words: str, call: Call, run_folder: Path, tmp_path: Path
) -> None:
    called = call("export", run_folder, "--target", "onnx", "--out", tmp_path / "net.onnx", *words.split())
    assert (called.code, called.err) == (0, "")
    found = {entry.key: entry.value for entry in onnx.load(tmp_path / "net.onnx").metadata_props}
    expected = ("scan", "delta", "integer") if words else ("step", "spike", "float32")
    assert (found["form"], found["code"], found["number_format"]) == expected
    assert f"program {found['program'][:12]}" in called.out
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]


def test_onnxruntime_fires_the_spikes_of_the_reference(call: Call, run_folder: Path, integer_file: Path) -> None:
    for file in (run_folder, integer_file):
        words = ("--data", "digits", "--samples", 20, "--batch", 7, "--against", "reference,event,onnx", "--json")
        called = call("verify", file, *words)
        report = json.loads(called.out)
        assert (called.code, called.err) == (0, "")
        assert [comparison["after"] for comparison in report["comparisons"]][-2:] == ["onnx, step", "onnx, scan"]
        assert [comparison["differing"] for comparison in report["comparisons"]] == [0] * 4
        assert [comparison["outputs_differing"] for comparison in report["comparisons"]] == [0] * 4


def test_backends_that_agree_are_exit_0(call: Call, integer_file: Path, run_folder: Path) -> None:
    for file, against in ((integer_file, "reference,event"), (run_folder, "reference, event"), (run_folder, "integer")):
        called = call("verify", file, "--data", "digits", "--samples", 3, "--against", against)
        assert (called.code, called.err) == (0, "")
        assert called.out.count("ok ") == 2
        assert "first divergence" not in called.out


def test_backends_that_differ_are_exit_1_with_the_place(
    call: Call, integer_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def faulty(program: Any, name: str, code: str) -> backends.Backend:
        def run(inputs: np.ndarray) -> Any:
            recorded = backends.reference_backend(program, name)(inputs)
            if code == "delta":
                recorded.spikes["conv2_spikes"][1, 2, 3, 0, 1] = 7
            return replace(recorded, potentials={})

        return run

    monkeypatch.setattr(backends, "event_backend", faulty)
    words = ["verify", integer_file, "--data", "digits", "--samples", 3, "--against", "reference,event"]
    called = call(*words)
    assert (called.code, called.err) == (1, "")
    assert called.out.count("NO ") == 2
    for pair in ("reference -> event, delta code", "event, delta code -> event, spike code"):
        place = "layer conv2_spikes, step 3, sample 1, neuron [3, 0, 1]"
        assert re.search(rf"^{pair}: first divergence: {re.escape(place)}.*likely cause: ", called.out, re.MULTILINE)
    called = call(*words, "--json")
    report = json.loads(called.out)
    assert (called.code, report["passed"]) == (1, False)
    assert [comparison["passed"] for comparison in report["comparisons"]] == [False, False]
    assert report["comparisons"][0]["first_divergence"]["neuron"] == [3, 0, 1]


def test_verify_prints_one_json_object(call: Call, run_folder: Path) -> None:
    called = call("verify", run_folder, "--data", "digits", "--samples", 3, "--against", "integer", "--json")
    report = json.loads(called.out)
    assert (called.code, report["schema_version"], report["passed"], report["n_samples"]) == (0, 2, True, 3)
    assert [comparison["bound"] for comparison in report["comparisons"]] == ["0 differing"] * 2
    assert set(report["seconds"]) == set(report["accuracies"]) == {
        "integer reference", "integer, delta code", "integer, spike code",
    }  # fmt: skip


def test_verify_leaves_out_what_is_not_there_and_says_so(
    call: Call, integer_file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def missing(path: Path, program: object) -> None:
        raise MissingDependency("torch", "`against=torch`", "'tdd-deploy[train]'")

    monkeypatch.setattr(backends, "torch_backend", missing)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setenv("TDD_DEPLOY_LAVA_HOME", str(tmp_path))
    called = call("verify", integer_file, "--data", "digits", "--samples", 2)
    assert called.code == 0
    assert "left out: onnx: " in called.out
    assert "pip install 'tdd-deploy[onnx]'" in called.out
    assert "left out: torch: " in called.out
    assert "left out: lava: " in called.out
    assert "pip install 'tdd-deploy[train]'" in called.out
    assert "tdd-deploy lava setup" in called.out
    assert re.search(r"^ +reference *\nok +event, delta code ", called.out, re.MULTILINE)


def test_asking_for_lava_without_its_environment_is_exit_3_with_the_remedy(
    call: Call, integer_file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TDD_DEPLOY_LAVA_HOME", str(tmp_path))
    called = call("verify", integer_file, "--data", "digits", "--against", "reference,lava")
    assert (called.code, called.out) == (3, "")
    assert called.err.count("\n") == 1
    assert "tdd-deploy lava setup" in called.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            "--data digits --against reference,loihi,gpu",
            "one or more of torch, reference, event, onnx, openvino, integer, lava (got 'loihi', 'gpu')",
        ),
        ("--data digits --against reference", "at least two"),
        ("--data digits --against ,", "at least two"),
        ("--data digits --against integer", "at least two"),
        ("--data mnits --against event", "Did you mean mnist?"),
        ("--data digits --split training --against event", "train, val or test (got 'training'). Did you mean train?"),
        ("--data digits --samples 0", "--samples must be 1 or more (got 0)."),
        ("--data digits --mapping dense", "--mapping"),
        ("--data digits --batch 0", "--batch must be 1 or more (got 0)."),
        (
            "--data digits --bits 8",
            "--bits needs a program in floats (this one is in integers already). Leave out --bits.",
        ),
        ("--data digits --per neuron --input-bits 4", "--input-bits needs a program in floats"),
        ("", "--data"),
    ],
)
def test_a_bad_option_of_verify_is_answered_with_what_is_allowed(
    words: str, said: str, call: Call, integer_file: Path
) -> None:
    called = call("verify", integer_file, *words.split())
    assert (called.code, called.out) == (2, "")
    assert said in called.err
    assert "Traceback" not in called.err


def test_verify_answers_bad_files_and_data_in_one_sentence(call: Call, integer_file: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "small.npz", x=np.zeros((4, 1, 9, 9), "f4"))
    np.savez(tmp_path / "bright.npz", x=np.full((4, 1, 8, 8), 2, "f4"))
    for file, data, word in (
        (tmp_path / "no.nir", "digits", "no.nir is missing"),
        (tmp_path, "digits", "network.nir"),
        (integer_file, tmp_path / "small.npz", "[1, 9, 9]"),
        (integer_file, tmp_path / "bright.npz", "-1 to 1"),
    ):
        called = call("verify", file, "--data", data, "--against", "event")
        assert (called.code, called.out) == (2, "")
        assert word in called.err
        assert called.err.count("\n") == 1


def test_sweep_prints_a_row_per_point_and_marks_the_best(
    call: Call, run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    words = ["sweep", run_folder, "--data", "digits", "--samples", 5, "--bits", "float,4", "--out", tmp_path / "out"]
    printed = call(*words).out
    for word in ("loihi1-davies2018, ", "delta", "spike", "float", " 4 ", "*", "no other point is as accurate"):
        assert word in printed
    assert len(json.loads(call(*words, "--json").out)["points"]) == 4


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--bits", "float,many"], "one or more of float, 8, 7, 6, 5, 4, 3, 2 (got 'many')"),
        (["--bits", ","], "one or more of float, 8, 7, 6, 5, 4, 3, 2 (got nothing)"),
        (["--code", "delta,morse"], "one or more of auto, delta, spike (got 'morse')"),
        (["--input-threshold", "-1"], "--input-threshold must be 0 or more (got -1)"),
    ],
)
def test_sweep_refuses_what_is_no_axis(call: Call, run_folder: Path, tmp_path: Path, words: list, said: str) -> None:
    called = call("sweep", run_folder, "--data", "digits", "--samples", 1, "--out", tmp_path / "out", *words)
    assert called.code == 2
    assert said in called.err


def test_a_threshold_of_the_input_is_of_numbers(call: Call, run_folder: Path) -> None:
    words = ["simulate", run_folder, "--data", "digits", "--samples", 2, "--input-threshold", 0.5]
    report = json.loads(call(*words, "--json").out)
    assert report["data"]["input_threshold"] == 0.5
    assert report["totals"]["input_events"] < json.loads(call(*words[:-2], "--json").out)["totals"]["input_events"]
    called = call(*words, "--encoder", "poisson")
    assert (called.code, "Use --encoder direct." in called.err) == (2, True)


def test_simulate_compares_with_an_ann_baseline(call: Call, run_folder: Path, tmp_path: Path) -> None:
    ann = tmp_path / "ann"
    options = json.loads((run_folder / "train.json").read_text())["options"]
    words = ["--network", options["network"], "--epochs", 1, "--train-samples", 64, "--out", ann]
    assert call("train", "--data", "digits", "--method", "ann", *words).code == 0
    simulate = ["simulate", run_folder, "--data", "digits", "--samples", 5, "--energy"]
    printed = call(*simulate, "--baseline", ann).out
    words = (
        "ANN baseline: ",
        " MACs; accuracy ",
        "% in floats, ",
        "% in 8 bits",
        "break-even by cmos45-memory",
        "dense ANN",
    )
    for word in words:
        assert word in printed
    other = call(*simulate, "--split", "train", "--baseline", ann)
    assert (other.code, "its data must be digits (train) (got digits (" in other.err) == (2, True)
