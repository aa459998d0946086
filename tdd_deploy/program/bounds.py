"""Bound the sums of a program for all inputs.

Spikes select weights, so any partial sum, in any order, is at most the sum of the weights' magnitudes. A change is at
most twice as large as a value.
"""

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from tdd_deploy.errors import BadData, Violation
from tdd_deploy.neurons import LoihiLIF, Neuron
from tdd_deploy.neurons.loihi import WRAP
from tdd_deploy.options.encoding import MOST_STEPS

from .apply import apply, propagated
from .blocks import row_magnitudes, row_ranges
from .nodes import Array, Conv, Dense, Input, LinearMap, NeuronLayer, Pool, Scale
from .program import Program, with_arrays

SUM_BITS = 22  # one fewer than Lava's convolutions keep, so that sums of changes fit too


def worst_case_sums(program: Program, *, largest_input: float | None = None) -> Mapping[str, Array]:
    """Compute the largest magnitude that each sum of a linear map, layer of neurons or output can reach.

    Arrays have the shape that the node sends. Inputs are at most ``largest_input`` in magnitude; by default as the
    program states. Potentials and numbers of spikes have no bound, so sums after them are infinite.
    """
    largest = program.input.largest if largest_input is None else largest_input
    sent: dict[str, Array] = {program.input.name: np.full((1, *program.input.shape), float(largest))}
    for layer in program.neuron_layers:
        sent[layer.name] = np.full((1, *layer.shape), 1.0 if layer.neuron.binary else np.inf)
    return {name: total[0] for name, total in propagated(program, sent, _bounded).items()}


def wrapping_layers(program: Program) -> tuple[str, ...]:
    """Find the layers of an integer program whose current u can wrap: their sums are large, or u has a memory."""
    if program.number_format != "integer":
        return ()
    sums = worst_case_sums(program)
    neurons = {layer.name: layer.neuron for layer in program.neuron_layers}
    return tuple(
        name
        for name, neuron in neurons.items()
        if isinstance(neuron, LoihiLIF) and (sums[name].max() >= WRAP or neuron.is_current_based)
    )


def largest_numbers(program: Program) -> Mapping[str, float]:
    """Bound the numbers in each node of a program of floats, if no value that maps receive exceeds 1.

    This holds for spikes. Other values multiply the bounds of the nodes after them by their largest magnitude.
    One number per node, from the sums of its rows: it is cheap, and at least ``worst_case_sums``.
    """
    sent = {program.input.name: 1.0, **{layer.name: 1.0 for layer in program.neuron_layers}}
    largest: dict[str, float] = {}
    with np.errstate(over="ignore"):  # sums that are infinite even in float64 are the ones to find
        for node in program.nodes:
            if isinstance(node, Input):
                continue
            received = sum(sent[edge.source] for edge in program.incoming[node.name])
            if isinstance(node, LinearMap):
                received = sent[node.name] = _largest_of_map(node, received)
            largest[node.name] = _largest_state(node.neuron, received) if isinstance(node, NeuronLayer) else received
    return largest


def largest_finite(program: Program) -> float:
    """Return the limit for numbers of a program of floats: half of the largest, as a change can be twice a value."""
    return float(np.finfo(program.dtype).max) / 2


def largest_input(program: Program) -> float:
    """Compute the largest magnitude of inputs for which all sums of a program of floats are finite."""
    return largest_finite(program) / max(1.0, *largest_numbers(program).values())


def largest_sent(program: Program) -> Mapping[str, float]:
    """Compute for each layer that sends numbers the largest magnitude for which all sums are finite."""
    graded = [layer.name for layer in program.neuron_layers if not layer.neuron.binary]
    if program.number_format == "integer" or not graded:
        return {}
    largest = largest_numbers(program)
    limit = largest_finite(program)
    return {name: limit / max(1.0, *(largest[receiver] for receiver in _receivers(program, name))) for name in graded}


def _receivers(program: Program, name: str) -> set[str]:
    """Find the maps that a layer leads to, and the layers and the output after them."""
    found: set[str] = set()
    senders = [name]
    while senders:
        new = {edge.target for edge in program.outgoing[senders.pop()]} - found
        found |= new
        senders += [target for target in new if isinstance(program[target], LinearMap)]
    return found


def check_sent(program: Program, layers: Mapping[str, bool], *, step: int) -> None:
    """Refuse numbers that are too large.

    Args:
        program: of floats.
        layers: whether each layer sent numbers that are too large, or NaN.
        step: when it sent them, from 0.

    Raises:
        BadData: names the layers.
    """
    limits = largest_sent(program)
    found = f"larger ones, or NaN, at time step {step + 1}"
    violations = [
        Violation(
            f"numbers from {name}",
            found,
            f"up to {limits[name]:.6g}, so that all sums stay finite in {program.number_format}",
            "Scale weights or inputs down.",
        )
        for name, is_beyond in layers.items()
        if is_beyond
    ]
    if violations:
        raise BadData("the samples", violations)


def _largest_of_map(node: LinearMap, received: float) -> float:
    match node:
        case Dense() | Conv():
            rows = row_magnitudes(node.weight) * received
            return float((rows if node.bias is None else rows + np.abs(node.bias)).max())
        case Scale():
            return float((np.abs(node.factor) * received + (0 if node.bias is None else np.abs(node.bias))).max())
        case Pool():
            return received * math.prod(node.kernel)
    return received


def _largest_state(neuron: Neuron, current: float) -> float:
    """Bound the currents and potentials of neurons, and the values that they send."""
    given = neuron.parameters()
    largest = {name: float(np.abs(values).max()) for name, values in given.items()}
    current = current * _gain(largest.get("alpha", 0.0)) + largest.get("bias", 0.0)
    if "v" not in neuron.states:
        return current
    reset = getattr(neuron, "reset", "none")
    taken = largest["v_threshold"] if reset == "soft" else 0.0
    v = (current + taken) * _gain(largest.get("beta", 1.0)) + largest.get("v_reset", 0.0) + largest.get("v_min", 0.0)
    if getattr(neuron, "spikes", "one") != "many":
        return v
    smallest = float(np.abs(given["v_threshold"]).min())
    return max(v, v / smallest) if smallest else math.inf  # one spike per threshold in v


def _gain(kept: float) -> float:
    """Return the largest ratio of a state to the summand of each step."""
    return min(1 / (1 - kept), MOST_STEPS) if kept < 1 else MOST_STEPS


def _bounded(node: LinearMap, total: Array) -> Array:
    """Bound the output of a linear map by the magnitudes of its weights and of its input."""
    with np.errstate(invalid="ignore"):  # a weight of 0 after an unbounded potential
        if isinstance(node, Dense):
            parts = (replace(node, weight=node.weight[rows], bias=None) for rows in row_ranges(node.weight))
            sent = np.concatenate([apply(_magnitudes(part), total) for part in parts], axis=1)
            sent = sent if node.bias is None else sent + np.abs(node.bias.astype(np.float64))
        else:
            sent = apply(_magnitudes(node), total)
    return np.where(np.isnan(sent), np.inf, sent)


def _magnitudes(node: LinearMap) -> LinearMap:
    magnitudes = with_arrays(node, lambda array: np.abs(array.astype(np.float64)))
    assert isinstance(magnitudes, LinearMap)
    return magnitudes
