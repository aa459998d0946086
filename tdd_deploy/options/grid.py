"""The axes of a sweep."""

from dataclasses import dataclass

from .declare import Range, option
from .execution import Batch
from .vocabulary import DEFAULT_PROFILES, CodeChoice, NumberFormat


@dataclass(frozen=True, kw_only=True)
class Grid(Batch):
    """Every combination of these values is simulated."""

    heading = "The axes"

    codes: tuple[CodeChoice, ...] = option(("delta", "spike"), flag="code", help="Send these codes, with commas.")
    bits: tuple[NumberFormat, ...] = option(
        ("float",), help="Quantize weights to these numbers of bits, with commas, such as float,8,4."
    )
    input_thresholds: tuple[float, ...] = option(
        (0.0,),
        flag="input-threshold",
        within=Range(0, below=True),
        help="Resend an input value only after it has changed by more than this; with commas, such as 0,0.05,0.1.",
    )
    delta_thresholds: tuple[float, ...] | None = option(
        None,
        flag="delta-threshold",
        within=Range(0, below=True),
        help="Set these thresholds in all SigmaDelta layers, with commas. Default: as in the file.",
    )
    profiles: tuple[str, ...] = option(
        DEFAULT_PROFILES,
        flag="profile",
        repeated=True,
        help="Price by this profile, a name that tdd-deploy profiles lists or a path to a .toml; repeat it to compare.",
    )

    @property
    def weight_bits(self) -> tuple[int | None, ...]:
        """The bits of a weight on this axis; None for floats."""
        return tuple(None if bits == "float" else int(bits) for bits in self.bits)
