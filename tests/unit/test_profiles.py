import math
import tomllib
from pathlib import Path

import pytest

from tdd_deploy.errors import BadFile, BadOption, BadProfile
from tdd_deploy.simulator.counts import FIELDS
from tdd_deploy.simulator.profiles import CONFIDENCES, NEEDS_PLACEMENT, PICOJOULES, load_profile, profile_names

FIGURES = Path(__file__).parents[3] / "shared/reference/energy-figures.toml"
in_figures = pytest.mark.skipif(not FIGURES.exists(), reason="the collected figures stand beside the repository")

# Our term: the table and the key of energy-figures.toml.
TERMS = {
    "loihi1-davies2018": {
        "synop": "loihi1_davies2018.synop",
        "neuron_active": "loihi1_davies2018.neuron_active",
        "neuron_inactive": "loihi1_davies2018.neuron_inactive",
        "spike_in_tile": "loihi1_davies2018.spike_in_tile",
        "hop_east_west": "loihi1_davies2018.hop_ew",
        "hop_north_south": "loihi1_davies2018.hop_ns",
    },
    "loihi1-sanafe": {
        "synop_dense": "loihi1_sanafe.synop_dense",
        "synop_conv": "loihi1_sanafe.synop_conv",
        "neuron_access": "loihi1_sanafe.neuron_access",
        "neuron_update": "loihi1_sanafe.neuron_update",
        "spike_out": "loihi1_sanafe.spike_out",
        "message_out": "loihi1_sanafe.message_out",
        "hop_east_west": "loihi1_sanafe.hop_ew",
        "hop_north_south": "loihi1_sanafe.hop_ns",
    },
    "cmos45-horowitz": {"ac": "cmos45_horowitz.fp32_add", "mac": "cmos45_horowitz.fp32_mac"},
}
# Ends of a range that come from the other profile: (low, high), sums of keys; what is not named is the value itself.
SANAFE_NEURON = ("loihi1_sanafe.neuron_access", "loihi1_sanafe.neuron_update")
RANGES = {
    ("loihi1-davies2018", "synop"): (("loihi1_davies2018.synop",), ("loihi1_sanafe.synop_dense",)),
    ("loihi1-davies2018", "neuron_active"): (SANAFE_NEURON, ("loihi1_davies2018.neuron_active",)),
    ("loihi1-davies2018", "neuron_inactive"): (SANAFE_NEURON[:1], ("loihi1_davies2018.neuron_inactive",)),
    ("loihi1-sanafe", "synop_dense"): (("loihi1_davies2018.synop",), ("loihi1_sanafe.synop_dense",)),
    ("loihi1-sanafe", "synop_conv"): (("loihi1_davies2018.synop",), ("loihi1_sanafe.synop_conv",)),
}
PAIRS = [(name, term) for name, terms in TERMS.items() for term in terms]


def figure(key):
    table, name = key.split(".")
    return tomllib.loads(FIGURES.read_text(encoding="utf-8"))[table][name]


def pj(key):
    return figure(key)["value"] * {"fJ": 1e-3, "pJ": 1, "nJ": 1e3}[figure(key)["unit"]]


@pytest.mark.parametrize("name", profile_names())
def test_every_profile_of_the_package_loads_under_its_name(name):
    profile = load_profile(name)
    assert profile.name == name
    assert profile.title
    assert profile.remark
    assert profile.prices


@pytest.mark.parametrize("name", profile_names())
def test_every_price_has_a_source_and_stands_within_its_range(name):
    for price in load_profile(name).prices:
        assert 0 <= price.low_pj <= price.value_pj <= price.high_pj
        assert price.source
        assert price.range_source or price.low_pj == price.high_pj
        assert price.confidence in CONFIDENCES
        assert set(price.counts) <= {*FIELDS, *NEEDS_PLACEMENT}


@pytest.mark.parametrize("name", profile_names())
def test_no_count_is_priced_twice_by_the_same_table_of_effective_and_stored_ops(name):
    """A synaptic operation is paid as effective, as stored, or as AC and MAC, never as two of them."""
    counts = {count for price in load_profile(name).prices for count in price.counts}
    assert sum(bool(counts & ways) for ways in ({"synops_effective"}, {"synops_stored"}, {"acs", "macs"})) == 1


@in_figures
def test_every_profile_is_held_to_the_collected_figures():
    assert set(TERMS) == set(profile_names())
    assert {(name, price.term) for name in profile_names() for price in load_profile(name).prices} == set(PAIRS)


@in_figures
@pytest.mark.parametrize(("name", "term"), PAIRS)
def test_every_price_is_the_collected_figure(name, term):
    (price,) = [price for price in load_profile(name).prices if price.term == term]
    key = TERMS[name][term]
    assert price.value_pj == pj(key)
    assert price.confidence == figure(key)["confidence"]
    assert figure(key).get("scope", "marginal") == "marginal"
    low, high = RANGES.get((name, term), ((key,), (key,)))
    assert price.low_pj == pytest.approx(sum(pj(k) for k in low), rel=1e-12)
    assert price.high_pj == pytest.approx(sum(pj(k) for k in high), rel=1e-12)


