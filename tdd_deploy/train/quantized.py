"""Training for integers: networks with the integers of a quantized program in the place of the trained weights.

The integers are those that ``quantize`` chooses for the weights as they stand, chosen anew for every batch, so the
program of a finished run is the network that its last epoch was measured with. Batch norm is folded in by its running
statistics, which stay as they are.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tdd_deploy.neurons import LIF, LoihiLIF
from tdd_deploy.neurons.loihi import UNIT
from tdd_deploy.program import Conv, Dense, NeuronLayer
from tdd_deploy.program.nodes import Array
from tdd_deploy.program.quantize import Quantized

from .network import Connection, Layer, Network


def largest_input(*samples: NDArray[np.float32]) -> float:
    """Return the smallest power of two that no input exceeds, so that pixels k / 256 can stay as they are."""
    largest = max(max(float(x.max()), -float(x.min())) for x in samples)
    return 2.0 ** math.ceil(math.log2(largest)) if largest > 0 else 1.0


def in_integers(network: Network, quantized: Quantized) -> Network:
    """Return the quantized program in torch: its spikes and outputs, in 64-bit integers, without gradients."""
    layers = []
    for part in _parts(network, quantized):
        weight, bias = (torch.tensor(array, dtype=torch.float64) for array in (part.weight, part.bias))
        neuron = None if part.neuron is None else part.neuron.converted(_whole)
        layers.append(
            Layer(_InIntegers(part.connection, weight, bias, part.input_scale), neuron, flatten=part.layer.flatten)
        )
    return Network(layers, network.input_shape)


def straight_through(network: Network, quantized: Quantized) -> Network:
    """Return the quantized program in floats: integers divided by their scale, with the gradients of trained weights.

    A potential is not rounded, so that a rare spike may differ from that of the integers.

    Source: straight-through estimator, Bengio et al., arXiv:1308.3432.
    """
    layers = []
    for part in _parts(network, quantized):
        weight, bias = part.connection.folded()
        rounded = _Rounded(
            part.connection,
            _through(weight, part.weight * (part.input_scale / part.scale)),
            _through(bias, (part.bias + part.bias_of_neurons) / part.scale),
            part.input_scale,
        )
        neuron = None if part.neuron is None else _in_floats(part.neuron, part.scale)
        layers.append(Layer(rounded, neuron, flatten=part.layer.flatten))
    return Network(layers, network.input_shape)


@dataclass(frozen=True)
class _Part:
    """A layer, and the integers of its map and neurons; ``scale`` is integers per float of their currents."""

    layer: Layer
    weight: Array
    bias: Array  # of the map, [n_out]
    neuron: LoihiLIF | None
    scale: float
    input_scale: float  # integers per float of what the map receives

    @property
    def connection(self) -> Connection:
        """The trained weights."""
        assert isinstance(self.layer.connection, Connection)
        return self.layer.connection

    @property
    def bias_of_neurons(self) -> Array:
        """In units of weight, ``[n_out]`` or one for all: the neurons of a channel share theirs."""
        if self.neuron is None or self.neuron.bias.ndim == 0:
            return np.asarray(0.0 if self.neuron is None else self.neuron.bias / UNIT)
        return np.asarray(self.neuron.bias.reshape(len(self.bias), -1)[:, 0] / UNIT)


def _parts(network: Network, quantized: Quantized) -> Iterator[_Part]:
    """Yield what a sequence of layers became."""
    program = quantized.program
    maps = [node for node in program.linear_maps if isinstance(node, Dense | Conv)]
    receivers = [*program.neuron_layers, program.output]
    scales = {report.name: report.scale[0] for report in quantized.layers}
    for layer, node, receiver in zip(network.layers, maps, receivers, strict=True):
        neuron = receiver.neuron if isinstance(receiver, NeuronLayer) else None
        assert neuron is None or isinstance(neuron, LoihiLIF)
        yield _Part(
            layer=layer,
            weight=node.weight,
            bias=np.zeros(len(node.weight)) if node.bias is None else node.bias,
            neuron=neuron,
            scale=scales[receiver.name],
            input_scale=program.input.scale if node is maps[0] else 1.0,
        )


@dataclass(frozen=True)
class _InIntegers:
    """A connection with integers; float64 holds their sums exactly."""

    connection: Connection
    weight: Tensor
    bias: Tensor
    input_scale: float

    def __call__(self, x: Tensor) -> Tensor:
        values = (x.double() * self.input_scale).round()
        return self.connection.current(values, self.weight, self.bias).long()


@dataclass(frozen=True)
class _Rounded:
    """A connection with rounded weights, whose inputs are rounded too."""

    connection: Connection
    weight: Tensor
    bias: Tensor
    input_scale: float

    def __call__(self, x: Tensor) -> Tensor:
        if self.input_scale != 1:  # spikes are integers
            x = ((x.double() * self.input_scale).round() / self.input_scale).to(x.dtype)
        return self.connection.current(x, self.weight, self.bias)


def _through(trained: Tensor, rounded: Array) -> Tensor:
    """Return rounded values in float32 with the gradient of the trained ones."""
    value = trained.float()
    return torch.tensor(rounded, dtype=value.dtype) + (value - value.detach())


def _in_floats(neuron: LoihiLIF, scale: float) -> LIF:
    """Return a neuron without its scale and its bias."""
    return LIF(
        v_threshold=_number(neuron.v_threshold / (UNIT * scale)),
        v_reset=_number(neuron.v_reset / (UNIT * scale)),
        reset=neuron.reset,
        beta=_number(neuron.beta),
    )


def _number(value: Array) -> Tensor:
    return torch.tensor(value, dtype=torch.float32)


def _whole(value: Array) -> Tensor:
    return torch.tensor(value, dtype=torch.int64)
