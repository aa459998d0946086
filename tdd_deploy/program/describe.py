"""Describe nodes in words."""

import math
from collections.abc import Iterator

import numpy as np

from tdd_deploy.neurons import Neuron, SigmaDelta

from .nodes import Conv, Dense, Input, NeuronLayer, Node, Output, Place, Pool, Scale, Slice
from .program import Program


def kind(node: Node) -> str:
    """Name the node's kind; for neurons, their model."""
    return type(node.neuron if isinstance(node, NeuronLayer) else node).__name__


def parameters(node: Node) -> str:
    """Describe the node's parameters in one line, arrays as ranges."""
    match node:
        case NeuronLayer():
            return _neuron(node.neuron)
        case Dense() | Conv():
            return _weights(node)
        case Pool():
            how = "average" if node.average else "sum"
            padding = f", padding {_pair(node.padding)}" if node.padding != (0, 0) else ""
            return f"{how} of {_pair(node.kernel)}, stride {_pair(node.stride)}{padding}"
        case Scale():
            return f"factor {_range(node.factor)}{_bias(node)}"
    return _border(node)


def time_constants(program: Program) -> Iterator[str]:
    """Describe the time constants of each layer in time steps, by the program's integration rule."""
    for layer in program.neuron_layers:
        for name, tau in (("alpha", "tau_syn"), ("beta", "tau")):
            kept = getattr(layer.neuron, name, None)
            if kept is not None and np.min(kept) > 0 and np.max(kept) < 1:
                kept = np.asarray(kept, np.float64)
                steps = 1 / (1 - kept) if program.integration == "euler" else -1 / np.log(kept)
                yield f"{layer.name} {tau} {_range(steps)} steps"


def _weights(node: Dense | Conv) -> str:
    weights = f"weight {_shape(node.weight)}{_bias(node)}"
    if isinstance(node, Dense):
        return weights
    choices = {"stride": node.stride, "padding": node.padding, "dilation": node.dilation}
    text = "".join(f", {name} {_pair(pair)}" for name, pair in choices.items() if pair != (1, 1) or name == "padding")
    groups = f", {node.groups} groups" if node.groups > 1 else ""
    sides = zip(("top", "left", "bottom", "right"), node.evened, strict=True)
    zeros = ", ".join(f"{n} at the {side}" for side, n in sides if n)
    return f"{weights}{text}{groups}" + (f", rows and columns of zeros for uneven padding: {zeros}" if zeros else "")


def _border(node: Node) -> str:
    match node:
        case Slice():
            return f"numbers {node.start + 1} to {node.start + math.prod(node.shape)} of the input"
        case Place():
            return f"from number {node.start + 1} of the output on"
        case Output() if node.unit != 1:
            return f"in units of {node.unit:g}"
        case Input() if (node.scale, node.largest) != (1, 1):
            return f"integers round({node.scale:g} x), at most {node.largest}"
    return ""


def _neuron(neuron: Neuron) -> str:
    numbers = [f"{name} {_range(value)}" for name, value in neuron.parameters().items()]
    choices = {name: getattr(neuron, name) for name in neuron.choices}
    if "reset" in choices:
        late = ", a step late" if choices.get("resets") == "next step" else ""
        held = ", what is left above v_threshold is held" if choices.get("left_over") == "held" else ""
        numbers.append("no reset" if choices["reset"] == "none" else f"{choices['reset']} reset{late}{held}")
    if choices.get("spikes") == "many":
        numbers.append("fires as often as v_threshold is in v")
    elif isinstance(neuron, SigmaDelta):
        x = "max(0, current)" if neuron.activation == "relu" else "current"
        numbers.append(f"sends x = {x} when |x - last sent| {neuron.compare} delta_threshold")
    elif "compare" in choices:
        numbers.append(f"fires when v {choices['compare']} v_threshold")
    return ", ".join(numbers)


def _range(values: np.ndarray) -> str:
    low, high = float(values.min()), float(values.max())
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def _shape(array: np.ndarray) -> str:
    return " x ".join(map(str, array.shape))


def _pair(pair: tuple[int, int]) -> str:
    return f"{pair[0]} x {pair[1]}"


def _bias(node: Dense | Conv | Scale) -> str:
    return "" if node.bias is None else " + bias"
