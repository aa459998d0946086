"""Passes: small functions Program -> Program, each result verified."""

from collections.abc import Mapping
from dataclasses import replace
from typing import get_args

from tdd_deploy.errors import BadProgram, Violation

from .nodes import LinearMap
from .program import Code, Edge, Program
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
