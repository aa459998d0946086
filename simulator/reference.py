"""The living definition: dense, plain numpy, one time step after the other, nothing but spikes.

It is slow and short. Every other backend is compared with it, spike for spike.
"""

from functools import partial, reduce

import numpy as np

from tdd_deploy.neurons import Observing
from tdd_deploy.program import LinearMap, NeuronLayer, Output, Program
from tdd_deploy.program.apply import apply
from tdd_deploy.program.inputs import as_input

from .arithmetic import NumberArray, arithmetic_of


def run(
    program: Program, inputs: NumberArray, *, potentials: dict[str, NumberArray] | None = None
) -> dict[str, NumberArray]:
    """Execute a program on encoded inputs ``[n_steps, batch, *shape]``; return what every node sent in the same form.

    ``potentials``, when given, receives what each layer of neurons compared with its threshold.
    """
    n_steps, batch = inputs.shape[:2]
    arithmetic = Observing(arithmetic_of(program))

    def zeros(name: str) -> NumberArray:
        return np.zeros((batch, *program.shapes[name]), program.dtype)

    sent = {node.name: np.zeros((n_steps, *zeros(node.name).shape), program.dtype) for node in program.nodes}
    states = {layer.name: layer.neuron.start(partial(zeros, layer.name)) for layer in program.neuron_layers}
    compared: dict[str, NumberArray] = {}
    sent[program.input.name][:] = as_input(program, inputs)
    for t in range(n_steps):
        for node in program.nodes:
            if node is program.input:
                continue
            received = [
                sent[edge.source][t - edge.delay] if t >= edge.delay else zeros(edge.source)
                for edge in program.incoming[node.name]
            ]
            value: NumberArray = reduce(np.add, received)
            if isinstance(node, LinearMap):
                value = apply(node, value)
            elif isinstance(node, NeuronLayer):
                states[node.name], value = node.neuron.step(arithmetic, states[node.name], value)
                if node.neuron.spiking:
                    compared[node.name] = arithmetic.compared
                if potentials is not None and node.neuron.spiking:
                    seen = potentials.setdefault(node.name, np.zeros_like(sent[node.name]))
                    seen[t] = compared[node.name]
            elif isinstance(node, Output) and node.reading == "potential":
                value = compared[program.incoming[node.name][0].source]
            sent[node.name][t] = value
    return sent
