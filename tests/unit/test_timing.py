from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from tdd_deploy.neurons import Threshold
from tdd_deploy.program import Conv, Dense, Edge, Input, NeuronLayer, Output, Scale, build
from tdd_deploy.simulator.engine.engine import Engine
from tdd_deploy.simulator.hardware import placement
from tdd_deploy.simulator.hardware.profiles import load_profile
from tdd_deploy.simulator.hardware.timing import run_time, serial_time
from tests import by_hand
from tests.zoo import Given

DAVIES = load_profile("loihi1-davies2018")
PROGRAM = by_hand.program()
TRACE = by_hand.result().trace


def time_of(*, n_running=TRACE.n_running, profile=DAVIES, clock_mhz=None):
    placement = by_hand.placed(PROGRAM)
    counted = (TRACE.executed, TRACE.layers, n_running, TRACE.core_synops.executed)
    return run_time(PROGRAM, *counted, profile=profile, placement=placement, clock_mhz=clock_mhz)


def test_latencies_in_cycles_follow_the_clock_on_cores_too():
    clock = load_profile("odin").clock  # 75 MHz
    in_cycles = tuple(replace(each, is_of_clock=each.term != "barrier") for each in DAVIES.latencies)
    profile = replace(DAVIES, clock=clock, latencies=in_cycles)
    barrier = 6 * 113e-9
    assert time_of(profile=profile, clock_mhz=37.5).low - barrier == pytest.approx(2 * (time_of().low - barrier))
    assert time_of(profile=profile) == time_of()
    assert time_of(clock_mhz=37.5) == time_of()  # published in ns


def test_a_step_takes_what_its_busiest_layer_takes_and_the_barrier():
    # hidden, by step: 4, 2, 4 stored operations of 3.5 ns; 4, 4, 3 active updates of 8.4 and 0, 0, 1 idle one of 5.3.
    # The output takes 7, 10.5 and 7 ns, less than that. Two samples, each with three barriers.
    hidden = (4 + 2 + 4) * 3.5 + (4 + 4 + 3) * 8.4 + 5.3
    seconds = time_of()
    assert (seconds.low, seconds.high) == pytest.approx(((hidden + 6 * 113) * 1e-9, (hidden + 6 * 465) * 1e-9))


def test_work_is_shared_by_the_cores_of_a_layer():
    program = by_hand.program()
    whole = time_of()
    chip = by_hand.with_limit("neurons", 1)
    placement = by_hand.place(program, chip, weight_bits=8)
    trace = Engine(program, routes=placement.routes).run(Given(by_hand.INPUTS), n_steps=3).trace
    counted = (trace.executed, trace.layers, trace.n_running, trace.core_synops.executed)
    halved = run_time(program, *counted, profile=DAVIES, placement=placement)
    barrier = 6 * 113e-9
    assert halved.low - barrier == pytest.approx((whole.low - barrier) / 2)


# A row of eight pixels, each to one neuron with one weight; a core holds four neurons. A neuron fires above 0.
ROW = build(
    [
        Input(name="input", shape=(1, 1, 8)),
        Conv(name="conv", weight=np.ones((1, 1, 1, 1))),
        NeuronLayer(name="n", shape=(1, 1, 8), neuron=Threshold(v_threshold=np.array(0.0))),
        Output(name="out"),
    ],
    [Edge("input", "conv"), Edge("conv", "n"), Edge("n", "out")],
    dt_s=1e-3,
    n_steps=1,
)
LEFT = np.array([1, 1, 1, 1, 0, 0, 0, 0], float).reshape(1, 1, 1, 1, 8)  # [n_steps, sample, 1, row, column]


def core_time_of_row(inputs):
    """Return operations by core, and the nanoseconds of a run without its barriers."""
    placement = by_hand.place(ROW, by_hand.with_limit("neurons", 4), weight_bits=8)
    trace = Engine(ROW, routes=placement.routes).run(Given(inputs), n_steps=1).trace
    counted = (trace.executed, trace.layers, trace.n_running, trace.core_synops.executed)
    seconds = run_time(ROW, *counted, profile=DAVIES, placement=placement)
    return trace.core_synops.executed.tolist(), seconds.low * 1e9 - 113 * inputs.shape[1]


