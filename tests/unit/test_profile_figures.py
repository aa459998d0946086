"""Every figure of every profile is held to the figures that were collected from publications, corrections first.

The collected figures are two files: the second one corrects the first. A key here is "1:table.name" or "2:table.name".
"""

import tomllib
from functools import cache
from importlib import resources

import pytest

from tdd_deploy.simulator.hardware.profiles import load_profile, profile_names
from tests.shared_data import needs, reference

FILES = {"1": reference("energy-figures.toml"), "2": reference("energy-figures-2.toml")}
pytestmark = [needs(path) for path in FILES.values()]

KINDS = ("price", "static", "time", "operation", "memory", "point")
FLOATS = {f"float{bits}_{what}": f"fp{bits}_{what}" for bits in (32, 16) for what in ("add", "mul")}
INTEGERS = {f"int{bits}_{what}": f"int{bits}_{what}" for bits in (8, 32) for what in ("add", "mul")}


def of_table(profile, kind, table, names):
    """Name the figures of a profile that one collected table holds."""
    pairs = names.items() if isinstance(names, dict) else ((name, name) for name in names.split())
    return {(profile, kind, ours): f"{table}.{theirs}" for ours, theirs in pairs}


DAVIES = {"synop": "synop", "neuron_active": "neuron_active", "neuron_inactive": "neuron_inactive"}
HOPS = {"hop_east_west": "hop_ew", "hop_north_south": "hop_ns"}
SANAFE = "synop_dense synop_conv neuron_access neuron_update spike_out message_out"
COLLECTED = {
    **of_table("loihi1-davies2018", "price", "1:loihi1_davies2018", DAVIES | HOPS | {"spike_in_tile": "spike_in_tile"}),
    **of_table("loihi1-davies2018", "time", "1:loihi1_davies2018", {ours: f"t_{key}" for ours, key in DAVIES.items()}),
    ("loihi1-davies2018", "time", "barrier"): "1:loihi1_davies2018.t_barrier",
    ("loihi1-davies2018", "static", "boot"): "2:loihi1_static.boot_idle",
    ("loihi1-davies2018", "static", "in_use"): "2:loihi1_static.in_use_idle",
    ("loihi1-davies2018", "static", "all_powered"): "1:loihi1_davies2018.static_per_chip",
    ("loihi1-davies2018", "static", "x86"): "2:loihi1_static.x86_idle",
    ("loihi1-davies2018", "point", "keywords"): "2:loihi1_keywords.running",
    ("loihi1-davies2018", "point", "keywords_above_boot"): "2:loihi1_keywords.above_boot",
    ("loihi1-davies2018", "point", "keywords_above_in_use"): "2:loihi1_keywords.above_in_use",
    **of_table("loihi1-sanafe", "price", "1:loihi1_sanafe", {**{name: name for name in SANAFE.split()}, **HOPS}),
    ("odin", "price", "synop"): "1:odin.synop",
    ("odin", "static", "leakage"): "1:odin.leak",
    ("odin", "static", "clock"): "1:odin.idle_clock",
    ("odin", "point", "synop"): "1:odin.synop_all_in",
    ("truenorth", "price", "synop"): "1:truenorth.synop",
    ("truenorth", "static", "chip"): "1:truenorth.static",
    ("truenorth", "point", "synop"): "1:truenorth.synop_all_in",
    **of_table("spinnaker1", "price", "1:spinnaker1", "synop neuron_update"),
    ("spinnaker1", "point", "synop_2019"): "2:spinnaker1_microcircuit.synop_all_in_2019",
    ("spinnaker1", "point", "synop_2018"): "2:spinnaker1_microcircuit.synop_all_in_2018",
    ("spinnaker1", "point", "chip_at_most"): "1:spinnaker1.chip_power_max",
    **of_table("spinnaker2-prototype", "price", "1:spinnaker2", "synop neuron_update"),
    ("spinnaker2-prototype", "point", "keywords"): "2:spinnaker2_prototype.keywords",
    **of_table(
        "spinnaker2", "point", "2:spinnaker2_chip",
        "cores_off sleeping_05 sleeping_08 coremark_05 coremark_08 cycle_05 cycle_08 int8_mac_05 int8_mac_08",
    ),
    ("spinnaker2", "point", "chip_brochure"): "1:spinnaker2.chip_power",
    ("darwin3", "price", "synop"): "2:darwin3.synop",
    ("syntiant-ndp120", "point", "int8_mac"): "2:ndp120.int8_mac",
    **of_table(
        "cmos22-yan2026", "price", "2:cmos22_yan_v4",
        dict.fromkeys(("accumulate", "integrate", "compare", "subtract"), "accumulate"),
    ),
    **of_table("cmos45-horowitz", "operation", "1:cmos45_horowitz", FLOATS | INTEGERS),
    **of_table("cmos45-memory", "operation", "1:cmos45_horowitz", FLOATS | INTEGERS),
    **of_table(
        "cmos45-memory", "memory", "1:cmos45_horowitz",
        {f"cache_{size}": f"sram_{size}_64b" for size in ("8kB", "32kB", "1MB")} | {"dram": "dram_64b"},
    ),
    **of_table("cmos7-jouppi", "operation", "2:cmos7_jouppi", FLOATS | INTEGERS),
    **of_table(
        "cmos7-jouppi", "memory", "2:cmos7_jouppi",
        {f"sram_{size}": f"sram_{size}_64b" for size in ("8kB", "32kB", "1MB")} | {"gddr6": "gddr6_64b"},
    ),
    ("cmos28-truenorth-memory", "memory", "sram_to_core"): "2:cmos28_truenorth_memory.sram_to_core",
    **of_table(
        "cmos28-truenorth-memory", "point", "2:cmos28_truenorth_memory", "core_to_core wire to_periphery chip_to_chip"
    ),
    ("akida-akd1000", "point", "typical"): "1:akida_akd1000.power_typ",
    ("loihi2", "point", "static_rails"): "1:loihi2.static_per_chip",
    ("loihi2", "point", "board_cores"): "2:loihi2_board.neurocores",
    ("loihi2", "point", "board_x86"): "2:loihi2_board.x86",
    ("loihi2", "point", "board_static"): "2:loihi2_board.board_static",
    ("loihi2", "point", "pilotnet_lif"): "1:loihi2.pilotnet_lif_total",
    ("loihi2", "point", "pilotnet_lif_dynamic"): "1:loihi2.pilotnet_lif_dynamic",
    ("loihi2", "point", "pilotnet_sdnn"): "1:loihi2.pilotnet_sdnn_total",
    ("loihi2", "point", "keywords_dynamic"): "2:loihi2_keywords.dynamic",
    ("speck", "point", "processor_resting"): "1:speck.processor_resting",
    ("speck", "point", "real_time"): "1:speck.realtime_total_min",
    ("xylo-audio2", "point", "idle"): "1:xylo_audio2.idle",
    ("xylo-audio2", "point", "audio_dynamic"): "1:xylo_audio2.dynamic",
    ("xylo-audio2", "point", "keywords_dynamic"): "1:xylo_audio2.kws_dynamic",
    ("xylo-audio2", "point", "keywords_idle"): "2:xylo_audio2_2.idle_2024",
    ("xylo-audio2", "point", "keywords_dynamic_energy"): "2:xylo_audio2_2.keywords_dynamic",
    ("xylo-audio2", "point", "keywords_energy"): "2:xylo_audio2_2.keywords_active",
}  # fmt: skip

