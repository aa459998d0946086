"""Lower a trained network to a Program, part by part, under the same names."""

import numpy as np
import torch
from torch import nn

from tdd_deploy.neurons import Neuron, SigmaDelta, Threshold
from tdd_deploy.program import (
    Conv,
    Dense,
    Edge,
    Flatten,
    Input,
    LinearMap,
    NeuronLayer,
    Node,
    Output,
    Pool,
    Program,
    Shape,
    build,
)

from . import network as trained
from .gates import AnyOf, Gate
from .network import Connection, Network, Neurons, Part, Weights

DT_S = 1e-3  # training has fractions kept per step, and no seconds; a step becomes one millisecond
OUTPUT = "output"


def lower(network: Network, *, n_steps: int, encoder: str) -> Program:
    """Lower a network to the Program that it computes in evaluation mode, spike for spike, in float32.

    The ReLUs of a ReLU network become sigma-delta neurons that send every change.
    """
    nodes: list[Node] = [Input(name=network.source, shape=network.input_shape)]
    shapes: dict[str, Shape] = {network.source: network.input_shape}
    edges = [Edge(source, OUTPUT) for source in network.outputs]
    deployed = network.deployed()
    for part in network.parts:
        before = part.sources
        if isinstance(part.module, AnyOf):
            gate = part.module
            pool = Pool(name=f"{part.name}_sum", kernel=gate.kernel, stride=gate.stride, padding=gate.padding)
            nodes.append(pool)
            edges += [Edge(source, pool.name) for source in before]
            shapes[pool.name] = pool.out_shape(shapes[before[0]])
            before = (pool.name,)
        node = _node(part, shapes[before[0]], deployed)
        shapes[part.name] = node.out_shape(shapes[before[0]]) if isinstance(node, LinearMap) else shapes[before[0]]
        nodes.append(node)
        edges += [Edge(source, part.name) for source in before]
    nodes.append(Output(name=OUTPUT))
    return build(nodes, edges, dt_s=DT_S, n_steps=n_steps, encoder=encoder, subject="the trained network")


def _node(part: Part, shape: Shape, deployed: dict[str, Weights]) -> Node:
    match part.module:
        case Connection():
            return _linear_map(part.name, part.module, deployed[part.name])
        case Neurons() | Gate() | trained.Relu():
            return NeuronLayer(name=part.name, shape=shape, neuron=_neuron(part.module, shape))
        case trained.SumPool():
            return Pool(name=part.name, kernel=part.module.kernel, stride=part.module.kernel)
        case trained.Broadcast():
            height, width = part.module.size
            ones = np.ones((shape[0], 1, height, width), np.float32)
            return Conv(name=part.name, weight=ones, padding=(height - 1, width - 1), groups=shape[0])
        case trained.Flatten():
            return Flatten(name=part.name)
    raise AssertionError(part)


def _linear_map(name: str, connection: Connection, deployed: Weights) -> Dense | Conv:
    weight, bias = (tensor.cpu().numpy() for tensor in deployed)
    module = connection.weights
    if isinstance(module, nn.Linear):
        return Dense(name=name, weight=weight, bias=bias)
    return Conv(name=name, weight=weight, bias=bias, stride=module.stride, padding=module.padding)  # type: ignore[arg-type]


def _neuron(module: Neurons | Gate | trained.Relu, shape: Shape) -> Neuron:
    match module:
        case trained.Relu():
            return SigmaDelta(delta_threshold=np.float32(0))
        case Gate():
            return Threshold(v_threshold=np.float32(module.v_threshold))
    return _to_numpy(module.neuron, shape)


def _to_numpy(neuron: Neuron, shape: Shape) -> Neuron:
    def converted(value: torch.Tensor) -> np.ndarray:
        array = value.detach().cpu().numpy()
        return array if array.ndim == 0 else np.broadcast_to(array, shape)

    return neuron.converted(converted)
