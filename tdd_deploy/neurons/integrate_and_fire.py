"""The integrate-and-fire neuron."""

from dataclasses import dataclass

from .base import Arithmetic, Array, Firing, State


@dataclass(frozen=True, eq=False, kw_only=True)
class IF(Firing):
    """Integrate and fire: ``v = v + current``."""

    def step(self, a: Arithmetic, state: State, current: Array) -> tuple[State, Array]:
        """Integrate, compare, fire, reset."""
        (v,) = state
        v, spikes = self.fire(a, v + current)
        return (v,), spikes
