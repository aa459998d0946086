"""Save plots for the documents."""

from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure

PLOTS = Path(__file__).parents[1] / "docs" / "plots"


def save(figure: Figure, name: str) -> None:
    """Write docs/plots/NAME.svg, the same bytes from the same numbers."""
    PLOTS.mkdir(parents=True, exist_ok=True)
    with rc_context({"svg.hashsalt": "tdd-deploy"}):
        figure.savefig(PLOTS / f"{name}.svg", metadata={"Date": None})