# Figures that the collected files hold in a sentence: where it is, and what it says.
IN_WORDS = {
    ("xylo-audio2", "point", "audio"): ("2:corrections.xylo_2022_total", "542 uW all_in"),
    ("xylo-audio2", "point", "keywords_active"): ("2:corrections.xylo_keywords", "507 uW active"),
    ("odin", "time", "synop"): ("2:corrections.odin_time", "one synop takes 2 clock cycles"),
    ("odin", "clock", "clock"): ("1:odin.synop_all_in", "at 75 MHz"),
    ("truenorth", "step_time", "step_time"): ("2:corrections.truenorth_static", "a tick of 1 ms"),
    ("speck", "point", "nmnist_direct"): ("2:speck1.nmnist", "'direct': 180.0"),
    ("speck", "point", "nmnist_converted"): ("2:speck1.nmnist", "'converted': 141.0"),
    ("speck", "point", "rails_idle"): ("1:speck.idle_rails", "io+ram+logic = 480 uW"),
}

# What a profile says otherwise than the collected figure, on purpose: the field, and why.
DIFFERENT = {
    ("cmos45-memory", "memory", "dram"): {
        "bounds": "the second list gives the whole range, 1.3 to 2.6 nJ; the first its lower end",
    },
    ("odin", "point", "synop"): {"unit": "a point names what it is per: pJ/synop"},
    ("truenorth", "point", "synop"): {"unit": "a point names what it is per: pJ/synop"},
    ("xylo-audio2", "point", "keywords_dynamic"): {"read": "corrected: its Table 2 is quoted"},
    ("spinnaker2-prototype", "price", "neuron_update"): {
        "read": "the second list found the same figure in another text",
    },
}  # fmt: skip

