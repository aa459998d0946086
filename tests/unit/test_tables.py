"""Tables of the network of by_hand.py: two samples, three steps."""

import pytest

from tdd_deploy.simulator.reports.lines import (
    baseline_lines,
    break_even_lines,
    dense_lines,
    models_line,
    not_priced_line,
)
from tdd_deploy.simulator.reports.tables import (
    FORMATS,
    TABLES,
    by_ann_baseline,
    by_estimators,
    by_layer,
    by_placement,
    by_profile,
    by_step,
    by_term,
    side_by_side,
)
from tdd_deploy.tables import Span
from tests import by_hand

REPORT = by_hand.simulation().as_json()
PROCESS = by_hand.simulation("cmos45-memory", baselines=(by_hand.ANN_BASELINE,)).as_json()


@pytest.mark.parametrize("by", ["layer", "step"])
def test_the_last_row_is_the_sum_of_the_others(by):
    table = TABLES[by](REPORT)
    assert len(table.rows) == len(REPORT[f"{by}s"])
    for column in range(1, len(table.columns)):
        assert table.total[column] == pytest.approx(sum(row[column] for row in table.rows), rel=1e-12)


def test_figures_are_means_over_samples():
    (_, spikes, deltas, executed, *_, energy, plain) = by_layer(REPORT).total
    totals = REPORT["totals"]
    assert (spikes, deltas, executed) == tuple(totals[k] / 2 for k in ("spikes", "delta_events", "synops_effective"))
    assert energy == pytest.approx(totals["energy_pj"] / 2)
    assert plain == pytest.approx(totals["spike_code"]["energy_pj"] / 2)


def test_terms_add_up_and_what_is_not_priced_follows():
    rows = by_term(REPORT).rows
    assert sum(row[4] for row in rows if row[4] is not None) == pytest.approx(REPORT["totals"]["energy_pj"] / 2)
    left_out = [row[1] for row in rows if row[5] == "not priced"]
    assert left_out == REPORT["energies"][0]["not_priced"]
    assert {row[0] for row in rows} == {"loihi1-davies2018"}


def test_without_energy_cells_are_empty():
    report = by_hand.simulation(None).as_json()
    assert [column.name for column in by_step(report).columns][-1] == "dense"
    assert (by_term(report).rows, by_profile(report).rows) == ((), ())


def test_a_profile_has_its_range_and_the_dense_networks_follow():
    report = by_hand.simulation("cmos45-memory", baselines=(by_hand.ANN_BASELINE,)).as_json()
    (energy,) = report["energies"]
    profile, floats, integers = by_profile(report).rows
    assert profile[:2] == ("cmos45-memory", Span(*(energy[key] / 2 for key in ("dynamic_pj", "low_pj", "high_pj"))))
    rows = [row for row in energy["comparison"]["rows"] if row["is_comparable"]]
    for (name, pj, *others), is_float in ((floats, True), (integers, False)):
        best = min((row for row in rows if (row["weight_bits"] is None) is is_float), key=lambda row: row["dense_pj"])
        assert name == f"  dense ANN, {'floats' if is_float else 'integers'}"
        assert pj == Span(best["dense_pj"], best["low_pj"], best["high_pj"])
        assert others == [None, None, None]


def test_static_energy_is_a_range():
    report = by_hand.simulation("loihi1-davies2018").as_json()
    (energy,) = report["energies"]
    assert by_profile(report).rows[0][4] == Span(None, energy["static_low_pj"] / 2, energy["static_high_pj"] / 2)


def test_runs_are_compared_with_what_each_has():
    table = side_by_side({"priced": REPORT, "not": by_hand.simulation(None).as_json()})
    names = [column.name for column in table.columns]
    first, second = (dict(zip(names, row, strict=True)) for row in table.rows)
    assert (first["run"], second["run"]) == ("priced", "not")
    assert (first["samples"], first["input scale"], first["accuracy"]) == (2, "1", 0.5)
    assert first["loihi1-davies2018"].value == pytest.approx(REPORT["totals"]["energy_pj"] / 2)
    assert second["loihi1-davies2018"] is None


