"""``tdd-deploy train``, as a stranger uses it."""

import csv
import json
import subprocess
import sys
from dataclasses import fields
from functools import partial
from pathlib import Path

import click
import numpy as np
import pytest
import torch

from tdd_deploy import train, verify
from tdd_deploy.cli.train import train as command
from tdd_deploy.options.training import TrainOptions
from tests.commands import Call

FAST = ["--network", "mlp", "--method", "tet", "--steps", "2", "--epochs", "1", "--train-samples", "128"]
OF_EVENTS = {"bin_us", "bins", "bin_value", "downsample"}
OF_PLACE = {
    *OF_EVENTS,
    "stride",
    "window",
    "data",
    "as_json",
    "data_dir",
    "frames",
    "input_scale",
    "config",
    "device",
    "tensorboard",
    "resume",
    "out",
    "from_",
}


@pytest.fixture
def call(call: Call, one_thread: None) -> Call:
    return partial(call, "train")


def recorded(folder: Path) -> dict:
    return json.loads((folder / "train.json").read_text())


def written(folder: Path, text: str) -> Path:
    path = folder / "tdd.toml"
    path.write_text(text)
    return path


def test_every_option_of_a_run_is_on_the_command_line_under_a_heading() -> None:
    options = {param.name: param for param in command.params}
    assert options.keys() == {field.name for field in fields(TrainOptions)} | OF_PLACE
    headed = {name for name, param in options.items() if getattr(param, "heading", "")}
    assert options.keys() - headed == {"config", "resume", "out", "as_json"}
    with click.Context(command, info_name="train") as context:
        text = command.get_help(context)
    assert text.index("The data:") < text.index("--mixup") < text.index("The network:") < text.index("--norm")
    assert all(len(param.help) < 200 for param in options.values())


def test_a_run_leaves_its_options_its_epochs_and_its_network(call: Call, tmp_path: Path) -> None:
    out = tmp_path / "run"
    words = ["--learn", "beta,threshold", "--reset-to", "0, 0.5", "--ema", "0.5", "--augment", "crop-flip"]
    called = call(*FAST, *words, "--epochs", 2, "--tensorboard", "--amp", "--out", out)
    assert called.code == 0
    assert called.out.splitlines()[:-1] == [
        "input: uint8 times 1/16 (pixels of 0 to 16 are k/16)",
        "time steps per sample: 2 (from the options of the run), each showing the whole sample",
        "a sample [1, 8, 8] has no time axis and is read as [1, 8, 8]",
    ]
    found = recorded(out)
    assert TrainOptions.from_json(found["options"])["learn"] == ("beta", "threshold")
    assert found["options"]["reset_to"] == [0.0, 0.5]
    assert found["options"]["amp"] is True
    assert found["data"]["train_samples"] == 128
    assert found["execution"] == {"device": "cuda" if torch.cuda.is_available() else "cpu", "processes": 1}
    assert found["versions"].keys() >= {"torch", "kornia"}
    assert (found["kept_epoch"], found["config"]) == (2, None)
    with (out / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [{name: float(value) for name, value in row.items()} for row in rows] == found["epochs"]
    assert [path.name[:6] for path in (out / "tensorboard").iterdir()] == ["events"]
    assert verify(out, data="digits", samples=5, against=["torch", "reference", "event"]).passed


def test_the_best_epoch_is_reported_when_patience_ends_a_run(call: Call, tmp_path: Path) -> None:
    out = tmp_path / "run"
    words = ["--epochs", 60, "--patience", 1, "--learning-rate", 0.5, "--schedule", "constant"]
    called = call(*FAST, *words, "--out", out)
    found = recorded(out)
    best = max(range(len(found["epochs"])), key=lambda n: found["epochs"][n]["accuracy"])
    assert found["kept_epoch"] == best + 1 < len(found["epochs"]) < 60
    assert f"validation accuracy {found['epochs'][best]['accuracy']:.1%}" in called.out
    assert call("--resume", "--out", out).code == 0
    assert recorded(out) == found


def test_a_config_file_gives_what_the_command_line_does_not(call: Call, tmp_path: Path) -> None:
    text = '[train]\nnetwork = "mlp"\nmethod = "tet"\nsteps = 2\nepochs = 7\ntrain-samples = 64\nlearn = "beta"\n'
    config, out = written(tmp_path, text), tmp_path / "run"
    assert call("--config", config, "--epochs", 1, "--out", out).code == 0
    found = recorded(out)
    assert found["config"] == str(config)
    assert (found["options"]["epochs"], found["options"]["steps"]) == (1, 2)
    assert found["options"]["learn"] == ["beta"]
    refused = call("--config", config, "--resume", "--out", out)
    assert refused.code == 2
    assert "--epochs must be 1, as the run began (got 7)" in refused.err
    assert call("--config", config, "--epochs", 1, "--resume", "--out", out).code == 0


def test_a_run_resumes_only_with_its_own_samples_however_their_origin_is_worded(call: Call, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert call(*FAST, "--epochs", 1, "--out", out).code == 0
    found = recorded(out)
    for changes, code in (({"n_steps_from": "in other words"}, 0), ({"sha256": "0" * 64}, 2)):
        changed = {**found, "data": {**found["data"], **changes}}
        (out / "train.json").write_text(json.dumps(changed), encoding="utf-8")
        said = call("--resume", "--out", out)
        assert (said.code, "have changed since the run began" in said.err) == (code, code == 2)


def test_faults_of_a_config_file_are_named_at_once(call: Call, tmp_path: Path) -> None:
    config = written(tmp_path, '[train]\nepoch = 3\nbatch = "big"\nresume = 1\n')
    called = call("--config", config, "--out", tmp_path / "run")
    assert called.code == 2
    assert "epoch is no option of tdd-deploy train. Did you mean epochs?" in called.err
    assert "batch must be a whole number, 2 or more, as batch norm needs (got 'big')." in called.err
    assert "resume must be True or False (got 1)." in called.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--train-samples", "5000"], "--train-samples must be 1 to 1097, as there are no more (got 5000)"),
        (["--norm", "tebn"], "has statistics that differ from step to step"),
        (["--reset-to", "0,x"], "--reset-to"),
        (["--learn", "gamma"], "--learn must be one or more of beta, threshold (got 'gamma')"),
        (
            ["--local-parts", "9", "--strategy", "stdl"],
            "--local-parts must be at most 2, as this network can be cut into 2 (got 9)",
        ),
        (["--config", "missing.toml"], "missing.toml is missing"),
        (["--momentum", "0.5"], "--momentum needs --optimizer sgd (got adamw)"),
    ],
)
def test_what_cannot_be_is_answered_in_words(words: list[str], said: str, call: Call, tmp_path: Path) -> None:
    called = call("--network", "mlp", "--method", "tet", "--epochs", 1, *words, "--out", tmp_path / "run")
    assert (called.code, called.out) == (2, "")
    assert said in called.err
    assert "Traceback" not in called.err


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is one")
def test_a_device_that_is_not_there_is_refused(call: Call, tmp_path: Path) -> None:
    called = call(*FAST, "--device", "cuda", "--out", tmp_path / "run")
    assert (called.code, called.err) == (
        2,
        "tdd-deploy: --device cuda needs a GPU that torch can use. Use --device cpu or --device auto.\n",
    )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("words", [["--augment", "crop-flip"], ["--mixup", "0.2"], ["--cutmix", "1"]])