def test_a_step_waits_for_its_one_hot_core():
    # Four events reach the first core alone: 4 operations, not the 2 of an even division. Of the updates, 4 active and
    # 4 idle ones, half are on each core.
    updates = (4 * 8.4 + 4 * 5.3) / 2
    synops, ns = core_time_of_row(LEFT)
    assert synops == [[4], [0]]
    assert ns == pytest.approx(4 * 3.5 + updates)
    synops, ns = core_time_of_row(np.tile([1.0, 0.0], 4).reshape(LEFT.shape))
    assert synops == [[2], [2]]
    assert ns == pytest.approx(2 * 3.5 + updates)


def test_samples_with_different_hot_cores_take_longer_than_their_sum_says():
    right = LEFT[..., ::-1]
    (_, left_ns), (_, right_ns) = (core_time_of_row(inputs) for inputs in (LEFT, right))
    synops, together_ns = core_time_of_row(np.concatenate([LEFT, right], axis=1))
    assert synops == [[4], [4]]
    assert left_ns + right_ns - together_ns == pytest.approx(4 * 3.5)


def test_a_sum_that_two_cores_need_is_made_on_both():
    # One output of the first map goes to both neurons of the second: each core adds the three weights of the first.
    nodes = [
        Input(name="input", shape=(3,)),
        Dense(name="first", weight=np.ones((1, 3))),
        Dense(name="second", weight=np.ones((2, 1))),
        NeuronLayer(name="n", shape=(2,), neuron=Threshold(v_threshold=np.array(0.0))),
        Output(name="out"),
    ]
    program = build(nodes, [Edge(a.name, b.name) for a, b in pairwise(nodes)], dt_s=1e-3, n_steps=1)
    placement = by_hand.place(program, by_hand.with_limit("neurons", 1), weight_bits=8)
    trace = Engine(program, routes=placement.routes).run(Given(np.ones((1, 1, 3))), n_steps=1).trace
    assert trace.executed.total("synops_stored") == 3 + 2
    assert trace.core_synops.executed.tolist() == [[3 + 1], [3 + 1]]


def test_a_sum_that_a_core_needs_twice_is_made_once():
    # A core needs the sum of its own neuron through the scale, and both sums through the second map.
    ways = [Dense(name="a", weight=np.ones((2, 2))), Scale(name="b", factor=np.ones(2))]
    for branches in (ways, ways[::-1]):
        nodes = [
            Input(name="input", shape=(3,)),
            Dense(name="first", weight=np.ones((2, 3))),
            *branches,
            NeuronLayer(name="n", shape=(2,), neuron=Threshold(v_threshold=np.array(0.0))),
            Output(name="out"),
        ]
        edges = [Edge("input", "first"), *(Edge("first", node.name) for node in branches)]
        edges += [*(Edge(node.name, "n") for node in branches), Edge("n", "out")]
        program = build(nodes, edges, dt_s=1e-3, n_steps=1)
        placement = by_hand.place(program, by_hand.with_limit("neurons", 1), weight_bits=8)
        trace = Engine(program, routes=placement.routes).run(Given(np.ones((1, 1, 3))), n_steps=1).trace
        assert trace.core_synops.executed.tolist() == [[6 + 2 + 1], [6 + 2 + 1]]


def test_masks_of_one_core_at_a_time_give_the_same_operations(monkeypatch):
    monkeypatch.setattr(placement, "STAGED", 1)
    four = by_hand.place(ROW, by_hand.with_limit("neurons", 2), weight_bits=8)
    trace = Engine(ROW, routes=four.routes).run(Given(LEFT), n_steps=1).trace
    assert trace.core_synops.executed.tolist() == [[2], [2], [0], [0]]


