import numpy as np
import pytest

from tdd_deploy.simulator.hardware.profiles import load_profile
from tdd_deploy.simulator.hardware.timing import run_time, serial_time
from tests import by_hand

DAVIES = load_profile("loihi1-davies2018")
PROGRAM = by_hand.program()
TRACE = by_hand.result().trace


def time_of(*, n_running=TRACE.n_running, profile=DAVIES):
    placement = by_hand.placed(PROGRAM)
    return run_time(PROGRAM, TRACE.executed, TRACE.layers, n_running, profile=profile, placement=placement)


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
    halved = run_time(program, TRACE.executed, TRACE.layers, TRACE.n_running, profile=DAVIES, placement=placement)
    barrier = 6 * 113e-9
    assert halved.low - barrier == pytest.approx((whole.low - barrier) / 2)


def test_samples_that_ended_early_wait_for_no_barrier():
    fewer = time_of(n_running=np.array([2, 2, 1]))
    assert time_of().low - fewer.low == pytest.approx(113e-9)


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
