"""The documents keep their word: scripts and options run, commands and functions exist, links lead somewhere."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from inspect import isfunction
from pathlib import Path

import click
import pytest

import tdd_deploy as td
from tdd_deploy.cli.app import cli

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
NETWORK = ROOT / "tests" / "golden" / "commands" / "network.nir"
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/*.md"), *ROOT.glob("findings/*.md")])
CODE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)


def block(language: str) -> str:
    """The only block of a language in the README."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    return str(found)


def run(folder: Path, *words: object) -> str:
    """Run a program in a folder that holds the network; return what it printed."""
    shutil.copy(NETWORK, folder / "digits.nir")
    environment = os.environ | {"MPLBACKEND": "Agg", "MPLCONFIGDIR": str(folder)}
    command = [sys.executable, *map(str, words)]
    done = subprocess.run(command, cwd=folder, env=environment, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", CODE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: Path) -> Iterator[str]:
    """The links of a page into this repository."""
    for link in re.findall(r"\]\(([^)\s]+)\)", CODE.sub("", page.read_text(encoding="utf-8"))):
        if "://" not in link:
            yield link


def test_the_script_of_the_readme_runs_as_it_stands(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(block("python"), encoding="utf-8")
    printed = run(tmp_path, "script.py")
    (accuracy,) = re.findall(r"accuracy +([\d.]+) %", printed)
    assert float(accuracy) > 90
    assert "deltas pay" in printed
    assert (tmp_path / "layers.png").read_bytes().startswith(b"\x89PNG")


def test_the_options_of_the_readme_are_read_from_their_file(tmp_path: Path) -> None:
    (tmp_path / "tdd.toml").write_text(block("toml"), encoding="utf-8")
    command = "tdd-deploy simulate digits.nir --config tdd.toml"
    assert f"`{command}`" in README
    printed = run(tmp_path, "-m", "tdd_deploy", *command.split()[1:], "--samples", 20)
    assert "20 samples of digits (test), 3 steps" in printed
    assert all(name in printed for name in ("loihi1-davies2018", "cmos45-memory"))


def test_the_table_of_commands_names_every_command() -> None:
    named = re.findall(r"^\| (`[a-z`, -]+`) \| ", README.split("| command | does |")[1].split("\n\n")[0], re.MULTILINE)
    commands = cli.list_commands(click.Context(cli))
    assert sorted(word.strip("`") for line in named for word in line.split(", ")) == sorted(commands)


def test_the_readme_names_every_function_of_the_front_door() -> None:
    (sentence,) = re.findall(r"^The functions are (.*?)\.$", README, re.MULTILINE)
    functions = [name for name in td.__all__ if isfunction(getattr(td, name))]
    assert sorted(re.findall(r"`(\w+)`", sentence)) == sorted(functions)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("name", ["ARCHITECTURE.md", "CONTRIBUTING.md", "docs/internals.md"])
def test_every_path_that_is_named_exists(name: str) -> None:
    text = CODE.sub("", (ROOT / name).read_text(encoding="utf-8"))
    paths = re.findall(r"`((?:tdd_deploy|simulator|exporters|tests|docs|examples|benchmarks)/[\w./-]*)`", text)
    assert paths
    assert not [path for path in paths if "NAME" not in path and not (ROOT / path).exists()]
