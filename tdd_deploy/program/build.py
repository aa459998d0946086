"""The one way to make a Program."""

from collections.abc import Iterable, Mapping

from .nodes import Node
from .program import Edge, Integration, NumberFormat, Program, execution_order, frozen, with_arrays
from .verify import verify


def build(
    nodes: Iterable[Node],
    edges: Iterable[Edge],
    *,
    dt_s: float,
    n_steps: int,
    integration: Integration = "euler",
    number_format: NumberFormat = "float32",
    encoder: str = "direct",
    provenance: Mapping[str, str] | None = None,
    subject: str = "this program",
) -> Program:
    """Put nodes into execution order, convert their arrays to the number format, and verify.

    Raises:
        BadProgram: every broken rule of the stage that failed.
    """
    converted = [with_arrays(node, lambda array: frozen(array, number_format)) for node in nodes]
    sorted_edges = tuple(sorted(edges, key=lambda edge: (edge.source, edge.target, edge.delay)))
    program = Program(
        nodes=execution_order(converted, sorted_edges),
        edges=sorted_edges,
        dt_s=dt_s,
        n_steps=n_steps,
        integration=integration,
        number_format=number_format,
        encoder=encoder,
        provenance=dict(provenance or {}),
    )
    return verify(program, subject=subject)
