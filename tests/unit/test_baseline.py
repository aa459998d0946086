from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from tdd_deploy.program import Dense, Edge, Input, Output, Pool, Scale, build
from tdd_deploy.program.quantization.quantize import quantize
from tdd_deploy.simulator.engine.engine import Engine
from tdd_deploy.simulator.hardware.baseline import comparison, dense_work, disagreements, left_out_of_dense, tolerance
from tdd_deploy.simulator.hardware.dense import DATAFLOWS, Candidate, Work
from tdd_deploy.simulator.hardware.execution import fed_by_input
from tdd_deploy.simulator.hardware.profiles import load_profile
from tdd_deploy.simulator.reports.report import priced
from tests import by_hand
from tests.zoo import Given

PROGRAM = by_hand.program()


def without(part, **changed):
    return by_hand.ANN_BASELINE | {part: by_hand.ANN_BASELINE[part] | changed}


def test_the_baseline_of_the_same_network_on_the_same_data_is_accepted():
    assert list(disagreements(by_hand.ANN_BASELINE, PROGRAM, by_hand.DATA)) == []


@pytest.mark.parametrize(
    ("baseline", "where", "found"),
    [
        (by_hand.ANN_BASELINE | {"layers": by_hand.ANN_BASELINE["layers"][:1]}, "its layers", "fc (4 multiplications)"),
        (without("data", name="digits"), "its data", "digits (test)"),
        (without("data", splits={"val": {"files": {}}}), "its data", "by hand (val)"),
        (without("data", splits={"test": {"files": {"by_hand.npz": "0"}}}), "its data", "other files of by hand"),
        (without("data", input_scale=1 / 256), "its data", "values times 0.00390625"),
    ],
)
def test_another_network_or_other_data_are_refused(baseline, where, found):
    (violation,) = disagreements(baseline, PROGRAM, by_hand.DATA)
    assert (violation.where, violation.found) == (where, found)


def compared(
    profile="cmos45-horowitz",
    *,
    program=PROGRAM,
    trace=None,
    baselines=(by_hand.ANN_BASELINE,),
    accuracy=0.5,
    exits_early=False,
):
    trace = trace or by_hand.simulation().trace
    energy = priced(trace, load_profile(profile), program, exits_early=exits_early).executed
    return energy, comparison(program, trace, energy, Candidate.trained(baselines, "test"), accuracy=accuracy)


def test_every_machine_that_could_execute_a_dense_network_has_a_row():
    energy, found = compared("cmos45-memory")
    rows = [(row["weight_bits"], row["activation_bits"], row["dataflow"], row["skips_zeros"]) for row in found["rows"]]
    pairs = ((None, None), (8, 8), (8, 4))
    assert rows == [(*pair, dataflow, skips) for pair in pairs for dataflow in DATAFLOWS for skips in (False, True)]
    assert found["spiking_pj"] == pytest.approx(energy.dynamic_pj / 2)
    for row in found["rows"]:
        assert row["ratio"] == pytest.approx(found["spiking_pj"] / row["dense_pj"])
        assert row["macs"] == (4 if row["skips_zeros"] else 6)


def test_where_memory_has_no_price_machines_have_no_dataflow():
    _, found = compared("cmos45-horowitz")
    assert {row["dataflow"] for row in found["rows"]} == {"none"}


def test_where_nothing_has_a_price_nothing_is_compared():
    whole = load_profile("cmos45-horowitz")
    profile = replace(whole, operations=tuple(each for each in whole.operations if each.name == "int8_mul"))
    trace = by_hand.simulation().trace
    energy = priced(trace, profile, PROGRAM).executed
    assert comparison(PROGRAM, trace, energy, Candidate.trained([by_hand.ANN_BASELINE], "test"), accuracy=0.5) is None


