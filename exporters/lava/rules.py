"""Rules for programs that a mapping to Lava can hold; every violation is reported."""

from collections.abc import Iterator
from typing import get_args

import numpy as np

from tdd_deploy.errors import Violation
from tdd_deploy.neurons import IF, LIF, CubaLIF, Firing, LoihiLIF, Threshold
from tdd_deploy.neurons.loihi import UNIT
from tdd_deploy.options.vocabulary import Mapping
from tdd_deploy.program import Conv, Dense, NeuronLayer, Place, Program, Scale, Slice
from tdd_deploy.program.biases import currents_of_biases
from tdd_deploy.program.quantization.loihi_numbers import LARGEST_THRESHOLD, rounded_bias
from tdd_deploy.program.quantization.quantize import READ_CURRENTS, is_only_read

from .latency import Latencies, latencies

MAPPINGS: tuple[Mapping, ...] = get_args(Mapping)
WEIGHTS = (-256, 254)
FUSED = "Use `mapping=fused`."


def violations(program: Program, mapping: Mapping) -> tuple[Violation, ...]:
    """Collect every reason why a mapping to Lava cannot hold a program."""
    found = [*_any_neuron(program), *_any_map(program), *_any_output(program)]
    if program.number_format == "integer":
        found += _integers(program)
    if program.n_steps is None:
        remedy = "Choose a number with `steps`."
        found.append(Violation("the network", "does not state its number of time steps", remedy=remedy))
    late = latencies(program)
    if mapping != "fused":
        found += [fault for layer in program.neuron_layers for fault in _stock(layer, mapping)]
        found += _warm_up(program, mapping, late)
    if late is None:
        fault = "closes a cycle of more linear maps than its delay has time steps, but each is one step late in Lava"
        remedy = "Build the edge with a delay of one time step per linear map on the cycle."
        found.append(Violation("a recurrent edge", fault, remedy=remedy))
    return tuple(found)


def _any_neuron(program: Program) -> Iterator[Violation]:
    biases = currents_of_biases(program)
    for layer in program.neuron_layers:
        neuron = layer.neuron
        if type(neuron) not in (IF, LIF, CubaLIF, Threshold, LoihiLIF):
            remedy = READ_CURRENTS if is_only_read(program, layer) else ""
            found = type(neuron).__name__ + ("" if neuron.spiking else ", which sends numbers")
            yield Violation(layer.name, found, "a neuron that fires (IF, LIF, CubaLIF, Threshold)", remedy)
        if isinstance(neuron, Firing | Threshold) and neuron.compare != ">":
            is_soft = isinstance(neuron, Firing) and neuron.reset == "soft"
            found = f"{neuron.compare}, with a soft reset" if is_soft else neuron.compare
            remedy = "Quantize the program: in integers >= is > of a threshold lower by 1."
            if isinstance(neuron, LoihiLIF):
                remedy = "Build it with '>' and thresholds lower by 1."
            yield Violation(f"{layer.name}.compare", found, ">", "Build it with '>'." if is_soft else remedy)
        filters = isinstance(neuron, CubaLIF | LoihiLIF)
        if filters and np.any(biases[layer.name]):
            found = "filters its current, but Lava would not filter the bias of a map before it"
            # quantize also refuses currents with a memory
            is_kept = isinstance(neuron, LoihiLIF) or np.any(neuron.parameters()["alpha"])
            moved = "Use quantize(program), which moves biases into the neurons."
            yield Violation(layer.name, found, remedy="Train this map without a bias." if is_kept else moved)


def _any_map(program: Program) -> Iterator[Violation]:
    for node in program.linear_maps:
        shape = program.in_shape(node.name)
        if isinstance(node, Slice | Place):
            end = "input" if isinstance(node, Slice) else "output"
            yield Violation(node.name, f"is one of several {end}s, but a bundle has one {end}")
        if isinstance(node, Scale) and len(shape) == 3 and node.factor.ndim and np.ptp(node.factor, axis=(1, 2)).any():
            remedy = "Use one factor, one per channel, or a dense map."
            yield Violation(node.name, "has a factor per pixel", remedy=remedy)


def _any_output(program: Program) -> Iterator[Violation]:
    if program.output.reading != "spikes":
        found = f"reads a {program.output.reading}, which a bundle does not send"
        yield Violation(program.output.name, found, remedy="Read its spikes instead.")


def _integers(program: Program) -> Iterator[Violation]:
    low, high = WEIGHTS
    for node in program.linear_maps:
        if isinstance(node, Dense | Conv | Scale):
            weight = node.factor if isinstance(node, Scale) else node.weight
            has_odd = bool(np.bitwise_or.reduce(weight, axis=None) & 1)
            if weight.min() < low or weight.max() > high or has_odd:
                found = f"{weight.min()} to {weight.max()}" + (", including odd ones" if has_odd else "")
                remedy = "Round the weights to such numbers, or scale a layer's weights and thresholds down."
                yield Violation(f"{node.name}.weight", found, f"even numbers from {low} to {high}", remedy)


def _warm_up(program: Program, mapping: Mapping, late: Latencies | None) -> Iterator[Violation]:
    """Lava's neurons integrate their bias before the first sample arrives, and a loop would return these spikes."""
    if late is None or not any(edge.delay for edge in program.edges):
        return
    for layer in program.neuron_layers:
        if isinstance(layer.neuron, LoihiLIF) and layer.neuron.bias.max() * late.of[layer.name] > np.min(
            layer.neuron.v_threshold
        ):
            found = f"fires by its bias in the {late.of[layer.name]} steps before its first input"
            reason = f"and a recurrent program with `mapping={mapping}` returns these spikes"
            yield Violation(layer.name, f"{found}, {reason}", remedy=FUSED)


def _stock(layer: NeuronLayer, mapping: Mapping) -> Iterator[Violation]:
    neuron = layer.neuron
    chosen = f"with `mapping={mapping}`"
    if isinstance(neuron, Firing) and neuron.reset != "hard":
        yield Violation(f"{layer.name}.reset", neuron.reset, f"hard {chosen}", FUSED)
    parameters = neuron.parameters()
    v_reset = parameters.get("v_reset", np.zeros(()))
    if v_reset.any():
        yield Violation(f"{layer.name}.v_reset", f"{v_reset[v_reset != 0][0]}", f"0 {chosen}", FUSED)
    for name in {"v_threshold", "du", "dv", "alpha", "beta"} & parameters.keys():
        if parameters[name].ndim:
            yield Violation(f"{layer.name}.{name}", "one per neuron", f"one number per layer {chosen}", FUSED)
    if isinstance(neuron, LoihiLIF):
        heights = neuron.v_threshold // UNIT
        if np.any(neuron.v_threshold % UNIT) or heights.min() < 0 or heights.max() > LARGEST_THRESHOLD:
            found = f"{neuron.v_threshold.min() / UNIT:g} to {neuron.v_threshold.max() / UNIT:g}"
            allowed = f"whole units of weight from 0 to {LARGEST_THRESHOLD:,} {chosen}"
            yield Violation(f"{layer.name}.v_threshold", found, allowed, FUSED)
        if np.any(rounded_bias(neuron.bias.astype(np.float64)) != neuron.bias):
            allowed = f"a mantissa of 13 bits << an exponent of 3 bits {chosen}"
            yield Violation(f"{layer.name}.bias", "a number with more bits", allowed, FUSED)
