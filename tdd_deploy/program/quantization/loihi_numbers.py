"""The integers of Loihi 2: which weights, thresholds, biases and decays there are."""

from itertools import count

import numpy as np
from numpy.typing import NDArray

from tdd_deploy.neurons.loihi import DECAY
from tdd_deploy.program.blocks import blocks
from tdd_deploy.program.nodes import Array, Conv, Dense
from tdd_deploy.program.program import Program

Float64Array = NDArray[np.float64]
LARGEST_THRESHOLD = 2**17 - 1  # vth is u17, in units of weight
LARGEST_MANTISSA, LARGEST_EXPONENT = 4095, 7  # bias = mantissa (s13) << exponent (u3)
LARGEST_BIAS = LARGEST_MANTISSA << LARGEST_EXPONENT


def bits_of(program: Program) -> int:
    """Count the bits that the weights of an integer program take, sign included, in the step that all of them share."""
    weights = [node.weight for node in program.linear_maps if isinstance(node, Dense | Conv)]
    used = [np.bitwise_or.reduce(np.abs(part.astype(np.int64)), axis=None) for each in weights for part in blocks(each)]
    step = int(np.bitwise_or.reduce([0, *used]))
    step = step & -step or 1
    low, high = (of([0, *(int(of(each)) // step for each in weights)]) for of in (np.min, np.max))
    return next(bits for bits in count(1) if -(1 << bits - 1) <= low and high < max(1 << bits - 1, 1))


def decay_of(kept: Array) -> NDArray[np.int64]:
    """Convert a fraction kept per step to dv; nothing kept becomes 1/4096, the least that 12 bits hold."""
    return np.clip(np.rint(DECAY * (1 - kept.astype(np.float64))), 0, DECAY - 1).astype(np.int64)


def rounded(weight: Float64Array, bits: int) -> NDArray[np.int64]:
    """Round scaled weights to the multiples that ``bits`` hold, clipped to their range."""
    step = 2 ** (9 - bits)
    return np.asarray(step * np.clip(np.rint(weight / step), -(2 ** (bits - 1)), 2 ** (bits - 1) - 1), np.int64)


def largest_weight(bits: int) -> int:
    """Return the largest integer that a weight can be."""
    return (1 << 8) - (1 << (9 - bits))


def rounded_bias(bias: Float64Array) -> NDArray[np.int64]:
    """Round biases in LSB of v to ``mantissa << exponent``, the smallest exponent that holds each; clip larger ones."""
    held = np.clip(bias, -LARGEST_BIAS, LARGEST_BIAS)
    for exponent in reversed(range(LARGEST_EXPONENT + 1)):
        mantissa = np.rint(bias / 2**exponent)
        held = np.where(np.abs(mantissa) <= LARGEST_MANTISSA, mantissa * 2**exponent, held)
    return np.asarray(held, np.int64)
