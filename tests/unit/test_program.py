import os
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise, permutations

import numpy as np
import pytest

from tdd_deploy.errors import BadProgram
from tdd_deploy.neurons import LIF
from tdd_deploy.program import Conv, Dense, Edge, Flatten, Input, NeuronLayer, Output, Pool, build, with_code
from tdd_deploy.program.program import execution_order
from tests.zoo import grow


def lif(beta=0.5):
    return LIF(beta=np.array(beta), v_threshold=np.array(1.0), v_reset=np.array(0.0))


# input -> a -> hidden -> out, and hidden -(1 step ago)-> back -> hidden
NODES = (
    Input(name="input", shape=(2,)),
    Dense(name="a", weight=np.arange(6).reshape(3, 2) / 8),
    NeuronLayer(name="hidden", shape=(3,), neuron=lif()),
    Dense(name="back", weight=np.eye(3)),
    Dense(name="readout", weight=np.ones((1, 3)), bias=np.array([0.5])),
    Output(name="out"),
)
EDGES = (
    Edge("input", "a"),
    Edge("a", "hidden"),
    Edge("hidden", "back", 1),
    Edge("back", "hidden"),
    Edge("hidden", "readout"),
    Edge("readout", "out"),
)


def made(nodes=NODES, edges=EDGES, **choices):
    return build(nodes, edges, **{"dt_s": 1e-3, "n_steps": 4} | choices)


def names(program):
    return [node.name for node in program.nodes]


def test_nodes_stand_in_execution_order_free_choices_by_name():
    # `back` waits for nothing in this step, as its one edge is delayed; `a` waits for the input.
    assert names(made()) == ["back", "input", "a", "hidden", "readout", "out"]


def test_the_order_given_does_not_matter():
    program = made()
    rng = np.random.default_rng(0)
    for _ in range(50):
        shuffled = made(
            nodes=[NODES[i] for i in rng.permutation(len(NODES))], edges=[EDGES[i] for i in rng.permutation(len(EDGES))]
        )
        assert names(shuffled) == names(program)
        assert shuffled.edges == program.edges
        assert shuffled == program


@pytest.mark.parametrize("seed", range(20))
def test_the_order_of_a_random_program_does_not_depend_on_how_it_was_given(seed):
    program = grow(seed, n_blocks=3, n_steps=3, batch=1, spatial=bool(seed % 2)).program
    rng = np.random.default_rng(seed)
    nodes = [program.nodes[i] for i in rng.permutation(len(program.nodes))]
    edges = [program.edges[i] for i in rng.permutation(len(program.edges))]
    again = build(nodes, edges, dt_s=program.dt_s, n_steps=program.n_steps, number_format="float64")
    assert again == program
    assert names(again) == names(program)


def test_of_all_executable_orders_the_first_by_name_is_taken():
    edges = [Edge("i", "c"), Edge("i", "a"), Edge("a", "b"), Edge("c", "o"), Edge("b", "o")]
    nodes = {name: Input(name=name, shape=(1,)) for name in "abcio"}
    executable = [
        order
        for order in permutations("abcio")
        if all(order.index(edge.source) < order.index(edge.target) for edge in edges)
    ]
    assert tuple(node.name for node in execution_order(nodes.values(), edges)) == min(executable)


def test_nodes_on_a_cycle_without_delay_come_last():
    edges = [Edge("i", "b"), Edge("b", "a"), Edge("a", "b"), Edge("a", "o")]
    nodes = [Input(name=name, shape=(1,)) for name in "boai"]
    assert [node.name for node in execution_order(nodes, edges)] == ["i", "b", "o", "a"]


def test_arrays_are_copied_and_read_only():
    weight = np.ones((3, 2))
    program = made(nodes=[replace(node, weight=weight) if node.name == "a" else node for node in NODES])
    weight[:] = 7
    assert program["a"].weight.max() == 1
    for array in (program["a"].weight, program["readout"].bias, program["hidden"].neuron.beta):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


@pytest.mark.parametrize("number_format", ["float32", "float64"])
def test_every_array_has_the_number_format(number_format):
    program = made(number_format=number_format)
    assert program.dtype == np.dtype(number_format)
    for array in (program["a"].weight, program["readout"].bias, *program["hidden"].neuron.parameters().values()):
        assert array.dtype == program.dtype


