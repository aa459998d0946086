"""How floats become integers."""

from collections.abc import Iterator
from dataclasses import dataclass

from tdd_deploy.errors import Violation

from .declare import Options, Range, option
from .vocabulary import Per

DEPLOYED_BITS = 8  # of a weight on Loihi 2
WEIGHT_BITS = Range(2, 8)


@dataclass(frozen=True, kw_only=True)
class Quantization(Options):
    """How a program in floats is quantized."""

    bits: int | None = option(
        None, within=WEIGHT_BITS, help="Quantize weights to this number of bits, 2 to 8. Default: lava 8; else floats."
    )
    per: Per = option("layer", help="Choose one scale per layer, or per neuron.")
    input_bits: int | None = option(
        None, help="Quantize an analog input to this number of bits. Default: the number that loses least."
    )

    @property
    def is_chosen(self) -> bool:
        """Whether any of these options is given."""
        return self != type(self)()

    def needless(self, reason: str) -> Iterator[Violation]:
        """Yield every option that is given although nothing is quantized, with the reason."""
        default = type(self)()
        for name in ("bits", "per", "input_bits"):
            if getattr(self, name) != getattr(default, name):
                yield Violation(f"`{name}`", reason)


@dataclass(frozen=True, kw_only=True)
class ComparedQuantization(Quantization):
    """How a program in floats is quantized for the backends ``integer`` and ``lava``."""

    bits: int | None = option(
        None, within=WEIGHT_BITS, help="Quantize weights for integer and lava to this number of bits. Default: 8."
    )
