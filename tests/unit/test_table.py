"""The Table type and its writers for files: Markdown, CSV, LaTeX and HTML."""

import csv
import io
import re

import pytest

from tdd_deploy.tables import (
    Column,
    Format,
    Span,
    Table,
    as_csv,
    as_html,
    as_latex,
    as_markdown,
    energy_text,
    fixed,
    significant,
    span_text,
)

SMALL = Table(
    columns=(
        Column("a_b"),
        Column("n", Format.NUMBER),
        Column("energy", Format.ENERGY),
        Column("accuracy", Format.PERCENT),
        Column("price", Format.FIGURE, unit="pJ"),
    ),
    rows=(
        ("x|y", 1234.5, Span(6.4e6, 6.2e6, 8.7e6), 0.985, Span(23.6, 23.6, 35.5)),
        ("c&d", 0.04, 9e6, None, 0.9),
    ),
    total=("total", 1234.54, None, None, None),
)
HOSTILE = Table(
    columns=(Column("=a\n\x1b[31m|"), Column("&")), rows=(("[2pt] a|b\\|c", "d&e \\ #$"), ("* x\r\n", "<b>&amp;"))
)


def texts(table):
    return [list(row) for row in table.texts]


def test_a_column_has_one_unit_and_one_number_of_decimals():
    assert SMALL.heads == ("a_b", "n", "energy, uJ", "accuracy, %", "price, pJ")
    assert texts(SMALL) == [
        ["x|y", "1,234", "6.4 (6.2 to 8.7)", "98.5", "24 (24 to 36)"],
        ["c&d", "0.040", "9.00", "", "0.900"],
        ["total", "1,235", "", "", ""],
    ]


def test_all_energies_of_a_table_have_one_unit():
    columns = (Column("a", Format.ENERGY), Column("b", Format.ENERGY))
    table = Table(columns=columns, rows=((3e3, 4e9), (5e3, None), (None, 2e3)))
    assert table.units == ("nJ", "nJ")
    assert texts(table) == [["3.00", "4,000,000"], ["5.00", ""], ["", "2.00"]]
    assert table.in_unit("mJ").units == ("mJ", "mJ")


def test_an_empty_table_has_its_heads():
    empty = Table(columns=(Column("a"), Column("e", Format.ENERGY)), rows=())
    assert empty.heads == ("a", "e, pJ")
    assert as_csv(empty) == 'a,"e, pJ"\n'
    assert as_markdown(empty).count("\n") == 2


def test_a_range_without_a_figure_is_written_alone():
    table = Table(columns=(Column("e", Format.ENERGY),), rows=((Span(None, 11e6, 41e6),),))
    assert texts(table) == [["11 to 41"]]
    assert list(csv.reader(io.StringIO(as_csv(table)))) == [
        ["e, pJ", "e, pJ, low", "e, pJ, high"],
        ["", "11000000.0", "41000000.0"],
    ]


@pytest.mark.parametrize(
    ("figure", "digits", "text"),
    [
        (0, 2, "0"),
        (5131, 2, "5,100"),
        (5131, 3, "5,130"),
        (0.16412, 2, "0.16"),
        (99.6, 2, "100"),
        (-34.4, 2, "-34"),
        (1e-7, 2, "1.0e-07"),
        (3.2e20, 3, "3.20e+20"),
    ],
)
def test_figures_have_significant_digits(figure, digits, text):
    assert significant(figure, digits) == text


@pytest.mark.parametrize(
    ("figures", "text"),
    [
        ((5131, 5000, 5200), "5,130 (5,000 to 5,200)"),  # its sources agree: a third digit
        ((5131, 4961, 6870), "5,100 (5,000 to 6,900)"),
        ((5131, 5131, 5131), "5,130"),
        ((-2.0, -2.0, -2.0), "-2.00"),
    ],
)
def test_digits_follow_the_range(figures, text):
    assert span_text(*figures) == text


@pytest.mark.parametrize(
    ("figures", "expected"),
    [
        ((0.5,), "0.500 pJ"),
        ((6400, 6200, 8700), "6.4 nJ (6.2 to 8.7)"),
        ((6.4e9, 6.38e9, 6.42e9), "6.40 mJ (6.38 to 6.42)"),
        ((0.0,), "0 pJ"),
        ((2e12,), "2.00 J"),
    ],
)
def test_an_energy_has_its_unit_and_its_range(figures, expected):
    assert energy_text(*figures) == expected


@pytest.mark.parametrize(
    ("figure", "decimals", "text"),
    [(0.3, 0, "0.30"), (0.0, 0, "0"), (-0.001, 2, "-0.0010"), (1234.5678, 1, "1,234.6"), (2e15, 0, "2.0e+15")],
)
def test_a_number_is_never_shown_as_zero(figure, decimals, text):
    assert fixed(figure, decimals) == text


