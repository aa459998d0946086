"""The synaptic operations of each core, and the time that follows, against brute force on random placed programs.

TDD_DEPLOY_EXAMPLES=50000 draws that many programs per test instead of the default.
"""

from functools import reduce
from operator import add

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tdd_deploy.program import CODES, Conv, Dense, Program, Scale, with_code
from tdd_deploy.program.apply import apply
from tdd_deploy.simulator import reference
from tdd_deploy.simulator.counts import Trace
from tdd_deploy.simulator.engine.engine import Engine
from tdd_deploy.simulator.hardware.placement import Placement, place, placed_layers
from tdd_deploy.simulator.hardware.profiles import load_profile
from tdd_deploy.simulator.hardware.timing import run_time
from tests.property.test_early_exit import ended_early
from tests.property.test_execution import arriving, changes, examples
from tests.property.test_placement import ANY, alone, chips, holders, reach, with_ones
from tests.zoo import Given

DAVIES = load_profile("loihi1-davies2018")
CODE_OF = {"spike_code": "spike", "delta_code": "delta"}


def fan_on_cores(program: Program, placement: Placement, name: str) -> np.ndarray:
    """The weights of each input of a map on each core: those to outputs that reach a neuron there, ``[n_in, core]``."""
    n_in = int(np.prod(program.in_shape(name)))
    ways = apply(with_ones(program[name]), np.eye(n_in).reshape(n_in, *program.in_shape(name))).reshape(n_in, -1)
    needed = np.zeros((ways.shape[1], placement.n_cores), bool)
    for code in CODES:
        for receiver, reached in reach(program, name, alone(program, name), code).items():
            core_of = holders(program, placement, receiver)[1].ravel()
            for core in set(core_of):
                needed[:, core] |= reached[:, core_of == core].any(axis=1)
    return (ways @ needed).astype(np.int64)


def expected_synops(
    program: Program, placement: Placement, sent: dict[str, np.ndarray], is_running: np.ndarray
) -> dict[str, np.ndarray]:
    """Operations ``[core, n_steps]``: executed, and in one code throughout; from what every node sent."""
    n_steps = len(is_running)
    expected = {code: np.zeros((placement.n_cores, n_steps), np.int64) for code in ("executed", *CODE_OF)}
    for node in program.linear_maps:
        if not isinstance(node, Dense | Conv | Scale):
            continue
        fan = fan_on_cores(program, placement, node.name)
        values = arriving(program, sent, node.name)
        for code, own in CODE_OF.items():
            happened = (values if own == "spike" else changes(values)) != 0
            events = (happened.reshape(*happened.shape[:2], -1) & is_running).sum(axis=1)
            expected[code] += (events @ fan).T
            if own == program.incoming[node.name][0].code:
                expected["executed"] += (events @ fan).T
    return expected


def assert_synops(trace: Trace, expected: dict[str, np.ndarray]) -> None:
    assert trace.core_synops is not None
    for code, synops in expected.items():
        np.testing.assert_array_equal(getattr(trace.core_synops, code), synops, err_msg=code)


@examples(300)
@given(ANY, chips())
def test_operations_of_each_core_are_those_of_brute_force_in_both_engines_and_both_codes(case, chip):
    sent = reference.run(case.program, case.inputs)
    always = np.ones((*case.inputs.shape[:2], 1), bool)
    for program in (case.program, *(with_code(case.program, code) for code in CODES)):
        placement = place(program, chip, weight_bits=8)
        expected = expected_synops(program, placement, sent, always)
        for compiled in (True, False):
            engine = Engine(program, compiled=compiled, routes=placement.routes)
            assert_synops(engine.run(Given(case.inputs), n_steps=len(case.inputs)).trace, expected)


@examples(150)
@given(ANY, chips(), st.floats(0.1, 0.9))
def test_a_sample_that_ended_adds_nothing_on_any_core(case, chip, quantile):
    margin, is_running = ended_early(case, quantile)
    placement = place(case.program, chip, weight_bits=8)
    expected = expected_synops(case.program, placement, reference.run(case.program, case.inputs), is_running)
    for compiled in (True, False):
        engine = Engine(case.program, compiled=compiled, routes=placement.routes)
        assert_synops(engine.run(Given(case.inputs), n_steps=len(case.inputs), early_exit=margin).trace, expected)


