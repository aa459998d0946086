"""Dense machines: energies by hand, and what training measured of the networks that they execute."""

from dataclasses import replace

import pytest

from tdd_deploy.simulator.hardware.dense import DATAFLOWS, Candidate, Machine, Work, matched_bits
from tdd_deploy.simulator.hardware.process import Process
from tdd_deploy.simulator.hardware.profiles import load_profile
from tests import by_hand

WORK = Work(macs=100, weights=30, inputs=20, outputs=10, biases=10)
# cmos45-memory, in pJ: 10 per 64 bits. Integers: a sum of 24 bits is added for 0.03 x 3 ** (ln(0.1 / 0.03) / ln 4).
BIT = 10 / 64
ADD_24 = 0.0778
COMMON = {
    (None, None): 100 * 3.7 + 120 * 0.9 + 10 * 32 * BIT,
    (8, 8): 100 * 0.2 + 120 * ADD_24 + 10 * 8 * BIT,
    (8, 3): 100 * 0.2 * (24 / 64) ** 0.98858 + 120 * ADD_24 + 10 * 3 * BIT,
}
MOVED = {
    ("none", None, None): (100 * 64 + 210 * 32) * BIT,
    ("register-sums", None, None): 100 * 64 * BIT,
    ("full-reuse", None, None): (30 + 20) * 32 * BIT,
    ("none", 8, 8): (100 * 16 + 210 * 24) * BIT,
    ("register-sums", 8, 8): 100 * 16 * BIT,
    ("full-reuse", 8, 8): (30 + 20) * 8 * BIT,
    ("none", 8, 3): (100 * 11 + 210 * 24) * BIT,
    ("register-sums", 8, 3): 100 * 11 * BIT,
    ("full-reuse", 8, 3): (30 * 8 + 20 * 3) * BIT,
}


def energy_of(dataflow, weight_bits, activation_bits, profile, work=WORK):
    """Return low, value and high of one pass."""
    machine = Machine(dataflow=dataflow, skips_zeros=False, weight_bits=weight_bits, activation_bits=activation_bits)
    terms = machine.terms(work, Process(load_profile(profile)))
    return tuple(
        sum(term.count * getattr(term.figure, bound) for term in terms) for bound in ("low_pj", "value_pj", "high_pj")
    )


@pytest.mark.parametrize(("dataflow", "weight_bits", "activation_bits"), MOVED)
def test_the_energy_is_arithmetic_and_what_a_dataflow_moves(dataflow, weight_bits, activation_bits):
    low, value, high = energy_of(dataflow, weight_bits, activation_bits, "cmos45-memory")
    by_hand_pj = COMMON[weight_bits, activation_bits] + MOVED[dataflow, weight_bits, activation_bits]
    assert value == pytest.approx(by_hand_pj, rel=1e-3)
    assert low <= value < high


def test_the_bounds_have_arithmetic_of_8_and_32_bits_and_the_smallest_and_the_largest_memory():
    low, _, high = energy_of("register-sums", 8, 8, "cmos45-memory")
    bits = (100 * 16 + 10 * 8) / 64
    assert low == pytest.approx(100 * 0.2 + 120 * 0.03 + bits * 10)
    assert high == pytest.approx(100 * 3.1 + 120 * 0.1 + bits * 100)


def test_with_full_reuse_nothing_is_read_more_often_than_it_is_multiplied():
    few = replace(WORK, macs=5)
    _, value, _ = energy_of("full-reuse", 8, 4, "cmos28-truenorth-memory", few)
    assert value == pytest.approx((5 * 8 + 5 * 4 + 10 * 4) * 0.047)


def test_where_memory_has_no_figure_the_dataflow_changes_nothing():
    for dataflow in DATAFLOWS:
        _, value, _ = energy_of(dataflow, None, None, "cmos45-horowitz")
        assert value == pytest.approx(100 * 3.7 + 120 * 0.9)


def test_where_arithmetic_has_no_figure_only_memory_costs():
    _, value, _ = energy_of("full-reuse", 8, 8, "cmos28-truenorth-memory")
    assert value == pytest.approx(60 * 8 * 0.047)


def test_a_trained_network_is_a_candidate_in_every_pair_of_widths_of_the_split():
    found = Candidate.trained([by_hand.ANN_BASELINE], "test")
    assert [(each.weight_bits, each.activation_bits, each.accuracy) for each in found] == [
        (None, None, 0.75),
        (8, 8, 0.5),
        (8, 4, 0.25),
    ]
    assert found[0].dense == Work(macs=6, weights=6, inputs=4, outputs=3, biases=3)
    assert found[0].effective == Work(macs=4, weights=6, inputs=4, outputs=3, biases=3)
    assert (found[0].baseline, found[0].sparsity) == (0, 0)


def test_a_pruned_network_reads_its_nonzero_weights_and_a_bias_is_added_to_every_output_of_its_channel():
    fc, readout = by_hand.ANN_BASELINE["layers"]
    layers = [{**fc, "nonzero_weights": 1, "outputs": 8}, {**readout, "nonzero_weights": 2, "biases": 0}]
    (pruned, *_) = Candidate.trained([by_hand.ANN_BASELINE | {"layers": layers}], "test")
    assert pruned.sparsity == pytest.approx(0.5)
    assert (pruned.dense.weights, pruned.effective.weights) == (6, 3)
    assert pruned.dense.biases == pruned.effective.biases == 8


def test_a_machine_that_skips_zeros_has_the_effective_work():
    (candidate, *_) = Candidate.trained([by_hand.ANN_BASELINE], "test")
    works = {(m.dataflow, m.skips_zeros): work.macs for m, work in candidate.machines(DATAFLOWS)}
    assert works == {(dataflow, skips): 4 if skips else 6 for dataflow in DATAFLOWS for skips in (False, True)}


def test_without_a_training_zeros_are_not_skipped_and_accuracy_is_unknown():
    found = Candidate.untrained(WORK, n_steps=6)
    assert [(each.weight_bits, each.activation_bits) for each in found] == [(None, None), (16, 16), (8, 8), (8, 3)]
    assert {each.accuracy for each in found} == {None}
    assert not any(m.skips_zeros for each in found for m, _ in each.machines(DATAFLOWS))


@pytest.mark.parametrize(
    ("n_steps", "bits"), [(1, 1), (2, 2), (3, 2), (4, 3), (6, 3), (7, 3), (8, 4), (15, 4), (16, 5)]
)
def test_activations_match_the_number_of_spikes(n_steps, bits):
    assert matched_bits(n_steps) == bits
