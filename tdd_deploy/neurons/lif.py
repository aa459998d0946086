"""The leaky integrate-and-fire neuron."""

from dataclasses import dataclass

from .base import Arithmetic, Array, Firing, State


@dataclass(frozen=True, eq=False, kw_only=True)
class LIF(Firing):
    """Leaky integrate and fire: ``v = beta v + current``."""

    beta: Array

    def step(self, a: Arithmetic, state: State, current: Array) -> tuple[State, Array]:
        """Leak, integrate, compare, fire, reset."""
        (v,) = state
        v, spikes = self.fire(a, a.keep(v, self.beta) + current)
        return (v,), spikes
