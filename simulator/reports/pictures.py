"""Draw the pictures of a report, as SVG; people with any color vision can distinguish their colors (Okabe and Ito)."""

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DELTA, SPIKE, DENSE = "#0072B2", "#E69F00", "#999999"
HATCHES = {DELTA: "", SPIKE: "//", DENSE: ".."}
LAYERS = ("#56B4E9", "#E69F00", "#009E73", "#F0E442", "#CC79A7", "#D55E00", "#0072B2")
MARKS = ("o", "s", "^", "D", "v", "P", "X")
WIDTH = 7.0  # inches
PJ_PER_NJ = 1e3
Report = Mapping[str, Any]


@dataclass(frozen=True)
class Picture:
    """A picture with its title, and a sentence on how to read it."""

    title: str
    caption: str
    svg: str


def pictures(report: Report) -> list[Picture]:
    """Draw all pictures of a report; figures are means over samples."""
    found = [_events(report), _synops(report), _layers(report)]
    if report["overlap"]:
        found.append(_overlap(report["overlap"]))
    if report["totals"]["energy_pj"] is not None:
        found += [_energy_by_step(report), _energy_by_term(report)]
    if sum(energy["dynamic_pj"] is not None for energy in report["energies"]) > 1:
        found.append(_profiles(report))
    if report["placement"] and report["placement"]["mesh"]:
        found.append(_placement(report["placement"]))
    return found


def accuracy_by_energy(points: Sequence[Mapping[str, Any]], profile: str) -> str:
    """Draw the points of a sweep: a color per code, a mark per number of bits, a line through the best."""
    codes = list(dict.fromkeys(point["code"] for point in points))
    bits = list(dict.fromkeys(point["bits"] for point in points))
    with _drawn("Accuracy against energy", 4.5) as (axes, drawn):
        for code, n in ((code, n) for code in codes for n in bits):
            mine = [point for point in points if (point["code"], point["bits"]) == (code, n)]
            axes.plot(
                [point["energy_nj"][profile] for point in mine],
                [100 * point["accuracy"] for point in mine],
                MARKS[bits.index(n) % len(MARKS)],
                color=LAYERS[codes.index(code)],
                markeredgecolor="#1a1a1a",
                label=f"{code} code, {'floats' if n is None else f'{n} bits'}",
            )
        best = sorted((point["energy_nj"][profile], 100 * point["accuracy"]) for point in points if point["is_best"])
        axes.plot(*zip(*best, strict=True), "-", color="#1a1a1a", linewidth=0.8, zorder=0)
        axes.set_xscale("log")
        axes.set_xlabel(f"dynamic energy per sample in nJ, {_plain(profile)}")
        axes.set_ylabel("accuracy in %")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8)
    return drawn.svg


def _executed(report: Report) -> str:
    return f"executed ({report['program']['code']} code)"


def _events(report: Report) -> Picture:
    series = [("spikes", SPIKE, _means(report, "steps", "spikes"))]
    series.append(("delta events", DELTA, _means(report, "steps", "delta_events")))
    title = "Events of neurons per sample"
    return Picture(title, "What layers would send as spikes, and as changes of spikes.", _bars(title, series))


def _synops(report: Report) -> Picture:
    title = "Synaptic operations per sample"
    caption = "Events times nonzero weights; dense is what a network without events would multiply."
    return Picture(title, caption, _bars(title, _three_codes(report, "steps")))


def _layers(report: Report) -> Picture:
    rows = [row["name"] for row in report["layers"] if row["dense"]]
    series = [
        (label, color, [n for n, row in zip(values, report["layers"], strict=True) if row["dense"]])
        for label, color, values in _three_codes(report, "layers")
    ]
    title = "Synaptic operations per sample, by layer"
    return Picture(title, "Each bar begins at one operation: the axis is logarithmic.", _bars(title, series, rows))


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
    series = [
        (_executed(report), DELTA, _means(report, "steps", "energy_pj", scale=PJ_PER_NJ)),
        ("plain spikes", SPIKE, _means(report, "steps", "energy_pj", "spike_code", PJ_PER_NJ)),
    ]
    title = f"Dynamic energy per sample in nJ, {report['energy']['profile']}"
    caption = "The first step is shown like any other: nothing that it sends was there before."
    return Picture(title, caption, _bars(title, series))


