"""How often an operator of ONNX multiplies; multiplications with the zeros of padding do not count."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from .signals import Op

Shape = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """The shapes that an operator works on: its input, its weights, and what it computes."""

    x: Shape
    w: Shape
    y: Shape


def of_conv(op: Op, sizes: Sizes) -> int:
    """Count the multiplications of a convolution."""
    pixels = math.prod(
        _pairs(n_out, taps, n_in, steps)
        for n_out, taps, n_in, steps in zip(
            sizes.y[2:], sizes.w[2:], sizes.x[2:], _steps(op, sizes.x, sizes.w, sizes.y), strict=True
        )
    )
    return sizes.x[0] * sizes.w[0] * sizes.w[1] * pixels


def of_transposed_conv(op: Op, sizes: Sizes) -> int:
    """Count the multiplications of a transposed convolution, which are those of a convolution from y to x.

    Those for pixels that it crops do not count.
    """
    return of_conv(op, Sizes(x=sizes.y, w=sizes.w, y=sizes.x))


def _pairs(n: int, taps: int, within: int, steps: tuple[int, int, int]) -> int:
    """Count the pairs of a pixel and a tap that meet a pixel of the other side, along an axis."""
    stride, dilation, pad = steps

    def pixels(tap: int) -> int:
        first = max(0, -((tap * dilation - pad) // stride))
        last = min(n - 1, (within - 1 + pad - tap * dilation) // stride)
        return max(0, last - first + 1)

    return sum(map(pixels, range(taps)))


def _steps(op: Op, many: Shape, w: Shape, few: Shape) -> list[tuple[int, int, int]]:
    """Return stride, dilation and padding before the first pixel, by axis.

    Args:
        op: a convolution, or a transposed one.
        many: the shape of its padded side.
        w: the shape of its weights.
        few: the shape of its other side.
    """
    n_axes = len(w) - 2
    strides, dilations = (list(op.get(name, [1] * n_axes)) for name in ("strides", "dilations"))
    pads, auto = list(op.get("pads", [0] * n_axes * 2))[:n_axes], op.get("auto_pad", "NOTSET")
    if auto.startswith("SAME") or "output_shape" in op.attributes:
        extra = list(op.get("output_padding", [0] * n_axes))
        totals = [
            max(0, (few[i + 2] - 1) * strides[i] + (w[i + 2] - 1) * dilations[i] + 1 + extra[i] - many[i + 2])
            for i in range(n_axes)
        ]
        is_lower = auto != "SAME_UPPER" and (auto == "SAME_LOWER" or op.kind == "ConvTranspose")
        pads = [(total + is_lower) // 2 for total in totals]
    return list(zip(strides, dilations, pads, strict=True))


def of_product(op: Op, sizes: Sizes) -> int:
    """Count the multiplications of a product of matrices, also of many."""
    is_turned = op.kind == "Gemm" and op.get("transA", 0)
    return math.prod(sizes.y) * sizes.x[-2 if is_turned else -1]


def of_recurrent(op: Op, sizes: Sizes) -> int:
    """Count the multiplications of all gates with the input and with the state before, at each step.

    ``w`` is the shape of the weights of the input: directions, gates times state, input.
    """
    n_directions, n_gates, n_inputs = sizes.w
    return math.prod(sizes.x[:2]) * n_directions * n_gates * (n_inputs + int(op.get("hidden_size", 0)))


@dataclass(frozen=True)
class Counted:
    """An operator whose multiplications are counted: the places of its inputs.

    Attributes:
        macs: counts its multiplications.
        kind: what it is in a report.
        w: the place of its weights.
        bias: the place of its bias; None where it has none.
        zero: the place of the value that stands for 0 among its weights; None in floats.
        is_integer: whether it multiplies integers by itself.
        more: the places of further weights.
    """

    macs: Callable[[Op, Sizes], int]
    kind: str
    w: int = 1
    bias: int | None = None
    zero: int | None = None
    is_integer: bool = False
    more: Sequence[int] = ()


COUNTED: Mapping[str, Counted] = {
    "Conv": Counted(of_conv, "conv", bias=2),
    "ConvTranspose": Counted(of_transposed_conv, "transposed conv", bias=2),
    "Gemm": Counted(of_product, "dense", bias=2),
    "MatMul": Counted(of_product, "dense"),
    "QLinearConv": Counted(of_conv, "conv", w=3, bias=8, zero=5, is_integer=True),
    "QLinearMatMul": Counted(of_product, "dense", w=3, zero=5, is_integer=True),
    "ConvInteger": Counted(of_conv, "conv", zero=3, is_integer=True),
    "MatMulInteger": Counted(of_product, "dense", zero=3, is_integer=True),
    **{name: Counted(of_recurrent, name, bias=3, more=(2,)) for name in ("LSTM", "GRU", "RNN")},
}
# Operators that move or select numbers. ReLU is counted with the outputs: each is compared with zero.
FREE = frozenset(
    (
        *("Identity", "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Dropout", "Shape", "Size", "Gather"),
        *("GatherElements", "GatherND", "Slice", "Concat", "Split", "Constant", "ConstantOfShape", "Cast", "CastLike"),
        *("Expand", "Tile", "Pad", "DepthToSpace", "SpaceToDepth", "Relu"),
    )
)
# Operators with multiplications that nobody counts here: a sum without them would be too low.
UNCOUNTED = frozenset(("Einsum", "DeformConv", "Attention"))
CONTROL = frozenset(("If", "Loop", "Scan", "SequenceMap"))
