"""The currents that the biases of linear maps cause in receivers, through all maps in between."""

import numpy as np
from numpy.typing import NDArray

from .apply import apply, propagated
from .program import Program


def currents_of_biases(program: Program) -> dict[str, NDArray[np.float64]]:
    """Compute what maps send and receivers get per time step if the input and all neurons send zeros."""
    senders = [program.input.name, *(layer.name for layer in program.neuron_layers)]
    silence = {name: np.zeros((1, *program.shapes[name])) for name in senders}
    currents = {**silence, **propagated(program, silence, apply)}
    return {name: current[0].astype(np.float64) for name, current in currents.items()}
