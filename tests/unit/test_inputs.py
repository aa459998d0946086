import numpy as np
import pytest

from tdd_deploy.errors import BadData
from tdd_deploy.program import Edge, Input, Output, build
from tdd_deploy.program.inputs import as_input, input_kind


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
    assert f"a value: {found}; allowed: -1 to 1, what the program's integers hold." in str(refused.value)


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
def test_what_an_input_sends_is_known_of_integers_and_of_drawn_spikes(given, kind):
    assert input_kind(program(**given)) == kind


def test_a_program_of_floats_takes_values_as_they_are():
    values = np.array([0.1, 1e9], np.float32)
    assert as_input(program("float32"), values) is values
    assert as_input(program("float64"), values).dtype == np.float64
