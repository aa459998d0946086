import pytest

from tdd_deploy.errors import BadFile, BadOption, BadProfile
from tdd_deploy.simulator.hardware.chips import LIMITS, SHARING, SPIKES, chip_names, load_chip
from tdd_deploy.simulator.hardware.schema import CONFIDENCES


@pytest.mark.parametrize("name", chip_names())
def test_every_chip_of_the_package_loads_under_its_name_and_says_what_it_leaves_open(name):
    chip = load_chip(name)
    assert chip.name == name
    assert chip.title
    assert chip.remark
    assert chip.not_checked
    assert all(chip.not_checked)


@pytest.mark.parametrize("name", chip_names())
def test_every_figure_of_a_chip_has_a_source(name):
    chip = load_chip(name)
    assert chip.limits
    for limit in chip.limits.values():
        assert limit.value >= 1
        assert limit.source
        assert limit.confidence in CONFIDENCES
    parts = [chip.synapses, chip.spikes, *([chip.mesh] if chip.mesh else []), *([chip.neurons] if chip.neurons else [])]
    assert all(part.source for part in parts)


@pytest.mark.parametrize("name", chip_names())
def test_the_mesh_of_a_chip_has_a_place_for_each_core(name):
    chip = load_chip(name)
    assert chip.mesh is not None
    assert chip.mesh.columns * chip.mesh.rows * chip.mesh.cores_per_tile == chip.limit("cores")


def test_a_limit_that_nothing_is_published_of_is_none():
    assert load_chip("loihi2").limit("axons_in") is None
    assert load_chip("loihi1").limit("axons_in") == 4096


GOOD = """
schema = 1
name = "mine"
title = "My chip"
remark = "A sketch."
not_checked = ["the radio"]
[limit.neurons]
value = 100
unit = "neuron"
confidence = "vendor"
source = "brochure"
[mesh]
columns = 3
rows = 2
cores_per_tile = 5
source = "floor plan"
[synapses]
sharing = "pixels"
entry_synapses = 7
source = "my lab"
[spikes]
kind = "graded"
bits = 4
source = "manual"
[neurons]
models = ["IF", "LoihiLIF"]
resets = ["soft"]
source = "manual, page 2"
"""


