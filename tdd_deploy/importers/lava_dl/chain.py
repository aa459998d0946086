"""The nodes of a Program in the making, one after another, as netx builds the processes of a .net file in Lava 0.10."""

from dataclasses import dataclass, field

import numpy as np

from tdd_deploy.errors import Violation
from tdd_deploy.neurons import LavaSigmaDelta, LoihiLIF, Neuron
from tdd_deploy.neurons.loihi import DECAY, LIMIT, UNIT
from tdd_deploy.program import Conv, Dense, Edge, Flatten, Input, LinearMap, NeuronLayer, Node, Scale, Shape, ShapeError

from .layer import MANTISSA, Layer

SPIKE_EXP = 6  # as netx sets it: messages of SDNN neurons are in 64ths


@dataclass
class Chain:
    """The nodes of a Program in the making, each after the one before."""

    nodes: list[Node] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)
    shapes: list[Shape] = field(default_factory=list)  # shapes that the nodes send

    @property
    def shape(self) -> Shape:
        """The shape that the last node sends."""
        return self.shapes[-1]

    def append(self, layer: Layer) -> None:
        """Add the nodes of a layer whose values are well formed."""
        n, is_first = layer.number, not self.nodes
        if layer.kind == "input" and not is_first:
            self.violations.append(Violation(layer.named("type"), "is input, but only the first layer can be that"))
        elif layer.kind == "input":
            self._begin(layer)
        elif layer.kind == "flatten" and not is_first:
            self._map(layer, Flatten(name=f"flatten{n}"))
        elif layer.kind == "dense":
            weight = layer.weight if layer.neuron != "SDNN" else layer.weight / UNIT
            if is_first:
                self._put(Input(name="input", shape=(weight.shape[1],)), (weight.shape[1],))
            self._map(layer, Dense(name=f"dense{n}", weight=weight))
            self._fire(layer)
        elif layer.kind == "conv" and not is_first:
            weight = layer.weight if layer.neuron != "SDNN" else layer.weight / UNIT
            conv = Conv(
                name=f"conv{n}",
                weight=weight,
                stride=layer.pair("stride"),
                padding=layer.pair("padding"),
                dilation=layer.pair("dilation"),
                groups=layer.whole("groups"),
            )
            self._map(layer, conv)
            self._fire(layer)
        else:
            allowed, remedy = "input or dense, which state its shape", "Export the network with its input block."
            self.violations.append(Violation(layer.named("type"), layer.kind, allowed, remedy))

    def _begin(self, layer: Layer) -> None:
        weight = float(layer.weight.ravel()[0])
        if layer.neuron is None:
            self._put(Input(name="input", shape=layer.shape), layer.shape)
        elif layer.neuron == "SDNN":
            self._put(Input(name="input", shape=layer.shape), layer.shape)
            self._put(Scale(name="scale0", factor=np.asarray(weight)), layer.shape)
            self._fire(layer)
        else:
            largest = MANTISSA - int(np.abs(layer.bias).max())
            self._put(Input(name="input", shape=layer.shape, scale=weight, largest=max(1, largest)), layer.shape)
            self._fire(layer)

    def _map(self, layer: Layer, node: LinearMap) -> None:
        try:
            shape = node.out_shape(self.shape)
        except ShapeError as error:
            self.violations.append(
                Violation(f"layer/{layer.number}", f"receives shape {self.shape}, but takes {error}")
            )
            shape = layer.shape
        self._put(node, shape)

    def _fire(self, layer: Layer) -> None:
        if layer.shape != self.shape:
            self.violations.append(Violation(layer.named("shape"), f"{layer.shape}", f"{self.shape}, as computed"))
        elif not layer.is_sum:
            self._put(NeuronLayer(name=f"layer{layer.number}", shape=self.shape, neuron=_neuron(layer)), self.shape)

    def _put(self, node: Node, shape: Shape) -> None:
        if self.nodes:
            self.edges.append(Edge(self.nodes[-1].name, node.name))
        self.nodes.append(node)
        self.shapes.append(shape)


def _neuron(layer: Layer) -> Neuron:
    if layer.neuron == "SDNN":
        is_input = layer.kind == "input"
        return LavaSigmaDelta(
            delta_threshold=np.asarray(layer.whole("neuron/vThMant")),
            activation="none" if is_input else "relu",
            compare=">=",
            grid=np.asarray(2.0**-SPIKE_EXP),
            bias=layer.bias,
        )
    if layer.is_integrator:
        # iDecay 0, vDecay 4096, vThMant 2**17 in netx: u keeps all, v is u + bias, and no v of 24 bits is above that.
        return LoihiLIF(
            v_threshold=np.asarray(LIMIT - 1),
            v_reset=np.asarray(0),
            du=np.asarray(-1),
            dv=np.asarray(DECAY),
            bias=UNIT * layer.bias,
        )
    return LoihiLIF(
        v_threshold=np.asarray(UNIT * layer.whole("neuron/vThMant")),
        v_reset=np.asarray(0),
        du=np.asarray(DECAY - 1 if layer.kind == "input" else layer.whole("neuron/iDecay") - 1),  # inputs are biases
        dv=np.asarray(layer.whole("neuron/vDecay")),
        bias=UNIT * layer.bias,
    )
