from itertools import pairwise

import numpy as np

from tdd_deploy.neurons import IF
from tdd_deploy.program import Conv, Dense, Edge, Flatten, Input, NeuronLayer, Output, Pool, Scale, build
from tdd_deploy.program.biases import currents_of_biases

NEURON = IF(v_threshold=np.array(1.0), v_reset=np.array(0.0))


def currents(nodes, edges):
    program = build(nodes, edges, dt_s=1e-3, n_steps=1)
    return {name: current.tolist() for name, current in currents_of_biases(program).items()}


def chain(*nodes):
    return currents(nodes, [Edge(a.name, b.name) for a, b in pairwise(nodes)])


def test_a_bias_passes_all_maps_behind_it():
    # 1, 2; [1 1] . + 4 = 7; times 3 = 21
    found = chain(
        Input(name="in", shape=(1,)),
        Dense(name="a", weight=np.ones((2, 1)), bias=np.array([1, 2])),
        Dense(name="b", weight=np.ones((1, 2)), bias=np.array([4])),
        Scale(name="c", factor=np.array(3.0)),
        Output(name="out"),
    )
    assert found == {"in": [0], "a": [1, 2], "b": [7], "c": [21], "out": [21]}


def test_pools_and_convolutions_see_the_zeros_of_their_padding():
    # the bias 2 on 1 x 2 pixels, padded with one column on each side: sums 2, 4, 2; halves 1, 2, 1
    found = chain(
        Input(name="in", shape=(1, 1, 2)),
        Conv(name="a", weight=np.zeros((1, 1, 1, 1)), bias=np.array([2])),
        Pool(name="p", kernel=(1, 2), stride=(1, 1), padding=(0, 1), average=True),
        Flatten(name="f"),
        Output(name="out"),
    )
    assert found["a"] == [[[2, 2]]]
    assert found["out"] == [1, 2, 1]


def test_branches_add_up_and_neurons_stop_what_arrives():
    nodes = [
        Input(name="in", shape=(1,)),
        Dense(name="a", weight=np.ones((1, 1)), bias=np.array([1])),
        Dense(name="b", weight=np.ones((1, 1)), bias=np.array([2])),
        NeuronLayer(name="n", shape=(1,), neuron=NEURON),
        Dense(name="back", weight=np.ones((1, 1)), bias=np.array([8])),
        Output(name="out"),
    ]
    edges = [Edge("in", "a"), Edge("in", "b"), Edge("a", "n"), Edge("b", "n"), Edge("n", "back", 1), Edge("back", "n")]
    found = currents(nodes, [*edges, Edge("n", "out")])
    assert found["n"] == [11]  # also after the delay
    assert found["out"] == [0]
