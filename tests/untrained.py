"""Networks with random weights, whose layers are neither silent nor stuck."""

import numpy as np
import torch
from torch import nn

from tdd_deploy.neurons import IF, LIF
from tdd_deploy.training.ann import Widths, calibrate, quantized, relu_network_of
from tdd_deploy.training.architectures import Builder, make_network
from tdd_deploy.training.network import Neurons

LEVELS = {"threshold": 1.0, "reset_to": 0.0}


def neuron(kind="lif", *, beta=0.5, threshold=1.0, reset_to=0.0, dtype=torch.float32, **choices):
    """A LIF or IF for all of a layer."""
    numbers = {"v_threshold": threshold, "v_reset": reset_to} | ({"beta": beta} if kind == "lif" else {})
    return {"lif": LIF, "if": IF}[kind](**{k: torch.tensor(v, dtype=dtype) for k, v in numbers.items()}, **choices)


def neurons(kind="lif", *, learned=(), mpbn=False, **numbers):
    """What makes layers of such neurons."""

    def make(shape, before, threshold=1.0, window=1):
        norm = (nn.BatchNorm2d if len(shape) == 3 else nn.BatchNorm1d)(shape[0]) if mpbn else None
        levels = {name: threshold * numbers.get(name, default) for name, default in LEVELS.items()}
        return Neurons(neuron(kind, **numbers | levels), learned=learned, norm=norm, window=window)

    return make


def network(name="mlp", *, input_shape=(1, 8, 8), n_classes=10, analog_input=True, seed=0, **choices):
    """An architecture by name, in training mode, its batch norm shaken."""
    torch.manual_seed(seed)
    make = neurons(**choices)
    return shaken(
        make_network(name, input_shape=input_shape, n_classes=n_classes, neurons=make, analog_input=analog_input), seed
    )


def tiny_resnet(*, size=6, **choices):
    """Two blocks, the first with the spikes themselves as a shortcut, the second with a convolution."""
    torch.manual_seed(1)
    make = Builder((2, size, size), neurons=neurons(**choices), analog_input=True)
    stem = make.fire("stem_spikes", make.conv("stem", "input", 5))
    one = make.fire("one_inner", make.conv("one_a", stem, 5))
    one = make.fire("one", (make.conv("one_b", one, 5), stem))
    two = make.fire("two_inner", make.conv("two_a", one, 7, stride=2))
    two = make.fire("two", (make.conv("two_b", two, 7), make.conv("two_shortcut", one, 7, kernel=1, stride=2)))
    return shaken(make.network(make.readout(make.total("pool", two), 4)))


def shaken(net, seed=0):
    """The same network with statistics of batch norm that suit it, as training would leave them, but not quite."""
    x = torch.from_numpy(pixels(1, 16, *net.input_shape, seed=seed))
    norms = [part for part in net.modules() if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d)]
    rng = torch.Generator().manual_seed(seed)
    for norm in norms:
        norm.momentum = 1.0
        norm.weight.data.normal_(1, 0.4, generator=rng)
        norm.bias.data.normal_(0.4, 0.4, generator=rng)
    with torch.no_grad():
        net.train().unroll(x, 2)
    for norm in norms:
        norm.momentum = 0.1
        norm.running_mean.add_(0.1 * torch.randn(norm.running_mean.shape, generator=rng))
        norm.running_var.mul_(torch.rand(norm.running_var.shape, generator=rng) + 0.5)
    return net


def pixels(n_steps, batch, *shape, seed=0):
    """Signed values k / 256, new at every step."""
    return (np.random.default_rng(seed).integers(-256, 257, (n_steps, batch, *shape)) / 256).astype(np.float32)


def spikes(n_steps, batch, *shape, seed=0):
    return (np.random.default_rng(seed).random((n_steps, batch, *shape)) < 0.4).astype(np.float32)


def images(n=40, shape=(1, 8, 8), *, seed=0):
    """Images of values k / 256, a third of them 0 and the largest 255 / 256."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 256, (n, *shape)) * (rng.random((n, *shape)) < 2 / 3)
    x.flat[0] = 255
    return torch.from_numpy((x / 256).astype(np.float32))


def relu_network(name="conv-small", **choices):
    """The ReLU network of such a network, in evaluation mode."""
    return relu_network_of(tiny_resnet() if name == "tiny resnet" else network(name, **choices)).eval()


def in_integers(net, bits, x=None, *, activations=None):
    """A ReLU network in integers, calibrated with images; its activations are as wide as its weights by default."""
    x = images(shape=net.input_shape) if x is None else x
    return quantized(net, calibrate(net, x, size=16), Widths(weights=bits, activations=activations or bits))
