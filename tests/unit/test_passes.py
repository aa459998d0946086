from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest

from tdd_deploy.errors import BadOption, BadProgram
from tdd_deploy.neurons import IF, SigmaDelta
from tdd_deploy.program import (
    CODES,
    Dense,
    Edge,
    Input,
    LinearMap,
    NeuronLayer,
    Output,
    build,
    code_groups,
    with_code,
    with_codes,
    with_delta_threshold,
)
from tests.zoo import grow

ONE = np.ones((2, 2))


def program():
    """input -> a -> n1 -> b -> n2 -> out, and a second branch n1 -> c -> n2, and n2 -(1)-> n1."""
    neuron = IF(v_threshold=np.array(1.0), v_reset=np.array(0.0))
    nodes = [
        Input(name="input", shape=(2,)),
        *(Dense(name=name, weight=ONE) for name in "abc"),
        *(NeuronLayer(name=name, shape=(2,), neuron=neuron) for name in ("n1", "n2")),
        Output(name="out"),
    ]
    pairs = [("input", "a"), ("a", "n1"), ("n1", "b"), ("b", "n2"), ("n1", "c"), ("c", "n2"), ("n2", "out")]
    return build(nodes, [*(Edge(*pair) for pair in pairs), Edge("n2", "n1", 1)], dt_s=1e-3, n_steps=2)


def codes(changed):
    return {(edge.source, edge.target): edge.code for edge in changed.edges}


@pytest.mark.parametrize("code", CODES)
def test_one_code_on_every_edge(code):
    assert set(codes(with_code(program(), code)).values()) == {code}


def test_codes_are_given_edge_by_edge_and_the_others_keep_theirs():
    delayed = Edge("n2", "n1", 1)
    changed = with_codes(program(), {delayed: "spike"})
    assert codes(changed) == codes(program()) | {("n2", "n1"): "spike"}
    assert changed.incoming["n1"][1].delay == 1


@pytest.mark.parametrize("change", [lambda p: with_code(p, "spike"), lambda p: with_codes(p, {p.edges[0]: "delta"})])
def test_a_pass_leaves_the_program_it_was_given_as_it_was(change):
    given = program()
    digest, edges = given.digest, given.edges
    change(given)
    assert (given.edges, program().digest) == (edges, digest)


def test_a_pass_verifies_what_it_made():
    with pytest.raises(BadProgram, match="a is a linear map with edges of both codes, but it needs one code"):
        with_codes(program(), {Edge("input", "a"): "spike"})


def test_a_code_for_an_edge_that_is_not_there_is_refused():
    spikes = with_code(program(), "spike")
    with pytest.raises(BadProgram, match=r"edge nowhere -> a.*is not in the program"):
        with_codes(spikes, {Edge("nowhere", "a"): "delta"})


def test_groups_are_what_maps_join():
    groups = {frozenset((edge.source, edge.target) for edge in group) for group in code_groups(program())}
    assert groups == {
        frozenset({("input", "a"), ("a", "n1")}),
        frozenset({("n1", "b"), ("b", "n2")}),
        frozenset({("n1", "c"), ("c", "n2")}),
        frozenset({("n2", "out")}),
        frozenset({("n2", "n1")}),
    }


def test_a_map_with_several_sources_and_targets_joins_them_all():
    nodes = [
        Input(name="input", shape=(2,)),
        *(Dense(name=name, weight=ONE) for name in "abcd"),
        Output(name="out"),
    ]
    pairs = [("input", "a"), ("input", "b"), ("a", "c"), ("b", "c"), ("b", "d"), ("c", "out"), ("d", "out")]
    (group,) = code_groups(build(nodes, [Edge(*pair) for pair in pairs], dt_s=1e-3, n_steps=2))
    assert {(edge.source, edge.target) for edge in group} == set(pairs)


@pytest.mark.parametrize("seed", range(40))
def test_groups_part_the_edges_and_are_as_small_as_can_be(seed):
    """Against another way to find them: edges are joined at a map; walk from each to all it is joined with."""
    case = grow(seed, n_blocks=3, n_steps=1, batch=1, spatial=bool(seed % 2))
    at_map = defaultdict(set)
    for edge in case.program.edges:
        for end in (edge.source, edge.target):
            if isinstance(case.program[end], LinearMap):
                at_map[end].add(edge)

    def joined(edge):
        seen, pending = set(), {edge}
        while pending:
            seen |= pending
            pending = {e for found in pending for end in (found.source, found.target) for e in at_map[end]} - seen
        return frozenset(seen)

    groups = code_groups(case.program)
    assert {frozenset(group) for group in groups} == {joined(edge) for edge in case.program.edges}
    assert sum(len(group) for group in groups) == len(case.program.edges)


def test_one_threshold_reaches_every_sigma_delta_neuron_and_no_other():
    before = program()
    neuron = SigmaDelta(delta_threshold=np.array([0.0, 1.0]), activation="none", compare=">=")
    nodes = [replace(node, neuron=neuron) if node.name == "n1" else node for node in before.nodes]
    mixed = build(nodes, before.edges, dt_s=1e-3, n_steps=2)
    changed = with_delta_threshold(mixed, 0.25)
    theta = changed["n1"].neuron.delta_threshold
    assert (theta.tolist(), theta.dtype, theta.flags.writeable) == (0.25, np.float32, False)
    assert (changed["n1"].neuron.activation, changed["n1"].neuron.compare) == ("none", ">=")
    assert changed["n2"] is mixed["n2"]


@pytest.mark.parametrize("theta", [-1.0, float("nan"), float("inf")])
def test_a_delta_threshold_is_a_size(theta):
    with pytest.raises(BadOption, match=r"^delta_threshold must be 0 or more \(got "):
        with_delta_threshold(program(), theta)


def test_a_program_without_sigma_delta_neurons_has_no_delta_threshold():
    with pytest.raises(BadOption, match=r"^delta_threshold needs a network with SigmaDelta neurons"):
        with_delta_threshold(program(), 0.5)
