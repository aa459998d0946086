"""The sigma-delta neuron as Lava computes it in integers."""

from dataclasses import dataclass
from typing import ClassVar

from .base import Arithmetic, Array, State
from .sigma_delta import SigmaDelta


@dataclass(frozen=True, eq=False, kw_only=True)
class LavaSigmaDelta(SigmaDelta):
    """SigmaDelta whose messages are rounded down to multiples of ``grid``, bit for bit as Lava 0.10 (``fixed_pt``).

    Lava shifts a change to the right before it sends it, and never sends the bits that this cuts off. So receivers
    hold ``sent``, which lags y by less than ``grid`` per message. ``bias`` is added to the current. Lava compares with
    ``>=``. A value of 1 here is ``2 ** (spike_exp + state_exp)`` in Lava, and grid is ``2 ** -spike_exp``. All numbers
    are multiples of a power of two, so float64 holds Lava's integers as long as they are below 2**53.

    Source: lava-nc 0.10.0, lava/proc/sdn/models.py.
    """

    grid: Array
    bias: Array
    states: ClassVar[tuple[str, ...]] = ("y", "sent")

    def step(self, a: Arithmetic, state: State, current: Array) -> tuple[State, Array]:
        """Activate, compare with the value sent last, send a rounded change."""
        y, sent = state
        (moved,), _ = super().step(a, (y,), current + self.bias)
        sent = sent + (moved - y) // self.grid * self.grid
        return (moved, sent), sent

    def is_driven(self, current: Array) -> Array:
        """Mark the neurons that a current or a bias drives."""
        return (current != 0) | (self.bias != 0)
