"""What the biases of linear maps come to, behind whatever maps follow them."""

import numpy as np
from numpy.typing import NDArray

from .apply import apply, propagated
from .program import Program


def currents_of_biases(program: Program) -> dict[str, NDArray[np.float64]]:
    """Return what every map sends, and every receiver gets, per time step, while nothing is sent: the biases alone."""
    senders = [program.input.name, *(layer.name for layer in program.neuron_layers)]
    silence = {name: np.zeros((1, *program.shapes[name])) for name in senders}
    currents = {**silence, **propagated(program, silence, apply)}
    return {name: current[0].astype(np.float64) for name, current in currents.items()}