def test_nodes_are_found_by_name_and_by_kind():
    program = made()
    assert program["hidden"].name == "hidden"
    assert (program.input.name, program.output.name) == ("input", "out")
    assert [layer.name for layer in program.neuron_layers] == ["hidden"]
    assert [node.name for node in program.linear_maps] == ["back", "a", "readout"]
    with pytest.raises(KeyError, match="nowhere"):
        program["nowhere"]


def test_edges_are_found_from_both_ends():
    program = made()
    assert program.incoming["hidden"] == (Edge("a", "hidden"), Edge("back", "hidden"))
    assert program.outgoing["hidden"] == (Edge("hidden", "back", 1), Edge("hidden", "readout"))
    assert (program.incoming["input"], program.outgoing["out"]) == ((), ())


def test_shapes_follow_from_the_input():
    nodes = [
        Input(name="input", shape=(2, 8, 8)),
        Conv(name="conv", weight=np.ones((4, 2, 3, 3))),
        Pool(name="pool", kernel=(2, 2), stride=(2, 2)),
        Flatten(name="flat"),
        Output(name="out"),
    ]
    chain = [Edge(a.name, b.name) for a, b in pairwise(nodes)]
    program = made(nodes, chain)
    assert program.shapes == {
        "input": (2, 8, 8),
        "conv": (4, 6, 6),
        "pool": (4, 3, 3),
        "flat": (36,),
        "out": (36,),
    }
    assert program.in_shape("pool") == (4, 6, 6)


def changed(name, **fields):
    return [replace(node, **fields) if node.name == name else node for node in NODES]


@pytest.mark.parametrize(
    "other",
    [
        {"dt_s": 2e-3},
        {"n_steps": 5},
        {"integration": "exact"},
        {"number_format": "float64"},
        {"encoder": "poisson"},
        {"nodes": changed("a", weight=np.arange(6).reshape(3, 2) / 8 + np.eye(3, 2) * 2**-10)},
        {"nodes": changed("readout", bias=None)},
        {"nodes": changed("readout", bias=np.array([0.25]))},
        {"nodes": changed("hidden", neuron=lif(0.25))},
        {"nodes": changed("hidden", neuron=replace(lif(), reset="soft"))},
        {"nodes": changed("hidden", neuron=replace(lif(), compare=">="))},
        {"edges": [replace(edge, delay=2) if edge.delay else edge for edge in EDGES]},
        {"edges": [replace(edge, code="spike") for edge in EDGES]},
    ],
    ids=lambda other: next(iter(other)),
)
def test_whatever_changes_the_result_changes_the_digest(other):
    assert made(**other).digest != made().digest
    assert made(**other) != made()


def test_the_digest_is_the_same_in_every_process():
    script = (
        "import numpy as np; from tdd_deploy.program import *;"
        "nodes = [Input(name='i', shape=(2,)), Scale(name='s', factor=np.ones(2)), Output(name='o')];"
        "print(build(nodes, [Edge('i', 's'), Edge('s', 'o')], dt_s=1e-3, n_steps=1).digest)"
    )
    digests = [
        subprocess.run(
            [sys.executable, "-c", script], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    ]
    assert digests[0] == digests[1]
    assert len(digests[0].strip()) == 64


def test_where_a_program_comes_from_does_not_make_it_another():
    mine, yours = made(provenance={"writer": "me"}), made(provenance={"writer": "you"})
    assert mine == yours
    assert len({mine, yours}) == 1
    assert mine.provenance == {"writer": "me"}


def test_a_program_is_no_other_thing():
    assert made() != "a program"


def test_a_program_cannot_be_changed():
    with pytest.raises(AttributeError, match="n_steps"):
        made().n_steps = 9


def test_the_code_of_an_edge_changes_the_digest_and_comes_back():
    program = made()
    assert with_code(with_code(program, "spike"), "delta") == program


def test_a_bad_program_is_reported_under_the_name_of_its_subject():
    with pytest.raises(BadProgram, match=r"^the trained network: n_steps must be 1 or more \(got 0\)\.$"):
        made(n_steps=0, subject="the trained network")
