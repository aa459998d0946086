import os
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings

from tdd_deploy.neurons import IF
from tdd_deploy.program import CODES, Dense, Edge, Input, NeuronLayer, Output, build, code_groups, with_code
from tdd_deploy.simulator.engine.codes import choose_codes
from tdd_deploy.simulator.engine.engine import Engine
from tests.zoo import Given, cases

EXAMPLES = settings(max_examples=int(os.environ.get("TDD_DEPLOY_EXAMPLES", "100")), deadline=None)


def traced(program, inputs):
    return Engine(program).run(Given(inputs), n_steps=len(inputs)).trace


def one_map(n_in=50):
    nodes = [Input(name="input", shape=(n_in,)), Dense(name="fc", weight=np.ones((4, n_in))), Output(name="out")]
    return build(nodes, [Edge("input", "fc"), Edge("fc", "out")], dt_s=1e-3, n_steps=20)


def chosen(program, inputs):
    return {(edge.source, edge.target): edge.code for edge in choose_codes(program, traced(program, inputs)).edges}


@pytest.mark.parametrize("p", [0.05, 0.2, 0.35])
def test_independent_sparse_spikes_are_sent_as_spikes(p):
    """They change with probability 2 p (1 - p), more than p for p below a half."""
    inputs = (np.random.default_rng(0).random((20, 8, 50)) < p).astype(np.float32)
    assert set(chosen(one_map(), inputs).values()) == {"spike"}


@pytest.mark.parametrize("p", [0.05, 0.5, 1.0])
def test_persistent_spikes_are_sent_as_changes(p):
    """One image at every step changes at the first step alone."""
    image = (np.random.default_rng(0).random((8, 50)) < p).astype(np.float32)
    assert set(chosen(one_map(), np.stack([image] * 20)).values()) == {"delta"}


@pytest.mark.parametrize("given_code", CODES)
def test_equal_costs_go_to_delta(given_code):
    """At the first step a change is a value."""
    inputs = np.ones((1, 1, 50), np.float32)
    assert set(chosen(with_code(one_map(), given_code), inputs).values()) == {"delta"}


@pytest.mark.parametrize("given_code", CODES)
def test_every_layer_gets_what_pays_there(given_code):
    # A constant input, which pays in delta code: 1 event. The neuron adds 1 per step and fires above 1.5, at every
    # second step: 0, 1, 0, 1, 0, 1, three spikes but five changes.
    nodes = [
        Input(name="input", shape=(1,)),
        Dense(name="fc", weight=np.ones((1, 1))),
        NeuronLayer(name="hidden", shape=(1,), neuron=IF(v_threshold=np.array(1.5), v_reset=np.array(0.0))),
        Dense(name="readout", weight=np.ones((1, 1))),
        Output(name="out"),
    ]
    edges = [Edge(a.name, b.name) for a, b in pairwise(nodes)]
    program = with_code(build(nodes, edges, dt_s=1e-3, n_steps=6), given_code)
    trace = traced(program, np.ones((6, 1, 1), np.float32))
    assert (trace.spike_code.total("spikes"), trace.delta_code.total("delta_events")) == (3, 5)
    assert {(edge.source, edge.target): edge.code for edge in choose_codes(program, trace).edges} == {
        ("input", "fc"): "delta",
        ("fc", "hidden"): "delta",
        ("hidden", "readout"): "spike",
        ("readout", "out"): "spike",
    }


def test_where_no_synapse_listens_the_fewer_events_win():
    # The hidden layer goes straight to the output: no synaptic operation either way, 1 spike or 2 changes.
    nodes = [
        Input(name="input", shape=(1,)),
        Dense(name="fc", weight=np.ones((1, 1))),
        NeuronLayer(name="hidden", shape=(1,), neuron=IF(v_threshold=np.array(0.5), v_reset=np.array(0.0))),
        Output(name="out"),
    ]
    edges = [Edge(a.name, b.name) for a, b in pairwise(nodes)]
    program = build(nodes, edges, dt_s=1e-3, n_steps=3)
    inputs = np.array([0, 1, 0], np.float32).reshape(3, 1, 1)
    assert chosen(program, inputs)["hidden", "out"] == "spike"


@EXAMPLES
@given(cases())
def test_the_choice_costs_no_more_than_the_better_code_throughout(case):
    trace = traced(case.program, case.inputs)
    program = choose_codes(case.program, trace)
    assert replace(program, edges=case.program.edges) == case.program  # nothing but codes is chosen
    assert {replace(edge, code="delta") for edge in program.edges} == {
        replace(edge, code="delta") for edge in case.program.edges
    }
    cost = traced(program, case.inputs).executed.total("synops_effective")
    throughout = {
        code: traced(with_code(case.program, code), case.inputs).executed.total("synops_effective") for code in CODES
    }
    assert cost <= min(throughout.values())


@settings(EXAMPLES, max_examples=max(1, EXAMPLES.max_examples // 4))
@given(cases())
def test_no_other_choice_of_one_group_costs_less(case):
    """Brute force: turn the code of each group of edges around, one at a time."""
    best = choose_codes(case.program, traced(case.program, case.inputs))
    cost = traced(best, case.inputs).executed.total("synops_effective")
    for group in code_groups(best):
        other = {"spike": "delta", "delta": "spike"}
        edges = tuple(replace(e, code=other[e.code]) if e in group else e for e in best.edges)
        assert traced(replace(best, edges=edges), case.inputs).executed.total("synops_effective") >= cost
