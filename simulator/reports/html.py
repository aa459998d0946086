"""A report to look at: one HTML file with everything in it."""

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tdd_deploy.errors import PARAMETER, MissingDependency, without_backticks
from tdd_deploy.files import replacing
from tdd_deploy.tables import Table, as_html
from tdd_deploy.text import counted, csv_table, visible

from .frames import flat
from .lines import break_even_lines, dense_lines, models_line, run_lines, time_lines
from .pictures import pictures
from .pictures import require as require_matplotlib
from .tables import by_ann_baseline, by_layer, by_placement, by_profile, by_step, by_term

if TYPE_CHECKING:
    from markupsafe import Markup

Report = Mapping[str, Any]
MOST_EMBEDDED = 1 << 20  # bytes of report.json that a page carries with it


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of the page: its title, sentences, and tables in HTML."""

    key: str
    title: str
    lines: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()


@dataclass(frozen=True)
class Download:
    """A file that the page carries with it."""

    file: str
    url: str


def require() -> None:
    """Check that the libraries for a report are installed.

    Raises:
        MissingDependency: one is not.
    """
    require_matplotlib("report.html")
    try:
        import jinja2  # noqa: F401, PLC0415  (an optional part)
    except ImportError as error:
        raise MissingDependency("jinja2", "report.html", "'tdd-deploy[report]'") from error


def write_html(path: Path, report: Report) -> None:
    """Write what ``Simulation.as_json`` returned as a page; figures are means per inference."""
    import jinja2  # noqa: PLC0415  (an optional part)

    source = (resources.files(__package__) / "report.html.jinja").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, finalize=_shown)
    environment.filters |= {"code": with_code, "plain": without_backticks, "counted": counted}
    page = environment.from_string(source).render(
        report=report,
        name=Path(report["program"].get("file") or report["data"]["name"]).name,
        pictures=pictures(report),
        sections=[Section(key="pictures", title="Pictures"), *_sections(report)],
        notes=list(_notes(report)),
        downloads=_downloads(report),
    )
    with replacing(path) as part:
        part.write_text(page, encoding="utf-8")


def _sections(report: Report) -> Iterator[Section]:
    def section(key: str, title: str, *tables: Table, lines: tuple[str, ...] = ()) -> Iterator[Section]:
        written = tuple(as_html(table, whole="report.json holds all of them") for table in tables if table.rows)
        if written:
            yield Section(key=key, title=title, lines=lines, tables=written)

    if report["energies"]:
        lines = (*models_line(report), *time_lines(report))
        yield from section("energy", "Energy by profile", by_profile(report), lines=lines)
        headline = report["energies"][0]
        lines = tuple(filter(None, (f"{headline['profile']}: {headline['title']}", headline["remark"])))
        yield from section("terms", "Energy by term", _priced_terms(report), lines=lines)
        lines = (*dense_lines(report), *break_even_lines(report))
        yield from section("dense", "Beside dense networks of the same layers", by_ann_baseline(report), lines=lines)
    yield from section("steps", "By time step", by_step(report))
    yield from section("layers", "By layer", by_layer(report))
    if placement := report["placement"]:
        chips = f" on {placement['chips']} chips" if placement["chips"] > 1 else ""
        line = f"{placement['title']}: {placement['cores']} cores{chips}, weights of {placement['weight_bits']} bits"
        yield from section("placement", "Placement", by_placement(report), lines=(line,))


def _priced_terms(report: Report) -> Table:
    """Return the terms of the first profile, without what is not priced."""
    first = {**report["energies"][0], "not_priced": []}
    table = by_term({**report, "energies": [first]})
    return table.only(range(1, len(table.columns)))


def _notes(report: Report) -> Iterator[str]:
    yield from run_lines(report)
    if saved := report["totals"]["saved_by_repeating_input"]:
        mean = saved / report["totals"]["samples"]
        yield f"{mean:,.0f} operations per inference are saved only because every step shows the same image"
    yield from (f"caveat: {line}" for line in report["caveats"])


def _downloads(report: Report) -> list[Download]:
    """Embed the report as JSON, and its time steps as CSV; nothing where the page would be too large."""
    whole = json.dumps(report, allow_nan=False).encode()
    if len(whole) > MOST_EMBEDDED:
        return []
    steps = csv_table([flat(step) for step in report["steps"]]).encode()
    return [
        Download(file, f"data:{kind};base64,{base64.b64encode(content).decode()}")
        for file, kind, content in (("report.json", "application/json", whole), ("steps.csv", "text/csv", steps))
    ]


def with_code(text: str) -> "Markup":
    """Escape a text, and show parameters in backticks as code."""
    from markupsafe import Markup, escape  # noqa: PLC0415  (comes with jinja2)

    return Markup(PARAMETER.sub(lambda found: f"<code>{found[0].strip('`')}</code>", escape(visible(text))))


def _shown(value: object) -> object:
    """Make a text visible, unless it is finished markup."""
    return visible(value) if isinstance(value, str) and not hasattr(value, "__html__") else value
