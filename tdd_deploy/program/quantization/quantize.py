"""From floats to the integers of Loihi 2: one scale per layer, or per neuron, and a report of the loss.

Hard reset makes the neuron scale-free: the currents of a layer are multiplied by its scale, and so are threshold, reset
and bias; weights are rounded. A scale belongs to a receiver (a layer of neurons, or the output), so that all its
branches share it.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from tdd_deploy.errors import BadOptions, NotExportable, Violation, any_of
from tdd_deploy.neurons import IF, LIF, CubaLIF, LoihiLIF, Threshold
from tdd_deploy.neurons.loihi import BITS
from tdd_deploy.options.quantization import LARGEST_INPUT_BITS
from tdd_deploy.options.vocabulary import Per
from tdd_deploy.program.biases import currents_of_biases
from tdd_deploy.program.nodes import Input, NeuronLayer, Place, Slice
from tdd_deploy.program.program import Program

from .paths import Paths
from .scales import Quantized, Quantizer

SHRINK = 0.001  # by how much more a sum that wraps after rounding is made smaller; doubled at each attempt
INPUT_BITS = range(1, 9)  # tried
READ_CURRENTS = "Read currents instead: connect the last linear map to the output."


def quantize(
    program: Program,
    *,
    bits: int = 8,
    per: Per = "layer",
    input_bits: int | None = None,
    largest_input: float = 1.0,
    samples: NDArray[Any] | None = None,
    binary_input: bool = False,
) -> Quantized:
    """Turn a float program into the integers of Loihi 2, as Lava 0.10 simulates it.

    Weights become even integers within [-256, 254] (8 bits; multiples of 2 ** (9 - bits) for fewer), thresholds
    multiples of 64, biases ``mantissa << exponent``, fractions kept multiples of 1/4096. The scale of a receiver is the
    largest for which weights, threshold and bias fit, and no sum can wrap.

    Args:
        program: in float32 or float64; at most one map with weights on any path between two layers of neurons.
        bits: bits of a weight, sign included: 2 to 8.
        per: one scale per ``layer``, or per ``neuron`` (channel of a convolution), which needs a threshold per neuron.
        input_bits: bits of an analog input's fraction: values are multiplied by ``2 ** input_bits / largest_input``.
            By default ``best_input_bits``.
        largest_input: magnitude of the largest value of an analog input.
        samples: values of an analog input that decide its bits.
        binary_input: the data contain only 0 and 1, so these are the input's integers, unless ``input_bits`` is given.

    Raises:
        NotExportable: the program holds what these integers cannot hold; every reason is named.
        BadOptions: an option is not allowed.
    """
    _check_options(bits=bits, per=per, input_bits=input_bits, largest_input=largest_input)
    if program.encoder != "direct" or (binary_input and input_bits is None):
        source = _with_input_of(program, scale=1.0, largest=1)  # spikes are integers already
    else:
        if input_bits is None:
            input_bits = best_input_bits(program, samples, bits=bits, per=per, largest_input=largest_input)
        source = _with_input_of(program, scale=2.0**input_bits / largest_input, largest=2**input_bits)
    paths = Paths(source)
    violations = (*_unholdable(source), *paths.violations())
    if violations:
        raise NotExportable("this program does not fit Loihi 2's integers", violations)
    quantizer = Quantizer(source, paths, bits, per)
    result = quantizer.result()
    by = SHRINK
    while quantizer.shrink(result.layers, by):  # rounding can lift a sum above its bound
        del result  # its weights, before others are made
        result, by = quantizer.result(), min(2 * by, 0.5)
    return result


def best_input_bits(
    program: Program, samples: NDArray[Any] | None, *, bits: int, per: Per = "layer", largest_input: float = 1.0
) -> int:
    """Choose the bits of an analog input that lose least: as no sum may wrap, more of them leave fewer to the weights.

    The loss is the mean square of the rounding errors, relative to the mean square of the inputs and of the weights.

    Args:
        program: in floats.
        samples: values of the input; without them, values spread evenly are assumed.
        bits: bits of a weight.
        per: as for ``quantize``.
        largest_input: as for ``quantize``.
    """
    if program.encoder != "direct":
        return INPUT_BITS[-1]  # spikes
    lost = {}
    for input_bits in INPUT_BITS:
        layers = quantize(program, bits=bits, per=per, input_bits=input_bits, largest_input=largest_input).layers
        of_inputs = _lost_of_inputs(samples, 2.0**input_bits / largest_input, input_bits)
        lost[input_bits] = of_inputs + sum(layer.error**2 for layer in layers)
    return min(lost, key=lambda input_bits: lost[input_bits])


def _lost_of_inputs(samples: NDArray[Any] | None, scale: float, input_bits: int) -> float:
    """Compute the mean square of the rounding errors of an input, relative to the mean square of its values."""
    if samples is None:
        return 2.0 ** (-2 * input_bits) / 4
    power = np.square(samples, dtype=np.float64).sum()
    return float(np.square(np.rint(samples * scale) / scale - samples, dtype=np.float64).sum() / (power or 1.0))


def _check_options(*, bits: int, per: str, input_bits: int | None, largest_input: float) -> None:
    found = []
    if bits not in BITS:
        found.append(Violation("`bits`", str(bits), "2 to 8"))
    if per not in get_args(Per):
        found.append(Violation("`per`", repr(per), any_of(get_args(Per))))
    if input_bits is not None and not 1 <= input_bits <= LARGEST_INPUT_BITS:
        found.append(Violation("`input_bits`", str(input_bits), f"1 to {LARGEST_INPUT_BITS}"))
    if not 0 < largest_input < np.inf:
        found.append(Violation("`largest_input`", str(largest_input), "above 0"))
    if found:
        raise BadOptions("", found)


def _with_input_of(program: Program, *, scale: float, largest: int) -> Program:
    """Return the program with the scale of its input set."""
    nodes = tuple(
        replace(node, scale=scale, largest=largest) if isinstance(node, Input) else node for node in program.nodes
    )
    return replace(program, nodes=nodes)


def _unholdable(program: Program) -> Iterator[Violation]:
    if program.number_format == "integer":
        yield Violation(
            "number_format", "integer", "float32 or float64", "It is already in integers: leave out `bits`."
        )
    if program.output.reading != "spikes":
        found = f"reads a {program.output.reading}, which has no scale"
        remedy = "Quantize the program first, then let its output read potentials."
        yield Violation(program.output.name, found, remedy=remedy)
    for layer in program.neuron_layers:
        if type(layer.neuron) not in (LIF, IF, CubaLIF, Threshold, LoihiLIF):
            numbers = "" if layer.neuron.spiking else ", which sends numbers"
            allowed = "a neuron that fires once per step and resets at once (IF, LIF, CubaLIF, Threshold)"
            remedy = READ_CURRENTS if is_only_read(program, layer) else ""
            yield Violation(layer.name, f"{type(layer.neuron).__name__}{numbers}", allowed, remedy)
    for node in program.linear_maps:
        if isinstance(node, Slice | Place):
            kind = "input" if isinstance(node, Slice) else "output"
            yield Violation(node.name, f"is one of several {kind}s, but integers have one scale for the {kind}")
    silent = currents_of_biases(program)
    for layer in program.neuron_layers:
        if isinstance(layer.neuron, CubaLIF) and np.any(layer.neuron.alpha) and np.any(silent[layer.name]):
            found = "is a CubaLIF that filters a bias, but Loihi 2 adds biases to v, unfiltered"
            yield Violation(layer.name, found, remedy="Train the maps before it without a bias.")


def is_only_read(program: Program, layer: NeuronLayer) -> bool:
    """Whether a layer that does not spike leads only to the output, so that its currents could be read instead."""
    return not layer.neuron.spiking and {e.target for e in program.outgoing[layer.name]} == {program.output.name}
