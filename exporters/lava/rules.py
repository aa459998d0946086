"""What a mapping to Lava cannot hold; every reason is yielded."""

from collections.abc import Iterator
from typing import Literal, get_args

import numpy as np

from tdd_deploy.errors import Violation
from tdd_deploy.neurons import IF, LIF, CubaLIF, Firing, LoihiLIF, Threshold
from tdd_deploy.neurons.loihi import UNIT
from tdd_deploy.program import Conv, Dense, NeuronLayer, Place, Program, Scale, Slice
from tdd_deploy.program.biases import currents_of_biases
from tdd_deploy.program.quantization.loihi_numbers import LARGEST_THRESHOLD, rounded_bias
from tdd_deploy.program.quantization.quantize import READ_CURRENTS, is_only_read

from .latency import Latencies, latencies

LavaMapping = Literal["fused", "stock", "spike"]
MAPPINGS: tuple[LavaMapping, ...] = get_args(LavaMapping)
WEIGHTS = (-256, 254)
FUSED = "Use --mapping fused."


def violations(program: Program, mapping: LavaMapping) -> tuple[Violation, ...]:
    """Return everything that keeps a program out of Lava."""
    found = [*_any_neuron(program), *_any_map(program), *_any_output(program)]
    if program.number_format == "integer":
        found += _integers(program)
    if program.n_steps is None:
        remedy = "Choose a number with --steps."
        found.append(Violation("time steps", "the network does not state a number", "1 or more", remedy))
    late = latencies(program)
    if mapping != "fused":
        found += [fault for layer in program.neuron_layers for fault in _stock(layer, mapping)]
        found += _warm_up(program, mapping, late)
    if late is None:
        found.append(
            Violation(
                "a recurrent edge",
                "its cycle passes more linear maps than its delay has time steps",
                "a delay of one time step per linear map on the cycle, as each is one step late in Lava",
                "Build the edge with a longer delay.",
            )
        )
    return tuple(found)


def _any_neuron(program: Program) -> Iterator[Violation]:
    biases = currents_of_biases(program)
    for layer in program.neuron_layers:
        neuron = layer.neuron
        if type(neuron) not in (IF, LIF, CubaLIF, Threshold, LoihiLIF):
            remedy = READ_CURRENTS if is_only_read(program, layer) else ""
            found = type(neuron).__name__ + ("" if neuron.spiking else " sends numbers")
            yield Violation(layer.name, found, "neurons that fire (IF, LIF, CubaLIF, Threshold)", remedy)
        if isinstance(neuron, Firing | Threshold) and neuron.compare != ">":
            is_soft = isinstance(neuron, Firing) and neuron.reset == "soft"
            found = f"{neuron.compare}, with a soft reset" if is_soft else neuron.compare
            remedy = "Quantize the program: in integers >= is > of a threshold lower by 1."
            if isinstance(neuron, LoihiLIF):
                remedy = "Build it with '>' and thresholds lower by 1."
            yield Violation(f"{layer.name}.compare", found, ">", "Build it with '>'." if is_soft else remedy)
        filters = isinstance(neuron, CubaLIF | LoihiLIF)
        if filters and np.any(biases[layer.name]):
            found = "a bias on a map before it, which Lava would not filter"
            # quantize also refuses currents with a memory
            is_kept = isinstance(neuron, LoihiLIF) or np.any(neuron.parameters()["alpha"])
            remedy = (
                "Train this map without a bias."
                if is_kept
                else "Use quantize(program), which moves them into the neurons."
            )
            yield Violation(layer.name, found, "biases in the neurons", remedy)


def _any_map(program: Program) -> Iterator[Violation]:
    for node in program.linear_maps:
        shape = program.in_shape(node.name)
        if isinstance(node, Slice | Place):
            what = "inputs" if isinstance(node, Slice) else "outputs"
            yield Violation(node.name, f"one of several {what}", f"a network with one of the {what}")
        if isinstance(node, Scale) and len(shape) == 3 and node.factor.ndim and np.ptp(node.factor, axis=(1, 2)).any():
            yield Violation(node.name, "a factor per pixel", "one number, or one per channel", "Use a dense map.")


def _any_output(program: Program) -> Iterator[Violation]:
    if program.output.reading != "spikes":
        found = f"reads a {program.output.reading}"
        yield Violation(program.output.name, found, "an output of spikes or sums", "Read its spikes instead.")


def _integers(program: Program) -> Iterator[Violation]:
    low, high = WEIGHTS
    for node in program.linear_maps:
        if isinstance(node, Dense | Conv | Scale):
            weight = node.factor if isinstance(node, Scale) else node.weight
            if weight.min() < low or weight.max() > high or np.any(weight % 2):
                found = f"{weight.min()} to {weight.max()}" + (", odd ones among them" if np.any(weight % 2) else "")
                remedy = "Round the weights to such numbers, or scale a layer's weights and thresholds down."
                yield Violation(f"{node.name}.weight", found, f"even numbers from {low} to {high}", remedy)


def _warm_up(program: Program, mapping: LavaMapping, late: Latencies | None) -> Iterator[Violation]:
    """Lava's neurons integrate their bias before the first sample arrives, and a loop would bring its spikes back."""
    if late is None or not any(edge.delay for edge in program.edges):
        return
    for layer in program.neuron_layers:
        if isinstance(layer.neuron, LoihiLIF) and layer.neuron.bias.max() * late.of[layer.name] > np.min(
            layer.neuron.v_threshold
        ):
            found = f"fires by its bias in the {late.of[layer.name]} steps before its first input"
            allowed = f"silence until then in a recurrent program, with --mapping {mapping}"
            yield Violation(layer.name, found, allowed, FUSED)


def _stock(layer: NeuronLayer, mapping: LavaMapping) -> Iterator[Violation]:
    neuron = layer.neuron
    where = f"--mapping {mapping}"
    if isinstance(neuron, Firing) and neuron.reset != "hard":
        yield Violation(layer.name, "soft reset", f"hard reset with {where}", FUSED)
    parameters = neuron.parameters()
    v_reset = parameters.get("v_reset", np.zeros(()))
    if v_reset.any():
        yield Violation(f"{layer.name}.v_reset", f"{v_reset[v_reset != 0][0]}", f"0 with {where}", FUSED)
    for name in {"v_threshold", "du", "dv", "alpha", "beta"} & parameters.keys():
        if parameters[name].ndim:
            yield Violation(f"{layer.name}.{name}", "one per neuron", f"one per layer with {where}", FUSED)
    if isinstance(neuron, LoihiLIF):
        heights = neuron.v_threshold // UNIT
        if np.any(neuron.v_threshold % UNIT) or heights.min() < 0 or heights.max() > LARGEST_THRESHOLD:
            found = f"{neuron.v_threshold.min() / UNIT:g} to {neuron.v_threshold.max() / UNIT:g} units of weight"
            allowed = f"whole numbers from 0 to {LARGEST_THRESHOLD:,} with {where}"
            yield Violation(f"{layer.name}.v_threshold", found, allowed, FUSED)
        if np.any(rounded_bias(neuron.bias.astype(np.float64)) != neuron.bias):
            allowed = f"mantissa (13 bits) << exponent (3 bits) with {where}"
            yield Violation(f"{layer.name}.bias", "bits that such a number does not have", allowed, FUSED)
