"""Tables on a terminal: at any width, every number is whole and no line is too long."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tdd_deploy.tables import Column, Format, Span, Table, as_terminal
from tdd_deploy.tables.terminal import GREEN, PLAIN, RED, cell_width

WIDE = Table(
    columns=(
        Column("profile"),
        Column("energy", Format.ENERGY),
        Column("as plain spikes", Format.ENERGY, drop=1),
        Column("source", drop=2),
    ),
    rows=(
        ("loihi1-davies2018", Span(4.9e6, 4.7e6, 6.5e6), 5.9e6, "Davies et al., IEEE Micro 38(1):82-99, 2018"),
        ("cmos45-memory", Span(2.7e6, 2.7e6, 24e6), 3.6e6, "Horowitz, ISSCC 2014"),
    ),
    caption="means per inference",
)


def lines(table, width, **given):
    return as_terminal(table, width, **given).splitlines()


def test_with_space_every_row_is_one_line_and_numbers_are_on_the_right():
    assert lines(WIDE, 120) == [
        "means per inference",
        "profile                  energy, uJ  as plain spikes, uJ  source",
        "loihi1-davies2018  4.9 (4.7 to 6.5)                 5.90  Davies et al., IEEE Micro 38(1):82-99, 2018",
        "cmos45-memory       2.7 (2.7 to 24)                 3.60  Horowitz, ISSCC 2014",
    ]


def test_texts_wrap_before_columns_are_dropped():
    found = lines(WIDE, 80)
    assert max(map(len, found)) <= 80
    assert "Davies et al., IEEE" in found[3]
    assert not found[-1].startswith("(")


def test_where_space_is_short_the_least_important_columns_are_dropped_and_named():
    found = lines(WIDE, 50, whole="--json prints all of them")
    assert max(map(len, found)) <= 50
    assert "Davies" not in "".join(found)
    assert found[-2:] == ["(no space for source; --json prints all of them)"] or "source" in found[-1]


def test_on_the_narrowest_terminal_rows_are_records():
    found = lines(WIDE, 30)
    assert max(map(len, found)) <= 30
    assert "loihi1-davies2018" in found
    assert "  energy, uJ: 4.9 (4.7 to 6.5)" in found


def test_a_total_stands_apart():
    table = Table(columns=(Column("layer"), Column("n", Format.NUMBER)), rows=(("a", 1),), total=("total", 1))
    assert lines(table, 80) == ["layer  n", "a      1", "", "total  1"]


def test_a_unit_stays_with_its_head():
    table = Table(columns=(Column("as plain spikes", Format.ENERGY), Column("x" * 20)), rows=((5e6, "y"),))
    assert "spikes, uJ" in as_terminal(table, 32)
    assert "\N{NO-BREAK SPACE}" not in as_terminal(table, 32)


def test_a_long_head_ends_its_lines_at_hyphens():
    table = Table(columns=(Column("loihi1-davies2018", Format.ENERGY), Column("x" * 20)), rows=((5e6, "y"),))
    assert lines(table, 36)[:2] == ["       loihi1-", "davies2018, uJ  " + "x" * 20]


def test_a_text_may_begin_with_spaces_and_hold_long_words():
    table = Table(columns=(Column("a"), Column("b" * 20)), rows=(("  " + "y" * 30 + " z", "c"),))
    assert lines(table, 46)[1] == "  " + "y" * 22 + "  c"


MARKS = Table(columns=(Column("", Format.MARK), Column("what")), rows=(("ok", "a"), ("NO", "b"), ("", "c")))


def test_marks_have_a_color_where_it_is_asked_for():
    assert lines(MARKS, 80, color=True)[1:] == [f"{GREEN}ok{PLAIN}  a", f"{RED}NO{PLAIN}  b", "    c"]
    assert lines(MARKS, 80)[1:] == ["ok  a", "NO  b", "    c"]


def test_of_very_many_rows_the_first_and_the_last_ones_are_shown():
    table = Table(columns=(Column("n"),), rows=tuple((f"fc{i}",) for i in range(2000)))
    found = lines(table, 80, whole="--json prints all of them")
    assert len(found) == 1 + 80 + 1 + 20 + 1
    assert found[-1] == "(1,900 of 2,000 rows are left out; --json prints all of them)"


@pytest.mark.parametrize(("text", "width"), [("abc", 3), ("层", 2), ("e\N{COMBINING ACUTE ACCENT}", 1)])
def test_wide_characters_take_two_columns(text, width):
    assert cell_width(text) == width


def test_control_characters_are_shown():
    table = Table(columns=(Column("a"),), rows=(("\x1b[31mred",),))
    assert "\x1b" not in as_terminal(table, 80)
    columns = (Column("a"), Column("\x1b[31mb" * 20, drop=1))
    named = Table(columns=columns, rows=(("a" * 30, "b" * 30),), caption="\x1b[31mred")
    assert "no space for" in as_terminal(named, 40)
    assert "\x1b" not in as_terminal(named, 40, whole="\x1b[31m")


NUMBERS = st.one_of(
    st.none(),
    st.integers(-(10**12), 10**12),
    st.floats(-1e15, 1e15, allow_nan=False, allow_subnormal=False),
    st.builds(
        lambda low, up, more: Span(low + up, low, low + up + more),
        st.floats(0, 1e12),
        st.floats(0, 1e12),
        st.floats(0, 1e12),
    ),
)
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=60)


@st.composite
def tables(draw):
    formats = draw(st.lists(st.sampled_from(Format), min_size=1, max_size=8))
    columns = tuple(
        Column(draw(TEXTS), Format.TEXT if i == 0 else form, drop=draw(st.integers(0, 3)) if i else 0)
        for i, form in enumerate(formats)
    )

    def cell(column):
        if column.format is Format.TEXT:
            return draw(TEXTS)
        if column.format is Format.MARK:
            return draw(st.sampled_from(("ok", "NO", "")))
        return f"{draw(st.integers(0, 10**9)):,} of 9" if column.format is Format.WRITTEN else draw(NUMBERS)

    rows = tuple(tuple(map(cell, columns)) for _ in range(draw(st.integers(0, 4))))
    return Table(columns=columns, rows=rows)


@given(tables(), st.integers(40, 130))
def test_no_line_is_too_long_and_every_number_that_is_shown_is_whole(table, width):
    text = as_terminal(table, width)
    assert max(map(cell_width, text.splitlines()), default=0) <= width
    flat = re.sub(r"\s+", " ", text)
    dropped = "(no space for" in text
    for row in table.texts:
        for column, cell in zip(table.columns, row, strict=True):
            if not column.format.is_text and cell and not (dropped and column.drop):
                assert cell in flat
