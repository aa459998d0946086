"""Apply linear maps, one or all of a program: dense, plain numpy."""

import math
from collections.abc import Callable, Mapping
from functools import reduce

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from .blocks import blocks
from .nodes import Array, Conv, Dense, Flatten, Input, LinearMap, Place, Pool, Scale, Slice
from .program import Program


def apply(node: LinearMap, x: Array) -> Array:
    """Apply a linear map to ``x [batch, *shape]``, bias included."""
    match node:
        case Dense():
            y: Array = _multiplied(node, x)
            return y if node.bias is None else y + node.bias
        case Conv():
            y = _correlate(node, x)
            return y if node.bias is None else y + node.bias[:, None, None]
        case Pool():
            y = _windows(x, node.kernel, node.stride, node.padding, (1, 1)).sum(axis=(-2, -1))
            return y / y.dtype.type(node.kernel[0] * node.kernel[1]) if node.average else y
        case Scale():
            y = x * node.factor
            return y if node.bias is None else y + node.bias
        case Flatten():
            return x.reshape(len(x), -1)
        case Slice() | Place():
            return _part(node, x)
    raise NotImplementedError(type(node).__name__)


def _multiplied(node: Dense, x: Array) -> Array:
    """Multiply by a matrix; numpy would copy all of one whose numbers have another type."""
    if node.weight.dtype == x.dtype:
        return np.asarray(x @ node.weight.T)
    return np.concatenate([x @ rows.T for rows in blocks(node.weight)], axis=1)


def _part(node: Slice | Place, x: Array) -> Array:
    if isinstance(node, Slice):
        return x[:, node.start : node.start + math.prod(node.shape)].reshape(len(x), *node.shape)
    y = np.zeros((len(x), node.size), x.dtype)
    y[:, node.start : node.start + x[0].size] = x.reshape(len(x), -1)
    return y


def propagated(
    program: Program, sent: Mapping[str, Array], through: Callable[[LinearMap, Array], Array]
) -> dict[str, Array]:
    """Propagate constant values from the input and the neurons through all linear maps.

    Args:
        program: any; delays do not matter, since the values are constant.
        sent: the values of the input and of every layer of neurons, ``[batch, *shape]``.
        through: computes the output of a linear map from the sum that it receives.

    Returns:
        The values that each linear map sends, and each layer of neurons and the output receive.
    """
    sending, received = dict(sent), {}
    for node in program.nodes:
        if isinstance(node, Input):
            continue
        total: Array = reduce(np.add, [sending[edge.source] for edge in program.incoming[node.name]])
        if isinstance(node, LinearMap):
            total = sending[node.name] = through(node, total)
        received[node.name] = total
    return received


def _correlate(node: Conv, x: Array) -> Array:
    seen = _windows(x, node.weight.shape[2:], node.stride, node.padding, node.dilation)
    grouped = seen.reshape(len(x), node.groups, -1, *seen.shape[2:])  # [batch, group, channel, y, x, ky, kx]
    weight = node.weight.reshape(node.groups, -1, *node.weight.shape[1:])  # [group, out, channel, ky, kx]
    y: Array = np.einsum("bgcyxij,gocij->bgoyx", grouped, weight, optimize=True)
    return y.reshape(len(x), -1, *y.shape[3:])


def _windows(
    x: Array, kernel: tuple[int, ...], stride: tuple[int, int], padding: tuple[int, int], dilation: tuple[int, int]
) -> Array:
    """Cut ``x [batch, channel, h, w]`` into windows, ``[batch, channel, y, x, ky, kx]``."""
    (py, px), (dy, dx), (sy, sx) = padding, dilation, stride
    padded = np.pad(x, ((0, 0), (0, 0), (py, py), (px, px)))
    spans = (dy * (kernel[0] - 1) + 1, dx * (kernel[1] - 1) + 1)
    return sliding_window_view(padded, spans, axis=(2, 3))[:, :, ::sy, ::sx, ::dy, ::dx]
