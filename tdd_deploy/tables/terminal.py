"""Tables on a terminal: within its width, and no number is ever cut or folded."""

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tdd_deploy.text import ends, visible

from .table import Format, Table

GAP = 2  # spaces between columns
LEAST, MOST = 12, 24  # characters of a column of texts where there are few: a longer word is broken
GREEN, RED, PLAIN = "\x1b[32m", "\x1b[1;31m", "\x1b[0m"
GOOD = "ok"  # of a MARK; any other text but an empty one is bad


@dataclass(frozen=True)
class _Fit:
    """Which columns a terminal shows, and how wide; None where rows are written as records."""

    places: tuple[int, ...]
    widths: tuple[int, ...] | None


def as_terminal(table: Table, width: int, *, color: bool = False, whole: str = "") -> str:
    """Write a table of at most ``width`` characters per line.

    Texts wrap at words. Where this is not enough, columns that may be dropped are left out, and a last line names them.
    Where even this is not enough, every row becomes a record, with a line per column. Of very many rows, the first and
    the last ones are shown.

    Args:
        table: the table.
        width: of the terminal, in characters.
        color: whether marks are colored.
        whole: where everything is, for a table that is shown in part.
    """
    n_totals = 0 if table.total is None else 1
    texts = table.texts
    first, last = ends(texts[: len(texts) - n_totals])
    gap = [("...", *[""] * (len(table.columns) - 1))] if last else []
    shown = [*first, *gap, *last, *texts[len(texts) - n_totals :]]
    fit = _fit(table, shown, width)
    if fit.widths is None:
        lines = list(_records(table, shown, width))
    else:
        lines = list(_lines(table, shown, fit, n_totals=n_totals, color=color))
    more = f"; {whole}" if whole else ""
    if dropped := [table.columns[i].name for i in range(len(table.columns)) if i not in fit.places]:
        lines += _wrapped(visible(f"(no space for {', '.join(dropped)}{more})"), width)
    if last:
        n = len(texts) - n_totals
        lines += _wrapped(visible(f"({n - len(first) - len(last):,} of {n:,} rows are left out{more})"), width)
    caption = _wrapped(visible(table.caption), width) if table.caption else []
    return "".join(f"{line.rstrip()}\n" for line in (*caption, *lines)).replace("\N{NO-BREAK SPACE}", " ")


def _fit(table: Table, rows: Sequence[tuple[str, ...]], width: int) -> _Fit:
    """Choose columns and widths; drop columns while they do not fit."""
    n = len(table.columns)
    cells = [[row[i] for row in rows] for i in range(n)]
    natural = [
        max(map(cell_width, [*column, *map(str.rstrip, _parts(head))]))
        for column, head in zip(cells, _heads(table), strict=True)
    ]
    least = [
        min(size, max(LEAST, min(MOST, _longest_word([*column, *_parts(head)]))))
        if table.columns[i].format is Format.TEXT
        else size
        for i, (size, column, head) in enumerate(zip(natural, cells, _heads(table), strict=True))
    ]
    places = list(range(n))
    while _total([least[i] for i in places]) > width and any(table.columns[i].drop for i in places):
        places.remove(max(reversed(places), key=lambda i: table.columns[i].drop))
    sizes = [least[i] for i in places]
    spare = width - _total(sizes)
    if spare < 0:
        return _Fit(tuple(range(n)), None)
    with_heads = [max(size, cell_width(head)) for size, head in zip(natural, table.heads, strict=True)]
    for k, i in enumerate(places):  # texts grow from left to right
        wider = min(natural[i] - sizes[k], spare)
        sizes[k] += wider
        spare -= wider
    for k, i in enumerate(places):  # then heads, if all of one fits into a line
        if sizes[k] < with_heads[i] <= sizes[k] + spare:
            spare -= with_heads[i] - sizes[k]
            sizes[k] = with_heads[i]
    return _Fit(tuple(places), tuple(sizes))