@in_figures
def test_static_power_is_the_collected_figure_or_missing_there_too():
    static = load_profile("loihi1-davies2018").static
    collected = figure("loihi1_davies2018.static_per_chip")
    assert (static.value_mw, static.confidence, collected["unit"]) == (
        collected["value"],
        collected["confidence"],
        "mW",
    )
    assert static.value_mw == pytest.approx(3340 / 32, rel=1e-3)  # Frady et al. 2020: 3.34 W over 32 chips
    for name in ("loihi1-sanafe", "cmos45-horowitz"):
        assert load_profile(name).static is None


GOOD = """
schema = 1
name = "mine"
title = "My chip"
not_priced = ["the radio"]
[price.synop]
counts = ["synops_stored"]
value = 2
unit = "nJ"
low = 1.5
high = 2.5
range_source = "two reviews"
scope = "marginal"
confidence = "measured"
source = "my lab"
[static]
value = 0.5
unit = "W"
confidence = "vendor"
source = "brochure"
"""


def load(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return load_profile(str(path))


def test_a_file_of_ones_own_is_read_in_its_units(tmp_path):
    profile = load(tmp_path, GOOD)
    assert (profile.name, profile.title, profile.remark, profile.not_priced) == ("mine", "My chip", "", ("the radio",))
    (price,) = profile.prices
    assert (price.term, price.counts, price.layers) == ("synop", ("synops_stored",), ())
    assert (price.low_pj, price.value_pj, price.high_pj) == (1500, 2000, 2500)
    assert (price.confidence, price.source, price.range_source) == ("measured", "my lab", "two reviews")
    assert (profile.static.value_mw, profile.static.confidence, profile.static.source) == (500, "vendor", "brochure")


@pytest.mark.parametrize(("unit", "pj_each"), [("fJ", 0.002), ("pJ", 2), ("nJ", 2000), ("uJ", 2e6)])
def test_prices_come_in_four_units(tmp_path, unit, pj_each):
    assert set(PICOJOULES) == {"fJ", "pJ", "nJ", "uJ"}
    assert load(tmp_path, GOOD.replace('unit = "nJ"', f'unit = "{unit}"')).prices[0].value_pj == pj_each


def test_what_is_not_given_is_left_out(tmp_path):
    short = "".join(
        line
        for line in GOOD[: GOOD.index("[static]")].splitlines(keepends=True)
        if not line.startswith(("low", "high", "range_source", "not_priced"))
    )
    profile = load(tmp_path, short)
    assert (profile.static, profile.not_priced) == (None, ())
    assert (profile.prices[0].low_pj, profile.prices[0].high_pj) == (2000, 2000)


def test_zero_means_measured_zero(tmp_path):
    assert (
        load(tmp_path, GOOD.replace("value = 2", "value = 0").replace("low = 1.5", "low = 0")).prices[0].value_pj == 0
    )


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        # unknown keys
        ("schema = 1", "schema = 1\nnmae = 3", "nmae: an unknown key; allowed: schema, name, title"),
        ('unit = "nJ"', 'unit = "nJ"\nconfidense = "measured"', "price.synop.confidense: an unknown key; allowed: co"),
        ('unit = "nJ"', 'unit = "nJ"\nconfidense = "x"', "Did you mean confidence?"),
        ('unit = "W"', 'unit = "W"\nvolts = 1', "static.volts: an unknown key; allowed: value, unit"),
        # missing keys
        ("schema = 1\n", "", "schema: is missing; allowed: 1."),
        ('name = "mine"\n', "", "name: is missing; allowed: a text that is not empty."),
        ('source = "my lab"\n', "", "price.synop.source: is missing; allowed: a text that is not empty."),
        ('source = "brochure"\n', "", "static.source: is missing; allowed: a text that is not empty."),
        ("value = 2\n", "", "price.synop.value: is missing; allowed: a number, 0 or more."),
        ('unit = "nJ"\n', "", "price.synop.unit: is missing; allowed: fJ, pJ, nJ, uJ."),
        ('scope = "marginal"\n', "", "price.synop.scope: is missing; allowed: marginal."),
        ('counts = ["synops_stored"]\n', "", "price.synop.counts: is missing; allowed: spikes, delta_events"),
        ('range_source = "two reviews"\n', "", "price.synop.range_source: is missing; allowed: the source of low and"),
        # wrong values
        ("schema = 1", "schema = 2", "schema: 2; allowed: 1."),
        ('source = "my lab"', 'source = ""', "price.synop.source: ''; allowed: a text that is not empty."),
        ('source = "my lab"', "source = 7", "price.synop.source: 7; allowed: a text that is not empty."),
        ('unit = "nJ"', 'unit = "J"', "price.synop.unit: 'J'; allowed: fJ, pJ, nJ, uJ."),
        ('unit = "W"', 'unit = "pJ"', "static.unit: 'pJ'; allowed: uW, mW, W."),
        ("value = 2", "value = -2", "price.synop.value: -2; allowed: a number, 0 or more."),
        ("value = 2", "value = nan", "price.synop.value: nan; allowed: a number, 0 or more."),
        ("value = 2", "value = inf", "price.synop.value: inf; allowed: a number, 0 or more."),
        ("value = 2", 'value = "2"', "price.synop.value: '2'; allowed: a number, 0 or more."),
        ("value = 2", "value = true", "price.synop.value: True; allowed: a number, 0 or more."),
        ("value = 2", "value = [2]", "price.synop.value: [2]; allowed: a number, 0 or more."),
        ("value = 0.5", "value = -1.0", "static.value: -1.0; allowed: a number, 0 or more."),
        ("low = 1.5", "low = nan", "price.synop.low: nan; allowed: a number, 0 or more."),
        ('scope = "marginal"', 'scope = "all_in"', "price.synop.scope: 'all_in'; allowed: marginal."),
        ('confidence = "measured"', 'confidence = "sure"', "price.synop.confidence: 'sure'; allowed: measured"),
        ('["synops_stored"]', '["synops"]', "price.synop.counts: ['synops']; allowed: spikes, delta_events"),
        ('["synops_stored"]', '"synops_stored"', "price.synop.counts: 'synops_stored'; allowed: spikes"),
        ('["synops_stored"]', "[]", "price.synop.counts: []; allowed: spikes, delta_events"),
        ('["synops_stored"]', '["acs"]\nlayers = ["pool"]', "price.synop.layers: ['pool']; allowed: dense, conv."),
        ('["the radio"]', '"the radio"', "not_priced: 'the radio'; allowed: a list of texts."),
        ('["the radio"]', "[5]", "not_priced: [5]; allowed: a list of texts."),
        ('["the radio"]', "[[]]", "not_priced: [[]]; allowed: a list of texts."),
        ("[static]", "[price.ac]", "price.ac.counts: is missing"),
        # contradictions
        ("value = 2", "value = 9", "price.synop.low, .value, .high: 1.5, 9"),
        ('["synops_stored"]', '["acs", "acs"]', "price.synop.counts: ['acs', 'acs']; allowed: each count once."),
    ],
)  # fmt: skip
def test_a_damaged_profile_is_refused_by_its_key(tmp_path, old, new, text):
    assert old in GOOD
    with pytest.raises(BadProfile) as caught:
        load(tmp_path, GOOD.replace(old, new, 1))
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('schema = 1\nname = "a"\ntitle = "b"', "price: is missing; allowed: a table that is not empty."),
        ('schema = 1\nname = "a"\ntitle = "b"\nprice = 3', "price: 3; allowed: a table that is not empty."),
        ('schema = 1\nname = "a"\ntitle = "b"\n[price]', "price: {}; allowed: a table that is not empty."),
        ('schema = 1\nname = "a"\ntitle = "b"\nprice.ac = 0.9', "price.ac: 0.9; allowed: a table."),
        ("", "title: is missing; allowed: a text that is not empty."),
    ],
)
def test_a_profile_without_prices_is_refused(tmp_path, text, where):
    with pytest.raises(BadProfile) as caught:
        load(tmp_path, text)
    assert where in str(caught.value)


