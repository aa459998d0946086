"""Each NIR node as a node of a Program, in the number format of the Program."""

from dataclasses import replace
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from tdd_deploy.neurons import IF, LI, LIF, CubaLI, CubaLIF, Firing, I, LoihiLIF, Neuron, Threshold
from tdd_deploy.neurons.loihi import DECAY, UNIT
from tdd_deploy.program import Conv, Dense, Flatten, Input, LinearMap, NeuronLayer, Node, Output, Pool, Scale, Shape
from tdd_deploy.program.discrete import gained, kept

from .choices import Choices

WHOLE = 1e-6  # a larger distance from a whole number is no rounding
Pair = tuple[int, int]
FloatArray = NDArray[np.floating[Any]]


def lower_node(name: str, node: nir.NIRNode, choices: Choices) -> Node:
    """Turn a NIR node that keeps every rule of ``rules.py`` into a node of a Program."""
    match node:
        case nir.Input():
            return Input(name=name, shape=_sizes(node.input_type["input"]))
        case nir.Output():
            return Output(name=name)
        case nir.LIF() | nir.CubaLIF() | nir.IF() | nir.LI() | nir.CubaLI() | nir.I() | nir.Threshold():
            return NeuronLayer(name=name, shape=_sizes(node.input_type["input"]), neuron=_neuron_of(node, choices))
    return _map(name, node, choices)


def _map(name: str, node: nir.NIRNode, choices: Choices) -> LinearMap:
    match node:
        case nir.Linear():
            return Dense(name=name, weight=_numbers(node.weight, choices))
        case nir.Affine():
            return _affine(name, node, choices)
        case nir.Conv2d():
            return _convolution(name, node, choices)
        case nir.SumPool2d() | nir.AvgPool2d():
            return Pool(
                name=name,
                kernel=_pair(node.kernel_size),
                stride=_pair(node.stride),
                padding=_pair(node.padding),
                average=isinstance(node, nir.AvgPool2d),
            )
        case nir.Scale():
            return Scale(name=name, factor=_parameter(node.scale, choices))
        case nir.Flatten():
            return Flatten(name=name)
    raise NotImplementedError(type(node).__name__)


def _affine(name: str, node: nir.Affine, choices: Choices) -> Dense | Scale:
    """Make a dense map, or a Scale with a bias if the metadata name one and the matrix is diagonal."""
    weight, diagonal = np.asarray(node.weight), np.diagonal(node.weight)
    is_diagonal = weight.shape == (len(diagonal),) * 2 and np.count_nonzero(weight) == np.count_nonzero(diagonal)
    if node.metadata.get("map") == "diagonal" and is_diagonal:
        return Scale(name=name, factor=_parameter(diagonal, choices), bias=_parameter(node.bias, choices))
    return Dense(name=name, weight=_numbers(weight, choices), bias=_numbers(node.bias, choices))


def _convolution(name: str, node: nir.Conv2d, choices: Choices) -> Conv:
    bias = _numbers(node.bias, choices)
    return Conv(
        name=name,
        weight=_numbers(node.weight, choices),
        bias=bias if np.any(bias) else None,  # NIR has no convolution without a bias
        stride=_pair(node.stride),
        padding=_pair(node.padding),
        dilation=_pair(node.dilation),
        groups=int(node.groups),
    )


def _neuron_of(node: nir.NIRNode, choices: Choices) -> Neuron:
    is_integer = choices.number_format == "integer" and isinstance(node, nir.LIF | nir.CubaLIF | nir.LI)
    neuron = _integer_neuron(node, choices) if is_integer else _neuron(node, choices)
    if node.metadata.get("compare") != ">=" or not isinstance(neuron, Firing | Threshold):
        return neuron
    return replace(neuron, compare=">=", v_threshold=_next_up(neuron.v_threshold, is_integer=is_integer))


def _next_up(v_threshold: FloatArray, *, is_integer: bool) -> FloatArray:
    """Find the next larger number: ``v > x`` holds exactly where ``v >= next up`` does."""
    next_up = v_threshold + 1 if is_integer else np.nextafter(v_threshold, np.inf, dtype=v_threshold.dtype)
    return np.asarray(next_up + 0)  # -0 is 0


def _integer_neuron(node: nir.NIRNode, choices: Choices) -> Neuron:
    """Restore a neuron that the NIR exporter wrote; LI is the membrane of a soft reset, and its threshold follows."""
    tau_mem = node.tau_mem if isinstance(node, nir.CubaLIF) else node.tau
    gain = gained(choices.dt_s, tau_mem, choices.integration)
    is_filtered, is_membrane = isinstance(node, nir.CubaLIF), isinstance(node, nir.LI)
    lost_of_u = gained(choices.dt_s, node.tau_syn, choices.integration) if is_filtered else np.ones_like(gain)
    return LoihiLIF(
        v_threshold=_parameter(np.zeros(1) if is_membrane else UNIT * node.v_threshold, choices),
        v_reset=_parameter(np.zeros(1) if is_membrane else UNIT * node.v_reset, choices),
        reset="soft" if is_membrane else "hard",
        du=_parameter(_whole(DECAY * lost_of_u) - 1, choices),
        dv=_parameter(_whole(DECAY * gain), choices),
        bias=_parameter(_whole(UNIT * node.v_leak * gain), choices),
    )


def _whole(values: FloatArray) -> FloatArray:
    """Undo the rounding of whole numbers that were stored as floats; keep others, so that they are refused."""
    nearest = np.rint(values)
    return np.asarray(np.where(np.abs(values - nearest) <= WHOLE, nearest, values))


def _neuron(node: nir.NIRNode, choices: Choices) -> Neuron:
    def parameter(key: str) -> FloatArray:
        return _parameter(getattr(node, key), choices)

    def fraction(tau: str) -> FloatArray:
        return _parameter(kept(choices.dt_s, getattr(node, tau), choices.integration), choices)

    firing: dict[str, Any] = {key: parameter(key) for key in ("v_threshold", "v_reset") if hasattr(node, key)}
    match node:
        case nir.LIF() | nir.IF():
            return LIF(beta=fraction("tau"), **firing) if isinstance(node, nir.LIF) else IF(**firing)
        case nir.CubaLIF():
            return CubaLIF(alpha=fraction("tau_syn"), beta=fraction("tau_mem"), **firing)
        case nir.LI():
            return LI(beta=fraction("tau"))
        case nir.CubaLI():
            return CubaLI(alpha=fraction("tau_syn"), beta=fraction("tau_mem"))
        case nir.Threshold():
            return Threshold(v_threshold=parameter("threshold"))
    assert isinstance(node, nir.I)
    return I()


def _numbers(values: NDArray[Any], choices: Choices) -> FloatArray:
    """Convert floats to the number format; leave those of integer programs for ``build`` to check and convert."""
    number_format = "float64" if choices.number_format == "integer" else choices.number_format
    return np.asarray(values).astype(number_format, copy=False)


def _parameter(values: NDArray[Any], choices: Choices) -> FloatArray:
    """Reduce equal numbers to one of shape (), which NIR cannot store."""
    numbers = _numbers(values, choices)
    first = numbers.reshape(-1)[0]
    return np.asarray(first) if np.all(numbers == first) else numbers


def _pair(values: Any) -> Pair:
    vertical, horizontal = np.broadcast_to(values, 2)
    return int(vertical), int(horizontal)


def _sizes(values: Any) -> Shape:
    return tuple(int(size) for size in values)
