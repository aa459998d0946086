"""The leaky integrate-and-fire neuron with the choices that other frameworks make."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from .base import Arithmetic, Array, Compare, Neuron, State

Resets = Literal["hard", "soft", "none"]
When = Literal["at once", "next step"]
Spikes = Literal["one", "many"]
LeftOver = Literal["fires", "held"]


@dataclass(frozen=True, eq=False, kw_only=True)
class VariantLIF(Neuron):
    """LIF, current-based or not, that may fire several spikes per step, reset late, and have a lowest potential.

    ``i = alpha i + current``, then ``v = beta v + i``. ``many`` spikes are the whole thresholds in v (sinabs,
    Rockpool). A reset takes place ``at once``, or the v of this step decides it and it takes place in the ``next
    step``, after the leak (snnTorch). A potential that a soft reset leaves above the threshold fires in the next step,
    or is ``held``: then v has to exceed the threshold once more to fire (snnTorch without its delay). ``v_min`` bounds
    v from below, last.
    """

    alpha: Array
    beta: Array
    v_threshold: Array
    v_reset: Array
    v_min: Array | None = None
    reset: Resets = "hard"
    resets: When = "at once"
    compare: Compare = ">"
    spikes: Spikes = "one"
    left_over: LeftOver = "fires"
    states: ClassVar[tuple[str, ...]] = ("i", "v")
    choices: ClassVar[dict[str, Any]] = {
        "reset": Resets,
        "resets": When,
        "compare": Compare,
        "spikes": Spikes,
        "left_over": LeftOver,
    }

    @property
    def binary(self) -> bool:
        """Whether it sends 0 and 1 alone."""
        return self.spikes == "one"

    def step(self, a: Arithmetic, state: State, current: Array) -> tuple[State, Array]:
        """Filter the current, leak, integrate, reset for the last step, compare, fire, reset, bound."""
        i, before = state
        i = a.keep(i, self.alpha) + current
        v = a.keep(before, self.beta) + i
        if self.resets == "next step":
            v = self._after(a, v, before)
        held = self._fired(a, before) * self.v_threshold if self.left_over == "held" else 0
        compared = v - held
        if self.resets == "at once":
            v = self._after(a, v, compared)
        if self.v_min is not None:
            is_below = a.fires(-v, -self.v_min, ">")
            v = (1 - is_below) * v + is_below * self.v_min
        return (i, v), self._fired(a, compared)  # last, for observers of what is compared

    def _fired(self, a: Arithmetic, v: Array) -> Array:
        return a.count(v, self.v_threshold) if self.spikes == "many" else a.fires(v, self.v_threshold, self.compare)

    def _after(self, a: Arithmetic, v: Array, compared: Array) -> Array:
        """Reset v where the compared potential fires."""
        if self.reset == "none":
            return v
        if self.reset == "soft":
            return v - self._fired(a, compared) * self.v_threshold
        passed = a.fires(compared, self.v_threshold, ">=" if self.spikes == "many" else self.compare)
        return (1 - passed) * v + passed * self.v_reset