def test_all_violations_are_reported_at_once_and_in_the_same_order_every_time(tmp_path):
    bad = GOOD.replace("value = 2", "value = nan").replace('source = "my lab"\n', "").replace('"W"', '"pJ"')
    bad = bad.replace("schema = 1", "schema = 1\nzebra = 1\nants = 2")
    with pytest.raises(BadProfile) as caught:
        load(tmp_path, bad)
    assert [violation.where for violation in caught.value.violations] == [
        "ants",
        "zebra",
        "price.synop.value",
        "price.synop.source",
        "static.unit",
    ]
    assert str(caught.value).startswith(f"profile {tmp_path / 'mine.toml'} (5 found):")


@pytest.mark.parametrize(("name", "near"), [("loihi1-davis2018", "loihi1-davies2018"), ("horowitz", "cmos45-horowitz")])
def test_an_unknown_profile_is_answered_with_the_nearest(name, near):
    with pytest.raises(BadOption) as caught:
        load_profile(name)
    assert str(caught.value) == (
        f"--profile is '{name}' (did you mean {near}?); allowed: {', '.join(profile_names())}, or a path to a .toml."
    )


def test_a_profile_that_nothing_resembles_is_answered_with_all():
    with pytest.raises(BadOption, match=r"^--profile is 'xyz'; allowed: cmos45-horowitz, loihi1-"):
        load_profile("xyz")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(BadFile, match=r"none\.toml: is missing or not a text file; name a profile or a \.toml file"):
        load_profile(str(tmp_path / "none.toml"))


def test_a_file_that_is_not_text_or_not_toml_is_named(tmp_path):
    path = tmp_path / "a.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadFile, match="not a text file"):
        load_profile(str(path))
    path.write_text("a = = 1")
    with pytest.raises(BadFile, match="is not TOML"):
        load_profile(str(path))


def test_no_profile_prices_loihi_2():
    """No public figure exists (energy-figures.toml); Loihi 1 is not to be scaled."""
    assert not any("loihi2" in name for name in profile_names())
    assert math.inf not in {price.value_pj for name in profile_names() for price in load_profile(name).prices}