def load(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return load_chip(str(path))


def test_a_file_of_ones_own_is_read(tmp_path):
    chip = load(tmp_path, GOOD)
    assert (chip.name, chip.title, chip.remark, chip.not_checked) == ("mine", "My chip", "A sketch.", ("the radio",))
    (limit,) = chip.limits.values()
    assert (limit.name, limit.value, limit.confidence, limit.source) == ("neurons", 100, "vendor", "brochure")
    assert limit.what == "neurons per core"
    assert (chip.mesh.columns, chip.mesh.rows, chip.mesh.cores_per_tile, chip.mesh.source) == (3, 2, 5, "floor plan")
    assert (chip.synapses.sharing, chip.synapses.entry_synapses, chip.synapses.source) == ("pixels", 7, "my lab")
    assert (chip.spikes.kind, chip.spikes.bits, chip.spikes.source) == ("graded", 4, "manual")
    assert (chip.neurons.models, chip.neurons.resets) == (("IF", "LoihiLIF"), ("soft",))
    assert chip.neurons.source == "manual, page 2"


def test_without_a_form_of_entries_a_synapse_takes_the_bits_of_its_weight(tmp_path):
    synapses = load(tmp_path, GOOD.replace("entry_synapses = 7\n", "")).synapses
    assert (synapses.entry_synapses, synapses.entry_bits, synapses.word_bits) == (1, 0, 1)


def test_a_chip_may_have_no_mesh_and_programmable_neurons(tmp_path):
    without_neurons = GOOD[: GOOD.index("[neurons]")]
    start, end = without_neurons.index("[mesh]"), without_neurons.index("[synapses]")
    chip = load(tmp_path, without_neurons[:start] + without_neurons[end:])
    assert (chip.mesh, chip.neurons) == (None, None)


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        # unknown keys
        ("schema = 1", "schema = 1\ntitel = 3", "titel is an unknown key; the keys here are schema, name, title"),
        ("schema = 1", "schema = 1\ntitel = 3", "Did you mean title?"),
        (
            "value = 100", "value = 100\nvalues = 3",
            "limit.neurons.values is an unknown key; the keys here are value, unit",
        ),
        (
            "[limit.neurons]", "[limit.neuron]",
            "limit.neuron is an unknown key; the keys here are cores, neurons, synapse_bits",
        ),
        ("[limit.neurons]", "[limit.neuron]", "Did you mean neurons?"),
        (
            "rows = 2", "rows = 2\nrow = 2",
            "mesh.row is an unknown key; the keys here are columns, rows, cores_per_tile, source",
        ),
        ("entry_synapses = 7", "entry_synapse = 7", "Did you mean entry_synapses?"),
        ('kind = "graded"', 'kind = "graded"\nsort = 1', "spikes.sort is an unknown key"),
        ('resets = ["soft"]', 'resets = ["soft"]\nmodel = 1', "Did you mean models?"),
        # missing keys
        ("schema = 1\n", "", "schema is missing. Give 1."),
        ('title = "My chip"\n', "", "title is missing. Give a text that is not empty."),
        ('not_checked = ["the radio"]\n', "", "not_checked is missing. Give a list of texts that is not empty."),
        ("value = 100\n", "", "limit.neurons.value is missing. Give a whole number, 1 or more."),
        ('unit = "neuron"\n', "", "limit.neurons.unit is missing. Give neuron."),
        ('confidence = "vendor"\n', "", "limit.neurons.confidence is missing. Give one of measured"),
        ('source = "brochure"\n', "", "limit.neurons.source is missing. Give a text that is not empty."),
        ('source = "floor plan"\n', "", "mesh.source is missing"),
        ('source = "my lab"\n', "", "synapses.source is missing"),
        ('source = "manual"\n', "", "spikes.source is missing"),
        ('source = "manual, page 2"\n', "", "neurons.source is missing"),
        ("rows = 2\n", "", "mesh.rows is missing. Give a whole number, 1 or more."),
        ('sharing = "pixels"\n', "", "synapses.sharing is missing. Give one of none, pixels, kernels."),
        ("bits = 4\n", "", "spikes.bits is missing. Give a whole number, 0 or more."),
        # wrong values
        ("schema = 1", "schema = 2", "schema must be 1 (got 2)."),
        ('unit = "neuron"', 'unit = "core"', "limit.neurons.unit must be neuron (got 'core')."),
        ('unit = "neuron"', 'unit = "neurons"', "limit.neurons.unit must be neuron (got 'neurons')."),
        ("value = 100", "value = 0", "limit.neurons.value must be a whole number, 1 or more (got 0)."),
        ("value = 100", "value = -1", "limit.neurons.value must be a whole number, 1 or more (got -1)."),
        ("value = 100", "value = 1e2", "limit.neurons.value must be a whole number, 1 or more (got 100.0)."),
        ("value = 100", "value = true", "limit.neurons.value must be a whole number, 1 or more (got True)."),
        ("value = 100", 'value = "100"', "limit.neurons.value must be a whole number, 1 or more (got '100')."),
        ("value = 100", "value = [100]", "limit.neurons.value must be a whole number, 1 or more (got [100])."),
        (
            'confidence = "vendor"', 'confidence = "sure"',
            "limit.neurons.confidence must be one of measured ... (got 'sure').",
        ),
        ("rows = 2", "rows = 0", "mesh.rows must be a whole number, 1 or more (got 0)."),
        ("cores_per_tile = 5", "cores_per_tile = 0", "mesh.cores_per_tile must be a whole number, 1 or more (got 0)."),
        (
            "entry_synapses = 7", "entry_synapses = 0",
            "synapses.entry_synapses must be a whole number, 1 or more (got 0).",
        ),
        ("entry_synapses = 7", "word_bits = 0", "synapses.word_bits must be a whole number, 1 or more (got 0)."),
        (
            'sharing = "pixels"', 'sharing = "pixel"',
            "synapses.sharing must be one of none, pixels, kernels (got 'pixel').",
        ),
        ('kind = "graded"', 'kind = "analog"', "spikes.kind must be one of binary, graded (got 'analog')."),
        (
            '["IF", "LoihiLIF"]', '["IF", "Lif"]',
            "neurons.models must be some of IF, LIF, CubaLIF ... (got ['IF', 'Lif']).",
        ),
        ('["IF", "LoihiLIF"]', "[]", "neurons.models must be some of IF, LIF, CubaLIF ... (got [])."),
        ('["soft"]', '["zero"]', "neurons.resets must be some of hard, soft (got ['zero'])."),
        ('["soft"]', "[]", "neurons.resets must be some of hard, soft (got [])."),
        ('["the radio"]', "[]", "not_checked must be a list of texts that is not empty (got [])."),
        ('["the radio"]', '[""]', "not_checked must be a list of texts that is not empty (got [''])."),
        ('["the radio"]', '"the radio"', "not_checked must be a list of texts that is not empty (got 'the radio')."),
        # tables that are none
        ("[limit.neurons]", "[limits.neurons]", "limit is missing. Give a table that is not empty."),
        ("[limit.neurons]", "[limit.neurons.core]", "limit.neurons.value is missing"),
        ("[mesh]", "[[mesh]]", "mesh must be a table ... (got [{"),
        ("schema = 1", "schema = 1\nlimit.cores = 3", "limit.cores must be a table that is not empty (got 3)."),
    ],
)  # fmt: skip
def test_a_damaged_chip_is_refused_by_its_key(tmp_path, old, new, text):
    assert old in GOOD
    with pytest.raises(BadProfile) as caught:
        load(tmp_path, GOOD.replace(old, new, 1))
    for part in text.split(" ... "):
        assert part in str(caught.value)


