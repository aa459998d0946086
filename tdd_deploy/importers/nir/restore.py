"""From what stands in a file to maps and layers of one meaning and one shape, whatever tool wrote them.

What a NIR file leaves out or states twice is settled where only one answer is possible, and each repair is told; where
several are, the node is refused. Shapes follow the edges from the inputs on. A signal ``(channels, n)`` of one
dimension is held as ``(channels, 1, n)``.
"""

import math
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from tdd_deploy.errors import Violation
from tdd_deploy.program import Conv, Dense, Flatten, LinearMap, Pool, Scale, Shape, ShapeError

from .plain import GRAPH, Flat, Pair, PlainNode, numbers

Array = NDArray[np.float64]
LARGEST = 2**28  # values that a node may send

CELLS: dict[
    str, dict[str, float | None]
] = {  # the parameters of each neuron; those that older versions of NIR did not write have a value
    "I": {"r": None},
    "IF": {"r": None, "v_threshold": None, "v_reset": 0.0},
    "LI": {"tau": None, "r": None, "v_leak": None},
    "LIF": {"tau": None, "r": None, "v_leak": None, "v_threshold": None, "v_reset": 0.0},
    "CubaLI": {"tau_syn": None, "tau_mem": None, "r": None, "v_leak": None, "w_in": 1.0},
    "CubaLIF": {
        "tau_syn": None,
        "tau_mem": None,
        "r": None,
        "v_leak": None,
        "v_threshold": None,
        "v_reset": 0.0,
        "w_in": 1.0,
    },
    "Threshold": {"threshold": None},
}
DIMENSIONS = {"Affine": 1, "Linear": 1, "Conv1d": 2, "Conv2d": 3, "SumPool2d": 3, "AvgPool2d": 3}  # that a map takes
KINDS = ("Input", "Output", GRAPH, "Scale", "Flatten", "Delay", *CELLS, *DIMENSIONS)


@dataclass(frozen=True)
class Cells:
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
    cells: dict[str, Cells] = field(default_factory=dict)
    wires: dict[str, float] = field(default_factory=dict)  # nodes that pass on what they receive, so many seconds later
    edges: list[Pair] = field(default_factory=list)
    sent: dict[str, Shape] = field(default_factory=dict)  # by each node
    repairs: list[str] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)


class _Unreadable(Exception):
    """A node that has one fault, or more than one meaning."""

    def __init__(self, *faults: Violation) -> None:
        self.faults = faults


def restored(flat: Flat) -> Restored:
    """Settle every node of a graph; what cannot be settled is among the violations."""
    return _Restorer(flat).run()