def _energy_by_term(report: Report) -> Picture:
    n = report["totals"]["samples"] * PJ_PER_NJ
    terms = report["energy"]["terms"]
    rows = [
        (term["term"].replace("_", " "), term["energy_pj"] / n, *(_bounds(term, n)))
        for term in sorted(terms, key=lambda term: term["energy_pj"])
    ]
    title = f"Dynamic energy by term in nJ, {report['energy']['profile']}"
    caption = "Lines reach from the lowest to the highest price that a source gives."
    return Picture(title, caption, _ranges(title, rows, DELTA))


def _bounds(term: Mapping[str, Any], n: float) -> tuple[float, float]:
    return term["count"] * term["low_price_pj"] / n, term["count"] * term["high_price_pj"] / n


def _profiles(report: Report) -> Picture:
    n = report["totals"]["samples"] * PJ_PER_NJ
    rows = [
        (energy["profile"], energy["dynamic_pj"] / n, energy["low_pj"] / n, energy["high_pj"] / n)
        for energy in reversed(report["energies"])
        if energy["dynamic_pj"] is not None
    ]
    title = "Dynamic energy per sample in nJ, by profile"
    caption = "The same counts at different prices: what a number means depends on what it includes."
    return Picture(title, caption, _ranges(title, rows, DELTA, logarithmic=True))


def _overlap(overlap: Mapping[str, Sequence[float | None]]) -> Picture:
    title = "Feature overlap: spikes that were there a step ago, in %"
    with _drawn(title, 0.9 + 0.32 * len(overlap)) as (axes, drawn):
        for row, fractions in enumerate(overlap.values()):
            for step, fraction in enumerate(fractions, start=2):
                if fraction is not None:
                    axes.add_patch(_square(step - 0.5, row - 0.5, 1, 1, _tint(fraction), "white"))
                    axes.text(step, row, f"{100 * fraction:.0f}", ha="center", va="center")
        n_steps = 1 + len(next(iter(overlap.values())))
        axes.set_xlim(1.5, n_steps + 0.5)
        axes.set_ylim(len(overlap) - 0.5, -0.5)
        axes.set_xticks(range(2, n_steps + 1))
        axes.set_yticks(range(len(overlap)), [_plain(name) for name in overlap])
        axes.set_xlabel("time step")
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
    caption = "What stays costs nothing in delta code. Empty where a layer is silent."
    return Picture(title, caption, drawn.svg)


def _placement(placement: Mapping[str, Any]) -> Picture:
    mesh = placement["mesh"]
    cores = list(dict.fromkeys(block["layer"] for block in placement["blocks"]))
    columns, rows = mesh["columns"] * placement["chips"], mesh["rows"]
    side = int(-(-(mesh["cores_per_tile"] ** 0.5) // 1))
    used = 1 + max(block["core"] for block in placement["blocks"]) // (mesh["cores_per_tile"] * rows)
    columns = max(min(columns, used + 1), min(columns, 8))  # of a large chip, what is used and a little more
    title = f"Placement on {placement['chip']}: {placement['cores']} cores"
    with _drawn(title, WIDTH * rows / columns + 0.2 * len(cores) + 0.4) as (axes, drawn):
        for x in range(columns):
            for y in range(rows):
                axes.add_patch(_square(x + 0.03, y + 0.03, 0.94, 0.94, "#eeeeee", "#bbbbbb"))
        for block in placement["blocks"]:
            tile, within = divmod(block["core"], mesh["cores_per_tile"])
            x, y = tile // rows + (within % side) / side, tile % rows + (within // side) / side
            layer, size = cores.index(block["layer"]), 0.8 / side
            axes.add_patch(_square(x + 0.1 / side, y + 0.1 / side, size, size, LAYERS[layer % len(LAYERS)], "#1a1a1a"))
            axes.text(x + 0.5 / side, y + 0.5 / side, str(layer + 1), ha="center", va="center", fontsize=7)
        for i, layer in enumerate(cores):
            n = sum(block["layer"] == layer for block in placement["blocks"])
            color = LAYERS[i % len(LAYERS)]
            axes.plot([], [], "s", color=color, markeredgecolor="#1a1a1a", label=f"{i + 1} {_plain(layer)}: {n}")
        axes.set_xlim(0, columns)
        axes.set_ylim(rows, 0)
        axes.set_aspect("equal")
        axes.axis("off")
        axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, 0), ncols=3, fontsize=8)
    caption = "Grey squares are tiles of the mesh; a number is the layer that a core holds, with its cores below."
    return Picture(title, caption, drawn.svg)


