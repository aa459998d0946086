import math

import pytest

from tdd_deploy.simulator.hardware.baseline import baseline_json, break_even, disagreements
from tdd_deploy.simulator.hardware.execution import fed_by_input
from tdd_deploy.simulator.hardware.profiles import load_profile
from tdd_deploy.simulator.reports.report import priced
from tests import by_hand

PROGRAM = by_hand.program()
HOROWITZ = load_profile("cmos45-horowitz")


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


def test_a_baseline_is_priced_where_a_profile_prices_its_operations():
    profiles = [HOROWITZ, load_profile("cmos45-memory"), load_profile("loihi1-davies2018")]
    rows = baseline_json(by_hand.ANN_BASELINE, "test", profiles)["results"]
    assert [(row["bits"], row["accuracy"], row["macs"], row["effective_macs"]) for row in rows] == [
        (None, 0.75, 6, 4),
        (8, 0.5, 6, 4),
        (4, 0.25, 6, 4),
    ]
    floats, eight, four = ([row["energy_pj"][profile.name] for profile in profiles] for row in rows)
    # A MAC with its memory: 4.6, a weight read for 5, a sum read and written for 10.
    assert floats == [pytest.approx(6 * 4.6), pytest.approx(6 * 19.6), None]
    # A multiplication of 8 x 8 bits and an addition of 24; 8 + 2 x 24 bits of a memory of 10 pJ per 64.
    width_24 = 0.03 * 3 ** (math.log(0.1 / 0.03) / math.log(4))
    assert eight == [pytest.approx(6 * (0.2 + width_24)), pytest.approx(6 * (0.2 + width_24 + 56 * 10 / 64)), None]
    assert four[0] < eight[0]
    assert four[1] < eight[1]
    assert four[2] is None


def test_at_the_rate_of_break_even_a_run_costs_as_much_as_its_baseline():
    trace = by_hand.simulation().trace
    energy = priced(trace, HOROWITZ, PROGRAM).executed
    found = break_even(PROGRAM, trace, energy)
    # 7 events of 2 neurons in 3 steps of 2 samples. fc, fed by the input, costs 6 x 0.9 + 2 x 4.6 and stays; so do 12
    # updates of 5.5, and 2 biases and 6 outputs of 0.9. The readout costs 7 x 0.9 and grows. Two baselines cost
    # 2 x 6 x 4.6.
    assert found["rate"] == pytest.approx(7 / 12)
    factor = (2 * 6 * 4.6 - 6 * 0.9 - 2 * 4.6 - 12 * 5.5 - 8 * 0.9) / (7 * 0.9)
    assert found["break_even_rate"] == pytest.approx(7 / 12 * factor)


def test_where_updates_alone_cost_more_the_rate_is_negative():
    trace = by_hand.simulation().trace
    profile = load_profile("cmos45-memory")
    found = break_even(PROGRAM, trace, priced(trace, profile, PROGRAM).executed)
    # 12 updates of 20.5 pJ are more than two baselines of 6 x 19.6
    assert found["break_even_rate"] < 0


def test_without_a_price_for_the_baseline_or_without_events_nothing_is_reported():
    trace = by_hand.simulation().trace
    assert break_even(PROGRAM, trace, priced(trace, load_profile("loihi1-davies2018"), PROGRAM).executed) is None
    silent = by_hand.silent()
    assert break_even(PROGRAM, silent, priced(silent, HOROWITZ, PROGRAM).executed) is None


def test_what_the_input_reaches_before_neurons():
    assert fed_by_input(PROGRAM) == {"input", "fc"}