class _Restorer:
    def __init__(self, flat: Flat) -> None:
        self._flat = flat
        self._found = Restored(repairs=list(flat.repairs), violations=list(flat.violations))
        self._sent = self._found.sent
        self._tried: set[str] = set()  # shapes already sent or refused, so that each is reported once
        self._targets: dict[str, list[str]] = defaultdict(list)
        self._sources: dict[str, list[str]] = defaultdict(list)

    def run(self) -> Restored:
        unknown = {name for name, node in self._flat.nodes.items() if node.kind not in KINDS}
        self._refuse(
            Violation(name, f"a node of kind {self._flat.nodes[name].kind or 'unknown'}", ", ".join(KINDS))
            for name in sorted(unknown)
        )
        if self._found.violations:
            return self._found
        self._join()
        self._close()
        waiting = deque(self._roots())
        while waiting or self._give_way(waiting):
            name = waiting.popleft()
            if name not in self._tried:
                self._tried.add(name)
                self._settle(name, waiting)
        if not self._found.violations:
            self._refuse(self._unreached())
        self._found.edges += self._flat.edges
        return self._found

    def _join(self) -> None:
        for (source, target), count in sorted(Counter(self._flat.edges).items()):
            if count > 1:
                self._refuse([Violation(f"edge {source} -> {target}", f"stands {count} times", "once")])
        for source, target in self._flat.edges:
            self._targets[source].append(target)
            self._sources[target].append(source)

    def _close(self) -> None:
        """Put an input before the one node that nothing leads to, an output behind the one that leads to nothing."""
        for kind, ways in (("Input", self._sources), ("Output", self._targets)):
            if any(node.kind == kind and at not in self._flat.wires for at, node in self._flat.nodes.items()):
                continue
            ends = [at for at in self._flat.nodes if not ways[at]]
            shape = self._stated(ends[0]) if kind == "Input" and len(ends) == 1 else ()
            if len(ends) != 1 or shape is None:
                what = "one node at its end" if kind == "Output" else "one node at its begin, which states its shape"
                found = f"no node of kind {kind}, and {len(ends)} nodes that could be joined to one"
                self._refuse([Violation("the graph", found, f"an {kind}, or {what}")])
                continue
            name = self._free(kind.lower())
            self._flat.nodes[name] = PlainNode(kind, {"shape": np.array(shape)} if shape else {})
            pair = (name, ends[0]) if kind == "Input" else (ends[0], name)
            self._flat.edges.append(pair)
            self._targets[pair[0]].append(pair[1])
            self._sources[pair[1]].append(pair[0])
            beside = "before" if kind == "Input" else "behind"
            self._found.repairs.append(f"the graph has no {kind}: one was put {beside} {ends[0]}")

    def _free(self, name: str) -> str:
        """Make a name that no node has."""
        while name in self._flat.nodes:
            name += "_"
        return name

    def _stated(self, name: str) -> Shape | None:
        """Return the shape that a node says to receive, None when it does not."""
        node = self._flat.nodes[name]
        try:
            if node.kind == "Input":
                return self._sizes(name, node, "shape")
            if node.kind in CELLS:
                return _broadcast(self._parameters(name, node).values())
            if node.kind in ("Affine", "Linear"):
                return (self._array(name, node, "weight", 2).shape[1],)
            if node.kind == "Conv2d" and "input_shape" in node.values:
                weight, size = self._array(name, node, "weight", 4), self._sizes(name, node, "input_shape")
                channels = weight.shape[1] * self._whole(name, node, "groups", 1)
                return (channels, *size) if len(size) == 2 else None
        except _Unreadable:
            return None
        return None

    def _roots(self) -> list[str]:
        return [n for n, node in self._flat.nodes.items() if node.kind == "Input" and n not in self._flat.wires]

    def _give_way(self, waiting: "deque[str]") -> bool:
        """Let a layer on a cycle begin that states its own shape; say whether there is one."""
        for name, node in self._flat.nodes.items():
            if name not in self._tried and node.kind in CELLS and self._sources[name] and self._stated(name):
                waiting.append(name)
                return True
        return False

    def _unreached(self) -> Iterator[Violation]:
        """Report nodes without a shape: layers first, since other nodes may wait for them."""
        unreached = sorted(self._flat.nodes.keys() - self._sent.keys())
        layers = [name for name in unreached if self._flat.nodes[name].kind in CELLS and self._sources[name]]
        for name in layers:
            found = "no path leads to it from an input, and its parameters do not state its shape"
            yield Violation(name, found, "parameters of the shape of the layer")
        for name in unreached:
            if not self._sources[name] or not layers:
                allowed = "nodes that an input reaches"
                yield Violation(name, "no path leads to it from an input", allowed, "Remove the node.")

    def _settle(self, name: str, waiting: "deque[str]") -> None:
        node = self._flat.nodes[name]
        received = next((self._sent[source] for source in self._sources[name] if source in self._sent), None)
        try:
            sent = self._shape_through(name, node, received)
        except _Unreadable as error:
            self._refuse(error.faults)
            return
        if math.prod(sent) > LARGEST:
            self._refuse([Violation(name, f"sends {math.prod(sent):,} values", f"up to {LARGEST:,}")])
            return
        self._sent[name] = sent
        waiting.extend(self._targets[name])

    def _shape_through(self, name: str, node: PlainNode, received: Shape | None) -> Shape:
        if node.kind == "Input" and name not in self._flat.wires:
            self._found.inputs[name] = self._input_shape(name, node)
            return self._found.inputs[name]
        if node.kind in CELLS:
            return self._layer(name, node, received)
        assert received is not None  # only inputs and layers have a shape before their sources do
        if name in self._flat.wires:
            self._found.wires[name] = 0.0
            return self._output_shape(name, node, received)
        if node.kind == "Output":
            self._found.outputs[name] = self._output_shape(name, node, received)
            return received
        if node.kind == "Delay":
            self._found.wires[name] = self._delay(name, node, received)
            return received
        return self._map(name, node, received)

    # ---- ends

    def _input_shape(self, name: str, node: PlainNode) -> Shape:
        shape = self._sizes(name, node, "shape") if np.size(node.values.get("shape", ())) else self._taken(name)
        taken = self._dimensions_behind(name)
        if taken is None:
            taken = 3 if len(shape) > 3 else len(shape)
        if len(shape) == taken + 1 and shape[0] == 1:
            self._tell(f"{name}: its shape {shape} has a batch of 1 in front, left out")
            shape = shape[1:]
        if len(shape) > 3:
            _unreadable(f"{name}.shape", f"{shape}", "one to three dimensions: (n,), (channels, n), (channels, h, w)")
        return _held(shape)

    def _taken(self, name: str) -> Shape:
        """Infer the shape of an input that states none: all nodes after it have to receive the same."""
        found, seen, waiting = set(), {name}, deque(self._targets[name])
        while waiting:
            at = waiting.popleft()
            if at in seen:
                continue
            seen.add(at)
            stated, kind = self._stated(at), self._flat.nodes[at].kind
            if stated is None and (kind in CELLS or kind == "Delay" or at in self._flat.wires):
                waiting.extend(self._targets[at])  # passes on the shape that it receives
            else:
                found.add(stated)
        shape = found.pop() if len(found) == 1 else None
        if shape is None:
            allowed = "one or more sizes, each 1 or more, or nodes after it that all state the same shape"
            _unreadable(f"{name}.shape", "states no sizes", allowed)
        self._tell(f"{name}: states no shape, read as {list(shape)}, which the nodes after it take")
        return shape

    def _dimensions_behind(self, name: str) -> int | None:
        """Return how many dimensions the first map behind a node takes, None when no map says."""
        seen, waiting = {name}, deque(self._targets[name])
        while waiting:
            at = waiting.popleft()
            kind = self._flat.nodes[at].kind
            if kind in DIMENSIONS:
                return DIMENSIONS[kind]
            if at not in seen and kind != "Flatten":
                seen.add(at)
                waiting.extend(self._targets[at])
        return None

    def _output_shape(self, name: str, node: PlainNode, received: Shape) -> Shape:
        if "shape" not in node.values:
            return received
        if not np.size(node.values["shape"]):
            self._tell(f"{name}: states no shape, read as {list(_without_row(received))}, which it receives")
            return received
        stated = self._sizes(name, node, "shape")
        if _held(stated) != received:
            if math.prod(stated) != math.prod(received):
                _unreadable(name, f"states that it receives shape {stated}", f"{received}, which it receives")
            self._tell(f"{name}: states shape {stated}, and receives {received}: read as the latter")
        return received

    def _sizes(self, name: str, node: PlainNode, key: str) -> Shape:
        sizes = np.asarray(node.values.get(key))
        if sizes.ndim == 0 and sizes.dtype.kind in "iu":
            self._tell(f"{name}: its {key} is the number {sizes}, read as [{sizes}]")
            sizes = sizes.reshape(1)
        if sizes.dtype.kind not in "iu" or sizes.ndim != 1 or not sizes.size or sizes.min() < 1:
            _unreadable(f"{name}.{key}", _short(node.values.get(key)), "one or more sizes, each 1 or more")
        return tuple(int(size) for size in sizes)

    # ---- layers of neurons

    def _layer(self, name: str, node: PlainNode, received: Shape | None) -> Shape:
        values = self._parameters(name, node)
        shape = received or _held(_unbatched(_broadcast(values.values()) or ()))
        spread, changed = {}, set()
        for key, value in values.items():
            fitted = _fitted(value, shape)
            if fitted is None:
                what = f"a shape that spreads over {shape}, which it receives"
                _unreadable(f"{name}.{key}", f"shape {value.shape}", what)
            if key in node.values and value.shape not in (shape, _without_row(shape)):
                changed.add(f"{key} {list(value.shape)}")
            spread[key] = fitted
        if changed:
            self._tell(f"{name}: {', '.join(sorted(changed))} spread over {list(shape)}")
        self._found.cells[name] = Cells(node.kind, shape, spread)
        return shape

    def _parameters(self, name: str, node: PlainNode) -> dict[str, Array]:
        values, faults = {}, []
        for key, default in CELLS[node.kind].items():
            value = numbers(node.values[key]) if key in node.values else None
            if key not in node.values and default is not None:
                self._tell(f"{name}: {key} is missing, and is {default:g}, as where NIR did not have it yet")
                value = np.array(default)
            if value is None or not np.isfinite(value).all():
                found = _short(node.values[key]) if key in node.values else "missing"
                faults.append(Violation(f"{name}.{key}", found, "finite numbers"))
                continue
            values[key] = value
        if faults:
            raise _Unreadable(*faults)
        return values

    def _delay(self, name: str, node: PlainNode, shape: Shape) -> float:
        delay = numbers(node.values.get("delay"))
        if delay is None or not np.isfinite(delay).all() or delay.min() < 0:
            _unreadable(f"{name}.delay", _short(node.values.get("delay")), "0 seconds or more")
        if np.ptp(delay):
            what = "one delay for all that it passes on"
            _unreadable(f"{name}.delay", f"{delay.min():g} to {delay.max():g} s", what, "Use a Delay for each of them.")
        if _fitted(delay, shape) is None:
            _unreadable(f"{name}.delay", f"shape {delay.shape}", f"{shape}, which it receives")
        return float(delay.flat[0])

    # ---- maps

    def _map(self, name: str, node: PlainNode, shape: Shape) -> Shape:
        made = MAKERS[node.kind](self, name, node, shape)
        if isinstance(made, Dense) and len(shape) == 3 and math.prod(shape) == made.weight.shape[1]:
            shape = self._flatten_before(name, shape)
        try:
            sent = made.out_shape(shape)
        except ShapeError as error:
            _unreadable(name, f"receives shape {shape}", str(error))
        self._found.maps[name] = made
        return sent

    def _dense(self, name: str, node: PlainNode, shape: Shape) -> LinearMap:
        weight = self._array(name, node, "weight", 2)
        bias = self._bias(name, node, len(weight)) if node.kind == "Affine" else None
        return Dense(name=name, weight=weight, bias=bias)

    def _flatten_before(self, name: str, shape: Shape) -> Shape:
        """Insert a Flatten before a dense map, since no other reading is possible; return the shape that it sends."""
        made = self._free(f"{name}.flatten")
        self._tell(f"{name}: receives shape {list(shape)} and takes {math.prod(shape)} numbers: flattened before it")
        self._found.maps[made] = Flatten(name=made)
        self._sent[made] = (math.prod(shape),)
        into = [pair for pair in self._flat.edges if pair[1] == name]
        self._flat.edges = [pair for pair in self._flat.edges if pair[1] != name]
        self._flat.edges += [*((source, made) for source, _ in into), (made, name)]
        return self._sent[made]

    def _conv(self, name: str, node: PlainNode, shape: Shape) -> LinearMap:
        is_row = node.kind == "Conv1d"
        if is_row and len(_without_row(shape)) != 2:
            _unreadable(name, f"receives shape {shape}", "(channels, n)")
        weight = self._array(name, node, "weight", 3 if is_row else 4)
        groups = self._whole(name, node, "groups", max(1, shape[0] // weight.shape[1]) if len(shape) == 3 else 1)
        if weight.shape[1] * groups != shape[0] or weight.shape[0] % groups:
            takes = f"{weight.shape[1] * groups} channels in {groups} groups"
            _unreadable(name, f"weight {list(weight.shape)}, receiving shape {shape}", takes)
        stride, dilation = (self._pair(name, node, key, 1, is_row=is_row) for key in ("stride", "dilation"))
        weight = weight[:, :, None, :] if is_row else weight
        self._check_stated_size(name, node, shape[2:] if is_row else shape[1:])
        padding, weight = self._padding(name, node, weight, stride, dilation, is_row=is_row)
        bias = self._bias(name, node, len(weight))
        return Conv(
            name=name,
            weight=weight,
            bias=bias,
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
        )

    def _check_stated_size(self, name: str, node: PlainNode, size: Shape) -> None:
        if "input_shape" not in node.values:
            self._tell(f"{name}: input_shape is missing, read as {list(size)}, which it receives")
            return
        stated = numbers(node.values["input_shape"])
        if stated is None or tuple(stated.ravel()) != size:
            found = f"states that it receives {_short(node.values['input_shape'])}"
            _unreadable(f"{name}.input_shape", found, f"{size}, which it receives")

    def _padding(
        self,
        name: str,
        node: PlainNode,
        weight: Array,
        stride: tuple[int, int],
        dilation: tuple[int, int],
        *,
        is_row: bool,
    ) -> tuple[tuple[int, int], Array]:
        """Return padding as numbers; ``same`` of an even kernel pads only the end: zeros are put before its weights."""
        word = node.values.get("padding")
        if not isinstance(word, str):
            return self._pair(name, node, "padding", 0, is_row=is_row), weight
        if word == "valid":
            return (0, 0), weight
        if word != "same" or stride != (1, 1):
            allowed = "'valid', numbers, or with stride 1 'same'"
            _unreadable(f"{name}.padding", f"{word!r}, with stride {stride}", allowed)
        totals = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
        if any(total % 2 and d > 1 for total, d in zip(totals, dilation, strict=True)):
            _unreadable(f"{name}.padding", "'same', which pads one side more", "with dilation 1, or an odd kernel")
        extra = [total % 2 for total in totals]
        weight = np.pad(weight, ((0, 0), (0, 0), (extra[0], 0), (extra[1], 0)))
        return ((totals[0] + extra[0]) // 2, (totals[1] + extra[1]) // 2), weight

    def _pool(self, name: str, node: PlainNode, shape: Shape) -> LinearMap:
        kernel = self._pair(name, node, "kernel_size", 1)
        return Pool(
            name=name,
            kernel=kernel,
            stride=self._pair(name, node, "stride", 1),
            padding=self._pair(name, node, "padding", 0),
            average=node.kind == "AvgPool2d",
        )

    def _scale(self, name: str, node: PlainNode, shape: Shape) -> LinearMap:
        factor = numbers(node.values.get("scale"))
        if factor is None or not np.isfinite(factor).all():
            _unreadable(f"{name}.scale", _short(node.values.get("scale")), "finite numbers")
        fitted = _fitted(factor, shape)
        if fitted is None:
            _unreadable(f"{name}.scale", f"shape {factor.shape}", f"{shape}, which it receives")
        if factor.shape not in (shape, _without_row(shape)):
            self._tell(f"{name}: scale {list(factor.shape)} spread over {list(shape)}")
        return Scale(name=name, factor=fitted)

    def _flat_map(self, name: str, node: PlainNode, shape: Shape) -> LinearMap:
        start, end = (self._index(name, node, key) for key in ("start_dim", "end_dim"))
        stated = np.asarray(node.values["input_type"]).ravel() if "input_type" in node.values else np.array(shape)
        dims = len(_without_row(shape))
        n_stated = len(stated) if len(stated) in (dims, dims + 1) else dims
        end = end if end >= 0 else end + n_stated
        is_batched = n_stated == dims + 1 and start == 1
        if end != n_stated - 1 or not (start == 0 or is_batched):
            if start != 1 or end != n_stated - 1 or not self._feeds_vectors(name, math.prod(shape)):
                found = f"flattens dimensions {start} to {end} of {list(shape)}"
                _unreadable(name, found, "all dimensions: start_dim 0, end_dim -1")
            self._tell(f"{name}: start_dim 1 counts a batch that is not there: all of {list(shape)} is flattened")
        elif is_batched:
            self._tell(f"{name}: start_dim 1 counts a batch, which was left out")
        return Flatten(name=name)

    def _feeds_vectors(self, name: str, size: int) -> bool:
        """Say whether dense maps of so many inputs are all that a node leads to."""
        behind = [self._flat.nodes[target] for target in self._targets[name]]
        weights = [numbers(node.values.get("weight")) for node in behind if node.kind in ("Affine", "Linear")]
        return len(weights) == len(behind) > 0 and all(w is not None and w.shape[-1] == size for w in weights)

    # ---- values

    def _array(self, name: str, node: PlainNode, key: str, dims: int) -> Array:
        value = numbers(node.values.get(key))
        if value is None or value.ndim != dims or not np.isfinite(value).all():
            found = _short(node.values.get(key)) if value is None else f"shape {value.shape}"
            found = "NaN or infinite" if value is not None and value.ndim == dims else found
            _unreadable(f"{name}.{key}", found, f"finite numbers in {dims} dimensions")
        return value

    def _bias(self, name: str, node: PlainNode, size: int) -> Array | None:
        if "bias" not in node.values:
            self._tell(f"{name}: bias is missing, and is 0")
            return None
        value = numbers(node.values["bias"])
        if value is None or value.size not in (1, size) or value.ndim > 1 or not np.isfinite(value).all():
            is_finite = value is not None and np.isfinite(value).all()
            found = f"shape {value.shape}" if value is not None and is_finite else "values that are not finite numbers"
            _unreadable(f"{name}.bias", found, f"{size} numbers, one for each output")
        if value.any() and value.shape != (size,):
            self._tell(f"{name}: bias {list(value.shape)} spread over {[size]}")
        return np.broadcast_to(value, size) if value.any() else None

    def _whole(self, name: str, node: PlainNode, key: str, default: int) -> int:
        if key not in node.values:
            self._tell(f"{name}: {key} is missing, and is {default}, by its weight")
            return default
        value = np.asarray(node.values[key])
        if value.dtype.kind not in "iu" or value.size != 1 or value.min() < 1:
            _unreadable(f"{name}.{key}", _short(node.values[key]), "a whole number, 1 or more")
        return int(value.flat[0])

    def _index(self, name: str, node: PlainNode, key: str) -> int:
        value = np.asarray(node.values.get(key))
        if value.dtype.kind not in "iu" or value.size != 1:
            _unreadable(f"{name}.{key}", _short(node.values.get(key)), "the number of a dimension")
        return int(value.flat[0])

    def _pair(self, name: str, node: PlainNode, key: str, lowest: int, *, is_row: bool = False) -> tuple[int, int]:
        value = np.asarray(node.values.get(key))
        if value.dtype.kind not in "iu" or value.size not in ((1,) if is_row else (1, 2)) or value.ndim > 1:
            what = "a whole number" if is_row else "one or two whole numbers"
            _unreadable(f"{name}.{key}", _short(node.values.get(key)), what)
        vertical, horizontal = (int(n) for n in np.broadcast_to(value.ravel(), 2))
        if min(vertical, horizontal) < lowest or max(vertical, horizontal) > LARGEST:
            _unreadable(f"{name}.{key}", f"{value}", f"{lowest} to {LARGEST:,}")
        return (int(lowest > 0), horizontal) if is_row else (vertical, horizontal)

    def _tell(self, repair: str) -> None:
        if repair not in self._found.repairs:
            self._found.repairs.append(repair)

    def _refuse(self, violations: Iterable[Violation]) -> None:
        self._found.violations += violations


Maker = Callable[[_Restorer, str, PlainNode, Shape], LinearMap]
MAKERS: dict[str, Maker] = {
    "Affine": _Restorer._dense,
    "Linear": _Restorer._dense,
    "Conv1d": _Restorer._conv,
    "Conv2d": _Restorer._conv,
    "SumPool2d": _Restorer._pool,
    "AvgPool2d": _Restorer._pool,
    "Scale": _Restorer._scale,
    "Flatten": _Restorer._flat_map,
}


def _unreadable(where: str, found: str, allowed: str, remedy: str = "") -> NoReturn:
    raise _Unreadable(Violation(where, found, allowed, remedy))


def _held(shape: Shape) -> Shape:
    """Return a signal of one dimension as an image of one row."""
    return (shape[0], 1, shape[1]) if len(shape) == 2 else shape


def _without_row(shape: Shape) -> Shape:
    return (shape[0], shape[2]) if len(shape) == 3 and shape[1] == 1 else shape


def _unbatched(shape: Shape) -> Shape:
    return shape[1:] if len(shape) == 4 and shape[0] == 1 else shape


def _broadcast(arrays: Iterable[Array]) -> Shape | None:
    """Return the shape over which all spread, None when there is none, or it is of one number alone without a shape."""
    try:
        return np.broadcast_shapes(*(array.shape for array in arrays)) or None
    except ValueError:
        return None


def _fitted(value: Array, shape: Shape) -> Array | None:
    """Return a parameter of shape () or ``shape``, None when it cannot be spread over it in one way alone."""
    if value.size == 1 or not np.ptp(value):
        same = value.size == 1 or math.prod(shape) == value.size or _spread(value, shape) is not None
        return value.reshape(-1)[0].reshape(()) if same else None
    return _spread(value, shape)


def _spread(value: Array, shape: Shape) -> Array | None:
    if value.size == math.prod(shape) and _squeezed(value.shape) == _squeezed(shape):
        return value.reshape(shape)
    if value.ndim == 1 and len(shape) == 3 and value.size == shape[0] != shape[-1]:
        return np.array(np.broadcast_to(value[:, None, None], shape))
    try:
        return np.array(np.broadcast_to(value, shape)) if value.ndim == len(shape) else None
    except ValueError:
        return None


def _squeezed(shape: Shape) -> Shape:
    return tuple(size for size in shape if size != 1)


def _short(value: Any) -> str:
    return "missing" if value is None else np.array2string(np.asarray(value), threshold=4, edgeitems=2)[:80]
