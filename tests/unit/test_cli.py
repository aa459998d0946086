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
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pytest

from tdd_deploy import __version__, cli
from tdd_deploy.data import DATASETS, ENCODERS
from tdd_deploy.exporters import TARGETS
from tdd_deploy.simulator.profiles import profile_names
from tdd_deploy.train import METHODS, NETWORKS
from tdd_deploy.train.methods import READINGS, SCORES


@dataclass(frozen=True)
class Called:
    code: int
    out: str
    err: str


Call = Callable[..., Called]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    def run(*words: object) -> Called:
        monkeypatch.setattr(sys, "argv", ["tdd-deploy", *map(str, words)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        captured = capsys.readouterr()
        return Called(int(stopped.value.code or 0), captured.out, captured.err)

    return run


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
    for command in ("train", "export", "simulate", "inspect"):
        assert command in listed.out
        assert call(command, "--help").code == 0
    assert call("--version").out.strip() == f"tdd-deploy {__version__}"


def test_the_words_of_the_options_are_those_of_the_rooms(call: Call) -> None:
    assert set(cli.NETWORKS) == set(NETWORKS)
    assert cli.METHODS == METHODS
    assert set(cli.TARGETS) == set(TARGETS)
    assert cli.ENCODERS == ENCODERS
    train, simulate = (re.sub(r"\s+", " ", call(command, "--help").out) for command in ("train", "simulate"))
    assert all(f"[{'|'.join(words)}]" in train for words in (SCORES, READINGS))
    assert all(name in simulate for name in (*profile_names(), *DATASETS))


def test_simulate_prints_a_table_with_both_counts_and_energy(call: Call, run_folder: Path) -> None:
    called = call("simulate", run_folder, "--data", "digits", "--samples", 20, "--energy")
    assert called.code == 0
    assert called.err == ""
    for word in ("delta events", "plain spikes", "dense", "nJ", "accuracy", "not priced", "total"):
        assert word in called.out


def test_simulate_prints_one_json_object(call: Call, run_folder: Path) -> None:
    called = call("simulate", run_folder / "network.nir", "--data", "digits", "--samples", 20, "--energy", "--json")
    report = json.loads(called.out)
    assert report["schema_version"] == 1
    assert [step["step"] for step in report["steps"]] == [1, 2, 3, 4, 5, 6]
    assert report["totals"]["samples"] == 20
    assert report["energy"]["profile"] == "loihi1-davies2018"
    assert report["energy"]["low_pj"] <= report["energy"]["dynamic_pj"] <= report["energy"]["high_pj"]


def test_inspect_names_every_choice(call: Call, run_folder: Path) -> None:
    called = call("inspect", run_folder)
    for word in ("conv2_spikes", "LIF", "beta 0.5", "hard reset", "v > v_threshold", "euler", "0.001 s", "direct"):
        assert word in called.out
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
    "truncated": (lambda path, run: path.write_bytes((run / "network.nir").read_bytes()[:5000]), "damaged"),
    "not a NIR file": (lambda path, run: path.write_text("hello"), "not a NIR file"),
    "a folder": (lambda path, run: path.mkdir(), "folder"),
    "missing": (lambda path, run: None, "no such file"),
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
        (["--data", "mnits"], "did you mean mnist"),
        (["--data", "mnist"], "TDD_DEPLOY_DATA"),
        (["--data", "digits", "--energy", "--profile", "loihi1"], "did you mean loihi1-"),
        (["--data", "digits", "--split", "training"], "train, val, test"),
        (["--data", "digits", "--out", "FILE"], "is a file"),
        (["--data", "digits", "--record", "FOLDER"], "is a folder"),
        (["--data", "digits", "--steps", "0"], "--steps"),
        (["--data", "digits", "--code", "both"], "--code"),
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
    for word in ("price.synop.units", "price.synop.unit:", "price.synop.source", "price.synop.counts"):
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
    called = call("train", "--resume", "--epochs", 5, "--lambda", 0.5, "--data", "mnist", "--out", run_folder)
    assert called.code == 2
    for flag in ("--epochs", "--lambda", "--data"):
        assert flag in called.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_training_is_saved_and_goes_on(number: int, tmp_path: Path, call: Call) -> None:
    run = tmp_path / "run"
    command = [
        sys.executable,
        "-m",
        "tdd_deploy.cli",
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
        if line.startswith("epoch   1"):
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
    command = f"ulimit -f {kib}; exec {sys.executable} -m tdd_deploy.cli {words}"
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    called = subprocess.run(
        ["bash", "-c", command.replace("RUN", str(run_folder))],
        capture_output=True, text=True, check=False, cwd=tmp_path, env=environment,
    )  # fmt: skip
    assert called.returncode == 2
    assert called.stderr.count("\n") == 1
    assert "room" in called.stderr
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

    monkeypatch.setattr("tdd_deploy.pipeline.inspect", broken)
    called = call("inspect", run_folder)
    assert called.code == 4
    assert "bug" in called.err


def test_a_reader_who_leaves_is_no_error(run_folder: Path) -> None:
    command = f"{sys.executable} -m tdd_deploy.cli inspect {run_folder} --json | head -c 1; echo ${{PIPESTATUS[0]}}"
    called = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert called.stdout.strip().endswith("0")
    assert called.stderr == ""
