"""The computation of each linear map in operators of ONNX.

Sums of float32 are transposed convolutions. By default OpenVINO computes everything that leads to a convolution or a
matrix product in bfloat16, if the CPU has it. It computes transposed convolutions, and everything else, in float32.
Measured in onnxruntime on one core, they take 1.0 to 2 times as long, strided ones up to 4.5.
"""

import math
from dataclasses import replace
from functools import reduce
from itertools import product
from operator import add
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from tdd_deploy.program import Conv, Dense, Flatten, LinearMap, Place, Pool, Scale, Shape, Slice

from . import integers
from .graph import Graph, Tensor

FLOAT32 = np.dtype(np.float32)
FEW_CHANNELS = 8  # with fewer, columns are faster than a transposed convolution (measured)


def apply(graph: Graph, node: LinearMap, x: Tensor, shape: Shape, *, largest: int) -> Tensor:
    """Apply a linear map to ``x [batch, *shape]``, bias included.

    Args:
        graph: receives the nodes.
        node: the map.
        x: the input of the map.
        shape: of x.
        largest: no integer of x exceeds it in magnitude; not used for floats.
    """
    if isinstance(node, Scale):
        y = x * node.factor
        return y if node.bias is None else y + graph.constant(node.bias, x.dtype, "bias")
    if isinstance(node, Flatten | Slice | Place):
        return _arranged(graph, node, x, shape)
    if x.dtype.kind == "i":
        return integers.sums(_as_integers(node, shape), x, shape, largest=largest)
    return _sums(graph, node, x, shape)


def _as_integers(node: LinearMap, shape: Shape) -> Dense | Conv:
    """Express a map of integers as one with weights."""
    if isinstance(node, Pool):
        ones = node.as_conv(shape[0])
        return replace(ones, weight=ones.weight.astype(np.int32))
    assert isinstance(node, Dense | Conv)
    return node


def _arranged(graph: Graph, node: Flatten | Slice | Place, x: Tensor, shape: Shape) -> Tensor:
    if isinstance(node, Slice):
        bounds = {"starts": node.start, "ends": node.start + math.prod(node.shape), "axes": 1}
        part = graph.node("Slice", x, *(_integers(graph, [bound], name) for name, bound in bounds.items()))
        return graph.node("Reshape", part, _integers(graph, [0, *node.shape], "shape"))
    flat = graph.node("Flatten", x, axis=1)
    if isinstance(node, Flatten):
        return flat
    after = node.size - node.start - math.prod(shape)
    return graph.node("Pad", flat, _integers(graph, [0, node.start, 0, after], "padding"))


def _sums(graph: Graph, node: LinearMap, x: Tensor, shape: Shape) -> Tensor:
    match node:
        case Dense():
            return _multiplied(graph, node, x)
        case Conv():
            return _convolved(graph, node, x, shape)
        case Pool():
            summed = reduce(add, _taps(graph, node, x, shape))
            return graph.node("Div", summed, math.prod(node.kernel)) if node.average else summed
    raise NotImplementedError(type(node).__name__)


def _multiplied(graph: Graph, node: Dense, x: Tensor) -> Tensor:
    """Multiply by a matrix; in float32 as a transposed convolution over the batch."""
    if x.dtype != FLOAT32 or graph.fast:
        return graph.node("Gemm", x, graph.constant(node.weight, x.dtype), *_bias(graph, node, x), transB=1)
    matrix = graph.constant(node.weight.T[:, :, None], x.dtype, "weight")
    rows = graph.node("Unsqueeze", graph.node("Transpose", x), _integers(graph, [0], "axis"))
    sums = graph.node("ConvTranspose", rows, matrix, *_bias(graph, node, x))
    return graph.node("Transpose", graph.node("Squeeze", sums, _integers(graph, [0], "axis")))


def _convolved(graph: Graph, node: Conv, x: Tensor, shape: Shape) -> Tensor:
    """Convolve: in float64 as a matrix product, since onnxruntime has no other way; else transposed."""
    if x.dtype != FLOAT32:
        return _gathered(graph, node, x, shape)
    ends = [d * (k - 1) - p for d, k, p in zip(node.dilation, node.weight.shape[2:], node.padding, strict=True)]
    choices: dict[str, Any] = {
        "kernel_shape": node.weight.shape[2:],
        "dilations": integers.dilation_of(node),
        "group": node.groups,
    }
    if graph.fast:
        weight = graph.constant(node.weight, x.dtype, "weight")
        pads = [*node.padding, *node.padding]  # before and after height and width
        return graph.node("Conv", x, weight, *_bias(graph, node, x), strides=node.stride, pads=pads, **choices)
    if node.stride != (1, 1) or min(ends) < 0 or shape[0] // node.groups < FEW_CHANNELS:
        return _columns(graph, node, x, shape)
    weight = graph.constant(_transposed(node.weight, node.groups)[:, :, ::-1, ::-1], x.dtype, "weight")
    return graph.node("ConvTranspose", x, weight, *_bias(graph, node, x), pads=[*ends, *ends], **choices)