def test_the_least_favorable_row_is_the_cheapest_dense_network_that_is_as_accurate():
    many = replace(by_hand.simulation().trace, n_running=np.full(3, 10_000))
    _, found = compared("cmos45-memory", trace=many)
    worst, best = (found["rows"][found[key]] for key in ("least_favorable", "most_favorable"))
    # 4 bits are cheaper, and with an accuracy of 25 % not comparable with 50 %
    assert (worst["weight_bits"], worst["activation_bits"], worst["skips_zeros"]) == (8, 8, True)
    assert worst["dense_pj"] == min(row["dense_pj"] for row in found["rows"] if row["is_comparable"])
    assert (best["weight_bits"], best["dataflow"], best["skips_zeros"]) == (None, "none", False)
    assert {row["is_comparable"] for row in found["rows"] if row["activation_bits"] == 4} == {False}
    _, found = compared("cmos45-memory", accuracy=None)
    assert found["rows"][found["least_favorable"]]["activation_bits"] == 4
    _, found = compared("cmos45-memory", trace=many, accuracy=0.9)
    assert (found["least_favorable"], found["most_favorable"]) == (None, None)


@pytest.mark.parametrize(
    ("accuracy", "n_samples", "least"),
    [(0.99, 10_000, 0.01), (0.9, 10_000, 0.01), (0.986, 500, 0.0118), (1.0, 20, 0.1128), (0.5, 2, 0.4082)],
)
def test_few_samples_cannot_tell_small_differences_apart(accuracy, n_samples, least):
    assert tolerance(accuracy, n_samples) == pytest.approx(least, rel=1e-2)


@pytest.mark.parametrize("exits_early", [False, True])
@pytest.mark.parametrize("profile", ["cmos45-horowitz", "cmos45-memory", "cmos7-jouppi", "cmos28-truenorth-memory"])
def test_at_the_crossover_rate_a_run_costs_as_much(profile, exits_early):
    trace = by_hand.simulation().trace
    energy, found = compared(profile, exits_early=exits_early)
    # 7 events of 2 neurons in 3 steps of 2 samples
    assert found["rate"] == pytest.approx(7 / 12)
    fixed = ("updates_active", "updates_idle", "bias_adds", "readout", "exit_comparison")
    readout = [layer.name for layer in trace.layers].index("readout")
    hidden = [layer.name for layer in trace.layers].index("hidden")
    grows = sum(
        term.energy_pj[[readout, hidden]].sum() for term in energy.terms if not set(term.price.counts) & set(fixed)
    )
    for row in found["rows"]:
        factor = row["crossover_rate"] / found["rate"]
        assert energy.dynamic_pj + (factor - 1) * grows == pytest.approx(2 * row["dense_pj"])


def test_the_rate_is_of_the_events_that_were_sent():
    program = by_hand.program(readout_code="delta")
    trace = Engine(program).run(Given(by_hand.INPUTS), n_steps=3).trace
    assert compared(program=program, trace=trace)[1]["rate"] == pytest.approx(4 / 12)


def test_biases_that_neurons_hold_do_not_grow_with_the_rate():
    program = quantize(PROGRAM, bits=8, input_bits=6).program
    trace = Engine(program).run(Given(np.ones((3, 2, 2))), n_steps=3).trace
    energy = priced(trace, load_profile("cmos45-memory"), program).executed
    held = next(term for term in energy.terms if term.price.term == "neuron_bias")
    assert held.count.sum() > 0
    found = comparison(program, trace, energy, Candidate.untrained(dense_work(program), n_steps=3), accuracy=None)
    of_events = ("ac", "mac", "weight_read", "sum_read_write", "event_address", "event_value")
    after = [row for row, layer in enumerate(trace.layers) if layer.name in ("hidden", "readout")]
    grows = sum(term.energy_pj[after].sum() for term in energy.terms if term.price.term in of_events)
    for row in found["rows"]:
        factor = row["crossover_rate"] / found["rate"]
        assert energy.dynamic_pj + (factor - 1) * grows == pytest.approx(2 * row["dense_pj"])


@pytest.mark.parametrize(
    ("known", "is_whole", "widths"),
    [
        (("float32_add", "float32_mul"), True, {(None, None)}),
        (("float32_add",), False, {(None, None)}),
        # Spikes are in floats here, and lack all arithmetic: so do dense floats, and a product of 8 by 4 bits.
        (("int8_add", "int8_mul"), False, {(None, None), (8, 4)}),
    ],
)
def test_dense_arithmetic_without_figures_is_compared_only_with_spikes_that_lack_the_same(known, is_whole, widths):
    whole = load_profile("cmos45-memory")
    profile = replace(whole, operations=tuple(each for each in whole.operations if each.name in known))
    trace = by_hand.simulation().trace
    energy = priced(trace, profile, PROGRAM).executed
    found = comparison(PROGRAM, trace, energy, Candidate.trained((by_hand.ANN_BASELINE,), "test"), accuracy=0.5)
    assert {(row["weight_bits"], row["activation_bits"]) for row in found["rows"]} == widths
    assert is_whole != any(line.startswith("arithmetic") for line in energy.not_priced)


