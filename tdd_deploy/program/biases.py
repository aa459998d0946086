"""What the biases of linear maps come to, behind whatever maps follow them."""

from functools import reduce

import numpy as np
from numpy.typing import NDArray

from .apply import apply
from .nodes import Input, LinearMap
from .program import Program


def currents_of_biases(program: Program) -> dict[str, NDArray[np.float64]]:
    """Return what every map sends, and every receiver gets, per time step, while nothing is sent: the biases alone."""
    currents = {node.name: np.zeros((1, *program.shapes[node.name])) for node in program.nodes}
    for node in program.nodes:
        if not isinstance(node, Input):
            senders = [edge.source for edge in program.incoming[node.name]]
            arrived = [currents[name] for name in senders if isinstance(program[name], LinearMap)]
            total = reduce(np.add, arrived, np.zeros((1, *program.in_shape(node.name))))
            currents[node.name] = apply(node, total) if isinstance(node, LinearMap) else total
    return {name: current[0].astype(np.float64) for name, current in currents.items()}