def _columns(graph: Graph, node: Conv, x: Tensor, shape: Shape) -> Tensor:
    """Convolve single pixels whose channels are all values that the kernel covers."""
    per_group = node.weight.shape[1]
    grouped = _integers(graph, [0, node.groups, per_group, *node.out_shape(shape)[1:]], "groups")
    taps = _taps(graph, node, x, shape)
    seen = graph.node("Concat", *(graph.node("Reshape", tap, grouped) for tap in taps), axis=2)
    channels = node.groups * len(taps) * per_group
    pixels = graph.node("Reshape", seen, _integers(graph, [0, channels, *node.out_shape(shape)[1:]], "pixels"))
    by_tap = node.weight.transpose(0, 2, 3, 1).reshape(len(node.weight), -1, 1, 1)
    weight = graph.constant(_transposed(by_tap, node.groups), x.dtype, "weight")
    return graph.node("ConvTranspose", pixels, weight, *_bias(graph, node, x), group=node.groups)


def _taps(graph: Graph, node: Conv | Pool, x: Tensor, shape: Shape) -> list[Tensor]:
    """Slice the input at each tap of a kernel, ``[batch, channel, y, x]``."""
    (py, px), out = node.padding, node.out_shape(shape)[1:]
    kernel, dilation = (node.kernel, (1, 1)) if isinstance(node, Pool) else (node.weight.shape[2:], node.dilation)
    if py or px:
        x = graph.node("Pad", x, _integers(graph, [0, 0, py, px, 0, 0, py, px], "padding"))
    axes, strides = (_integers(graph, pair, name) for pair, name in (([2, 3], "axes"), (node.stride, "strides")))
    spans = [s * (n - 1) + 1 for s, n in zip(node.stride, out, strict=True)]
    taps = []
    for place in product(*map(range, kernel)):
        starts = [at * d for at, d in zip(place, dilation, strict=True)]
        ends = [start + span for start, span in zip(starts, spans, strict=True)]
        taps.append(
            graph.node("Slice", x, _integers(graph, starts, "starts"), _integers(graph, ends, "ends"), axes, strides)
        )
    return taps


def _transposed(weight: NDArray[Any], groups: int) -> NDArray[Any]:
    """Rearrange ``[n_out, n_in / groups, ...]`` to ``[n_in, n_out / groups, ...]``."""
    n_out, per_group, *kernel = weight.shape
    by_group = weight.reshape(groups, n_out // groups, per_group, *kernel).swapaxes(1, 2)
    return by_group.reshape(groups * per_group, n_out // groups, *kernel)


def _bias(graph: Graph, node: Dense | Conv, x: Tensor) -> list[Tensor]:
    return [] if node.bias is None else [graph.constant(node.bias, x.dtype)]


def _gathered(graph: Graph, node: Conv, x: Tensor, shape: Shape) -> Tensor:
    """Convolve by a product of matrices: onnxruntime has no convolution in float64."""
    (py, px), groups = node.padding, node.groups
    n_out, per_group, *kernel = node.weight.shape
    padded = graph.node("Pad", x, _integers(graph, [0, 0, py, px, 0, 0, py, px], "padding"))
    pixels = graph.node("Reshape", padded, _integers(graph, [0, shape[0], -1], "pixels"))
    windows = _integers(graph, _windows(node, shape).reshape(-1), "windows")
    seen = graph.node("Gather", pixels, windows, axis=2)  # [batch, channel, ky kx y x]
    columns = _integers(graph, [0, groups, per_group * math.prod(kernel), -1], "columns")
    weight = node.weight.reshape(groups, n_out // groups, -1)
    sums = graph.node("MatMul", graph.constant(weight, x.dtype, "weight"), graph.node("Reshape", seen, columns))
    image = graph.node("Reshape", sums, _integers(graph, [0, *node.out_shape(shape)], "image"))
    return image if node.bias is None else image + graph.constant(node.bias[:, None, None], x.dtype, "bias")


def _windows(node: Conv, shape: Shape) -> NDArray[np.int64]:
    """Index the pixels of the padded image that each tap of the kernel sees, ``[ky, kx, y, x]``."""
    (py, px), (dy, dx), (sy, sx) = node.padding, node.dilation, node.stride
    height, width = shape[1] + 2 * py, shape[2] + 2 * px
    pixels = np.arange(height * width).reshape(height, width)
    spans = tuple(d * (k - 1) + 1 for d, k in zip((dy, dx), node.weight.shape[2:], strict=True))
    return sliding_window_view(pixels, spans)[::sy, ::sx, ::dy, ::dx].transpose(2, 3, 0, 1)


def _integers(graph: Graph, values: Any, name: str) -> Tensor:
    return graph.constant(np.asarray(values), np.dtype(np.int64), name)