def _heads(table: Table) -> list[str]:
    """Return the heads; no line break parts a unit from the word before it."""
    return [
        f"{head.removesuffix(f' {unit}')}\N{NO-BREAK SPACE}{unit}" if unit and head else head
        for head, unit in zip(table.heads, table.units, strict=True)
    ]


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + GAP * (len(widths) - 1)


def _longest_word(cells: Sequence[str]) -> int:
    return max((cell_width(word) for cell in cells for word in cell.split()), default=0)


def _lines(table: Table, rows: Sequence[tuple[str, ...]], fit: _Fit, *, n_totals: int, color: bool) -> Iterator[str]:
    """Yield the lines of the head, and those of each row."""
    assert fit.widths is not None
    columns = [table.columns[i] for i in fit.places]
    left = [column.format.is_text for column in columns]
    names = _heads(table)
    heads = [_wrapped(names[i], width, _parts) for i, width in zip(fit.places, fit.widths, strict=True)]
    tallest = max(map(len, heads), default=0)
    heads = [[""] * (tallest - len(lines)) + lines for lines in heads]  # a head stands on its column
    yield from _side_by_side(heads, fit.widths, left)
    for number, row in enumerate(rows):
        if n_totals and number == len(rows) - 1:
            yield ""
        cells = [_wrapped(row[i], width) for i, width in zip(fit.places, fit.widths, strict=True)]
        marks = [column.format is Format.MARK and color for column in columns]
        yield from _side_by_side(cells, fit.widths, left, marks)


def _side_by_side(
    cells: Sequence[Sequence[str]], widths: Sequence[int], left: Sequence[bool], marks: Sequence[bool] = ()
) -> Iterator[str]:
    for i in range(max(map(len, cells), default=0)):
        parts = []
        for k, (lines, width) in enumerate(zip(cells, widths, strict=True)):
            text = lines[i] if i < len(lines) else ""
            space = " " * (width - cell_width(text))
            if marks and marks[k] and text:
                text = f"{GREEN if text == GOOD else RED}{text}{PLAIN}"
            parts.append(f"{text}{space}" if left[k] else f"{space}{text}")
        yield (" " * GAP).join(parts)


def _records(table: Table, rows: Sequence[tuple[str, ...]], width: int) -> Iterator[str]:
    """Yield each row as a record: its first cell, and below it a line per other cell."""
    for row in rows:
        yield from _wrapped(row[0], width)
        for head, text in zip(table.heads[1:], row[1:], strict=True):
            if text:
                yield from (f"  {line}" for line in _wrapped(f"{head}: {text}", width - GAP))


def _words(text: str) -> list[str]:
    """Split a text after its spaces, which stay."""
    return re.split(r"(?<= )", text)


def _parts(head: str) -> list[str]:
    """Split a head after spaces and hyphens, where a line may end."""
    return re.findall(r"[^ -]*(?:- ?| |$)", head)[:-1] or [""]


def _wrapped(text: str, width: int, split: Callable[[str], list[str]] = _words) -> list[str]:
    """Break a text into lines at spaces; a word that is longer than a line is broken."""
    lines = [""]
    for word in split(text):
        joined = lines[-1] + word
        if cell_width(joined.rstrip(" ")) <= width:
            lines[-1] = joined
        else:
            indent = "" if lines[-1].strip() else lines.pop()
            lines += _pieces(indent + word.rstrip(" "), width)
            lines[-1] += " " * word.endswith(" ")
    return [line.rstrip(" ") for line in lines if line] or [""]


def _pieces(word: str, width: int) -> Iterator[str]:
    start = 0
    while cell_width(word[start:]) > width:
        end = start + _cut(word[start:], width)
        yield word[start:end]
        start = end
    yield word[start:]


def _cut(word: str, width: int) -> int:
    """Return how many characters of a word fit into a width; at least one."""
    taken = 0
    for i, character in enumerate(word):
        taken += cell_width(character)
        if taken > width:
            return max(i, 1)
    return len(word)


def cell_width(text: str) -> int:
    """Count the columns that a text takes on a terminal: two for a wide character, none for a combining one."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