# The first list does not say how a figure was read. Its head: paywalled papers (IEEE Micro, Science, TCAD) were not
# opened. Other figures say in their source where they were read.
READ = {
    "1:loihi1_davies2018": "quoted",
    "1:loihi1_davies2018.static_per_chip": "primary",
    "1:loihi1_sanafe": "data",
    "1:odin": "primary",
    "1:truenorth": "quoted",
    "1:spinnaker1": "quoted1",
    "1:spinnaker1.chip_power_max": "abstract",
    "1:spinnaker2": "quoted1",
    "1:cmos45_horowitz": "quoted1",
    "1:cmos45_horowitz.fp32_add": "quoted",
    "1:cmos45_horowitz.sram_8kB_64b": "quoted",
    "1:akida_akd1000": "quoted1",
    "1:loihi2": "data",
    "1:speck": "abstract",
    "1:xylo_audio2": "quoted1",
    "1:xylo_audio2.kws_dynamic": "abstract",
    # Derived from other figures of the second list: as the least direct of them.
    "2:loihi1_static.x86_idle": "primary",
    "2:spinnaker2_chip.cycle_05": "quoted1",
    "2:spinnaker2_chip.cycle_08": "quoted1",
}

# Ends of a range that come from another source: (low, high), sums of keys.
SANAFE_NEURON = ("1:loihi1_sanafe.neuron_access", "1:loihi1_sanafe.neuron_update")
RANGES = {
    ("loihi1-davies2018", "synop"): (("1:loihi1_davies2018.synop",), ("1:loihi1_sanafe.synop_dense",)),
    ("loihi1-davies2018", "neuron_active"): (SANAFE_NEURON, ("1:loihi1_davies2018.neuron_active",)),
    ("loihi1-davies2018", "neuron_inactive"): (SANAFE_NEURON[:1], ("1:loihi1_davies2018.neuron_inactive",)),
    ("loihi1-sanafe", "synop_dense"): (("1:loihi1_davies2018.synop",), ("1:loihi1_sanafe.synop_dense",)),
    ("loihi1-sanafe", "synop_conv"): (("1:loihi1_davies2018.synop",), ("1:loihi1_sanafe.synop_conv",)),
}


@cache
def document(number):
    return tomllib.loads(FILES[number].read_text(encoding="utf-8"))


def collected(key):
    number, where = key.split(":")
    table, name = where.split(".")
    return document(number)[table][name]


@cache
def content(profile):
    path = resources.files("tdd_deploy.simulator.hardware") / "profiles" / f"{profile}.toml"
    return tomllib.loads(path.read_text(encoding="utf-8"))


def figures():
    """Name every figure of every profile, in the files as they are."""
    for profile in profile_names():
        for kind in KINDS:
            yield from ((profile, kind, name) for name in content(profile).get(kind, {}))
        yield from ((profile, kind, kind) for kind in ("clock", "step_time") if kind in content(profile))


def ours(figure):
    profile, kind, name = figure
    return content(profile)[kind] if kind == name else content(profile)[kind][name]


