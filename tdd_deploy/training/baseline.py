"""Measure an ANN baseline: MACs and accuracy, in floats and in integers."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .ann import INPUT_BITS, IntegerMap, ReluNetwork, calibrate, quantized, recording
from .evaluation import batch_size, n_correct
from .execution import exact_sums
from .network import Connection
from .samples import Samples

BITS = (8, 6, 4, 3, 2)
CALIBRATION_SAMPLES = 1024


@dataclass(frozen=True, kw_only=True)
class WeightedLayer:
    """A layer with weights; ``macs`` are its multiplications per inference, without those by padding."""

    name: str
    kind: str  # dense or conv
    macs: int


@dataclass(frozen=True, kw_only=True)
class Result:
    """A measurement of a ReLU network on all samples of a split.

    Args:
        split: the name of the split.
        bits: the width of weights and activations; None in floats.
        n_samples: the number of samples.
        n_correct: the number of samples whose label has the highest output.
        accuracy: the fraction of correct samples.
        effective_macs: the mean number of MACs per inference whose input and weight are both not 0, by weighted layer.
    """

    split: str
    bits: int | None
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
                "input_bits": INPUT_BITS,
                "calibration_samples": self.calibration_samples,
            },
            "layers": [asdict(layer) for layer in self.layers],
            "results": [asdict(result) for result in self.results],
        }


def measure(network: ReluNetwork, x: NDArray[np.float32], splits: Mapping[str, Iterable[Samples]]) -> Baseline:
    """Measure a ReLU network in floats, and with weights and activations of each width in ``BITS``.

    Args:
        network: the network; it is put into evaluation mode.
        x: training samples; the first ``CALIBRATION_SAMPLES`` of them calibrate the ranges of activations.
        splits: the samples to measure on.
    """
    network.eval()
    chosen = torch.from_numpy(x[:CALIBRATION_SAMPLES]).to(network.device)
    with exact_sums():
        calibration = calibrate(network, chosen, size=batch_size(network, 1))
        versions: dict[int | None, ReluNetwork] = {None: network}
        versions |= {bits: quantized(network, calibration, bits) for bits in BITS}
        results = [result for split, batches in splits.items() for result in _results(versions, split, batches)]
        return Baseline(layers=weighted_layers(network), results=tuple(results), calibration_samples=len(chosen))


def weighted_layers(network: ReluNetwork) -> tuple[WeightedLayer, ...]:
    """Count the MACs of each connection of a ReLU network in evaluation mode."""
    n_macs = {name: int(fan.sum()) for name, fan in _fan_outs(network, is_effective=False).items()}
    return tuple(
        WeightedLayer(
            name=name, kind="dense" if isinstance(connection.weights, nn.Linear) else "conv", macs=n_macs[name]
        )
        for name, connection in network.connections.items()
    )


@torch.no_grad()
def _results(versions: Mapping[int | None, ReluNetwork], split: str, batches: Iterable[Samples]) -> list[Result]:
    """Run every version of a network on the samples of a split."""
    fans = {bits: _fan_outs(network) for bits, network in versions.items()}
    correct = Counter[int | None]()
    effective = {bits: Counter[str]() for bits in versions}
    n_samples = 0
    for x, y in _pieces(batches, versions[None]):
        n_samples += len(y)
        for bits, network in versions.items():
            with recording(network, Connection, IntegerMap) as recorded:
                correct[bits] += n_correct(network.step(x).outputs, y)
            for name, (received, _) in recorded.items():
                n_active = (_taken(network[name], received) != 0).sum(0)
                effective[bits][name] += int((n_active * fans[bits][name]).sum())
    return [
        Result(
            split=split,
            bits=bits,
            n_samples=n_samples,
            n_correct=correct[bits],
            accuracy=correct[bits] / n_samples,
            effective_macs={name: n / n_samples for name, n in effective[bits].items()},
        )
        for bits in versions
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
    with torch.no_grad(), recording(network, Connection, IntegerMap) as recorded:
        network.step(torch.zeros(1, *network.input_shape, device=network.device))
    for name, (received, _) in recorded.items():
        module = network[name]
        assert isinstance(module, Connection | IntegerMap)
        weight = module.weight if isinstance(module, IntegerMap) else module.folded()[0].detach()
        counted = (weight != 0 if is_effective else torch.ones_like(weight)).float()
        x = torch.zeros_like(received, requires_grad=True)
        with torch.enable_grad():
            (fan,) = torch.autograd.grad(module.current(x, counted, None).sum(), x)
        fans[name] = fan[0].long()
    return fans
