"""A NIR graph as a Program: from continuous time to time steps."""

import nir
import numpy as np

from tdd_deploy.errors import BadOptions, Violation
from tdd_deploy.program import Edge, Program, build
from tdd_deploy.program.recurrence import recurrence

from .border import Border
from .choices import WRITER, Choices, choices, is_integer, not_understood
from .dialects import OURS, chosen, unsaid
from .ends import with_one_input_and_output
from .foreign import lower_foreign
from .kinds import KINDS, kind_name, stated_shape
from .nodes import lowered
from .per_node import resolved
from .plain import PlainGraph, flattened, plain_nir
from .restore import Restored, restored
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
from .wires import joined


def lower(
    graph: nir.NIRGraph, *, subject: str = "this graph", dialect: str | None = None, strict: bool = False
) -> Program:
    """Turn a NIR graph into a Program: from continuous time to time steps.

    A time constant becomes the fraction kept per time step: ``beta = 1 - dt_s / tau`` ("euler") or
    ``exp(-dt_s / tau)`` ("exact"), in the number format that the metadata name. An edge that closes a cycle carries
    the former step. Soft reset written in standard nodes becomes one layer again. Every edge sends the delta code.

    Args:
        graph: metadata of tdd-deploy say what NIR leaves open, and in a graph of another tool ``dialect`` does;
            of the metadata of nodes only ``compare`` and ``map`` are read, in graphs of tdd-deploy alone.
        subject: how errors name the graph.
        dialect: ``NAME[,KEY=VALUE...]``; see ``dialects.py``.
        strict: refuse what would have to be repaired.

    Raises:
        BadOptions: no such dialect, or another one than that of the metadata.
        AmbiguousGraph: another tool wrote it, and no dialect was named.
        UnsupportedGraph: it holds what no Program can hold, or leaves a choice open.
        BadProgram: it breaks a rule of ``program/verify.py``.

    Source: NIR primitives, doi:10.1038/s41467-024-52259-9.
    """
    if WRITER not in graph.metadata:
        return lower_plain(plain_nir(graph), subject=subject, dialect=dialect, strict=strict)
    if dialect not in (None, OURS):
        wrote = f"for {subject}, which tdd-deploy wrote, and which says what it computes"
        raise BadOptions(f"--dialect {dialect}", [Violation("--dialect", wrote, f"{OURS}, or no --dialect")])
    chosen = _checked(graph, subject)
    wires = {name: float(node.delay.flat[0]) for name, node in graph.nodes.items() if isinstance(node, nir.Delay)}
    edges = joined(graph.edges, wires, chosen.dt_s)
    refuse(subject, edges.violations)
    with np.errstate(all="ignore"):  # what is not finite is named when the Program is verified
        parts = with_soft_resets(
            Parts(
                {name: lowered(name, node, chosen) for name, node in graph.nodes.items() if name not in wires},
                edges.delays,
            )
        )
    if chosen.number_format == "integer":
        border = Border.of(parts)
        refuse(subject, border.violations())
        parts = border.folded(parts, chosen.input_largest)
    outputs = {name: stated_shape(node, ()) or () for name, node in graph.nodes.items() if isinstance(node, nir.Output)}
    parts = with_one_input_and_output(parts, outputs)
    found = recurrence(
        parts.nodes.values(), parts.edges, delayed=[pair for pair, taken in parts.edges.items() if taken]
    )
    refuse(subject, found.violations)
    program = build(
        parts.nodes.values(),
        [Edge(*pair, taken + int(pair in found.delayed)) for pair, taken in parts.edges.items()],
        dt_s=chosen.dt_s,
        n_steps=chosen.n_steps,
        integration=chosen.integration,
        number_format=chosen.number_format,
        encoder=chosen.encoder,
        provenance=chosen.provenance,
        subject=subject,
    )
    refuse(subject, misstated_shapes(graph, program))
    return program


def lower_plain(graph: PlainGraph, *, subject: str, dialect: str | None, strict: bool) -> Program:
    """Turn a graph of another tool into a Program; see ``lower``."""
    said = None if dialect is None else chosen(dialect)
    settled = restore(graph, subject=subject, strict=strict)
    if said is None:
        raise ambiguous(settled, subject)
    kinds = kinds_of(settled)
    said = resolved(said, kinds, subject=subject)
    refuse(subject, unsaid(said, kinds))
    return lower_foreign(settled, said, subject=subject)


def restore(graph: PlainGraph, *, subject: str, strict: bool) -> Restored:
    """Settle what a graph of another tool leaves out or states twice.

    Raises:
        UnsupportedGraph: it cannot be settled; with ``strict``, there was something to settle.
    """
    settled = restored(flattened(graph))
    refuse(subject, settled.violations)
    if strict:
        refuse(subject, (Violation("--strict", repair, "files that need no repair") for repair in settled.repairs))
    return settled


def _checked(graph: nir.NIRGraph, subject: str) -> Choices:
    """Return the choices of a graph that keeps every rule."""
    unclear = list(not_understood(graph.metadata))
    chosen = None if unclear else choices(graph.metadata)
    kinds = {name: kind_name(node) for name, node in graph.nodes.items()}
    faults = [
        fault
        for name, node in graph.nodes.items()
        if kinds[name] in KINDS
        for fault in _faults(name, node, chosen, has_bias=is_integer(graph.metadata))
    ]
    refuse(subject, [*unclear, *unknown_kinds(kinds), *faults, *loose_edges(graph)])
    assert chosen is not None  # else refused
    return chosen


def _faults(name: str, node: nir.NIRNode, chosen: Choices | None, *, has_bias: bool) -> tuple[Violation, ...]:
    """Return the faults of a node; the later ones are looked for when there are none before."""
    return (
        (*malformed_values(name, node),)
        or (*unholdable_neurons(name, node, has_bias=has_bias), *uneven_delays(name, node))
        or ((*gains_other_than_one(name, node, chosen),) if chosen else ())
    )
