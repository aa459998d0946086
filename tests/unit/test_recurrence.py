from itertools import pairwise

import numpy as np
import pytest

from tdd_deploy.neurons import I
from tdd_deploy.program import Input, NeuronLayer, Scale
from tdd_deploy.program.recurrence import recurrence


def found(text: str, *, delayed=()):
    """Find the recurrence of ``in>a a>m m>a``: ``in`` is the input, m and its like are maps, the others neurons."""
    edges = [tuple(edge.split(">")) for edge in text.split()]
    names = {name for edge in edges for name in edge}
    return recurrence([node(name) for name in sorted(names)], edges, delayed=delayed)


def node(name: str):
    if name == "in":
        return Input(name=name, shape=(1,))
    if name.startswith("m"):
        return Scale(name=name, factor=np.array(1.0))
    return NeuronLayer(name=name, shape=(1,), neuron=I())


@pytest.mark.parametrize(
    ("text", "delayed"),
    [
        ("in>a a>b", set()),
        ("in>a in>b a>c b>c", set()),
        ("in>a a>a", {("a", "a")}),
        ("in>a a>b b>a", {("b", "a")}),
        ("in>a a>m m>a", {("a", "m")}),
        ("in>a a>m1 m1>m2 m2>a", {("a", "m1")}),
        ("in>m m>a a>m", {("a", "m")}),
        ("in>a a>b b>c c>b c>a", {("c", "b"), ("c", "a")}),
        ("in>a a>b a>m b>m m>a", {("a", "m"), ("b", "m")}),
        ("in>a a>m m>a a>a", {("a", "m"), ("a", "a")}),
    ],
)
def test_the_delay_stands_where_the_former_steps_spikes_leave_neurons(text, delayed):
    result = found(text)
    assert not result.violations
    assert result.delayed == delayed


def test_a_loop_that_no_input_enters_begins_at_its_first_node():
    assert found("in>a c>b b>c b>d").delayed == {("c", "b")}
    assert found("in>a c>b b>c b>d").opened == ("b",)


def test_a_cycle_with_a_known_delay_is_closed_by_it():
    result = found("in>a a>b b>c c>a c>c", delayed=[("a", "b")])
    assert result.delayed == {("c", "c")}
    assert not result.violations


@pytest.mark.parametrize(
    ("text", "where", "why"),
    [
        ("in>a in>b a>b b>a", "edge b -> a", "entered elsewhere than at a"),
        ("in>m m>a m>m", "edge m -> m", "linear maps alone"),
        ("in>m1 m1>m2 m2>m1 m2>a", "edge m2 -> m1", "linear maps alone"),
        ("in>a a>m m>a m>b", "m", "to other nodes (a, b)"),
    ],
)
def test_what_cannot_be_read_is_named(text, where, why):
    first = found(text).violations[0]
    assert first.where == where
    assert why in first.found


def test_a_long_chain_is_no_deep_recursion():
    names = ["in", *(f"n{i:05}" for i in range(3000))]
    edges = list(pairwise(names))
    assert recurrence([node(name) for name in names], [*edges, (names[-1], names[1])]).delayed == {
        (names[-1], names[1])
    }
