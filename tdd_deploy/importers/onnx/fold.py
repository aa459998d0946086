"""Fold factors and shifts of a ReLU network into the maps around them, where they cost nothing.

A constant that is added goes forward: into the bias of each map that receives it, or of a map that feeds the same sum.
A factor goes backward into the weights before it, else forward. Biases of maps are such constants too, so that a
function has the same maps however its file writes it. What no map can take remains as a map of one synapse per value.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, product
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tdd_deploy.program import Conv, Dense, Edge, Flatten, LinearMap, Node, Pool, Scale, Shape
from tdd_deploy.program.apply import apply

LARGEST_SPREAD = 1 << 24  # elements that a constant may have while it is passed through a map
DEEPEST, MOST_STEPS = 32, 256  # limits of a search for weights: maps in a row, and maps in total

Array = NDArray[Any]
What = Literal["bias", "rows", "bias rows", "columns"]
Change = tuple[str, What, Array]  # a map, its part that changes, and the summand or factor


@dataclass(frozen=True, eq=False, kw_only=True)
class Affine(LinearMap):
    """A factor and a constant that are not folded yet: as many axes as ``shape``, of its sizes or of 1."""

    factor: Array
    bias: Array
    shape: Shape

    def out_shape(self, shape: Shape) -> Shape:
        """Pass any shape through unchanged."""
        return shape

    @property
    def does_nothing(self) -> bool:
        """Whether it passes its input through unchanged."""
        return not np.any(self.bias) and bool(np.all(self.factor == 1))

    def as_map(self) -> LinearMap:
        """Build the map of a Program that computes it."""
        sizes = {self.factor.shape, self.bias.shape}
        if len(self.shape) == 3 and all(size[1:] == (1, 1) for size in sizes) and sizes != {(1, 1, 1)}:
            n = self.shape[0]
            factor, bias = (np.broadcast_to(array.ravel(), n) for array in (self.factor, self.bias))
            shifted = bias if np.any(bias) else None
            return Conv(name=self.name, weight=factor.reshape(n, 1, 1, 1), bias=shifted, groups=n)
        factor, bias = (
            array.reshape(()) if array.size == 1 else np.broadcast_to(array, self.shape)
            for array in (self.factor, self.bias)
        )
        return Scale(name=self.name, factor=factor, bias=bias if np.any(bias) else None)


def fold(
    nodes: Mapping[str, Node], edges: Iterable[Edge], shapes: Mapping[str, Shape]
) -> tuple[list[Node], list[Edge]]:
    """Rewrite a graph as one of the same function with as few ``Affine`` as possible, and turn these into maps.

    Args:
        nodes: each after its sources; arrays in float64.
        edges: between them.
        shapes: the shapes that the nodes send.
    """
    folder = _Folder(nodes, edges, shapes)
    for name in reversed(list(folder.nodes)):  # nodes downstream are already done
        folder.fold(name)
    for name in list(folder.nodes):
        folder.send_onward(name)
    left = [node.as_map() if isinstance(node, Affine) else node for node in folder.nodes.values()]
    return left, [Edge(source, target) for target, sources in folder.sources.items() for source in sources]


class _Folder:
    """A graph that changes node by node."""

    def __init__(self, nodes: Mapping[str, Node], edges: Iterable[Edge], shapes: Mapping[str, Shape]) -> None:
        self.nodes = dict(nodes)
        self.shapes = shapes
        self._steps = 0  # steps that a search may still take
        self.sources: dict[str, list[str]] = {name: [] for name in nodes}
        self.targets: dict[str, list[str]] = {name: [] for name in nodes}
        for edge in edges:
            self.sources[edge.target].append(edge.source)
            self.targets[edge.source].append(edge.target)

    def fold(self, name: str) -> None:
        """Fold the factor and the constant of an ``Affine`` into maps where they cost nothing."""
        node = self.nodes.get(name)
        if not isinstance(node, Affine):
            return
        self._join(name)
        self._scale_before(name, into_affine=False)
        self.send_onward(name)
        affine = self._affine(name)
        if np.any(affine.bias) and np.all(affine.factor):
            changes = self._searched(self._taken_by_any, self.sources[name], affine.bias / affine.factor)
            if changes is not None:
                self._change(changes)
                self._without_bias(name)
        for target in list(self.targets[name]):
            self._leave_out(name, target)
        self._scale_before(name, into_affine=True)
        self._remove_or_widen(name)

    def _affine(self, name: str) -> Affine:
        node = self.nodes[name]
        assert isinstance(node, Affine)
        return node

    def _scale_before(self, name: str, *, into_affine: bool) -> None:
        """Move the factor of an ``Affine`` upstream, if every way that leads to it can take it."""
        affine = self._affine(name)
        changes = self._searched(partial(self._scaled_before, into_affine=into_affine), name, affine.factor)
        if changes is not None and not np.all(affine.factor == 1):
            self._change(changes)
            self.nodes[name] = replace(affine, factor=np.ones([1] * len(affine.shape)))

    def _searched(self, search: Callable[..., list[Change] | None], *given: object) -> list[Change] | None:
        """Run a search with a bounded number of steps, and return its result."""
        self._steps = MOST_STEPS
        return search(*given, 0)

    def _change(self, changes: Iterable[Change]) -> None:
        for name, what, values in changes:
            self.nodes[name] = _changed(self.nodes[name], what, values)

    def _without_bias(self, name: str) -> None:
        node = self.nodes[name]
        assert isinstance(node, Affine | Dense | Conv)
        if isinstance(node, Affine):
            self.nodes[name] = replace(node, bias=np.zeros([1] * len(node.shape)))
        else:
            self.nodes[name] = replace(node, bias=None)

    def send_onward(self, name: str) -> None:
        """Move the constant of a map downstream, if every receiver can take it."""
        node = self.nodes[name]
        if not isinstance(node, Affine | Dense | Conv) or node.bias is None or not np.any(node.bias):
            return
        bias = node.bias.reshape(-1, 1, 1) if isinstance(node, Conv) else node.bias
        changes = self._searched(self._onward, name, bias)
        if changes is not None:
            self._without_bias(name)
            self._change(changes)

    def _leave_out(self, name: str, target: str) -> None:
        """Connect the sources of an ``Affine`` to a target that can take its factor and its constant."""
        affine, sources = self._affine(name), self.sources[name]
        if any(source in self.sources[target] for source in sources):
            return
        shifted: list[Change] | None = []
        scaled: list[Change] | None = []
        if np.any(affine.bias):
            shifted = self._searched(self._taken_after, name, target, affine.bias)
        if not np.all(affine.factor == 1):
            scaled = self._searched(self._scaled_at, target, affine.factor)
        if shifted is None or scaled is None:
            return
        self._change(shifted)
        self._change(scaled)
        self._cut(name, target)
        for source in sources:
            self._link(source, target)

    # An ``Affine`` on a path parallel to another one.

    def _join(self, name: str) -> None:
        """Merge an ``Affine`` with another summand of the same sum, if both have the same source."""
        if len(self.sources[name]) != 1 or len(self.targets[name]) != 1:
            return
        (source,), (target,) = self.sources[name], self.targets[name]
        for other in list(self.sources[target]):
            beside = self.nodes[other]
            node = self._affine(name)
            if other == source:
                self._cut(source, target)
                self.nodes[name] = replace(node, factor=node.factor + 1)
            elif (
                other != name
                and isinstance(beside, Affine)
                and (self.sources[other], self.targets[other]) == ([source], [target])
            ):
                self._cut(source, other)
                self._cut(other, target)
                del self.nodes[other], self.sources[other], self.targets[other]
                factor, bias = node.factor + beside.factor, node.bias + beside.bias
                self.nodes[name] = replace(node, factor=factor, bias=bias)

    def _cut(self, source: str, target: str) -> None:
        self.sources[target].remove(source)
        self.targets[source].remove(target)

    def _link(self, source: str, target: str) -> None:
        self.sources[target].append(source)
        self.targets[source].append(target)

    def _remove_or_widen(self, name: str) -> None:
        """Remove an ``Affine`` that does nothing; place one that only shifts after the sum of its target."""
        affine, sources, targets = self._affine(name), list(self.sources[name]), list(self.targets[name])
        is_joined = any(source in self.sources[target] for source, target in product(sources, targets))
        if not targets or (affine.does_nothing and not is_joined):
            for source in sources:
                self._cut(source, name)
            for target in targets:
                self._cut(name, target)
            for source, target in product(sources, targets):
                self._link(source, target)
            del self.nodes[name], self.sources[name], self.targets[name]
        elif len(targets) == 1 and np.all(affine.factor == 1) and not is_joined:
            for other in [other for other in self.sources[targets[0]] if other != name]:
                self._cut(other, targets[0])
                self._link(other, name)

    # Constants.

    def _onward(self, name: str, constant: Array, depth: int) -> list[Change] | None:
        """Find changes by which all receivers of a node take the constant that the node no longer adds."""
        found = [self._taken_after(name, target, constant, depth) for target in self.targets[name]]
        return _all(found)

    def _taken_after(self, source: str, target: str, constant: Array, depth: int) -> list[Change] | None:
        if self._is_too_far(depth):
            return None
        taken = self._through(target, constant, depth)
        if taken is None:
            others = [other for other in self.sources[target] if other != source]
            return self._taken_by_any(others, constant, depth)
        return taken

    def _through(self, name: str, constant: Array, depth: int) -> list[Change] | None:
        """Find changes by which a node, or its receivers, takes a constant that it receives."""
        node = self.nodes[name]
        match node:
            case Affine():
                return [(name, "bias", constant * node.factor)]
            case Dense():
                columns = node.weight.sum(axis=1, keepdims=True) if constant.size == 1 else node.weight
                return [(name, "bias", columns @ constant)]
            case Flatten():
                flat = self._flat(name, constant)
                return None if flat is None else self._onward(name, flat, depth + 1)
            case Conv() | Pool():
                conv = node if isinstance(node, Conv) else node.as_conv(self.shapes[name][0])
                sums = self._sums(name, conv, constant)
                per_channel = None if sums is None else _per_channel(sums)
                if per_channel is not None and isinstance(node, Conv):
                    return [(name, "bias", per_channel.ravel())]
                return None if sums is None else self._onward(name, sums, depth + 1)
        return None

    def _sums(self, name: str, conv: Conv, constant: Array) -> Array | None:
        """Apply a convolution to a constant, unless that is too large."""
        shape, weight = self.shapes[self.sources[name][0]], conv.weight
        if constant.shape[1:] == (1, 1) and conv.padding == (0, 0):  # all pixels are equal
            weight = weight.sum(axis=(2, 3), keepdims=True)
            pixel = Conv(name=name, weight=weight, groups=conv.groups)
            return np.asarray(apply(pixel, np.broadcast_to(constant, (shape[0], 1, 1))[None])[0])
        if math.prod(self.shapes[name][1:]) * shape[0] * math.prod(weight.shape[2:]) > LARGEST_SPREAD:
            return None
        return np.asarray(apply(replace(conv, bias=None), np.broadcast_to(constant, shape)[None])[0])

    def _flat(self, name: str, constant: Array) -> Array | None:
        """Apply a Flatten to a constant, unless that is too large."""
        shape = self.shapes[self.sources[name][0]]
        if constant.size == 1:
            return constant.reshape(1)
        return np.broadcast_to(constant, shape).reshape(-1) if math.prod(shape) <= LARGEST_SPREAD else None

    def _is_too_far(self, depth: int) -> bool:
        """Count a step of a search; return whether the search ends."""
        self._steps -= 1
        return depth >= DEEPEST or self._steps < 0

    def _taken_by_any(self, names: Iterable[str], constant: Array, depth: int) -> list[Change] | None:
        """Find a change by which one summand takes a constant that its sum receives, and nothing else receives it."""
        found = (self._taken_by(name, constant, depth) for name in names)
        return next((changes for changes in found if changes is not None), None)

    def _taken_by(self, name: str, constant: Array, depth: int) -> list[Change] | None:
        node = self.nodes[name]
        if len(self.targets[name]) != 1 or self._is_too_far(depth):
            return None
        per_channel = _per_channel(constant)
        match node:
            case Affine() | Dense():
                return [(name, "bias", constant)]
            case Conv() if per_channel is not None:
                return [(name, "bias", per_channel.ravel())]
            case Flatten():
                return self._taken_by_any(self.sources[name], self._unflattened(name, constant), depth + 1)
            case Pool(padding=(0, 0), average=True) if per_channel is not None:
                return self._taken_by_any(self.sources[name], per_channel, depth + 1)
        return None

    def _unflattened(self, name: str, flat: Array) -> Array:
        shape = self.shapes[self.sources[name][0]]
        return flat.reshape(shape if flat.size > 1 else [1] * len(shape))

    # Factors.

    def _scaled_before(self, name: str, factor: Array, depth: int, *, into_affine: bool) -> list[Change] | None:
        """Find changes by which everything that leads to a node, and to nothing else, takes a factor.

        An ``Affine`` may find no other place for a factor, so it takes one only if ``into_affine``.
        """
        return _all([self._scaled_in(source, factor, depth, into_affine) for source in self.sources[name]])

    def _scaled_in(self, name: str, factor: Array, depth: int, into_affine: bool) -> list[Change] | None:
        node = self.nodes[name]
        if len(self.targets[name]) != 1 or self._is_too_far(depth):
            return None
        per_channel = _per_channel(factor)
        match node:
            case Affine() if not into_affine:
                before = self._scaled_before(name, factor, depth + 1, into_affine=False)
                return None if before is None else [(name, "bias rows", factor), *before]
            case Affine() | Dense():
                return [(name, "rows", factor)]
            case Conv() if per_channel is not None:
                return [(name, "rows", per_channel.ravel())]
            case Flatten() | Pool():
                received = self._unflattened(name, factor) if isinstance(node, Flatten) else per_channel
                if received is not None:
                    return self._scaled_before(name, received, depth + 1, into_affine=into_affine)
        return None

    def _scaled_after(self, name: str, factor: Array, depth: int) -> list[Change] | None:
        """Find changes by which all receivers of a node, if they receive nothing else, take a factor."""
        return _all([self._scaled_at(target, factor, depth) for target in self.targets[name]])

    def _scaled_at(self, name: str, factor: Array, depth: int) -> list[Change] | None:
        node = self.nodes[name]
        if len(self.sources[name]) != 1 or self._is_too_far(depth):
            return None
        per_channel = _per_channel(factor)
        match node:
            case Affine() | Dense():
                return [(name, "columns", factor)]
            case Conv() if per_channel is not None:
                return [(name, "columns", per_channel.ravel())]
            case Flatten():
                flat = self._flat(name, factor)
                return None if flat is None else self._scaled_after(name, flat, depth + 1)
            case Pool() if per_channel is not None:
                return self._scaled_after(name, per_channel, depth + 1)
        return None


def _all(found: list[list[Change] | None]) -> list[Change] | None:
    """Collect all changes; None if one of them is impossible."""
    known = [changes for changes in found if changes is not None]
    return list(chain.from_iterable(known)) if len(known) == len(found) else None


def _per_channel(values: Array) -> Array | None:
    """Reduce values per pixel to ``[channels, 1, 1]``, if all pixels are equal."""
    if values.ndim != 3:
        return None
    first = values[:, :1, :1]
    return first if np.array_equal(values, np.broadcast_to(first, values.shape)) else None


def _changed(node: Node, what: What, values: Array) -> Node:
    """Copy a map with a constant added to its sums, or with its rows or columns multiplied."""
    match node:
        case Affine():
            if what == "bias":
                return replace(node, bias=node.bias + values)
            factor = node.factor if what == "bias rows" else node.factor * values
            return replace(node, factor=factor, bias=node.bias if what == "columns" else node.bias * values)
        case Dense() | Conv():
            n = len(node.weight)
            rest = [1] * (node.weight.ndim - 1)
            if what == "columns":
                return replace(node, weight=node.weight * _columns(node, values))
            if what == "rows":
                bias = None if node.bias is None else node.bias * values
                return replace(node, weight=node.weight * values.reshape(-1, *rest), bias=bias)
            return replace(node, bias=np.broadcast_to(values, n) + (0 if node.bias is None else node.bias))
    raise NotImplementedError(type(node).__name__)


def _columns(node: Dense | Conv, values: Array) -> Array:
    """Shape a factor per input so that it multiplies weights."""
    if isinstance(node, Dense) or values.size == 1:
        return values.reshape(1, -1, *[1] * (node.weight.ndim - 2))
    per_group = values.reshape(node.groups, 1, -1)
    rows = len(node.weight) // node.groups
    return np.broadcast_to(per_group, (node.groups, rows, per_group.shape[-1])).reshape(len(node.weight), -1, 1, 1)
