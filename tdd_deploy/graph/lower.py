"""A NIR graph as a Program: from continuous time to time steps."""

from collections.abc import Iterable

import nir
import numpy as np

from tdd_deploy.errors import UnsupportedGraph, Violation
from tdd_deploy.program import Edge, Program, build
from tdd_deploy.program.recurrence import recurrence

from .border import Border
from .choices import Choices, choices, foreign, not_understood
from .kinds import KINDS, kind_name
from .nodes import lowered
from .rules import (
    gains_other_than_one,
    loose_edges,
    malformed_values,
    misstated_shapes,
    unholdable_neurons,
    unknown_kinds,
)
from .soft_reset import Parts, with_soft_resets


def lower(graph: nir.NIRGraph, *, subject: str = "this graph") -> Program:
    """Turn a NIR graph that tdd-deploy wrote into a Program: from continuous time to time steps.

    A time constant becomes the fraction kept per time step: ``beta = 1 - dt_s / tau`` ("euler") or
    ``exp(-dt_s / tau)`` ("exact"), in the number format that the metadata name. An edge that closes a cycle carries
    the former step. Soft reset written in standard nodes becomes one layer again. Every edge sends the delta code.

    Args:
        graph: its metadata say what NIR leaves open; metadata of nodes are not read.
        subject: how errors name the graph.

    Raises:
        UnsupportedGraph: it holds what no Program can hold, or leaves a choice open.
        BadProgram: it breaks a rule of ``program/verify.py``.

    Source: NIR primitives, doi:10.1038/s41467-024-52259-9.
    """
    chosen = _checked(graph, subject)
    with np.errstate(all="ignore"):  # what is not finite is named when the Program is verified
        parts = with_soft_resets(
            Parts(
                {name: lowered(name, node, chosen) for name, node in graph.nodes.items()},
                frozenset((source, target) for source, target in graph.edges),
            )
        )
    if chosen.number_format == "integer":
        border = Border.of(parts)
        _refuse(subject, border.violations())
        parts = border.folded(parts, chosen.input_largest)
    found = recurrence(parts.nodes.values(), parts.edges)
    _refuse(subject, found.violations)
    program = build(
        parts.nodes.values(),
        [Edge(source, target, int((source, target) in found.delayed)) for source, target in parts.edges],
        dt_s=chosen.dt_s,
        n_steps=chosen.n_steps,
        integration=chosen.integration,
        number_format=chosen.number_format,
        encoder=chosen.encoder,
        provenance=chosen.provenance,
        subject=subject,
    )
    _refuse(subject, misstated_shapes(graph, program))
    return program


def _checked(graph: nir.NIRGraph, subject: str) -> Choices:
    """Return the choices of a graph that keeps every rule."""
    _refuse(subject, foreign(graph.metadata))
    unclear = list(not_understood(graph.metadata))
    chosen = None if unclear else choices(graph.metadata)
    kinds = {name: kind_name(node) for name, node in graph.nodes.items()}
    faults = [
        fault
        for name, node in graph.nodes.items()
        if kinds[name] in KINDS
        for fault in _faults(name, node, chosen, has_bias=graph.metadata.get("number_format") == "integer")
    ]
    _refuse(subject, [*unclear, *unknown_kinds(kinds), *faults, *loose_edges(graph)])
    assert chosen is not None  # else refused
    return chosen


def _faults(name: str, node: nir.NIRNode, chosen: Choices | None, *, has_bias: bool) -> tuple[Violation, ...]:
    """Return the faults of a node; the later ones are looked for when there are none before."""
    return (
        (*malformed_values(name, node),)
        or (*unholdable_neurons(name, node, has_bias=has_bias),)
        or ((*gains_other_than_one(name, node, chosen),) if chosen else ())
    )


def _refuse(subject: str, violations: Iterable[Violation]) -> None:
    found = tuple(violations)
    if found:
        raise UnsupportedGraph(subject, found)
