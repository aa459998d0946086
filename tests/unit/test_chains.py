from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from tdd_deploy.neurons import LIF, CubaLIF
from tdd_deploy.program import Conv, Dense, Edge, Flatten, Input, NeuronLayer, Output, Pool, build
from tdd_deploy.simulator.engine.engine import Engine
from tdd_deploy.simulator.hardware.chains import chain_of, obstacles
from tests import by_hand
from tests.zoo import Given


def neurons(name, shape, kind=LIF, **more):
    given = {"beta": np.array(0.5), "v_threshold": np.array(1.0), "v_reset": np.array(0.0), **more}
    return NeuronLayer(name=name, shape=shape, neuron=kind(**given))


INPUT, OUT = Input(name="input", shape=(1, 4, 4)), Output(name="out")
CONV = Conv(name="conv", weight=np.ones((2, 1, 3, 3)), bias=np.zeros(2), padding=(1, 1))
N1 = neurons("n1", (2, 4, 4))
FC = Dense(name="fc", weight=np.ones((3, 32)))
FLAT = Flatten(name="flat")
NODES = (INPUT, CONV, N1, FLAT, FC, OUT)


def program(*nodes, more=(), delay=0):
    edges = [Edge(a.name, b.name, delay if isinstance(a, NeuronLayer) else 0) for a, b in pairwise(nodes)]
    return build(nodes, [*edges, *more], dt_s=1e-3, n_steps=2)


def test_a_chain_is_read_with_its_means():
    inputs = np.zeros((2, 1, 1, 4, 4))
    inputs[:, :, 0, 0, 0] = 1  # a corner: 2 x 2 places of both channels, each with a current of 1
    made = program(*NODES)
    assert list(obstacles(made)) == []
    trace = Engine(made).run(Given(inputs), n_steps=2).trace
    conv, fc = (chain := chain_of(made, trace, has_spike_input=True)).stages
    assert chain.n_steps == 2
    assert (conv.n_in, conv.n_out, conv.events, conv.weight_uses, conv.spikes) == (16, 32, 2, 16, 8)
    assert (conv.taps, conv.fan_out, conv.macs, conv.biases, conv.n_neurons) == (9, 18, 288, 32, 32)
    assert (conv.is_graded, conv.is_leaky) == (False, True)
    assert (fc.n_in, fc.n_out, fc.events, fc.weight_uses, fc.spikes) == (32, 3, 8, 24, 0)
    assert (fc.taps, fc.fan_out, fc.macs, fc.biases, fc.n_neurons, fc.is_leaky) == (1, 3, 96, 0, 0, False)


def test_grey_values_and_what_the_data_say_make_the_first_map_graded():
    made = by_hand.program()
    trace = by_hand.result().trace
    spikes = Engine(made).run(Given(by_hand.INPUTS[:, :1]), n_steps=3).trace
    for found, has_spike_input, graded in ((trace, True, True), (spikes, True, False), (spikes, False, True)):
        first, second = chain_of(made, found, has_spike_input=has_spike_input).stages
        assert (first.is_graded, second.is_graded) == (graded, False)


def test_samples_that_end_early_have_fewer_steps():
    trace = by_hand.result().trace
    shorter = replace(trace, n_running=np.array([2, 1, 0]))
    assert chain_of(by_hand.program(), shorter, has_spike_input=True).n_steps == 1.5


@pytest.mark.parametrize(
    ("nodes", "given", "reason"),
    [
        (NODES, {"delay": 1}, "the edge into flat is delayed"),
        (
            (INPUT, CONV, N1, Pool(name="pool", kernel=(1, 1), stride=(1, 1)), FLAT, FC, OUT),
            {},
            "pool is a Pool",
        ),
        ((*NODES[:-1], Dense(name="fc2", weight=np.ones((1, 3))), OUT), {}, "fc2 receives the sums of another map"),
        (
            (INPUT, CONV, neurons("n1", (2, 4, 4), CubaLIF, alpha=np.array(0.5)), FLAT, FC, OUT),
            {},
            "n1 has CubaLIF neurons",
        ),
        ((INPUT, neurons("n0", (1, 4, 4)), CONV, N1, FLAT, FC, OUT), {}, "n0 has no weights before it"),
        (
            (INPUT, Conv(name="conv", weight=np.ones((2, 1, 3, 3)), padding=(1, 1), evened=(1, 0, 0, 0)), *NODES[2:]),
            {},
            "conv is padded unevenly",
        ),
        (
            (INPUT, CONV, N1, FLAT, FC, neurons("n2", (3,)), OUT),
            {"more": [Edge("n1", "n1", 1)]},
            "n1 has several edges into it or out of it",
        ),
    ],
)
def test_what_makes_a_program_no_chain(nodes, given, reason):
    assert next(obstacles(program(*nodes, **given))) == reason
