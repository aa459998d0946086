"""The threshold: a neuron without memory."""

from dataclasses import dataclass
from typing import Any, ClassVar

from .base import Arithmetic, Array, Compare, Neuron, State


@dataclass(frozen=True, eq=False, kw_only=True)
class Threshold(Neuron):
    """Heaviside step of the current."""

    v_threshold: Array
    compare: Compare = ">"
    states: ClassVar[tuple[str, ...]] = ()
    choices: ClassVar[dict[str, Any]] = {"compare": Compare}

    def step(self, a: Arithmetic, state: State, current: Array) -> tuple[State, Array]:
        """Compare."""
        return state, a.fires(current, self.v_threshold, self.compare)
