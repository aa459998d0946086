import tomllib
from pathlib import Path

import pytest

from tdd_deploy.errors import BadFile, BadOption, BadProfile
from tdd_deploy.simulator.counts import FIELDS
from tdd_deploy.simulator.hardware.profiles import MILLIWATTS, PICOJOULES, load_profile, profile_names
from tdd_deploy.simulator.hardware.schema import CONFIDENCES

FIGURES = Path(__file__).parents[3] / "shared/reference/energy-figures.toml"
in_figures = pytest.mark.skipif(not FIGURES.exists(), reason="the collected figures lie beside the repository")

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
    "odin": {"synop": "odin.synop"},
    "truenorth": {"synop": "truenorth.synop"},
    "spinnaker1": {"synop": "spinnaker1.synop", "neuron_update": "spinnaker1.neuron_update"},
    "spinnaker2-prototype": {"synop": "spinnaker2.synop", "neuron_update": "spinnaker2.neuron_update"},
    "cmos22-yan2024": {"accumulate": "cmos22_yan2024.acc"},
    "cmos45-horowitz": {"ac": "cmos45_horowitz.fp32_add", "mac": "cmos45_horowitz.fp32_mac"},
    "cmos45-integer": {"ac": "cmos45_horowitz.int8_add", "mac": "cmos45_horowitz.int8_mac"},
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
INT8_MAC_WIDE = ("cmos45_horowitz.int8_mul", "cmos45_horowitz.int32_add")
RANGES |= {
    ("cmos45-integer", "ac"): (("cmos45_horowitz.int8_add",), ("cmos45_horowitz.int32_add",)),
    ("cmos45-integer", "mac"): (("cmos45_horowitz.int8_mac",), INT8_MAC_WIDE),
}
TIMES = {
    ("loihi1-davies2018", "synop"): "loihi1_davies2018.t_synop",
    ("loihi1-davies2018", "neuron_active"): "loihi1_davies2018.t_neuron_active",
    ("loihi1-davies2018", "neuron_inactive"): "loihi1_davies2018.t_neuron_inactive",
    ("loihi1-davies2018", "barrier"): "loihi1_davies2018.t_barrier",
}
# Static power and operating points: our part or point, and the collected key.
STATIC = {
    ("loihi1-davies2018", "chip"): "loihi1_davies2018.static_per_chip",
    ("odin", "leakage"): "odin.leak",
    ("odin", "clock"): "odin.idle_clock",
    ("truenorth", "chip"): "truenorth.static",
}
POINTS = {
    ("akida-akd1000", "typical"): "akida_akd1000.power_typ",
    ("loihi2", "static_chip"): "loihi2.static_per_chip",
    ("loihi2", "pilotnet_lif"): "loihi2.pilotnet_lif_total",
    ("loihi2", "pilotnet_lif_dynamic"): "loihi2.pilotnet_lif_dynamic",
    ("loihi2", "pilotnet_sdnn"): "loihi2.pilotnet_sdnn_total",
    ("odin", "synop"): "odin.synop_all_in",
    ("speck", "processor_resting"): "speck.processor_resting",
    ("speck", "real_time"): "speck.realtime_total_min",
    ("spinnaker2-prototype", "chip"): "spinnaker2.chip_power",
    ("truenorth", "synop"): "truenorth.synop_all_in",
    ("xylo-audio2", "idle"): "xylo_audio2.idle",
    ("xylo-audio2", "audio_dynamic"): "xylo_audio2.dynamic",
    ("xylo-audio2", "keywords_dynamic"): "xylo_audio2.kws_dynamic",
    ("xylo-audio2", "keywords"): "xylo_audio2.kws_inference",
}
MADE_OF_SEVERAL = {("speck", "rails_idle"), ("spinnaker1", "chip")}  # points that no single figure gives
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
    assert profile.prices or profile.points


