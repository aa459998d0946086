"""Neuron models, each written once against a small arithmetic interface."""

from .base import Arithmetic, Array, Compare, Firing, Neuron, Reset, State
from .cuba_li import CubaLI
from .cuba_lif import CubaLIF
from .integrate_and_fire import IF
from .integrator import I
from .lava_sigma_delta import LavaSigmaDelta
from .li import LI
from .lif import LIF
from .loihi import LoihiLIF
from .observing import Observing
from .sigma_delta import Activation, SigmaDelta
from .threshold import Threshold
from .variant import VariantLIF

# The neurons of programs in floats; LoihiLIF is for integer programs, and LavaSigmaDelta for files of lava-dl.
NEURONS: dict[str, type[Neuron]] = {
    cls.__name__: cls for cls in (IF, LIF, CubaLIF, LI, CubaLI, I, Threshold, VariantLIF, SigmaDelta)
}

__all__ = [
    "IF",
    "LI",
    "LIF",
    "NEURONS",
    "Activation",
    "Arithmetic",
    "Array",
    "Compare",
    "CubaLI",
    "CubaLIF",
    "Firing",
    "I",
    "LavaSigmaDelta",
    "LoihiLIF",
    "Neuron",
    "Observing",
    "Reset",
    "SigmaDelta",
    "State",
    "Threshold",
    "VariantLIF",
]
