"""What an analysis measures, draws and compares."""

from dataclasses import dataclass
from pathlib import Path

from .declare import Options, Range, option


@dataclass(frozen=True, kw_only=True)
class AnalysisOptions(Options):
    """What an analysis measures, draws and compares."""

    heading = "The analysis"

    layers: tuple[str, ...] = option(
        (),
        flag="layer",
        repeated=True,
        help="Draw the spikes of this layer; repeat it for several. Default: the first two.",
    )
    sample: int = option(0, within=Range(0), help="Draw the spikes of this sample, from 0 on.")
    epsilon: float = option(
        1.0,
        within=Range(0, above=True),
        help="Definition 1: a layer overlaps where the L2 norm of its changes is below this. At 1, no neuron changed.",
    )
    compare: tuple[Path, ...] = option(
        (),
        repeated=True,
        recorded=False,
        help="Compare the events of this run of the same network and data; repeat it for several.",
    )
