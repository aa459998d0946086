"""The verdict on a simulation: made-up reports with only what the verdict reads."""

import pytest

from tdd_deploy.simulator.reports.verdict import FOR_OTHERS, Verdict

SENT = {"input": ["delta"], "hidden": ["spike"]}


def report(*, executed=600, spikes=1000, deltas=600, code="delta", sent=None, repeated=None, energies=(), **changed):
    totals = {
        "samples": 10,
        "spikes": 50,
        "delta_events": 30,
        "synops_effective": executed,
        "spike_code": {"synops_effective": spikes},
        "delta_code": {"synops_effective": deltas},
        "saved_by_repeating_input": repeated,
    }
    return {
        "program": {"code": code, "sent": sent or {"input": [code], "hidden": [code]}},
        "data": {"name": "made up", "split": "test"},
        "accuracy": 0.9,
        "steps": [{}, {}, {}],
        "early_exit": None,
        "output": {"never_changes": False},
        "caveats": [],
        "totals": totals,
        "energies": list(energies),
        "dense": {"macs": 12345},
        "placement": None,
        "unplaced": None,
    } | changed


def line(**changed):
    return Verdict.of(report(**changed)).line


def caveats(**changed):
    return Verdict.of(report(**changed)).caveats


def summary(**changed):
    return dict(Verdict.of(report(**changed)).summary)


def energy(**changed):
    return {
        "profile": "made-up",
        "dynamic_pj": 64e6,
        "low_pj": 62e6,
        "high_pj": 87e6,
        "spike_code_pj": 90e6,
        "static_low_pj": None,
        "static_high_pj": None,
        "time": None,
        "comparison": None,
        "cannot_execute": None,
    } | changed


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, "deltas pay: 40 % fewer synaptic operations than plain spikes"),
        (
            {"executed": 1240, "deltas": 1240},
            "deltas do not pay here: 24 % more synaptic operations than plain spikes; use `code=spike` or `code=auto`",
        ),
        (
            {"executed": 3100, "deltas": 3100},
            "deltas do not pay here: 3.1 times the synaptic operations of plain spikes; use `code=spike` or "
            "`code=auto`",
        ),
        (
            {"executed": 1000, "code": "spike"},
            "deltas would pay here: 40 % fewer synaptic operations than plain spikes; use `code=delta`",
        ),
        (
            {"executed": 1000, "deltas": 1240, "code": "spike"},
            "deltas do not pay here: 24 % more synaptic operations than plain spikes, which this run sent",
        ),
        (
            {"executed": 500, "code": "auto", "sent": SENT},
            "deltas pay in 1 of 2 layers: 50 % fewer synaptic operations than plain spikes",
        ),
        (
            {"executed": 1000, "deltas": 1240, "code": "auto", "sent": {"input": ["spike"], "hidden": ["spike"]}},
            "deltas do not pay here: 24 % more synaptic operations than plain spikes, which this run sent instead",
        ),
        (
            {"executed": 1000, "deltas": 1580, "code": "auto", "sent": SENT},
            "deltas do not pay here: 58 % more synaptic operations than plain spikes; this run sends them only where "
            "they cost no more",
        ),
        (
            {"executed": 1100, "code": "auto", "sent": SENT},
            "deltas do not pay here: 10 % more synaptic operations than plain spikes, unlike on training samples; "
            "use `code=spike`",
        ),
    ],
)
def test_the_line_says_whether_deltas_pay(changed, expected):
    assert line(**changed) == expected


@pytest.mark.parametrize("changed", [{"deltas": 995}, {"code": "auto", "executed": 1005, "sent": SENT}])
def test_less_than_a_percent_is_no_difference(changed):
    assert line(**changed).startswith("deltas make no difference here")


def test_without_synaptic_operations_there_is_nothing_to_compare():
    assert line(executed=0, spikes=0, deltas=0).startswith("nothing to compare")


def test_deltas_where_plain_spikes_need_nothing_do_not_pay():
    assert "more synaptic operations" in line(executed=5, spikes=0, deltas=5)


@pytest.mark.parametrize("repeated", [400, 397, 500])
def test_a_saving_by_a_repeated_image_alone_is_said_in_the_line(repeated):
    assert line(repeated=repeated).startswith("deltas pay only because every step shows the same image: 40 % fewer")


def test_what_deltas_cost_apart_from_a_repeated_image_is_a_caveat():
    assert caveats(repeated=500) == (
        "apart from that they do not pay: 10 % more synaptic operations than plain spikes",
    )
    assert caveats(repeated=400) == ()


def test_a_part_of_the_saving_by_a_repeated_image_is_a_caveat():
    assert line(repeated=100).startswith("deltas pay: ")
    assert caveats(repeated=100) == ("25 % of this saving comes from showing the same image at every step",)


def test_an_energy_that_says_the_opposite_is_a_caveat():
    (found,) = caveats(energies=[energy(spike_code_pj=50e6)])
    assert found == "in energy it is the other way round: 28 % more energy than plain spikes by made-up"


def test_a_headline_of_a_chip_that_cannot_execute_the_network_is_a_caveat():
    unable = energy(cannot_execute="signed events (input)")
    assert "signed events (input)" in caveats(energies=[unable])[0]
    assert "as if it could" in summary(energies=[unable])["energy"]
    assert caveats(energies=[energy(), unable]) == ()


def test_prices_of_plain_spikes_that_are_taken_for_other_events_are_a_caveat():
    found = energy()
    others = f"odin, {found['profile']}{FOR_OTHERS}events with signs (fc1)"
    (said,) = caveats(energies=[found], caveats=[others, f"odin{FOR_OTHERS}events with values (fc2)"])
    assert said == f"{found['profile']} holds prices of plain spikes, taken here also for events with signs (fc1)"


def test_an_output_that_never_changes_is_a_caveat():
    assert "accuracy means nothing" in caveats(output={"never_changes": True})[0]


def test_the_summary_has_at_most_eight_lines_with_everything():
    found = summary(
        energies=[energy(static_low_pj=1e9, static_high_pj=2e9, time={"low_s": 1e-3, "high_s": 2e-3})],
        placement={"chip": "chip", "cores": 3, "chips": 1, "limits": {"cores": 128}},
        early_exit={"mean_steps": 1.5},
    )
    assert len(found) == 8
    assert found["energy"] == "6.4 uJ (6.2 to 8.7) by made-up; 9.0 uJ as plain spikes"
    assert found["accuracy"] == "90.0 % of 10 samples of made up (test), 1.50 of 3 steps"
    assert found["fits"] == "3 of 128 cores of chip"


def test_without_energy_the_dense_network_is_counted():
    assert summary()["dense ANN"] == "12,345 MACs in one pass of the same layers"
