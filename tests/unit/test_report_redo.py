"""A reviewer redoes every number of report.json from its own parts, for every profile of the package."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from tdd_deploy import simulate
from tdd_deploy.simulator.hardware.profiles import load_profile, profile_names
from tests import by_hand

CLOSE = {"rel": 1e-9, "abs": 1e-12}
X = np.tile(by_hand.INPUTS.transpose(1, 0, 2), (2, 1, 1)).astype(np.float32)  # [N, T, C]
Y = np.array([0, 0] * (len(X) // 2))
CHIPS = sorted({profile.chip for profile in map(load_profile, profile_names()) if profile.chip})


def report_of(profiles, code="auto", **given):
    simulated = simulate(by_hand.program(), x=X, y=Y[: len(X)], energy=True, profiles=profiles, code=code, **given)
    return json.loads(json.dumps(simulated.as_json()))


def of_chip(chip):
    return [name for name in profile_names() if load_profile(name).chip in (chip, None)]


def check(report):
    for part in ("steps", "layers"):
        check_sums(report["totals"], report[part])
    check_matrix(report)
    for energy in report["energies"]:
        check_energy(report, energy)
    for model in report["models"]:
        check_terms(model)
    accuracy = report["accuracy"]
    assert accuracy is None or (accuracy * report["totals"]["samples"]) % 1 in (0, pytest.approx(0), pytest.approx(1))
    for row in report["estimators"]:
        if row["ratio"] is not None:
            assert row["ratio"] == pytest.approx(row["spiking_pj"] / row["dense_pj"], **CLOSE)


def check_sums(totals, rows):
    for name, total in totals.items():
        if isinstance(total, dict):
            check_sums(total, [row[name] for row in rows])
        elif total is not None and name not in ("samples", "saved_by_repeating_input"):
            assert total == pytest.approx(sum(row[name] for row in rows), **CLOSE), name


def check_matrix(report):
    matrix = report["matrix"]
    assert matrix["left_out"] is None
    for code in ("executed", "spike_code", "delta_code"):
        for name, cells in matrix[code].items():
            layers = [row if code == "executed" else row[code] for row in report["layers"]]
            steps = [row if code == "executed" else row[code] for row in report["steps"]]
            assert [sum(row) for row in cells] == [row[name] for row in layers]
            assert [sum(column) for column in zip(*cells, strict=True)] == [row[name] for row in steps]
    for energy in report["energies"]:
        if energy["dynamic_pj"] is not None:
            cells = matrix["energy_pj"][energy["profile"]]
            assert sum(map(sum, cells)) == pytest.approx(energy["dynamic_pj"], **CLOSE)


def check_terms(energy):
    """Each energy is a count times a price, and the counts are those of the matrix."""
    for key, price in (("dynamic_pj", "price_pj"), ("low_pj", "low_price_pj"), ("high_pj", "high_price_pj")):
        if energy[key] is not None:
            total = math.fsum(term["count"] * term[price] for term in energy["terms"])
            assert energy[key] == pytest.approx(total, **CLOSE)
    for term in energy["terms"]:
        assert term["energy_pj"] == pytest.approx(term["count"] * term["price_pj"], **CLOSE)


def check_energy(report, energy):
    check_terms(energy)
    counts, kinds = report["matrix"]["executed"], [row["kind"] for row in report["layers"]]
    for term in energy["terms"]:
        if set(term["counts"]) <= counts.keys():  # others follow from the outputs: see docs/report.md
            rows = [i for i, kind in enumerate(kinds) if not term["layers"] or kind in term["layers"]]
            assert term["count"] == sum(sum(counts[name][i]) for name in term["counts"] for i in rows)
    check_static(energy)
    check_time(report, energy)
    if energy["comparison"]:
        check_comparison(report, energy)


def check_static(energy):
    static, time = energy["static"], energy["time"]
    if static is None or time is None:
        assert energy["static_low_pj"] is energy["static_high_pj"] is None
        return
    for bound, choose in (("low", min), ("high", max)):
        mw = static["chips"] * choose(state[f"{bound}_mw"] for state in static["states"])
        assert static[f"{bound}_mw"] == pytest.approx(mw, **CLOSE)
        assert energy[f"static_{bound}_pj"] == pytest.approx(1e9 * mw * time[f"{bound}_s"], **CLOSE)


def check_time(report, energy):
    time = energy["time"]
    if time is None:
        return
    assert time["steps_executed"] == sum(row["samples"] for row in report["steps"])
    for bound in ("low", "high") if time["busy"] else ():
        busy, ns = time["busy"][bound], f"{bound}_ns"
        for t, expected in enumerate(busy["ns"]):
            found = sum(busy["work"][name][t] * each[ns] for each in time["latencies"] for name in each["counts"])
            assert expected == pytest.approx(found, **CLOSE)
        per_step = sum(each[ns] for each in time["latencies"] if not each["counts"])
        total = sum(busy["ns"]) + time["steps_executed"] * per_step
        assert time[f"{bound}_s"] == pytest.approx(1e-9 * total, **CLOSE)


def check_comparison(report, energy):
    found, n = energy["comparison"], report["totals"]["samples"]
    assert found["spiking_pj"] == pytest.approx(energy["dynamic_pj"] / n, **CLOSE)
    if found["rate"] is not None:
        assert found["fixed_pj"] + found["growing_pj"] == pytest.approx(found["spiking_pj"], **CLOSE)
    for row in found["rows"]:
        for key, price in (("dense_pj", "price_pj"), ("low_pj", "low_price_pj"), ("high_pj", "high_price_pj")):
            terms = [term["count"] * found["prices"][term["price"]][price] for term in row["terms"]]
            assert row[key] == pytest.approx(sum(terms), **CLOSE)
        assert row["ratio"] == pytest.approx(found["spiking_pj"] / row["dense_pj"], **CLOSE)
        if found["rate"] is not None:
            at = found["fixed_pj"] + found["growing_pj"] * row["crossover_rate"] / found["rate"]
            assert at == pytest.approx(row["dense_pj"], **CLOSE)
        if row["baseline"] is None:
            assert row["macs"] == report["dense"]["macs"]
    comparable = {i: row["ratio"] for i, row in enumerate(found["rows"]) if row["is_comparable"]}
    assert found["least_favorable"] == max(comparable, key=comparable.get)
    assert found["most_favorable"] == min(comparable, key=comparable.get)


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize("code", ["auto", "delta", "spike"])
def test_every_number_follows_from_the_parts(chip, code):
    profiles = of_chip(chip)
    report = report_of(profiles, code)
    assert [energy["profile"] for energy in report["energies"]] == profiles
    check(report)


def test_all_profiles_of_the_package_are_among_them():
    assert {name for chip in CHIPS for name in of_chip(chip)} == set(profile_names())


@pytest.mark.parametrize("given", [{"step_time_s": 0.001}, {"clock_mhz": 50.0}, {"samples": 1}])
def test_also_with_a_time_per_step_and_a_clock(given):
    check(report_of(["odin", *(["loihi1-davies2018"] if "samples" in given else [])], **given))


@pytest.mark.parametrize("given", [{}, {"early_exit": 0.3}])
def test_also_of_a_trained_network_on_a_chip_and_with_an_early_exit(given):
    network = Path(__file__).parents[1] / "golden" / "commands" / "network.nir"
    simulated = simulate(network, data="digits", samples=10, energy=True, **given)
    check(json.loads(json.dumps(simulated.as_json())))


def test_where_no_profile_prices_a_dense_network_one_is_added_that_does():
    *_, last = report_of(["loihi1-davies2018"])["energies"]
    assert last["profile"] == "cmos45-memory"
    assert last["comparison"]["rows"]


def test_a_matrix_with_too_many_numbers_says_why_it_is_left_out(monkeypatch):
    from tdd_deploy.simulator.reports import report as module

    monkeypatch.setattr(module, "MOST_CELLS", 100)
    assert "more than 100" in report_of(["odin"])["matrix"]["left_out"]