def test_what_no_run_has_is_no_column():
    names = [
        column.name for column in side_by_side({"not": by_hand.simulation(None, n_correct=None).as_json()}).columns
    ]
    assert "accuracy" not in names
    assert names[-1] == "dense"


def test_every_dense_network_is_listed_with_what_spikes_cost_beside_each_machine():
    report = by_hand.simulation("cmos45-memory", baselines=(by_hand.ANN_BASELINE,)).as_json()
    table = by_ann_baseline(report)
    assert table.heads[:5] == ("profile", "dense network", "accuracy, %", "MACs", "of nonzero numbers")
    assert table.heads[5] == "none"
    assert table.heads[-1] == "full-reuse, zeros skipped"
    assert [row[:5] for row in table.rows] == [
        ("cmos45-memory", "floats", 0.75, 6, 4),
        ("cmos45-memory", "8 bits", 0.5, 6, 4),
        ("cmos45-memory", "8-bit weights and 4-bit activations", 0.25, 6, 4),
    ]
    ratios = [row["ratio"] for row in report["energies"][0]["comparison"]["rows"]]
    assert sorted(cell for row in table.rows for cell in row[5:]) == sorted(ratios)


def test_layers_are_listed_with_their_cores_where_they_were_placed():
    # hidden: 2 neurons with 2 synapses each of 8 bits, two axons in, two out to one core; the output: one neuron
    assert by_placement(REPORT).rows == (
        ("hidden", 1, "2", 2, 4 * 8, 2, 2, 1),
        ("out", 1, "1", 1, 2 * 8, 2, 0, 0),
    )
    assert by_placement(by_hand.simulation(placement=None).as_json()).rows == ()


def dense(**changed):
    row = {
        "weight_bits": 8, "activation_bits": 3, "sparsity": 0.8, "dataflow": "full-reuse", "skips_zeros": True,
        "accuracy": 0.987, "ratio": 34.39, "crossover_rate": -0.01,
    }  # fmt: skip
    return row | changed


FLOATS = {"weight_bits": None, "activation_bits": None, "sparsity": 0.0, "skips_zeros": False, "accuracy": None}


def test_the_verdict_begins_with_the_strongest_dense_machine():
    weakest = dense(**FLOATS, dataflow="none", ratio=0.2804, crossover_rate=0.2392)
    found = {"rate": 0.0566, "least_favorable": 1, "most_favorable": 0, "rows": [weakest, dense()]}
    report = {
        "program": {"number_format": "float32"},
        "energies": [{"profile": "p", "comparison": found}, {"profile": "q", "comparison": None}],
    }
    assert list(dense_lines(report)) == [
        "p: spikes in floats cost 34 times as much as the strongest dense machine (8-bit weights and 3-bit "
        "activations, 80% pruned, full reuse, zeros skipped, accuracy 98.7%), and 0.28 times as much as the weakest "
        "(floats, no reuse, accuracy not measured)",
    ]


def test_the_break_even_is_a_formula_with_its_numbers():
    """At 2 % of neurons: 100 + 2 x 50 pJ = 200 pJ; 300 pJ at 4 %, and 50 pJ at no rate."""
    rows = [
        dense(**FLOATS, dense_pj=300.0, is_comparable=True) | {"crossover_rate": 0.04},
        dense(dense_pj=50.0, is_comparable=True, crossover_rate=-0.02),
    ]
    found = {"rate": 0.02, "fixed_pj": 100.0, "growing_pj": 100.0, "rows": rows}
    assert list(break_even_lines({"energies": [{"profile": "p", "comparison": found}]})) == [
        "break-even by p: energy = 100 pJ + 50.0 pJ for each 1 % of neurons that send an event per time step (here "
        "2.0%); it equals a dense pass in floats (300 pJ) at 4.0 %, and in integers (50.0 pJ) at no rate"
    ]


