"""The arithmetic of floating point numbers in numpy."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdd_deploy.neurons import Compare

FloatArray = NDArray[np.floating[Any]]


class FloatArithmetic:
    """IEEE floating point, float32 or float64 as the arrays are."""

    def keep(self, x: FloatArray, fraction: FloatArray) -> FloatArray:
        """Return ``x`` times ``fraction``."""
        return x * fraction

    def fires(self, v: FloatArray, v_threshold: FloatArray, compare: Compare) -> FloatArray:
        """Return 1 where ``v`` passes the threshold, else 0."""
        passed = v > v_threshold if compare == ">" else v >= v_threshold
        return passed.astype(v.dtype)
