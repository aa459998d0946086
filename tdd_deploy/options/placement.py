"""On which chip a network shall lie."""

from dataclasses import dataclass

from .declare import Options, Range, option
from .vocabulary import Code


@dataclass(frozen=True, kw_only=True)
class Placement(Options):
    """How a network is placed on chips."""

    heading = "The placement"

    bits: int | None = option(
        None, within=Range(1, 32), help="Take floats as integers of this number of bits. Default: 8."
    )
    code: Code | None = option(
        None, help="Let edges send changes or spikes. Default: delta where events can carry a sign."
    )
    chips: int = option(1, within=Range(1), help="Place the network on this number of chips.")
