"""Train for integers: networks with the integers of a quantized program in the place of the trained weights.

For every batch ``quantize`` chooses the integers of the current weights. So the program of a finished run is the
network that was measured after the last epoch. Batch norm is folded in by its running statistics, which do not change.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tdd_deploy.neurons import LIF, LoihiLIF, Neuron
from tdd_deploy.neurons.loihi import UNIT
from tdd_deploy.program import Conv, Dense, Flatten, NeuronLayer, Program, Scale
from tdd_deploy.program.nodes import Array
from tdd_deploy.program.quantization.scales import Quantized

from .network import Connection, Map, Network, Neurons, Part


def largest_input(*samples: NDArray[np.float32]) -> float:
    """Return the smallest power of two that no input exceeds, so that pixels k / 256 need no rounding."""
    largest = max(max(float(x.max()), -float(x.min())) for x in samples)
    return 2.0 ** math.ceil(math.log2(largest)) if largest > 0 else 1.0


def in_integers(network: Network, quantized: Quantized) -> Network:
    """Build the quantized program in torch: the same spikes and outputs, in 64-bit integers, without gradients."""

    def connection(name: str, integers: _Integers) -> nn.Module:
        weight, bias = (torch.tensor(array, dtype=torch.float64) for array in (integers.weight, integers.bias))
        return _InIntegers(network.connections[name], weight, bias, integers.input_scale)

    def shortcut(weight: float, scale: float) -> nn.Module:
        return _Times(int(weight))

    return _with(network, quantized, connection, shortcut, lambda neuron, scale: neuron.converted(_whole)).eval()


def straight_through(network: Network, quantized: Quantized) -> Network:
    """Build the quantized program in floats: integers divided by their scale, with the gradients of trained weights.

    Potentials are not rounded, so rare spikes may differ from those of the integers.

    Source: straight-through estimator, Bengio et al., arXiv:1308.3432.
    """

    def connection(name: str, integers: _Integers) -> nn.Module:
        weight, bias = network.connections[name].folded()
        return _Rounded(
            network.connections[name],
            _through(weight, integers.weight * (integers.input_scale / integers.scale)),
            _through(bias, (integers.bias + integers.bias_of_neurons) / integers.scale),
            integers.input_scale,
        )

    def shortcut(weight: float, scale: float) -> nn.Module:
        return _Times(weight / scale)

    def neurons(neuron: LoihiLIF, scale: float) -> Neuron:
        return _in_floats(neuron, scale).converted(lambda value: value.to(device))

    device = next(network.parameters()).device
    return _with(network, quantized, connection, shortcut, neurons)


def _with(
    network: Network,
    quantized: Quantized,
    connection: "Callable[[str, _Integers], nn.Module]",
    shortcut: Callable[[float, float], nn.Module],
    neuron: Callable[[LoihiLIF, float], Neuron],
) -> Network:
    """Return the network with other connections and neurons, built from those of the quantized program."""
    program = quantized.program
    scales = {report.name: report.scale[0] for report in quantized.layers}
    parts = []
    for part in network.parts:
        made, sources = part.module, part.sources
        if isinstance(made, Connection):
            made = connection(part.name, _Integers.of(part.name, network, program, scales))
        elif isinstance(made, Neurons):
            layer = program[part.name]
            assert isinstance(layer, NeuronLayer)
            assert isinstance(layer.neuron, LoihiLIF)
            scale = scales[part.name]
            made = Neurons(neuron(layer.neuron, scale))
            for source in set(sources) & set(network.layers):  # spikes that are currents: a scale is between
                between = program[f"{source}_to_{part.name}"]
                assert isinstance(between, Scale)
                parts.append(Part(between.name, shortcut(float(between.factor.max()), scale), (source,)))
                sources = tuple(between.name if name == source else name for name in sources)
        parts.append(Part(part.name, made, sources))
    return Network(parts, network.outputs, network.input_shape)


@dataclass(frozen=True)
class _Integers:
    """The integers of a connection; ``scale`` is integers per float of the currents at its receiver."""

    weight: Array
    bias: Array  # of the map, [n_out]
    bias_of_neurons: Array  # in units of weight, [n_out] or one for all: neurons of a channel have the same
    scale: float
    input_scale: float  # integers per float of the map's inputs

    @classmethod
    def of(cls, name: str, network: Network, program: Program, scales: Mapping[str, float]) -> Self:
        node = program[name]
        assert isinstance(node, Dense | Conv)
        (edge,) = program.outgoing[name]  # the quantizer refuses several receivers
        receiver = program[edge.target]
        meeting = [into.source for into in program.incoming[edge.target] if into.source in network.connections]
        of_neurons: Array = np.asarray(0.0)
        if isinstance(receiver, NeuronLayer) and name == meeting[0]:  # once, where several meet
            assert isinstance(receiver.neuron, LoihiLIF)
            bias = receiver.neuron.bias / UNIT
            of_neurons = bias if bias.ndim == 0 else bias.reshape(len(bias), -1)[:, 0]
        return cls(
            weight=node.weight,
            bias=np.zeros(len(node.weight)) if node.bias is None else node.bias,
            bias_of_neurons=of_neurons,
            scale=scales[edge.target],
            input_scale=program.input.scale if program.incoming[name][0].source in _analog(program) else 1.0,
        )


def _analog(program: Program) -> tuple[str, ...]:
    """Return the names of the input and of the nodes that flatten it."""
    flat = (edge.target for edge in program.outgoing[program.input.name] if isinstance(program[edge.target], Flatten))
    return (program.input.name, *flat)


class _Other(Map):
    """A connection with other weights; the trained ones are not its parameters."""

    def __init__(self, connection: Connection, weight: Tensor, bias: Tensor, input_scale: float) -> None:
        super().__init__()
        self.current = connection.current
        self.weight = weight
        self.bias = bias
        self.input_scale = input_scale


class _Times(Map):
    """A factor for spikes that are added to currents."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


class _InIntegers(_Other):
    """A connection with integers; float64 holds their sums exactly."""

    def forward(self, x: Tensor) -> Tensor:
        values = (x.double() * self.input_scale).round()
        return self.current(values, self.weight, self.bias).long()


class _Rounded(_Other):
    """A connection with rounded weights, whose inputs are rounded too."""

    def forward(self, x: Tensor) -> Tensor:
        if self.input_scale != 1:  # spikes are integers
            x = ((x.double() * self.input_scale).round() / self.input_scale).to(x.dtype)
        return self.current(x, self.weight, self.bias)


def _through(trained: Tensor, rounded: Array) -> Tensor:
    """Return rounded values in float32 with the gradient of the trained ones."""
    value = trained.float()
    return torch.tensor(rounded, dtype=value.dtype, device=value.device) + (value - value.detach())


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
