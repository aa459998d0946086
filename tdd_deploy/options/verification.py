"""Which backends are compared, and how long they may take."""

from dataclasses import dataclass

from .declare import Range, option
from .execution import Batch
from .vocabulary import Backend, Mapping


@dataclass(frozen=True, kw_only=True)
class Verification(Batch):
    """Which backends are compared."""

    heading = "The comparison"

    against: tuple[Backend, ...] | None = option(
        None, help="Compare these backends, with commas. Default: all that are installed."
    )
    mapping: Mapping = option("fused", help="Map each layer to Lava in this way.")
    timeout_s: float = option(
        3600.0, flag="timeout", within=Range(0, above=True), help="Stop Lava after this number of seconds per batch."
    )
    batch: int = option(32, within=Range(1), help="Execute this number of samples at once.")
