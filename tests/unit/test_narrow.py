"""Narrowed programs are the first channels of the given ones, and None where other layers would have to follow."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tdd_deploy.neurons import IF, LIF, CubaLIF, LoihiLIF
from tdd_deploy.program import Conv, Dense, Edge, Flatten, Input, NeuronLayer, Output, Pool, Scale, build, verify
from tdd_deploy.program.narrow import narrowed
from tdd_deploy.simulator import reference
from tests.property.test_execution import ANY, examples

RNG = np.random.default_rng(0)


def numbers(*shape):
    return RNG.integers(-8, 9, shape) / 8


def layer(name, *shape, **parameters):
    fire = {"v_threshold": np.array(0.5), "v_reset": np.array(0.0)}
    return NeuronLayer(name=name, shape=shape, neuron=LIF(**{"beta": np.array(0.5)} | fire | parameters))


def dense(name, n_out, n_in, *, bias=False):
    return Dense(name=name, weight=numbers(n_out, n_in), bias=numbers(n_out) if bias else None)


def conv(name, n_out, n_in, *, bias=False, **choices):
    weight, bias = numbers(n_out, n_in, 3, 3), numbers(n_out) if bias else None
    return Conv(name=name, weight=weight, bias=bias, padding=(1, 1), **choices)


def pool(name):
    return Pool(name=name, kernel=(2, 2), stride=(2, 2), average=True)


def source(*shape):
    return Input(name="input", shape=shape)


OUT = Output(name="out")


def made(nodes, edges, **choices):
    return build(nodes, edges, **{"dt_s": 1e-3, "n_steps": 3, "number_format": "float64"} | choices)


def chain(*nodes, edges=(), **choices):
    return made(nodes, [*(Edge(a.name, b.name) for a, b in pairwise(nodes)), *edges], **choices)


def same(found, expected):
    np.testing.assert_array_equal(found, expected)
    return True


def test_a_dense_layer_keeps_its_first_rows_and_the_next_its_first_columns():
    thresholds, betas = np.arange(1, 6) / 8, np.arange(5) / 8
    a, b = dense("a", 5, 4, bias=True), dense("b", 3, 5, bias=True)
    program = chain(source(4), a, layer("h", 5, v_threshold=thresholds, beta=betas), b, OUT)
    found = narrowed(program, "h", 2)
    assert found.shapes == {"input": (4,), "a": (2,), "h": (2,), "b": (3,), "out": (3,)}
    assert same(found["a"].weight, a.weight[:2])
    assert same(found["a"].bias, a.bias[:2])
    assert same(found["b"].weight, b.weight[:, :2])
    assert same(found["b"].bias, b.bias)
    assert same(found["h"].neuron.v_threshold, [1 / 8, 2 / 8])
    assert same(found["h"].neuron.beta, [0, 1 / 8])
    assert found["h"].neuron.v_reset.shape == ()
    assert verify(found) is found


def test_a_program_that_is_narrowed_stays_as_it_was():
    program = chain(source(4), dense("a", 5, 4), layer("h", 5), dense("b", 3, 5), OUT)
    digest = program.digest
    assert narrowed(program, "h", 2).digest != digest
    assert (program.digest, program.shapes["h"]) == (digest, (5,))
    assert narrowed(program, "h", 5) == program


@pytest.mark.parametrize("between", [(), (pool("p"),), (Scale(name="s", factor=np.array(0.5)), pool("p"))])
def test_a_convolution_is_narrowed_through_what_keeps_channels_apart(between):
    a, b = conv("a", 4, 2, bias=True), conv("b", 3, 4)
    threshold = np.arange(1, 4 * 6 * 6 + 1).reshape(4, 6, 6) / 64
    program = chain(source(2, 6, 6), a, layer("h", 4, 6, 6, v_threshold=threshold), *between, b, OUT)
    found = narrowed(program, "h", 3)
    assert same(found["a"].weight, a.weight[:3])
    assert same(found["a"].bias, a.bias[:3])
    assert same(found["h"].neuron.v_threshold, threshold[:3])
    assert same(found["b"].weight, b.weight[:, :3])
    assert found.shapes["out"] == program.shapes["out"]


def test_behind_a_flattening_a_channel_is_as_many_columns_as_it_has_pixels():
    b = dense("b", 7, 4 * 3 * 3)
    program = chain(source(1, 6, 6), conv("a", 4, 1), layer("h", 4, 6, 6), pool("p"), Flatten(name="f"), b, OUT)
    found = narrowed(program, "h", 3)
    assert found.shapes["f"] == (27,)
    assert same(found["b"].weight, b.weight[:, :27])


def test_every_map_behind_a_layer_follows():
    maps = [dense("b", 3, 5), dense("c", 3, 5)]
    nodes = [source(4), dense("a", 5, 4), layer("h", 5), *maps, layer("g", 3), layer("k", 3), OUT]
    edges = [Edge(*pair.split()) for pair in ("input a", "a h", "h b", "h c", "b g", "c g", "b k", "g out", "k out")]
    found = narrowed(made(nodes, edges), "h", 2)
    for map_ in maps:
        assert same(found[map_.name].weight, map_.weight[:, :2])


def test_every_branch_before_a_layer_follows():
    nodes = [source(4), dense("a", 5, 4), dense("b", 5, 4), layer("h", 5), dense("c", 2, 5), OUT]
    edges = [Edge(*pair.split()) for pair in ("input a", "input b", "a h", "b h", "h c", "c out")]
    program = made(nodes, edges)
    found = narrowed(program, "h", 2)
    assert found["a"].weight.shape == found["b"].weight.shape == (2, 4)
    assert same(found["b"].weight, program["b"].weight[:2])


def test_a_recurrent_map_loses_rows_and_columns():
    nodes = [source(4), dense("a", 5, 4), layer("h", 5), dense("back", 5, 5), dense("c", 2, 5), OUT]
    edges = [Edge(*pair.split()) for pair in ("input a", "a h", "back h", "h c", "c out")] + [Edge("h", "back", 1)]
    program = made(nodes, edges)
    found = narrowed(program, "h", 3)
    assert same(found["back"].weight, program["back"].weight[:3, :3])
    assert [(edge.target, edge.delay) for edge in found.outgoing["h"]] == [("back", 1), ("c", 0)]


def test_a_way_back_over_two_maps_loses_rows_at_its_end_and_columns_at_its_start():
    maps = [dense("there", 7, 5), dense("back", 5, 7)]
    nodes = [source(4), dense("a", 5, 4), layer("h", 5), *maps, dense("c", 2, 5), OUT]
    edges = [Edge(*pair.split()) for pair in ("input a", "a h", "there back", "back h", "h c", "c out")]
    found = narrowed(made(nodes, [*edges, Edge("h", "there", 1)]), "h", 3)
    assert same(found["there"].weight, maps[0].weight[:, :3])
    assert same(found["back"].weight, maps[1].weight[:3])


def test_integers_stay_integers():
    loihi = LoihiLIF(
        du=np.array(4095),
        dv=np.array(0),
        bias=np.arange(4),
        v_threshold=np.array(64),
        v_reset=np.array(0),
        reset="hard",
    )
    a, b = (Dense(name=n, weight=RNG.integers(-8, 9, s)) for n, s in (("a", (4, 3)), ("b", (2, 4))))
    program = chain(source(3), a, NeuronLayer(name="h", shape=(4,), neuron=loihi), b, OUT, number_format="integer")
    found = narrowed(program, "h", 2)
    assert found["a"].weight.dtype == np.int32
    assert same(found["h"].neuron.bias, [0, 1])


# Where others would have to follow.


def junction(name):
    """Programs whose layer h cannot be narrowed alone."""
    if name == "a residual branch":
        nodes = [source(1, 4, 4), conv("a", 2, 1), layer("h", 2, 4, 4), conv("b", 2, 2), layer("g", 2, 4, 4), OUT]
        return made(nodes, [Edge(*pair.split()) for pair in ("input a", "a h", "h b", "b g", "h g", "g out")])
    if name == "a residual branch that ends in it":
        nodes = [source(2, 4, 4), conv("a", 2, 2), layer("h", 2, 4, 4), conv("b", 2, 2), OUT]
        return made(nodes, [Edge(*pair.split()) for pair in ("input a", "a h", "input h", "h b", "b out")])
    if name == "a map that takes the sum of two layers":
        nodes = [source(4), dense("a", 3, 4), layer("h", 3), dense("b", 3, 4), layer("g", 3), dense("c", 2, 3), OUT]
        pairs = ("input a", "a h", "input b", "b g", "h c", "g c", "c out")
        return made(nodes, [Edge(*pair.split()) for pair in pairs])
    if name == "a map that feeds two layers":
        nodes = [source(4), dense("a", 3, 4), layer("h", 3), layer("g", 3), dense("c", 2, 3), dense("d", 2, 3), OUT]
        pairs = ("input a", "a h", "a g", "h c", "g d", "c out", "d out")
        return made(nodes, [Edge(*pair.split()) for pair in pairs])
    a = conv("a", 2, 2)
    h = layer("h", 2, 4, 4)
    return {
        "the output after it": lambda: chain(source(2, 4, 4), a, h, OUT),
        "neurons after it": lambda: chain(source(2, 4, 4), a, h, layer("g", 2, 4, 4), OUT),
        "the input before it": lambda: chain(source(2, 4, 4), h, conv("b", 2, 2), OUT),
        "itself after it": lambda: chain(source(2, 4, 4), a, h, conv("b", 2, 2), OUT, edges=[Edge("h", "h", 1)]),
        "groups before it": lambda: chain(source(2, 4, 4), conv("a", 2, 1, groups=2), h, conv("b", 2, 2), OUT),
        "groups after it": lambda: chain(source(2, 4, 4), a, h, conv("b", 2, 1, groups=2), OUT),
        "a pool before it": lambda: chain(source(2, 8, 8), a, pool("p"), h, conv("b", 2, 2), OUT),
        "a scale of its own shape": lambda: chain(
            source(2, 4, 4), a, h, Scale(name="s", factor=numbers(2, 4, 4)), conv("b", 2, 2), OUT
        ),
        "a bias of its own shape": lambda: chain(
            source(2, 4, 4), a, h, Scale(name="s", factor=np.array(1.0), bias=numbers(2, 4, 4)), conv("b", 2, 2), OUT
        ),
        "a pool and the output after it": lambda: chain(source(2, 4, 4), a, h, pool("p"), OUT),
    }[name]()


@pytest.mark.parametrize(
    "name",
    [
        "a residual branch",
        "a residual branch that ends in it",
        "a map that takes the sum of two layers",
        "a map that feeds two layers",
        "the output after it",
        "neurons after it",
        "the input before it",
        "itself after it",
        "groups before it",
        "groups after it",
        "a pool before it",
        "a scale of its own shape",
        "a bias of its own shape",
        "a pool and the output after it",
    ],
)
def test_a_layer_that_meets_others_is_not_narrowed(name):
    assert narrowed(junction(name), "h", 1) is None


# Random programs.


@examples(200)
@given(ANY, st.data())
def test_any_layer_of_any_program_is_narrowed_to_a_program_that_runs_or_not_at_all(case, data):
    layer = data.draw(st.sampled_from(case.program.neuron_layers))
    channels = data.draw(st.integers(1, layer.shape[0]))
    found = narrowed(case.program, layer.name, channels)
    if found is None:
        return
    assert found.shapes[layer.name] == (channels, *layer.shape[1:])
    assert {name: s for name, s in found.shapes.items() if s != case.program.shapes[name]}.keys() <= {
        layer.name,
        *(node.name for node in case.program.linear_maps),
    }
    assert (found.edges, found.input.shape) == (case.program.edges, case.program.input.shape)
    reference.run(found, case.inputs)


@pytest.mark.parametrize("kind", [IF, LIF, CubaLIF])
def test_the_first_channels_of_a_layer_that_is_not_recurrent_fire_as_before(kind):
    """Dropped channels change later layers, not the layer itself."""
    given = {"v_threshold": np.array([0.5, 1, 0.25, 2]), "v_reset": np.array(0.0)}
    given |= {"beta": np.array([0.5, 0.25, 0, 0.75])} if kind is not IF else {}
    given |= {"alpha": np.array([0, 0.5, 0.25, 0.5])} if kind is CubaLIF else {}
    hidden = NeuronLayer(name="h", shape=(4,), neuron=kind(**given))
    before = Dense(name="a", weight=np.arange(12).reshape(4, 3) / 8, bias=np.array([0, 0.5, -0.5, 0.25]))
    program = chain(source(3), before, hidden, dense("b", 2, 4), OUT)
    inputs = np.random.default_rng(0).integers(0, 9, (12, 5, 3)) / 4
    whole, first = (reference.run(each, inputs)["h"] for each in (program, narrowed(program, "h", 2)))
    assert whole[..., :2].any()
    np.testing.assert_array_equal(first, whole[..., :2])
