"""Summarize a simulation for an interactive session: a few lines of text, a small HTML table, columns of figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from tdd_deploy.simulator.counts import Counts, Trace
from tdd_deploy.simulator.hardware.energy import Energy
from tdd_deploy.text import visible

from .tables import PJ_PER_NJ, cell_text, spread_text

if TYPE_CHECKING:
    from pandas import DataFrame

Row = Mapping[str, Any]
Columns = dict[str, list[Any]]
MOST_PROFILES = 4  # with a line for the rest, a summary has ten lines at most


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A title, and lines with a name each; figures are means over samples."""

    title: str
    lines: tuple[tuple[str, str], ...]

    def as_text(self) -> str:
        """Return the summary as text, names in one column."""
        width = max(len(name) for name, _ in self.lines)
        lines = [self.title, *(f"  {name:<{width}}  {text}" for name, text in self.lines)]
        return "\n".join(map(visible, lines))

    def as_html(self) -> str:
        """Return the summary as a table that needs no other file."""
        style = 'style="text-align: left"'
        rows = "".join(
            f"<tr><th {style}>{escape(visible(name))}</th><td {style}>{escape(visible(text))}</td></tr>"
            for name, text in self.lines
        )
        return f"<table><caption {style}>{escape(visible(self.title))}</caption><tbody>{rows}</tbody></table>"


def summarize(
    trace: Trace, title: str, *, accuracy: float | None, energies: Sequence[tuple[Energy, Energy]]
) -> Summary:
    """Summarize counts, accuracy and energy.

    Args:
        trace: the counts.
        title: the data and the code.
        accuracy: None without labels.
        energies: by each profile, as executed and in spike code throughout.
    """
    n = trace.n_samples
    spikes, changes = (cell_text(trace.executed.total(name) / n) for name in ("spikes", "delta_events"))
    in_codes = [(counts.total("synops_effective") / n, code) for counts, code in _executions(trace)]
    synops = ", ".join(f"{cell_text(mean)} {code}" for mean, code in in_codes)
    lines = [
        ("samples", f"{n:,}, {len(trace.n_running)} time steps"),
        ("accuracy", "not known: the data have no labels" if accuracy is None else f"{100 * accuracy:.1f} %"),
        ("events", f"{spikes} spikes, {changes} delta events"),
        ("synops", f"{synops}, {cell_text(trace.executed.total('dense') / n)} dense"),
    ]
    for executed, spike_code in energies[:MOST_PROFILES]:
        lines.append((f"energy, {executed.profile.name}", _energy_text(executed, spike_code, n)))
    if len(energies) > MOST_PROFILES:
        lines.append(("energy", f"by {len(energies) - MOST_PROFILES} more profiles"))
    return Summary(title=f"{title}; means over samples", lines=tuple(lines))


def _executions(trace: Trace) -> Sequence[tuple[Counts, str]]:
    return (
        (trace.executed, "executed"),
        (trace.spike_code, "in spike code"),
        (trace.delta_code, "in delta code"),
    )


def _energy_text(executed: Energy, spike_code: Energy, n: int) -> str:
    if not executed.terms:
        return "nothing has a price"
    nj, plain_nj = (
        spread_text(*(pj / n / PJ_PER_NJ for pj in (energy.dynamic_pj, energy.low_pj, energy.high_pj)))
        for energy in (executed, spike_code)
    )
    return f"{nj} nJ executed, {plain_nj} nJ in spike code, dynamic"


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
