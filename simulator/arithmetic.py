"""The arithmetics of numpy: floating point, and the integers of Loihi 2."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdd_deploy.neurons import Arithmetic, Compare
from tdd_deploy.neurons.loihi import DECAY
from tdd_deploy.program import Program

NumberArray = NDArray[Any]  # float32, float64, or int32


class FloatArithmetic:
    """IEEE floating point, float32 or float64 as the arrays are."""

    def keep(self, x: NumberArray, fraction: NumberArray) -> NumberArray:
        """Return ``x`` times ``fraction``."""
        kept: NumberArray = x * fraction
        return kept

    def fires(self, v: NumberArray, v_threshold: NumberArray, compare: Compare) -> NumberArray:
        """Return 1 where ``v`` passes the threshold, else 0."""
        passed: NumberArray = v > v_threshold if compare == ">" else v >= v_threshold
        return passed.astype(v.dtype)

    def count(self, v: NumberArray, v_threshold: NumberArray) -> NumberArray:
        """Count how many whole thresholds, above 0, fit into ``v``; 0 where ``v`` is below 0.

        Quotients are rounded, and processors divide differently, so products decide.
        """
        n: NumberArray = np.floor_divide(v, v_threshold) if v.dtype.kind == "i" else np.floor(v / v_threshold)
        n = n - (n * v_threshold > v) + ((n + 1) * v_threshold <= v)
        return n.astype(v.dtype).clip(0)


class IntegerArithmetic(FloatArithmetic):
    """32-bit integers; a fraction is a number of 4096ths."""

    def keep(self, x: NumberArray, fraction: NumberArray) -> NumberArray:
        """Return ``x`` times ``fraction`` / 4096, rounded toward zero."""
        product = np.multiply(x, fraction, dtype=np.int64)
        kept: NumberArray = (product + (product < 0) * (DECAY - 1)) >> (DECAY.bit_length() - 1)
        return kept.astype(x.dtype)


def arithmetic_of(program: Program) -> Arithmetic:
    """Return the arithmetic of a program's number format."""
    return IntegerArithmetic() if program.number_format == "integer" else FloatArithmetic()