def test_a_network_with_delayed_edges_has_no_dense_network_beside_it_without_a_training():
    recurrent = Dense(name="back", weight=np.ones((2, 2)))
    edges = [*PROGRAM.edges, Edge("hidden", "back", delay=1), Edge("back", "hidden")]
    program = build([*PROGRAM.nodes, recurrent], edges, dt_s=1e-3, n_steps=2)
    trace = Engine(program).run(Given(np.ones((2, 3, 2), np.float32)), n_steps=2).trace
    energies = (priced(trace, load_profile("cmos45-memory"), program),)
    (found,) = replace(by_hand.simulation(), program=program, trace=trace, energies=energies).as_json()["energies"]
    assert found["dynamic_pj"] > 0
    assert found["comparison"] is None


def test_a_network_without_weights_has_no_dense_network_beside_it():
    nodes = [PROGRAM.input, by_hand.HIDDEN, Output(name="out")]
    program = build(nodes, [Edge(a.name, b.name) for a, b in pairwise(nodes)], dt_s=1e-3, n_steps=2)
    trace = Engine(program).run(Given(np.ones((2, 3, 2), np.float32)), n_steps=2).trace
    energy = priced(trace, load_profile("cmos45-memory"), program).executed
    assert energy.dynamic_pj > 0
    candidates = Candidate.untrained(dense_work(program), n_steps=2)
    assert comparison(program, trace, energy, candidates, accuracy=None) is None


def test_without_a_process_or_without_events_nothing_crosses():
    assert compared("loihi1-davies2018")[1] is None
    silent = by_hand.silent()
    found = compared(trace=silent)[1]
    assert found["rate"] is None
    assert {row["crossover_rate"] for row in found["rows"]} == {None}


def test_the_work_of_layers_is_what_training_would_count():
    (candidate, *_) = Candidate.trained([by_hand.ANN_BASELINE], "test")
    found = dense_work(PROGRAM)
    assert (found.macs, found.weights, found.inputs, found.outputs) == (6, 6, 4, 3)
    assert candidate.dense.macs == found.macs
    assert found.biases == 1  # the other bias is 0
    assert dense_work(quantize(PROGRAM, bits=8, input_bits=6).program).biases == 1  # its neuron holds it
    scaled = [PROGRAM.input, Scale(name="scale", factor=np.ones(2)), by_hand.HIDDEN, Output(name="out")]
    program = build(scaled, [Edge(a.name, b.name) for a, b in pairwise(scaled)], dt_s=1e-3, n_steps=2)
    assert dense_work(program) == Work(macs=2, weights=2, inputs=2, outputs=2, biases=0)


def test_one_pass_leaves_out_pools_and_what_a_delay_repeats():
    pool = Pool(name="pool", kernel=(2, 2), stride=(2, 2))
    nodes = [Input(name="input", shape=(1, 4, 4)), pool, by_hand_layer((1, 2, 2)), Output(name="out")]
    edges = [*(Edge(a.name, b.name) for a, b in pairwise(nodes)), Edge("hidden", "hidden", delay=1)]
    found = list(left_out_of_dense(build(nodes, edges, dt_s=1e-3, n_steps=2)))
    assert [line.partition(":")[0] for line in found] == ["pool", "hidden -> hidden"]
    assert list(left_out_of_dense(PROGRAM)) == []


def by_hand_layer(shape):
    return replace(by_hand.HIDDEN, shape=shape)


def test_what_the_input_reaches_before_neurons():
    assert fed_by_input(PROGRAM) == {"input", "fc"}


def test_a_map_that_the_input_and_neurons_feed_is_fed_by_the_input():
    around = Edge("hidden", "fc", code="spike", delay=1)
    edges = [*by_hand.program(fc_code="spike").edges, around]
    program = build(PROGRAM.nodes, edges, dt_s=1e-3, n_steps=2)
    assert fed_by_input(program) == {"input", "fc"}
