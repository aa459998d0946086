"""The leaky integrate-and-fire neuron of Loihi 2, in its integers."""

from dataclasses import dataclass
from typing import ClassVar

from .base import Arithmetic, Array, Firing, State

UNIT = 64  # LSB of v per unit of weight: the chip shifts sums left by 6 bits
DECAY = 4096  # the denominator of du and dv
LIMIT = 2**23  # u and v are 24 bits wide
BITS = range(2, 9)  # that a weight can have, sign included
WRAP = LIMIT // UNIT  # sums of smaller magnitude cannot wrap u when it has no memory


@dataclass(frozen=True, eq=False, kw_only=True)
class LoihiLIF(Firing):
    """Current-based LIF in integers, bit for bit as Lava 0.10 simulates Loihi 2 (``fixed_pt``).

    ``u = u (4095 - du) / 4096 + 64 current``, which wraps at 24 bits; ``v = v (4096 - dv) / 4096 + u + bias``, which
    saturates; both quotients are rounded toward zero. ``du`` 4095 has no memory, -1 holds.

    v_threshold, v_reset and bias are in LSB of v, 64 per unit of weight; currents are in units of weight. Lava resets
    to 0, compares with ``>`` and has thresholds that are multiples of 64: other values, and the soft reset, are ours.
    """

    du: Array
    dv: Array
    bias: Array
    states: ClassVar[tuple[str, ...]] = ("u", "v")

    @property
    def alpha(self) -> Array:
        """The fraction of u kept per step."""
        return (DECAY - 1 - self.du) / DECAY

    @property
    def beta(self) -> Array:
        """The fraction of v kept per step."""
        return (DECAY - self.dv) / DECAY

    @property
    def is_current_based(self) -> bool:
        """Whether u has a memory, in any neuron."""
        return bool((self.du != DECAY - 1).any())

    def step(self, a: Arithmetic, state: State, current: Array) -> tuple[State, Array]:
        """Filter the current, leak, integrate, compare, fire, reset."""
        u, v = state
        u = _wrapped(a.keep(u, DECAY - 1 - self.du) + current * UNIT)
        v = (a.keep(v, DECAY - self.dv) + u + self.bias).clip(1 - LIMIT, LIMIT - 1)
        v, spikes = self.fire(a, v)
        return (u, v), spikes

    def is_driven(self, current: Array) -> Array:
        """Mark the neurons that a current or a bias drives."""
        return (current != 0) | (self.bias != 0)


def _wrapped(u: Array) -> Array:
    """Wrap at most once, as Lava does: 2**23 stays, -2**23 does not."""
    turns = (u + (LIMIT - 1)) >> (2 * LIMIT).bit_length() - 1
    return u - turns.clip(-1, 1) * (2 * LIMIT)
