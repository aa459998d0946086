"""A report to look at: one HTML file with everything in it."""

import io
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from tdd_deploy.errors import MissingDependency
from tdd_deploy.files import replacing

from .report import mean_text
from .tables import by_profile, range_text

# Okabe and Ito's colours, told apart by people with any colour vision.
DELTA, SPIKE, DENSE = "#0072B2", "#E69F00", "#999999"
HATCHES = {DELTA: "", SPIKE: "//", DENSE: ".."}


def require() -> None:
    """Raise MissingDependency when the libraries for a report are not installed."""
    for package in ("matplotlib", "jinja2"):
        try:
            __import__(package)
        except ImportError as error:
            raise MissingDependency(package, "report.html", "'tdd-deploy[report]'") from error


def write_html(path: Path, report: Mapping[str, Any], *, version: str) -> None:
    """Write what ``Simulation.as_json`` returned as a page; figures are means over samples."""
    import jinja2  # noqa: PLC0415  (an optional part)

    source = (resources.files(__package__) / "report.html.jinja").read_text(encoding="utf-8")
    template = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(source)
    n = report["totals"]["samples"]
    profiles = by_profile(report).rows
    page = template.render(
        report=report, n=n, mean=mean_text, span=range_text, plots=_plots(report), profiles=profiles, version=version
    )
    with replacing(path) as part:
        part.write_text(page, encoding="utf-8")


def _plots(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return titles and SVG pictures."""
    n = report["totals"]["samples"]
    steps = report["steps"]
    executed = f"executed ({report['program']['code']} code)"

    def mean(key: str, code: str | None = None, scale: float = n) -> list[float]:
        return [(step[code] if code else step)[key] / scale for step in steps]

    plots = [
        (
            "Events of neurons per sample",
            [("spikes", SPIKE, mean("spikes")), ("delta events", DELTA, mean("delta_events"))],
        ),
        (
            "Synaptic operations per sample",
            [
                (executed, DELTA, mean("synops_effective")),
                ("plain spikes", SPIKE, mean("synops_effective", "spike_code")),
                ("dense", DENSE, mean("dense")),
            ],
        ),
    ]
    if report["totals"]["energy_pj"] is not None:
        nj = 1e3 * n
        series = [
            (executed, DELTA, mean("energy_pj", scale=nj)),
            ("plain spikes", SPIKE, mean("energy_pj", "spike_code", nj)),
        ]
        plots.append((f"Dynamic energy per sample in nJ, {report['energy']['profile']}", series))
    return [(title, _bars(title, series)) for title, series in plots]


def _bars(title: str, series: list[tuple[str, str, list[float]]]) -> str:
    """Draw groups of bars over time steps."""
    from matplotlib import rc_context  # noqa: PLC0415  (an optional part)
    from matplotlib.figure import Figure  # noqa: PLC0415

    width = 0.8 / len(series)
    with rc_context({"svg.hashsalt": "tdd-deploy", "svg.fonttype": "none"}):
        figure = Figure(figsize=(7, 3.2), layout="constrained")
        axes = figure.subplots()
        for i, (label, colour, values) in enumerate(series):
            at = [t + 1 + (i - (len(series) - 1) / 2) * width for t in range(len(values))]
            axes.bar(at, values, width, label=label, color=colour, hatch=HATCHES[colour], edgecolor="white")
        axes.set_xticks(range(1, len(series[0][2]) + 1))
        axes.set_xlabel("time step")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, 1.15), ncols=len(series))
        svg = io.StringIO()
        figure.savefig(svg, format="svg", metadata={"Date": None, "Title": title})
    return re.sub(r"^.*?(?=<svg)", "", svg.getvalue(), flags=re.DOTALL)