def test_without_events_there_is_no_break_even():
    found = {"rate": None, "fixed_pj": None, "growing_pj": None, "rows": [dense()]}
    assert list(break_even_lines({"energies": [{"profile": "p", "comparison": found}]})) == []


def test_what_is_not_priced_is_listed_by_name():
    energy = {"profile": "p", "not_priced": ["bias: no price", "hops (3 pJ each): not placed", "bias: twice"]}
    assert not_priced_line(energy) == "not priced by p: bias, hops"


def test_a_network_that_only_skips_zeros_has_no_other_macs():
    row = dense(macs=4, baseline=0)
    (found,) = by_ann_baseline(
        {"energies": [{"profile": "p", "comparison": {"rows": [row]}}], "baselines": [by_hand.ANN_BASELINE]}
    ).rows
    assert found[3:5] == (None, 4)


def test_a_verdict_without_a_comparable_network_says_so():
    found = {"rate": 0.1, "least_favorable": None, "most_favorable": None, "rows": []}
    report = {"energies": [{"profile": "p", "comparison": found}]}
    assert list(dense_lines(report)) == ["p: no dense network of these layers is as accurate"]


def test_the_accuracy_of_dense_networks_is_stated_in_the_usual_widths():
    report = by_hand.simulation(baselines=(by_hand.ANN_BASELINE,)).as_json()
    assert list(baseline_lines(report)) == ["ANN baseline: 6 MACs; accuracy 75.0% in floats, 50.0% in 8 bits"]


def test_the_range_over_models_is_stated_where_there_are_several():
    models = [{"dynamic_pj": 11_000}, {"dynamic_pj": 2.5e9}]
    (line,) = models_line({"totals": {"samples": 1}, "models": models})
    assert line.startswith("dynamic energy over all 2 models of hardware: 11.0 nJ to 2.50 mJ per inference")
    assert list(models_line({"totals": {"samples": 1}, "models": models[:1]})) == []


@pytest.mark.parametrize("by", TABLES)
@pytest.mark.parametrize("name", FORMATS)
def test_every_table_has_every_format(by, name):
    text = FORMATS[name](TABLES[by](PROCESS if by == "ann-baseline" else REPORT))
    assert len(text.splitlines()) >= 2
    assert text.endswith("\n")


def test_estimators_of_others_follow_our_own_figure():
    report = by_hand.simulation("cmos45-horowitz").as_json()
    table = by_estimators(report)
    assert [column.name for column in table.columns] == ["estimator", "spiking", "dense", "ratio", "assumes", "source"]
    first, second, *others = table.rows
    (energy,) = report["energies"]
    dense = energy["comparison"]["rows"][energy["comparison"]["least_favorable"]]["dense_pj"]
    for row, name, key in ((first, "auto code", "dynamic_pj"), (second, "plain spikes", "spike_code_pj")):
        assert row[0] == f"cmos45-horowitz, {name}"
        assert row[1:4] == (pytest.approx(energy[key] / 2), dense, pytest.approx(energy[key] / 2 / dense))
    plain, dense = (13 * 0.9 + 7 * 4.6) / 2, 6 * 4.6
    assert [row[0] for row in others] == [row["name"] for row in report["estimators"]]
    neurobench = others[0]
    assert neurobench[1:4] == (pytest.approx(plain), pytest.approx(dense), pytest.approx(plain / dense))
    assert by_estimators(by_hand.simulation(None).as_json()).rows == ()


def test_an_estimator_that_does_not_apply_has_empty_cells():
    row = {"name": "a", "spiking_pj": None, "dense_pj": None, "ratio": None, "assumes": "no", "source": "b"}
    assert by_estimators({**REPORT, "estimators": [row]}).rows[-1] == ("a", None, None, None, "no", "b")
