"""What a conversion to integers would lose is refused, never done."""

from itertools import pairwise

import numpy as np
import pytest

from tdd_deploy.errors import BadProgram, Violation
from tdd_deploy.neurons import LoihiLIF
from tdd_deploy.program import Dense, Edge, Input, NeuronLayer, Output, build


def built(weight, *, v_threshold=64, number_format="integer"):
    neuron = LoihiLIF(v_threshold=np.array(v_threshold), **dict.fromkeys(("v_reset", "du", "dv", "bias"), np.array(0)))
    weight = np.array(weight)
    nodes = [
        Input(name="in", shape=(weight.shape[1],)),
        Dense(name="fc", weight=weight),
        NeuronLayer(name="n", shape=(len(weight),), neuron=neuron),
        Output(name="out"),
    ]
    edges = [Edge(a.name, b.name) for a, b in pairwise(nodes)]
    return build(nodes, edges, dt_s=1e-3, n_steps=1, number_format=number_format)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64, np.int8, np.uint16])
def test_whole_numbers_of_any_type_become_32_bits(dtype):
    weight = built(np.array([[2, 100]], dtype))["fc"].weight
    assert (weight.tolist(), weight.dtype, weight.flags.writeable) == ([[2, 100]], np.int32, False)


@pytest.mark.parametrize("value", [0.5, 1e-9, np.nan, np.inf, -np.inf, 2.0**31, -(2.0**31), 1e300])
def test_a_number_that_integers_cannot_hold_is_refused(value):
    with pytest.raises(BadProgram) as caught:
        built([[1.0, value]])
    assert caught.value.violations == (Violation("fc.weight", f"{value}", "an array of whole numbers of 32 bits"),)


def test_a_neurons_numbers_are_looked_at_too_and_all_at_once():
    with pytest.raises(BadProgram) as caught:
        built([[0.25]], v_threshold=63.5)
    assert [str(violation) for violation in caught.value.violations] == [
        "fc.weight must be an array of whole numbers of 32 bits (got 0.25).",
        "n.v_threshold must be an array of whole numbers of 32 bits (got 63.5).",
    ]


def test_an_unknown_number_format_is_named():
    with pytest.raises(BadProgram, match=r"number_format must be float32, float64 or integer \(got 'int8'\)"):
        built([[1.0]], number_format="int8")
