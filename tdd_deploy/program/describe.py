"""Nodes in words."""

from dataclasses import fields

import numpy as np

from tdd_deploy.neurons import Neuron, SigmaDelta

from .nodes import Conv, Dense, Input, NeuronLayer, Node, Output, Pool, Scale


def kind(node: Node) -> str:
    """Return the node's kind, for neurons their model."""
    return type(node.neuron if isinstance(node, NeuronLayer) else node).__name__


def parameters(node: Node) -> str:
    """Return the node's parameters in one line; ranges stand for arrays."""
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
            return f"factor {_range(node.factor)}"
        case Input() | Output():
            return _border(node)
    return ""


def _weights(node: Dense | Conv) -> str:
    weights = f"weight {_shape(node.weight)}{_bias(node)}"
    if isinstance(node, Dense):
        return weights
    choices = {"stride": node.stride, "padding": node.padding, "dilation": node.dilation}
    text = "".join(f", {name} {_pair(pair)}" for name, pair in choices.items() if pair != (1, 1) or name == "padding")
    groups = f", {node.groups} groups" if node.groups > 1 else ""
    return f"{weights}{text}{groups}"


def _border(node: Input | Output) -> str:
    if isinstance(node, Output):
        return "" if node.unit == 1 else f"in units of {node.unit:g}"
    return "" if (node.scale, node.largest) == (1, 1) else f"integers round({node.scale:g} x), at most {node.largest}"


def _neuron(neuron: Neuron) -> str:
    numbers = [f"{name} {_range(value)}" for name, value in neuron.parameters().items()]
    choices = {f.name: getattr(neuron, f.name) for f in fields(neuron)}
    if "reset" in choices:
        numbers.append(f"{choices['reset']} reset")
    if isinstance(neuron, SigmaDelta):
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


def _bias(node: Dense | Conv) -> str:
    return "" if node.bias is None else " + bias"
