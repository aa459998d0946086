"""What is measured on a stream of a sensor."""

from dataclasses import dataclass

from .declare import Options, Range, option

HEADING = "What is measured"


@dataclass(frozen=True, kw_only=True)
class StreamOptions(Options):
    """Thresholds, and the length of a time step."""

    thresholds: tuple[float, ...] = option(
        (),
        metavar="S",
        within=Range(0, below=True),
        help="Resend a value only after it has changed by more than each of these. Default: levels or quantiles of the "
        "changes in the first samples.",
        heading=HEADING,
    )
    dt_s: float | None = option(
        None,
        flag="dt",
        metavar="S",
        within=Range(0, above=True, below=True),
        help="State the seconds per time step, for events per second. Default: as the bins of camera events, else not "
        "known.",
        heading=HEADING,
    )
