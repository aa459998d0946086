"""From encoded samples to what the input of a program sends."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdd_deploy.errors import BadData, Violation

from .nodes import Array
from .program import Program


def as_input(program: Program, values: NDArray[Any]) -> Array:
    """Return encoded values in the number format of the program; integers are rounded, halves to even.

    Raises:
        BadData: a value is NaN, or beyond the largest integer that the program takes.
    """
    if program.number_format != "integer":
        return values.astype(program.dtype, copy=False)
    scale, largest = program.input.scale, program.input.largest
    integers: NDArray[np.float64] = np.rint(np.multiply(values, scale, dtype=np.float64))
    beyond = ~(np.abs(integers) <= largest)  # NaN too
    if beyond.any():
        found = f"{values[beyond][0]:g}"
        allowed = f"-{largest / scale:g} to {largest / scale:g}, what the program's integers hold"
        remedy = _remedy(program) if np.isfinite(values[beyond][0]) else "Replace values that are no numbers."
        raise BadData("the samples", [Violation("a value", found, allowed, remedy)])
    return integers.astype(program.dtype)


def _remedy(program: Program) -> str:
    """Say how samples come within the range of an integer program: who quantized it may have a wider one."""
    if "quantized_from" in program.provenance and program.encoder == "direct":
        return "Scale them, or export the network in floats again with --data, whose largest value sets the range."
    return "Scale them to this range."
