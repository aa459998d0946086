"""Tests of help, of completion, and of doctor."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete

from tdd_deploy.cli.app import COMMANDS, cli
from tdd_deploy.cli.examples import EXAMPLES
from tdd_deploy.cli.flags import Flag
from tdd_deploy.commands.doctor import ADDS, CORE
from tests.commands import Call

ROOT = Path(__file__).parents[2]
LAVA = ("lava setup", "lava doctor", "lava run")


def command_of(path: str) -> click.Command:
    command: click.Command = cli
    for name in path.split():
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), name)
        assert found is not None
        command = found
    return command


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def test_the_help_has_a_line_per_command(call: Call) -> None:
    lines = call("--help").out.splitlines()
    for name, summary in COMMANDS.items():
        assert f"  {name:<11} {summary}" in lines
    assert all(len(line) <= 80 and line.isprintable() for line in lines)


def test_without_a_command_the_help_is_printed_and_the_exit_code_is_2(call: Call) -> None:
    called = call()
    assert (called.code, called.out) == (2, "")
    assert "Examples:" in called.err


@pytest.mark.parametrize("name", [*COMMANDS, *LAVA])
def test_every_command_has_help_within_80_columns(name: str, call: Call) -> None:
    text = call(*name.split(), "--help").out
    assert all(len(line) <= 80 and line.isprintable() for line in text.splitlines()), text
    options = text.partition("Examples:\n")[0]
    for param in command_of(name).params:
        if isinstance(param, click.Option):
            assert len(re.findall(rf"^  {max(param.opts, key=len)}( [A-Z\[].*)?(  |$)", options, re.MULTILINE)) == 1, (
                param.name
            )
            assert not isinstance(param, Flag) or param.heading, f"{param.name} has no heading"


@pytest.mark.parametrize(("name", "lines"), EXAMPLES.items())
def test_the_examples_are_command_lines(name: str, lines: tuple[str, ...], call: Call) -> None:
    text = call(*name.split(), "--help").out.partition("Examples:\n")[2]
    shown = [shlex.split(line) for line in re.sub(r"\\\n", "", text).splitlines()]
    for line in lines:
        words = shlex.split(line)
        assert ["tdd-deploy", *words] in shown or name == "lava"  # a group has no examples of its own
        command, path = cli, ""
        while isinstance(command, click.Group):
            command, path = command_of(f"{path} {words[0]}"), f"{path} {words.pop(0)}".strip()
        assert name in ("", path, "tune-exit", "lava")
        command.make_context(path, words)


def test_every_command_has_examples() -> None:
    assert EXAMPLES.keys() - {""} == {*COMMANDS, *LAVA}


def completions(words: list[str], incomplete: str) -> list[str]:
    found = ShellComplete(cli, {}, "tdd-deploy", "_TDD_DEPLOY_COMPLETE").get_completions(words, incomplete)
    return [item.value if item.type == "plain" else f"<{item.type}>" for item in found]


@pytest.mark.parametrize(
    ("words", "incomplete", "expected"),
    [
        ([], "", list(COMMANDS)),
        ([], "tr", ["train"]),
        ([], "--v", ["--version"]),
        (["simulate", "x", "--profile"], "loihi1", ["loihi1-davies2018", "loihi1-sanafe"]),
        (["sweep", "x", "--profile"], "od", ["odin"]),
        (["profiles"], "od", ["odin"]),
        (["check", "x", "--chip"], "true", ["truenorth"]),
        (["export", "x", "--target"], "", ["nir", "lava", "onnx"]),
        (["train", "--data"], "cifar", ["cifar10", "cifar100"]),
        (["train", "--data"], "./my", ["<file>"]),
        (["inspect", "x", "--dialect"], "sn", ["snntorch"]),
        (["prune"], "runs/", ["<dir>"]),
        (["inspect"], "net", ["<file>"]),
        (["schema"], "", ["report", "profile", "chip"]),
        (["lava"], "r", ["run"]),
        (["simulate"], "--prof", ["--profile"]),
    ],
)
def test_a_shell_completes_commands_and_values(words: list[str], incomplete: str, expected: list[str]) -> None:
    assert completions(words, incomplete) == expected


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_bash_completes(call: Call, tmp_path: Path) -> None:
    script = tmp_path / "completion"
    script.write_text(call("completion", "bash").out, encoding="utf-8")
    tool = tmp_path / "tdd-deploy"
    tool.write_text(f'#!/bin/sh\nexec {sys.executable} -c "from tdd_deploy.cli import main; main()" "$@"\n')
    tool.chmod(0o755)
    ask = (
        f"source {script}; COMP_WORDS=(tdd-deploy check x --chip lo); COMP_CWORD=4; "
        f'_tdd_deploy_completion tdd-deploy; printf "%s\\n" "${{COMPREPLY[@]}}"'
    )
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split() == ["loihi1", "loihi2", "loihi1-davies2018", "loihi1-sanafe"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_get_a_script(shell: str, call: Call) -> None:
    assert f"_TDD_DEPLOY_COMPLETE={shell}_complete" in call("completion", shell).out


def test_doctor_knows_every_extra(call: Call) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert ADDS.keys() == extras.keys() - {"dev"}
    found = json.loads(call("doctor", "--json").out)
    for extra in found["extras"]:
        asked = {re.split(r"[<>=\[]", package)[0] for package in extras[extra["name"]]}
        assert extra["packages"].keys() == asked
    assert found["ok"]
    assert found["engine"]["cache"]


def test_doctor_says_what_a_missing_extra_would_add(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    before = metadata.version

    def version(package: str) -> str:
        if package in ("dask", *missing):
            raise metadata.PackageNotFoundError(package)
        return before(package)

    missing: list[str] = []
    monkeypatch.setattr(metadata, "version", version)
    called = call("doctor")
    assert called.code == 0
    assert "install scale: pip install 'tdd-deploy[scale]'" in called.out
    assert re.search(r"^    scale .* dask", called.out, re.MULTILINE)
    missing += [CORE[0]]
    called = call("doctor")
    assert called.code == 1
    assert f"{CORE[0]} MISSING" in called.out
