"""Worst cases against brute force: every input, every spike."""

from itertools import pairwise, product

import numpy as np
import pytest

from tdd_deploy.errors import BadProgram
from tdd_deploy.neurons import IF, LIF, CubaLI, CubaLIF, I, LavaSigmaDelta, LoihiLIF, SigmaDelta, Threshold, VariantLIF
from tdd_deploy.program import Conv, Dense, Edge, Flatten, Input, NeuronLayer, Output, Pool, Scale, build
from tdd_deploy.program.apply import apply
from tdd_deploy.program.bounds import (
    MOST_STEPS,
    largest_finite,
    largest_input,
    largest_numbers,
    worst_case_sums,
    wrapping_layers,
)
from tdd_deploy.simulator import reference
from tdd_deploy.simulator.engine.engine import Engine
from tests.zoo import Given, grow

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


# Floats: the largest numbers, for spikes and inputs of 1


@pytest.mark.parametrize("kind", MAPS)
def test_the_largest_number_of_a_map_is_the_largest_worst_case_of_its_sums(kind):
    node, shape = MAPS[kind]
    program = chain(Input(name="in", shape=shape), node, Output(name="out"))
    windows = 4 if kind == "average" else 1  # values are summed before the division
    assert largest_numbers(program)["map"] == largest_numbers(program)["out"]
    assert largest_numbers(program)["map"] == windows * worst_case_sums(program)["map"].max()


def parameters(**values):
    return {name: np.asarray(value) for name, value in values.items()}


FIRES = parameters(v_threshold=8.0, v_reset=0.5)
LARGEST = {  # of a current up to 3, by hand
    "no memory": (Threshold(v_threshold=np.array(1.0)), 3),
    "hard reset": (LIF(beta=np.array(0.75), **FIRES), 3 * 4 + 0.5),
    "soft reset": (LIF(beta=np.array(0.75), reset="soft", **FIRES), (3 + 8) * 4 + 0.5),
    "no leak": (I(), 3 * MOST_STEPS),
    "a leak too small": (LIF(beta=np.array(1 - 2.0**-30), **FIRES), 3 * MOST_STEPS + 0.5),
    "current-based": (CubaLIF(alpha=np.array(0.5), beta=np.array(0.75), **FIRES), 3 * 2 * 4 + 0.5),
    "integrates": (CubaLI(alpha=np.array(0.5), beta=np.array(0.75)), 3 * 2 * 4),
    "changes": (SigmaDelta(delta_threshold=np.array(1.0)), 3),
    "lava's changes": (
        LavaSigmaDelta(delta_threshold=np.array(1.0), grid=np.array(0.5), bias=np.array(-5.0)),
        3 + 5,
    ),
    "many spikes": (
        VariantLIF(
            alpha=np.array(0.0), beta=np.array(0.5), spikes="many", v_threshold=np.array(0.125), v_reset=np.array(0.0)
        ),
        3 * 2 * 8,
    ),
    "a lowest potential": (
        VariantLIF(alpha=np.array(0.0), beta=np.array(0.5), v_min=np.array(-7.0), **FIRES),
        3 * 2 + 0.5 + 7,
    ),
}


@pytest.mark.parametrize("kind", LARGEST)
def test_the_largest_number_of_a_layer_follows_from_its_current_and_what_it_keeps(kind):
    neuron, expected = LARGEST[kind]
    fc = Dense(name="fc", weight=np.array([[1.0, -2.0]]))
    program = chain(Input(name="in", shape=(2,)), fc, layer("n", 1, neuron=neuron), Output(name="out"))
    assert largest_numbers(program)["n"] == expected


def test_as_many_spikes_as_there_are_thresholds_of_0_are_refused():
    nothing = parameters(alpha=0.0, beta=0.5, v_threshold=[1.0, 0.0], v_reset=0.0)
    fc, fires = Dense(name="fc", weight=np.eye(2)), VariantLIF(spikes="many", **nothing)
    with pytest.raises(BadProgram, match=r"n can reach inf .*or larger thresholds"):
        chain(Input(name="in", shape=(2,)), fc, layer("n", 2, neuron=fires), Output(name="out"))


def test_no_potential_of_a_random_program_exceeds_the_bound():
    n_compared = 0
    for seed in range(60):
        case = grow(seed, n_blocks=2, n_steps=6, batch=3, spatial=bool(seed % 2))
        potentials = {}
        reference.run(case.program, (case.inputs > 0).astype(case.inputs.dtype), potentials=potentials)
        largest = largest_numbers(case.program)
        sends_at_most_1 = {case.program.input.name, *(x.name for x in case.program.neuron_layers if x.neuron.binary)}
        for name, values in potentials.items():
            if senders(case.program, name) <= sends_at_most_1:
                assert np.abs(values).max() <= largest[name]
                n_compared += values.size
    assert n_compared > 10_000


def senders(program, name):
    """The input and the layers whose values reach a node through maps."""
    sources = set()
    for edge in program.incoming[name]:
        node = program[edge.source]
        is_sender = isinstance(node, Input | NeuronLayer)
        sources |= {edge.source} if is_sender else senders(program, edge.source)
    return sources


def at_the_limit(total):
    """Weights of both signs, multiples of 2**120, whose magnitudes sum to ``total`` of them in every row."""
    rng = np.random.default_rng(0)
    signs = rng.choice([-1.0, 1.0], (16, total))
    fc = Dense(name="fc", weight=signs * 2.0**120)
    fires = Threshold(v_threshold=np.array(2.0**121))
    return [Input(name="in", shape=(total,)), fc, layer("n", 16, neuron=fires), Output(name="out")]


def test_just_below_the_limit_all_backends_agree_and_just_above_it_is_refused():
    program = chain(*at_the_limit(127), number_format="float32")
    inputs = (np.random.default_rng(1).random((8, 50, 127)) < 0.5).astype(np.float32)
    potentials = {}
    sent = reference.run(program, inputs, potentials=potentials)
    assert np.isfinite(potentials["n"]).all()
    assert 0 < sent["out"].mean() < 1
    for compiled in (False, True):
        result = Engine(program, compiled=compiled, potentials=["n"]).run(Given(inputs), n_steps=8)
        np.testing.assert_array_equal(result.output, sent["out"].swapaxes(0, 1))
        np.testing.assert_array_equal(result.potentials["n"], potentials["n"].swapaxes(0, 1))
    with pytest.raises(BadProgram, match=r"fc can reach 1\.70141e.* from spikes or inputs of 1"):
        chain(*at_the_limit(128), number_format="float32")
    assert chain(*at_the_limit(128), number_format="float64")


def test_inputs_may_be_large_as_long_as_sums_stay_finite():
    program = chain(*at_the_limit(16), number_format="float32")
    assert largest_input(program) == largest_finite(program) / (16 * 2.0**120)
