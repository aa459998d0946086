"""Follow linear maps backward: find the inputs from which some of their outputs are reached."""

import math

import numpy as np
from numpy.typing import NDArray

from tdd_deploy.program import Conv, Dense, Flatten, LinearMap, Place, Pool, Shape, Slice
from tdd_deploy.simulator.engine.scatter import targets

Mask = NDArray[np.bool_]


def reaching(node: LinearMap, shape: Shape, masks: Mask) -> Mask:
    """Return which inputs of a map reach some of its outputs, one mask each; one channel stands for all if all do."""
    n = len(masks)
    match node:
        case Dense():
            some: Mask = np.logical_or.reduce(masks, axis=1, keepdims=True)
            return some
        case Conv():
            if masks.shape[1] > 1:
                masks = np.logical_or.reduce(masks.reshape(n, node.groups, -1, *masks.shape[2:]), axis=2)
            rows, columns = (connected(node, shape, axis) for axis in (0, 1))
            reached = rows @ masks.astype(np.float32) @ columns.T > 0
            return reached if reached.shape[1] == 1 else np.repeat(reached, node.weight.shape[1], axis=1)
        case Pool():
            return reaching(node.as_conv(shape[0]), shape, masks)
        case Slice() | Place():
            return _part_reaching(node, shape, masks)
        case Flatten() if masks.shape[1] == 1:
            return np.broadcast_to(masks.reshape(n, *[1] * len(shape)), (n, 1, *shape[1:]))
    return masks.reshape(n, -1, *shape[1:])


def _part_reaching(node: Slice | Place, shape: Shape, masks: Mask) -> Mask:
    n = len(masks)
    if isinstance(node, Place):
        return masks[:, node.start : node.start + math.prod(shape)].reshape(n, *shape)
    whole: Mask = np.zeros((n, *shape), np.bool_)
    part = np.broadcast_to(masks, (n, *node.shape)).reshape(n, -1)
    whole[:, node.start : node.start + part.shape[1]] = part
    return whole


def connected(conv: Conv, shape: Shape, axis: int, taps: Mask | None = None) -> NDArray[np.float32]:
    """Return ``[n_in, n_out]``: 1 where a row (axis 0) or column (1) of the input reaches one of the output.

    Args:
        conv: the convolution.
        shape: of its input.
        axis: rows or columns.
        taps: the rows or columns of the kernel that count; by default all.
    """
    found = np.zeros((shape[1 + axis], conv.out_shape(shape)[1 + axis]), np.float32)
    for tap in range(conv.weight.shape[2 + axis]) if taps is None else np.flatnonzero(taps).tolist():
        target = targets(conv, shape, axis, tap)
        found[target >= 0, target[target >= 0]] = 1
    return found
