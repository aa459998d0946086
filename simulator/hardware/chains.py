"""Read a chain of maps and neurons from a program and its counts: the networks that estimators of others are made for.

A chain is an input, then dense layers and convolutions, each with IF or LIF neurons after it; the last map may be the
output. Figures are means per inference, in plain spikes.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from tdd_deploy.neurons import IF, LIF
from tdd_deploy.program import Conv, Dense, Flatten, Input, LinearMap, NeuronLayer, Node, Program
from tdd_deploy.simulator.counts import Counts, Trace


@dataclass(frozen=True, eq=False, kw_only=True)
class Stage:
    """A map, and the neurons that it feeds.

    Attributes:
        node: the map.
        n_in: values that it receives in a time step.
        n_out: values that it computes in a time step.
        events: nonzero values that it receives per inference.
        weight_uses: weights that these values meet, zeros included and padding excluded.
        is_graded: it receives values other than 0 and 1.
        neurons: the layer that it feeds; None if it is the output.
        spikes: spikes of these neurons per inference.

    """

    node: Dense | Conv
    n_in: int
    n_out: int
    events: float
    weight_uses: float
    is_graded: bool
    neurons: NeuronLayer | None
    spikes: float

    @property
    def taps(self) -> int:
        """Places of the kernel; 1 for a dense layer."""
        return int(math.prod(self.node.weight.shape[2:]))

    @property
    def fan_out(self) -> int:
        """Weights that a value meets, padding included."""
        groups = self.node.groups if isinstance(self.node, Conv) else 1
        return len(self.node.weight) // groups * self.taps

    @property
    def macs(self) -> int:
        """Multiplications of a dense execution, padding included."""
        return self.n_out * int(self.node.weight[0].size)

    @property
    def biases(self) -> int:
        """Additions of a bias in a time step, zeros included."""
        return 0 if self.node.bias is None else self.n_out

    @property
    def n_neurons(self) -> int:
        """Neurons after the map."""
        return 0 if self.neurons is None else self.n_out

    @property
    def is_leaky(self) -> bool:
        """Whether these neurons leak."""
        return self.neurons is not None and isinstance(self.neurons.neuron, LIF)


@dataclass(frozen=True, eq=False, kw_only=True)
class Chain:
    """A network as its maps, in order."""

    stages: tuple[Stage, ...]
    n_steps: float  # time steps per inference; fewer than the data have if samples end early


def obstacles(program: Program) -> Iterator[str]:
    """Yield why a program is no chain."""
    for node in program.nodes:
        edges = program.incoming[node.name]
        if len(edges) > 1 or len(program.outgoing[node.name]) > 1:
            yield f"{node.name} has several edges into it or out of it"
        elif any(edge.delay for edge in edges):
            yield f"the edge into {node.name} is delayed"
        elif isinstance(node, LinearMap) and not isinstance(node, Dense | Conv | Flatten):
            yield f"{node.name} is a {type(node).__name__}"
        elif isinstance(node, Conv) and any(node.evened):
            yield f"{node.name} is padded unevenly"
        elif isinstance(node, Dense | Conv) and isinstance(_sender(program, node), LinearMap):
            yield f"{node.name} receives the sums of another map"
        elif isinstance(node, NeuronLayer):
            if not isinstance(node.neuron, IF | LIF):
                yield f"{node.name} has {type(node.neuron).__name__} neurons"
            if not isinstance(_sender(program, node), Dense | Conv):
                yield f"{node.name} has no weights before it"


def chain_of(program: Program, trace: Trace, *, has_spike_input: bool) -> Chain:
    """Read a program without obstacles; ``has_spike_input`` says that the data are zeros and ones."""
    row = {layer.name: i for i, layer in enumerate(trace.layers)}
    counts: Counts = trace.spike_code

    def mean(name: str, count: str) -> float:
        return float(getattr(counts, count)[row[name]].sum() / trace.n_samples)

    stages = []
    for node in program.linear_maps:
        if not isinstance(node, Dense | Conv):
            continue
        sender, receiver = _sender(program, node), _receiver(program, node)
        is_first = isinstance(sender, Input)
        neurons = receiver if isinstance(receiver, NeuronLayer) else None
        stages.append(
            Stage(
                node=node,
                n_in=math.prod(program.shapes[sender.name]),
                n_out=math.prod(program.shapes[node.name]),
                events=mean(sender.name, "input_events" if is_first else "spikes"),
                weight_uses=mean(node.name, "synops_stored"),
                is_graded=is_first and (not has_spike_input or mean(node.name, "macs") > 0),
                neurons=neurons,
                spikes=0.0 if neurons is None else mean(neurons.name, "spikes"),
            )
        )
    return Chain(stages=tuple(stages), n_steps=float(trace.n_running.sum() / trace.n_samples))


def _sender(program: Program, node: Node) -> Node:
    """Find what a node receives its values from, through a Flatten."""
    sender = program[program.incoming[node.name][0].source]
    return _sender(program, sender) if isinstance(sender, Flatten) else sender


def _receiver(program: Program, node: Node) -> Node:
    """Find what a node sends its values to, through a Flatten."""
    receiver = program[program.outgoing[node.name][0].target]
    return _receiver(program, receiver) if isinstance(receiver, Flatten) else receiver