@pytest.mark.parametrize("name", profile_names())
def test_every_price_has_a_source_and_lies_within_its_range(name):
    for price in load_profile(name).prices:
        assert 0 <= price.low_pj <= price.value_pj <= price.high_pj
        assert price.source
        assert price.range_source or price.low_pj == price.high_pj
        assert price.confidence in CONFIDENCES
        assert set(price.counts) <= set(FIELDS)


@pytest.mark.parametrize("name", profile_names())
def test_no_count_is_priced_twice_by_the_same_table_of_effective_and_stored_ops(name):
    """A synaptic operation is paid as effective, as stored, or as AC and MAC, never as two of them."""
    counts = {count for price in load_profile(name).prices for count in price.counts}
    ways = sum(bool(counts & way) for way in ({"synops_effective"}, {"synops_stored"}, {"acs", "macs"}))
    assert ways == (1 if counts else 0)


@in_figures
def test_every_profile_is_held_to_the_collected_figures():
    """cmos45-memory adds up figures of a table; test_the_memory_model_is_made_of_the_collected_figures has its sums."""
    profiles = {name: load_profile(name) for name in profile_names()}
    prices = {(name, price.term) for name, profile in profiles.items() for price in profile.prices}
    assert {(name, term) for name, term in prices if name != "cmos45-memory"} == set(PAIRS)
    assert {(name, part.name) for name, profile in profiles.items() for part in profile.static} == set(STATIC)
    points = {(name, point.name) for name, profile in profiles.items() for point in profile.points}
    assert points == set(POINTS) | MADE_OF_SEVERAL


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
@pytest.mark.parametrize(("name", "part"), STATIC)
def test_static_power_is_the_collected_figure(name, part):
    (found,) = [static for static in load_profile(name).static if static.name == part]
    collected = figure(STATIC[name, part])
    unit = collected["unit"].removesuffix("/MHz")
    assert found.value_mw == pytest.approx(collected["value"] * MILLIWATTS[unit], rel=1e-12)
    assert (found.is_per_mhz, found.confidence) == (collected["unit"].endswith("/MHz"), collected["confidence"])


@in_figures
@pytest.mark.parametrize(("name", "term"), TIMES)
def test_every_latency_is_the_collected_figure(name, term):
    (found,) = [latency for latency in load_profile(name).latencies if latency.term == term]
    collected = figure(TIMES[name, term])
    low, high = (collected.get(bound, collected.get("value")) for bound in ("low", "high"))
    assert (found.low_ns, found.high_ns, found.confidence) == (low, high, collected["confidence"])
    assert {(n, each.term) for n in profile_names() for each in load_profile(n).latencies} == set(TIMES)


@in_figures
@pytest.mark.parametrize("name", ["cmos45-horowitz", "cmos45-integer"])
def test_a_mac_of_a_quantized_baseline_is_the_collected_figure(name):
    profile = load_profile(name)
    assert [(mac.bits, mac.value_pj) for mac in profile.integer_macs] == [(8, pj("cmos45_horowitz.int8_mac"))]
    assert profile.mac_pj(8) == pj("cmos45_horowitz.int8_mac")
    assert profile.mac_pj(4) is None
    assert profile.mac_pj() == (None if name == "cmos45-integer" else pj("cmos45_horowitz.fp32_mac"))


@in_figures
@pytest.mark.parametrize(("name", "point"), POINTS)
def test_every_operating_point_is_the_collected_figure(name, point):
    (found,) = [each for each in load_profile(name).points if each.name == point]
    collected = figure(POINTS[name, point])
    low, high = (collected.get(bound, collected.get("value")) for bound in ("low", "high"))
    assert (found.low, found.high, found.confidence) == (low, high, collected["confidence"])
    assert found.unit in (collected["unit"], f"{collected['unit']}/synop")
    assert found.scope == collected.get("scope", found.scope)


