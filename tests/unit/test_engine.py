"""What the engine promises beyond its results, which tests/property/test_execution.py holds to the reference."""

import numpy as np
import pytest

from tdd_deploy.program import Dense, Edge, Input, Output, build, with_code
from tdd_deploy.simulator import reference
from tdd_deploy.simulator.counts import FIELDS
from tdd_deploy.simulator.engine.engine import Engine
from tests import by_hand
from tests.zoo import Given, grow


def test_an_engine_holds_no_state_of_a_run():
    engine = Engine(by_hand.program())
    first, second = (engine.run(Given(by_hand.INPUTS), n_steps=3, record=("hidden",)) for _ in range(2))
    np.testing.assert_array_equal(first.output, second.output)
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(first.trace.executed, name), getattr(second.trace.executed, name))
    np.testing.assert_array_equal(first.output, by_hand.OUTPUT)


def test_the_inputs_are_left_as_they_were():
    inputs = by_hand.INPUTS.astype(np.float32)
    inputs.setflags(write=False)
    Engine(by_hand.program()).run(Given(inputs), n_steps=3)
    np.testing.assert_array_equal(inputs, by_hand.INPUTS)


def test_fewer_steps_are_a_shorter_run_of_the_same():
    result = Engine(by_hand.program()).run(Given(by_hand.INPUTS), n_steps=2)
    np.testing.assert_array_equal(result.output, by_hand.OUTPUT[:, :2])
    np.testing.assert_array_equal(result.trace.executed.spikes, by_hand.result().trace.executed.spikes[:, :2])


@pytest.mark.parametrize("number_format", ["float32", "float64"])
def test_results_have_the_number_format_of_the_program(number_format):
    case = grow(7, n_blocks=2, n_steps=3, batch=2, spatial=True, number_format=number_format)
    layers = [layer.name for layer in case.program.neuron_layers]
    result = Engine(case.program).run(Given(case.inputs), n_steps=3, record=layers)
    assert {array.dtype for array in (result.output, *result.layers.values())} == {np.dtype(number_format)}


@pytest.mark.parametrize("spatial", [False, True])
def test_what_the_input_and_the_neurons_sent_can_be_recorded(spatial):
    case = grow(3, n_blocks=2, n_steps=3, batch=2, spatial=spatial)
    names = ["input", *(layer.name for layer in case.program.neuron_layers)]
    result = Engine(case.program).run(Given(case.inputs), n_steps=3, record=names)
    sent = reference.run(case.program, case.inputs)
    assert set(result.layers) == set(names)
    for name in names:
        np.testing.assert_array_equal(result.layers[name], sent[name].swapaxes(0, 1))


@pytest.mark.parametrize("name", ["fc", "nowhere"])
def test_nothing_else_can_be_recorded(name):
    """A map sends changes or values, as its code wants; it once came back as zeros."""
    with pytest.raises(AssertionError, match="only what the input and neurons send"):
        Engine(by_hand.program()).run(Given(by_hand.INPUTS), n_steps=3, record=(name,))


@pytest.mark.parametrize("code", ["spike", "delta"])
def test_the_input_may_go_straight_to_the_output(code):
    nodes = [Input(name="input", shape=(1, 2, 3)), Output(name="out")]
    program = with_code(build(nodes, [Edge("input", "out")], dt_s=1e-3, n_steps=4), code)
    inputs = np.random.default_rng(0).integers(0, 3, (4, 2, 1, 2, 3)).astype(np.float32)
    np.testing.assert_array_equal(Engine(program).run(Given(inputs), n_steps=4).output, inputs.swapaxes(0, 1))


def test_a_map_that_receives_both_a_delayed_and_a_present_input_adds_them():
    nodes = [
        Input(name="input", shape=(1,)),
        Dense(name="one", weight=np.array([[1.0]])),
        Dense(name="fc", weight=np.array([[2.0]])),
        Output(name="out"),
    ]
    edges = [Edge("input", "one"), Edge("one", "fc"), Edge("input", "fc", 2), Edge("fc", "out")]
    program = build(nodes, edges, dt_s=1e-3, n_steps=4)
    inputs = np.array([1.0, 10.0, 100.0, 1000.0]).reshape(4, 1, 1)
    for code in ("spike", "delta"):
        output = Engine(with_code(program, code)).run(Given(inputs), n_steps=4).output
        assert output.ravel().tolist() == [2, 20, 2 * (100 + 1), 2 * (1000 + 10)]  # 2 (x(t) + x(t - 2))
