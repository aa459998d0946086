"""Observe the potentials that neurons compare with their thresholds."""

from .base import Arithmetic, Array, Compare


class Observing:
    """An arithmetic that also stores the potentials it compared last: those before a reset."""

    def __init__(self, arithmetic: Arithmetic) -> None:
        self._arithmetic = arithmetic
        self.keep = arithmetic.keep
        self.compared: Array = None

    def fires(self, v: Array, v_threshold: Array, compare: Compare) -> Array:
        """Return 1 where ``v`` passes the threshold, else 0."""
        self.compared = v
        return self._arithmetic.fires(v, v_threshold, compare)

    def count(self, v: Array, v_threshold: Array) -> Array:
        """Count the whole thresholds in ``v``."""
        self.compared = v
        return self._arithmetic.count(v, v_threshold)
