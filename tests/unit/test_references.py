"""Tests of the publications behind profiles, and of the project's own citation."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tdd_deploy import __version__
from tdd_deploy.commands.profiles import bibliography
from tdd_deploy.errors import BadProfile
from tdd_deploy.simulator.hardware.profiles import load_profile, profile_names
from tdd_deploy.simulator.hardware.references import Reference
from tests.commands import Call

ROOT = Path(__file__).parents[2]
PROFILE = """
schema = 1
name = "mine"
title = "My chip"

[point.busy]
value = 3.0
unit = "mW"
scope = "all_in"
confidence = "measured"
read = "primary"
source = "my bench"
"""


def profile_with(reference: str, folder: Path) -> str:
    path = folder / "mine.toml"
    path.write_text(PROFILE + reference, encoding="utf-8")
    return str(path)


def test_an_entry_is_written_in_bibtex() -> None:
    found = Reference(
        "me2026", "article", "Müller, A. & Co", "50 % of Loihi_2", 2026, "A Journal", pages="1-9", doi="10.1/a_b"
    )
    assert found.bibtex.splitlines() == [
        "@article{me2026,",
        r"  author = {Müller, A. \& Co},",
        r"  title = {{50 \% of Loihi\_2}},",
        "  journal = {A Journal},",
        "  pages = {1--9},",
        "  year = {2026},",
        "  doi = {10.1/a_b},",
        "}",
    ]
    assert found.link == "https://doi.org/10.1/a_b"
    assert Reference("a", "misc", "A", "T", 2026, arxiv="2409.08290").link == "https://arxiv.org/abs/2409.08290"
    assert Reference("a", "misc", "A", "T", 2026, url="https://a.example").link == "https://a.example"


@pytest.mark.parametrize("name", profile_names())
def test_a_profile_with_prices_cites_a_publication(name: str) -> None:
    profile = load_profile(name)
    assert profile.references or not profile.has_prices


def test_profiles_print_a_bibliography(call: Call, tmp_path: Path) -> None:
    text = call("profiles", "loihi1-davies2018", "loihi1-sanafe", "spinnaker2", "--bibtex").out
    assert text.splitlines()[0] == "% loihi1-davies2018: davies2018, boyle2025, frady2020, blouw2018, yan2021"
    assert text.count("@article{davies2018,") == 1
    assert "% spinnaker2: no entry; see its sources: SpiNNaker 2" in text
    assert bibliography().count("\n@") == len(
        {r.key for name in profile_names() for r in load_profile(name).references}
    )
    (found,) = json.loads(call("profiles", "odin", "--json").out)["profiles"]
    assert found["references"][0]["link"] == "https://doi.org/10.1109/TBCAS.2018.2880425"
    called = call("profiles", "odin", "--json", "--bibtex")
    assert called.code == 2
    assert "--bibtex cannot be combined with --json" in called.err


def test_a_profile_of_a_user_may_cite(tmp_path: Path) -> None:
    entry = '[reference."x:1"]\ntype = "misc"\nauthor = "Me"\ntitle = "Mine"\nyear = 2026\nurl = "https://a.example"'
    (reference,) = load_profile(profile_with(entry, tmp_path)).references
    assert reference.bibtex.splitlines()[-2:] == ["  url = {https://a.example},", "}"]


def test_every_fault_of_an_entry_is_named(tmp_path: Path) -> None:
    entry = '[reference."1 x"]\ntype = "book"\ntitle = "T"\nyear = "now"\njournal = "J"\n[reference.b]\ntype = "misc"'
    entry += '\nauthor = "A"\ntitle = "T"\nyear = 2026\ndoi = "10.1/a } b"'
    with pytest.raises(BadProfile) as caught:
        load_profile(profile_with(entry, tmp_path))
    assert [violation.where for violation in caught.value.violations] == [
        "the name of reference.1 x",
        "reference.1 x.journal",
        "reference.1 x.type",
        "reference.1 x.author",
        "reference.1 x.year",
        "reference.1 x",
        "reference.b.doi",
    ]


def test_the_project_says_how_to_cite_it() -> None:
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    found: dict[str, Any] = dict(re.findall(r"^([a-z-]+): (.+)$", text, flags=re.MULTILINE))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert found["version"] == __version__.removesuffix(".dev0")
    assert found["license"] == project["license"]
