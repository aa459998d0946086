"""Redo every number of a report.json from its own parts, without the code that computed it.

Whatever cannot be redone is an input: a fact about the network and the data, a measured count, a published figure.
``INPUTS`` lists all of them.
"""

import math
from fnmatch import fnmatchcase
from itertools import pairwise

import pytest

from tdd_deploy.simulator.hardware.profiles import load_profile, profile_names
from tdd_deploy.simulator.reports.verdict import Verdict

CODES = ("executed", "spike_code", "delta_code")
MAPS = ("input", "dense", "conv", "pool", "scale")  # kinds of layers that are no neurons
NEVER_FROM_EVENTS = {
    "updates_active", "updates_idle", "bias_adds", "neuron_biases", "readout", "exit_comparison",
}  # fmt: skip
INPUTS = {
    "schema_version": "the version of the format",
    "program.dt_s": "a fact about the network",
    "data.input.scale": "as chosen; it is in the counts",
    "data.input.shape.*": "a fact about the data",
    "data.n_steps_of_data": "a fact about the data",
    "data.sent.*": "measured on the data",
    "placement.mesh.*": "a fact about the chip",
    "placement.limits.*": "a fact about the chip",
    "placement.weight_bits": "as chosen",
    "placement.blocks.*": "found by placing the network",
    "baselines.*.input_shape.*": "a fact about the baseline",
    "baselines.*.n_classes": "a fact about the baseline",
    "baselines.*.onnx.left_out.*": "counted in the baseline's file",
}


def close(found, expected, where=""):
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-12), where


def is_input(path):
    """Whether a number cannot be redone."""
    return any(fnmatchcase(dotted_of(path), pattern) for pattern in INPUTS)


def dotted_of(path):
    """Write a path as text, with a star for each place in a list."""
    return ".".join("*" if isinstance(part, int) else part for part in path)


def check(report):
    """Fail at the first number that does not follow from the others."""
    check_choices(report)
    for part in ("steps", "layers"):
        check_sums(report["totals"], report[part])
    check_matrix(report)
    check_layers(report)
    check_overlap(report)
    check_early_exit(report)
    check_saved(report)
    for energy in report["energies"]:
        check_energy(report, energy)
    check_headline(report)
    for model in report["models"]:
        check_terms(report, model)
    check_baselines(report)
    check_estimators(report)
    check_placement(report)
    assert report["verdict"] == Verdict.of(report).as_json()


def check_choices(report):
    """What is stated twice is the same."""
    data, options, samples = report["data"], report["options"], report["totals"]["samples"]
    assert [row["step"] for row in report["steps"]] == list(range(1, data["n_steps"] + 1))
    assert report["steps"][0]["samples"] == samples
    for key in ("seed", "input_threshold"):
        assert options.get(key, 0) == data.get(key, 0)
    assert options.get("samples", samples) == samples
    accuracy, labels = report["accuracy"], report.get("labeled_steps", samples)
    assert accuracy is None or accuracy * labels == pytest.approx(round(accuracy * labels), abs=1e-9)


def check_sums(totals, rows):
    for name, total in totals.items():
        if isinstance(total, dict):
            check_sums(total, [row[name] for row in rows])
        elif total is not None and name not in ("samples", "saved_by_repeating_input"):
            close(total, sum(row[name] for row in rows), name)


def check_matrix(report):
    matrix = report["matrix"]
    assert matrix["left_out"] is None
    for code in CODES:
        for name, cells in matrix[code].items():
            layers = [row if code == "executed" else row[code] for row in report["layers"]]
            steps = [row if code == "executed" else row[code] for row in report["steps"]]
            assert [sum(row) for row in cells] == [row[name] for row in layers]
            assert [sum(column) for column in zip(*cells, strict=True)] == [row[name] for row in steps]


def counts_of(report, code):
    """Return ``[n_layers][n_steps]`` by the name of a count; some are the same in every code."""
    matrix = report["matrix"]
    return {**matrix["executed"], **matrix[code], **matrix["derived"][code]}


def neurons_of(row):
    return 0 if row["kind"] in MAPS else math.prod(row["shape"])


def running(report):
    """Time steps, over all samples."""
    return sum(row["samples"] for row in report["steps"])


