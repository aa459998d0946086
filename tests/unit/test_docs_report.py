"""docs/report.md: its numbers are those of the network that it names, its code redoes them, its keys exist."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tdd_deploy as td
from tdd_deploy.simulator.reports.shape import REPORT
from tests.unit.test_report_redo import NETWORK

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "report.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    given = {"data": "digits", "samples": 20, "code": "delta", "energy": True, "profiles": ["cmos45-horowitz"]}
    folder = tmp_path_factory.mktemp("report")
    found = json.loads(json.dumps(td.simulate(NETWORK, **given).as_json()))
    (folder / "report.json").write_text(json.dumps(found), encoding="utf-8")
    return folder, found


def test_the_terms_of_the_example_are_those_of_its_network(report):
    _, found = report
    (energy,) = found["energies"]
    table = PAGE.partition("## By hand")[2].partition("Here is the same")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line.startswith("|")
    ]
    expected = [
        [
            term["term"], " + ".join(term["counts"]), f"{term['count']:,}", f"{term['price_pj']:g}",
            f"{term['energy_pj']:,.1f}",
        ]
        for term in energy["terms"]
    ]  # fmt: skip
    assert rows[2:] == expected
    first = energy["comparison"]["rows"][0]
    words = re.sub(r"\s+", " ", table)
    assert f"sum to {energy['dynamic_pj']:,.0f} pJ, which is {energy['comparison']['spiking_pj']:,.1f} pJ" in words
    assert f"{first['macs']:,} multiplications of 3.7 pJ, and {first['terms'][1]['count']:,} additions" in words
    assert f"{found['dense']['biases']} for biases and {found['dense']['outputs']} to compare" in words
    assert f"{first['dense_pj']:,.1f} pJ, so spikes cost {first['ratio']:.3f} times" in words


def code():
    (found,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    return found


def test_its_code_redoes_the_report_and_notices_a_changed_price(report):
    folder, found = report
    call = [sys.executable, "-c", code()]
    assert subprocess.run(call, cwd=folder, capture_output=True, text=True, check=False).stderr == ""
    changed = folder / "changed"
    changed.mkdir()
    found["energies"][0]["terms"][1]["price_pj"] *= 1.01
    (changed / "report.json").write_text(json.dumps(found), encoding="utf-8")
    assert "AssertionError" in subprocess.run(call, cwd=changed, capture_output=True, text=True, check=False).stderr


def keys(heading):
    section = PAGE.partition(f"## {heading}")[2].partition("\n## ")[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


def properties(schema):
    schema = schema.get("anyOf", [schema])[0]
    return schema.get("items", schema)["properties"]


def test_every_part_of_a_report_is_explained_and_no_other():
    whole = properties(REPORT.schema())
    assert keys("The parts") | {"schema_version"} == whole.keys()
    energy = properties(whole["energies"])
    named = keys("One energy")
    assert named <= energy.keys()
    assert energy.keys() - named == {"title", "remark", "chip", "cannot_execute"}
