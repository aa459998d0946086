"""Nodes of a Program in the making: operators of an ONNX graph add theirs here."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

import numpy as np

from tdd_deploy.neurons import SigmaDelta
from tdd_deploy.program import Edge, Input, LinearMap, NeuronLayer, Node, Output, Shape

from .fold import Affine
from .signals import NO_PADS, Array, Op, Refused, Signal, require_no_pads

MOST_VALUES = 1 << 28  # in a tensor for one sample
ONE_SHAPE = "Use one shape of the input for all nodes that read it."


@dataclass(kw_only=True)
class Builder:
    """Nodes, each after its sources, and the edges between them."""

    output: str  # as the file names it
    batch: int  # samples that the file fixes; 0: any
    input: str = ""  # as the Program names it
    nodes: dict[str, Node] = field(default_factory=dict)
    edges: list[Edge] = field(default_factory=list)
    shapes: dict[str, Shape] = field(default_factory=dict)  # shapes that nodes send
    taken: set[str] = field(default_factory=set)  # names that nodes have or had
    left_out: list[str] = field(default_factory=list)
    counted: list[str] = field(default_factory=list)  # pools that became convolutions, whose synapses count

    def add_input(self, wanted: str, shape: Shape, *, is_line: bool) -> Signal:
        """Add the input."""
        self.input = self._free(wanted)
        self.nodes[self.input] = Input(name=self.input, shape=shape)
        self.shapes[self.input] = shape
        return Signal(sources=(self.input,), shape=shape, is_line=is_line)

    def add_output(self, signal: Signal) -> None:
        """Add the output, and remove what does not lead to it."""
        name = self._free("output")
        self.nodes[name] = Output(name=name)
        self.edges += [Edge(source, name) for source in signal.sources]
        self._remove_unused(name)

    def _remove_unused(self, output: str) -> None:
        sources: dict[str, list[str]] = {}
        for edge in self.edges:
            sources.setdefault(edge.target, []).append(edge.source)
        used, left = {self.input}, [output]
        while left:
            name = left.pop()
            if name not in used:
                used.add(name)
                left += sources.get(name, [])
        self.nodes = {name: node for name, node in self.nodes.items() if name in used}
        self.edges = [edge for edge in self.edges if edge.target in used]

    def _free(self, wanted: str) -> str:
        """Make a name that a Program can have, and that was not used before."""
        stem = wanted.strip("/").replace("/", ".") or "node"
        names = (stem if number == 1 else f"{stem}_{number}" for number in count(1))
        name = next(name for name in names if name not in self.taken)
        self.taken.add(name)
        return name

    def add(self, wanted: str, make: Callable[[str], LinearMap], signal: Signal, **fields: Any) -> Signal:
        """Add a linear map after a signal; ``fields`` are further fields of the signal that it sends."""
        name = self._free(wanted)
        made = make(name)
        shape = made.out_shape(signal.shape)
        if math.prod(shape) > MOST_VALUES:
            raise Refused(f"sends {math.prod(shape):,} values for a sample, more than {MOST_VALUES:,}")
        return self._append(made, shape, signal, **fields)

    def add_neurons(self, wanted: str, signal: Signal) -> Signal:
        """Add a layer of sigma-delta neurons after a signal."""
        neuron = SigmaDelta(delta_threshold=np.zeros((), np.float32))
        layer = NeuronLayer(name=self._free(wanted), shape=signal.shape, neuron=neuron)
        fields = {"channel_last": signal.channel_last, "columns": signal.columns}
        return self._append(layer, signal.shape, signal, **fields)

    def add_affine(self, op: Op, signal: Signal, factor: Array, bias: Array) -> Signal:
        """Multiply and shift values; both arrays have an axis for each of the signal's, of its size or of 1."""
        shape, pads = signal.shape, NO_PADS
        if any(signal.pads) and not np.any(bias) and factor.shape[1:] == (1, 1):  # zeros stay zeros
            pads, signal = signal.pads, replace(signal, pads=NO_PADS)
        fields = {"channel_last": signal.channel_last, "columns": signal.columns, "pads": pads}
        return self.add(
            op.name, lambda name: Affine(name=name, factor=factor, bias=bias, shape=shape), signal, **fields
        )

    def reshape_input(self, shape: Shape, *, is_line: bool = False) -> Signal:
        """Give the input another shape; nothing may have read it in its former one."""
        if any(edge.source == self.input for edge in self.edges):
            raise Refused("reshapes the input, which other nodes read as it was", remedy=ONE_SHAPE)
        del self.nodes[self.input]
        return self.add_input(self.input, shape, is_line=is_line)

    def _append(self, node: Node, shape: Shape, signal: Signal, **fields: Any) -> Signal:
        require_no_pads(signal)
        if any(source not in self.nodes for source in signal.sources):
            raise Refused("receives the input before it is reshaped", remedy=ONE_SHAPE)
        self.nodes[node.name] = node
        self.shapes[node.name] = shape
        self.edges += [Edge(source, node.name) for source in signal.sources]
        return Signal(sources=(node.name,), shape=shape, is_line=signal.is_line and len(shape) == 3, **fields)
