"""Linear maps as the event engine runs them: channel last, events in, weights of their fan-out added.

Arrays are ``[batch, n]`` or ``[batch, height, width, channels]``, so that the weights of one event lie side by side
and are added to accumulators that lie side by side.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tdd_deploy.program import Conv, Dense, Flatten, LinearMap, Place, Pool, Scale, Shape, Slice
from tdd_deploy.program.apply import apply
from tdd_deploy.program.blocks import blocks
from tdd_deploy.simulator.arithmetic import NumberArray

IntArray = NDArray[np.int64]
CHUNK = 1 << 18  # weights gathered at once, 1 MiB in float32: measured fastest of 2^14 to 2^20


@dataclass(frozen=True)
class Events:
    """The nonzero values of a batch, sample after sample, index rising."""

    sample: IntArray
    at: IntArray  # index into the flat, channel-last layer
    value: NumberArray

    @classmethod
    def of(cls, x: NumberArray) -> "Events":
        """Find the events of ``x [batch, ...]``."""
        flat = x.reshape(len(x), -1)
        sample, at = np.nonzero(flat)
        return cls(sample, at, flat[sample, at])

    def chunks(self, size: int) -> Iterator["Events"]:
        """Cut into parts of at most ``size`` events."""
        for start in range(0, len(self.sample), size):
            part = slice(start, start + size)
            yield Events(self.sample[part], self.at[part], self.value[part])


class Map(Protocol):
    """One linear map, ready to run."""

    def add(self, x: NumberArray, into: NumberArray) -> None:
        """Add the map of ``x``, without the bias, to ``into``; both channel last."""
        ...


class Synapses:
    """A map with weights: it takes events, and its fan-outs are counted."""

    fan_stored: IntArray  # weights that an event at each flat input index adds
    fan_effective: IntArray  # those that are not zero
    bias_adds: int  # nonzero biases, at all positions
    dense: int  # multiplications of a dense execution, padding excluded

    def add_events(self, events: Events, into: NumberArray) -> None:
        """Add the weights of every event, times its value, to ``into``."""
        raise NotImplementedError

    def add_bias(self, into: NumberArray) -> None:
        """Add the bias at every position."""
        raise NotImplementedError


class DenseSynapses(Synapses):
    """Every input to every output; weight ``[n_in, n_out]``."""

    def __init__(self, node: Dense) -> None:
        n_out, n_in = node.weight.shape
        self._node = node
        self._bias = node.bias
        self.fan_stored = np.full(n_in, n_out, np.int64)
        self.fan_effective = np.zeros(n_in, np.int64)
        for rows in blocks(node.weight):
            self.fan_effective += np.count_nonzero(rows, axis=0)
        self.dense = n_in * n_out
        self.bias_adds = 0 if node.bias is None else int(np.count_nonzero(node.bias))

    @cached_property
    def _weight(self) -> NumberArray:
        """Transpose the weights; the compiled loops have a copy of their own, and never ask for this one."""
        return np.ascontiguousarray(self._node.weight.T)

    def add_events(self, events: Events, into: NumberArray) -> None:
        """Add the weights of every event, times its value, to ``into [batch, n_out]``."""
        for part in events.chunks(max(1, CHUNK // self._weight.shape[1])):
            starts = _run_starts(part.sample)
            weights = self._weight[part.at] * part.value[:, None]
            into[part.sample[starts]] += np.add.reduceat(weights, starts, axis=0)

    def add_bias(self, into: NumberArray) -> None:
        """Add the bias."""
        if self._bias is not None:
            into += self._bias


class ConvSynapses(Synapses):
    """Convolution as scatter; weight ``[group][channel_in, ky kx, channel_out]``."""

    def __init__(self, node: Conv, in_shape: Shape) -> None:
        _, per_group, ky, kx = node.weight.shape
        self._node = node
        self._in_shape = in_shape
        self._out_shape = node.out_shape(in_shape)
        grouped = node.weight.reshape(node.groups, -1, per_group, ky * kx)
        self._weight = np.ascontiguousarray(grouped.transpose(0, 2, 3, 1))
        self._taps = [
            (targets(node, in_shape, 0, i), targets(node, in_shape, 1, j)) for i in range(ky) for j in range(kx)
        ]
        stored = np.tile(node.taps.ravel() * (node.weight.shape[0] // node.groups), (in_shape[0], 1))
        effective = np.count_nonzero(self._weight, axis=3).reshape(in_shape[0], -1)
        self.fan_stored = self._fan_out(stored)
        self.fan_effective = self._fan_out(effective)
        self.dense = int(self.fan_stored.sum())
        positions = self._out_shape[1] * self._out_shape[2]
        self.bias_adds = 0 if node.bias is None else positions * int(np.count_nonzero(node.bias))

    def _fan_out(self, per_tap: NDArray[Any]) -> IntArray:
        """Return how many weights an event at ``[y, x, channel]`` reaches, given how many each channel and tap do."""
        channels, height, width = self._in_shape
        fan = np.zeros((height, width, channels), np.int64)
        for tap, (ty, tx) in enumerate(self._taps):
            fan += ((ty >= 0)[:, None] & (tx >= 0)[None, :])[:, :, None] * per_tap[:, tap]
        return fan.reshape(-1)

    def add_events(self, events: Events, into: NumberArray) -> None:
        """Add the weights of every event, times its value, to ``into [batch, height, width, channels]``."""
        channels, _, width = self._in_shape
        _, per_group, n_taps, out_per_group = self._weight.shape
        for part in events.chunks(max(1, CHUNK // (n_taps * out_per_group))):
            place, channel = np.divmod(part.at, channels)
            group, within = np.divmod(channel, per_group)
            for g in range(self._node.groups):
                mine = slice(None) if self._node.groups == 1 else group == g
                sample, at, value = part.sample[mine], place[mine], part.value[mine]
                if not len(at):
                    continue
                # Events of one pixel are neighbors in the list: their weights are summed before they are spread.
                starts = _run_starts(sample * (self._in_shape[1] * width) + at)
                weights = self._weight[g, within[mine]].reshape(len(at), -1) * value[:, None]
                summed = np.add.reduceat(weights, starts, axis=0).reshape(len(starts), n_taps, out_per_group)
                out = into[..., g * out_per_group : (g + 1) * out_per_group]
                y, x = np.divmod(at[starts], width)
                for tap, (ty, tx) in enumerate(self._taps):
                    hit = (ty[y] >= 0) & (tx[x] >= 0)
                    out[sample[starts][hit], ty[y[hit]], tx[x[hit]]] += summed[hit, tap]

    def add_bias(self, into: NumberArray) -> None:
        """Add the bias at every position."""
        if self._node.bias is not None:
            into += self._node.bias


class ScaleSynapses(Synapses):
    """One weight per value; weights and biases flat, channel last."""

    def __init__(self, node: Scale, in_shape: Shape) -> None:
        self.factor = flat_channel_last(node.factor, in_shape)
        self.bias = None if node.bias is None else flat_channel_last(node.bias, in_shape)
        self.fan_stored = np.ones(self.factor.size, np.int64)
        self.fan_effective = (self.factor != 0).astype(np.int64)
        self.dense = self.factor.size
        self.bias_adds = 0 if self.bias is None else int(np.count_nonzero(self.bias))

    def add_events(self, events: Events, into: NumberArray) -> None:
        """Multiply every event by its factor, and add it to ``into [batch, ...]``."""
        index = np.unravel_index(events.at, into.shape[1:])
        into[events.sample, *index] += self.factor[events.at] * events.value

    def add_bias(self, into: NumberArray) -> None:
        """Add the bias at every position."""
        if self.bias is not None:
            into += self.bias.reshape(into.shape[1:])


class Pooled:
    """Sum or average over windows."""

    def __init__(self, node: Pool, in_shape: Shape) -> None:
        self._node = node
        self._out_shape = node.out_shape(in_shape)

    def add(self, x: NumberArray, into: NumberArray) -> None:
        """Add the pooled ``x`` to ``into``."""
        (py, px), (sy, sx), (ky, kx) = self._node.padding, self._node.stride, self._node.kernel
        _, height, width = self._out_shape
        padded = np.pad(x, ((0, 0), (py, py), (px, px), (0, 0)))
        total = np.zeros_like(into)
        for i in range(ky):
            for j in range(kx):
                total += padded[:, i : i + sy * height : sy, j : j + sx * width : sx][:, :height, :width]
        into += total / x.dtype.type(ky * kx) if self._node.average else total


class Flattened:
    """To one dimension, channels slowest, as later weights expect."""

    def add(self, x: NumberArray, into: NumberArray) -> None:
        """Add the flat ``x`` to ``into``."""
        into += channel_first(x).reshape(len(x), -1)


class Sliced:
    """A part of a vector, in a shape of its own."""

    def __init__(self, node: Slice) -> None:
        self._node = node

    def add(self, x: NumberArray, into: NumberArray) -> None:
        """Add the part of ``x`` to ``into``."""
        into += channel_last(apply(self._node, x))


class Placed:
    """A part of a longer vector, channels slowest."""

    def __init__(self, node: Place) -> None:
        self._start = node.start

    def add(self, x: NumberArray, into: NumberArray) -> None:
        """Add the flat ``x`` to its part of ``into``."""
        into[:, self._start : self._start + x[0].size] += channel_first(x).reshape(len(x), -1)


def ready(node: LinearMap, in_shape: Shape) -> Map | Synapses:
    """Lay out one linear map for the engine."""
    match node:
        case Dense():
            return DenseSynapses(node)
        case Conv():
            return ConvSynapses(node, in_shape)
        case Pool():
            return Pooled(node, in_shape)
        case Scale():
            return ScaleSynapses(node, in_shape)
        case Flatten():
            return Flattened()
        case Slice() | Place():
            return Sliced(node) if isinstance(node, Slice) else Placed(node)
    raise NotImplementedError(type(node).__name__)


def channel_last(x: NumberArray) -> NumberArray:
    """``[batch, channels, h, w]`` to ``[batch, h, w, channels]``; anything else as it is."""
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1)) if x.ndim == 4 else x


def flat_channel_last(parameter: NumberArray, shape: Shape) -> NumberArray:
    """Expand to one number per value of a layer of this shape, flat, channel last."""
    return channel_last(np.broadcast_to(parameter, shape)[None]).reshape(-1)


def channel_first(x: NumberArray) -> NumberArray:
    """``[batch, h, w, channels]`` to ``[batch, channels, h, w]``; anything else as it is."""
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2)) if x.ndim == 4 else x


def targets(node: Conv, in_shape: Shape, axis: int, tap: int) -> IntArray:
    """Return the output row (axis 0) or column (1) that each input row reaches through one tap; -1 where none."""
    size, stride = in_shape[1 + axis], node.stride[axis]
    offset = np.arange(size) + node.padding[axis] - tap * node.dilation[axis]
    target = offset // stride
    reached = (offset >= 0) & (offset % stride == 0) & (target < node.out_shape(in_shape)[1 + axis])
    return np.where(reached, target, -1)


def _run_starts(keys: IntArray) -> IntArray:
    """Return where each run of equal keys begins."""
    return np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
