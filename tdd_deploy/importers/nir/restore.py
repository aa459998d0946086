"""Every node of a NIR file with one meaning and one shape, whatever tool wrote it.

What a file leaves out or states twice is repaired where only one answer is possible, and each repair is reported; where
several are possible, the node is refused. Shapes follow the edges from the inputs on. A signal ``(channels, n)`` of one
dimension is held as ``(channels, 1, n)``.
"""

import math
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from tdd_deploy.errors import Violation
from tdd_deploy.program import Dense, Flatten, LinearMap, Shape, ShapeError

from .fields import (
    LARGEST,
    NEURONS,
    Array,
    Fields,
    Unreadable,
    as_image,
    common_shape,
    fit,
    unbatched,
    without_row,
)
from .maps import DIMENSIONS, MAPS, read_map
from .plain import GRAPH, Flat, Pair, PlainNode, numbers

KINDS = ("Input", "Output", GRAPH, "Delay", *NEURONS, *MAPS)


@dataclass(frozen=True)
class RestoredLayer:
    """A layer of neurons with NIR's parameters, each of shape () or of the layer's."""

    kind: str
    shape: Shape
    values: Mapping[str, Array]


@dataclass
class Restored:
    """Every node of a graph, and the shape that it sends."""

    inputs: dict[str, Shape] = field(default_factory=dict)
    outputs: dict[str, Shape] = field(default_factory=dict)
    maps: dict[str, LinearMap] = field(default_factory=dict)
    layers: dict[str, RestoredLayer] = field(default_factory=dict)
    pass_through: dict[str, float] = field(default_factory=dict)  # the delay of each node in seconds
    edges: list[Pair] = field(default_factory=list)
    sent: dict[str, Shape] = field(default_factory=dict)  # shapes that nodes send
    repairs: list[str] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)


def restore_nodes(flat: Flat) -> Restored:
    """Settle every node of a graph; what cannot be settled is among the violations."""
    return _Restorer(flat).run()


