"""How large the sums of a program can become, whatever it is shown.

Spikes select weights, so any partial sum, in any order, is at most the sum of the weights' magnitudes; and what is
sent as a change is at most twice a value.
"""

from collections.abc import Mapping
from functools import reduce

import numpy as np

from tdd_deploy.neurons import LoihiLIF
from tdd_deploy.neurons.loihi import DECAY, WRAP

from .apply import apply
from .nodes import Array, Input, LinearMap
from .program import Program, with_arrays

SUM_BITS = 22  # one fewer than Lava's convolutions keep, so that sums of changes fit too


def worst_case_sums(program: Program, *, largest_input: float | None = None) -> Mapping[str, Array]:
    """Return the largest magnitude that each sum of a linear map, layer of neurons or output can reach.

    Arrays have the shape that the node sends. Inputs are at most ``largest_input`` in magnitude; by default as the
    program says.
    Potentials that are sent (LI, I) have no bound: what is behind them is infinite.
    """
    largest = program.input.largest if largest_input is None else largest_input
    sent: dict[str, Array] = {program.input.name: np.full((1, *program.input.shape), float(largest))}
    for layer in program.neuron_layers:
        sent[layer.name] = np.full((1, *layer.shape), 1.0 if layer.neuron.spiking else np.inf)
    sums: dict[str, Array] = {}
    for node in program.nodes:
        if isinstance(node, Input):
            continue
        total = reduce(np.add, [sent[edge.source] for edge in program.incoming[node.name]])
        if isinstance(node, LinearMap):
            with np.errstate(invalid="ignore"):  # a weight of 0 behind an unbounded potential
                total = apply(_of_magnitudes(node), total)
            total = sent[node.name] = np.where(np.isnan(total), np.inf, total)
        sums[node.name] = total[0]
    return sums


def wrapping_layers(program: Program) -> tuple[str, ...]:
    """Return the layers of an integer program whose current u can wrap: by their sums, or as it has a memory."""
    if program.number_format != "integer":
        return ()
    sums = worst_case_sums(program)
    neurons = {layer.name: layer.neuron for layer in program.neuron_layers}
    return tuple(
        name
        for name, neuron in neurons.items()
        if isinstance(neuron, LoihiLIF) and (sums[name].max() >= WRAP or np.any(neuron.du != DECAY - 1))
    )


def _of_magnitudes(node: LinearMap) -> LinearMap:
    magnitudes = with_arrays(node, lambda array: np.abs(array.astype(np.float64)))
    assert isinstance(magnitudes, LinearMap)
    return magnitudes
