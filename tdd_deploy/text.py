"""Texts that may hold anything, such as names from files: made visible, cut to a length, or written as CSV."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

MOST_CHARACTERS = 1000  # of a line for people
FIRST_ROWS, LAST_ROWS = 80, 20  # of a table for people with more rows than both
# What spreadsheets take for the beginning of a formula, in half and full width.
FORMULA = "=+-@\N{FULLWIDTH EQUALS SIGN}\N{FULLWIDTH PLUS SIGN}\N{FULLWIDTH HYPHEN-MINUS}\N{FULLWIDTH COMMERCIAL AT}"
Row = TypeVar("Row")

_SUSPECT = re.compile(r"[^ -~]")
_QUOTED = re.compile(r'[,;"]')  # some spreadsheets split at semicolons


def visible(text: str, *, lines: bool = False) -> str:
    r"""Write characters that do not print as Python writes them in a text: \x1b for an escape, \u202e, \n.

    They are control characters, lone surrogates, and characters that change the direction of a text or take no space.
    Terminals obey some of them.

    Args:
        text: any text.
        lines: keep line breaks.
    """
    if text.isascii() and text.isprintable():
        return text

    def shown(found: re.Match[str]) -> str:
        character = found[0]
        if character.isprintable() or (lines and character == "\n"):
            return character
        return character.encode("unicode_escape", "surrogatepass").decode("ascii")

    return _SUSPECT.sub(shown, text)


def counted(number: int, what: str) -> str:
    """Write a number and what it counts: 1 sample, 2,000 samples."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def shortened(text: str, most: int = MOST_CHARACTERS) -> str:
    """Cut a long text in the middle, and say how much is left out."""
    if len(text) <= most:
        return text
    head, tail = 2 * most // 3, most // 3
    return f"{text[:head]} [... {len(text) - head - tail:,} characters ...] {text[-tail:]}"


def shortened_lines(text: str) -> str:
    """Cut every long line of a text."""
    return "\n".join(map(shortened, text.split("\n")))


def ends(rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """Return the first and the last rows of a very long table; of a shorter one all rows, and none."""
    cut = len(rows) > FIRST_ROWS + LAST_ROWS
    return (list(rows[:FIRST_ROWS]), list(rows[-LAST_ROWS:])) if cut else (list(rows), [])


def csv_lines(rows: Iterable[Iterable[object]]) -> str:
    """Format rows as lines of CSV: numbers in full, and nothing for None.

    Texts are made visible. One that a spreadsheet would execute as a formula gets an apostrophe before it.
    """
    return "".join(",".join(map(_csv_cell, row)) + "\n" for row in rows)


def csv_table(rows: Sequence[Mapping[str, object]]) -> str:
    """Format rows as CSV, with a column for every name in any of them."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    return csv_lines([names, *([row.get(name) for name in names] for row in rows)]) if rows else ""


def _csv_cell(cell: object) -> str:
    if cell is None:
        return ""
    if isinstance(cell, int | float):
        return str(cell)
    text = visible(str(cell))
    if isinstance(cell, str) and text.lstrip().startswith(tuple(FORMULA)):
        text = f"'{text}"
    return '"{}"'.format(text.replace('"', '""')) if _QUOTED.search(text) else text