class _Restorer:
    def __init__(self, flat: Flat) -> None:
        self._flat = flat
        self._found = Restored(repairs=list(flat.repairs), violations=list(flat.violations))
        self._sent = self._found.sent
        self._tried: set[str] = set()  # nodes whose shape is known or refused, so that each is reported once
        self._targets: dict[str, list[str]] = defaultdict(list)
        self._sources: dict[str, list[str]] = defaultdict(list)

    def run(self) -> Restored:
        unknown = {name for name, node in self._flat.nodes.items() if node.kind not in KINDS}
        self._refuse(
            Violation(name, self._kind(name) or "no kind", f"a node of kind {', '.join(KINDS)}")
            for name in sorted(unknown)
        )
        if self._found.violations:
            return self._found
        self._index_edges()
        self._add_ends()
        waiting = deque(self._roots())
        while waiting or self._start_on_a_cycle(waiting):
            name = waiting.popleft()
            if name not in self._tried:
                self._tried.add(name)
                self._settle(name, waiting)
        if not self._found.violations:
            self._refuse(self._unreached())
        self._found.edges += self._flat.edges
        return self._found

    def _fields(self, name: str) -> Fields:
        return Fields(name, self._flat.nodes[name], self._found.repairs)

    def _kind(self, name: str) -> str:
        return self._flat.nodes[name].kind

    def _index_edges(self) -> None:
        for (source, target), count in sorted(Counter(self._flat.edges).items()):
            if count > 1:
                self._refuse(
                    [Violation(f"edge {source} -> {target}", f"occurs {count} times", remedy="Keep one of them.")]
                )
        for source, target in self._flat.edges:
            self._connect(source, target)

    def _connect(self, source: str, target: str) -> None:
        self._targets[source].append(target)
        self._sources[target].append(source)

    def _add_ends(self) -> None:
        """Add a missing input before the one node without a source, and a missing output after the last one."""
        for kind, neighbors in (("Input", self._sources), ("Output", self._targets)):
            if any(node.kind == kind and at not in self._flat.pass_through for at, node in self._flat.nodes.items()):
                continue
            ends = [at for at in self._flat.nodes if not neighbors[at]]
            shape = self._stated(ends[0]) if kind == "Input" and len(ends) == 1 else ()
            if len(ends) != 1 or shape is None:
                needed = (
                    "a source instead of one that states its shape" if kind == "Input" else "a target instead of one"
                )
                found = f"has no node of kind {kind}, and {len(ends)} nodes without {needed}"
                self._refuse([Violation("the graph", found, remedy=f"Add an {kind}.")])
                continue
            name = self._free(kind.lower())
            self._flat.nodes[name] = PlainNode(kind, {"shape": np.array(shape)} if shape else {})
            pair = (name, ends[0]) if kind == "Input" else (ends[0], name)
            self._flat.edges.append(pair)
            self._connect(*pair)
            place = "before" if kind == "Input" else "after"
            self._found.repairs.append(f"the graph has no {kind}: one is added {place} {ends[0]}")

    def _free(self, name: str) -> str:
        """Make a name that no node has."""
        while name in self._flat.nodes:
            name += "_"
        return name

    def _stated(self, name: str) -> Shape | None:
        """Read the shape that a node states to receive; None if it states none."""
        fields = self._fields(name)
        try:
            if fields.kind == "Input":
                return fields.sizes("shape")
            if fields.kind in NEURONS:
                return common_shape(fields.parameters().values())
            if fields.kind in ("Affine", "Linear"):
                return (fields.array("weight", dims=2).shape[1],)
            if fields.kind == "Conv2d" and "input_shape" in fields:
                weight, size = fields.array("weight", dims=4), fields.sizes("input_shape")
                channels = weight.shape[1] * fields.whole("groups", 1)
                return (channels, *size) if len(size) == 2 else None
        except Unreadable:
            return None
        return None

    def _is_input(self, name: str) -> bool:
        return self._kind(name) == "Input" and name not in self._flat.pass_through

    def _roots(self) -> list[str]:
        return [name for name in self._flat.nodes if self._is_input(name)]

    def _start_on_a_cycle(self, waiting: "deque[str]") -> bool:
        """Start at a layer on a cycle that states its own shape; return whether there is one."""
        for name in self._flat.nodes:
            if name not in self._tried and self._kind(name) in NEURONS and self._sources[name] and self._stated(name):
                waiting.append(name)
                return True
        return False

    def _unreached(self) -> Iterator[Violation]:
        """Report nodes without a shape: layers first, since other nodes may wait for them."""
        unreached = sorted(self._flat.nodes.keys() - self._sent.keys())
        layers = [name for name in unreached if self._kind(name) in NEURONS and self._sources[name]]
        for name in layers:
            found = "is reached by no path from an input, and its parameters do not state its shape"
            yield Violation(name, found, remedy="Give its parameters the shape of the layer.")
        for name in unreached:
            if not self._sources[name] or not layers:
                yield Violation(name, "is reached by no path from an input", remedy="Remove the node.")

    def _settle(self, name: str, waiting: "deque[str]") -> None:
        received = next((self._sent[source] for source in self._sources[name] if source in self._sent), None)
        try:
            sent = self._shape_through(self._fields(name), received)
        except Unreadable as error:
            self._refuse(error.violations)
            return
        if math.prod(sent) > LARGEST:
            self._refuse([Violation(name, f"sends {math.prod(sent):,} values, more than {LARGEST:,}")])
            return
        self._sent[name] = sent
        waiting.extend(self._targets[name])

    def _shape_through(self, fields: Fields, received: Shape | None) -> Shape:
        """Restore a node, and return the shape that it sends."""
        name = fields.name
        if self._is_input(name):
            self._found.inputs[name] = self._input_shape(fields)
            return self._found.inputs[name]
        if fields.kind in NEURONS:
            self._found.layers[name] = _layer(fields, received)
            return self._found.layers[name].shape
        assert received is not None  # only inputs and layers have a shape before their sources do
        if name in self._flat.pass_through:
            self._found.pass_through[name] = 0.0
            return _output_shape(fields, received)
        if fields.kind == "Output":
            self._found.outputs[name] = _output_shape(fields, received)
            return received
        if fields.kind == "Delay":
            self._found.pass_through[name] = _delay(fields, received)
            return received
        return self._map(fields, received)

    def _input_shape(self, fields: Fields) -> Shape:
        shape = fields.sizes("shape") if np.size(fields.node.values.get("shape", ())) else self._inferred(fields)
        dims = self._dimensions_taken_after(fields.name)
        if dims is None:
            dims = 3 if len(shape) > 3 else len(shape)
        if len(shape) == dims + 1 and shape[0] == 1:
            fields.report(f"{fields.name}: the batch of 1 in its shape {shape} is left out")
            shape = shape[1:]
        if len(shape) > 3:
            allowed = "(n,), (channels, n) or (channels, h, w), with a batch of 1 at most"
            raise fields.fault_of("shape", allowed, found=f"{shape}")
        return as_image(shape)

    def _inferred(self, fields: Fields) -> Shape:
        """Infer the shape of an input that states none: all nodes after it have to receive the same."""
        found, seen, waiting = set(), {fields.name}, deque(self._targets[fields.name])
        while waiting:
            at = waiting.popleft()
            if at in seen:
                continue
            seen.add(at)
            stated, kind = self._stated(at), self._kind(at)
            if stated is None and (kind in NEURONS or kind == "Delay" or at in self._flat.pass_through):
                waiting.extend(self._targets[at])  # passes on the shape that it receives
            else:
                found.add(stated)
        shape = found.pop() if len(found) == 1 else None
        if shape is None:
            fault = "states no shape, and the nodes after it do not all state the same one"
            raise fields.fault(fault, remedy="Write its shape into the file.")
        fields.report(f"{fields.name}: states no shape, read as {list(shape)}, which the nodes after it take")
        return shape

    def _dimensions_taken_after(self, name: str) -> int | None:
        """Find how many dimensions the first map after a node takes; None if no map states that."""
        seen, waiting = {name}, deque(self._targets[name])
        while waiting:
            at = waiting.popleft()
            kind = self._kind(at)
            if kind in DIMENSIONS:
                return DIMENSIONS[kind]
            if at not in seen and kind != "Flatten":
                seen.add(at)
                waiting.extend(self._targets[at])
        return None

    def _map(self, fields: Fields, shape: Shape) -> Shape:
        targets = [self._flat.nodes[target] for target in self._targets[fields.name]]
        made = read_map(fields, shape, targets=targets)
        if isinstance(made, Dense) and len(shape) == 3 and math.prod(shape) == made.weight.shape[1]:
            shape = self._flatten_before(fields, shape)
        try:
            sent = made.out_shape(shape)
        except ShapeError as error:
            raise fields.fault(f"receives shape {shape}, but takes {error}") from error
        self._found.maps[fields.name] = made
        return sent

    def _flatten_before(self, fields: Fields, shape: Shape) -> Shape:
        """Insert a Flatten before a dense map, since no other reading is possible; return the shape that it sends."""
        name, size = fields.name, math.prod(shape)
        made = self._free(f"{name}.flatten")
        fields.report(f"{name}: receives shape {list(shape)} and takes {size} numbers: a Flatten is added before it")
        self._found.maps[made] = Flatten(name=made)
        self._sent[made] = (size,)
        into = [pair for pair in self._flat.edges if pair[1] == name]
        self._flat.edges = [pair for pair in self._flat.edges if pair[1] != name]
        self._flat.edges += [*((source, made) for source, _ in into), (made, name)]
        return self._sent[made]

    def _refuse(self, violations: Iterable[Violation]) -> None:
        self._found.violations += violations


