import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from tdd_deploy.neurons import SigmaDelta
from tdd_deploy.program import Dense, Edge, Flatten, Input, NeuronLayer, Output, build, with_code
from tdd_deploy.program.quantization.quantize import quantize
from tdd_deploy.simulator.engine.engine import Engine
from tdd_deploy.simulator.hardware.execution import Execution
from tdd_deploy.simulator.hardware.process import (
    EXIT_COMPARISON,
    GRADED_EVENTS,
    NEURON_BIASES,
    READOUT,
    Numbers,
    Process,
    prices_of,
)
from tdd_deploy.simulator.hardware.profiles import load_profile
from tests import by_hand
from tests.zoo import Given

MEMORY = Process(load_profile("cmos45-memory"))
JOUPPI = Process(load_profile("cmos7-jouppi"))
INTEGERS = Numbers(is_float=False, weight_bits=8, sum_bits=24, address_bits=10, value_bits=9)


def test_published_widths_cost_what_is_published():
    assert MEMORY.add(8).value_pj == 0.03
    assert MEMORY.add(32).value_pj == 0.1
    assert MEMORY.multiply(8, 8).value_pj == 0.2
    assert MEMORY.multiply(32, 32).value_pj == 3.1
    assert MEMORY.add(32, is_float=True).value_pj == 0.9
    assert MEMORY.multiply(16, 16, is_float=True).value_pj == 1.1
    assert MEMORY.multiply(32, 16, is_float=True).value_pj == MEMORY.multiply(16, 32, is_float=True).value_pj == 3.7
    assert (JOUPPI.add(8).value_pj, JOUPPI.multiply(32, 32, is_float=True).value_pj) == (0.007, 1.31)


def test_other_widths_follow_the_power_law_through_both_published_ones():
    """An addition of 16 bits lies half way between 8 and 32 on a logarithmic scale, and so does 16 x 16 or 8 x 32."""
    half_way = math.sqrt(0.03 * 0.1)
    assert MEMORY.add(16).value_pj == pytest.approx(half_way)
    assert MEMORY.multiply(16, 16).value_pj == pytest.approx(math.sqrt(0.2 * 3.1))
    assert MEMORY.multiply(8, 32).value_pj == MEMORY.multiply(32, 8).value_pj == pytest.approx(math.sqrt(0.2 * 3.1))
    assert MEMORY.add(2).value_pj == pytest.approx(0.03 * 0.03 / 0.1)


@pytest.mark.parametrize("bits", [2, 8, 24, 32, 40])
def test_a_figure_of_integers_spans_the_published_ones(bits):
    found = MEMORY.add(bits)
    assert found.low_pj == min(0.03, found.value_pj)
    assert found.high_pj == max(0.1, found.value_pj)
    assert (found.confidence == "derived") == (bits not in (8, 32))
    assert "8" in found.range_source


def test_a_figure_is_read_no_more_directly_than_what_it_was_derived_from():
    assert [JOUPPI.add(bits).read for bits in (8, 24)] == ["quoted", "quoted1"]


def test_an_access_costs_in_proportion_to_its_bits_in_the_smallest_memory_at_most_in_the_largest_on_the_chip():
    found = MEMORY.access(24)
    assert (found.low_pj, found.value_pj, found.high_pj) == (3.75, 3.75, 37.5)
    assert "cache_8kB" in found.source
    assert "cache_1MB" in found.range_source
    assert Process(load_profile("cmos28-truenorth-memory")).access(8).value_pj == pytest.approx(0.376)


def test_a_memory_of_several_figures_gives_bounds_and_its_highest_figure_is_used():
    dear, near, far = (
        replace(MEMORY.profile.memories[0], name=name, bits=bits, kilobytes=kilobytes, low_pj=low, high_pj=high)
        for name, bits, kilobytes, low, high in (("dear", 4, 8, 6, 6), ("near", 8, 8, 8, 16), ("far", 8, 64, 20, 24))
    )
    found = Process(replace(MEMORY.profile, memories=(dear, near, far))).access(16)
    # "dear" is as small as "near", and costs more per bit
    assert (found.low_pj, found.value_pj, found.high_pj) == (16, 32, 48)
    assert "near" in found.source
    assert "far" in found.range_source
    assert Process(replace(MEMORY.profile, memories=(dear,))).access(16).range_source == ""


def test_a_published_access_is_derived_only_when_it_is_taken_twice():
    found = Process(load_profile("cmos28-truenorth-memory")).access(1)
    assert [found.times(n).confidence for n in (1, 2)] == ["measured", "derived"]
    assert Process(load_profile("cmos28-truenorth-memory")).access(8).confidence == "derived"