@in_figures
def test_the_memory_model_is_made_of_the_collected_figures():
    of = {
        key: pj(f"cmos45_horowitz.{key}")
        for key in ("fp32_add", "fp32_mul", "fp32_mac", "sram_8kB_64b", "sram_1MB_64b")
    }
    add, word, far = of["fp32_add"], of["sram_8kB_64b"] / 2, of["sram_1MB_64b"] / 2
    expected = {
        "ac": (add, add),
        "mac": (of["fp32_mac"], of["fp32_mac"]),
        "weight_read": (word, far),
        "sum_read_write": (2 * word, 2 * far),
        "neuron_arithmetic": (of["fp32_mul"] + 2 * add,) * 2,
        "neuron_read_write": (3 * word, 3 * far),
        "event_address": (2 * word, 2 * far),
        "bias": (add + word, add + far),
    }
    prices = {price.term: (price.value_pj, price.high_pj) for price in load_profile("cmos45-memory").prices}
    assert prices.keys() == expected.keys()
    for term, bounds in expected.items():
        assert prices[term] == pytest.approx(bounds, rel=1e-12)


@pytest.mark.parametrize(("mhz", "synops_per_s", "measured_uw"), [(75.0, 37.5e6, 477.0), (1.3, 0.65e6, 35.0)])
def test_odin_draws_its_published_power(mhz, synops_per_s, measured_uw):
    """Frenkel et al. 2019: both of its operating points within 1 %; the price that takes all in misses the second."""
    odin = load_profile("odin")
    found_uw = 1e3 * odin.static_mw(mhz) + odin.prices[0].value_pj * 1e-6 * synops_per_s
    assert found_uw == pytest.approx(measured_uw, rel=0.01)


@pytest.mark.parametrize(("hz", "measured_mw"), [(11.58, 68.0), (20.07, 71.0), (95.93, 94.0)])
def test_truenorth_draws_its_published_power(hz, measured_mw):
    """Akopyan et al. 2015, Fig. 17: a line through the first and last point, the middle one was held out."""
    truenorth = load_profile("truenorth")
    found_mw = truenorth.static_mw() + truenorth.prices[0].value_pj * 1e-9 * 2**20 * hz * 128
    assert found_mw == pytest.approx(measured_mw, rel=0.01)


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
[static.chip]
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
    (static,) = profile.static
    assert (static.name, static.value_mw, static.confidence, static.source) == ("chip", 500, "vendor", "brochure")
    assert profile.static_mw() == 500


@pytest.mark.parametrize(("unit", "pj_each"), [("fJ", 0.002), ("pJ", 2), ("nJ", 2000), ("uJ", 2e6)])
def test_prices_come_in_four_units(tmp_path, unit, pj_each):
    assert set(PICOJOULES) == {"fJ", "pJ", "nJ", "uJ"}
    assert load(tmp_path, GOOD.replace('unit = "nJ"', f'unit = "{unit}"')).prices[0].value_pj == pj_each


def test_what_is_not_given_is_left_out(tmp_path):
    short = "".join(
        line
        for line in GOOD[: GOOD.index("[static.chip]")].splitlines(keepends=True)
        if not line.startswith(("low", "high", "range_source", "not_priced"))
    )
    profile = load(tmp_path, short)
    assert (profile.static, profile.static_mw(), profile.not_priced) == ((), None, ())
    assert (profile.prices[0].low_pj, profile.prices[0].high_pj) == (2000, 2000)


def test_a_chip_is_one_of_ours_or_a_file_beside_the_profile(tmp_path):
    assert load(tmp_path, GOOD).chip is None
    assert load(tmp_path, f'chip = "loihi1"\n{GOOD}').chip == "loihi1"
    assert load(tmp_path, f'chip = "chips/mine.toml"\n{GOOD}').chip == str(tmp_path / "chips/mine.toml")


