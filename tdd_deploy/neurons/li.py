"""The leaky integrator, which never fires and sends its potential."""

from dataclasses import dataclass
from typing import ClassVar

from .base import Arithmetic, Array, Neuron, State


@dataclass(frozen=True, eq=False, kw_only=True)
class LI(Neuron):
    """Leaky integrator: ``v = beta v + current``."""

    beta: Array
    spiking: ClassVar[bool] = False

    def step(self, a: Arithmetic, state: State, current: Array) -> tuple[State, Array]:
        """Leak, then integrate."""
        (v,) = state
        v = a.keep(v, self.beta) + current
        return (v,), v
