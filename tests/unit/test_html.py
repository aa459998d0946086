import builtins
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from tdd_deploy import __version__
from tdd_deploy.errors import MissingDependency
from tdd_deploy.simulator.hardware.profiles import load_profile, profile_names
from tdd_deploy.simulator.reports import html
from tdd_deploy.simulator.reports.html import write_html
from tdd_deploy.simulator.reports.report import priced
from tdd_deploy.simulator.reports.tables import by_ann_baseline
from tdd_deploy.tables import energy_text
from tests import by_hand


class Page(HTMLParser):
    """What a browser would see: elements, attributes and visible text."""

    def __init__(self, source):
        super().__init__()
        self.elements, self.attributes, self.words, self._inside = [], [], [], []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        self._inside.append(tag)

    def handle_endtag(self, tag):
        while self._inside and self._inside.pop() != tag:
            pass

    def handle_data(self, data):
        if not {"style", "metadata"} & set(self._inside):
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def written(tmp_path, simulated):
    path = tmp_path / "report.html"
    write_html(path, simulated.as_json())
    assert list(tmp_path.iterdir()) == [path]
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("profile", [None, *profile_names()])
def test_the_page_loads_nothing(tmp_path, profile):
    source = written(tmp_path, by_hand.simulation(profile))
    page = Page(source)
    assert not {"script", "link", "img", "iframe", "object", "embed", "audio", "video", "base", "image"} & set(
        page.elements
    )
    for name, value in page.attributes:
        assert not name.startswith("on")  # onload and its like run scripts
        if name in ("src", "href", "xlink:href", "data", "action", "srcset", "poster"):
            assert value.startswith(("#", "data:application/json;base64,", "data:text/csv;base64,")), (name, value)
    assert "@import" not in source
    assert all(target.startswith("#") for target in re.findall(r"url\(\s*['\"]?([^)]*)", source))


def test_whatever_looks_like_an_address_is_only_a_name(tmp_path):
    """Namespaces and matplotlib's metadata name addresses; no browser fetches them."""
    source = written(tmp_path, by_hand.simulation())
    hidden = re.sub(r"<metadata>.*?</metadata>", "", source, flags=re.DOTALL)
    hidden = re.sub(r'xmlns(:\w+)?="[^"]*"', "", hidden)
    assert "://" not in hidden


def test_the_page_says_what_was_simulated(tmp_path):
    page = Page(written(tmp_path, by_hand.simulation())).text
    assert "by_hand.nir 2 samples of by hand (test), 3 time steps, auto code" in page
    assert "accuracy 50.0 % of 2 samples" in page
    assert f"Program {by_hand.program().digest}, file by_hand.nir (SHA-256 abc)" in page
    assert "Data by hand, split test, encoder direct, by_hand.npz (SHA-256 def012)" in page
    assert f"Versions: tdd-deploy {__version__}, numpy {np.__version__}" in page


def test_the_page_begins_with_the_verdict(tmp_path):
    simulated = by_hand.simulation(n_samples=1, data=by_hand.DATA | {"static": True})
    page = Page(written(tmp_path, simulated)).text
    verdict = simulated.verdict
    assert "every step shows the same image" in verdict["line"]
    shown = [verdict["line"], *(f"but {line}" for line in verdict["caveats"])]
    shown += [f"{name} {text}" for name, text in verdict["summary"]]
    places = [page.index(text.replace("`", "")) for text in shown]
    assert places == sorted(places)
    assert places[-1] < page.index("Pictures")


def test_the_page_holds_the_numbers(tmp_path):
    """The counts of by_hand.py and the energies of test_energy.py as if they belonged to one sample."""
    page = Page(written(tmp_path, by_hand.simulation(n_samples=1))).text
    assert "events 7 spikes, 4 delta events" in page
    assert "synaptic operations 15 executed; 20 as plain spikes" in page
    # 1344.2 pJ, 1253.2 to 1546.5; with plain spikes 23 x 23.6 + 11 x 81 + 52 = 1485.8; and 12 or 15 messages of 1.7
    # and 7 hops of 4 pJ
    assert "energy 1.4 nJ (1.3 to 1.6) by loihi1-davies2018; 1.5 nJ as plain spikes" in page


def test_numbers_are_means_over_samples(tmp_path):
    # 20 operations with plain spikes, 1344.2 + 12 x 1.7 + 7 x 4 pJ, over two samples
    page = Page(written(tmp_path, by_hand.simulation(n_samples=2))).text
    assert "10 as plain spikes" in page
    assert "energy 700 pJ (650 to 800)" in page


def rows(source):
    """The cells of every table row, tags removed."""
    return [
        [re.sub(r"<[^>]*>", "", cell) for cell in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row)]
        for row in re.findall(r"<tr>(.*?)</tr>", source, flags=re.DOTALL)
    ]


