"""The published comparison with dense machines, computed a second time: from its counts and figures typed in here."""

import json
import math
from pathlib import Path

import pytest

RESULTS = json.loads((Path(__file__).parents[2] / "benchmarks" / "results" / "energy.json").read_text())
# Horowitz 2014: pJ per operation; 10 pJ per 64 bits of 8 kB.
BIT = 10 / 64
FLOAT_ADD, FLOAT_MULTIPLY = 0.9, 3.7


def add(bits):
    return 0.03 * (bits / 8) ** (math.log(0.1 / 0.03) / math.log(4))


def multiply(a, b):
    return 0.2 * (a * b / 64) ** (math.log(3.1 / 0.2) / math.log(16))


def dense_pj(layers, macs, row):
    """Return the energy of a dense network, summed layer by layer."""
    w, a = row["weight_bits"], row["activation_bits"]
    if w is None:
        sum_bits, w, a, mac, one = 32, 32, 32, FLOAT_MULTIPLY + FLOAT_ADD, FLOAT_ADD
    else:
        sum_bits, mac, one = 24, multiply(w, a) + add(24), add(24)
    outputs = sum(layer["outputs"] for layer in layers)
    energy = macs * mac + one * outputs + one * sum(layer["outputs"] for layer in layers if layer["biases"])
    energy += outputs * a * BIT
    weights = sum(layer["nonzero_weights" if row["skips_zeros"] else "weights"] for layer in layers)
    if row["dataflow"] == "full-reuse":
        return energy + BIT * (weights * w + sum(layer["inputs"] for layer in layers) * a)
    energy += macs * (w + a) * BIT
    return energy if row["dataflow"] == "register-sums" else energy + BIT * sum_bits * (2 * macs + outputs)


def spiking_pj(case, weight_bits):
    """Return the energy of the spiking network per sample, from its counts."""
    n, totals = case["totals"]["samples"], case["totals"]
    terms = {term["term"]: term for term in case["energy"]["terms"]}
    if weight_bits is None:
        s, w, one, product, leak, value = 32, 32, FLOAT_ADD, FLOAT_MULTIPLY, FLOAT_MULTIPLY, 32
    else:
        value = round(terms["event_value"]["price_pj"] / 2 / BIT)
        s, w, one, product, leak = 24, weight_bits, add(24), multiply(weight_bits, value), multiply(24, 12)
    updates = totals["updates_active"] + totals["updates_idle"]
    energy = totals["acs"] * one + totals["macs"] * (product + one)
    energy += (totals["acs"] + totals["macs"]) * (w + 2 * s) * BIT
    energy += updates * (leak + 2 * one + 3 * s * BIT)
    held = terms["neuron_bias"]["count"] if "neuron_bias" in terms else 0
    energy += (totals["bias_adds"] + held) * (one + s * BIT)
    energy += terms["readout"]["count"] * (one + 2 * s * BIT)
    address = terms["event_address"]["price_pj"] / 2 / BIT
    energy += (totals["events"] + totals["input_events"]) * 2 * address * BIT
    return (energy + terms["event_value"]["count"] * 2 * value * BIT) / n


def least_accurate(case):
    """Return the accuracy from which a dense network is comparable: a point less, or two standard errors."""
    n, correct = case["totals"]["samples"] + 4, case["accuracy"] * case["totals"]["samples"] + 2
    return case["accuracy"] - max(0.01, 2 * math.sqrt(correct * (n - correct) / n**3))


@pytest.mark.parametrize("name", RESULTS)
def test_every_row_comes_out_again(name):
    case = RESULTS[name]
    (found,) = (each["comparison"] for each in case["energies"] if each["profile"] == "cmos45-memory")
    own = spiking_pj(case, 8 if "8 bits" in name else None)
    assert found["spiking_pj"] == pytest.approx(own, rel=1e-9)
    for row in found["rows"]:
        baseline = case["baselines"][row["baseline"]]
        pair = row["weight_bits"], row["activation_bits"]
        (result,) = (r for r in baseline["results"] if (r["weight_bits"], r["activation_bits"]) == pair)
        layers = baseline["layers"]
        macs = sum(result["effective_macs"].values()) if row["skips_zeros"] else sum(x["macs"] for x in layers)
        dense = dense_pj(layers, macs, row)
        assert row["dense_pj"] == pytest.approx(dense, rel=1e-9)
        assert row["ratio"] == pytest.approx(own / dense, rel=1e-9)
        assert row["accuracy"] == result["accuracy"]
        assert row["is_comparable"] == (result["accuracy"] >= least_accurate(case))


@pytest.mark.parametrize("name", RESULTS)
def test_the_leading_row_is_the_cheapest_of_those_that_are_as_accurate(name):
    (found,) = (each["comparison"] for each in RESULTS[name]["energies"] if each["profile"] == "cmos45-memory")
    comparable = [row for row in found["rows"] if row["is_comparable"]]
    assert found["rows"][found["least_favorable"]]["dense_pj"] == min(row["dense_pj"] for row in comparable)
    assert found["rows"][found["most_favorable"]]["dense_pj"] == max(row["dense_pj"] for row in comparable)


@pytest.mark.parametrize("name", RESULTS)
def test_the_layers_of_the_spiking_network_are_those_of_the_dense_one(name):
    case = RESULTS[name]
    for key in ("macs", "weights", "inputs", "outputs"):
        assert case["dense"][key] == sum(layer[key] for layer in case["baselines"][0]["layers"])
