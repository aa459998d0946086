"""Tables of the network of by_hand.py: two samples, three steps."""

import csv
import io

import pytest

from tdd_deploy.simulator.reports.tables import (
    FORMATS,
    TABLES,
    Table,
    as_csv,
    as_latex,
    as_markdown,
    baseline_lines,
    by_ann_baseline,
    by_estimators,
    by_layer,
    by_placement,
    by_profile,
    by_step,
    by_term,
    energy_lines,
    side_by_side,
    significant,
    span_text,
    spread_text,
    verdict_lines,
)
from tests import by_hand

REPORT = by_hand.simulation().as_json()
PROCESS = by_hand.simulation("cmos45-memory", baselines=(by_hand.ANN_BASELINE,)).as_json()
SMALL = Table(("a_b", "n", "100 %"), (("x|y", 1234.5, None), ("c&d", 0.05448, "{~}")))


@pytest.mark.parametrize("by", ["layer", "step"])
def test_the_last_row_is_the_sum_of_the_others(by):
    table = TABLES[by](REPORT)
    *rows, total = table.rows
    assert len(rows) == len(REPORT[f"{by}s"])
    for column in range(1, len(table.head)):
        assert total[column] == pytest.approx(sum(row[column] for row in rows), rel=1e-12)


def test_figures_are_means_over_samples():
    (_, spikes, deltas, executed, *_, nj) = by_layer(REPORT).rows[-1]
    totals = REPORT["totals"]
    assert (spikes, deltas, executed) == tuple(totals[k] / 2 for k in ("spikes", "delta_events", "synops_effective"))
    assert nj == pytest.approx(totals["energy_pj"] / 2e3)


def test_terms_add_up_and_what_is_not_priced_follows():
    rows = by_term(REPORT).rows
    assert sum(row[5] for row in rows if row[5] is not None) == pytest.approx(REPORT["totals"]["energy_pj"] / 2e3)
    left_out = [row[0] for row in rows if row[6] == "not priced"]
    assert left_out == REPORT["energy"]["not_priced"]


def test_without_energy_cells_are_empty():
    report = by_hand.simulation(None).as_json()
    assert {row[-1] for row in by_step(report).rows} == {None}
    assert (by_term(report).rows, by_profile(report).rows) == ((), ())


def test_runs_are_compared_side_by_side_with_what_each_has():
    table = side_by_side({"priced": REPORT, "not": by_hand.simulation(None).as_json()})
    rows = {row[0]: row[1:] for row in table.rows}
    assert table.head == ("", "priced", "not")
    assert rows["samples"] == (2, 2)
    assert rows["input scale"] == ("1", "1")
    assert rows["accuracy, %"] == (50.0, 50.0)
    assert rows["loihi1-davies2018, nJ"] == (pytest.approx(REPORT["totals"]["energy_pj"] / 2e3), None)


