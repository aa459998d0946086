"""Make a Program; there is no other way."""

from collections.abc import Iterable, Iterator, Mapping
from typing import get_args

import numpy as np

from tdd_deploy.errors import BadProgram, Violation, any_of

from .blocks import blocks
from .nodes import Node
from .program import Edge, Integration, NumberFormat, Program, arrays, dtype_of, execution_order, frozen, with_arrays
from .verify import verify


def build(
    nodes: Iterable[Node],
    edges: Iterable[Edge],
    *,
    dt_s: float,
    n_steps: int | None,
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
    nodes = tuple(nodes)
    lost = tuple(_lost_in(number_format, nodes))
    if lost:
        raise BadProgram(subject, lost)
    dtype = dtype_of(number_format)
    converted = [with_arrays(node, lambda array: frozen(array, dtype)) for node in nodes]
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


def _lost_in(number_format: NumberFormat, nodes: Iterable[Node]) -> Iterator[Violation]:
    """Yield the numbers that a conversion to the number format would change beyond rounding."""
    if number_format not in get_args(NumberFormat):
        yield Violation("number_format", repr(number_format), any_of(get_args(NumberFormat)))
    elif number_format == "integer":
        for node in nodes:
            for name, array in arrays(node):
                bad = next((numbers[0] for numbers in map(_unfit, blocks(array)) if numbers.size), None)
                if bad is not None:
                    yield Violation(f"{node.name}.{name}", f"{bad}", "an array of whole numbers of 32 bits")


def _unfit(array: np.ndarray) -> np.ndarray:
    """Return the numbers that are not whole, or need more than 32 bits."""
    return np.asarray(array[~((np.rint(array) == array) & (np.abs(array) < 2.0**31))])
