"""Linear maps as convolutions for the compiled loops: which taps connect which places, in the order of the weights."""

import numpy as np

from tdd_deploy.program import Conv, Dense, Pool, Scale, Shape
from tdd_deploy.simulator.arithmetic import NumberArray

from .kernels.tables import AT_ONCE
from .scatter import IntArray, flat_channel_last, targets

Tap = tuple[int, int, int]  # the first tap of a run, the place that it reaches, the length of the run


def as_conv(node: Dense | Conv | Pool | Scale, in_shape: Shape) -> Conv:
    """Express a map as a convolution: of one pixel, or with weights of 1, or with a group per value."""
    match node:
        case Scale():
            factor = flat_channel_last(node.factor, in_shape)
            bias = None if node.bias is None else flat_channel_last(node.bias, in_shape)
            return Conv(name=node.name, weight=factor[:, None, None, None], bias=bias, groups=factor.size)
        case Dense():
            return Conv(name=node.name, weight=node.weight[:, :, None, None], bias=node.bias)
        case Pool():
            return node.as_conv(in_shape[0])
    return node


def weights_of(conv: Conv) -> NumberArray:
    """Return weights ``[channel_in, tap row, tap column, channel_out]``, columns in the order of ``_column_order``."""
    n_out, per_group, ky, kx = conv.weight.shape
    grouped = conv.weight.reshape(conv.groups, -1, per_group, ky, kx)
    order = _column_order(conv)
    grouped = grouped if order == list(range(kx)) else grouped[..., order]  # a view where it can be one
    return grouped.transpose(0, 2, 3, 4, 1).reshape(conv.groups * per_group, ky, kx, n_out // conv.groups)


def _column_order(conv: Conv) -> list[int]:
    """Order tap columns so that those which one pixel uses side by side reach pixels side by side."""
    stride, dilation = conv.stride[1], conv.dilation[1]
    return sorted(range(conv.weight.shape[3]), key=lambda tap: (tap * dilation % stride, -tap))


def pairs_of(conv: Conv, in_shape: Shape) -> list[IntArray]:
    """Return for each tap how many places it connects, and where their channels begin; nothing if events are faster."""
    per_place, (n_out, height_out, width_out) = in_shape[0], conv.out_shape(in_shape)
    is_faster = conv.weight.dtype.kind == "f" and conv.groups == 1 and height_out * width_out >= AT_ONCE
    if not is_faster or per_place % int(AT_ONCE):
        return []
    pairs = []
    for row in range(conv.weight.shape[2]):
        for column in _column_order(conv):
            ty, tx = targets(conv, in_shape, 0, row), targets(conv, in_shape, 1, column)
            y, x = np.nonzero((ty >= 0)[:, None] & (tx >= 0)[None, :])
            begin = [(y * in_shape[2] + x) * per_place, (ty[y] * width_out + tx[x]) * n_out]
            pairs.append(np.array([len(y), *np.stack(begin, axis=1).ravel()]))
    return pairs


def rows_of(conv: Conv, in_shape: Shape) -> list[list[Tap]]:
    """Return for each row of the input the taps that reach a row of the output."""
    reached = [targets(conv, in_shape, 0, tap) for tap in range(conv.weight.shape[2])]
    return [[(tap, int(row[y]), 1) for tap, row in enumerate(reached) if row[y] >= 0] for y in range(in_shape[1])]


def columns_of(conv: Conv, in_shape: Shape) -> list[list[Tap]]:
    """Return for each column of the input the taps that reach a column; without groups, neighbors form one run."""
    reached = [targets(conv, in_shape, 1, tap) for tap in _column_order(conv)]
    columns = []
    for x in range(in_shape[2]):
        runs: list[Tap] = []
        for tap, column in enumerate(reached):
            if column[x] < 0:
                continue
            if runs and conv.groups == 1 and (tap, column[x]) == (runs[-1][0] + runs[-1][2], runs[-1][1] + runs[-1][2]):
                runs[-1] = (runs[-1][0], runs[-1][1], runs[-1][2] + 1)
            else:
                runs.append((tap, int(column[x]), 1))
        columns.append(runs)
    return columns