def _square(x: float, y: float, width: float, height: float, color: Any, edge: str) -> Any:  # noqa: PLR0917
    from matplotlib.patches import Rectangle  # noqa: PLC0415  (an optional part)

    return Rectangle((x, y), width, height, facecolor=color, edgecolor=edge, linewidth=0.7)


def _tint(fraction: float) -> tuple[float, float, float]:
    """Return a color from white to a blue on which black can still be read."""
    return 1 - 0.66 * fraction, 1 - 0.29 * fraction, 1 - 0.09 * fraction


def _bars(title: str, series: Sequence[Series], names: Sequence[str] | None = None) -> str:
    """Draw groups of bars: over time steps, or beside names on a logarithmic axis."""
    thick = 0.8 / len(series)
    n = len(series[0][2])
    with _drawn(title, 3.2 if names is None else 0.9 + 0.45 * n) as (axes, drawn):
        for i, (label, color, values) in enumerate(series):
            at = [k + 1 + (i - (len(series) - 1) / 2) * thick for k in range(n)]
            style: dict[str, Any] = {
                "label": label, "color": color, "hatch": HATCHES[color], "edgecolor": "white", "linewidth": 0.5
            }  # fmt: skip
            if names is None:
                axes.bar(at, values, thick, **style)
            else:
                axes.barh(at, values, thick, **style)
        if names is None:
            axes.set_xticks(range(1, n + 1))
            axes.set_xlabel("time step")
        else:
            axes.set_xscale("log")
            axes.set_xlim(left=1)
            axes.set_yticks(range(1, n + 1), [_plain(name) for name in names])
            axes.invert_yaxis()
        axes.spines[["top", "right"]].set_visible(False)
        anchor = (0.5, 1.15 if names is None else 1 + 0.6 / (0.9 + 0.45 * n))
        axes.legend(frameon=False, loc="upper center", bbox_to_anchor=anchor, ncols=len(series))
    return drawn.svg


def _ranges(
    title: str, rows: Sequence[tuple[str, float, float, float]], color: str, *, logarithmic: bool = False
) -> str:
    """Draw a bar for each value, on a logarithmic axis a point, and a line from its low to its high."""
    with _drawn(title, 0.7 + 0.35 * len(rows)) as (axes, drawn):
        for at, (_, value, low, high) in enumerate(rows):
            if logarithmic:
                axes.plot([value], [at], "o", color=color)
            else:
                axes.barh(at, value, 0.6, color=color)
            axes.plot([low, high], [at, at], "|-", color="#1a1a1a", linewidth=1.2)
        if logarithmic:
            axes.set_xscale("log")
        else:
            axes.set_xlim(left=0)
        axes.set_yticks(range(len(rows)), [_plain(row[0]) for row in rows])
        axes.set_ylim(-0.6, len(rows) - 0.4)
        axes.spines[["top", "right"]].set_visible(False)
    return drawn.svg


def _plain(name: str) -> str:
    """Escape a name so that it is not read as a formula."""
    return name.replace("$", r"\$")


@dataclass
class _Drawn:
    svg: str = ""


@contextmanager
def _drawn(title: str, height: float) -> "Iterator[tuple[Axes, _Drawn]]":
    """Open axes to draw on; the SVG is there when the block ends."""
    from matplotlib import rc_context  # noqa: PLC0415  (an optional part)
    from matplotlib.figure import Figure  # noqa: PLC0415

    drawn = _Drawn()
    with rc_context({"svg.hashsalt": "tdd-deploy", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        yield figure.subplots(), drawn
        svg = io.StringIO()
        figure.savefig(svg, format="svg", metadata={"Date": None, "Title": title})
    drawn.svg = re.sub(r"^.*?(?=<svg)", "", svg.getvalue(), flags=re.DOTALL)
