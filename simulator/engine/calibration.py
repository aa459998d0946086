"""Measure what quantization changed: compare the spikes of the float program and of the integer program."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tdd_deploy.neurons.loihi import LIMIT, UNIT
from tdd_deploy.program import NeuronLayer, Program
from tdd_deploy.program.outputs import predicted
from tdd_deploy.simulator import reference

from .engine import Engine, Frames

SUMMED = 16  # samples whose sums are examined


@dataclass(frozen=True, kw_only=True)
class LayerCalibration:
    """One layer of neurons: the fraction of spikes that differ, and the largest sum that arrived."""

    name: str
    flips: float
    largest_sum: int
    wraps: int  # sums that wrapped u


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Both programs on the same samples; accuracies are None for data without labels."""

    n_samples: int
    accuracy_float: float | None
    accuracy_integer: float | None
    layers: tuple[LayerCalibration, ...]


def calibrate(
    original: Program,
    quantized: Program,
    batches: Iterable[tuple[Frames, NDArray[np.int64] | None]],
    *,
    n_steps: int,
) -> Calibration:
    """Run a float program and its integers side by side.

    Args:
        original: the float program.
        quantized: the same program in integers.
        batches: encoded samples, one batch or more, and their labels or None.
        n_steps: time steps per sample.
    """
    names = [layer.name for layer in original.neuron_layers]
    engines = Engine(original), Engine(quantized)
    differing = dict.fromkeys(names, 0)
    n_samples, right, labeled = 0, [0, 0], True
    sums: dict[str, NDArray[Any]] = {}
    for frames, labels in batches:
        results = [engine.run(frames, n_steps=n_steps, record=names) for engine in engines]
        for name in names:
            differing[name] += int(np.count_nonzero(results[0].layers[name] != results[1].layers[name]))
        if labels is None:
            labeled = False
        else:
            for i, result in enumerate(results):
                right[i] += int((predicted(result.output) == labels).sum())
        n_samples += len(results[0].output)
        sums = sums or _sums(quantized, frames, n_steps)
    neurons = {layer.name: int(np.prod(layer.shape)) for layer in original.neuron_layers}
    return Calibration(
        n_samples=n_samples,
        accuracy_float=right[0] / n_samples if labeled else None,
        accuracy_integer=right[1] / n_samples if labeled else None,
        layers=tuple(
            LayerCalibration(
                name=name,
                flips=differing[name] / (n_samples * n_steps * neurons[name]),
                largest_sum=int(np.abs(sums[name]).max()),
                wraps=int(np.count_nonzero((sums[name] * UNIT > LIMIT) | (sums[name] * UNIT <= -LIMIT))),
            )
            for name in names
        ),
    )


def _sums(program: Program, frames: Frames, n_steps: int) -> dict[str, NDArray[Any]]:
    """Return the sums that arrive at each layer of neurons, ``[n_steps, batch, *shape]``, for a few samples."""
    inputs = np.stack([frames.at(t)[:SUMMED] for t in range(n_steps)])
    sent = reference.run(program, inputs)
    return {
        node.name: reduce(np.add, [sent[edge.source] for edge in program.incoming[node.name] if not edge.delay])
        for node in program.nodes
        if isinstance(node, NeuronLayer)
    }