def test_a_price_is_what_its_parts_are_or_else_derived():
    narrow = replace(INTEGERS, sum_bits=8)
    prices = {price.term: price for price in prices_of(JOUPPI.profile, narrow)}
    assert (prices["ac"].confidence, prices["ac"].read) == ("unknown", "quoted")
    assert (prices["bias"].confidence, prices["bias"].read) == ("derived", "quoted1")  # of its memory


def test_without_multiplications_only_terms_without_them_have_prices():
    adds = tuple(each for each in MEMORY.profile.operations if each.name.endswith("add"))
    profile = replace(MEMORY.profile, operations=adds, memories=())
    terms = {price.term for price in prices_of(profile, INTEGERS)}
    assert terms == {"ac", "bias", "neuron_bias", "readout", "exit_comparison"}


def test_what_is_not_published_has_no_figure():
    horowitz, memory_alone = (Process(load_profile(name)) for name in ("cmos45-horowitz", "cmos28-truenorth-memory"))
    assert horowitz.access(8) is None
    assert memory_alone.add(8) is None
    assert memory_alone.multiply(8, 8) is None
    assert MEMORY.add(24, is_float=True) is None
    adds = replace(MEMORY.profile, operations=tuple(each for each in MEMORY.profile.operations if "int8" in each.name))
    assert Process(adds).add(8).value_pj == 0.03
    assert Process(adds).add(24) is None


def test_the_prices_of_integers_by_hand():
    found = {price.term: price.value_pj for price in prices_of(load_profile("cmos45-memory"), INTEGERS)}
    bit, add_slope, mul_slope = 10 / 64, math.log(0.1 / 0.03) / math.log(4), math.log(3.1 / 0.2) / math.log(16)
    add = 0.03 * 3**add_slope
    assert found == pytest.approx(
        {
            "ac": add,
            "mac": 0.2 * (72 / 64) ** mul_slope + add,
            "weight_read": 8 * bit,
            "sum_read_write": 48 * bit,
            "neuron_arithmetic": 0.2 * (24 * 12 / 64) ** mul_slope + 2 * add,
            "neuron_read_write": 72 * bit,
            "event_address": 20 * bit,
            "event_value": 18 * bit,
            "bias": add + 24 * bit,
            "neuron_bias": add + 24 * bit,
            "readout": add + 48 * bit,
            "exit_comparison": 2 * add,
        }
    )


def test_chips_keep_their_prices():
    odin = load_profile("odin")
    assert prices_of(odin, INTEGERS) is odin.prices


def test_the_widths_of_a_program_of_floats():
    numbers = Numbers.of(by_hand.program())
    assert numbers == Numbers(is_float=True, weight_bits=32, sum_bits=32, address_bits=2, value_bits=32)


def one_neuron():
    """input (1) -> fc -> neuron (1) -> out, in spike code."""
    neuron = replace(by_hand.HIDDEN, name="neuron", shape=(1,))
    nodes = [Input(name="input", shape=(1,)), Dense(name="fc", weight=np.ones((1, 1))), neuron, Output(name="out")]
    edges = [Edge(a.name, b.name, code="spike") for a, b in pairwise(nodes)]
    return build(nodes, edges, dt_s=1e-3, n_steps=2)


def network(*, width):
    """input (1, 1, width) -> flatten -> fc -> neurons (5) -> readout -> flatten -> out (3)."""
    neuron = by_hand.HIDDEN.neuron
    nodes = [
        Input(name="input", shape=(1, 1, width)),
        Flatten(name="flat"),
        Dense(name="fc", weight=np.ones((5, width))),
        NeuronLayer(name="neurons", shape=(5,), neuron=neuron),
        Dense(name="readout", weight=np.ones((3, 5))),
        Flatten(name="last"),
        Output(name="out"),
    ]
    edges = [Edge(a.name, b.name) for a, b in pairwise(nodes)]
    return build(nodes, edges, dt_s=1e-3, n_steps=2)


@pytest.mark.parametrize(("width", "address_bits"), [(5, 3), (8, 3), (9, 4), (64, 6), (65, 7)])
def test_an_address_counts_the_values_of_the_largest_layer(width, address_bits):
    signed = network(width=width)
    assert Numbers.of(with_code(signed, "spike")).address_bits == address_bits
    assert Numbers.of(signed).address_bits == address_bits + 1  # delta events have a sign


def test_an_address_has_a_bit_at_least():
    assert Numbers.of(one_neuron()).address_bits == 1


