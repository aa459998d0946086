import csv
import json
from itertools import pairwise

import numpy as np
import pytest

from tdd_deploy.program import Dense, Edge, Flatten, Input, Output, Pool, build
from tdd_deploy.simulator.counts import FIELDS
from tdd_deploy.simulator.engine.engine import Engine
from tdd_deploy.simulator.hardware.chips import load_chip
from tdd_deploy.simulator.hardware.placement import place
from tdd_deploy.simulator.hardware.profiles import load_profile, profile_names
from tdd_deploy.simulator.reports.report import BY_CODE, SCHEMA_VERSION, priced, write_csv
from tdd_deploy.simulator.routes import COSTS
from tests import by_hand
from tests.zoo import Given, grow


def of_the_zoo(seed):
    case = grow(seed, n_blocks=2, n_steps=4, batch=2, spatial=bool(seed % 2))
    profiles = [load_profile(name) for name in profile_names()]
    priced_ones = [profile for profile in profiles if profile.has_prices]
    profile = priced_ones[seed % len(priced_ones)]
    placement = place(case.program, load_chip(profile.chip), weight_bits=8) if profile.chip else None
    engine = Engine(case.program, routes=placement.routes if placement else None)
    trace = engine.run(Given(case.inputs), n_steps=4).trace
    energies = (priced(trace, profile, case.program, placement=placement),)
    return by_hand.simulation(program=case.program, trace=trace, energies=energies, placement=placement)


def test_the_report_has_these_parts():
    report = by_hand.simulation().as_json()
    parts = ["schema_version", "verdict", "program", "data", "command", "versions", "options", "accuracy", "output"]
    parts += ["steps", "layers", "early_exit", "overlap", "caveats", "placement", "unplaced", "totals", "matrix"]
    parts += ["energies", "models", "estimators", "dense", "baselines"]
    assert list(report) == parts
    assert report["schema_version"] == SCHEMA_VERSION == 6
    assert [step["step"] for step in report["steps"]] == [1, 2, 3]
    assert [(row["name"], row["kind"], tuple(row["shape"])) for row in report["layers"]] == list(by_hand.LAYERS)
    assert report["data"] == by_hand.DATA


def test_the_program_is_reported_with_every_choice():
    assert by_hand.simulation().as_json()["program"] == {
        "file": "by_hand.nir",
        "sha256": "abc",
        "digest": by_hand.program().digest,
        "number_format": "float32",
        "dt_s": 0.001,
        "integration": "euler",
        "code": "auto",
        "code_from": "from `code`",
        "codes": {
            "input -> fc": "delta",
            "fc -> hidden": "delta",
            "hidden -> readout": "spike",
            "readout -> out": "spike",
        },
        "sent": {"input": ["delta"], "hidden": ["spike"]},
        "rounding": [],
    }


@pytest.mark.parametrize("name", FIELDS)
def test_totals_steps_and_layers_are_those_counted_by_hand(name):
    report = by_hand.simulation().as_json()
    executed = getattr(by_hand.counts_of(by_hand.EXECUTED), name)
    assert report["totals"][name] == by_hand.TOTALS[name]
    assert [step[name] for step in report["steps"]] == executed.sum(axis=0).tolist()
    assert [layer[name] for layer in report["layers"]] == executed.sum(axis=1).tolist()


@pytest.mark.parametrize(("code", "table"), [("spike_code", by_hand.SPIKE_CODE), ("delta_code", by_hand.DELTA_CODE)])
@pytest.mark.parametrize("name", BY_CODE)
def test_both_codes_are_always_reported(code, table, name):
    report = by_hand.simulation().as_json()
    counts = getattr(by_hand.counts_of(table), name)
    assert report["totals"][code][name] == counts.sum()
    assert [step[code][name] for step in report["steps"]] == counts.sum(axis=0).tolist()
    assert [layer[code][name] for layer in report["layers"]] == counts.sum(axis=1).tolist()


def test_the_counts_reported_by_code_are_the_ones_that_depend_on_it():
    same = {name for table in by_hand.SAME_IN_EVERY_CODE.values() for name in table}
    assert set(BY_CODE) == set(FIELDS) - same


