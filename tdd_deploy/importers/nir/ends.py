"""Several inputs and outputs: parts, in the order of their names, of the one input and the one output of a Program."""

import math
from collections.abc import Mapping

from tdd_deploy.program import Input, Node, Output, Place, Shape, Slice
from tdd_deploy.program.nodes import INPUTS, OUTPUTS

from .soft_reset import Parts


def with_one_input_and_output(parts: Parts, outputs: Mapping[str, Shape]) -> Parts:
    """Put one vector in place of several inputs, and of several outputs.

    Args:
        parts: a graph.
        outputs: the shapes that its outputs receive.
    """
    nodes: dict[str, Node] = dict(parts.nodes)
    edges = dict(parts.edges)
    inputs = {name: node.shape for name, node in sorted(nodes.items()) if isinstance(node, Input)}
    if len(inputs) > 1:
        start = 0
        for name, shape in inputs.items():
            nodes[name] = Slice(name=name, start=start, shape=shape)
            edges[INPUTS, name] = 0
            start += math.prod(shape)
        nodes[INPUTS] = Input(name=INPUTS, shape=(start,))
    if len(outputs) > 1:
        start, size = 0, sum(math.prod(shape) for shape in outputs.values())
        for name, shape in sorted(outputs.items()):
            nodes[name] = Place(name=name, start=start, size=size)
            edges[name, OUTPUTS] = 0
            start += math.prod(shape)
        nodes[OUTPUTS] = Output(name=OUTPUTS)
    return Parts(nodes, edges)
