"""What an analysis draws."""

from dataclasses import dataclass

from .declare import Options, Range, option


@dataclass(frozen=True, kw_only=True)
class AnalysisOptions(Options):
    """What an analysis draws."""

    layers: tuple[str, ...] = option(
        (),
        flag="layer",
        repeated=True,
        help="Draw the spikes of this layer; repeat it for several. Default: the first two.",
    )
    sample: int = option(0, within=Range(0), help="Draw the spikes of this sample, from 0 on.")