def test_the_tables_hold_a_row_per_step_per_layer_and_per_term(tmp_path):
    table = rows(written(tmp_path, by_hand.simulation(n_samples=1)))
    # spikes, delta events, synops, the same with plain spikes, with deltas, dense: by_hand.py
    counts = {row[0]: row[1:7] for row in table if len(row) == 9}
    assert counts["step"] == ["spikes", "delta events", "synops", "as plain spikes", "as deltas", "dense"]
    assert (counts["1"][:4], counts["1"][5]) == (["2", "2", "6", "6"], "12")
    assert (counts["2"][:4], counts["2"][5]) == (["3", "1", "4", "8"], "12")
    assert (counts["3"][:4], counts["3"][5]) == (["2", "1", "5", "6"], "12")
    assert counts["fc"][2:4] == ["8", "13"]
    assert counts["hidden"][:2] == ["7", "4"]
    assert counts["readout"][2:4] == ["7", "7"]
    # 17 stored operations at 23.6 pJ, 11 active updates at 81 and 1 idle one at 52
    terms = {row[0]: row[1:5] for row in table if len(row) == 6}
    assert terms["synop"] == ["17", "24 (24 to 36)", "401", "simulated"]
    assert terms["neuron_active"] == ["11", "81 (73 to 81)", "891", "simulated"]
    assert terms["neuron_inactive"] == ["1", "52.0 (51.2 to 52.0)", "52.0", "simulated"]


def test_what_is_not_priced_is_listed(tmp_path):
    page = Page(written(tmp_path, by_hand.simulation())).text
    for line in by_hand.simulation().energy.executed.not_priced:
        assert line in page


def test_several_profiles_stand_side_by_side(tmp_path):
    names = ("loihi1-davies2018", "odin", "loihi2")
    simulated = by_hand.simulation(None)
    energies = tuple(priced(simulated.trace, load_profile(name), simulated.program, step_time_s=1e-3) for name in names)
    source = written(tmp_path, replace(simulated, energies=energies))
    assert "Energy by profile" in source
    found = {row[0]: row for row in rows(source) if row[0] in names}
    assert set(found) == set(names)
    low, high = (1e3 * mw * simulated.trace.n_running.sum() / simulated.trace.n_samples for mw in (29.6, 104.4))
    assert f"static {energy_text(1e3 * low)} to {energy_text(1e3 * high)} in addition" in Page(source).text


def test_of_a_chip_without_prices_the_measured_points_are_shown(tmp_path):
    page = Page(written(tmp_path, by_hand.simulation("loihi2"))).text
    assert "pilotnet_lif: 1.661 mJ/inference, all_in (measured: lava-dl" in page
    assert "energy not priced by loihi2" in page


def test_without_a_profile_nothing_is_said_of_energy(tmp_path):
    page = Page(written(tmp_path, by_hand.simulation(None))).text
    assert "nJ" not in page
    assert "nergy" not in page
    assert "synaptic operations" in page


def test_without_labels_the_accuracy_is_not_known(tmp_path):
    assert "accuracy not known, without labels" in Page(written(tmp_path, by_hand.simulation(n_correct=None))).text


def test_no_accuracy_is_hidden_for_being_zero(tmp_path):
    assert "accuracy 0.0 %" in Page(written(tmp_path, by_hand.simulation(n_correct=0))).text


def test_what_is_saved_by_repeating_the_image_is_said(tmp_path):
    # fc saves 9 - 4 = 5 operations at steps 2 and 3: test_report.py
    page = Page(written(tmp_path, by_hand.simulation(n_samples=1, data=by_hand.DATA | {"static": True}))).text
    assert "5 operations per inference are saved only because every step shows the same image" in page


def test_of_an_input_that_changes_no_such_saving_is_said(tmp_path):
    assert "same image" not in Page(written(tmp_path, by_hand.simulation())).text


ALWAYS = ["Events of neurons", "Synaptic operations", "Synaptic operations by layer"]
ENERGY = ["Dynamic energy by cmos45-horowitz", "Dynamic energy by term, cmos45-horowitz"]
OVERLAP, PLACEMENT = "Feature overlap: spikes that were there a step ago, in %", "Placement on by-hand: 2 cores"


@pytest.mark.parametrize(
    ("profile", "changed", "titles"),
    [
        (None, {}, [*ALWAYS, OVERLAP, PLACEMENT]),
        (None, {"placement": None, "early_exit": 1.0}, ALWAYS),
        ("cmos45-horowitz", {}, [*ALWAYS, OVERLAP, *ENERGY, PLACEMENT]),
    ],
)
def test_what_can_be_drawn_is_drawn(tmp_path, profile, changed, titles):
    source = written(tmp_path, by_hand.simulation(profile, **changed))
    assert Page(source).elements.count("svg") == len(titles)
    assert re.findall(r"<figcaption><h3>(.*?)</h3>", source) == titles