def test_every_dense_network_is_listed_with_what_spikes_cost_beside_each_machine():
    report = by_hand.simulation("cmos45-memory", baselines=(by_hand.ANN_BASELINE,)).as_json()
    table = by_ann_baseline(report)
    assert table.head[:5] == ("profile", "dense network", "accuracy, %", "MACs", "of nonzero numbers")
    assert table.head[5] == "none"
    assert table.head[-1] == "full-reuse, zeros skipped"
    assert [row[:5] for row in table.rows] == [
        ("cmos45-memory", "floats", 75.0, 6, 4),
        ("cmos45-memory", "8 bits", 50.0, 6, 4),
        ("cmos45-memory", "8-bit weights and 4-bit activations", 25.0, 6, 4),
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
    assert list(verdict_lines(report)) == [
        "p: spikes in floats cost 34 times as much as the strongest dense machine (8-bit weights and 3-bit "
        "activations, 80% pruned, full reuse, zeros skipped, accuracy 98.7%), and 0.28 times as much as the weakest "
        "(floats, no reuse, accuracy not measured)",
        "  5.7% of neurons send an event per time step; they would cost as much as the strongest at no rate, and as "
        "the weakest at 24%",
    ]


def test_a_rate_of_almost_nothing_is_no_zero_percent():
    found = {"rate": 0.000355, "least_favorable": 0, "most_favorable": 0, "rows": [dense()]}
    report = {"program": {"number_format": "integer"}, "energies": [{"profile": "p", "comparison": found}]}
    cost, rate = verdict_lines(report)
    assert cost.startswith("p: spikes in integers cost 34 times")
    assert rate.startswith("  0.036% of neurons send an event per time step")


def test_a_network_that_only_skips_zeros_has_no_other_macs():
    row = dense(macs=4, baseline=0)
    (found,) = by_ann_baseline({"energies": [{"profile": "p", "comparison": {"rows": [row]}}]}).rows
    assert found[3:5] == (None, 4)


def test_a_verdict_without_a_comparable_network_says_so():
    found = {"rate": 0.1, "least_favorable": None, "most_favorable": None, "rows": []}
    report = {"energies": [{"profile": "p", "comparison": found}]}
    assert list(verdict_lines(report)) == ["p: no dense network of these layers is as accurate"]


def test_the_accuracy_of_dense_networks_is_stated_in_the_usual_widths():
    report = by_hand.simulation(baselines=(by_hand.ANN_BASELINE,)).as_json()
    assert list(baseline_lines(report)) == ["ANN baseline: 6 MACs; accuracy 75.0% in floats, 50.0% in 8 bits"]


@pytest.mark.parametrize(
    ("figure", "digits", "text"),
    [(0, 2, "0"), (5131, 2, "5,100"), (5131, 3, "5,130"), (0.16412, 2, "0.16"), (99.6, 2, "100"), (-34.4, 2, "-34")],
)
def test_figures_have_significant_digits(figure, digits, text):
    assert significant(figure, digits) == text


def test_bounds_that_look_the_same_are_one_number():
    assert (span_text(5131, 5131), span_text(5131, 5149), span_text(5131, 5151)) == ("5,100", "5,100", "5,100 to 5,200")


def test_digits_follow_the_spread_over_sources():
    assert spread_text(5131, 5000, 5200) == "5,130"
    assert spread_text(5131, 4961, 6870) == "5,100"


def test_the_headline_names_its_model_and_the_range_over_models():
    energy = {"profile": "p", "dynamic_pj": 5_131_000, "low_pj": 4_961_000, "high_pj": 6_870_000}
    report = {"energy": energy, "totals": {"samples": 1}, "models": [{"dynamic_pj": 11_000}, {"dynamic_pj": 2.5e9}]}
    assert list(energy_lines(report)) == [
        "dynamic energy: 5,100 nJ per sample by p, 5,000 to 6,900 over its sources",
        "  11 to 2,500,000 nJ over 2 models of hardware; docs/energy.md says what these numbers do not mean",
    ]


def test_markdown_keeps_bars_apart():
    assert as_markdown(SMALL) == (
        "| a_b | n | 100 % |\n| --- | --- | --- |\n| x\\|y | 1,234 |  |\n| c&d | 0.0545 | {~} |\n"
    )


def test_csv_holds_numbers_in_full():
    read = list(csv.reader(io.StringIO(as_csv(SMALL))))
    assert read == [["a_b", "n", "100 %"], ["x|y", "1234.5", ""], ["c&d", "0.05448", "{~}"]]


def test_latex_escapes_and_aligns_numbers():
    assert as_latex(SMALL).splitlines() == [
        r"\begin{tabular}{lrl}",
        r"\toprule",
        r"a\_b & n & 100 \% \\",
        r"\midrule",
        r"x|y & 1,234 &  \\",
        r"c\&d & 0.0545 & \{\textasciitilde{}\} \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


@pytest.mark.parametrize("by", TABLES)
@pytest.mark.parametrize("name", FORMATS)
def test_every_table_has_every_format(by, name):
    text = FORMATS[name](TABLES[by](PROCESS if by == "ann-baseline" else REPORT))
    assert len(text.splitlines()) >= 2
    assert text.endswith("\n")


HOSTILE = Table(("=a\n\x1b[31m|", "&"), (("[2pt] a|b\\|c", "d&e \\ #$"), ("* x\r\n", "<b>&amp;")))


def test_no_name_breaks_a_table_in_markdown():
    lines = as_markdown(HOSTILE).splitlines()
    assert lines == [
        r"| =a\n\x1b[31m\| | & |".replace("\\n", r"\\n").replace("\\x", r"\\x"),
        "| --- | --- |",
        r"| [2pt] a\|b\\\|c | d&e \\ #$ |",
        r"| * x\\r\\n | \<b>\&amp; |",
    ]


def test_no_name_breaks_a_table_in_latex():
    r"""After \\, LaTeX reads [2pt] and * as options of the line break."""
    text = as_latex(HOSTILE)
    body = text.split("\\toprule\n")[1].split("\n\\bottomrule")[0]
    assert body.splitlines() == [
        r"=a\textbackslash{}n\textbackslash{}x1b{[}31m| & \& \\",
        r"\midrule",
        r"{[}2pt{]} a|b\textbackslash{}|c & d\&e \textbackslash{} \#\$ \\",
        r"{*} x\textbackslash{}r\textbackslash{}n & <b>\&amp; \\",
    ]


def test_no_name_is_a_formula_in_csv():
    read = list(csv.reader(io.StringIO(as_csv(HOSTILE))))
    assert read[0] == [r"'=a\n\x1b[31m|", "&"]
    assert read[2] == [r"* x\r\n", "<b>&amp;"]


def test_estimators_of_others_follow_our_own_figure():
    report = by_hand.simulation("cmos45-horowitz").as_json()
    table = by_estimators(report)
    assert table.head == ("estimator", "spiking nJ", "dense nJ", "ratio", "assumes", "source")
    first, second, *others = table.rows
    (energy,) = report["energies"]
    dense = energy["comparison"]["rows"][energy["comparison"]["least_favorable"]]["dense_pj"]
    for row, name, key in ((first, "auto code", "dynamic_pj"), (second, "plain spikes", "spike_code_pj")):
        assert row[0] == f"cmos45-horowitz, {name}"
        assert row[1:4] == (pytest.approx(energy[key] / 2e3), dense / 1e3, pytest.approx(energy[key] / 2 / dense))
    plain, dense = (13 * 0.9 + 7 * 4.6) / 2, 6 * 4.6
    assert [row[0] for row in others] == [row["name"] for row in report["estimators"]]
    neurobench = others[0]
    assert neurobench[1:4] == (pytest.approx(plain / 1e3), pytest.approx(dense / 1e3), pytest.approx(plain / dense))
    assert by_estimators(by_hand.simulation(None).as_json()).rows == ()


def test_an_estimator_that_does_not_apply_has_empty_cells():
    row = {"name": "a", "spiking_pj": None, "dense_pj": None, "ratio": None, "assumes": "no", "source": "b"}
    assert by_estimators({**REPORT, "estimators": [row]}).rows[-1] == ("a", None, None, None, "no", "b")
