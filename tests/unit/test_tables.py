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
    break_even_lines,
    by_ann_baseline,
    by_estimators,
    by_layer,
    by_placement,
    by_profile,
    by_step,
    by_term,
    side_by_side,
)
from tests import by_hand

REPORT = by_hand.simulation().as_json()
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


def test_the_network_is_listed_above_its_ann_baseline():
    report = by_hand.simulation("cmos45-horowitz", baseline=by_hand.ANN_BASELINE).as_json()
    table = by_ann_baseline(report)
    assert table.head == ("network", "accuracy, %", "samples", "operations", "nJ, cmos45-horowitz")
    assert table.rows == (
        ("this, auto code", 50.0, 2, 15 / 2, pytest.approx((13 * 0.9 + 2 * 4.6) / 2e3)),
        ("this, plain spikes", 50.0, 2, 20 / 2, pytest.approx((13 * 0.9 + 7 * 4.6) / 2e3)),
        ("ANN baseline, floats", 75.0, 4, 6, pytest.approx(6 * 4.6e-3)),
        ("ANN baseline, 8 bits", 50.0, 4, 6, pytest.approx(6 * 0.23e-3)),
        ("ANN baseline, 4 bits", 25.0, 4, 6, None),
    )


def test_layers_are_listed_with_their_cores_where_they_were_placed():
    # hidden: 2 neurons with 2 synapses each of 8 bits, two axons in, two out to one core; the output: one neuron
    assert by_placement(REPORT).rows == (
        ("hidden", 1, "2", 2, 4 * 8, 2, 2, 1),
        ("out", 1, "1", 1, 2 * 8, 2, 0, 0),
    )
    assert by_placement(by_hand.simulation(placement=None).as_json()).rows == ()


@pytest.mark.parametrize(
    ("limit", "bits", "verdict"),
    [
        (0.125, None, "it costs less than its ANN baseline in floats up to 12.50%"),
        (1.5, 8, "it costs less than its ANN baseline in 8 bits at any rate"),
        (-0.1, None, "neuron updates and the input alone cost more than its ANN baseline in floats"),
    ],
)
def test_the_break_even_is_reported_as_a_rate_that_can_be(limit, bits, verdict):
    found = {"rate": 0.05, "break_even_rate": limit, "ann_baseline_pj": 1.0, "bits": bits}
    report = {"energies": [{"profile": "p", "break_even": found}, {"profile": "q", "break_even": None}]}
    assert list(break_even_lines(report)) == [f"p: 5.00% events per neuron and time step; {verdict}"]


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
    text = FORMATS[name](TABLES[by](REPORT))
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
    executed, plain, dense = (13 * 0.9 + 2 * 4.6) / 2, (13 * 0.9 + 7 * 4.6) / 2, 6 * 4.6
    for row, name, spiking in ((first, "auto code", executed), (second, "plain spikes", plain)):
        assert row[0] == f"cmos45-horowitz, {name}"
        assert row[1:4] == (pytest.approx(spiking / 1e3), pytest.approx(dense / 1e3), pytest.approx(spiking / dense))
    assert [row[0] for row in others] == [row["name"] for row in report["estimators"]]
    neurobench = others[0]
    assert neurobench[1:4] == (pytest.approx(plain / 1e3), pytest.approx(dense / 1e3), pytest.approx(plain / dense))
    assert by_estimators(by_hand.simulation(None).as_json()).rows == ()


def test_an_estimator_that_does_not_apply_has_empty_cells():
    row = {"name": "a", "spiking_pj": None, "dense_pj": None, "ratio": None, "assumes": "no", "source": "b"}
    assert by_estimators({**REPORT, "estimators": [row]}).rows[-1] == ("a", None, None, None, "no", "b")