@pytest.mark.parametrize("seed", range(9))
def test_totals_are_the_sums_of_steps_and_of_layers(seed):
    report = of_the_zoo(seed).as_json()
    known = FIELDS if report["placement"] else [name for name in FIELDS if name not in COSTS]
    for part in ("steps", "layers"):
        for name in known:
            assert sum(row[name] for row in report[part]) == report["totals"][name]
        assert sum(row["energy_pj"] for row in report[part]) == pytest.approx(report["totals"]["energy_pj"])
        for code in ("spike_code", "delta_code"):
            for name in set(BY_CODE) & set(known):
                assert sum(row[code][name] for row in report[part]) == report["totals"][code][name]
            energy = sum(row[code]["energy_pj"] for row in report[part])
            assert energy == pytest.approx(report["totals"][code]["energy_pj"])
    assert report["totals"]["energy_pj"] == pytest.approx(report["energies"][0]["dynamic_pj"])
    assert sum(term["energy_pj"] for term in report["energies"][0]["terms"]) == pytest.approx(
        report["energies"][0]["dynamic_pj"]
    )


@pytest.mark.parametrize("profile", [None, *profile_names()])
def test_the_report_is_plain_json_without_nan(profile):
    report = by_hand.simulation(profile).as_json()
    assert json.loads(json.dumps(report, allow_nan=False)) == report


def test_energy_by_term_by_hand():
    # 17 stored operations, 11 active and 1 idle updates: test_energy.py; 12 messages of 1.7 and 7 hops of 4 pJ.
    energy = by_hand.simulation().as_json()["energies"][0]
    on_mesh = 12 * 1.7 + 7 * 4.0
    assert energy["profile"] == "loihi1-davies2018"
    assert energy["dynamic_pj"] == pytest.approx(1344.2 + on_mesh)
    assert (energy["low_pj"], energy["high_pj"]) == pytest.approx((1253.2 + on_mesh, 1546.5 + on_mesh))
    assert [(term["term"], term["counts"], term["count"], term["price_pj"]) for term in energy["terms"]] == [
        ("synop", ["synops_stored"], 17, 23.6),
        ("neuron_active", ["updates_active"], 11, 81.0),
        ("neuron_inactive", ["updates_idle"], 1, 52.0),
        ("spike_in_tile", ["messages"], 12, 1.7),
        ("hop_east_west", ["hops_x"], 0, 3.0),
        ("hop_north_south", ["hops_y"], 7, 4.0),
    ]
    assert [term["energy_pj"] for term in energy["terms"]] == pytest.approx([401.2, 891.0, 52.0, 20.4, 0, 28.0])
    assert energy["terms"][0]["low_price_pj"] == 23.6
    assert energy["terms"][0]["high_price_pj"] == 35.5
    assert all(term["source"] and term["confidence"] == "simulated" for term in energy["terms"])
    assert "bias additions: the profile has no price" in energy["not_priced"]


def test_without_a_profile_there_is_no_energy_and_no_zero_in_its_place():
    report = by_hand.simulation(None).as_json()
    assert report["energies"] == []
    for row in (report["totals"], *report["steps"], *report["layers"]):
        assert (row["energy_pj"], row["spike_code"]["energy_pj"], row["delta_code"]["energy_pj"]) == (None, None, None)


def test_accuracy_is_a_fraction_of_the_samples_or_none():
    assert by_hand.simulation(n_correct=1).accuracy == 0.5
    assert by_hand.simulation(n_correct=0).as_json()["accuracy"] == 0.0
    assert by_hand.simulation(n_correct=None).as_json()["accuracy"] is None


def static(*maps, code="delta", shape=(2,)):
    """A constant image of ones at 3 steps through ``maps``; returns the report's saved operations."""
    nodes = [Input(name="input", shape=shape), *maps, Output(name="out")]
    edges = [Edge(a.name, b.name, code=code) for a, b in pairwise(nodes)]
    program = build(nodes, edges, dt_s=1e-3, n_steps=3)
    trace = Engine(program).run(Given(np.ones((3, 1, *shape), np.float32)), n_steps=3).trace
    simulated = by_hand.simulation(None, program=program, trace=trace, data=by_hand.DATA | {"static": True})
    return simulated.as_json()["totals"]["saved_by_repeating_input"]


