"""The TDD-LIF neuron for Lava: accumulator, leaky integrate-and-fire and difference in one process."""

from .process import TddLif

__all__ = ["TddLif"]
