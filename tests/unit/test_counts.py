import re
from itertools import pairwise

import numpy as np
import pytest

from tdd_deploy.program import Conv, Dense, Edge, Flatten, Input, Output, Pool, build, with_code
from tdd_deploy.simulator import reference
from tdd_deploy.simulator.counts import FIELDS, Counts
from tdd_deploy.simulator.engine.engine import Engine
from tests import by_hand
from tests.zoo import Given


@pytest.mark.parametrize(
    ("code", "expected"),
    [("executed", by_hand.EXECUTED), ("spike_code", by_hand.SPIKE_CODE), ("delta_code", by_hand.DELTA_CODE)],
)
@pytest.mark.parametrize("field", FIELDS)
def test_a_network_counted_by_hand(code, expected, field):
    found = getattr(getattr(by_hand.result().trace, code), field)
    np.testing.assert_array_equal(found, getattr(by_hand.counts_of(expected), field))


def test_the_rows_are_the_input_the_maps_with_weights_and_the_neurons():
    assert [(layer.name, layer.kind, layer.shape) for layer in by_hand.result().trace.layers] == list(by_hand.LAYERS)


def test_the_spikes_and_the_output_are_those_found_by_hand():
    result = by_hand.result()
    np.testing.assert_array_equal(result.layers["hidden"], by_hand.SPIKES)
    np.testing.assert_array_equal(result.output, by_hand.OUTPUT)
    sent = reference.run(by_hand.program(), by_hand.INPUTS)
    np.testing.assert_array_equal(sent["hidden"].swapaxes(0, 1), by_hand.SPIKES)
    np.testing.assert_array_equal(sent["out"].swapaxes(0, 1), by_hand.OUTPUT)


@pytest.mark.parametrize("name", FIELDS)
def test_a_total_is_over_layers_and_steps(name):
    assert by_hand.result().trace.executed.total(name) == by_hand.TOTALS[name]


@pytest.mark.parametrize("fc_code", ["spike", "delta"])
@pytest.mark.parametrize("readout_code", ["spike", "delta"])
def test_the_counts_of_one_code_throughout_do_not_depend_on_what_was_executed(fc_code, readout_code):
    program = by_hand.program(fc_code=fc_code, readout_code=readout_code)
    engine = Engine(program, routes=by_hand.placed(program).routes)
    trace = engine.run(Given(by_hand.INPUTS), n_steps=3).trace
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(trace.spike_code, name), getattr(by_hand.result().trace.spike_code, name))
        np.testing.assert_array_equal(getattr(trace.delta_code, name), getattr(by_hand.result().trace.delta_code, name))
    tables = {"spike": by_hand.SPIKE_CODE, "delta": by_hand.DELTA_CODE}
    expected = by_hand.counts_of(
        {name: tables[fc_code][name] for name in ("input", "fc")}
        | {name: tables[readout_code][name] for name in ("hidden", "readout")}
    )
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(trace.executed, name), getattr(expected, name))


def chain_trace(inputs, *maps, code="delta"):
    nodes = [Input(name="input", shape=inputs.shape[2:]), *maps, Output(name="out")]
    edges = [Edge(a.name, b.name) for a, b in pairwise(nodes)]
    program = with_code(build(nodes, edges, dt_s=1e-3, n_steps=len(inputs)), code)
    return Engine(program).run(Given(inputs), n_steps=len(inputs)).trace


CROSS = np.array([[[[0, 1, 0], [2, 3, 4], [0, 5, 0]]]])  # 5 of 9 taps
# Padded by 1, a corner pixel is under 4 of the 9 taps, a border pixel under 6, the middle under all 9.
# Of the cross, a corner is under the middle tap and 2 arms (3), a border pixel under 4, the middle under 5.
STORED = np.array([[4, 6, 4], [6, 9, 6], [4, 6, 4]])
EFFECTIVE = np.array([[3, 4, 3], [4, 5, 4], [3, 4, 3]])


