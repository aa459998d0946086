"""The sigma-delta neuron: a ReLU that is resent only after it has changed."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from .base import Arithmetic, Array, Compare, Neuron, State

Activation = Literal["relu", "none"]


@dataclass(frozen=True, eq=False, kw_only=True)
class SigmaDelta(Neuron):
    """``x = max(0, current)``; ``y = x`` where ``|x - y|`` passes ``delta_threshold``, else y stays; y is sent.

    The loop is closed: x is compared with the value that receivers hold, so errors stay within the threshold and do not
    add up.
    A delta edge carries ``y(t) - y(t-1)`` and its receiver holds the sum, so layers joined by delta edges are a
    sigma-delta network. delta_threshold is 0 or more, in units of the current; activation "none" has no maximum.

    Source: O'Connor and Welling, Sigma Delta Quantized Networks, arXiv:1611.02024.
    """

    delta_threshold: Array
    activation: Activation = "relu"
    compare: Compare = ">"
    spiking: ClassVar[bool] = False
    states: ClassVar[tuple[str, ...]] = ("y",)
    choices: ClassVar[dict[str, Any]] = {"activation": Activation, "compare": Compare}

    def step(self, a: Arithmetic, state: State, current: Array) -> tuple[State, Array]:
        """Activate, compare with the value sent last, send."""
        (y,) = state
        x = self._positive(a, current) if self.activation == "relu" else current
        size = self._positive(a, x - y) + self._positive(a, y - x)
        moved = a.fires(size, self.delta_threshold, self.compare)
        y = (1 - moved) * y + moved * x
        return (y,), y

    def _positive(self, a: Arithmetic, x: Array) -> Array:
        """Return x where it is above 0, else 0."""
        return x * a.fires(x, 0 * self.delta_threshold, ">")