def test_the_widths_of_a_program_of_integers():
    floats = network(width=9)
    program = quantize(floats, bits=4, input_bits=6).program
    numbers = Numbers.of(program)
    assert (numbers.is_float, numbers.sum_bits, numbers.address_bits) == (False, 24, 5)
    assert numbers.weight_bits <= 4
    assert program.input.largest < 2 ** (numbers.value_bits - 1) <= 2 * program.input.largest


@pytest.mark.parametrize(("value", "events"), [(1.0, 0), (0.5, 9)])
def test_events_of_an_input_that_is_multiplied_carry_values(value, events):
    program = network(width=9)
    trace = Engine(program).run(Given(np.full((2, 1, 1, 1, 9), value, np.float32)), n_steps=2).trace
    derived = Execution.of(program, trace, trace.executed, numbers=INTEGERS).derived
    assert derived[GRADED_EVENTS].sum() == events  # sent once, in delta code


def test_an_input_that_is_multiplied_in_plain_spikes_alone_carries_values_too():
    program = network(width=9)
    inputs = np.full((2, 1, 1, 1, 9), [1.0]) + np.arange(2.0).reshape(2, 1, 1, 1, 1)  # 1, then 2: changes of 1
    trace = Engine(program).run(Given(inputs), n_steps=2).trace
    assert trace.executed.total("macs") == 0
    derived = Execution.of(program, trace, trace.executed, numbers=INTEGERS).derived
    assert derived[GRADED_EVENTS].sum() == 18


def test_events_of_graded_neurons_carry_values_in_the_code_that_is_priced():
    graded = NeuronLayer(name="neurons", shape=(5,), neuron=SigmaDelta(delta_threshold=np.array(0.0)))
    floats = network(width=9)
    nodes = [graded if node.name == "neurons" else node for node in floats.nodes]
    program = build(nodes, floats.edges, dt_s=1e-3, n_steps=2)
    trace = Engine(program).run(Given(np.ones((2, 1, 1, 1, 9))), n_steps=2).trace
    row = [layer.name for layer in trace.layers].index("neurons")
    for counts, events in ((trace.executed, 5), (trace.spike_code, 10)):  # the same value in both steps
        derived = Execution.of(program, trace, counts, numbers=INTEGERS).derived
        assert derived[GRADED_EVENTS][row].sum() == derived[GRADED_EVENTS].sum() == events


def test_biases_that_neurons_hold_are_counted_in_every_step():
    floats = network(width=9)
    nodes = [replace(n, bias=np.array([1.0, 0, 2, 3, 0])) if n.name == "fc" else n for n in floats.nodes]
    program = quantize(build(nodes, floats.edges, dt_s=1e-3, n_steps=2), bits=8, input_bits=6).program
    trace = Engine(program).run(Given(np.ones((2, 4, 1, 1, 9), np.float32)), n_steps=2).trace
    assert trace.executed.total("bias_adds") == 0  # its maps have none
    derived = Execution.of(program, trace, trace.executed, numbers=INTEGERS).derived
    row = [layer.name for layer in trace.layers].index("neurons")
    assert derived[NEURON_BIASES][row].tolist() == [12, 12]  # three of five neurons, four samples
    assert derived[NEURON_BIASES].sum() == 24
    ended = replace(trace, n_running=np.array([4, 1]))
    derived = Execution.of(program, ended, trace.executed, numbers=INTEGERS).derived
    assert derived[NEURON_BIASES][row].tolist() == [12, 3]
    trace = Engine(floats).run(Given(np.ones((2, 4, 1, 1, 9), np.float32)), n_steps=2).trace
    assert NEURON_BIASES not in Execution.of(floats, trace, trace.executed, numbers=INTEGERS).derived


def test_readout_is_counted_at_the_last_layer_with_synapses():
    program = network(width=9)
    trace = Engine(program).run(Given(np.ones((2, 4, 1, 1, 9), np.float32)), n_steps=2).trace
    derived = Execution.of(program, trace, trace.executed, numbers=INTEGERS, exits_early=True).derived
    row = [layer.name for layer in trace.layers].index("readout")
    assert derived[READOUT][row].tolist() == [12, 12]  # three values, four samples
    assert derived[READOUT].sum() == derived[EXIT_COMPARISON].sum() == 24
    assert EXIT_COMPARISON not in Execution.of(program, trace, trace.executed, numbers=INTEGERS).derived
    ended = replace(trace, n_running=np.array([4, 1]))
    derived = Execution.of(program, ended, trace.executed, numbers=INTEGERS, exits_early=True).derived
    assert derived[READOUT][row].tolist() == derived[EXIT_COMPARISON][row].tolist() == [12, 3]