def test_markdown_keeps_bars_apart_and_aligns_numbers():
    lines = as_markdown(SMALL).splitlines()
    assert lines[:3] == [
        "| a_b | n | energy, uJ | accuracy, % | price, pJ |",
        "| --- | ---: | ---: | ---: | ---: |",
        "| x\\|y | 1,234 | 6.4 (6.2 to 8.7) | 98.5 | 24 (24 to 36) |",
    ]


def test_csv_holds_numbers_in_full_and_ranges_in_columns_of_their_own():
    head, first, second, total = csv.reader(io.StringIO(as_csv(SMALL)))
    energy = ["energy, pJ", "energy, pJ, low", "energy, pJ, high"]
    assert head == ["a_b", "n", *energy, "accuracy", "price, pJ", "price, pJ, low", "price, pJ, high"]
    assert first == ["x|y", "1234.5", "6400000.0", "6200000.0", "8700000.0", "0.985", "23.6", "23.6", "35.5"]
    assert second == ["c&d", "0.04", "9000000.0", "", "", "", "0.9", "", ""]
    assert total == ["total", "1234.54", *[""] * 7]


def test_latex_has_columns_of_siunitx():
    lines = as_latex(SMALL).splitlines()
    assert lines[0].startswith("% needs \\usepackage{booktabs} and \\usepackage{siunitx}")
    assert lines[1:] == [
        r"\begin{tabular}{lS[table-format=4.3]rS[table-format=2.1]r}",
        r"\toprule",
        r"{a\_b} & {n} & {energy / \unit{\micro\joule}} & {accuracy / \unit{\percent}} & "
        r"{price / \unit{\pico\joule}} \\",
        r"\midrule",
        r"x|y & 1234 & \num{6.4} (\numrange{6.2}{8.7}) & 98.5 & \num{24} (\numrange{24}{36}) \\",
        r"c\&d & 0.040 & \num{9.00} & {} & \num{0.900} \\",
        r"\midrule",
        r"total & 1235 & {} & {} & {} \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        ({"caption": "50 % & more"}, [r"\caption{50 \% \& more}"]),
        ({"label": "tab:energy"}, [r"\label{tab:energy}"]),
        ({"caption": "A", "label": "tab:a"}, [r"\caption{A}", r"\label{tab:a}"]),
    ],
)
def test_latex_with_a_caption_or_a_label_is_a_whole_table(given, parts):
    text = as_latex(SMALL, **given)
    assert text.splitlines()[1:3] == [r"\begin{table}", r"\centering"]
    assert text.endswith("\\end{tabular}\n\\end{table}\n")
    assert all(part in text for part in parts)


def test_latex_of_a_negative_number_and_of_a_power_of_ten():
    table = Table(columns=(Column("a", Format.NUMBER), Column("b", Format.FIGURE)), rows=((-3, 1e-9), (12, 2)))
    text = as_latex(table)
    assert "S[table-format=-2.0]r" in text
    assert r"-3 & \num{1.00e-09} \\" in text


def test_html_has_heads_with_a_scope_and_numbers_with_a_class():
    source = as_html(SMALL)
    assert '<th scope="col" class="n">energy, uJ</th>' in source
    assert '<th scope="row">c&amp;d</th>' in source
    assert '<td class="n">6.4 (6.2 to 8.7)</td>' in source
    assert '<tfoot><tr><th scope="row">total</th>' in source


def test_of_very_many_rows_html_has_the_first_and_the_last_ones():
    table = Table(columns=(Column("n", Format.NUMBER),), rows=tuple((i,) for i in range(2000)), caption="all")
    source = as_html(table, whole="report.json holds all of them")
    assert source.count("<tr>") == 1 + 101
    assert "<caption>all (1,900 of 2,000 rows are left out; report.json holds all of them)</caption>" in source


def test_no_name_breaks_a_table_in_markdown():
    assert as_markdown(HOSTILE).splitlines() == [
        r"| =a\\n\\x1b[31m\| | & |",
        "| --- | --- |",
        r"| [2pt] a\|b\\\|c | d&e \\ #$ |",
        r"| * x\\r\\n | \<b>\&amp; |",
    ]


def test_no_name_breaks_a_table_in_latex():
    r"""After \\, LaTeX reads [2pt] and * as options of the line break."""
    body = as_latex(HOSTILE).split("\\toprule\n")[1].split("\n\\bottomrule")[0]
    assert body.splitlines() == [
        r"{=a\textbackslash{}n\textbackslash{}x1b{[}31m|} & {\&} \\",
        r"\midrule",
        r"{[}2pt{]} a|b\textbackslash{}|c & d\&e \textbackslash{} \#\$ \\",
        r"{*} x\textbackslash{}r\textbackslash{}n & <b>\&amp; \\",
    ]


def test_no_name_is_a_formula_in_csv():
    read = list(csv.reader(io.StringIO(as_csv(HOSTILE))))
    assert read[0] == [r"'=a\n\x1b[31m|", "&"]
    assert read[2] == [r"* x\r\n", "<b>&amp;"]


def test_no_name_breaks_a_table_in_html():
    source = as_html(HOSTILE)
    assert not {"b"} & set(re.findall(r"<(\w+)", source))
    assert "\x1b" not in source