def bounds(table):
    return table.get("low", table.get("value")), table.get("high", table.get("value"))


def test_every_figure_of_every_profile_was_collected():
    assert set(figures()) == COLLECTED.keys() | IN_WORDS.keys()
    assert not COLLECTED.keys() & IN_WORDS.keys()
    assert COLLECTED.keys() >= DIFFERENT.keys()


@pytest.mark.parametrize("figure", COLLECTED, ids="-".join)
def test_a_figure_is_the_collected_one_or_differs_for_a_reason(figure):
    """Value, unit, scope, confidence and the way it was read; what the collected files leave open is not compared."""
    mine, key = ours(figure), COLLECTED[figure]
    theirs = collected(key)
    different = set()
    of_price = {k: v for k, v in mine.items() if k not in ("low", "high")} if figure[1] == "price" else mine
    if bounds(of_price) != bounds(theirs):
        different.add("bounds")
    if mine["unit"] != theirs["unit"] and f"{mine['unit']}/bit" != theirs["unit"]:
        different.add("unit")
    if "scope" in mine and mine["scope"] != theirs.get("scope", mine["scope"]):
        different.add("scope")
    if mine["confidence"] != {"secondary": "unknown"}.get(theirs["confidence"], theirs["confidence"]):
        different.add("confidence")
    if mine["read"] != theirs.get("read", READ.get(key, READ.get(key.split(".")[0]))):
        different.add("read")
    assert different == set(DIFFERENT.get(figure, ()))


@pytest.mark.parametrize("figure", IN_WORDS, ids="-".join)
def test_a_figure_is_in_a_sentence_of_the_collected_files(figure):
    key, words = IN_WORDS[figure]
    assert words in str(collected(key))
    value = ours(figure)["value"]
    assert f"{value:g}" in words or figure == ("speck", "point", "rails_idle")


def test_the_rails_of_speck_are_a_sum():
    rails = collected("1:speck.idle_rails")
    assert ours(("speck", "point", "rails_idle"))["value"] == pytest.approx(
        sum(rails[k] for k in ("io", "ram", "logic"))
    )


@pytest.mark.parametrize("figure", [each for each in COLLECTED if each[1] == "memory"], ids="-".join)
def test_a_memory_is_as_wide_and_as_large_as_its_name_says(figure):
    """The collected files name a width and a size: sram_8kB_64b."""
    mine, parts = ours(figure), COLLECTED[figure].split(".")[1].split("_")
    if mine["bits"] == 1:
        assert collected(COLLECTED[figure])["unit"].endswith("/bit")
        return
    assert f"{mine['bits']}b" == parts[-1]
    sizes = {8: "8kB", 32: "32kB", 1024: "1MB"}
    assert mine.get("off_chip") or sizes[mine["kilobytes"]] == parts[1]


@pytest.mark.parametrize(("profile", "term"), [each[::2] for each in COLLECTED if each[1] == "price"])
def test_the_ends_of_a_range_are_collected_figures(profile, term):
    key = COLLECTED[profile, "price", term]
    pj = {"fJ": 1e-3, "pJ": 1, "nJ": 1e3}[collected(key)["unit"]]
    (price,) = [price for price in load_profile(profile).prices if price.term == term]
    if (profile, term) == ("spinnaker2-prototype", "synop"):
        conflict = collected("2:spinnaker2_prototype.synop_conflict")
        assert (price.low_pj, price.high_pj) == (1e3 * conflict["low"], 1e3 * conflict["high"])
        return
    low, high = RANGES.get((profile, term), ((key,), (key,)))
    for found, keys in ((price.low_pj, low), (price.high_pj, high)):
        assert found == pytest.approx(pj * sum(collected(k)["value"] for k in keys), rel=1e-12)


def test_a_figure_without_a_source_is_in_no_profile():
    unsourced = {
        f"{number}:{table}.{name}"
        for number in FILES
        for table, entries in document(number).items()
        if isinstance(entries, dict)
        for name, entry in entries.items()
        if isinstance(entry, dict) and entry.get("confidence") == "unsourced"
    }
    assert unsourced
    assert not unsourced & set(COLLECTED.values())
