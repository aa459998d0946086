"""Rows of a report as columns: for pandas where it is installed, and for CSV."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pandas import DataFrame

Row = Mapping[str, Any]
Columns = dict[str, list[Any]]


def flat(row: Row) -> dict[str, Any]:
    """Return a row of a report without nested parts: what ``spike_code`` holds is named ``spike_code_events``, ..."""
    cells: dict[str, Any] = {}
    for name, value in row.items():
        cells |= {f"{name}_{inner}": v for inner, v in value.items()} if isinstance(value, dict) else {name: value}
    return cells


def to_frame(rows: Sequence[Row]) -> "DataFrame | Columns":
    """Return rows as a pandas DataFrame, or without pandas as a dict of columns."""
    cells = [flat(row) for row in rows]
    columns = {name: [row[name] for row in cells] for name in cells[0]}
    try:
        from pandas import DataFrame  # noqa: PLC0415  (an optional part)
    except ImportError:
        return columns
    return DataFrame(columns)
