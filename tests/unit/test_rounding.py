from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from tdd_deploy import load as read_program
from tdd_deploy.neurons import IF, LI
from tdd_deploy.program import Conv, Dense, Edge, Flatten, Input, NeuronLayer, Output, Pool, Scale, build
from tdd_deploy.program.rounding import rounding_receivers


def dense(name, weight, bias=None):
    return Dense(name=name, weight=np.array(weight, float), bias=None if bias is None else np.array(bias, float))


def chain(*maps, shape=(2,), encoder="poisson", number_format="float32"):
    nodes = [Input(name="input", shape=shape), *maps, Output(name="output")]
    edges = [Edge(a.name, b.name) for a, b in pairwise(nodes)]
    return build(nodes, edges, dt_s=1e-3, n_steps=2, encoder=encoder, number_format=number_format)


@pytest.mark.parametrize(
    ("maps", "rounds"),
    [
        ([dense("fc", [[0.5, 0.25]])], False),
        ([dense("fc", [[1.0, 2.0**-23]])], False),  # 1 + 2^-23 has 24 bits
        ([dense("fc", [[1.0, 2.0**-24]])], True),  # and this has 25
        ([dense("fc", [[0.5, 0.25]], [2.0**-30])], True),
        ([dense("fc", [[2.0**100, 2.0**80]])], False),  # only the distance counts
        ([dense("fc", [[0.0, 0.0]])], False),
        ([dense("a", [[2.0**-12, 0.0]]), dense("b", [[2.0**-12]]), dense("c", [[3.0]])], False),
        ([dense("a", [[1.0, 2.0**-12]]), dense("b", [[1.0], [2.0**-12]]), dense("c", [[1.0, 1.0]])], True),
        ([Scale(name="s", factor=np.array([1.0, 0.1])), dense("fc", [[1.0, 1.0]])], True),  # 0.1 beside 1
    ],
)
def test_a_current_rounds_when_its_terms_lie_further_apart_than_24_bits(maps, rounds):
    assert rounding_receivers(chain(*maps)) == (("output",) if rounds else ())


def test_float64_holds_53_bits():
    maps = [dense("fc", [[1.0, 2.0**-52]])]
    assert rounding_receivers(chain(*maps, number_format="float64")) == ()
    assert rounding_receivers(chain(dense("fc", [[1.0, 2.0**-53]]), number_format="float64")) == ("output",)


def test_pixels_take_eight_bits_of_the_mantissa():
    maps = [dense("fc", [[1.0, 2.0**-15]])]  # 2^-15 / 256 = 2^-23
    assert rounding_receivers(chain(*maps, encoder="direct")) == ()
    assert rounding_receivers(chain(dense("fc", [[1.0, 2.0**-16]]), encoder="direct")) == ("output",)


@pytest.mark.parametrize(
    ("kernel", "average", "rounds"), [((2, 2), True, False), ((3, 3), False, False), ((3, 3), True, True)]
)
def test_an_average_over_a_size_that_is_no_power_of_two_rounds(kernel, average, rounds):
    pool = Pool(name="pool", kernel=kernel, stride=(1, 1), average=average)
    assert bool(rounding_receivers(chain(pool, Flatten(name="flat"), shape=(1, 4, 4)))) == rounds


def test_a_convolution_sums_over_its_kernel_and_channels():
    weight = np.full((1, 2, 2, 2), 1 - 2.0**-22)  # eight times almost 1: 3 bits above 22
    assert rounding_receivers(chain(Conv(name="conv", weight=weight), shape=(2, 4, 4))) == ("output",)
    weight = np.full((1, 2, 2, 2), 1 - 2.0**-21)
    assert rounding_receivers(chain(Conv(name="conv", weight=weight), shape=(2, 4, 4))) == ()


def test_a_junction_of_two_grids_rounds_though_each_branch_does_not():
    nodes = [
        Input(name="input", shape=(2,)),
        dense("coarse", [[2.0**24, 0.0]]),
        dense("fine", [[0.0, 0.5]]),
        NeuronLayer(name="spikes", shape=(1,), neuron=IF(v_threshold=np.array(1.0), v_reset=np.array(0.0))),
        NeuronLayer(name="membrane", shape=(1,), neuron=LI(beta=np.array(0.5))),
        Output(name="output"),
    ]
    pairs = ["input coarse", "input fine", "coarse spikes", "fine spikes", "spikes membrane", "membrane output"]
    edges = [Edge(*pair.split()) for pair in pairs]
    program = build(nodes, edges, dt_s=1e-3, n_steps=2, encoder="poisson")
    assert rounding_receivers(program) == ("spikes", "output")  # a potential may have any bits


def test_a_trained_network_does_not_round_and_a_third_of_it_does(run_folder):
    program = read_program(run_folder)
    assert rounding_receivers(program) == ()
    nodes = [replace(n, weight=n.weight / 3) if n.name == "conv2" else n for n in program.nodes]
    thirds = build(nodes, program.edges, dt_s=program.dt_s, n_steps=program.n_steps)
    assert rounding_receivers(thirds) == ("conv2_spikes",)
