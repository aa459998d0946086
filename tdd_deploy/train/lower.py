"""From a trained network to a Program."""

from itertools import pairwise

import numpy as np
from torch import nn

from tdd_deploy.neurons import Neuron
from tdd_deploy.program import Conv, Dense, Edge, Flatten, Input, NeuronLayer, Node, Output, Program, Shape, build

from .network import Connection, Network

DT_S = 1e-3  # the trainer knows fractions kept per step, not seconds; a step is written as one millisecond


def lower(network: Network, *, n_steps: int, encoder: str) -> Program:
    """Return what the network computes in evaluation mode, spike for spike, in float32."""
    shape: Shape = network.input_shape
    nodes: list[Node] = [Input(name="input", shape=shape)]
    numbers = dict.fromkeys(("conv", "fc"), 0)
    for layer in network.layers:
        if layer.flatten:
            flatten = Flatten(name="flatten")
            nodes.append(flatten)
            shape = flatten.out_shape(shape)
        assert isinstance(layer.connection, Connection)  # a network that learns
        kind = "conv" if isinstance(layer.connection.weights, nn.Conv2d) else "fc"
        numbers[kind] += 1
        number = f"{kind}{numbers[kind]}"
        linear_map = _linear_map("readout" if layer.neuron is None else number, layer.connection)
        nodes.append(linear_map)
        shape = linear_map.out_shape(shape)
        if layer.neuron is not None:
            nodes.append(NeuronLayer(name=f"{number}_spikes", shape=shape, neuron=_to_numpy(layer.neuron)))
    nodes.append(Output(name="output"))
    edges = [Edge(a.name, b.name) for a, b in pairwise(nodes)]
    return build(nodes, edges, dt_s=DT_S, n_steps=n_steps, encoder=encoder, subject="the trained network")


def _linear_map(name: str, connection: Connection) -> Dense | Conv:
    weight, bias = (tensor.cpu().numpy() for tensor in connection.deployed())
    module = connection.weights
    if isinstance(module, nn.Linear):
        return Dense(name=name, weight=weight, bias=bias)
    return Conv(name=name, weight=weight, bias=bias, stride=module.stride, padding=module.padding)  # type: ignore[arg-type]


def _to_numpy(neuron: Neuron) -> Neuron:
    return neuron.converted(lambda value: np.asarray(value.cpu()))