def test_zero_means_measured_zero(tmp_path):
    assert (
        load(tmp_path, GOOD.replace("value = 2", "value = 0").replace("low = 1.5", "low = 0")).prices[0].value_pj == 0
    )


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        # unknown keys
        ("schema = 1", "schema = 1\nnmae = 3", "nmae is an unknown key; the keys here are schema, name, title"),
        (
            'unit = "nJ"', 'unit = "nJ"\nconfidense = "measured"',
            "price.synop.confidense is an unknown key; the keys here are counts",
        ),
        ('unit = "nJ"', 'unit = "nJ"\nconfidense = "x"', "Did you mean confidence?"),
        ('unit = "W"', 'unit = "W"\nvolts = 1', "static.chip.volts is an unknown key; the keys here are value, unit"),
        # missing keys
        ("schema = 1\n", "", "schema is missing. Give 1."),
        ('name = "mine"\n', "", "name is missing. Give a text that is not empty."),
        ('source = "my lab"\n', "", "price.synop.source is missing. Give a text that is not empty."),
        ('source = "brochure"\n', "", "static.chip.source is missing. Give a text that is not empty."),
        ("value = 2\n", "", "price.synop.value is missing. Give a number, 0 or more."),
        ('unit = "nJ"\n', "", "price.synop.unit is missing. Give one of fJ, pJ, nJ, uJ."),
        ('scope = "marginal"\n', "", "price.synop.scope is missing. Give marginal."),
        ('counts = ["synops_stored"]\n', "", "price.synop.counts is missing. Give some of spikes, delta_events"),
        ('range_source = "two reviews"\n', "", "price.synop.range_source is missing. Name the source of low and high."),
        # wrong values
        ("schema = 1", "schema = 2", "schema must be 1 (got 2)."),
        ('source = "my lab"', 'source = ""', "price.synop.source must be a text that is not empty (got '')."),
        ('source = "my lab"', "source = 7", "price.synop.source must be a text that is not empty (got 7)."),
        ('unit = "nJ"', 'unit = "J"', "price.synop.unit must be one of fJ, pJ, nJ, uJ (got 'J')."),
        ('unit = "W"', 'unit = "pJ"', "static.chip.unit must be one of uW, mW, W, uW/MHz ... (got 'pJ')."),
        (
            "schema = 1", 'schema = 1\nchip = "loihi9"',
            "chip must be loihi1, loihi2, truenorth, or a path to a .toml file, relative to this file (got 'loihi9').",
        ),
        ("schema = 1", "schema = 1\nchip = 9", "chip must be a text that is not empty (got 9)."),
        ("value = 2", "value = -2", "price.synop.value must be a number, 0 or more (got -2)."),
        ("value = 2", "value = nan", "price.synop.value must be a number, 0 or more (got nan)."),
        ("value = 2", "value = inf", "price.synop.value must be a number, 0 or more (got inf)."),
        ("value = 2", 'value = "2"', "price.synop.value must be a number, 0 or more (got '2')."),
        ("value = 2", "value = true", "price.synop.value must be a number, 0 or more (got True)."),
        ("value = 2", "value = [2]", "price.synop.value must be a number, 0 or more (got [2])."),
        ("value = 0.5", "value = -1.0", "static.chip.value must be a number, 0 or more (got -1.0)."),
        ("low = 1.5", "low = nan", "price.synop.low must be a number, 0 or more (got nan)."),
        ('scope = "marginal"', 'scope = "all_in"', "price.synop.scope must be marginal (got 'all_in')."),
        (
            'confidence = "measured"', 'confidence = "sure"',
            "price.synop.confidence must be one of measured ... (got 'sure').",
        ),
        (
            '["synops_stored"]', '["synops"]',
            "price.synop.counts must be some of spikes, delta_events ... (got ['synops']).",
        ),
        (
            '["synops_stored"]', '"synops_stored"',
            "price.synop.counts must be some of spikes ... (got 'synops_stored').",
        ),
        ('["synops_stored"]', "[]", "price.synop.counts must be some of spikes, delta_events ... (got [])."),
        (
            '["synops_stored"]', '["acs"]\nlayers = ["pool"]',
            "price.synop.layers must be some of dense, conv (got ['pool']).",
        ),
        ('["the radio"]', '"the radio"', "not_priced must be a list of texts (got 'the radio')."),
        ('["the radio"]', "[5]", "not_priced must be a list of texts (got [5])."),
        ('["the radio"]', "[[]]", "not_priced must be a list of texts (got [[]])."),
        ("[static.chip]", "[price.ac]", "price.ac.counts is missing"),
        # contradictions
        (
            'unit = "W"', 'unit = "uW/MHz"',
            "static.chip.unit is uW/MHz, but there is no table clock. Add one with value, unit and source.",
        ),
        (
            "[static.chip]", '[point.a]\nlow = 1\nscope = "all_in"',
            "point.a holds low and value. Give value, or low and high.",
        ),
        ("value = 2", "value = 9", "low, value and high of price.synop must be in rising order (got 1.5, 9, 2.5)."),
        (
            '["synops_stored"]', '["acs", "acs"]',
            "price.synop.counts must be a list that names each count once (got ['acs', 'acs']).",
        ),
    ],
)  # fmt: skip
def test_a_damaged_profile_is_refused_by_its_key(tmp_path, old, new, text):
    assert old in GOOD
    with pytest.raises(BadProfile) as caught:
        load(tmp_path, GOOD.replace(old, new, 1))
    for part in text.split(" ... "):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        (
            'schema = 1\nname = "a"\ntitle = "b"',
            "price and point are both missing. Give prices of events, operating points, or both.",
        ),
        ('schema = 1\nname = "a"\ntitle = "b"\nprice = 3', "price must be a table that is not empty (got 3)."),
        ('schema = 1\nname = "a"\ntitle = "b"\n[price]', "price must be a table that is not empty (got {})."),
        ('schema = 1\nname = "a"\ntitle = "b"\nprice.ac = 0.9', "price.ac must be a table (got 0.9)."),
        ("", "title is missing. Give a text that is not empty."),
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
        "static.chip.unit",
    ]
    assert str(caught.value).startswith(f"profile {tmp_path / 'mine.toml'} (5 found):")


