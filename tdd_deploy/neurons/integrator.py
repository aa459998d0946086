"""The integrator, which never fires and sends its potential."""

from dataclasses import dataclass
from typing import ClassVar

from .base import Arithmetic, Array, Neuron, State


@dataclass(frozen=True, eq=False, kw_only=True)
class I(Neuron):  # noqa: E742  (NIR's name)
    """Integrator: ``v = v + current``."""

    spiking: ClassVar[bool] = False

    def step(self, a: Arithmetic, state: State, current: Array) -> tuple[State, Array]:
        """Integrate."""
        (v,) = state
        v = v + current
        return (v,), v
