"""Draw the picture of a stream."""

from collections.abc import Mapping, Sequence
from typing import Any

from tdd_deploy.tables import significant

from .pictures import DELTA, DENSE, SPIKE, Picture, canvas

N_CURVE = 101  # points of a curve


def changes_by_rate(points: Sequence[tuple[float, float]], report: Mapping[str, Any]) -> Picture:
    """Draw the change rate of each value against its rate, beside the line of break-even and the curve of chance.

    Args:
        points: rate and change rate of each value.
        report: of the stream.
    """
    title = "Changes against values that are not zero"
    highest = max((max(point) for point in points), default=0.0)
    limit = min(1.0, 1.1 * highest) or 1.0
    xs = [limit * i / (N_CURVE - 1) for i in range(N_CURVE)]
    with canvas(title, 4.5) as (axes, drawn):
        axes.fill_between([100 * x for x in xs], [100 * x for x in xs], color=DENSE, alpha=0.2, linewidth=0)
        axes.plot([100 * x for x in xs], [100 * x for x in xs], "-", color="#1a1a1a", label="p: below, deltas pay")
        chance = [200 * x * (1 - x) for x in xs]
        axes.plot([100 * x for x in xs], chance, "--", color=SPIKE, label="2p(1 - p): by chance")
        shown = [100 * rate for rate, _ in points], [100 * changed for _, changed in points]
        label = f"{len(points):,} of {report['total']['values']:,} values of a time step"
        axes.plot(*shown, "o", color=DELTA, markersize=4, alpha=0.7, markeredgewidth=0, label=label)
        axes.set_xlim(0, 100 * limit)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("rate p: time steps in which a value is not zero, in %")
        axes.set_ylabel("time steps in which it changes, in %")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8)
    caption = (
        "A point is a value of the input. Below the line, its changes are fewer than its values that are not zero."
    )
    alt = f"{title}: rates {_range(shown[0])} %, changes {_range(shown[1])} %."
    return Picture(title, caption, drawn.svg, alt)


def _range(percents: Sequence[float]) -> str:
    return f"{significant(min(percents))} to {significant(max(percents))}"
