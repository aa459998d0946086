"""What becomes several nodes in NIR: a layer with soft reset, an edge with a delay, the border of integers."""

from collections.abc import Collection, Iterator, Mapping

import numpy as np

from tdd_deploy.neurons import LI, LIF, Firing, I, LoihiLIF, Neuron, Threshold, VariantLIF
from tdd_deploy.program import Edge, Input, NeuronLayer, Node, Output, Program, Scale, Shape
from tdd_deploy.program.recurrence import recurrence

from .nodes import FloatArray, unit_of

INPUT_SCALE, OUTPUT_UNIT = "input_scale", "output_unit"  # nodes at the border of an integer program


def parts_of(program: Program, node: Node) -> Iterator[tuple[Node, Shape]]:
    """Yield the nodes that NIR needs for a node, each with the shape that it receives."""
    shape = node.shape if isinstance(node, Input) else program.in_shape(node.name)
    if program.number_format == "integer" and isinstance(node, Input):
        yield Scale(name=INPUT_SCALE, factor=np.asarray(node.scale)), shape
    if program.number_format == "integer" and isinstance(node, Output):
        yield Scale(name=OUTPUT_UNIT, factor=np.asarray(node.unit)), shape
    if not (isinstance(node, NeuronLayer) and is_soft(node)):
        yield node, shape
        return
    assert isinstance(node.neuron, Firing | VariantLIF)
    beta, membrane, unit = _soft_parts(node.neuron)
    yield NeuronLayer(name=membrane_name(node.name), shape=shape, neuron=membrane), shape
    yield NeuronLayer(name=node.name, shape=shape, neuron=unit), shape
    yield Scale(name=reset_name(node.name), factor=-(beta * unit.v_threshold)), shape


def _soft_parts(neuron: Firing | VariantLIF) -> tuple[FloatArray | int, Neuron, Threshold]:
    """Split a neuron with soft reset into the factor of its reset, its membrane and its threshold."""
    unit = Threshold(v_threshold=neuron.v_threshold / unit_of(neuron), compare=neuron.compare)
    match neuron:
        case LoihiLIF():
            return neuron.beta, neuron, unit
        case LIF():
            return neuron.beta, LI(beta=neuron.beta), unit
        case VariantLIF():
            return 1, LI(beta=neuron.beta), unit
    return 1, I(), unit


def is_soft(layer: NeuronLayer) -> bool:
    """Whether NIR needs three nodes for a layer, since its reset is soft."""
    return isinstance(layer.neuron, Firing | VariantLIF) and layer.neuron.reset == "soft"


def membrane_name(name: str) -> str:
    """Name the node that integrates for a layer with soft reset."""
    return f"{name}_membrane"


def reset_name(name: str) -> str:
    """Name the node that resets a layer with soft reset."""
    return f"{name}_reset"


def explicit_delays(program: Program) -> tuple[Edge, ...]:
    """Find the edges whose delay becomes a node: no cycle implies it, or a cycle implies another one."""
    explicit: tuple[Edge, ...] = ()
    while True:
        found = delays_as_read(program, explicit)
        more = [edge for edge in program.edges if edge not in explicit and edge.delay and edge.delay != found[edge]]
        if not more:
            return explicit
        explicit += tuple(more)


def delays_as_read(program: Program, explicit: Collection[Edge]) -> Mapping[Edge, int]:
    """Find the delay that a reader of NIR gives each edge, if the delays of some are nodes."""
    pairs = [(edge.source, edge.target) for edge in program.edges]
    found = recurrence(program.nodes, pairs, delayed=[(edge.source, edge.target) for edge in explicit])
    return {
        edge: edge.delay if edge in explicit else int((edge.source, edge.target) in found.delayed)
        for edge in program.edges
    }


def delay_name(edge: Edge) -> str:
    """Name the node that holds an edge's delay."""
    return f"{edge.source}_to_{edge.target}"
