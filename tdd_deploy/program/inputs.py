"""Convert encoded samples to the numbers that the input of a program sends."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tdd_deploy.errors import BadData, Violation

from .nodes import Array
from .program import Program

InputKind = Literal["spikes", "numbers", "unknown"]


def as_input(program: Program, values: NDArray[Any]) -> Array:
    """Convert encoded values to the number format of the program; integers are rounded, halves to even.

    Raises:
        BadData: a value is NaN, or beyond the largest integer that the program takes.
    """
    if program.number_format != "integer":
        return values.astype(program.dtype, copy=False)
    scale, largest = program.input.scale, program.input.largest
    _, integers = nearest_integers(program, values)
    beyond = ~(np.abs(integers) <= largest)  # NaN too
    if beyond.any():
        found = f"{values[beyond][0]:g}"
        allowed = f"in the range of the program's integers, -{largest / scale:g} to {largest / scale:g}"
        remedy = _remedy(program) if np.isfinite(values[beyond][0]) else "Replace NaN and infinite values."
        raise BadData("the samples", [Violation("a value", found, allowed, remedy)])
    return integers.astype(program.dtype)


def _remedy(program: Program) -> str:
    """Suggest how samples can fit the range of an integer program; one that we quantized can get a wider range."""
    if program.input.scale != 1:
        how = "Scale values down with `input_scale`"
    elif program.input.largest == 1:
        how = "Save x != 0 for spikes, or cut events with `bin_value=binary`"
    else:
        how = "Save smaller whole numbers"
    if "quantized_from" in program.provenance and program.encoder == "direct":
        return f"{how}, or export the network again with `bits` and `data`, which find the range."
    return f"{how}."


def nearest_integers(program: Program, values: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Convert values to units of an integer program's input, exact and rounded."""
    scaled = np.multiply(values, program.input.scale, dtype=np.float64)
    return scaled, np.rint(scaled)


def input_kind(program: Program) -> InputKind:
    """Decide whether the input of a program sends spikes or numbers, as far as the program states it.

    Values that enter a program of floats unchanged can be spikes or numbers: the data decide.
    """
    if program.encoder != "direct":
        return "spikes"
    if program.number_format != "integer":
        return "unknown"
    return "spikes" if program.input.scale == program.input.largest == 1 else "numbers"