@pytest.mark.parametrize(("name", "near"), [("loihi1-davis2018", "loihi1-davies2018"), ("horowitz", "cmos45-horowitz")])
def test_an_unknown_profile_is_answered_with_the_nearest(name, near):
    with pytest.raises(BadOption) as caught:
        load_profile(name)
    known = ", ".join(profile_names())
    assert str(caught.value) == (
        f"profiles must be {known}, or a path to a .toml file (got '{name}'). Did you mean {near}?"
    )


def test_a_profile_that_nothing_resembles_is_answered_with_all():
    with pytest.raises(BadOption, match=r"^profiles must be akida-akd1000, cmos22-yan2024, .* \(got 'xyz'\)\.$"):
        load_profile("xyz")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(BadFile, match=r"none\.toml is missing\. Name one of the profiles .* or a \.toml file"):
        load_profile(str(tmp_path / "none.toml"))


def test_a_file_that_is_not_text_or_not_toml_is_named(tmp_path):
    path = tmp_path / "a.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadFile, match="not a text file"):
        load_profile(str(path))
    path.write_text("a = = 1")
    with pytest.raises(BadFile, match="is not TOML"):
        load_profile(str(path))


def test_chips_of_which_no_price_is_public_have_operating_points_alone():
    """No price of an event on Loihi 2 is public (energy-figures.toml), and Loihi 1 is not to be scaled."""
    for name in ("loihi2", "speck", "xylo-audio2", "akida-akd1000"):
        assert (load_profile(name).prices, load_profile(name).static_mw()) == ((), None)
        assert load_profile(name).points