def check_layers(report):
    """Neurons are all updated in each step; maps have the outputs of a dense pass."""
    for row in report["layers"]:
        if row["kind"] not in MAPS:
            assert row["updates_active"] + row["updates_idle"] == neurons_of(row) * running(report)
    weighted = [math.prod(row["shape"]) for row in report["layers"] if row["kind"] in ("dense", "conv", "scale")]
    dense = report["dense"]
    assert dense["outputs"] == sum(weighted)
    assert dense["macs"] * dense["passes"] * running(report) == report["totals"]["dense"]
    assert dense["passes"] == 1
    held = report["matrix"]["derived"].get("spike_code", {}).get("neuron_biases", [])
    biases = report["totals"]["spike_code"]["bias_adds"] + sum(map(sum, held))
    assert not report["energies"] or dense["biases"] * running(report) == biases
    data = report["data"]
    values = math.prod(report["layers"][0]["shape"]) * (1 if data["static"] else len(report["steps"]))
    assert data["sent"]["values"] in (0, values * report["totals"]["samples"])
    if report["matrix"]["derived"]:
        for code in CODES:
            check_derived(report, report["matrix"]["derived"][code], code)


def check_derived(report, derived, code):
    """Each step adds every output once, and with an early exit compares it; events of a value are events."""
    events = counts_of(report, code)
    (outputs,) = {sum(column) / row["samples"] for column, row in zip(
        zip(*derived["readout"], strict=True), report["steps"], strict=True) if row["samples"]}  # fmt: skip
    assert outputs == int(outputs)
    assert ("exit_comparison" in derived) == (report["early_exit"] is not None)
    assert derived.get("exit_comparison", derived["readout"]) == derived["readout"]
    for i, graded in enumerate(derived["graded_events"]):
        name = "input_events" if report["layers"][i]["kind"] == "input" else "events"
        assert graded in ([0] * len(graded), events[name][i])
    for i, row in enumerate(derived.get("neuron_biases", ())):
        for n, step in zip(row, report["steps"], strict=True):
            assert n % step["samples"] == 0 if step["samples"] else n == 0
            assert n <= neurons_of(report["layers"][i]) * step["samples"]


def check_overlap(report):
    counts, names = report["matrix"]["executed"], [row["name"] for row in report["layers"]]
    for name, fractions in (report["overlap"] or {}).items():
        spikes, changes = (counts[key][names.index(name)] for key in ("spikes", "delta_events"))
        for found, (before, now), changed in zip(fractions, pairwise(spikes), changes[1:], strict=True):
            if now:
                close(found, (now + before - changed) / 2 / now)


def check_early_exit(report):
    found = report["early_exit"]
    if found is None:
        return
    mean = running(report) / report["totals"]["samples"]
    close(found["mean_steps"], mean)
    close(found["steps_saved"], 1 - mean / len(report["steps"]))
    assert report["options"]["early_exit"] in (found["margin"], "tuned")


def fed_by_input(report):
    """Return the layers that the input reaches before any neuron, along the edges that have a code."""
    kinds = {row["name"]: row["kind"] for row in report["layers"]}
    reached = {report["layers"][0]["name"]}
    for _ in report["program"]["codes"]:
        for source, target in (edge.split(" -> ") for edge in report["program"]["codes"]):
            if source in reached and kinds.get(target, "dense") in MAPS:
                reached.add(target)
    return reached


def check_saved(report):
    saved = report["totals"]["saved_by_repeating_input"]
    if saved is not None:
        rows = [i for i, row in enumerate(report["layers"]) if row["name"] in fed_by_input(report)]
        plain, executed = (report["matrix"][code]["synops_effective"] for code in ("spike_code", "executed"))
        assert saved == sum(sum(plain[i][1:]) - sum(executed[i][1:]) for i in rows)


def cells_of(report, term, code="executed"):
    """Return the count of a term ``[n_layers][n_steps]``."""
    counts = counts_of(report, code)
    return [
        [
            sum(column) if not term["layers"] or layer["kind"] in term["layers"] else 0
            for column in zip(*(counts[name][i] for name in term["counts"]), strict=True)
        ]
        for i, layer in enumerate(report["layers"])
    ]


