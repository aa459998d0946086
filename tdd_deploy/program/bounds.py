"""How large the sums of a program can become, whatever it is shown.

Spikes select weights, so any partial sum, in any order, is at most the sum of the weights' magnitudes; and what is
sent as a change is at most twice a value.
"""

from collections.abc import Mapping

import numpy as np

from tdd_deploy.neurons import LoihiLIF
from tdd_deploy.neurons.loihi import WRAP

from .apply import apply, propagated
from .nodes import Array, LinearMap
from .program import Program, with_arrays

SUM_BITS = 22  # one fewer than Lava's convolutions keep, so that sums of changes fit too


def worst_case_sums(program: Program, *, largest_input: float | None = None) -> Mapping[str, Array]:
    """Return the largest magnitude that each sum of a linear map, layer of neurons or output can reach.

    Arrays have the shape that the node sends. Inputs are at most ``largest_input`` in magnitude; by default as the
    program says.
    Potentials and numbers of spikes that are sent have no bound: what is behind them is infinite.
    """
    largest = program.input.largest if largest_input is None else largest_input
    sent: dict[str, Array] = {program.input.name: np.full((1, *program.input.shape), float(largest))}
    for layer in program.neuron_layers:
        sent[layer.name] = np.full((1, *layer.shape), 1.0 if layer.neuron.binary else np.inf)
    return {name: total[0] for name, total in propagated(program, sent, _bounded).items()}


def wrapping_layers(program: Program) -> tuple[str, ...]:
    """Return the layers of an integer program whose current u can wrap: by their sums, or as it has a memory."""
    if program.number_format != "integer":
        return ()
    sums = worst_case_sums(program)
    neurons = {layer.name: layer.neuron for layer in program.neuron_layers}
    return tuple(
        name
        for name, neuron in neurons.items()
        if isinstance(neuron, LoihiLIF) and (sums[name].max() >= WRAP or neuron.is_current_based)
    )


def _bounded(node: LinearMap, total: Array) -> Array:
    """Return the largest magnitude that a linear map makes of magnitudes."""
    magnitudes = with_arrays(node, lambda array: np.abs(array.astype(np.float64)))
    assert isinstance(magnitudes, LinearMap)
    with np.errstate(invalid="ignore"):  # a weight of 0 behind an unbounded potential
        sent = apply(magnitudes, total)
    return np.where(np.isnan(sent), np.inf, sent)
