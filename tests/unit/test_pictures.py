"""Pictures of very many time steps and layers, and of names that may hold anything."""

import re
import sys
import xml.etree.ElementTree as ET  # what is parsed here was drawn here

import pytest

from tdd_deploy.errors import MissingDependency
from tdd_deploy.simulator.reports.html import write_html
from tdd_deploy.simulator.reports.pictures import MOST_BARS, MOST_LAYERS, Bins, pictures, require
from tests import by_hand


def long_report(n_steps):
    """The report by hand, its time steps repeated."""
    report = by_hand.simulation(None).as_json()
    steps = [{**report["steps"][t % 3], "step": t + 1} for t in range(n_steps)]
    overlap = {name: (found * n_steps)[: n_steps - 1] for name, found in report["overlap"].items()}
    return report | {"steps": steps, "overlap": overlap}


def wide_report(n_layers):
    """The report by hand with many layers; the later ones do more."""
    report = by_hand.simulation(None).as_json()
    row = next(row for row in report["layers"] if row["name"] == "fc")
    layers = [{**row, "name": f"fc{i}", "synops_effective": i + 1} for i in range(n_layers)]
    return report | {"layers": layers, "overlap": {row["name"]: [0.5, 0.5] for row in layers}}


def test_a_bin_is_the_mean_of_its_steps_and_the_last_may_be_short():
    bins = Bins.of(5, 2)
    assert bins.width == 3
    assert bins.spans == [(0.5, 3), (3.5, 2)]
    assert bins.means([1, 2, 3, 4, 6]) == [2, 5]
    assert bins.means([None, 2, 4, None, None]) == [3, None]
    assert Bins.of(2, 2, first=2).spans == [(1.5, 1), (2.5, 1)]


def test_few_steps_have_a_bar_each():
    assert Bins.of(MOST_BARS, MOST_BARS).width == 1
    assert not any("is the mean of" in picture.svg for picture in pictures(long_report(3)))


def test_very_many_steps_are_drawn_in_bins_and_the_pictures_say_so(tmp_path):
    report = long_report(10_000)
    by_title = {picture.title.partition(":")[0]: picture.svg for picture in pictures(report)}
    assert "time step; each bar is the mean of 100 steps" in by_title["Events of neurons"]
    assert "time step; each square is the mean of 417 steps" in by_title["Feature overlap"]
    assert max(map(len, by_title.values())) < 200_000
    path = tmp_path / "report.html"
    write_html(path, report)
    page = path.read_text(encoding="utf-8")
    assert "9,900 of 10,000 rows are left out; report.json holds all of them" in page
    assert len(page) < 1_000_000
    rows = re.findall(r'<tr><th scope="row">([\d.]+)</th>', page)
    assert rows[78:83] == ["79", "80", "...", "9981", "9982"]


def test_of_very_many_layers_those_that_do_most_are_drawn():
    drawn = {picture.title: picture for picture in pictures(wide_report(2000))}
    picture = drawn["Synaptic operations by layer"]
    assert "40 layers of 2,000 that do most" in picture.caption
    names = re.findall(r"\bfc\d+\b", picture.svg)
    assert set(names) == {f"fc{i}" for i in range(2000 - MOST_LAYERS, 2000)}


def test_names_break_neither_a_picture_nor_the_page(tmp_path):
    name = "\x1b[31m$x$<b>\u202e&\n'\"`steps`\x00\x9b\udcff" + "x" * 10_000
    simulated = by_hand.simulation(data=by_hand.DATA | {"name": name}, caveats=(name,))
    report = simulated.as_json()
    report |= {"layers": [{**row, "name": name + str(i)} for i, row in enumerate(report["layers"])]}
    report |= {"overlap": {name + "2": [0.5, 1.0]}}
    for picture in pictures(report):
        ET.fromstring(picture.svg)
    path = tmp_path / "report.html"
    write_html(path, report)
    page = path.read_text(encoding="utf-8")
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", page)
    assert "<b>" not in page
    assert r"\x1b[31m$x$&lt;b&gt;\u202e&amp;\n" in page


def test_without_matplotlib_a_picture_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingDependency, match=r"sweep.svg needs matplotlib\. .*pip install 'tdd-deploy\[report\]'"):
        require("sweep.svg")