def check_terms(report, energy):
    """Each energy is a count times a price, and each count is a sum of the matrix."""
    for key, price in (("dynamic_pj", "price_pj"), ("low_pj", "low_price_pj"), ("high_pj", "high_price_pj")):
        if energy[key] is not None:
            close(energy[key], math.fsum(term["count"] * term[price] for term in energy["terms"]), key)
    for term in energy["terms"]:
        assert term["count"] == sum(map(sum, cells_of(report, term)))
        close(term["energy_pj"], term["count"] * term["price_pj"])


def check_energy(report, energy):
    check_terms(report, energy)
    for code in ("spike_code", "delta_code"):
        if energy["dynamic_pj"] is not None:
            counted = [(sum(map(sum, cells_of(report, term, code))), term["price_pj"]) for term in energy["terms"]]
            close(energy[f"{code}_pj"], math.fsum(count * price for count, price in counted))
    if energy["dynamic_pj"] is not None:
        check_cells(report, energy)
    check_static(energy)
    check_time(report, energy)
    check_figures(energy)
    given = report["options"]
    if given.get("clock_mhz") and energy["static"]:
        assert energy["static"]["clock_mhz"] == given["clock_mhz"]
    if given.get("step_time_s"):
        assert energy["time"]["step_s"] == given["step_time_s"]
    if energy["comparison"]:
        check_comparison(report, energy)


def check_cells(report, energy):
    """Each cell of the matrix of energies is a sum over the terms."""
    counted = [(cells_of(report, term), term["price_pj"]) for term in energy["terms"]]
    for i, row in enumerate(report["matrix"]["energy_pj"][energy["profile"]]):
        for t, found in enumerate(row):
            close(found, math.fsum(cells[i][t] * price for cells, price in counted))


def check_headline(report):
    """The energies of layers and steps are those of the first profile."""
    total = report["totals"]
    if report["energies"] and report["energies"][0]["dynamic_pj"] is not None:
        close(total["energy_pj"], report["energies"][0]["dynamic_pj"])
        for code in ("spike_code", "delta_code"):
            close(total[code]["energy_pj"], report["energies"][0][f"{code}_pj"])


def check_figures(energy):
    """Published figures are those of the profile, a file of which the report has the hash."""
    if energy["profile"] not in profile_names():
        return
    profile = load_profile(energy["profile"])
    assert energy["sha256"] == profile.sha256
    published = {price.term: (price.value_pj, price.low_pj, price.high_pj) for price in profile.prices}
    for term in energy["terms"] if published else ():
        assert published[term["term"]] == tuple(term[key] for key in ("price_pj", "low_price_pj", "high_price_pj"))
    assert [(each["low"], each["high"]) for each in energy["points"]] == [(p.low, p.high) for p in profile.points]
    if energy["static"]:
        found = [(part["low_mw"], part["high_mw"]) for part in energy["static"]["parts"]]
        assert found == [(part.low_mw, part.high_mw) for part in profile.static]
    for each, latency in zip(energy["time"]["latencies"] if energy["time"] else (), profile.latencies, strict=False):
        times = profile.clock.mhz / energy["static"]["clock_mhz"] if latency.is_of_clock and energy["static"] else 1
        close(each["low_ns"], times * latency.low_ns)
        close(each["high_ns"], times * latency.high_ns)


def check_static(energy):
    static, time = energy["static"], energy["time"]
    if static is not None:
        check_states(static)
    if static is None or time is None:
        assert energy["static_low_pj"] is energy["static_high_pj"] is None
        return
    for bound, choose in (("low", min), ("high", max)):
        mw = static["chips"] * choose(state[f"{bound}_mw"] for state in static["states"])
        close(static[f"{bound}_mw"], mw)
        close(energy[f"static_{bound}_pj"], 1e9 * mw * time[f"{bound}_s"])


def check_states(static):
    """The parts of a state add up; some are per MHz of the clock."""
    for state in static["states"]:
        for bound in ("low_mw", "high_mw"):
            parts = [
                part[bound] * (static["clock_mhz"] if part["is_per_mhz"] else 1)
                for part in static["parts"]
                if part["state"] == state["state"] and not part["is_apart"]
            ]
            close(state[bound], sum(parts))
    for bound, choose in (("low_mw", min), ("high_mw", max)):
        close(static[bound], static["chips"] * choose(state[bound] for state in static["states"]))


