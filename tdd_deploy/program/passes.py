"""Passes: small functions Program -> Program, each result verified."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import get_args

from tdd_deploy.errors import BadOption, BadProgram, Violation
from tdd_deploy.neurons import SigmaDelta

from .nodes import LinearMap, NeuronLayer, Node
from .program import Code, Edge, Program, frozen
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
        raise BadProgram(
            "these codes", [Violation(f"edge {edge}", "is not there", "edges of the program") for edge in found]
        )
    return verify(
        replace(program, edges=tuple(replace(edge, code=codes.get(edge, edge.code)) for edge in program.edges))
    )


def with_delta_threshold(program: Program, delta_threshold: float) -> Program:
    """Let every layer of sigma-delta neurons send anew what has moved by more than one threshold.

    Args:
        program: a sigma-delta network.
        delta_threshold: in units of the layers' currents; 0 sends every change.

    Raises:
        BadOption: a threshold that is none, or a program without such layers.
    """
    if not 0 <= delta_threshold < math.inf:
        raise BadOption("--delta-threshold", f"{delta_threshold:g}", "0 or more")
    if not any(isinstance(layer.neuron, SigmaDelta) for layer in program.neuron_layers):
        raise BadOption(
            "--delta-threshold", f"{delta_threshold:g}, of a program without SigmaDelta", "a program with it"
        )
    theta = frozen(delta_threshold, program.dtype)

    def changed(node: Node) -> Node:
        if not (isinstance(node, NeuronLayer) and isinstance(node.neuron, SigmaDelta)):
            return node
        return replace(node, neuron=replace(node.neuron, delta_threshold=theta))

    return verify(replace(program, nodes=tuple(changed(node) for node in program.nodes)))


def code_groups(program: Program) -> tuple[tuple[Edge, ...], ...]:
    """Return the groups of edges that must share a code, since linear maps join them."""
    group_of: dict[Edge, list[Edge]] = {edge: [edge] for edge in program.edges}
    for node in program.nodes:
        if isinstance(node, LinearMap):
            joined = [*program.incoming[node.name], *program.outgoing[node.name]]
            merged = list(dict.fromkeys(member for edge in joined for member in group_of[edge]))
            for member in merged:
                group_of[member] = merged
    return tuple(dict.fromkeys(tuple(group) for group in group_of.values()))
