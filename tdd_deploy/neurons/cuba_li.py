"""The current-based leaky integrator, which never fires and sends its potential."""

from dataclasses import dataclass
from typing import ClassVar

from .base import Arithmetic, Array, Neuron, State


@dataclass(frozen=True, eq=False, kw_only=True)
class CubaLI(Neuron):
    """Current-based leaky integrator: ``i = alpha i + current``, then ``v = beta v + i``."""

    alpha: Array
    beta: Array
    spiking: ClassVar[bool] = False
    states: ClassVar[tuple[str, ...]] = ("i", "v")

    def step(self, a: Arithmetic, state: State, current: Array) -> tuple[State, Array]:
        """Filter the current, leak, integrate."""
        i, v = state
        i = a.keep(i, self.alpha) + current
        v = a.keep(v, self.beta) + i
        return (i, v), v
