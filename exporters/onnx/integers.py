"""Sums of integers in ONNX's integer operators: equal in every runtime, however it computes floats.

MatMulInteger and ConvInteger multiply 8 bits by 8 bits and add in 32. Wider numbers are split into digits, whose
sums are shifted and added. Digits are balanced, so no digit exceeds its number: where the sums of a program stay
below 2**24, so does every sum of digits, and a runtime may add even those in float32.
"""

from collections.abc import Iterator
from functools import reduce
from operator import add

import numpy as np
from numpy.typing import NDArray

from tdd_deploy.program import Conv, Dense, Shape
from tdd_deploy.program.blocks import row_ranges

from .graph import Tensor

INT8, UINT8, INT32 = np.dtype(np.int8), np.dtype(np.uint8), np.dtype(np.int32)

# Inputs have digits of 7 bits, -64 to 63, and weights of 8: without VNNI, x86 processors add two products in 16 bits,
# which saturate. onnxruntime is faster (measured: 3 to 16 times) if one operand is uint8 with a zero point: the weights
# of a convolution, and the inputs of a matrix.
INPUT_BITS, WEIGHT_BITS = 7, 8


def sums(node: Dense | Conv, x: Tensor, shape: Shape, *, largest: int) -> Tensor:
    """Apply a map of integers to ``x``, bias included.

    Args:
        node: the map.
        x: integers.
        shape: of x, without the batch.
        largest: no integer of x exceeds it in magnitude.
    """
    shift, digits_of_weight = _weight_digits(node.weight)
    parts = []
    with x.graph.shaped(shape):
        digits_of_x = list(_input_digits(x, largest))
    for i, digit in enumerate(digits_of_x):
        for j, weight in enumerate(digits_of_weight):
            name = f"weight_digit_{j}" if j else "weight"
            product = _matrix(digit, weight, name) if isinstance(node, Dense) else _convolved(node, digit, weight, name)
            bits = shift + INPUT_BITS * i + WEIGHT_BITS * j
            parts.append(product * 2**bits if bits else product)
    total: Tensor = reduce(add, parts)
    if node.bias is None:
        return total
    per_channel = (-1, 1, 1) if isinstance(node, Conv) else (-1,)
    return total + x.graph.constant(node.bias.reshape(per_channel), INT32, "bias")


def _matrix(digit: Tensor, weight: NDArray[np.int8], name: str) -> Tensor:
    """Multiply uint8, zero at 64, by a matrix of int8."""
    graph, zero = digit.graph, 2 ** (INPUT_BITS - 1)
    matrix = graph.constant(weight.T, INT8, name)
    return graph.node("MatMulInteger", (digit + zero).to(UINT8), matrix, graph.constant(zero, UINT8), dtype=INT32)


def _convolved(node: Conv, digit: Tensor, weight: NDArray[np.int8], name: str) -> Tensor:
    """Convolve int8 with uint8, zero at 128."""
    graph, zero = digit.graph, 2 ** (WEIGHT_BITS - 1)
    return graph.node(
        "ConvInteger",
        digit.to(INT8),
        graph.constant(weight.astype(np.int32) + zero, UINT8, name),
        graph.constant(0, INT8),  # OpenVINO requires it if the next input is there
        graph.constant(zero, UINT8),
        dtype=INT32,
        kernel_shape=weight.shape[2:],
        strides=node.stride,
        pads=[*node.padding, *node.padding],
        dilations=dilation_of(node),
        group=node.groups,
    )


def dilation_of(node: Conv) -> list[int]:
    """Return the dilation, 1 where the kernel is one pixel wide: it has no meaning there."""
    return [d if k > 1 else 1 for d, k in zip(node.dilation, node.weight.shape[2:], strict=True)]


def _weight_digits(weight: NDArray[np.int32]) -> tuple[int, list[NDArray[np.int8]]]:
    """Find the shift that all weights allow, and the digits of the shifted weights, the lowest first."""
    bits = int(np.bitwise_or.reduce(weight, axis=None))
    shift = (bits & -bits).bit_length() - 1 if bits else 0
    digits = [np.zeros(weight.shape, np.int8)]
    half = 2 ** (WEIGHT_BITS - 1)
    for rows in row_ranges(weight):
        rest, place = weight[rows] >> shift, 0
        while rest.any():
            digit = ((rest + half) & (2 * half - 1)) - half
            if place == len(digits):
                digits.append(np.zeros(weight.shape, np.int8))
            digits[place][rows] = digit
            rest, place = (rest - digit) >> WEIGHT_BITS, place + 1
    return shift, digits


def _input_digits(x: Tensor, largest: int) -> Iterator[Tensor]:
    """Yield the digits of ``x``, the lowest first."""
    base = 2**INPUT_BITS
    while largest >= base // 2:  # -64 is a digit, 64 is not
        digit = x.graph.node("BitwiseAnd", x + base // 2, base - 1) - base // 2
        yield digit
        x = x.graph.node("Div", x - digit, base)
        largest = (largest + base // 2) // base
    yield x
