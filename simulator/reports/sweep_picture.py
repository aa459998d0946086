"""The picture of a sweep."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .pictures import LAYERS, canvas, plain

MARKS = ("o", "s", "^", "D", "v", "P", "X")
MOST_NAMED = 12  # points with a name


def accuracy_by_energy(points: Sequence[Mapping[str, Any]], profile: str) -> str:
    """Draw the points of a sweep: a color per code, a mark per number of bits, a line through the best."""
    codes = list(dict.fromkeys(point["code"] for point in points))
    bits = list(dict.fromkeys(point["bits"] for point in points))
    with canvas("Accuracy against energy", 4.5) as (axes, drawn):
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
        names = _names_of(points)
        best = sorted(
            (point["energy_nj"][profile], 100 * point["accuracy"], name)
            for point, name in zip(points, names, strict=True)
            if point["is_best"]
        )
        axes.plot([x for x, *_ in best], [y for _, y, _ in best], "-", color="#1a1a1a", linewidth=0.8, zorder=0)
        for n, (x, y, name) in enumerate(best[:MOST_NAMED]):
            below = n % 2 == 1  # neighbors would cover each other
            axes.annotate(
                name,
                (x, y),
                xytext=(4, -10 if below else 6),
                textcoords="offset points",
                fontsize=7,
            )
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:,g}")
        axes.xaxis.set_minor_formatter("{x:,g}")
        axes.set_xlabel(f"dynamic energy per sample in nJ, {plain(profile)}")
        axes.set_ylabel("accuracy in %")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8)
    return drawn.svg


def _names_of(points: Sequence[Mapping[str, Any]]) -> list[str]:
    """Name the points of a sweep by what differs between them, but for the code and the bits, which marks show."""
    texts: list[list[str]] = [[] for _ in points]
    for key, title in (("run", ""), ("input_threshold", "input threshold "), ("delta_threshold", "delta threshold ")):
        values = [point[key] for point in points]
        if len(set(values)) == 1:
            continue
        shown = [Path(value).name or value for value in values] if key == "run" else values
        shown = values if len(set(shown)) < len(set(values)) else shown
        for text, value in zip(texts, shown, strict=True):
            if value is not None:
                text.append(plain(f"{title}{value:g}" if title else str(value)))
    return [", ".join(text) for text in texts]
