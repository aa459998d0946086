"""What neurons compare with their thresholds, seen from outside."""

from .base import Arithmetic, Array, Compare


class Observing:
    """Another arithmetic, and the potentials that it compared last: those before a reset."""

    def __init__(self, arithmetic: Arithmetic) -> None:
        self._arithmetic = arithmetic
        self.keep = arithmetic.keep
        self.compared: Array = None

    def fires(self, v: Array, v_threshold: Array, compare: Compare) -> Array:
        """Return 1 where ``v`` passes the threshold, else 0."""
        self.compared = v
        return self._arithmetic.fires(v, v_threshold, compare)

    def count(self, v: Array, v_threshold: Array) -> Array:
        """Return how many whole thresholds are in ``v``."""
        self.compared = v
        return self._arithmetic.count(v, v_threshold)