def test_other_counts_of_all_maps_before_a_layer_are_divided_evenly():
    nodes = [
        Input(name="input", shape=(3,)),
        Dense(name="first", weight=np.ones((1, 3))),
        Dense(name="second", weight=np.ones((2, 1))),
        NeuronLayer(name="n", shape=(2,), neuron=Threshold(v_threshold=np.array(0.0))),
        Output(name="out"),
    ]
    program = build(nodes, [Edge(a.name, b.name) for a, b in pairwise(nodes)], dt_s=1e-3, n_steps=1)
    two = by_hand.place(program, by_hand.with_limit("neurons", 1), weight_bits=8)
    trace = Engine(program, routes=two.routes).run(Given(np.ones((1, 1, 3))), n_steps=1).trace
    assert (trace.executed.total("acs"), trace.executed.total("macs")) == (3, 2)  # the second adds a sum of 3
    counted = (trace.executed, trace.layers, trace.n_running, trace.core_synops.executed)
    (latency,) = (each for each in DAVIES.latencies if each.term == "synop")
    profile = replace(DAVIES, latencies=(replace(latency, counts=("acs", "macs"), low_ns=2.0, high_ns=4.0),))
    seconds = run_time(program, *counted, profile=profile, placement=two)
    assert (seconds.low, seconds.high) == pytest.approx((5 * 2e-9 / 2, 5 * 4e-9 / 2))


def test_taps_that_only_make_a_padding_even_are_on_no_core():
    weight = np.arange(9.0).reshape(1, 1, 3, 3)
    conv = Conv(name="conv", weight=weight, padding=(1, 1), evened=(1, 0, 0, 1))
    nodes = [Input(name="input", shape=(1, 4, 5)), conv, Output(name="out")]
    program = build(nodes, [Edge(a.name, b.name) for a, b in pairwise(nodes)], dt_s=1e-3, n_steps=1)
    placement = by_hand.place(program, by_hand.with_limit("neurons", 3), weight_bits=8)
    trace = Engine(program, routes=placement.routes).run(Given(np.ones((1, 1, 1, 4, 5))), n_steps=1).trace
    assert placement.n_cores > 1
    assert trace.core_synops.executed.sum() == trace.executed.total("synops_stored")


def test_samples_that_ended_early_wait_for_no_barrier():
    fewer = time_of(n_running=np.array([2, 2, 1]))
    assert time_of().low - fewer.low == pytest.approx(113e-9)


def test_without_operations_of_each_core_the_time_is_not_known():
    trace = Engine(PROGRAM).run(Given(by_hand.INPUTS), n_steps=3).trace
    assert trace.core_synops is None
    counted = (trace.executed, trace.layers, trace.n_running, trace.core_synops)
    assert run_time(PROGRAM, *counted, profile=DAVIES, placement=by_hand.placed(PROGRAM)) is None


def test_without_latencies_the_time_is_not_known():
    assert time_of(profile=load_profile("loihi1-sanafe")) is None


def test_one_core_without_a_chip_does_one_thing_after_the_other():
    # 17 stored operations, two cycles each
    odin = load_profile("odin")
    seconds = serial_time(TRACE.executed, TRACE.n_running, profile=odin)
    assert (seconds.low, seconds.high) == pytest.approx((34 / 75e6, 34 / 75e6))
    slower = serial_time(TRACE.executed, TRACE.n_running, profile=odin, clock_mhz=1.3)
    assert slower.low == pytest.approx(34 / 1.3e6)
    assert serial_time(TRACE.executed, TRACE.n_running, profile=load_profile("darwin3")) is None


def test_in_sequence_the_time_of_a_step_is_paid_by_every_sample():
    seconds = serial_time(TRACE.executed, TRACE.n_running, profile=DAVIES)
    operations = 17 * 3.5 + 11 * 8.4 + 5.3
    assert (seconds.low, seconds.high) == pytest.approx(((operations + 6 * 113) * 1e-9, (operations + 6 * 465) * 1e-9))