@pytest.mark.parametrize("y", range(3))
@pytest.mark.parametrize("x", range(3))
def test_a_pixel_of_a_convolution_costs_the_taps_above_it_and_none_in_the_padding(y, x):
    inputs = np.zeros((1, 1, 1, 3, 3))
    inputs[0, 0, 0, y, x] = 1
    executed = chain_trace(inputs, Conv(name="conv", weight=CROSS, padding=(1, 1))).executed
    assert executed.total("synops_stored") == STORED[y, x]
    assert executed.total("synops_effective") == EFFECTIVE[y, x]
    assert executed.total("dense") == 49  # 4 x 4 + 4 x 6 + 9


def test_a_bias_of_a_convolution_is_added_at_every_pixel_of_its_channel():
    conv = Conv(name="conv", weight=np.ones((3, 1, 2, 2)), bias=np.array([1, 0, -2]))
    inputs = np.zeros((4, 2, 1, 3, 3))
    # 2 nonzero biases, 2 x 2 pixels, 2 samples: 16 additions, at the first step or at all 4.
    assert chain_trace(inputs, conv, code="delta").executed.bias_adds.tolist() == [[0, 0, 0, 0], [16, 0, 0, 0]]
    assert chain_trace(inputs, conv, code="spike").executed.bias_adds.tolist() == [[0, 0, 0, 0], [16, 16, 16, 16]]


def test_a_stride_leaves_pixels_that_cost_nothing():
    # 3 pixels in a row, kernel 1, stride 2: the middle one is never read.
    conv = Conv(name="conv", weight=np.ones((1, 1, 1, 1)), stride=(1, 2))
    inputs = np.ones((1, 1, 1, 1, 3))
    assert chain_trace(inputs, conv).executed.total("synops_effective") == 2


def test_an_event_reaches_its_group_alone():
    conv = Conv(name="conv", weight=np.ones((6, 1, 1, 1)), groups=2)
    inputs = np.array([1.0, 0.0]).reshape(1, 1, 2, 1, 1)
    assert chain_trace(inputs, conv).executed.total("synops_stored") == 3


def test_an_average_pool_turns_spikes_into_grey_values_and_acs_into_macs():
    inputs = np.array([[1.0, 0.0], [0.0, 0.0]]).reshape(1, 1, 1, 2, 2)
    fc = Dense(name="fc", weight=np.ones((5, 1)))

    def counts(average):
        pool = Pool(name="pool", kernel=(2, 2), stride=(2, 2), average=average)
        return chain_trace(inputs, pool, Flatten(name="flat"), fc).executed

    assert (counts(True).total("acs"), counts(True).total("macs")) == (0, 5)  # one event of 1/4
    assert (counts(False).total("acs"), counts(False).total("macs")) == (5, 0)  # one event of 1


def test_two_spikes_that_a_pool_adds_up_are_one_event_of_2():
    inputs = np.array([[1.0, 1.0], [0.0, 0.0]]).reshape(1, 1, 1, 2, 2)
    pool = Pool(name="pool", kernel=(2, 2), stride=(2, 2))
    executed = chain_trace(inputs, pool, Flatten(name="flat"), Dense(name="fc", weight=np.ones((5, 1)))).executed
    assert (executed.total("acs"), executed.total("macs")) == (0, 5)


def test_an_event_of_minus_1_is_an_ac():
    inputs = np.array([[[1.0]], [[0.0]], [[-1.0]]])  # changes by 1, -1, -1
    executed = chain_trace(inputs, Dense(name="fc", weight=np.ones((1, 1)))).executed
    assert executed.acs[1].tolist() == [1, 1, 1]


def test_traces_add_up():
    trace = by_hand.result().trace
    twice = trace + trace
    assert (twice.n_samples, twice.layers) == (4, trace.layers)
    for code in ("executed", "spike_code", "delta_code"):
        for name in FIELDS:
            np.testing.assert_array_equal(getattr(getattr(twice, code), name), 2 * getattr(getattr(trace, code), name))


def test_acs_and_macs_are_the_effective_operations():
    for counts in (by_hand.result().trace.executed, by_hand.result().trace.spike_code):
        np.testing.assert_array_equal(counts.acs + counts.macs, counts.synops_effective)


@pytest.mark.parametrize("name", FIELDS)
def test_every_count_is_explained(name):
    assert name in re.findall(r"\w+", Counts.__doc__)
