import numpy as np
import pytest

from tdd_deploy.simulator.engine.engine import Engine
from tdd_deploy.simulator.hardware.profiles import load_profile
from tdd_deploy.simulator.hardware.timing import run_time
from tests import by_hand
from tests.zoo import Given

DAVIES = load_profile("loihi1-davies2018")
PROGRAM = by_hand.program()
TRACE = by_hand.result().trace


def time_of(*, n_running=TRACE.n_running, profile=DAVIES):
    placement = by_hand.placed(PROGRAM)
    counted = (TRACE.executed, TRACE.layers, n_running, TRACE.core_synops.executed)
    return run_time(PROGRAM, *counted, profile=profile, placement=placement)


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


def test_samples_that_ended_early_wait_for_no_barrier():
    fewer = time_of(n_running=np.array([2, 2, 1]))
    assert time_of().low - fewer.low == pytest.approx(113e-9)


def test_without_latencies_the_time_is_not_known():
    assert time_of(profile=load_profile("loihi1-sanafe")) is None
