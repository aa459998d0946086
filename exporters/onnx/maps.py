"""What each linear map computes, in operators of ONNX."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from tdd_deploy.program import Conv, Dense, Flatten, LinearMap, Place, Pool, Scale, Shape, Slice

from . import integers
from .graph import Graph, Tensor

FLOAT32 = np.dtype(np.float32)


def apply(graph: Graph, node: LinearMap, x: Tensor, shape: Shape, *, largest: int) -> Tensor:
    """Return what a linear map makes of ``x [batch, *shape]``, bias included.

    Args:
        graph: which is made.
        node: the map.
        x: what it takes.
        shape: of x.
        largest: no integer of x exceeds it in magnitude; of no matter in floats.
    """
    if isinstance(node, Scale):
        return x * node.factor
    if isinstance(node, Flatten | Slice | Place):
        return _arranged(graph, node, x, shape)
    if x.dtype.kind == "i":
        return integers.sums(_as_integers(node, shape), x, largest=largest)
    return _sums(graph, node, x, shape)


def _as_integers(node: LinearMap, shape: Shape) -> Dense | Conv:
    """Return a map of integers as one that has weights."""
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
    behind = node.size - node.start - math.prod(shape)
    return graph.node("Pad", flat, _integers(graph, [0, node.start, 0, behind], "padding"))


def _sums(graph: Graph, node: LinearMap, x: Tensor, shape: Shape) -> Tensor:
    match node:
        case Dense():
            return graph.node("Gemm", x, *_weights(graph, node, x), transB=1)
        case Conv():
            return _convolved(graph, node, x, shape)
        case Pool():
            summed = _convolved(graph, replace(node, average=False).as_conv(shape[0]), x, shape)
            return graph.node("Div", summed, math.prod(node.kernel)) if node.average else summed
    raise NotImplementedError(type(node).__name__)


def _weights(graph: Graph, node: Dense | Conv, x: Tensor) -> list[Tensor]:
    named = {"weight": node.weight, "bias": node.bias}
    return [graph.constant(array, x.dtype, name) for name, array in named.items() if array is not None]


def _convolved(graph: Graph, node: Conv, x: Tensor, shape: Shape) -> Tensor:
    if x.dtype != FLOAT32:
        return _gathered(graph, node, x, shape)
    return graph.node(
        "Conv",
        x,
        *_weights(graph, node, x),
        kernel_shape=node.weight.shape[2:],
        strides=node.stride,
        pads=[*node.padding, *node.padding],  # before height and width, and behind them
        dilations=node.dilation,
        group=node.groups,
    )


def _gathered(graph: Graph, node: Conv, x: Tensor, shape: Shape) -> Tensor:
    """Return a convolution as a product of matrices: onnxruntime has none of float64."""
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
    """Return which pixels of the padded image each tap of the kernel sees, ``[ky, kx, y, x]``."""
    (py, px), (dy, dx), (sy, sx) = node.padding, node.dilation, node.stride
    height, width = shape[1] + 2 * py, shape[2] + 2 * px
    pixels = np.arange(height * width).reshape(height, width)
    spans = tuple(d * (k - 1) + 1 for d, k in zip((dy, dx), node.weight.shape[2:], strict=True))
    return sliding_window_view(pixels, spans)[::sy, ::sx, ::dy, ::dx].transpose(2, 3, 0, 1)


def _integers(graph: Graph, values: Any, name: str) -> Tensor:
    return graph.constant(np.asarray(values), np.dtype(np.int64), name)