def check_time(report, energy):
    time = energy["time"]
    if time is None:
        return
    assert time["steps_executed"] == running(report)
    assert (time["step_s"] is None) == (time["busy"] is not None)
    for bound in ("low", "high"):
        if time["step_s"] is not None:
            close(time[f"{bound}_s"], time["step_s"] * time["steps_executed"])
        else:
            check_busy(report, energy, bound)


def check_busy(report, energy, bound):
    time = energy["time"]
    busy, ns = time["busy"][bound], f"{bound}_ns"
    for t, expected in enumerate(busy["ns"]):
        close(expected, sum(busy["work"][name][t] * each[ns] for each in time["latencies"] for name in each["counts"]))
    per_step = sum(each[ns] for each in time["latencies"] if not each["counts"])
    close(time[f"{bound}_s"], 1e-9 * (sum(busy["ns"]) + time["steps_executed"] * per_step))
    for name, work in busy["work"].items():
        for t, done in enumerate(work):
            of_all = sum(row[t] for row in report["matrix"]["executed"][name])
            assert done <= of_all + 1e-9 if busy["layers"] else done == of_all


def check_comparison(report, energy):
    found, n = energy["comparison"], report["totals"]["samples"]
    close(found["spiking_pj"], energy["dynamic_pj"] / n)
    check_growth(report, energy)
    for row in found["rows"]:
        check_row(report, found, row)
        check_dense_counts(report, found, row)
    comparable = {i: row["ratio"] for i, row in enumerate(found["rows"]) if row["is_comparable"]}
    assert found["least_favorable"] == max(comparable, key=comparable.get, default=None)
    assert found["most_favorable"] == min(comparable, key=comparable.get, default=None)


def check_growth(report, energy):
    """Energy per inference is fixed_pj + growing_pj x rate / (the rate of this run)."""
    found, n = energy["comparison"], report["totals"]["samples"]
    if found["rate"] is None:
        return
    fed = fed_by_input(report)
    grows = math.fsum(
        sum(row) * term["price_pj"]
        for term in energy["terms"]
        if not set(term["counts"]) & NEVER_FROM_EVENTS
        for layer, row in zip(report["layers"], cells_of(report, term), strict=True)
        if layer["name"] not in fed
    )
    close(found["growing_pj"], grows / n)
    close(found["fixed_pj"], (energy["dynamic_pj"] - grows) / n)
    close(found["rate"], report["totals"]["events"] / (sum(map(neurons_of, report["layers"])) * running(report)))


def check_row(report, found, row):
    for key, price in (("dense_pj", "price_pj"), ("low_pj", "low_price_pj"), ("high_pj", "high_price_pj")):
        terms = [term["count"] * found["prices"][term["price"]][price] for term in row["terms"]]
        close(row[key], sum(terms))
    close(row["ratio"], found["spiking_pj"] / row["dense_pj"])
    if found["rate"] is not None:
        at = found["fixed_pj"] + found["growing_pj"] * row["crossover_rate"] / found["rate"]
        close(at, row["dense_pj"])


def check_dense_counts(report, found, row):
    """The counts of a dense machine follow from its layers and its dataflow; its prices are of its widths."""
    groups = groups_of(report, row)
    expected = [each for widths, work in groups for each in dense_terms(row, widths, work)]
    shown = [
        (term["what"], term["count"], found["prices"][term["price"]]["source"].partition(",")[0])
        for term in row["terms"]
    ]
    priced = {what for what, _, _ in shown}
    kept = [each for each in expected if each[0] in priced]
    for (what, count, source), (expected_what, expected_count, width) in zip(shown, kept, strict=True):
        assert what == expected_what
        close(count, expected_count, what)
        assert width in source, what
    close(row["macs"], sum(work["macs"] for _, work in groups))


def dense_terms(row, widths, work):
    """Yield name, count and width of what a dense machine does; sums are of 24 bits in integers."""
    weight, value = widths
    macs, outputs, reuses = work["macs"], work["outputs"], row["dataflow"] == "full-reuse"
    is_float = weight is None
    yield "multiplications", macs, "float mul of 32 bits" if is_float else f"integer mul of {weight} x {value} bits"
    adds = "float add of 32 bits" if is_float else "integer add of 24 bits"
    yield "additions, biases and comparisons with 0", macs + outputs + work["biases"], adds
    yield "outputs written", outputs, f"{value or 32} bits of"
    yield "weights read", min(work["weights"], macs) if reuses else macs, f"{weight or 32} bits of"
    yield "inputs read", min(work["inputs"], macs) if reuses else macs, f"{value or 32} bits of"
    if row["dataflow"] == "none":
        yield "sums read and written", 2 * macs + outputs, f"{32 if is_float else 24} bits of"


