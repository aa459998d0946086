"""Flags that fields declare, and files that give them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import click
import pytest
from click.testing import CliRunner

from tdd_deploy.cli.app import cli
from tdd_deploy.cli.flags import PATH, read_table, with_flags, with_options, word_option
from tdd_deploy.errors import BadFile, BadOptions
from tdd_deploy.options.declare import Gathered, Options, Range, option
from tests.commands import Call


@dataclass(frozen=True, kw_only=True)
class Some(Options):
    """An option of each kind."""

    epochs: int = option(25, help="Train for this number of epochs.")
    learning_rate: float = option(2e-3, within=Range(0), help="Learn at this rate.")
    penalty_weight: float | None = option(None, help="Weigh the penalty.")
    score: Literal["gsc", "jac"] | None = option(None, help="Keep spikes by this score.")
    learn: tuple[Literal["beta", "threshold"], ...] = option((), help="Learn these too.")
    reset_to: tuple[float, ...] = option((0.0,), help="Set the level of a hard reset.")
    amp: bool = option(False, help="Compute in bfloat16.")
    data_dir: Path | None = option(None, help="Look in this folder.")
    profiles: tuple[str, ...] = option((), flag="profile", repeated=True, help="Price by this profile.")


@click.command()
@with_options(Some)
@word_option("--target", words=("nir", "lava"), help="Write for this target.")
@click.option("--out", type=PATH, help="Write this file.")
@click.option("--timeout", "timeout_s", type=float, help="Stop after this time.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def train(*, options: Gathered, **own: object) -> None:
    given = {name: str(value) if isinstance(value, Path) else value for name, value in own.items()}
    click.echo(json.dumps({**options[Some].as_json(), **given}))


KNOWN = {max(each.opts, key=len).lstrip("-"): each for each in train.params if isinstance(each, click.Option)}


def written(folder: Path, text: str) -> Path:
    path = folder / "tdd.toml"
    path.write_text(text)
    return path


def found(*words: object) -> dict:
    return json.loads(CliRunner().invoke(train, [*map(str, words)], catch_exceptions=False).output)


def test_keys_are_those_of_the_command_line_and_values_those_of_python(tmp_path: Path) -> None:
    text = """
    [train]
    epochs = 3
    learning-rate = 1
    penalty-weight = 0.5
    score = "jac"
    learn = ["beta", "threshold"]
    reset_to = 1
    amp = true
    data-dir = "~/sets"
    profile = ["odin", "loihi2"]
    target = "lava"
    out = "here"
    timeout = 5
    json = true

    [simulate]
    whatever = 1
    """
    path = written(tmp_path, text)
    assert found("--config", path) == {
        "epochs": 3,
        "learning_rate": 1.0,
        "penalty_weight": 0.5,
        "score": "jac",
        "learn": ["beta", "threshold"],
        "reset_to": [1.0],
        "amp": True,
        "data_dir": "~/sets",
        "profiles": ["odin", "loihi2"],
        "target": "lava",
        "out": "here",
        "timeout_s": 5.0,
        "as_json": True,
    }
    assert isinstance(found("--config", path)["learning_rate"], float)


@pytest.mark.parametrize(("key", "name", "value"), [("profile", "profiles", "odin"), ("learn", "learn", "beta")])
def test_a_single_value_stands_for_a_list_of_one(key: str, name: str, value: str, tmp_path: Path) -> None:
    assert found("--config", written(tmp_path, f"[train]\n{key} = {value!r}\n"))[name] == [value]


def test_an_underscore_is_as_good_and_a_table_may_be_empty(tmp_path: Path) -> None:
    assert read_table(written(tmp_path, "[train]\nlearning_rate = 0.5\n"), "train", KNOWN) == {"learning_rate": 0.5}
    assert read_table(written(tmp_path, "[train]\n"), "train", KNOWN) == {}


def test_values_with_commas_are_those_of_the_command_line(tmp_path: Path) -> None:
    path = written(tmp_path, '[train]\nreset-to = "0,1/2"\nlearn = "beta,threshold"\n')
    made = found("--config", path)
    assert (made["reset_to"], made["learn"]) == ([0.0, 0.5], ["beta", "threshold"])


def test_the_command_line_comes_before_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, '[train]\nepochs = 3\nlearn = "beta"\nprofile = ["odin"]\namp = true\n')
    changed = found("--config", path, "--epochs", 4, "--learn", "threshold", "--profile", "loihi2")
    assert (changed["epochs"], changed["learn"], changed["profiles"]) == (4, ["threshold"], ["loihi2"])
    assert changed["amp"] is True


def test_an_empty_list_is_allowed_only_where_it_is_the_default(tmp_path: Path) -> None:
    assert found("--learn", ",")["learn"] == []
    with pytest.raises(BadOptions, match=r"reset_to must be a number, or several \(got nothing\)"):
        found("--reset-to", ",")
    with pytest.raises(BadOptions, match=r"reset_to must be a number, or several \(got nothing\)"):
        found("--config", written(tmp_path, "[train]\nreset-to = []\n"))


def test_every_fault_is_named_at_once(tmp_path: Path) -> None:
    text = """
    [train]
    epoch = 3
    epochs = 2.5
    learning-rate = "fast"
    learning_rate = 1.0
    penalty-weight = true
    amp = 1
    score = 3
    reset_to = ["a"]
    zzz = 1
    config = "more.toml"
    target = 3
    out = 3
    timeout = "long"
    json = "yes"
    """
    path = written(tmp_path, text)
    with pytest.raises(BadOptions) as caught:
        found("--config", path)
    assert caught.value.subject == f"{path}, table [train]"
    assert [str(violation) for violation in caught.value.violations] == [
        "epoch is no option of tdd-deploy train. Did you mean epochs?",
        "epochs must be a whole number (got 2.5).",
        "learning-rate must be a number, 0 or more (got 'fast').",
        "penalty-weight must be a number (got True).",
        "amp must be True or False (got 1).",
        "score must be gsc or jac (got 3).",
        "reset_to must be a number, or several (got 'a').",
        "zzz is no option of tdd-deploy train.",
        "config is no option of tdd-deploy train.",
        "target must be a text (got 3).",
        "out must be a text (got 3).",
        "timeout must be a number (got 'long').",
        "json must be True or False (got 'yes').",
    ]


def test_a_key_in_both_spellings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadOptions, match="learning_rate is given twice, once with - and once with _"):
        read_table(written(tmp_path, "[train]\nlearning-rate = 1\nlearning_rate = 2\n"), "train", KNOWN)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "is missing"),
        ("[train\n", "is not TOML"),
        ("epochs = 3\n", r"has no table \[train\]"),
        ("train = 3\n", r"has no table \[train\]"),
    ],
)
def test_a_file_of_something_else_is_refused(text: str | None, said: str, tmp_path: Path) -> None:
    path = tmp_path / "none.toml" if text is None else written(tmp_path, text)
    with pytest.raises(BadFile, match=said):
        read_table(path, "train", KNOWN)


def test_every_command_reads_a_file(call: Call, tmp_path: Path) -> None:
    context = click.Context(cli)
    commands = {name: cli.get_command(context, name) for name in cli.list_commands(context)}
    in_lava = commands.pop("lava").commands
    for name, command in {**commands, **{f"lava {name}": command for name, command in in_lava.items()}}.items():
        assert isinstance(command, click.Command)
        table = ".".join(name.split())
        called = call(*name.split(), "--config", written(tmp_path, f"[{table}]\nzzz = 1\n"))
        assert (called.code, called.out) == (2, "")
        assert f"table [{table}]: zzz is no option of tdd-deploy {name}." in called.err


def test_a_file_gives_what_a_command_requires(call: Call, tmp_path: Path) -> None:
    called = call("profiles", "--config", written(tmp_path, "[profiles]\njson = true\n"))
    assert json.loads(called.out)["schema_version"] == 1
    path = written(tmp_path, '[check]\nchip = "loihi9"\n')
    called = call("check", tmp_path / "none.nir", "--config", path)
    assert (called.code, "loihi9" in called.err) == (2, True)


def test_sentences_name_flags(call: Call) -> None:
    assert with_flags("Use `profiles=loihi2` with `penalty_weight=0.5`, or `against=torch`.") == (
        "Use --profile loihi2 with --penalty-weight 0.5, or --against torch."
    )
    assert with_flags("`timeout_s` and `bits`, but not `x`") == "--timeout and --bits, but not x"
