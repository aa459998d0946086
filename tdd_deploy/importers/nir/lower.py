"""A NIR graph as a Program: from continuous time to time steps."""

import nir
import numpy as np

from tdd_deploy.errors import BadOption, Violation
from tdd_deploy.program import Edge, Program, build
from tdd_deploy.program.recurrence import recurrence

from .border import Border
from .choices import WRITER, Choices, is_integer, not_understood, read_choices
from .dialects import OURS, open_choices, parse_dialect
from .ends import with_one_input_and_output
from .foreign import lower_foreign
from .kinds import KINDS, kind_name, stated_shape
from .nodes import lower_node
from .pass_through import bypass
from .per_node import assign_choices
from .plain import PlainGraph, flatten_graph, read_graph
from .restore import Restored, restore_nodes
from .rules import (
    gains_other_than_one,
    loose_edges,
    malformed_values,
    misstated_shapes,
    refuse,
    uneven_delays,
    unholdable_neurons,
    unknown_kinds,
)
from .soft_reset import Parts, with_soft_resets
from .survey import ambiguous, kinds_of


def lower(
    graph: nir.NIRGraph, *, subject: str = "this graph", dialect: str | None = None, strict: bool = False
) -> Program:
    """Turn a NIR graph into a Program: from continuous time to time steps.

    A time constant becomes the fraction kept per time step: ``beta = 1 - dt_s / tau`` ("euler") or
    ``exp(-dt_s / tau)`` ("exact"), in the number format that the metadata name. An edge that closes a cycle carries
    the former step. Soft reset written in standard nodes becomes one layer again. Every edge sends the delta code.

    Args:
        graph: metadata of tdd-deploy state what NIR leaves open; for a graph of another tool, ``dialect`` does.
            Of the metadata of nodes only ``compare`` and ``map`` are read, in graphs of tdd-deploy alone.
        subject: how errors name the graph.
        dialect: ``NAME[,KEY=VALUE...]``; see ``dialects.py``.
        strict: refuse what would have to be repaired.

    Raises:
        BadOptions: the dialect is unknown, one of its choices is not allowed, or the metadata exclude it.
        AmbiguousGraph: another tool wrote it, and no dialect was named.
        UnsupportedGraph: it holds what no Program can hold, or leaves a choice open.
        BadProgram: it breaks a rule of ``program/verify.py``.

    Source: NIR primitives, doi:10.1038/s41467-024-52259-9.
    """
    if WRITER not in graph.metadata:
        return lower_plain(read_graph(graph), subject=subject, dialect=dialect, strict=strict)
    if dialect not in (None, OURS):
        fault = f"cannot be {dialect} for {subject}, since tdd-deploy wrote it with every choice"
        raise BadOption("dialect", fault, remedy=f"Omit `dialect`, or use `dialect={OURS}`.")
    choices = _checked_choices(graph, subject)
    parts = _parts(graph, choices, subject=subject)
    found = recurrence(
        parts.nodes.values(), parts.edges, delayed=[pair for pair, taken in parts.edges.items() if taken]
    )
    refuse(subject, found.violations)
    program = build(
        parts.nodes.values(),
        [Edge(*pair, taken + int(pair in found.delayed)) for pair, taken in parts.edges.items()],
        dt_s=choices.dt_s,
        n_steps=choices.n_steps,
        integration=choices.integration,
        number_format=choices.number_format,
        encoder=choices.encoder,
        provenance=choices.provenance,
        subject=subject,
    )
    refuse(subject, misstated_shapes(graph, program))
    return program


def _parts(graph: nir.NIRGraph, choices: Choices, *, subject: str) -> Parts:
    """Turn a graph of tdd-deploy into nodes and edges of a Program."""
    delays = {name: float(node.delay.flat[0]) for name, node in graph.nodes.items() if isinstance(node, nir.Delay)}
    edges = bypass(graph.edges, delays, dt_s=choices.dt_s)
    refuse(subject, edges.violations)
    with np.errstate(all="ignore"):  # what is not finite is named when the Program is verified
        nodes = {name: lower_node(name, node, choices) for name, node in graph.nodes.items() if name not in delays}
        parts = with_soft_resets(Parts(nodes, edges.delays))
    if choices.number_format == "integer":
        border = Border.of(parts)
        refuse(subject, border.violations())
        parts = border.fold(parts, choices.input_largest)
    outputs = {name: stated_shape(node, ()) or () for name, node in graph.nodes.items() if isinstance(node, nir.Output)}
    return with_one_input_and_output(parts, outputs)


def lower_plain(graph: PlainGraph, *, subject: str, dialect: str | None, strict: bool) -> Program:
    """Turn a graph of another tool into a Program; see ``lower``."""
    chosen = None if dialect is None else parse_dialect(dialect)
    restored = restore(graph, subject=subject, strict=strict)
    if chosen is None:
        raise ambiguous(restored, subject)
    kinds = kinds_of(restored)
    chosen = assign_choices(chosen, kinds, subject=subject)
    refuse(subject, open_choices(chosen, kinds))
    return lower_foreign(restored, chosen, subject=subject)


def restore(graph: PlainGraph, *, subject: str, strict: bool) -> Restored:
    """Settle what a graph of another tool leaves out or states twice.

    Raises:
        UnsupportedGraph: it cannot be settled; with ``strict``, it would have to be repaired.
    """
    restored = restore_nodes(flatten_graph(graph))
    refuse(subject, restored.violations)
    if strict:
        refuse(subject, (Violation("`strict`", f"allows no repair: {repair}") for repair in restored.repairs))
    return restored


def _checked_choices(graph: nir.NIRGraph, subject: str) -> Choices:
    """Read the choices of a graph that keeps every rule."""
    unclear = list(not_understood(graph.metadata))
    choices = None if unclear else read_choices(graph.metadata)
    kinds = {name: kind_name(node) for name, node in graph.nodes.items()}
    faults = [
        fault
        for name, node in graph.nodes.items()
        if kinds[name] in KINDS
        for fault in _faults(name, node, choices, has_bias=is_integer(graph.metadata))
    ]
    refuse(subject, [*unclear, *unknown_kinds(kinds), *faults, *loose_edges(graph)])
    assert choices is not None  # else refused
    return choices


def _faults(name: str, node: nir.NIRNode, choices: Choices | None, *, has_bias: bool) -> tuple[Violation, ...]:
    """List the faults of a node; later rules are checked only when the earlier ones hold."""
    return (
        (*malformed_values(name, node),)
        or (*unholdable_neurons(name, node, has_bias=has_bias), *uneven_delays(name, node))
        or ((*gains_other_than_one(name, node, choices),) if choices else ())
    )
