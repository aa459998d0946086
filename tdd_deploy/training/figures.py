"""Pictures of the events of layers, after the figures of [P] (see ``diagnostics``)."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tdd_deploy.errors import MissingDependency
from tdd_deploy.files import replacing

from .compared import Curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colors, which people with any color vision can distinguish; on and off differ in lightness too.
DELTA, SPIKE = "#0072B2", "#E69F00"
SILENT, FIRED, APPEARED, VANISHED = "#FFFFFF", "#222222", "#0072B2", "#E69F00"
# Lines of methods: they differ in marker and style too, for prints in shades of gray.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
STYLES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
LETTERS_PER_INCH = 12  # of a title
CHANNELS = 16  # channels shown per layer, those that fired most
STEPS = 10  # time steps shown per sample, from the first on
NUMBERED = 20  # time steps up to which a table of colors has numbers
GAP = 1  # pixels between channels
NOTHING = np.nan
DPI = 150


def require() -> None:
    """Check that the library for pictures is installed.

    Raises:
        MissingDependency: it is not.
    """
    try:
        import matplotlib  # noqa: F401, PLC0415  (an optional part)
    except ImportError as error:
        raise MissingDependency("matplotlib", "analyze with `out`", "'tdd-deploy[report]'") from error


def feature_maps(
    path: Path,
    spikes: NDArray[np.generic],
    *,
    layer: str,
    sample: str,
    with_changes: bool = True,
    most_steps: int = STEPS,
) -> None:
    """Draw the events of one layer for one sample: spikes O^t, and below them changes D^t, a column per time step.

    Without changes and with three steps it is figure 1 of [P], and with changes figure 3.

    Args:
        path: the PNG to write.
        spikes: ``[n_steps, channels, height, width]`` or ``[n_steps, n]``; only the busiest channels are shown.
        layer: its name.
        sample: a description of the sample.
        with_changes: whether changes are drawn.
        most_steps: the number of steps that are drawn, from the first on.
    """
    from matplotlib.colors import ListedColormap  # noqa: PLC0415  (an optional part)

    values = spikes.astype(np.int8)
    changes = np.diff(values, axis=0, prepend=0)
    chosen = busiest(values)
    n_steps = min(len(values), most_steps)
    width = 1.75 * n_steps + 0.5
    title = _title_of_maps(values, chosen, n_steps, f"{layer}: {sample}")
    title = "\n".join(textwrap.wrap(title, round(LETTERS_PER_INCH * width)))
    figure = _figure((width, 2.3 * (1 + with_changes) + 0.2 * title.count("\n")))
    rows = figure.subplots(1 + with_changes, n_steps, squeeze=False)
    drawn = [(values, ListedColormap([SILENT, FIRED]), 0)]
    drawn += [(changes, ListedColormap([VANISHED, SILENT, APPEARED]), -1)] * with_changes
    for row, (what, colors, low) in zip(rows, drawn, strict=True):
        for t, axes in enumerate(row):
            axes.imshow(mosaic(what[t], chosen), cmap=colors, vmin=low, vmax=1, interpolation="nearest")
            axes.set_facecolor("#D8D8D8")  # between channels
            axes.set(xticks=[], yticks=[])
    rows[0, 0].set_ylabel("spikes  $O^t$")
    for t in range(n_steps):
        rows[0, t].set_title(f"t = {t + 1}\n{np.count_nonzero(values[t]):,} spikes", fontsize=9)
    if with_changes:
        rows[1, 0].set_ylabel("changes  $D^t = O^t - O^{t-1}$")
        for t in range(n_steps):
            appeared, vanished = (int((changes[t] == sign).sum()) for sign in (1, -1))
            rows[1, t].set_title(f"{appeared + vanished:,} changes: +{appeared:,} -{vanished:,}", fontsize=9)
        _legend_of_maps(figure, n_steps)
    figure.suptitle(title, fontsize=11)
    _save(figure, path)


def _title_of_maps(values: NDArray[np.int8], chosen: NDArray[np.intp], n_steps: int, title: str) -> str:
    """Add to a title what is left out."""
    shown = [title]
    if values.ndim == 4 and len(chosen) < values.shape[1]:
        shown.append(f"the {len(chosen)} busiest of {values.shape[1]} channels, counts of all")
    if n_steps < len(values):
        shown.append(f"the first {n_steps} of {len(values)} time steps")
    return ", ".join(shown)


def _legend_of_maps(figure: "Figure", n_steps: int) -> None:
    from matplotlib.patches import Patch  # noqa: PLC0415  (an optional part)

    legend = ((FIRED, "spike"), (APPEARED, "+1: appeared"), (VANISHED, "-1: vanished"))
    handles = [Patch(facecolor=color, label=label) for color, label in legend]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(3, n_steps), frameon=False)


def method_curves(path: Path, curves: Sequence[Curve], *, title: str, against: str) -> None:
    """Draw events per sample by method, as spikes and as delta events: figures 4 and 5 of [P].

    Args:
        path: the PNG to write.
        curves: a line per method.
        title: what is drawn.
        against: the name of the horizontal axis.
    """
    longest = max(len(curve.method) for curve in curves)
    n_columns = max(1, min(3, math.floor(90 / (longest + 8))))
    figure = _figure((8.2, 3.6 + 0.22 * math.ceil(len(curves) / n_columns)))
    grid = figure.subplots(1, 2, sharey=True)
    for number, curve in enumerate(curves):
        color, marker, style = (kinds[number % len(kinds)] for kinds in (COLORS, MARKERS, STYLES))
        for axes, values in zip(grid, (curve.spikes, curve.delta_events), strict=True):
            axes.plot(curve.at, values, color=color, marker=marker, linestyle=style, label=curve.method, ms=5)
    for axes, name in zip(grid, ("spikes", "delta events"), strict=True):
        axes.set_title(name, fontsize=9)
        axes.set_ylim(bottom=0)
        at = sorted({each for curve in curves for each in curve.at})
        _plain(axes, at if len(at) <= NUMBERED else [], against)
    grid[0].set_ylabel("events per sample", fontsize=9)
    handles, labels = grid[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=n_columns, frameon=False, fontsize=8)
    figure.suptitle(title, fontsize=11)
    _save(figure, path)


def busiest(spikes: NDArray[Any]) -> NDArray[np.intp]:
    """Choose the channels of ``[n_steps, channels, ...]`` that are shown, in their own order."""
    counts = spikes.reshape(*spikes.shape[:2], -1).astype(np.int64).sum((0, 2))
    return np.sort(np.argsort(-counts, kind="stable")[:CHANNELS])


def mosaic(values: NDArray[Any], channels: NDArray[np.intp]) -> NDArray[np.float64]:
    """Arrange channels ``[channels, height, width]`` in one image with gaps; ``[n]`` in a block of n pixels."""
    if values.ndim == 1:
        n_columns = math.ceil(math.sqrt(len(values)))
        image = np.full(math.ceil(len(values) / n_columns) * n_columns, NOTHING)
        image[: len(values)] = values
        return image.reshape(-1, n_columns)
    n_columns = math.ceil(math.sqrt(len(channels)))
    n_rows = math.ceil(len(channels) / n_columns)
    height, width = (size + GAP for size in values.shape[1:])
    image = np.full((n_rows * height - GAP, n_columns * width - GAP), NOTHING)
    for place, channel in enumerate(channels):
        y, x = (place // n_columns) * height, (place % n_columns) * width
        image[y : y + height - GAP, x : x + width - GAP] = values[channel]
    return image


def event_curves(path: Path, report: Mapping[str, Any]) -> None:
    """Draw events per sample and time step, as spikes and as changes: the sum of all layers, then each layer."""
    panels = [("all layers", report["steps"], report["totals"]["fewer"])]
    panels += [(layer["name"], layer["steps"], layer["fewer"]) for layer in report["layers"]]
    words = {"delta": "fewer as deltas", "spike": "fewer as spikes", "equal": "as many in both"}
    n_columns = min(4, math.ceil(math.sqrt(len(panels))))
    n_rows = math.ceil(len(panels) / n_columns)
    figure = _figure((2.6 * n_columns + 0.4, 2.2 * n_rows + 0.6))
    grid = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    for axes, (title, steps, fewer) in zip(grid, panels, strict=False):
        at = [step["step"] for step in steps]
        for key, label, color, style in (
            ("spikes", "spikes", SPIKE, "o--"),
            ("delta_events", "delta events", DELTA, "s-"),
        ):
            axes.plot(at, [step[key] / report["samples"] for step in steps], style, color=color, label=label, ms=4)
        axes.set_title(f"{title}\n{words[fewer]}", fontsize=9)
        axes.set_ylim(bottom=0)
        _plain(axes, at)
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    figure.legend(*grid[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    figure.supylabel("events per sample", fontsize=9)
    figure.suptitle("Events per time step", fontsize=11)
    _save(figure, path)


def overlap_maps(path: Path, report: Mapping[str, Any]) -> None:
    """Draw overlap and persistence of every layer, from the second time step on, as tables of colors."""
    layers, steps = report["layers"], [step["step"] for step in report["steps"]][1:]
    figure = _figure((2 * min(12, max(3.0, 0.62 * len(steps))) + 1.9, 0.38 * len(layers) + 1.6))
    grid = figure.subplots(1, 2, sharey=True)
    titles = {
        "overlap": "overlap: fraction of spikes whose\nneurons also spiked a step ago",
        "persistence": "persistence P(1→1): fraction of spikes\nthat repeat; above 0.5 (framed) delta pays",
    }
    for axes, (key, title) in zip(grid, titles.items(), strict=True):
        values = np.array([[step[key] for step in layer["steps"][1:]] for layer in layers], np.float64)
        image = axes.imshow(values, cmap="cividis", vmin=0, vmax=1, aspect="auto")
        if len(steps) <= NUMBERED:
            _write_numbers(axes, values, frame_above=0.5 if key == "persistence" else math.inf)
            axes.set_xticks(range(len(steps)), [str(step) for step in steps])
        axes.set_yticks(range(len(layers)), [layer["name"] for layer in layers])
        axes.set_xlabel("time step")
        axes.set_title(title, fontsize=9)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
    figure.colorbar(image, ax=list(grid), fraction=0.04)
    _save(figure, path)


def _write_numbers(axes: "Axes", values: NDArray[np.float64], *, frame_above: float) -> None:
    """Write values, 0 to 1, over their colors."""
    for row, column in np.ndindex(values.shape):
        value = values[row, column]
        if np.isnan(value):
            axes.text(column, row, "-", ha="center", va="center", fontsize=8)
            continue
        color = "black" if value > 0.5 else "white"
        frame = {"edgecolor": color, "facecolor": "none", "pad": 1.5, "linewidth": 0.8}
        box = frame if value > frame_above else None
        axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=8, color=color, bbox=box)


def fisher_curves(path: Path, fisher: Mapping[str, Any]) -> None:
    """Draw Fisher information per time step, and its centroid after each epoch where it was recorded."""
    epochs = [entry for entry in fisher["epochs"] if entry["centroid"] is not None]
    figure = _figure((4.4 * (2 if epochs else 1), 3.2))
    grid = figure.subplots(1, 2 if epochs else 1, squeeze=False).ravel()
    at = list(range(1, len(fisher["traces"]) + 1))
    grid[0].bar(at, fisher["traces"], 0.7, color=DELTA)
    if fisher["centroid"] is not None:
        label = f"centroid {fisher['centroid']:.2f}"
        grid[0].axvline(fisher["centroid"], color=FIRED, linestyle="--", label=label)
        grid[0].legend(frameon=False)
    grid[0].set_title("Fisher information of the outputs up to a time step", fontsize=9)
    grid[0].set_ylabel("trace over weights")
    _plain(grid[0], at)
    if epochs:
        grid[1].plot([entry["epoch"] for entry in epochs], [entry["centroid"] for entry in epochs], "o-", color=DELTA)
        grid[1].set_title("Its centroid while training", fontsize=9)
        grid[1].set_ylabel("time step")
        _plain(grid[1], [], "epoch")
    _save(figure, path)


def _plain(axes: "Axes", ticks: Sequence[int], label: str = "time step") -> None:
    if ticks:
        axes.set_xticks(ticks)
    axes.set_xlabel(label, fontsize=8)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def _figure(size: tuple[float, float]) -> "Figure":
    from matplotlib.figure import Figure  # noqa: PLC0415  (an optional part)

    return Figure(figsize=size, layout="constrained")


def _save(figure: "Figure", path: Path) -> None:
    with replacing(path) as part:
        figure.savefig(part, format="png", dpi=DPI)