def test_what_is_saved_by_repeating_the_image_is_reported():
    fc = Dense(name="fc", weight=np.array([[1, 0], [2, 1]]))
    # 3 operations per step in spike code, 3 at the first step alone in delta code.
    assert static(fc) == 6
    assert static(fc, code="spike") == 0


def test_what_is_saved_after_maps_without_weights_counts_too():
    pool = Pool(name="pool", kernel=(1, 2), stride=(1, 2))
    fc = Dense(name="fc", weight=np.ones((5, 2)))
    assert static(pool, Flatten(name="flat"), fc, shape=(1, 2, 2)) == 2 * (2 * 5)


def test_what_is_saved_after_neurons_is_earned():
    # by_hand: the input reaches fc before any neuron; hidden and readout come later. Steps 2 and 3 of fc: 5 + 4
    # operations in spike code, 1 + 3 executed. What readout saves in delta code is not counted.
    report = by_hand.simulation(data=by_hand.DATA | {"static": True}).as_json()
    assert report["totals"]["saved_by_repeating_input"] == (5 + 4) - (1 + 3)
    deltas = by_hand.program(readout_code="delta")
    trace = Engine(deltas).run(Given(by_hand.INPUTS), n_steps=3).trace
    report = by_hand.simulation(program=deltas, trace=trace, data=by_hand.DATA | {"static": True}).as_json()
    assert report["totals"]["saved_by_repeating_input"] == (5 + 4) - (1 + 3)


def test_for_an_input_that_changes_nothing_is_said_to_be_saved_by_repeating_it():
    assert by_hand.simulation().as_json()["totals"]["saved_by_repeating_input"] is None


def test_steps_csv_has_a_line_per_step_and_both_codes(tmp_path):
    path = tmp_path / "steps.csv"
    write_csv(path, by_hand.simulation().as_json())
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["1", "2", "3"]
    assert set(rows[0]) == {
        "step",
        "samples",
        "energy_pj",
        *FIELDS,
        *(f"{code}_{name}" for code in ("spike_code", "delta_code") for name in (*BY_CODE, "energy_pj")),
    }
    for name in FIELDS:
        assert [int(row[name]) for row in rows] == getattr(by_hand.counts_of(by_hand.EXECUTED), name).sum(0).tolist()
    assert [int(row["delta_code_acs"]) for row in rows] == (np.array([2, 1, 3]) + np.array([2, 1, 1])).tolist()
    # 6 stored operations and 4 active updates; 5 and 4; 6, 3 and 1 idle one; 4 messages each; 2, 3 and 2 hops.
    neurons = [6 * 23.6 + 4 * 81, 5 * 23.6 + 4 * 81, 6 * 23.6 + 3 * 81 + 52]
    mesh = [4 * 1.7 + hops * 4.0 for hops in (2, 3, 2)]
    assert [float(row["energy_pj"]) for row in rows] == pytest.approx(np.add(neurons, mesh))
    assert list(tmp_path.iterdir()) == [path]


def test_steps_csv_leaves_energy_empty_without_a_profile(tmp_path):
    write_csv(tmp_path / "steps.csv", by_hand.simulation(None).as_json())
    with (tmp_path / "steps.csv").open(newline="", encoding="utf-8") as file:
        assert {row["energy_pj"] for row in csv.DictReader(file)} == {""}


def test_the_overlap_is_the_share_of_spikes_that_stayed():
    # hidden, two samples: 2, 3, 2 spikes; neuron 1 always stays, neuron 0 of the first sample is on at step 2 alone
    assert by_hand.simulation().as_json()["overlap"] == {"hidden": [2 / 3, 2 / 2]}
    assert by_hand.simulation(early_exit=0.5).as_json()["overlap"] is None
