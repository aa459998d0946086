"""What a dense ANN twin costs and knows, in floats and in integers: what spiking networks are compared with."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .ann import INPUT_BITS, IntegerMap, Twin, calibrate, listening, quantized
from .evaluation import batch_size, n_correct
from .execution import exact_sums
from .network import Connection
from .samples import Samples

BITS = (8, 6, 4, 3, 2)
CALIBRATION_SAMPLES = 1024


@dataclass(frozen=True, kw_only=True)
class WeightedLayer:
    """A layer with weights; ``macs`` are its multiplications per inference, those with padding left out."""

    name: str
    kind: str  # dense or conv
    macs: int


@dataclass(frozen=True, kw_only=True)
class Result:
    """A twin on all samples of a split.

    Args:
        split: of the data.
        bits: of weights and activations; None in floats.
        n_samples: how many.
        n_correct: how many of them have their label's output highest.
        accuracy: their share.
        effective_macs: of each weighted layer the mean per inference of MACs whose input and weight are both not 0.
    """

    split: str
    bits: int | None
    n_samples: int
    n_correct: int
    accuracy: float
    effective_macs: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """What was measured; layers in execution order."""

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


def measure(network: Twin, x: NDArray[np.float32], splits: Mapping[str, Iterable[Samples]]) -> Baseline:
    """Measure a twin in floats, and with weights and activations of each of ``BITS``.

    Args:
        network: the twin; it is put into evaluation mode.
        x: training samples, of which the first ``CALIBRATION_SAMPLES`` calibrate the ranges of activations.
        splits: the samples to measure on.
    """
    network.eval()
    chosen = torch.from_numpy(x[:CALIBRATION_SAMPLES]).to(network.device)
    with exact_sums():
        calibration = calibrate(network, chosen, size=batch_size(network, 1))
        versions: dict[int | None, Twin] = {None: network}
        versions |= {bits: quantized(network, calibration, bits) for bits in BITS}
        results = [result for split, batches in splits.items() for result in _results(versions, split, batches)]
        return Baseline(layers=weighted_layers(network), results=tuple(results), calibration_samples=len(chosen))


def weighted_layers(network: Twin) -> tuple[WeightedLayer, ...]:
    """Return what each connection of a twin in evaluation mode costs."""
    n_macs = {name: int(fan.sum()) for name, fan in _fan_outs(network, is_effective=False).items()}
    return tuple(
        WeightedLayer(
            name=name, kind="dense" if isinstance(connection.weights, nn.Linear) else "conv", macs=n_macs[name]
        )
        for name, connection in network.connections.items()
    )


@torch.no_grad()
def _results(versions: Mapping[int | None, Twin], split: str, batches: Iterable[Samples]) -> list[Result]:
    """Run every version of a twin on the samples of a split."""
    fans = {bits: _fan_outs(network) for bits, network in versions.items()}
    correct = Counter[int | None]()
    effective = {bits: Counter[str]() for bits in versions}
    n_samples = 0
    for x, y in _pieces(batches, versions[None]):
        n_samples += len(y)
        for bits, network in versions.items():
            with listening(network, Connection, IntegerMap) as heard:
                correct[bits] += n_correct(network.step(x).outputs, y)
            for name, (received, _) in heard.items():
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


def _pieces(batches: Iterable[Samples], network: Twin) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield samples, so many that a network may run at once, and their labels."""
    size, device = batch_size(network, 1), network.device
    for batch in batches:
        x, y = torch.from_numpy(batch.x), torch.from_numpy(batch.y)
        for piece, labels in zip(torch.split(x, size), torch.split(y, size), strict=True):
            yield piece.to(device), labels


def _taken(module: nn.Module, received: Tensor) -> Tensor:
    """Return what a map multiplies: integers, of a map in integers."""
    return module.received.integers(received) if isinstance(module, IntegerMap) else received


def _fan_outs(network: Twin, *, is_effective: bool = True) -> dict[str, Tensor]:
    """Return by map how many weights, or those that are not 0, each of its inputs meets; padding meets none."""
    fans = {}
    with torch.no_grad(), listening(network, Connection, IntegerMap) as heard:
        network.step(torch.zeros(1, *network.input_shape, device=network.device))
    for name, (received, _) in heard.items():
        module = network[name]
        assert isinstance(module, Connection | IntegerMap)
        weight = module.weight if isinstance(module, IntegerMap) else module.folded()[0].detach()
        counted = (weight != 0 if is_effective else torch.ones_like(weight)).float()
        x = torch.zeros_like(received, requires_grad=True)
        with torch.enable_grad():
            (fan,) = torch.autograd.grad(module.current(x, counted, None).sum(), x)
        fans[name] = fan[0].long()
    return fans
