"""A reviewer redoes every number of report.json from its own parts, for every profile of the package."""

import fnmatch
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tdd_deploy import simulate
from tdd_deploy.commands.pricing import Prices, price
from tdd_deploy.options.pricing import Pricing
from tdd_deploy.simulator.hardware.profiles import load_profile, profile_names
from tests import by_hand
from tests.onnx_files import node, write
from tests.redo import INPUTS, check, dotted_of, is_input

X = np.tile(by_hand.INPUTS.transpose(1, 0, 2), (2, 1, 1)).astype(np.float32)  # [N, T, C]
Y = np.array([0, 0] * (len(X) // 2))
CHIPS = sorted({profile.chip for profile in map(load_profile, profile_names()) if profile.chip})
NETWORK = Path(__file__).parents[1] / "golden" / "commands" / "network.nir"


def as_read(simulated):
    return json.loads(json.dumps(simulated.as_json()))


def report_of(profiles, code="auto", **given):
    given = {"x": X, "y": Y, **given}
    return as_read(simulate(by_hand.program(), energy=True, profiles=profiles, code=code, **given))


def of_chip(chip):
    return [name for name in profile_names() if load_profile(name).chip in (chip, None)]


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
    check(as_read(simulate(NETWORK, data="digits", samples=10, energy=True, **given)))


def test_where_no_profile_prices_a_dense_network_one_is_added_that_does():
    *_, last = report_of(["loihi1-davies2018"])["energies"]
    assert last["profile"] == "cmos45-memory"
    assert last["comparison"]["rows"]


def test_a_matrix_with_too_many_numbers_says_why_it_is_left_out(monkeypatch):
    from tdd_deploy.simulator.reports import report as module

    monkeypatch.setattr(module, "MOST_CELLS", 100)
    assert "more than 100" in report_of(["odin"])["matrix"]["left_out"]


def on_a_chip(folder):
    return report_of(["loihi1-davies2018", "cmos45-memory"])


def at_another_clock(folder):
    return report_of(["odin"], clock_mhz=50.0, step_time_s=0.001)


def beside_a_trained_network(folder):
    results = [
        each | {"n_correct": round(4 * each["accuracy"])}
        for each in by_hand.ANN_BASELINE["results"]
        if each["split"] == "test"
    ]
    simulated = replace(by_hand.simulation(None), baselines=(by_hand.ANN_BASELINE | {"results": results},))
    return as_read(price(simulated, Prices.of(Pricing(energy=True, profiles=("cmos45-memory",)))))


def beside_a_file(folder):
    """A run of images that ends early, beside a network of floats and integers."""
    rng = np.random.default_rng(0)
    weights = {
        "w": rng.normal(size=(4, 1, 3, 3)).astype(np.float32),
        "v": rng.integers(0, 9, (144, 10)).astype(np.uint8),
        "s": np.float32(0.5), "z": np.uint8(3),
    }  # fmt: skip
    nodes = [
        node("Conv", "x w", "c"), node("Flatten", "c", "f"),
        node("QuantizeLinear", "f s z", "q"), node("DequantizeLinear", "q s z", "d"),
        node("DequantizeLinear", "v s z", "e"), node("MatMul", "d e"),
    ]  # fmt: skip
    path = write(folder / "ann.onnx", nodes, weights, shape=("N", 1, 8, 8))
    given = {"early_exit": 0.3, "baseline": path, "energy": True, "profiles": ["cmos45-memory"]}
    return as_read(simulate(NETWORK, data="digits", samples=10, **given))


def leaves(found, path=()):
    """Yield the path of every number."""
    if isinstance(found, dict | list):
        for key, value in found.items() if isinstance(found, dict) else enumerate(found):
            yield from leaves(value, (*path, key))
    elif type(found) in (int, float):
        yield path


def is_of_nothing(report, path):
    """Whether a number changes nothing: the price of what never took place, or weights beyond those that are read."""
    if path == ("dense", "weights"):
        return report["dense"]["weights"] >= report["dense"]["macs"]
    if path[0] not in ("energies", "models") or "price_pj" not in str(path[-1]):
        return False
    holder = report
    for key in path[:-1]:
        holder = holder[key]
    return holder.get("count") == 0


def survivors(report):
    """Yield the path of every number that may change, by 1 % or by 1, and nobody notices."""
    for path in leaves(report):
        holder = report
        for key in path[:-1]:
            holder = holder[key]
        found = holder[path[-1]]
        holder[path[-1]] = found + 1 if isinstance(found, int) else 1.01 * found or 0.01
        try:
            check(report)
        except (AssertionError, ArithmeticError, LookupError, TypeError, ValueError):
            pass
        else:
            yield path
        holder[path[-1]] = found


REPORTS = (on_a_chip, at_another_clock, beside_a_trained_network, beside_a_file)


@pytest.mark.parametrize("of", REPORTS)
def test_a_change_of_any_number_is_noticed_but_for_a_short_list_of_inputs(of, tmp_path):
    report = of(tmp_path)
    check(report)
    assert sum(1 for _ in leaves(report)) > 500
    unnoticed = [path for path in survivors(report) if not is_input(path) and not is_of_nothing(report, path)]
    assert unnoticed == []
    check(report)


def test_the_list_of_inputs_is_short_and_holds_nothing_else(tmp_path):
    dotted = {dotted_of(path) for of in REPORTS for path in leaves(of(tmp_path))}
    for pattern in INPUTS:
        assert fnmatch.filter(dotted, pattern), pattern
    assert len(INPUTS) < 15
