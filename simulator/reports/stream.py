"""The report on a stream: its verdict, its tables, and the lines beside them."""

from collections.abc import Iterator, Mapping
from typing import Any

from tdd_deploy.tables import Cell, Column, Format, Table, significant
from tdd_deploy.text import counted

from .lines import binned_line, input_lines
from .verdict import EQUAL, Verdict

Report = Mapping[str, Any]  # what Stream.as_json gives
VALUES = "values that are not zero"


def stream_verdict(report: Report) -> dict[str, Any]:
    """Judge a stream whose report does not hold its verdict yet."""
    verdict = Verdict(line=_line(report["total"]), caveats=tuple(_caveats(report)), summary=tuple(_summary(report)))
    return verdict.as_json()


def _line(total: Mapping[str, Any]) -> str:
    ratio = total["changes_per_nonzero"]
    if ratio is None:
        return "nothing to compare: all values of this stream are zero"
    if abs(ratio - 1) < EQUAL:
        return f"deltas make no difference on this stream: they need within 1 % of the events of {VALUES}"
    if ratio < 1:
        return f"deltas pay on this stream: {_against(ratio)} than {VALUES}"
    return f"deltas do not pay on this stream: {_against(ratio)} than {VALUES}; use `code=spike`"


def _against(ratio: float) -> str:
    return f"{significant(100 * abs(ratio - 1))} % {'more' if ratio > 1 else 'fewer'} events"


def _caveats(report: Report) -> Iterator[str]:
    """Yield the least threshold at which deltas begin to pay, where they do not pay without one."""
    ratio = report["total"]["changes_per_nonzero"]
    if ratio is None or ratio <= 1 - EQUAL:
        return
    for row in report["thresholds"]:
        if row["events"] and row["events_per_nonzero"] <= 1 - EQUAL:
            yield (
                f"they pay with `input_threshold={row['threshold']:g}`: {_against(row['events_per_nonzero'])}, and a "
                f"receiver's values are off by at most {significant(row['largest_error'])}"
            )
            return


def _summary(report: Report) -> Iterator[tuple[str, str]]:
    total, data = report["total"], report["data"]
    n, n_steps, n_values = report["samples"], report["n_steps"], total["values"]
    yield (
        "stream",
        f"{counted(n, 'sample')} of {data['name']} ({data['split']}), {counted(n_steps, 'time step')} each, "
        f"{counted(n_values, 'value')} per step",
    )
    yield "values", f"{_percent(total['rate'])} are not zero, {_percent(total['change_rate'])} change per step"
    yield "by chance", f"{_percent(total['independent_rate'])} would change, by 2p(1 - p)"
    per, key = ("step", "events_per_step") if report["dt_s"] is None else ("second", "events_per_s")
    deltas = report["thresholds"][0][key]
    if total["changes"]:
        values = deltas * total["nonzero"] / total["changes"]
        yield "events", f"{significant(values, 3)} per {per} as values, {significant(deltas, 3)} as deltas"
    yield "scope", "the input alone; simulate counts the layers after it"


def _percent(fraction: float) -> str:
    return f"{significant(100 * fraction)} %"


def channels_table(report: Report) -> Table:
    """Tabulate rates and changes by channel, and all together in the last row."""
    rows = tuple(map(_cells, report["channels"]))
    caption = "fractions of all values and time steps"
    return Table(columns=_columns("channel"), rows=rows, total=_cells(report["total"]), caption=caption)


def extremes_table(report: Report) -> Table | None:
    """Tabulate the values that save and that lose most events as deltas; None if there are none."""
    rows = tuple(map(_cells, report["extremes"]))
    caption = "the values that save most events as deltas, and those that lose most"
    return Table(columns=_columns("value at"), rows=rows, caption=caption) if rows else None


def _columns(name: str) -> tuple[Column, ...]:
    return (
        Column(name),
        Column("values", Format.NUMBER, drop=1),
        Column("rate p", Format.PERCENT),
        Column("changes", Format.PERCENT),
        Column("2p(1 - p)", Format.PERCENT),
        Column("changes / nonzero", Format.NUMBER, decimals=2),
    )


def _cells(row: Mapping[str, Any]) -> tuple[Cell, ...]:
    names = ("name", "values", "rate", "change_rate", "independent_rate", "changes_per_nonzero")
    return tuple(row[name] for name in names)


def thresholds_table(report: Report) -> Table:
    """Tabulate what each threshold keeps."""
    per, key = ("step", "events_per_step") if report["dt_s"] is None else ("second", "events_per_s")
    columns = (
        Column("input threshold", Format.WRITTEN),
        Column(f"events per {per}", Format.FIGURE),
        Column("events / nonzero", Format.NUMBER, decimals=2),
        Column("changes kept", Format.PERCENT),
        Column("largest error", Format.FIGURE),
    )
    rows = tuple(
        (f"{row['threshold']:g}", row[key], row["events_per_nonzero"], row["kept"], row["largest_error"])
        for row in report["thresholds"]
    )
    return Table(columns=columns, rows=rows, caption="means over samples and time steps")


def stream_lines(report: Report) -> Iterator[str]:
    """Explain the columns, and say how the samples were read."""
    yield (
        "2p(1 - p) is how often binary values of rate p would change if no step depended on the one before. Deltas pay "
        "where changes are rarer than p; by chance alone they are only above p = 50 %."
    )
    if not report["is_binary"]:
        yield "these values are not all 0 or 1, so chance alone would change them at least as often as 2p(1 - p)"
    yield f"thresholds: {report['thresholds_from']}"
    yield "before the first step every value is zero, so a value that is not zero there counts as a change"
    yield from _reading_lines(report)


def _reading_lines(report: Report) -> Iterator[str]:
    data = report["data"]
    if data["binned"]:
        yield binned_line({**data, "n_steps": report["n_steps"]})
        if report["mean_steps"] < report["n_steps"]:
            yield f"recordings last {report['mean_steps']:,.0f} steps on average; the silence after them does not count"
    yield from input_lines({**data, "input": {**data["input"], "targets": None}})
    if not data["binned"]:
        n, n_steps, shape = report["samples"], report["n_steps"], report["step_shape"]
        yield f"the first axis of a sample is time: {n_steps:,} steps of shape {shape}"
        if not shape:
            yield f"x has two axes; if it is one recording of {n_steps:,} channels, not {n:,} samples, save x[None]"
