import csv
import io

import pytest

from tdd_deploy.text import FIRST_ROWS, LAST_ROWS, csv_lines, csv_table, ends, shortened, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("fc1", "fc1"),
        ("a\x1b[31mred\x07", r"a\x1b[31mred\x07"),
        ("\x00\x7f", r"\x00\x7f"),
        ("\x9b31m", r"\x9b31m"),  # a C1 character: what ESC [ does, in one
        ("safe\u202egnp.exe", r"safe\u202egnp.exe"),
        ("zero\u200bwidth\ufeff", r"zero\u200bwidth\ufeff"),
        ("\udcff.nir", r"\udcff.nir"),
        ("a\nb\tc\r", r"a\nb\tc\r"),
        ("line\u2028line", r"line\u2028line"),
        ("Übersicht 层 🙂", "Übersicht 层 🙂"),
        (r"a\x1b", r"a\x1b"),
    ],
)
def test_characters_that_do_not_print_are_written_as_python_writes_them(text, shown):
    assert visible(text) == shown


def test_line_breaks_are_kept_on_request():
    assert visible("a\n\x1bb\r\n", lines=True) == "a\n\\x1bb\\r\n"


def test_a_long_text_is_cut_in_the_middle_and_says_so():
    text = "a" * 600_000 + "b" * 300_000
    cut = shortened(text, 90)
    assert cut == "a" * 60 + " [... 899,910 characters ...] " + "b" * 30
    assert shortened(text[:90], 90) == text[:90]


def test_a_very_long_table_keeps_its_ends():
    assert ends([1, 2]) == ([1, 2], [])
    most = list(range(FIRST_ROWS + LAST_ROWS))
    assert ends(most) == (most, [])
    first, last = ends(range(10**5))
    assert (first[0], len(first), len(last), last[-1]) == (0, FIRST_ROWS, LAST_ROWS, 10**5 - 1)


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", " =1", "\u00a0=1", "\uff1d1+1"])
def test_a_text_that_a_spreadsheet_would_execute_gets_an_apostrophe(name):
    ((cell,),) = csv.reader(io.StringIO(csv_lines([[name]])))
    assert cell == f"'{visible(name)}" or (cell == visible(name) and cell[0] == "\\")


@pytest.mark.parametrize("name", ["\t=1+1", "\r=1+1", "\n=1+1"])
def test_a_cell_begins_with_no_control_character(name):
    ((cell,),) = csv.reader(io.StringIO(csv_lines([[name]])))
    assert cell == visible(name)
    assert cell[0] == "\\"


def test_numbers_are_never_changed():
    numbers = [-1, -1.5, 1e-300, 0.1 + 0.2, 2**70, True, None]
    assert csv_lines([numbers]) == "-1,-1.5,1e-300,0.30000000000000004,1180591620717411303424,True,\n"


def test_separators_and_quotes_in_a_name_do_not_end_its_cell():
    names = ["a,b", "a;=1+1", 'say "no"', "a\nb", "'"]
    text = csv_lines([names])
    assert list(csv.reader(io.StringIO(text))) == [["a,b", "a;=1+1", 'say "no"', r"a\nb", "'"]]
    assert '"a;=1+1"' in text  # some spreadsheets split at semicolons


def test_rows_share_the_columns_of_all():
    assert csv_table([{"a": 1}, {"=b": "x", "a": 2}]) == "a,'=b\n1,\n2,x\n"
    assert csv_table([]) == ""
