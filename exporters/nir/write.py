"""A Program as a NIR file: standard nodes, and what NIR leaves open as metadata of the graph."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nir
import numpy as np

from tdd_deploy.errors import NotExportable
from tdd_deploy.files import replacing
from tdd_deploy.neurons import Firing
from tdd_deploy.program import Conv, Node, Place, Program, Slice
from tdd_deploy.version import __version__

from .nodes import make_node
from .parts import INPUT_SCALE, OUTPUT_UNIT, delay_name, explicit_delays, is_soft, membrane_name, parts_of, reset_name
from .rules import RULES


def write(program: Program, path: Path) -> None:
    """Write a Program as a NIR file; the same program gives the same bytes, and a failure leaves nothing behind.

    Raises:
        NotExportable: NIR cannot hold the program; every reason is named.
        BadFile: the file cannot be written.
    """
    content = io.BytesIO()  # the HDF5 library can crash on a full disk
    graph = lift(program)
    for node in graph.nodes.values():
        if isinstance(node, nir.Affine | nir.Conv2d | nir.Linear):
            node.weight = node.weight.view(_Shared)
    nir.write(content, graph)
    with replacing(path) as part:
        part.write_bytes(content.getvalue())


class _Shared(np.ndarray[Any, Any]):
    """An array that the nir package does not copy before it writes it."""

    def __deepcopy__(self, memo: dict[int, Any] | None) -> "_Shared":
        return self


def lift(program: Program) -> nir.NIRGraph:
    """Turn a Program into a NIR graph: from time steps to continuous time.

    A fraction kept becomes a time constant, ``tau_s = dt_s / (1 - beta)`` ("euler") or ``-dt_s / log(beta)`` ("exact"),
    and r makes the gain of a current 1. A layer X with soft reset becomes ``X_membrane`` (LI or I) -> ``X``
    (Threshold) -> ``X_reset`` (Scale by ``-beta v_threshold``, a step late ``-v_threshold``) -> ``X_membrane``. An edge
    with a delay that no cycle implies becomes a Delay. ``v >= v_threshold`` becomes ``v >`` the next lower number, and
    metadata of the node record it. A Scale with a bias becomes an Affine, and metadata of the node mark its matrix as
    diagonal. The codes of edges are left out.

    An integer program is written in units of weight: thresholds are divided by 64, a bias becomes v_leak, the input's
    and the output's scales become nodes. Other tools read it as the floats that it approximates.

    Raises:
        NotExportable: NIR cannot hold the program; every reason is named.

    Source: NIR primitives, doi:10.1038/s41467-024-52259-9.
    """
    violations = tuple(violation for rule in RULES for violation in rule(program))
    if violations:
        raise NotExportable("this program does not fit NIR", violations)
    replaced = _replaced_by_parts(program)
    nodes = {
        part.name: make_node(program, part, shape)
        for node in program.nodes
        if node.name not in replaced
        for part, shape in parts_of(program, node)
    }
    for edge in explicit_delays(program):
        nodes[delay_name(edge)] = nir.Delay(np.full(program.shapes[edge.source], edge.delay * program.dt_s))
    return nir.NIRGraph(
        nodes=nodes,
        edges=list(_edges(program)),
        metadata=_metadata(program),
        type_check=all(_is_checkable(node) for node in program.nodes),
    )


def _is_checkable(node: Node) -> bool:
    """NIR 1.0.8 infers a wrong shape for other convolutions."""
    return not isinstance(node, Conv) or (node.groups == 1 and node.weight.shape[2] == node.weight.shape[3])


def _metadata(program: Program) -> dict[str, str | int | float]:
    neurons = [layer.neuron for layer in program.neuron_layers]
    resets = sorted({neuron.reset for neuron in neurons if isinstance(neuron, Firing)})
    choices: dict[str, str | int | float] = {
        "tdd_deploy": __version__,
        "dt_s": float(program.dt_s),
        "integration": program.integration,
        "reset": "mixed" if len(resets) > 1 else "".join(resets) or "none",
        "compare": ">",
        "encoder": program.encoder,
        "number_format": program.number_format,
    }
    if program.n_steps is not None:
        choices["n_steps"] = program.n_steps
    if program.number_format == "integer":
        choices["input_largest"] = program.input.largest
    return choices | {f"provenance_{key}": value for key, value in program.provenance.items()}


def _edges(program: Program) -> Iterator[tuple[str, str]]:
    soft = {layer.name for layer in program.neuron_layers if is_soft(layer)}
    entries, exits = {name: membrane_name(name) for name in soft}, {}
    if program.number_format == "integer":
        exits[program.input.name], entries[program.output.name] = INPUT_SCALE, OUTPUT_UNIT
        yield program.input.name, INPUT_SCALE
        yield OUTPUT_UNIT, program.output.name
    explicit, replaced = explicit_delays(program), _replaced_by_parts(program)
    for edge in program.edges:
        if edge.source in replaced or edge.target in replaced:
            continue
        pair = exits.get(edge.source, edge.source), entries.get(edge.target, edge.target)
        delay = delay_name(edge)
        yield from [(pair[0], delay), (delay, pair[1])] if edge in explicit else [pair]
    for name in sorted(soft):
        yield membrane_name(name), name
        yield name, reset_name(name)
        yield reset_name(name), membrane_name(name)


def _replaced_by_parts(program: Program) -> set[str]:
    """Find out whether the graph has parts of the input, or of the output, instead of the whole."""
    replaced = set()
    if any(isinstance(node, Slice) for node in program.nodes):
        replaced.add(program.input.name)
    if any(isinstance(node, Place) for node in program.nodes):
        replaced.add(program.output.name)
    return replaced