def _output_shape(fields: Fields, received: Shape) -> Shape:
    if "shape" not in fields:
        return received
    if not np.size(fields.get("shape")):
        fields.report(f"{fields.name}: states no shape, read as {list(without_row(received))}, which it receives")
        return received
    stated = fields.sizes("shape")
    if as_image(stated) != received:
        if math.prod(stated) != math.prod(received):
            raise fields.fault(f"states that it receives shape {stated}, but receives {received}")
        fields.report(f"{fields.name}: states shape {stated}, but receives {received}, which is used")
    return received


def _layer(fields: Fields, received: Shape | None) -> RestoredLayer:
    values = fields.parameters()
    shape = received or as_image(unbatched(common_shape(values.values()) or ()))
    spread, changed = {}, set()
    for key, value in values.items():
        fitted = fit(value, shape)
        if fitted is None:
            allowed = f"of a shape that broadcasts to {shape}, which the layer receives"
            raise fields.fault_of(key, allowed, found=f"shape {value.shape}")
        if key in fields and value.shape not in (shape, without_row(shape)):
            changed.add(f"{key} {list(value.shape)}")
        spread[key] = fitted
    if changed:
        fields.report(f"{fields.name}: {', '.join(sorted(changed))} broadcast to {list(shape)}")
    return RestoredLayer(fields.kind, shape, spread)


def _delay(fields: Fields, shape: Shape) -> float:
    """Read a delay in seconds, the same for all that it passes on."""
    delay = numbers(fields.get("delay"))
    if delay is None or not np.isfinite(delay).all() or delay.min() < 0:
        raise fields.fault_of("delay", "0 seconds or more")
    if np.ptp(delay):
        found = f"{delay.min():g} to {delay.max():g} s"
        raise fields.fault_of("delay", "the same for all values", found=found, remedy="Use one Delay for each of them.")
    if fit(delay, shape) is None:
        raise fields.fault_of("delay", f"of shape {shape}, which it receives", found=f"shape {delay.shape}")
    return float(delay.flat[0])
