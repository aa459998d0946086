"""Draw the pictures of a report, as SVG; people with any color vision can distinguish their colors (Okabe and Ito)."""

import io
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from tdd_deploy.errors import MissingDependency
from tdd_deploy.tables import SI_UNITS, energy_text, significant, unit_for
from tdd_deploy.text import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DELTA, SPIKE, DENSE = "#0072B2", "#E69F00", "#999999"
HATCHES = {DELTA: "", SPIKE: "//", DENSE: ".."}
LAYERS = ("#56B4E9", "#E69F00", "#009E73", "#F0E442", "#CC79A7", "#D55E00", "#0072B2")
WIDTH = 7.0  # inches
MOST_BARS = 100  # time steps with a bar each
MOST_SQUARES = 24  # time steps with a square and a number each
MOST_LAYERS = 40
MOST_TOLD = 12  # numbers of a series in the text for those who do not see the picture
ON_TINT = "#111111"  # of numbers on a light color, in dark mode too
MOST_CORES = 1000  # cores with a number
LONGEST_NAME = 32  # characters
Report = Mapping[str, Any]
Key = TypeVar("Key")


@dataclass(frozen=True)
class Picture:
    """A picture with its title, a sentence on how to read it, and one for those who cannot see it."""

    title: str
    caption: str
    svg: str
    alt: str  # what the picture shows, with its numbers


