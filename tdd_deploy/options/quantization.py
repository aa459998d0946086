"""How floats become integers."""

from dataclasses import dataclass

from .declare import Options, Range, option, options_of
from .vocabulary import Per

DEPLOYED_BITS = 8  # of a weight on Loihi 2
WEIGHT_BITS = Range(2, 8)
LARGEST_INPUT_BITS = 12


@dataclass(frozen=True, kw_only=True)
class Quantization(Options):
    """How a program in floats is quantized."""

    heading = "Integers"

    bits: int | None = option(
        None, within=WEIGHT_BITS, help="Quantize weights to this number of bits, 2 to 8. Default: lava 8; else floats."
    )
    per: Per = option("layer", help="Choose one scale per layer, or per neuron.")
    input_bits: int | None = option(
        None,
        within=Range(1, LARGEST_INPUT_BITS),
        help="Quantize an analog input to this number of bits, 1 to 12. Default: the number that loses least.",
    )

    @property
    def chosen(self) -> list[str]:
        """The options that are given."""
        return [each.name for each in options_of(type(self)) if getattr(self, each.name) != each.default]


@dataclass(frozen=True, kw_only=True)
class ComparedQuantization(Quantization):
    """How a program in floats is quantized for the backends ``integer`` and ``lava``."""

    bits: int | None = option(
        None, within=WEIGHT_BITS, help="Quantize weights for integer and lava to this number of bits. Default: 8."
    )
