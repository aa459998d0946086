"""Worst cases against brute force: every input, every spike."""

from itertools import pairwise, product

import numpy as np
import pytest

from tdd_deploy.neurons import IF, I, LoihiLIF
from tdd_deploy.program import Conv, Dense, Edge, Flatten, Input, NeuronLayer, Output, Pool, Scale, build
from tdd_deploy.program.apply import apply
from tdd_deploy.program.bounds import worst_case_sums, wrapping_layers

NEURON = IF(v_threshold=np.array(1.0), v_reset=np.array(0.0))


def loihi(du=4095):
    numbers = {"v_threshold": 64, "v_reset": 0, "du": du, "dv": 0, "bias": 0}
    return LoihiLIF(**{name: np.asarray(value) for name, value in numbers.items()})


def chain(*nodes, number_format="float64", more=(), edges=()):
    links = [Edge(a.name, b.name) for a, b in pairwise(nodes)]
    return build([*nodes, *more], [*links, *edges], dt_s=1e-3, n_steps=1, number_format=number_format)


def layer(name, *shape, neuron=NEURON):
    return NeuronLayer(name=name, shape=shape, neuron=neuron)


MAPS = {
    "dense": (Dense(name="map", weight=np.array([[1, -2, 0, 3], [0, 0, 0, 0]])), (4,)),
    "dense with bias": (Dense(name="map", weight=np.array([[1, -2], [3, 3]]), bias=np.array([5, -7])), (2,)),
    "conv": (Conv(name="map", weight=np.array([[[[1, -2], [3, 0]]]]), padding=(1, 0)), (1, 2, 3)),
    "grouped conv": (Conv(name="map", weight=np.array([[[[1, -1]]], [[[2, 4]]]]), groups=2), (2, 1, 3)),
    "strided, dilated": (Conv(name="map", weight=np.full((1, 1, 2, 2), -1), stride=(2, 1), dilation=(1, 2)), (1, 2, 3)),
    "sum": (Pool(name="map", kernel=(2, 2), stride=(1, 1), padding=(1, 0)), (1, 2, 3)),
    "average": (Pool(name="map", kernel=(2, 2), stride=(1, 1), average=True), (1, 2, 3)),
    "scale": (Scale(name="map", factor=np.array([2, -3, 0])), (3,)),
    "flatten": (Flatten(name="map"), (1, 2, 2)),
}


@pytest.mark.parametrize("kind", MAPS)
def test_no_change_of_spikes_exceeds_the_bound_and_some_reaches_it(kind):
    node, shape = MAPS[kind]
    program = chain(Input(name="in", shape=shape), node, Output(name="out"))
    bound = worst_case_sums(program)["map"]
    changes = np.array(list(product([-1.0, 0.0, 1.0], repeat=int(np.prod(shape))))).reshape(-1, *shape)
    largest = np.abs(apply(program["map"], changes)).max(axis=0)
    np.testing.assert_array_equal(largest, bound)


@pytest.mark.parametrize("seed", range(5))
def test_no_spikes_exceed_the_bound_and_of_one_sign_they_reach_it(seed):
    rng = np.random.default_rng(seed)
    weight = rng.integers(-9, 10, (4, 6))
    weight[0], weight[1] = np.abs(weight[0]), -np.abs(weight[1])
    program = chain(Input(name="in", shape=(6,)), Dense(name="map", weight=weight), Output(name="out"))
    bound = worst_case_sums(program)["out"]
    spikes = np.array(list(product([0, 1], repeat=6)))
    largest = np.abs(spikes @ weight.T).max(axis=0)
    assert np.all(largest <= bound)
    assert largest[:2].tolist() == bound[:2].tolist()


def test_branches_and_recurrent_edges_add_up():
    nodes = Input(name="in", shape=(2,)), Dense(name="a", weight=np.array([[1, -2]])), layer("n", 1), Output(name="out")
    more = Dense(name="b", weight=np.array([[4, 0]])), Dense(name="back", weight=np.array([[-8]]))
    edges = Edge("in", "b"), Edge("b", "n"), Edge("n", "back", 1), Edge("back", "n")
    sums = worst_case_sums(chain(*nodes, more=more, edges=edges))
    assert {name: total.tolist() for name, total in sums.items()} == {
        "a": [3], "b": [4], "back": [8], "n": [15], "out": [1]
    }  # fmt: skip


def test_the_largest_input_is_the_programs_unless_it_is_given():
    nodes = Input(name="in", shape=(2,), largest=256), Dense(name="a", weight=np.array([[1, -2]])), Output(name="out")
    program = chain(*nodes, number_format="integer")
    assert worst_case_sums(program)["out"].tolist() == [768]
    assert worst_case_sums(program, largest_input=0.5)["out"].tolist() == [1.5]


def test_what_stands_behind_a_potential_has_no_bound_even_behind_a_weight_of_zero():
    nodes = Input(name="in", shape=(2,)), layer("i", 2, neuron=I()), Dense(name="a", weight=np.eye(2))
    sums = worst_case_sums(chain(*nodes, Output(name="out")))
    assert sums["i"].tolist() == [1, 1]
    assert sums["a"].tolist() == sums["out"].tolist() == [np.inf, np.inf]


@pytest.mark.parametrize(("weight", "du", "wraps"), [(131_071, 4095, ()), (131_072, 4095, ("n",)), (1, 4094, ("n",))])
def test_a_layer_wraps_by_its_sums_or_by_its_memory(weight, du, wraps):
    nodes = Input(name="in", shape=(1,)), Dense(name="a", weight=np.array([[weight]]))
    program = chain(*nodes, layer("n", 1, neuron=loihi(du)), Output(name="out"), number_format="integer")
    assert wrapping_layers(program) == wraps


def test_floats_do_not_wrap():
    assert wrapping_layers(chain(Input(name="in", shape=(1,)), layer("n", 1), Output(name="out"))) == ()
