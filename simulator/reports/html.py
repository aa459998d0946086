"""A report to look at: one HTML file with everything in it."""

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tdd_deploy.errors import PARAMETER, MissingDependency
from tdd_deploy.files import replacing
from tdd_deploy.text import ends, visible

from .pictures import pictures
from .pictures import require as require_matplotlib
from .report import mean_text
from .tables import (
    binned_line,
    by_ann_baseline,
    by_placement,
    by_profile,
    cell_text,
    energy_lines,
    input_lines,
    output_lines,
    range_text,
    significant,
    span_text,
    verdict_lines,
)

if TYPE_CHECKING:
    from markupsafe import Markup


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


def write_html(path: Path, report: Mapping[str, Any]) -> None:
    """Write what ``Simulation.as_json`` returned as a page; figures are means over samples."""
    import jinja2  # noqa: PLC0415  (an optional part)

    source = (resources.files(__package__) / "report.html.jinja").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, finalize=_shown)
    environment.filters["code"] = with_code
    template = environment.from_string(source)
    n = report["totals"]["samples"]
    profiles = by_profile(report).rows
    page = template.render(
        report=report,
        n=n,
        mean=mean_text,
        span=range_text,
        pictures=pictures(report),
        profiles=profiles,
        placed=by_placement(report),
        ann_baseline=by_ann_baseline(report),
        text=cell_text,
        ends=ends,
        binned_line=binned_line,
        inputs=list(input_lines(report["data"])),
        verdicts=list(verdict_lines(report)),
        energy=list(energy_lines(report)) if report["energy"] else [],
        significant=significant,
        span_two=span_text,
        output=list(output_lines(report)),
    )
    with replacing(path) as part:
        part.write_text(page, encoding="utf-8")


def with_code(text: str) -> "Markup":
    """Escape a text, and show parameters in backticks as code."""
    from markupsafe import Markup, escape  # noqa: PLC0415  (comes with jinja2)

    return Markup(PARAMETER.sub(lambda found: f"<code>{found[0].strip('`')}</code>", escape(visible(text))))


def _shown(value: object) -> object:
    """Make a text visible, unless it is finished markup."""
    return visible(value) if isinstance(value, str) and not hasattr(value, "__html__") else value
