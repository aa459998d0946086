"""The current-based leaky integrate-and-fire neuron."""

from dataclasses import dataclass
from typing import ClassVar

from .base import Arithmetic, Array, Firing, State


@dataclass(frozen=True, eq=False, kw_only=True)
class CubaLIF(Firing):
    """Current-based LIF: ``i = alpha i + current``, then ``v = beta v + i``."""

    alpha: Array
    beta: Array
    states: ClassVar[tuple[str, ...]] = ("i", "v")

    def step(self, a: Arithmetic, state: State, current: Array) -> tuple[State, Array]:
        """Filter the current, leak, integrate, compare, fire, reset."""
        i, v = state
        i = a.keep(i, self.alpha) + current
        v, spikes = self.fire(a, a.keep(v, self.beta) + i)
        return (i, v), spikes