def groups_of(report, row):
    """Return the work of the layers of a row, by the widths of their numbers; the row has those of most of them."""
    widths = row["weight_bits"], row["activation_bits"]
    if row["baseline"] is None:
        assert (row["sparsity"], row["accuracy"]) == (0, None)
        return [(widths, report["dense"])]
    baseline = report["baselines"][row["baseline"]]
    layers = baseline["layers"]
    results = [each for each in baseline["results"] if each["split"] == report["data"]["split"]]
    (result,) = [each for each in results if (each["weight_bits"], each["activation_bits"]) == widths]
    weights, nonzero = (sum(layer[key] for layer in layers) for key in ("weights", "nonzero_weights"))
    close(row["sparsity"], 1 - nonzero / weights)
    assert row["accuracy"] == result["accuracy"]
    keys = ("macs", "weights", "inputs", "outputs")
    groups = {}
    for layer in layers:
        groups.setdefault((layer.get("weight_bits"), layer.get("activation_bits")), []).append(layer)
    works = [
        (each, {
            **{key: sum(layer[key] for layer in found) for key in keys},
            "biases": sum(layer["outputs"] for layer in found if layer["biases"]),
        })
        for each, found in groups.items()
    ]  # fmt: skip
    works.sort(key=lambda each: -each[1]["macs"])
    if row["skips_zeros"]:
        works[0][1].update(macs=sum(result["effective_macs"].values()), weights=nonzero)
    assert "onnx" not in baseline or works[0][0] == widths
    return [(widths, works[0][1]), *works[1:]]


def check_baselines(report):
    for baseline in report["baselines"]:
        layers = baseline["layers"]
        weights, nonzero = (sum(layer[key] for layer in layers) for key in ("weights", "nonzero_weights"))
        close(baseline["sparsity"], 1 - nonzero / weights)
        assert baseline["data"]["input_scale"] == report["data"]["input"]["scale"]
        for result in baseline["results"]:
            n = result["n_samples"]
            splits = baseline["data"]["splits"]
            assert result["split"] not in splits or n == splits[result["split"]]["n_samples"]
            assert "onnx" not in baseline or n == report["totals"]["samples"]
            if result["accuracy"] is not None and "n_correct" in result:
                close(result["accuracy"], result["n_correct"] / n)
        for layer in layers:
            assert 0 <= layer["biases"] <= layer["outputs"]
        for key in ("macs", "weights", "inputs", "outputs") if "onnx" not in baseline else ():
            assert report["dense"][key] == sum(layer[key] for layer in layers)


def check_estimators(report):
    """NeuroBench's operations have a price; the formulas of other estimators need more than a report holds."""
    priced = [row["spike_code"] for row in report["layers"] if row["kind"] != "scale"]
    for row in report["estimators"]:
        if row["ratio"] is not None:
            close(row["ratio"], row["spiking_pj"] / row["dense_pj"])
        if row["name"] == "NeuroBench":
            acs, macs = (sum(each[key] for each in priced) for key in ("acs", "macs"))
            close(row["spiking_pj"], (0.9 * acs + 4.6 * macs) / report["totals"]["samples"])


def check_placement(report):
    found = report["placement"]
    if found is None:
        return
    shapes = {row["name"]: math.prod(row["shape"]) for row in report["layers"]}
    sums = dict.fromkeys((block["layer"] for block in found["blocks"]), 0)
    for block in found["blocks"]:
        assert block["load"]["neurons"] == math.prod(block["shape"])
        sums[block["layer"]] += math.prod(block["shape"])
    assert sums == {name: shapes.get(name, n) for name, n in sums.items()}
    assert found["cores"] == len({block["core"] for block in found["blocks"]})
    for energy in report["energies"]:
        if energy["static"] is not None and energy["chip"] == found["chip"]:
            assert energy["static"]["chips"] == found["chips"]
