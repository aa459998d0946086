"""Spiking networks in torch: connections with foldable batch norm, and neurons unrolled over time.

In training mode a connection is weights, then batch norm. In evaluation mode it is what will be exported: batch norm
folded into the weights, all of them on the binary grid of ``program/exact.py``. So the network that is evaluated is
the network that is deployed.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  (torch's own convention)

from tdd_deploy.errors import BadOption
from tdd_deploy.neurons import Neuron, Observing
from tdd_deploy.program import Shape
from tdd_deploy.program.exact import grid_for, on_grid

from .arithmetic import arithmetic_of

PIXEL_BITS = 8  # inputs are taken as multiples of 1/256 in [-1, 1]; other inputs cost exactness of the first layer only


@dataclass(frozen=True)
class Unrolled:
    """One batch over all time steps."""

    outputs: Tensor  # [n_steps, batch, n_classes]
    taps: tuple[Tensor, ...]  # the spikes of each layer of neurons, [n_steps, batch, ...]


class Connection(nn.Module):
    """Weights, with or without batch norm."""

    def __init__(
        self, weights: nn.Conv2d | nn.Linear, norm: nn.BatchNorm2d | nn.BatchNorm1d | None, input_bits: int
    ) -> None:
        super().__init__()
        self.weights = weights
        self.norm = norm
        self.input_bits = input_bits

    def forward(self, x: Tensor) -> Tensor:
        """``[n, ...]`` to currents ``[n, ...]``; time steps and samples together."""
        if self.training:
            current: Tensor = self.weights(x)
            return current if self.norm is None else self.norm(current)
        return self.current(x, *self.deployed())

    def current(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Return the currents of other weights and biases in the place of these."""
        if isinstance(self.weights, nn.Linear):
            return F.linear(x, weight, bias)
        return F.conv2d(x, weight, bias, self.weights.stride, self.weights.padding)

    def folded(self) -> tuple[Tensor, Tensor]:
        """Return weight and bias in float64, the batch norm's running statistics folded in."""
        weight = self.weights.weight.double()
        bias = (
            torch.zeros(len(weight), dtype=torch.float64) if self.weights.bias is None else self.weights.bias.double()
        )
        bias = bias.to(weight.device)
        if self.norm is not None:
            assert self.norm.running_var is not None
            assert self.norm.running_mean is not None
            gain = self.norm.weight.double() / torch.sqrt(self.norm.running_var.double() + self.norm.eps)
            bias = (bias - self.norm.running_mean.double()) * gain + self.norm.bias.double()
            weight = weight * gain.reshape(-1, *[1] * (weight.ndim - 1))
        return weight, bias

    @torch.no_grad()
    def deployed(self) -> tuple[Tensor, Tensor]:
        """Return weight and bias with the batch norm folded in, on a grid where float32 sums are exact."""
        weight, bias = self.folded()
        arrays = weight.cpu().numpy(), bias.cpu().numpy()
        grid = grid_for(*arrays, input_bits=self.input_bits)
        snapped = (torch.from_numpy(on_grid(array, grid)).to(self.weights.weight) for array in arrays)
        return next(snapped), next(snapped)


class Layer(nn.Module):
    """A connection and the neurons it drives."""

    def __init__(self, connection: Callable[[Tensor], Tensor], neuron: Neuron | None, *, flatten: bool = False) -> None:
        super().__init__()
        self.connection = connection
        self.neuron = neuron
        self.flatten = flatten

    def forward(self, x: Tensor, n_steps: int, *, static: bool) -> Tensor:
        """Return the spikes, or without neurons the currents, of ``currents``' input."""
        current = self.currents(x, n_steps, static=static)
        return current if self.neuron is None else fire(self.neuron, current)

    def currents(self, x: Tensor, n_steps: int, *, static: bool) -> Tensor:
        """Return ``[n_steps, batch, ...]`` for ``x [n_steps, batch, ...]``, or ``[batch, ...]`` when it is static."""
        steps = x[None] if static else x
        if self.flatten:
            steps = steps.flatten(2)
        current = self.connection(steps.flatten(0, 1))
        current = current.reshape(*steps.shape[:2], *current.shape[1:])
        return current.expand(n_steps, *current.shape[1:])  # a static input's current is computed once


class Network(nn.Module):
    """Layers in sequence; the last one has no neurons, and its currents are the outputs."""

    def __init__(self, layers: Sequence[Layer], input_shape: Shape) -> None:
        super().__init__()
        self.layers = tuple(layers)
        self.input_shape = input_shape
        for number, layer in enumerate(layers, 1):
            self.add_module(f"layer{number}", layer)

    def unroll(self, x: Tensor, n_steps: int, *, static: bool) -> Unrolled:
        """Run all time steps, layer by layer."""
        taps = []
        for layer in self.layers:
            x = layer(x, n_steps, static=static)
            static = False
            taps.append(x)
        return Unrolled(outputs=taps.pop(), taps=tuple(taps))


def fire(neuron: Neuron, current: Tensor, compared: list[Tensor] | None = None) -> Tensor:
    """Return the spikes for ``current [n_steps, ...]``; ``compared`` gets each step's v before the reset."""
    arithmetic = Observing(arithmetic_of(current))
    state = neuron.start(lambda: torch.zeros_like(current[0]))
    sent = []
    for step in current:
        state, spikes = neuron.step(arithmetic, state, step)
        sent.append(spikes)
        if compared is not None:
            compared.append(arithmetic.compared)
    return torch.stack(sent)


@dataclass(frozen=True)
class Architecture:
    """Convolutions as (channels, stride), all 3x3 with padding 1, then dense layers; a readout follows."""

    convolutions: tuple[tuple[int, int], ...]
    hidden: tuple[int, ...]


NETWORKS = {
    "mlp": Architecture((), (128, 128)),
    "conv-small": Architecture(((32, 1), (64, 2), (64, 2)), (128,)),
}


def make_network(
    name: str, *, input_shape: Shape, n_classes: int, neuron: Callable[[], Neuron], analog_input: bool
) -> Network:
    """Make an untrained network for samples ``(n,)`` or ``(channels, height, width)``.

    Its first weights come from torch's global generator.

    Raises:
        BadOption: the network needs images and the samples are none.
    """
    architecture = NETWORKS[name]
    if architecture.convolutions and len(input_shape) != 3:
        raise BadOption("--network", f"{name}, with samples of shape {input_shape}", "mlp, or samples that are images")
    layers: list[Layer] = []
    bits = PIXEL_BITS if analog_input else 0  # of the first connection alone: behind it there are spikes
    shape = input_shape
    for n_out, stride in architecture.convolutions:
        channels, height, width = shape
        weights = nn.Conv2d(channels, n_out, 3, stride, 1, bias=False)
        layers.append(Layer(Connection(weights, nn.BatchNorm2d(n_out), bits), neuron()))
        shape, bits = (n_out, (height - 1) // stride + 1, (width - 1) // stride + 1), 0
    for n_out in architecture.hidden:
        dense = nn.Linear(math.prod(shape), n_out, bias=False)
        layers.append(Layer(Connection(dense, nn.BatchNorm1d(n_out), bits), neuron(), flatten=len(shape) > 1))
        shape, bits = (n_out,), 0
    readout = Connection(nn.Linear(math.prod(shape), n_classes), None, bits)
    return Network([*layers, Layer(readout, None, flatten=len(shape) > 1)], input_shape)