def test_names_that_look_like_formulas_are_drawn_as_they_are(tmp_path):
    program = by_hand.renamed(by_hand.program(), "hidden", r"a$\\frac$b$")
    assert r"a$\\frac$b$" in Page(written(tmp_path, by_hand.simulation(program=program))).text


def test_the_ann_baseline_is_listed_beside_the_run(tmp_path):
    simulation = by_hand.simulation("cmos45-memory", baselines=(by_hand.ANN_BASELINE,))
    page = Page(written(tmp_path, simulation)).text
    (row,) = [row for row in by_ann_baseline(simulation.as_json()).texts if row[1] == "8 bits"]
    assert row[:5] == ("cmos45-memory", "8 bits", "50.0", "6", "4")
    assert " ".join(row) in page
    assert "spikes in floats cost" in page


CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), ""
)


@pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium here")
@pytest.mark.parametrize("width", [500, 1000])
def test_a_browser_shows_the_page_and_nothing_sticks_out(tmp_path, width):
    """A probe in the page writes what is wider than the window; tables that scroll on their own may be."""
    source = written(tmp_path, by_hand.simulation(baselines=(by_hand.ANN_BASELINE,)))
    probe = (
        "<script>onload = () => { document.title = document.documentElement.scrollWidth + ' of ' + innerWidth"
        " + ', errors ' + (window.failed || 0) }; onerror = () => { window.failed = 1 }</script></head>"
    )
    page = tmp_path / "probed.html"
    page.write_text(source.replace("</head>", probe), encoding="utf-8")
    words = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--window-size={width},2000"]
    words += [f"--user-data-dir={tmp_path / 'profile'}", f"--screenshot={tmp_path / 'page.png'}", "--dump-dom"]
    run = subprocess.run([CHROMIUM, *words, page.as_uri()], capture_output=True, text=True, timeout=120, check=True)
    found = re.search(r"<title>(\d+) of (\d+), errors 0</title>", run.stdout)
    assert found is not None
    assert int(found[1]) <= int(found[2])
    colors = Image.open(tmp_path / "page.png").convert("RGB").getcolors(maxcolors=1 << 24)
    assert {(0x00, 0x72, 0xB2), (0xE6, 0x9F, 0x00)} <= {color for _, color in colors or []}  # bars are there


def test_the_page_is_the_same_every_time(tmp_path):
    assert written(tmp_path, by_hand.simulation()) == written(tmp_path, by_hand.simulation())


def test_names_are_shown_and_never_run(tmp_path):
    evil = '<script>alert("1")</script>'
    # a name of a node cannot hold a slash, a name of a data set can
    program = by_hand.renamed(by_hand.program(), "hidden", "<img onerror=alert(1)>")
    source = written(tmp_path, by_hand.simulation(program=program, data=by_hand.DATA | {"name": evil}))
    page = Page(source)
    assert not {"script", "img"} & set(page.elements)
    assert evil in page.text
    assert "<img onerror=alert(1)>" in page.text


def test_the_name_of_a_profile_cannot_break_out_of_a_picture(tmp_path):
    text = (
        'schema = 1\nname = "</title><script>x</script>"\ntitle = "$t$"\n[price.ac]\ncounts = ["acs"]\nvalue = 1\n'
        'unit = "pJ"\nscope = "marginal"\nconfidence = "measured"\nread = "primary"\nsource = "<b>"\n'
    )
    profile = tmp_path / "evil.toml"
    profile.write_text(text)
    simulated = by_hand.simulation(str(profile))
    profile.unlink()
    assert not {"script", "b"} & set(Page(written(tmp_path, simulated)).elements)


@pytest.mark.parametrize("package", ["matplotlib", "jinja2"])
def test_a_missing_library_is_named_with_the_way_to_get_it(monkeypatch, package):
    found = builtins.__import__

    def without(name, *args, **kwargs):
        if name == package:
            raise ImportError(name)
        return found(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingDependency, match=rf"needs {package}\. .*pip install 'tdd-deploy\[report\]'"):
        html.require()


def test_with_the_libraries_nothing_is_missing():
    assert html.require() is None


def test_parameters_in_backticks_are_shown_as_code(tmp_path):
    data = by_hand.DATA | {"n_steps_from": "from `steps`", "encoder_from": "`input_scale=1/256` & <b>"}
    source = written(tmp_path, by_hand.simulation(data=data, caveats=("`odd name` is kept, use `code=spike`",)))
    assert "from <code>steps</code>" in source
    assert "<code>input_scale=1/256</code> &amp; &lt;b&gt;" in source
    assert "`odd name` is kept, use <code>code=spike</code>" in source