@dataclass(frozen=True)
class Bins:
    """Time steps in bins of equal width, since a picture has space for some only."""

    n: int
    width: int  # steps per bin; the last bin may hold fewer
    first: int

    @classmethod
    def of(cls, n: int, most: int, *, first: int = 1) -> "Bins":
        """Divide n steps into at most ``most`` bins; ``first`` is the number of the first step."""
        return cls(n, -(-n // most), first)

    @property
    def spans(self) -> list[tuple[float, int]]:
        """The left end of every bin on the axis of time, and its number of steps."""
        starts = range(0, self.n, self.width)
        return [(self.first + start - 0.5, min(self.width, self.n - start)) for start in starts]

    def means(self, values: Sequence[float | None]) -> list[float | None]:
        """Return the mean of the known values of every bin; None where there are none."""
        found: list[float | None] = []
        for start in range(0, self.n, self.width):
            known = [value for value in values[start : start + self.width] if value is not None]
            found.append(sum(known) / len(known) if known else None)
        return found

    def mark(self, axes: "Axes", mark: str) -> None:
        """Label the axis of time, with the width of a bin unless it is one step."""
        means = f"; each {mark} is the mean of {self.width:,} steps" if self.width > 1 else ""
        axes.set_xlabel(f"time step{means}")
        if self.n <= MOST_SQUARES:
            axes.set_xticks(range(self.first, self.first + self.n))


def require(needed_for: str) -> None:
    """Check that the library for pictures is installed.

    Raises:
        MissingDependency: it is not.
    """
    try:
        import matplotlib  # noqa: F401, PLC0415  (an optional part)
    except ImportError as error:
        raise MissingDependency("matplotlib", needed_for, "'tdd-deploy[report]'") from error


def pictures(report: Report) -> list[Picture]:
    """Draw all pictures of a report; figures are means over samples."""
    found = [_events(report), _synops(report), _layers(report)]
    if report["overlap"]:
        found.append(_overlap(report))
    if report["totals"]["energy_pj"] is not None:
        found += [_energy_by_step(report), _energy_by_term(report)]
    if sum(energy["dynamic_pj"] is not None for energy in report["energies"]) > 1:
        found.append(_profiles(report))
    if report["placement"] and report["placement"]["mesh"]:
        found.append(_placement(report["placement"]))
    return [replace(picture, svg=_themed(picture.svg)) for picture in found]


def _themed(svg: str) -> str:
    """Let a picture follow the colors of its page: black becomes that of its text, white that of its paper."""
    return re.sub(r"#(?:000000|1a1a1a)", "currentColor", svg).replace("#ffffff", "Canvas")


def _executed(report: Report) -> str:
    return f"executed ({report['program']['code']} code)"


def _events(report: Report) -> Picture:
    series = [("spikes", SPIKE, _means(report, "steps", "spikes"))]
    series.append(("delta events", DELTA, _means(report, "steps", "delta_events")))
    title, caption = "Events of neurons", "What layers would send as spikes, and as changes of spikes."
    return Picture(title, caption, _bars(title, series, "events per inference"), _told(title, series))


def _synops(report: Report) -> Picture:
    title = "Synaptic operations"
    caption = "Events times nonzero weights; dense is what a network without events would multiply."
    series = _three_codes(report, "steps")
    return Picture(title, caption, _bars(title, series, "operations per inference"), _told(title, series))


def _layers(report: Report) -> Picture:
    layers = report["layers"]
    shown = _largest({i: row["synops_effective"] for i, row in enumerate(layers) if row["dense"]})
    series = [(label, color, [values[i] for i in shown]) for label, color, values in _three_codes(report, "layers")]
    n = sum(1 for row in layers if row["dense"])
    title = "Synaptic operations by layer"
    caption = f"Each bar begins at one operation: the axis is logarithmic.{_of_layers(len(shown), n)}"
    names = [layers[i]["name"] for i in shown]
    svg = _bars(title, series, "operations per inference", names)
    return Picture(title, caption, svg, _told(title, series, names))


def _largest(values: Mapping[Key, float]) -> list[Key]:
    """Return the keys of the largest values, in their own order."""
    kept = set(sorted(values, key=lambda key: -values[key])[:MOST_LAYERS])
    return [key for key in values if key in kept]


def _of_layers(n_shown: int, n: int) -> str:
    """Describe which layers are shown, if not all are."""
    return f" These are the {n_shown} layers of {n:,} that do most; report.json holds all." if n_shown < n else ""


def _three_codes(report: Report, part: str) -> "list[Series]":
    return [
        (_executed(report), DELTA, _means(report, part, "synops_effective")),
        ("plain spikes", SPIKE, _means(report, part, "synops_effective", "spike_code")),
        ("dense", DENSE, _means(report, part, "dense")),
    ]


Series = tuple[str, str, list[float]]  # label, color, values


def _means(report: Report, part: str, key: str, code: str | None = None, scale: float = 1.0) -> list[float]:
    n = report["totals"]["samples"] * scale
    return [(row[code] if code else row)[key] / n for row in report[part]]


def _energy_by_step(report: Report) -> Picture:
    means = {
        _executed(report): _means(report, "steps", "energy_pj"),
        "plain spikes": _means(report, "steps", "energy_pj", "spike_code"),
    }
    unit = unit_for([value for values in means.values() for value in values])
    series = [
        (label, color, [value / SI_UNITS[unit] for value in values])
        for (label, values), color in zip(means.items(), (DELTA, SPIKE), strict=True)
    ]
    title = f"Dynamic energy by {report['energies'][0]['profile']}"
    caption = "The first step is shown like any other: nothing that it sends was there before."
    svg = _bars(title, series, f"{unit} per inference")
    return Picture(title, caption, svg, _told(f"{title} in {unit}", series))


def _energy_by_term(report: Report) -> Picture:
    n = report["totals"]["samples"]
    headline = report["energies"][0]
    rows = [
        (
            term["term"].replace("_", " "),
            term["energy_pj"] / n,
            term["count"] * term["low_price_pj"] / n,
            term["count"] * term["high_price_pj"] / n,
        )
        for term in sorted(headline["terms"], key=lambda term: term["energy_pj"])
    ]
    caption = "Lines reach from the lowest to the highest price that a source gives."
    return _ranges(f"Dynamic energy by term, {headline['profile']}", caption, rows, DELTA)


def _profiles(report: Report) -> Picture:
    n = report["totals"]["samples"]
    rows = [
        (energy["profile"], energy["dynamic_pj"] / n, energy["low_pj"] / n, energy["high_pj"] / n)
        for energy in reversed(report["energies"])
        if energy["dynamic_pj"] is not None
    ]
    caption = "The same counts at different prices: what a number means depends on what it includes."
    return _ranges("Dynamic energy by profile", caption, rows, DELTA, logarithmic=True)


def _overlap(report: Report) -> Picture:
    title = "Feature overlap: spikes that were there a step ago, in %"
    overlap = report["overlap"]
    spikes = {row["name"]: row["spikes"] for row in report["layers"]}
    shown = _largest({name: spikes[name] for name in overlap})
    n_steps = 1 + len(next(iter(overlap.values())))
    bins = Bins.of(n_steps - 1, MOST_SQUARES, first=2)
    with canvas(title, 0.9 + 0.32 * len(shown)) as (axes, drawn):
        for row, name in enumerate(shown):
            for (left, width), fraction in zip(bins.spans, bins.means(overlap[name]), strict=True):
                if fraction is not None:
                    axes.add_patch(_square(left, row - 0.5, width, 1, _tint(fraction), "white"))
                    text = f"{100 * fraction:.0f}"
                    axes.text(left + width / 2, row, text, ha="center", va="center", color=ON_TINT)
        axes.set_xlim(1.5, n_steps + 0.5)
        axes.set_ylim(len(shown) - 0.5, -0.5)
        bins.mark(axes, "square")
        axes.set_yticks(range(len(shown)), [plain(name) for name in shown])
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
    caption = "What stays costs nothing in delta code. Empty where a layer is silent."
    known = {name: [each for each in overlap[name] if each is not None] for name in shown}
    told = ", ".join(
        f"{name} {100 * min(found):.0f} to {100 * max(found):.0f} %" if found else f"{name} silent"
        for name, found in known.items()
    )
    return Picture(title, f"{caption}{_of_layers(len(shown), len(overlap))}", drawn.svg, f"{title}: {told}.")


def _placement(placement: Mapping[str, Any]) -> Picture:
    mesh = placement["mesh"]
    counts = Counter(block["layer"] for block in placement["blocks"])
    cores = list(counts)
    columns, rows = mesh["columns"] * placement["chips"], mesh["rows"]
    side = int(-(-(mesh["cores_per_tile"] ** 0.5) // 1))
    used = 1 + max(block["core"] for block in placement["blocks"]) // (mesh["cores_per_tile"] * rows)
    columns = max(min(columns, used + 1), min(columns, 8))  # of a large chip, what is used and a little more
    title = f"Placement on {placement['chip']}: {placement['cores']} cores"
    with canvas(title, WIDTH * rows / columns + 0.2 * len(cores) + 0.4) as (axes, drawn):
        for x in range(columns):
            for y in range(rows):
                axes.add_patch(_square(x + 0.03, y + 0.03, 0.94, 0.94, "#88888822", "#999999"))
        is_numbered = len(placement["blocks"]) <= MOST_CORES
        for block in placement["blocks"]:
            tile, within = divmod(block["core"], mesh["cores_per_tile"])
            x, y = tile // rows + (within % side) / side, tile % rows + (within // side) / side
            layer, size = cores.index(block["layer"]), 0.8 / side
            axes.add_patch(_square(x + 0.1 / side, y + 0.1 / side, size, size, LAYERS[layer % len(LAYERS)], "#1a1a1a"))
            if is_numbered:
                at = x + 0.5 / side, y + 0.5 / side
                axes.text(*at, str(layer + 1), ha="center", va="center", fontsize=7, color=ON_TINT)
        named = _largest(counts)
        for i, layer in enumerate(cores):
            if layer not in named:
                continue
            n = counts[layer]
            color = LAYERS[i % len(LAYERS)]
            axes.plot([], [], "s", color=color, markeredgecolor="#1a1a1a", label=f"{i + 1} {plain(layer)}: {n}")
        axes.set_xlim(0, columns)
        axes.set_ylim(rows, 0)
        axes.set_aspect("equal")
        axes.axis("off")
        axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, 0), ncols=3, fontsize=8)
    caption = "Grey squares are tiles of the mesh; a number is the layer that a core holds, with its cores below."
    if len(named) < len(cores):
        caption += f" The {len(named)} layers of {len(cores):,} with the most cores are named."
    told = ", ".join(f"{counts[layer]} of {layer}" for layer in cores if layer in named)
    return Picture(title, caption, drawn.svg, f"{title}: {told}.")


def _square(x: float, y: float, width: float, height: float, color: Any, edge: str) -> Any:  # noqa: PLR0917
    from matplotlib.patches import Rectangle  # noqa: PLC0415  (an optional part)

    return Rectangle((x, y), width, height, facecolor=color, edgecolor=edge, linewidth=0.7)


def _tint(fraction: float) -> tuple[float, float, float]:
    """Return a color from white to a blue on which black can still be read."""
    return 1 - 0.66 * fraction, 1 - 0.29 * fraction, 1 - 0.09 * fraction


def _told(title: str, series: Sequence[Series], names: Sequence[str] = ()) -> str:
    """Say what bars show: of few, each number."""
    found = []
    for label, _, values in series:
        if len(values) <= MOST_TOLD:
            named = (f"{names[i]} " if names else "" for i in range(len(values)))
            numbers = ", ".join(f"{name}{significant(value, 3)}" for name, value in zip(named, values, strict=True))
        else:
            numbers = f"{significant(min(values), 3)} to {significant(max(values), 3)}"
        found.append(f"{label} {numbers}")
    return f"{title}{'' if names else ' by time step'}: {'; '.join(found)}."


def _bars(title: str, series: Sequence[Series], unit: str, names: Sequence[str] | None = None) -> str:
    """Draw groups of bars: over time steps, or beside names on a logarithmic axis."""
    n = len(series[0][2])
    bins = Bins.of(n, MOST_BARS if names is None else n)
    thick = 0.8 / len(series) * bins.width
    with canvas(title, 3.2 if names is None else 1.1 + 0.45 * n) as (axes, drawn):
        for i, (label, color, all_values) in enumerate(series):
            at = [left + width / 2 + (i - (len(series) - 1) / 2) * thick for left, width in bins.spans]
            values = [mean or 0.0 for mean in bins.means(all_values)]
            style: dict[str, Any] = {
                "label": label, "color": color, "hatch": HATCHES[color], "edgecolor": "white", "linewidth": 0.5
            }  # fmt: skip
            if names is None:
                axes.bar(at, values, thick, **style)
            else:
                axes.barh(at, values, thick, **style)
        if names is None:
            bins.mark(axes, "bar")
            axes.set_ylabel(unit)
            axes.yaxis.set_major_formatter(_thousands)
        else:
            axes.set_xscale("log")
            axes.set_xlim(left=1)
            axes.set_xlabel(unit)
            axes.xaxis.set_major_formatter(_thousands)
            axes.set_yticks(range(1, n + 1), [plain(name) for name in names])
            axes.invert_yaxis()
        axes.spines[["top", "right"]].set_visible(False)
        anchor = (0.5, 1.15 if names is None else 1 + 0.6 / (0.9 + 0.45 * n))
        axes.legend(frameon=False, loc="upper center", bbox_to_anchor=anchor, ncols=len(series))
    return drawn.svg


def _thousands(value: float, _: float) -> str:
    """Write a number beside an axis."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:g}"


def _ranges(
    title: str,
    caption: str,
    rows: Sequence[tuple[str, float, float, float]],
    color: str,
    *,
    logarithmic: bool = False,
) -> Picture:
    """Draw a bar for each energy in pJ, on a logarithmic axis a point, and a line from its low to its high."""
    unit = unit_for([value for _, value, _, _ in rows])
    with canvas(title, 0.9 + 0.35 * len(rows)) as (axes, drawn):
        for at, (_, *energies) in enumerate(rows):
            value, low, high = (energy / SI_UNITS[unit] for energy in energies)
            if logarithmic:
                axes.plot([value], [at], "o", color=color)
            else:
                axes.barh(at, value, 0.6, color=color)
            axes.plot([low, high], [at, at], "|-", color="#1a1a1a", linewidth=1.2)
        if logarithmic:
            axes.set_xscale("log")
            axes.xaxis.set_minor_formatter(lambda *_: "")
        else:
            axes.set_xlim(left=0)
        axes.xaxis.set_major_formatter(_thousands)
        axes.set_xlabel(f"{unit} per inference")
        axes.set_yticks(range(len(rows)), [plain(row[0]) for row in rows])
        axes.set_ylim(-0.6, len(rows) - 0.4)
        axes.spines[["top", "right"]].set_visible(False)
    told = ", ".join(f"{name} {energy_text(*energies)}" for name, *energies in reversed(rows))
    return Picture(title, caption, drawn.svg, f"{title}: {told}.")


def plain(name: str) -> str:
    """Write a name so that it is not read as a formula, and leaves space for the picture."""
    shown = visible(name)
    if len(shown) > LONGEST_NAME:
        shown = f"{shown[: LONGEST_NAME - 13]}...{shown[-10:]}"
    return shown.replace("$", r"\$")


@dataclass
class _Drawn:
    svg: str = ""


@contextmanager
def canvas(title: str, height: float) -> "Iterator[tuple[Axes, _Drawn]]":
    """Open axes to draw on; the SVG is there when the block ends."""
    from matplotlib import rc_context  # noqa: PLC0415  (an optional part)
    from matplotlib.figure import Figure  # noqa: PLC0415

    drawn = _Drawn()
    with rc_context({"svg.hashsalt": "tdd-deploy", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        yield figure.subplots(), drawn
        svg = io.StringIO()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing")  # the browser chooses the fonts
            figure.savefig(svg, format="svg", transparent=True, metadata={"Date": None, "Title": visible(title)})
    drawn.svg = re.sub(r"^.*?(?=<svg)", "", svg.getvalue(), flags=re.DOTALL)