@pytest.mark.parametrize("name", LIMITS)
def test_every_limit_is_given_in_its_own_unit(tmp_path, name):
    text = GOOD.replace("[limit.neurons]", f"[limit.{name}]").replace('"neuron"', f'"{LIMITS[name][1]}"')
    assert load(tmp_path, text).limit(name) == 100


@pytest.mark.parametrize(("key", "words"), [("sharing", SHARING), ("kind", SPIKES)])
def test_every_word_of_the_form_is_accepted(tmp_path, key, words):
    for word in words:
        old = {"sharing": '"pixels"', "kind": '"graded"'}[key]
        chip = load(tmp_path, GOOD.replace(f"{key} = {old}", f'{key} = "{word}"'))
        assert word in (chip.synapses.sharing, chip.spikes.kind)


def test_all_violations_of_a_chip_are_reported_at_once(tmp_path):
    bad = GOOD.replace("value = 100", "value = 0").replace('source = "brochure"\n', "").replace('"pixels"', '"all"')
    bad = bad.replace("schema = 1", "schema = 1\nzebra = 1").replace('title = "My chip"\n', "")
    with pytest.raises(BadProfile) as caught:
        load(tmp_path, bad)
    assert [violation.where for violation in caught.value.violations] == [
        "zebra",
        "title",
        "synapses.sharing",
        "limit.neurons.value",
        "limit.neurons.source",
    ]
    assert str(caught.value).startswith(f"chip {tmp_path / 'mine.toml'} (5 found):")


@pytest.mark.parametrize(
    ("name", "near"), [("loihi", "loihi1 or loihi2"), ("lohi1", "loihi1"), ("truenort", "truenorth")]
)
def test_an_unknown_chip_is_answered_with_the_nearest(name, near):
    with pytest.raises(BadOption) as caught:
        load_chip(name)
    known = ", ".join(chip_names())
    assert str(caught.value) == (
        f"chip must be {known}, or a path to a .toml file (got '{name}'). Did you mean {near}?"
    )


def test_a_chip_that_nothing_resembles_is_answered_with_all():
    for name in ("xyz", ""):
        with pytest.raises(
            BadOption, match=rf"^chip must be loihi1, loihi2, truenorth, or a path .* \(got '{name}'\)\.$"
        ):
            load_chip(name)


def test_a_missing_file_of_a_chip_is_named(tmp_path):
    with pytest.raises(BadFile, match=r"none\.toml is missing\. Name one of the chips .* or a \.toml file"):
        load_chip(str(tmp_path / "none.toml"))


def test_a_file_of_a_chip_that_is_not_text_or_not_toml_is_named(tmp_path):
    path = tmp_path / "a.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadFile, match="not a text file"):
        load_chip(str(path))
    path.write_text("a = = 1")
    with pytest.raises(BadFile, match="is not TOML"):
        load_chip(str(path))
