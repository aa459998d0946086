"""Tables in Markdown and in CSV."""

import re
from collections.abc import Iterator

from tdd_deploy.text import csv_lines

from .table import Cell, Column, Format, Span, Table

MARKDOWN = re.compile(r"[\\|<]|&(?=#?\w+;)")  # bars end cells; tags and entities are not shown


def as_markdown(table: Table) -> str:
    """Write a table in Markdown, numbers on the right."""
    marks = ["---" if column.format.is_text else "---:" for column in table.columns]
    rows = [table.heads, *table.texts]
    lines = [[MARKDOWN.sub(lambda found: f"\\{found[0]}", text) for text in row] for row in rows]
    return "".join(f"| {' | '.join(row)} |\n" for row in (lines[0], marks, *lines[1:]))


def as_csv(table: Table) -> str:
    """Write a table as CSV: numbers in full, energies in pJ, and a range as two more columns."""
    wide = [any(isinstance(cell, Span) for cell in table.cells(i)) for i in range(len(table.columns))]
    head = [name for column, is_wide in zip(table.columns, wide, strict=True) for name in _names(column, is_wide)]
    rows = [
        [part for cell, is_wide in zip(row, wide, strict=True) for part in _parts(cell, is_wide)]
        for row in table.all_rows
    ]
    return csv_lines([head, *rows])


def _names(column: Column, is_wide: bool) -> Iterator[str]:
    name = column.head("pJ" if column.format is Format.ENERGY else column.unit)
    yield name
    if is_wide:
        yield from (f"{name}, {bound}" for bound in ("low", "high"))


def _parts(cell: Cell, is_wide: bool) -> Iterator[Cell]:
    if isinstance(cell, Span):
        yield from (cell.value, cell.low, cell.high)
    else:
        yield cell
        if is_wide:
            yield from (None, None)
