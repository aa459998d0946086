"""The nodes of a Program: its input and output, linear maps, and layers of neurons.

A node with several incoming edges takes their sum (a junction of currents), as in NIR.
Shapes are without batch and time: ``(n,)`` or ``(channels, height, width)``.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdd_deploy.neurons import Neuron
from tdd_deploy.options.vocabulary import Reading

Shape = tuple[int, ...]
Pair = tuple[int, int]
Array = NDArray[Any]  # floats, or in integer programs int32
INPUTS, OUTPUTS = "inputs", "outputs"  # names of the node that several inputs, or outputs, are parts of


class ShapeError(ValueError):
    """The input of a node has a shape that the node cannot take; the text is the shape that it takes."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Node:
    """Anything with a name that edges lead to or from."""

    name: str


@dataclass(frozen=True, eq=False, kw_only=True)
class Input(Node):
    """Where the encoded samples enter.

    An integer program takes ``round(scale * value)``, at most ``largest`` in magnitude; others take values as they are.
    """

    shape: Shape
    scale: float = 1.0
    largest: int = 1


@dataclass(frozen=True, eq=False, kw_only=True)
class Output(Node):
    """Where the result leaves. The class of a sample is the largest sum over time, the first one of equals.

    In an integer program the result in numbers is ``unit`` times the integers.

    ``reading`` states what the output takes from its source: the values that it sends ("spikes"), or the potential
    that a layer of neurons compares with its threshold, before the reset ("potential").
    """

    unit: float = 1.0
    reading: Reading = "spikes"


@dataclass(frozen=True, eq=False, kw_only=True)
class NeuronLayer(Node):
    """A layer of neurons of one model."""

    shape: Shape
    neuron: Neuron


@dataclass(frozen=True, eq=False, kw_only=True)
class LinearMap(Node):
    """A map without memory for which map(a + b) = map(a) + map(b), apart from the bias."""

    def out_shape(self, shape: Shape) -> Shape:
        """Compute the output's shape; raise ShapeError when the input cannot have this shape."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False, kw_only=True)
class Dense(LinearMap):
    """Every input to every output."""

    weight: Array  # [n_out, n_in]
    bias: Array | None = None  # [n_out]

    def out_shape(self, shape: Shape) -> Shape:
        """``(n_in,)`` to ``(n_out,)``."""
        n_out, n_in = self.weight.shape
        if shape != (n_in,):
            raise ShapeError(f"({n_in},), as its weight is [{n_out}, {n_in}]")
        return (n_out,)


@dataclass(frozen=True, eq=False, kw_only=True)
class Conv(LinearMap):
    """Two-dimensional cross-correlation, as deep-learning frameworks define convolution.

    ``evened`` counts the rows and columns at the edges of the kernel (top, left, bottom, right) that are zeros for
    uneven padding. They are no weights, and are not counted.
    """

    weight: Array  # [channels_out, channels_in / groups, kernel_height, kernel_width]
    bias: Array | None = None  # [channels_out]
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1
    evened: tuple[int, int, int, int] = field(default=(0, 0, 0, 0), metadata={"computes": False})

    @property
    def taps(self) -> NDArray[np.bool_]:
        """Where the kernel has weights, ``[kernel_height, kernel_width]``."""
        top, left, bottom, right = self.evened
        height, width = self.weight.shape[2:]
        taps = np.zeros((height, width), np.bool_)
        taps[top : height - bottom, left : width - right] = True
        return taps

    def out_shape(self, shape: Shape) -> Shape:
        """``(channels_in, h, w)`` to ``(channels_out, h', w')``."""
        channels_out, per_group, *kernel = self.weight.shape
        channels_in = per_group * self.groups
        if len(shape) != 3 or shape[0] != channels_in:
            raise ShapeError(f"({channels_in}, height, width), as its weight is {list(self.weight.shape)}")
        return (channels_out, *windows(shape[1:], kernel, self.stride, self.padding, self.dilation))


@dataclass(frozen=True, eq=False, kw_only=True)
class Pool(LinearMap):
    """Sum or average over windows; an average counts the padding's zeros."""

    kernel: Pair
    stride: Pair
    padding: Pair = (0, 0)
    average: bool = False

    def out_shape(self, shape: Shape) -> Shape:
        """``(channels, h, w)`` to ``(channels, h', w')``."""
        if len(shape) != 3:
            raise ShapeError("(channels, height, width)")
        return (shape[0], *windows(shape[1:], self.kernel, self.stride, self.padding))

    def as_conv(self, channels: int) -> Conv:
        """Make the convolution that computes the same: of ones, or of equal parts of one, a group per channel."""
        weight = np.full((channels, 1, *self.kernel), 1 / math.prod(self.kernel) if self.average else 1.0)
        return Conv(name=self.name, weight=weight, stride=self.stride, padding=self.padding, groups=channels)


@dataclass(frozen=True, eq=False, kw_only=True)
class Scale(LinearMap):
    """Element-wise product with constants, plus an optional element-wise bias: one synapse per value."""

    factor: Array  # () or the shape of the input
    bias: Array | None = None  # () or the shape of the input

    def out_shape(self, shape: Shape) -> Shape:
        """Any shape, unchanged."""
        for name, array in (("factor", self.factor), ("bias", self.bias)):
            if array is not None and array.shape not in ((), shape):
                raise ShapeError(f"{array.shape}, the shape of its {name}")
        return shape


@dataclass(frozen=True, eq=False, kw_only=True)
class Flatten(LinearMap):
    """``(channels, h, w)`` to ``(channels h w,)``, the last index running fastest."""

    def out_shape(self, shape: Shape) -> Shape:
        """Any shape to one dimension."""
        return (math.prod(shape),)


@dataclass(frozen=True, eq=False, kw_only=True)
class Slice(LinearMap):
    """A part of a vector, in a shape of its own: one of several inputs that enter as one."""

    start: int
    shape: Shape

    def out_shape(self, shape: Shape) -> Shape:
        """``(n,)`` to its own shape."""
        stop = self.start + math.prod(self.shape)
        if len(shape) != 1 or not 0 <= self.start <= stop <= shape[0]:
            raise ShapeError(f"a vector of {stop} numbers or more")
        return self.shape


@dataclass(frozen=True, eq=False, kw_only=True)
class Place(LinearMap):
    """Any shape, flattened, as a part of a vector of zeros: one of several outputs that leave as one."""

    start: int
    size: int

    def out_shape(self, shape: Shape) -> Shape:
        """Any shape to ``(size,)``."""
        if not 0 <= self.start <= self.size - math.prod(shape):
            raise ShapeError(f"{self.size - self.start} numbers or fewer")
        return (self.size,)


def windows(
    size: tuple[int, ...], kernel: "tuple[int, ...] | list[int]", stride: Pair, padding: Pair, dilation: Pair = (1, 1)
) -> Pair:
    """Count the windows that fit in each direction; raise ShapeError when none does."""
    spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    moves = [n + 2 * p - span for n, p, span in zip(size, padding, spans, strict=True)]
    if min(moves) < 0:
        raise ShapeError(f"at least {spans[0]} x {spans[1]} pixels, padding {padding} included")
    return moves[0] // stride[0] + 1, moves[1] // stride[1] + 1
