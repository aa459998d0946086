"""Shrink a network to the first channels of a layer, and to the weights that belong to them."""

from collections.abc import Mapping
from dataclasses import replace

from .nodes import Conv, Dense, Flatten, NeuronLayer, Node, Pool, Scale
from .program import Program
from .verify import verify


def narrowed(program: Program, layer: str, channels: int) -> Program | None:
    """Keep the first channels of a layer of neurons; None where other layers would have to shrink with it.

    The result computes something else: it shows what a network of this size needs, not what it answers.
    """
    neurons = program[layer]
    assert isinstance(neurons, NeuronLayer)
    kept = neurons.neuron.converted(lambda values: values[:channels] if values.ndim else values)
    before = _before(program, layer, channels)
    after = None if before is None else _after(program, layer, channels, before)
    if before is None or after is None:
        return None
    changed = {layer: replace(neurons, shape=(channels, *neurons.shape[1:]), neuron=kept), **before, **after}
    return verify(replace(program, nodes=tuple(changed.get(node.name, node) for node in program.nodes)))


def _before(program: Program, layer: str, channels: int) -> Mapping[str, Node] | None:
    """Cut the maps that lead to a layer down to the rows of its first channels."""
    changed: dict[str, Node] = {}
    for edge in program.incoming[layer]:
        node = program[edge.source]
        if len(program.outgoing[node.name]) > 1:
            return None
        match node:
            case Dense() | Conv(groups=1):
                bias = None if node.bias is None else node.bias[:channels]
                changed[node.name] = replace(node, weight=node.weight[:channels], bias=bias)
            case _:
                return None
    return changed


def _after(program: Program, name: str, channels: int, before: Mapping[str, Node]) -> Mapping[str, Node] | None:
    """Cut the maps after a node down to the columns of its first channels; a map that leads back is in ``before``."""
    changed: dict[str, Node] = {}
    for edge in program.outgoing[name]:
        node, n = before.get(edge.target, program[edge.target]), channels
        if len(program.incoming[node.name]) > 1:
            return None
        match node:
            case Dense() | Conv(groups=1):
                changed[node.name] = replace(node, weight=node.weight[:, :n])
                continue
            case Flatten():
                n *= program.shapes[node.name][0] // program.in_shape(node.name)[0]
            case Scale() if node.factor.ndim or (node.bias is not None and node.bias.ndim):
                return None
            case Pool() | Scale():
                pass
            case _:
                return None
        further = _after(program, node.name, n, before)
        if further is None:
            return None
        changed |= further
    return changed
