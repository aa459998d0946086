"""Passes: small functions Program -> Program, each result verified."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import get_args

import numpy as np

from tdd_deploy.errors import BadOption, BadProgram, Violation, any_of
from tdd_deploy.neurons import SigmaDelta
from tdd_deploy.options.vocabulary import Code, Reading

from .nodes import Flatten, LinearMap, NeuronLayer, Node, Scale
from .program import Edge, Program, frozen
from .verify import verify

CODES: tuple[Code, ...] = get_args(Code)


def with_code(program: Program, code: Code) -> Program:
    """Send one code on every edge."""
    return verify(replace(program, edges=tuple(replace(edge, code=code) for edge in program.edges)))


def with_codes(program: Program, codes: Mapping[Edge, Code]) -> Program:
    """Send the given code on each edge; edges that are not named keep theirs.

    Raises:
        BadProgram: an edge that the program does not have.
    """
    unknown = codes.keys() - set(program.edges)
    if unknown:
        found = sorted(f"{edge.source} -> {edge.target}, delay {edge.delay}, code {edge.code}" for edge in unknown)
        raise BadProgram("these codes", [Violation(f"edge {edge}", "is not in the program") for edge in found])
    return verify(
        replace(program, edges=tuple(replace(edge, code=codes.get(edge, edge.code)) for edge in program.edges))
    )


def with_delta_threshold(program: Program, delta_threshold: float) -> Program:
    """Let every layer of sigma-delta neurons resend a value only after it has changed by more than one threshold.

    Args:
        program: a sigma-delta network.
        delta_threshold: in units of the layers' currents; 0 sends every change.

    Raises:
        BadOption: the threshold is negative or not finite, or the program has no such layer.
    """
    if not 0 <= delta_threshold < math.inf:
        raise BadOption("delta_threshold", f"{delta_threshold:g}", "0 or more")
    if not any(isinstance(layer.neuron, SigmaDelta) for layer in program.neuron_layers):
        raise BadOption("delta_threshold", "needs a network with SigmaDelta neurons")
    theta = frozen(delta_threshold, program.dtype)

    def changed(node: Node) -> Node:
        if not (isinstance(node, NeuronLayer) and isinstance(node.neuron, SigmaDelta)):
            return node
        return replace(node, neuron=replace(node.neuron, delta_threshold=theta))

    return verify(replace(program, nodes=tuple(changed(node) for node in program.nodes)))


def with_reading(program: Program, reading: Reading) -> Program:
    """Let the output take spikes, which is the default, or potentials as ``with_potential_output`` does.

    Raises:
        BadOption: an unknown word; or see ``with_potential_output``.
    """
    if reading not in get_args(Reading):
        raise BadOption("output", repr(reading), any_of(get_args(Reading)))
    return with_potential_output(program) if reading == "potential" else program


def with_potential_output(program: Program) -> Program:
    """Let the output take the potentials of the last layer of neurons instead of its spikes.

    Maps in between that treat all spikes alike are removed: the result is in the layer's own numbers.

    Raises:
        BadOption: the output does not come from one layer of neurons that spike.
    """
    passed = list(_passed_to_output(program))
    edges = program.incoming[passed[-1].name]
    layer = program[edges[0].source]
    needs = "needs the spikes of one layer as the output"
    if len(edges) > 1 or edges[0].delay or not isinstance(layer, NeuronLayer):
        sources = " and ".join(f"{edge.source} (delayed)" if edge.delay else edge.source for edge in edges)
        raise BadOption("output=potential", f"{needs}, but the output comes from {sources}")
    if not layer.neuron.spiking:
        found = f"{needs}, but {layer.name} ({type(layer.neuron).__name__}) sends numbers"
        raise BadOption("output=potential", found, remedy="Leave it out: these numbers are the output.")
    if program.number_format == "integer" and np.ptp(layer.neuron.parameters()["v_threshold"]):
        found = f"needs one scale per layer, but each neuron of {layer.name} has a scale of its own"
        raise BadOption("output=potential", found, remedy="Quantize the network with `per=layer`.")
    kept = [node for node in program.nodes if node not in passed]
    edges_kept = [edge for edge in program.edges if program[edge.source] in kept and program[edge.target] in kept]
    output = replace(program.output, unit=1.0, reading="potential")
    read = Edge(layer.name, output.name, code=edges[0].code)
    return verify(replace(program, nodes=(*kept, output), edges=(*edges_kept, read)))


def _passed_to_output(program: Program) -> Iterator[Node]:
    """Yield the output, and maps before it that treat all spikes alike and lead nowhere else."""
    node: Node = program.output
    yield node
    while len(program.incoming[node.name]) == 1:
        node = program[program.incoming[node.name][0].source]
        is_even = isinstance(node, Scale) and node.bias is None and np.ptp(node.factor) == 0 and node.factor.min() > 0
        if not (isinstance(node, Flatten) or is_even) or len(program.outgoing[node.name]) > 1:
            return
        yield node


def code_groups(program: Program) -> tuple[tuple[Edge, ...], ...]:
    """Group the edges that must share a code, since linear maps join them."""
    group_of: dict[Edge, list[Edge]] = {edge: [edge] for edge in program.edges}
    for node in program.nodes:
        if isinstance(node, LinearMap):
            joined = [*program.incoming[node.name], *program.outgoing[node.name]]
            merged = list(dict.fromkeys(member for edge in joined for member in group_of[edge]))
            for member in merged:
                group_of[member] = merged
    return tuple(dict.fromkeys(tuple(group) for group in group_of.values()))
