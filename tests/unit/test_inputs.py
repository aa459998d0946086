from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from tdd_deploy import export
from tdd_deploy import load as read_program
from tdd_deploy.errors import BadData
from tdd_deploy.exporters.nir.write import write
from tdd_deploy.neurons import IF
from tdd_deploy.program import Dense, Edge, Input, NeuronLayer, Output, build
from tdd_deploy.program.inputs import as_input, input_kind

LAYER = NeuronLayer(name="n", shape=(1,), neuron=IF(v_threshold=np.array(1.0), v_reset=np.array(0.0)))


def program(number_format="integer", encoder="direct", **border):
    nodes = Input(name="in", shape=(1,), **border), Output(name="out")
    return build(nodes, [Edge("in", "out")], dt_s=1e-3, n_steps=1, number_format=number_format, encoder=encoder)


def test_values_are_scaled_and_rounded_halves_to_even():
    values = np.array([0.0, 0.125, 0.375, 0.625, -0.375, 1.0, -1.0], np.float32)
    found = as_input(program(scale=4.0, largest=4), values)
    assert found.tolist() == [0, 0, 2, 2, -2, 4, -4]  # of 0, 0.5, 1.5, 2.5, -1.5, 4, -4
    assert found.dtype == np.int32


def test_what_rounds_to_the_largest_is_taken():
    assert as_input(program(scale=4.0, largest=4), np.array([1.124])).tolist() == [4]


@pytest.mark.parametrize(("value", "found"), [(1.126, "1.126"), (-2.0, "-2"), (np.nan, "nan"), (-np.inf, "-inf")])
def test_what_the_integers_cannot_hold_is_refused(value, found):
    with pytest.raises(BadData) as refused:
        as_input(program(scale=4.0, largest=4), np.array([0.5, value]))
    expected = f"a value must be in the range of the program's integers, -1 to 1 (got {found})."
    assert expected in str(refused.value)


@pytest.mark.parametrize(
    ("provenance", "encoder", "value", "advice"),
    [
        ({"quantized_from": "abc"}, "direct", 2.0, "export the network again with `bits` and `data`"),
        # Data do not set the range of spikes.
        ({"quantized_from": "abc"}, "poisson", 2.0, "Scale values down with `input_scale`."),
        ({"dialect": "lava-dl"}, "direct", 2.0, "Scale values down with `input_scale`."),
        ({"quantized_from": "abc"}, "direct", np.nan, "Replace NaN and infinite values."),
    ],
)
def test_the_advice_fits_the_file(provenance, encoder, value, advice):
    given = replace(program(scale=4.0, largest=4), provenance=provenance, encoder=encoder)
    with pytest.raises(BadData) as refused:
        as_input(given, np.array([value]))
    (violation,) = refused.value.violations
    assert advice in violation.remedy
    assert ("export" in violation.remedy) == ("export" in advice)


def test_inputs_as_large_as_those_that_a_network_was_quantized_for_are_taken(tmp_path):
    """The advice helps: an export with such data."""
    nodes = Input(name="in", shape=(1,)), Dense(name="fc", weight=np.ones((1, 1))), LAYER, Output(name="out")
    floats = build(nodes, [Edge(a.name, b.name) for a, b in pairwise(nodes)], dt_s=1e-3, n_steps=1)
    write(floats, tmp_path / "floats.nir")
    np.savez(tmp_path / "x.npz", x=np.full((4, 1), 3.0, np.float32))
    export(tmp_path / "floats.nir", target="nir", out=tmp_path / "narrow.nir", bits=8)
    narrow = read_program(tmp_path / "narrow.nir")
    with pytest.raises(BadData, match="export the network again with bits and data"):
        as_input(narrow, np.full((4, 1), 3.0))
    export(tmp_path / "floats.nir", target="nir", out=tmp_path / "wide.nir", bits=8, data=str(tmp_path / "x.npz"))
    wide = read_program(tmp_path / "wide.nir")
    assert as_input(wide, np.full((4, 1), 3.0)).tolist() == [[round(3 * wide.input.scale)]] * 4


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float64])
def test_spikes_of_any_type_are_integers(dtype):
    found = as_input(program(), np.array([0, 1], dtype))
    assert (found.tolist(), found.dtype) == ([0, 1], np.int32)


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({"number_format": "float32"}, "unknown"),
        ({"number_format": "float32", "encoder": "poisson"}, "spikes"),
        ({"scale": 4.0, "largest": 4, "encoder": "poisson"}, "spikes"),
        ({}, "spikes"),
        ({"largest": 2}, "numbers"),
        ({"scale": 4.0, "largest": 4}, "numbers"),
    ],
)
def test_the_kind_of_an_input_is_known_for_integers_and_for_drawn_spikes(given, kind):
    assert input_kind(program(**given)) == kind


def test_a_program_of_floats_takes_values_as_they_are():
    values = np.array([0.1, 1e9], np.float32)
    assert as_input(program("float32"), values) is values
    assert as_input(program("float64"), values).dtype == np.float64
