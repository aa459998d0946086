"""A NIR graph as it is in a file, without any interpretation: kinds, values by name, and edges.

It is read without the checks of the nir package, which reject half of all public files. So a fault can be named, or
repaired where only one repair is possible.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import h5py
import nir
import numpy as np

from tdd_deploy.errors import Violation

Pair = tuple[str, str]  # source, target
GRAPH = "NIRGraph"


@dataclass(frozen=True)
class PlainNode:
    """One node: numbers, arrays and texts by the names that they have in a file."""

    kind: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class PlainGraph:
    """Nodes, graphs among them, and edges in the order of the file."""

    nodes: "Mapping[str, PlainNode | PlainGraph]"
    edges: tuple[Pair, ...]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    kind: ClassVar[str] = GRAPH


def read_group(group: h5py.Group) -> PlainGraph:
    """Read a group of an HDF5 file that holds a graph.

    Raises:
        KeyError, ValueError, AttributeError: it is none.
    """
    return PlainGraph(
        nodes={name: _group_node(node) for name, node in group["nodes"].items()},
        edges=tuple((source.decode(), target.decode()) for source, target in group["edges"][()]),
        metadata={key: _value(item) for key, item in group.get("metadata", {}).items()},
    )


def missing_parts(group: h5py.Group, where: str) -> Iterator[str]:
    """Yield the missing parts of a group that holds a graph: its nodes, its edges, or the type of a node.

    The nir package writes nodes first, so a file whose writing failed lacks the parts after them.
    """
    yield from (f"{where}/{part}" for part in ("type", "nodes", "edges") if part not in group)
    nodes = group.get("nodes")
    for name, node in nodes.items() if isinstance(nodes, h5py.Group) else ():
        if kind_of(node) == GRAPH:
            yield from missing_parts(node, f"{where}/nodes/{name}")
        elif not isinstance(node, h5py.Group) or "type" not in node:
            yield f"{where}/nodes/{name}/type"


def kind_of(node: Any) -> str:
    """Read the name of a node's class; empty if it has none."""
    kind = node.get("type") if isinstance(node, h5py.Group) else None
    value = _value(kind) if isinstance(kind, h5py.Dataset) else ""
    return value if isinstance(value, str) else ""


def _group_node(group: h5py.Group) -> PlainNode | PlainGraph:
    kind = kind_of(group)
    if kind == GRAPH:
        return read_group(group)
    return PlainNode(
        kind,
        {k: _value(v) for k, v in group.items() if isinstance(v, h5py.Dataset) and k != "type"},
    )


def _value(item: h5py.Dataset) -> Any:
    value = item[()]
    return value.decode() if isinstance(value, bytes) else value


def read_graph(graph: nir.NIRGraph) -> PlainGraph:
    """Read a graph in memory."""
    return PlainGraph(
        nodes={name: _graph_node(node) for name, node in graph.nodes.items()},
        edges=tuple((source, target) for source, target in graph.edges),
        metadata=graph.metadata,
    )


def _graph_node(node: nir.NIRNode) -> PlainNode | PlainGraph:
    if isinstance(node, nir.NIRGraph):
        return read_graph(node)
    values = node.to_dict()
    kind = values.pop("type")
    if isinstance(node, nir.Input | nir.Output):
        values["shape"] = node.input_type["input"] if isinstance(node, nir.Input) else node.output_type["output"]
    return PlainNode(kind, {key: value for key, value in values.items() if value is not None and key != "metadata"})


@dataclass
class Flat:
    """A graph without graphs in it; ``repairs`` list what was repaired, ``violations`` what could not be.

    A node of the inner graph ``x`` is called ``x.name``. ``pass_through`` are nodes that send what they receive: the
    inputs and outputs of inner graphs.
    """

    nodes: dict[str, PlainNode] = field(default_factory=dict)
    edges: list[Pair] = field(default_factory=list)
    pass_through: set[str] = field(default_factory=set)
    repairs: list[str] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)


def flatten_graph(graph: PlainGraph) -> Flat:
    """Put the nodes of inner graphs in place of them."""
    flat = Flat()
    _put(graph, "", flat)
    return flat


def _put(graph: PlainGraph, prefix: str, flat: Flat) -> None:
    ends: dict[str, tuple[str, str]] = {}  # input and output of each inner graph
    for name, node in graph.nodes.items():
        if isinstance(node, PlainNode):
            if prefix + name in flat.nodes:
                found = "is the name of two nodes, one of them in an inner graph"
                flat.violations.append(Violation(prefix + name, found, remedy="Rename one of them."))
            flat.nodes[prefix + name] = node
            continue
        _put(node, f"{prefix}{name}.", flat)
        inner = _ends(node)
        if inner is None:
            found = "is an inner graph without exactly one Input and one Output, so its edges are ambiguous"
            flat.violations.append(Violation(prefix + name, found))
            continue
        ends[name] = inner
        flat.pass_through |= {f"{prefix}{name}.{end}" for end in inner}
    renamed = _dangling(graph, prefix, flat)
    for pair in graph.edges:
        source, target = (renamed.get(name, name) for name in pair)
        unknown = [name for name in (source, target) if name not in graph.nodes]
        for name in unknown:
            found = f"names the node {name}, which does not exist"
            flat.violations.append(Violation(f"edge {prefix}{source} -> {prefix}{target}", found))
        if unknown:
            continue
        begin = f"{source}.{ends[source][1]}" if source in ends else source
        end = f"{target}.{ends[target][0]}" if target in ends else target
        flat.edges.append((prefix + begin, prefix + end))


def _ends(graph: PlainGraph) -> tuple[str, str] | None:
    found = [[name for name, node in graph.nodes.items() if node.kind == kind] for kind in ("Input", "Output")]
    return (found[0][0], found[1][0]) if [len(names) for names in found] == [1, 1] else None


def _dangling(graph: PlainGraph, prefix: str, flat: Flat) -> Mapping[str, str]:
    """Map the one name that no node has to the one node that no edge names."""
    named = {name for pair in graph.edges for name in pair}
    missing, unnamed = sorted(named - graph.nodes.keys()), sorted(graph.nodes.keys() - named)
    if len(missing) != 1 or len(unnamed) != 1:
        return {}
    flat.repairs.append(
        f"edges name a node {prefix}{missing[0]} that does not exist: read as {prefix}{unnamed[0]}, which no edge names"
    )
    return {missing[0]: unnamed[0]}


def numbers(value: Any) -> np.ndarray | None:
    """Convert a value to an array of float64; None if it holds anything but numbers."""
    array = np.asarray(value)
    return array.astype(np.float64) if array.dtype.kind in "fiub" and array.size else None
