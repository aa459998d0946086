"""Make networks of random weights whose neurons fire at a chosen rate, to measure time by the number of events."""

from dataclasses import replace

import numpy as np
import torch
from torch.nn import functional

from .case import Case, Layer

BETA = 0.5
# The shape of the input; channels out and stride of convolutions of 3x3; dense layers. The last map is a readout of 10.
SHAPES: dict[str, tuple[tuple[int, int, int], tuple[tuple[int, int], ...], tuple[int, ...]]] = {
    "conv-medium": ((1, 28, 28), ((32, 1), (32, 2), (64, 1), (64, 2)), (128,)),
    # The convolutions of ResNet-19 in a chain, without its shortcuts.
    "resnet19": (
        (3, 32, 32),
        ((64, 1), *[(128, 1)] * 6, (256, 2), *[(256, 1)] * 5, (512, 2), *[(512, 1)] * 3),
        (),
    ),
}


def random_case(name: str, rate: float, n_samples: int, *, n_steps: int = 4) -> Case:
    """Return a network in which ``rate`` of each layer's neurons fire per step, and samples.

    Weights and inputs are multiples of powers of two, so that every order of additions gives the same sum.
    """
    rng = np.random.default_rng(0)
    input_shape, convolutions, dense = SHAPES[name]
    x = (rng.integers(0, 257, (n_samples, *input_shape)) / 256).astype(np.float32)
    sent = torch.from_numpy(x).expand(n_steps, *x.shape)
    layers: list[Layer] = []
    with torch.inference_mode():
        for channels, stride in convolutions:
            weight = random_weight(rng, (channels, sent.shape[2], 3, 3))
            current = functional.conv2d(sent.flatten(0, 1), torch.from_numpy(weight), stride=stride, padding=1)
            layers.append(Layer(weight, np.zeros(channels, np.float32), stride, BETA, 0.0))
            layers[-1], sent = with_threshold(layers[-1], current.unflatten(0, sent.shape[:2]), rate)
        sent = sent.flatten(2)
        for n_out in dense:
            weight = random_weight(rng, (n_out, sent.shape[2]))
            layers.append(Layer(weight, np.zeros(n_out, np.float32), 1, BETA, 0.0))
            layers[-1], sent = with_threshold(layers[-1], sent @ torch.from_numpy(weight.T), rate)
    layers.append(Layer(random_weight(rng, (10, sent.shape[2])), np.zeros(10, np.float32), 1, None, 0.0))
    return Case(f"{name}, random, {rate:g} fire", n_steps, tuple(layers), x)


def random_weight(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return (rng.normal(0, 16, shape).round() / 64).astype(np.float32)


def with_threshold(layer: Layer, current: torch.Tensor, rate: float) -> tuple[Layer, torch.Tensor]:
    """Return the layer with the threshold at which a fraction of its neurons fires per step, and their spikes."""
    low, high = 0.0, float(current.max()) / (1 - BETA)
    for _ in range(24):
        threshold = (low + high) / 2
        sent = fired(current, threshold)
        if sent.mean() > rate:
            low = threshold
        else:
            high = threshold
    return replace(layer, threshold=float(np.float32(threshold))), sent


def fired(current: torch.Tensor, threshold: float) -> torch.Tensor:
    """Return the spikes ``[n_steps, batch, ...]`` of LIF neurons."""
    v, sent = torch.zeros_like(current[0]), torch.empty_like(current)
    for t in range(len(current)):
        v = BETA * v + current[t]
        sent[t] = v > threshold
        v[v > threshold] = 0
    return sent
