"""The Program: a network with nothing left open."""

import hashlib
import heapq
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np

from tdd_deploy.neurons import Neuron
from tdd_deploy.options.vocabulary import Code

from .nodes import Input, LinearMap, NeuronLayer, Node, Output, Shape

Integration = Literal["euler", "exact"]
NumberFormat = Literal["float32", "float64", "integer"]


@dataclass(frozen=True)
class Edge:
    """A connection: ``target`` receives the values that ``source`` sends in this step, or sent ``delay`` steps before.

    ``code`` is the form in which they are sent: the values themselves (spike), or their changes since the step before
    (delta).
    """

    source: str
    target: str
    delay: int = 0
    code: Code = "delta"


@dataclass(frozen=True, eq=False, kw_only=True)
class Program:
    """A network as a sequence of discrete steps, every choice a field; made by ``build``.

    Two programs are equal when they compute the same, whatever their provenance.
    """

    nodes: tuple[Node, ...]  # in execution order
    edges: tuple[Edge, ...]
    dt_s: float
    n_steps: int | None  # time steps per sample, unless a run chooses others; None: not stated
    integration: Integration  # the rule that turned time constants into fractions kept
    number_format: NumberFormat
    encoder: str  # how samples become inputs: a name of vocabulary.ENCODERS
    provenance: Mapping[str, str] = field(default_factory=dict)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Program) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __getitem__(self, name: str) -> Node:
        return self._by_name[name]

    @property
    def input(self) -> Input:
        """The one input."""
        return next(node for node in self.nodes if isinstance(node, Input))

    @property
    def output(self) -> Output:
        """The one output."""
        return next(node for node in self.nodes if isinstance(node, Output))

    @property
    def neuron_layers(self) -> tuple[NeuronLayer, ...]:
        """The layers of neurons in execution order."""
        return tuple(node for node in self.nodes if isinstance(node, NeuronLayer))

    @property
    def linear_maps(self) -> tuple[LinearMap, ...]:
        """The linear maps in execution order."""
        return tuple(node for node in self.nodes if isinstance(node, LinearMap))

    @property
    def dtype(self) -> np.dtype[Any]:
        """The numpy type of the number format."""
        return dtype_of(self.number_format)

    @cached_property
    def incoming(self) -> dict[str, tuple[Edge, ...]]:
        """The edges into each node, in a fixed order."""
        edges: dict[str, list[Edge]] = {node.name: [] for node in self.nodes}
        for edge in self.edges:
            edges[edge.target].append(edge)
        return {name: tuple(into) for name, into in edges.items()}

    @cached_property
    def outgoing(self) -> dict[str, tuple[Edge, ...]]:
        """The edges out of each node, in a fixed order."""
        edges: dict[str, list[Edge]] = {node.name: [] for node in self.nodes}
        for edge in self.edges:
            edges[edge.source].append(edge)
        return {name: tuple(out) for name, out in edges.items()}

    @cached_property
    def shapes(self) -> dict[str, Shape]:
        """The shape that each node sends."""
        shapes = {node.name: node.shape for node in self.nodes if isinstance(node, Input | NeuronLayer)}
        for node in self.nodes:
            if isinstance(node, LinearMap):
                shapes[node.name] = node.out_shape(self.in_shape(node.name, shapes))
            elif isinstance(node, Output):
                shapes[node.name] = self.in_shape(node.name, shapes)
        return shapes

    def in_shape(self, name: str, shapes: Mapping[str, Shape] | None = None) -> Shape:
        """Return the shape that a node receives."""
        return (self.shapes if shapes is None else shapes)[self.incoming[name][0].source]

    @cached_property
    def digest(self) -> str:
        """SHA-256 over every choice that affects what the program computes."""
        sha = hashlib.sha256()
        choices = {
            f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("nodes", "edges", "provenance")
        }
        edges = sorted((e.source, e.target, e.delay, e.code) for e in self.edges)
        sha.update(json.dumps([choices, edges], sort_keys=True).encode())
        for node in self.nodes:
            _update(sha, node)
        return sha.hexdigest()

    @cached_property
    def _by_name(self) -> dict[str, Node]:
        return {node.name: node for node in self.nodes}


def dtype_of(number_format: NumberFormat) -> np.dtype[Any]:
    """Return the numpy type of a number format."""
    return np.dtype("int32" if number_format == "integer" else number_format)


def frozen(values: Any, dtype: str | np.dtype[Any]) -> np.ndarray:
    """Return a read-only, contiguous copy; an array that is one already, and that nobody can write to, as it is."""
    if isinstance(values, np.ndarray) and values.dtype == dtype and _is_frozen(values):
        return values
    array = np.array(values, dtype=dtype, order="C")
    array.setflags(write=False)
    return array


def _is_frozen(array: np.ndarray) -> bool:
    return array.flags.owndata and array.flags.c_contiguous and not array.flags.writeable


def with_arrays(node: Node, convert: Callable[[np.ndarray], np.ndarray]) -> Node:
    """Copy a node with every array converted, a neuron's parameters included."""
    changed: dict[str, Any] = {}
    for f in fields(node):
        value = getattr(node, f.name)
        if isinstance(value, np.ndarray):
            changed[f.name] = convert(value)
        elif isinstance(value, Neuron):
            changed[f.name] = value.converted(convert)
    return replace(node, **changed)


def arrays(node: Node) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the arrays of a node by name, a neuron's parameters included."""
    values = {f.name: getattr(node, f.name) for f in fields(node)}
    if isinstance(node, NeuronLayer):
        values |= node.neuron.parameters()
    return ((name, value) for name, value in values.items() if isinstance(value, np.ndarray))


def execution_order(nodes: Iterable[Node], edges: Iterable[Edge]) -> tuple[Node, ...]:
    """Sort the nodes so that every edge without delay leads forward; free choices go by name.

    Nodes on a cycle without delay, and second nodes of one name, come last, in their order: ``verify`` names them.
    """
    nodes = tuple(nodes)
    by_name = {node.name: node for node in nodes}
    targets = defaultdict(list)
    waits_for = dict.fromkeys(by_name, 0)
    for edge in edges:
        if edge.delay == 0 and edge.target in by_name:
            targets[edge.source].append(edge.target)
            waits_for[edge.target] += 1
    ready = [name for name, count in waits_for.items() if count == 0]
    heapq.heapify(ready)
    order: dict[str, Node] = {}
    while ready:
        name = heapq.heappop(ready)
        order[name] = by_name[name]
        for target in targets[name]:
            waits_for[target] -= 1
            if waits_for[target] == 0:
                heapq.heappush(ready, target)
    return (*order.values(), *(node for node in nodes if order.get(node.name) is not node))


def _update(sha: Any, part: Node | Neuron) -> None:
    sha.update(type(part).__name__.encode())
    for f in fields(part):
        if not f.metadata.get("computes", True):
            continue
        value = getattr(part, f.name)
        if isinstance(value, Neuron):
            _update(sha, value)
        elif isinstance(value, np.ndarray):
            sha.update(f"{f.name} {value.dtype} {value.shape}".encode())
            sha.update(np.ascontiguousarray(value).data)
        else:
            sha.update(f"{f.name} {value!r}".encode())
