"""Measure an ANN baseline: MACs and accuracy, in floats and in integers.

Activations of b bits have 2^b values, as many as the number of spikes in 2^b - 1 time steps. So a spiking network of
T steps is also compared with activations of ceil(log2(T + 1)) bits, beside weights of 8 bits.

Sources: Shen et al., "Are Conventional SNNs Really Efficient? A Perspective from Network Quantization", CVPR 2024;
Yan et al., arXiv:2409.08290.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .ann import INPUT_BITS, IntegerMap, ReluNetwork, Widths, calibrate, quantized, recording
from .evaluation import batch_size, n_correct
from .execution import exact_sums
from .network import Connection
from .samples import Samples

WIDTHS = (
    *(Widths(weights=bits, activations=bits) for bits in (16, 8, 6, 4, 3, 2)),
    *(Widths(weights=8, activations=bits) for bits in (5, 4, 3, 2)),  # for up to 31, 15, 7 and 3 time steps
)
CALIBRATION_SAMPLES = 1024


@dataclass(frozen=True, kw_only=True)
class WeightedLayer:
    """A layer with weights, batch norm folded in.

    Args:
        name: the name of the layer.
        kind: dense or conv.
        macs: the number of multiplications per inference, without those by padding.
        weights: the number of weights.
        nonzero_weights: the number of weights that are not 0 in floats.
        biases: the number of biases, one per output channel; 0 for a layer without any.
        inputs: the number of values that it receives per inference.
        outputs: the number of sums that it computes per inference.
    """

    name: str
    kind: str
    macs: int
    weights: int
    nonzero_weights: int
    biases: int
    inputs: int
    outputs: int


@dataclass(frozen=True, kw_only=True)
class Result:
    """A measurement of a ReLU network on all samples of a split.

    Args:
        split: the name of the split.
        weight_bits: the width of weights; None in floats.
        activation_bits: the width of activations; None in floats.
        n_samples: the number of samples.
        n_correct: the number of samples whose label has the highest output.
        accuracy: the fraction of correct samples.
        effective_macs: the mean number of MACs per inference whose input and weight are both not 0, by weighted layer.
    """

    split: str
    weight_bits: int | None
    activation_bits: int | None
    n_samples: int
    n_correct: int
    accuracy: float
    effective_macs: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """All measurements; layers in execution order."""

    layers: tuple[WeightedLayer, ...]
    results: tuple[Result, ...]
    calibration_samples: int

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "quantization": {
                "method": "post-training, batch norm folded in",
                "weights": "symmetric, a scale per output channel, clipped for least squared error",
                "activations": "unsigned, a scale per layer, clipped for least squared error on training samples",
                "input_bits": INPUT_BITS,  # more where activations have more
                "calibration_samples": self.calibration_samples,
            },
            "layers": [asdict(layer) for layer in self.layers],
            "results": [asdict(result) for result in self.results],
        }


def measure(network: ReluNetwork, x: NDArray[np.float32], splits: Mapping[str, Iterable[Samples]]) -> Baseline:
    """Measure a ReLU network in floats, and with weights and activations of each of ``WIDTHS``.

    Args:
        network: the network; it is put into evaluation mode.
        x: training samples; the first ``CALIBRATION_SAMPLES`` of them calibrate the ranges of activations.
        splits: the samples to measure on.
    """
    network.eval()
    chosen = torch.from_numpy(x[:CALIBRATION_SAMPLES]).to(network.device)
    with exact_sums():
        calibration = calibrate(network, chosen, size=batch_size(network, 1))
        versions: dict[Widths | None, ReluNetwork] = {None: network}
        versions |= {widths: quantized(network, calibration, widths) for widths in WIDTHS}
        results = [result for split, batches in splits.items() for result in _results(versions, split, batches)]
        return Baseline(layers=weighted_layers(network), results=tuple(results), calibration_samples=len(chosen))


@torch.no_grad()
def weighted_layers(network: ReluNetwork) -> tuple[WeightedLayer, ...]:
    """Count the parts of each connection of a ReLU network in evaluation mode."""
    n_macs = {name: int(fan.sum()) for name, fan in _fan_outs(network, is_effective=False).items()}
    recorded = _values_of_one(network)
    layers = []
    for name, connection in network.connections.items():
        weight, bias = connection.folded()
        received, sent = recorded[name]
        layers.append(
            WeightedLayer(
                name=name,
                kind="dense" if isinstance(connection.weights, nn.Linear) else "conv",
                macs=n_macs[name],
                weights=weight.numel(),
                nonzero_weights=int(weight.count_nonzero()),
                biases=len(bias) if bool(bias.any()) else 0,
                inputs=received.numel(),
                outputs=sent.numel(),
            )
        )
    return tuple(layers)


@torch.no_grad()
def _results(versions: Mapping[Widths | None, ReluNetwork], split: str, batches: Iterable[Samples]) -> list[Result]:
    """Run every version of a network on the samples of a split."""
    fans = {widths: _fan_outs(network) for widths, network in versions.items()}
    correct = Counter[Widths | None]()
    effective = {widths: Counter[str]() for widths in versions}
    n_samples = 0
    for x, y in _pieces(batches, versions[None]):
        n_samples += len(y)
        for widths, network in versions.items():
            with recording(network, Connection, IntegerMap) as recorded:
                correct[widths] += n_correct(network.step(x).outputs, y)
            for name, (received, _) in recorded.items():
                n_active = (_taken(network[name], received) != 0).sum(0)
                effective[widths][name] += int((n_active * fans[widths][name]).sum())
    return [
        Result(
            split=split,
            weight_bits=None if widths is None else widths.weights,
            activation_bits=None if widths is None else widths.activations,
            n_samples=n_samples,
            n_correct=correct[widths],
            accuracy=correct[widths] / n_samples,
            effective_macs={name: n / n_samples for name, n in effective[widths].items()},
        )
        for widths in versions
    ]


def _pieces(batches: Iterable[Samples], network: ReluNetwork) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield samples and labels in pieces that a network may run at once."""
    size, device = batch_size(network, 1), network.device
    for batch in batches:
        x, y = torch.from_numpy(batch.x), torch.from_numpy(batch.y)
        for piece, labels in zip(torch.split(x, size), torch.split(y, size), strict=True):
            yield piece.to(device), labels


def _taken(module: nn.Module, received: Tensor) -> Tensor:
    """Return the inputs that a map multiplies; for a map in integers, as integers."""
    return module.received.integers(received) if isinstance(module, IntegerMap) else received


def _fan_outs(network: ReluNetwork, *, is_effective: bool = True) -> dict[str, Tensor]:
    """Count by map the weights that multiply each of its inputs, all or those that are not 0; padding has none."""
    fans = {}
    for name, (received, _) in _values_of_one(network).items():
        module = network[name]
        assert isinstance(module, Connection | IntegerMap)
        weight = module.weight if isinstance(module, IntegerMap) else module.folded()[0].detach()
        counted = (weight != 0 if is_effective else torch.ones_like(weight)).float()
        x = torch.zeros_like(received, requires_grad=True)
        with torch.enable_grad():
            (fan,) = torch.autograd.grad(module.current(x, counted, None).sum(), x)
        fans[name] = fan[0].long()
    return fans


@torch.no_grad()
def _values_of_one(network: ReluNetwork) -> dict[str, tuple[Tensor, Tensor]]:
    """Record by map the values that it receives and sends for one sample of zeros, for their shapes."""
    with recording(network, Connection, IntegerMap) as recorded:
        network.step(torch.zeros(1, *network.input_shape, device=network.device))
    return recorded