def test_samples_that_are_no_images_are_not_augmented(words: list[str], call: Call, tmp_path: Path) -> None:
    np.savez(tmp_path / "flat.npz", x=np.zeros((40, 6), "f4"), y=np.arange(40) % 2)
    data = ["--data", tmp_path / "flat.npz", "--network", "mlp"]
    called = call(*data, *words, "--out", tmp_path / "run")
    assert called.code == 2
    assert f"{words[0]} needs images" in called.err
    assert "(6,)" in called.err


@pytest.mark.parametrize(
    ("package", "words", "extra"),
    [("kornia", ["--augment", "randaugment"], "augment"), ("tensorboard", ["--tensorboard"], "tensorboard")],
)
def test_what_is_not_installed_is_named(package: str, words: list[str], extra: str, tmp_path: Path) -> None:
    code = (
        f"import sys; sys.modules[{package!r}] = None; from tdd_deploy import cli; "
        f"sys.argv = ['tdd-deploy', 'train', *{words!r}, '--out', {str(tmp_path / 'run')!r}]; cli.main()"
    )
    called = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert called.returncode == 3
    assert f"needs {package}. Install it with: pip install 'tdd-deploy[{extra}]'" in called.stderr


def test_the_first_samples_are_learned_from(tmp_path: Path, one_thread: None) -> None:
    """Of the set without its other samples the run is the same."""
    rng = np.random.default_rng(0)
    x, y = rng.random((200, 6), np.float32), rng.integers(0, 2, 200)
    common = {"network": "mlp", "method": "tet", "steps": 2, "epochs": 1, "batch": 16}
    digests = []
    for name, changed in (("one", x), ("other", np.concatenate([x[:48], 1 - x[48:180], x[180:]]))):
        np.savez(tmp_path / f"{name}.npz", x=changed, y=y)
        run = train(tmp_path / name, data=str(tmp_path / f"{name}.npz"), train_samples=48, **common)
        data = run.recorded["data"]
        assert (data["train_samples"], data["validation_samples"]) == (48, 20)
        digests.append(run.recorded["program"])
    assert digests[0] == digests[1]


def test_a_resumed_run_takes_options_again_that_need_an_option_of_its_own(call: Call, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert call(*FAST, "--optimizer", "sgd", "--learning-rate", 0.1, "--out", out).code == 0
    assert call("--resume", "--momentum", 0.9, "--out", out).code == 0
    refused = call("--resume", "--momentum", 0.8, "--out", out)
    assert refused.code == 2
    assert "--momentum must be 0.9, as the run began (got 0.8)." in refused.err