@examples(150)
@given(ANY, chips())
def test_operations_of_each_core_do_not_depend_on_batches(case, chip):
    engine = Engine(case.program, routes=place(case.program, chip, weight_bits=8).routes)
    n_steps, batch = case.inputs.shape[:2]
    together = engine.run(Given(case.inputs), n_steps=n_steps).trace.core_synops
    alone = [engine.run(Given(case.inputs[:, b : b + 1]), n_steps=n_steps).trace for b in range(batch)]
    assert_synops(reduce(add, alone), vars(together))


@examples(150)
@given(ANY, chips())
def test_all_cores_of_a_layer_without_maps_between_maps_have_the_operations_of_the_layer(case, chip):
    """Where no sum is needed by several cores, all cores together do what was counted."""
    maps = {node.name for node in case.program.linear_maps if isinstance(node, Dense | Conv | Scale)}
    chained = any(reaches_a_map(case.program, name, maps) for name in maps)
    several = any(len(case.program.outgoing[name]) > 1 for name in maps)
    assume(not chained and not several)
    routes = place(case.program, chip, weight_bits=8).routes
    trace = Engine(case.program, routes=routes).run(Given(case.inputs), n_steps=len(case.inputs)).trace
    for code in ("executed", *CODE_OF):
        counted = getattr(trace, code).synops_stored.sum(axis=0)
        np.testing.assert_array_equal(getattr(trace.core_synops, code).sum(axis=0), counted)


def reaches_a_map(program: Program, name: str, maps: set[str]) -> bool:
    """Whether a map follows another one without neurons between them; pools and parts of vectors are not counted."""
    linear = {node.name for node in program.linear_maps}
    after = [edge.target for edge in program.outgoing[name] if edge.target in linear]
    return any(target in maps or reaches_a_map(program, target, maps) for target in after)


@examples(150)
@given(ANY, chips())
def test_a_step_takes_as_long_as_its_busiest_core(case, chip):
    placement = place(case.program, chip, weight_bits=8)
    sent = reference.run(case.program, case.inputs)
    always = np.ones((*case.inputs.shape[:2], 1), bool)
    trace = Engine(case.program, routes=placement.routes).run(Given(case.inputs), n_steps=len(case.inputs)).trace
    expected = expected_synops(case.program, placement, sent, always)
    rows = [layer.name for layer in trace.layers]
    for code in ("executed", *CODE_OF):
        counts = getattr(trace, code)
        busy = np.zeros((placement.n_cores, len(case.inputs)))
        for name in placed_layers(case.program):
            n_neurons = int(np.prod(case.program.shapes[name]))
            for block in placement.of(name):
                busy[block.core] = 3.5 * expected[code][block.core]
                if name in rows:
                    part, row = int(np.prod(block.shape)) / n_neurons, rows.index(name)
                    busy[block.core] += part * (8.4 * counts.updates_active[row] + 5.3 * counts.updates_idle[row])
        counted = (counts, trace.layers, trace.n_running, getattr(trace.core_synops, code))
        seconds = run_time(case.program, *counted, profile=DAVIES, placement=placement)
        n = case.inputs.shape[1] * len(case.inputs)
        ns = busy.max(axis=0).sum()
        assert (seconds.low, seconds.high) == pytest.approx(((ns + n * 113) * 1e-9, (ns + n * 465) * 1e-9))


@examples(60)
@given(ANY, chips())
def test_the_time_of_all_samples_is_no_more_than_that_of_each_alone(case, chip):
    """The busiest core is found in sums over samples, so the time is a lower bound."""
    placement = place(case.program, chip, weight_bits=8)
    engine = Engine(case.program, routes=placement.routes)

    def seconds(inputs: np.ndarray) -> float:
        trace = engine.run(Given(inputs), n_steps=len(inputs)).trace
        counted = (trace.executed, trace.layers, trace.n_running, trace.core_synops.executed)
        return run_time(case.program, *counted, profile=DAVIES, placement=placement).low

    alone = sum(seconds(case.inputs[:, b : b + 1]) for b in range(case.inputs.shape[1]))
    assert seconds(case.inputs) <= alone * (1 + 1e-12)
