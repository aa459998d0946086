"""Lay out a program as tables for the compiled loops.

Every node has values: a layer's spikes, a map's sums. A map with weights adds what changed in its source to the sums it
held; so a node needs its own values and its source's, of this step and the one before, whatever the code of its edges.
Where several edges meet, a node of kind SUM precedes the receiver.
"""

import math
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from tdd_deploy.neurons import (
    IF,
    LI,
    LIF,
    CubaLI,
    CubaLIF,
    Firing,
    I,
    LavaSigmaDelta,
    LoihiLIF,
    SigmaDelta,
    Threshold,
    VariantLIF,
)
from tdd_deploy.neurons.loihi import DECAY
from tdd_deploy.program import (
    Conv,
    Dense,
    Flatten,
    Input,
    NeuronLayer,
    Node,
    Output,
    Place,
    Pool,
    Program,
    Scale,
    Shape,
    Slice,
)
from tdd_deploy.program.bounds import largest_sent
from tdd_deploy.program.exact import next_below
from tdd_deploy.simulator.arithmetic import NumberArray
from tdd_deploy.simulator.routes import Routes

from .kernels.tables import BLOCK, NODE, Kind, Memory, Parameter, Plan, Variant
from .scatter import IntArray, Synapses, channel_first, channel_last
from .taps import Tap, as_conv, columns_of, pairs_of, rows_of, weights_of

KINDS = {
    **dict.fromkeys((LoihiLIF, CubaLIF, LIF, IF), Kind.NEURONS),
    **dict.fromkeys((LI, CubaLI, I), Kind.INTEGRATORS),
    Threshold: Kind.THRESHOLD,
    **dict.fromkeys((SigmaDelta, LavaSigmaDelta), Kind.SIGMA_DELTA),
    VariantLIF: Kind.VARIANTS,
}
SPIKING = (Kind.NEURONS, Kind.THRESHOLD)  # their values are 0 and 1
SENDERS = (Kind.INPUT, *KINDS.values())  # their changes are counted
# From this fraction of changed inputs on, all inputs are multiplied: the times cross here in benchmarks/.
MANY = 0.46
PADDING = 64  # vectors begin at multiples of this


class Planned:
    """A plan with the names of its nodes."""

    def __init__(
        self,
        program: Program,
        maps: Mapping[str, object],
        routes: Routes,
        potentials: Collection[str] = (),
    ) -> None:
        layout = _Layout(program, maps, routes, {*potentials, *_read(program)})
        self.plan = layout.plan()
        self.place = layout.place
        self.counted_at = layout.counted_at
        self.n_classes = routes.n_classes
        self.shapes = program.shapes | {potential_of(name): program.shapes[name] for name in potentials}
        self.n_values = int(self.plan.nodes["size"].sum())  # of all nodes, per sample and step
        self._spare: list[Memory] = []
        self._dtype = program.dtype
        self._n_outputs = math.prod(program.shapes[program.output.name])
        self._n_spikes, self._n_numbers, self._longest = layout.n_spikes, layout.n_numbers, layout.longest

    @contextmanager
    def lent(self) -> Iterator[Memory]:
        """Lend memory for one sample, and reuse it: to allocate it takes longer than to execute a small network."""
        try:
            memory = self._spare.pop()
        except IndexError:
            memory = self.memory()
        yield memory
        self._spare.append(memory)

    def memory(self) -> Memory:
        """Return memory for one sample."""
        spikes, numbers = np.zeros(self._n_spikes, np.int8), np.zeros(self._n_numbers, self._dtype)
        return Memory(
            spikes,
            spikes.view(np.uint64),
            numbers,
            numbers.view(np.uint64),
            np.zeros((len(self.plan.nodes), 6), np.int64),
            np.zeros(self.n_classes, np.int64),
            np.zeros(self._longest, np.uint32),
            np.zeros(self._longest, np.uint32),
            np.zeros(self._n_outputs),
        )


def potential_of(name: str) -> str:
    """Name the node of a plan that holds the potentials of a layer; no node of a program has this name."""
    return f"{name}/potential"


def _read(program: Program) -> tuple[str, ...]:
    """Find the layer whose potential is the output, if there is one."""
    output = program.output
    return (program.incoming[output.name][0].source,) if output.reading == "potential" else ()


def is_covered(program: Program) -> bool:
    """Decide whether the compiled loops know every node of a program, and may be compiled."""
    is_compiling = not numba.config.DISABLE_JIT  # type: ignore[attr-defined]
    return is_compiling and all(_is_known(node) for node in program.nodes)


def _is_known(node: Node) -> bool:
    match node:
        case NeuronLayer():
            return type(node.neuron) in KINDS
        case Pool():  # an average is a sum of weights: exact when they are powers of two
            return not node.average or (node.kernel[0] * node.kernel[1]).bit_count() == 1
        case Dense() | Conv():  # integers of more bits are on no chip, and would double the code
            return node.weight.dtype.kind == "f" or bool(node.weight.min() > -(2**15) and node.weight.max() < 2**15)
        case Scale():
            return node.factor.dtype.kind == "f" or bool(np.all(np.abs(node.factor) < 2**15))
    return isinstance(node, Input | Output | Flatten | Slice | Place)


@dataclass
class _Row:
    """A node of the plan in the making."""

    kind: Kind
    shape: Shape
    edges: tuple[tuple[str, int], ...]  # sources, with their delays
    is_spiking: bool = False
    fields: dict[str, int] = field(default_factory=dict)


class _Layout:
    """Tables in the making; a SUM before node x is named ``x/sum``, which no node can be named.

    ``counted_at`` names, for each sender and table of its route, the node that counts it.
    """

    def __init__(self, program: Program, maps: Mapping[str, object], routes: Routes, observed: Collection[str]) -> None:
        self._program = program
        self._observed = observed
        self._maps = maps
        self._table, self._weights, self._numbers = _Table(), _Table(), _Table()
        self._rows: dict[str, _Row] = {}
        for node in program.nodes:
            self._put(node)
        self.counted_at = {
            (sender, table): self._put_costs(sender, table, costs)
            for sender, route in routes.senders.items()
            for table, costs in route.tables.items()
        }
        for name, classes in routes.classes.items():
            self._rows[name].fields |= {"has_classes": 1, "classes": self._table.put(classes)}
        self.place = {name: k for k, name in enumerate(self._rows)}
        self.longest = max(_padded(math.prod(row.shape)) for row in self._rows.values()) + PADDING
        self.n_spikes, self.n_numbers = self.longest, 2 * self.longest
        for name, row in self._rows.items():
            self._lay_out(name, row)

    def plan(self) -> Plan:
        """Return the tables."""
        dtype = self._program.dtype
        limits = largest_sent(self._program)
        nodes = [tuple(row.fields.get(name, 0) for name in NODE.names or ()) for row in self._rows.values()]
        return Plan(
            nodes=np.array(nodes, NODE),
            table=self._table.array(np.uint32),
            weights=self._weights.array(np.int16 if dtype.kind == "i" else dtype),
            numbers=self._numbers.array(dtype),
            largest=np.array([limits.get(name, 0) for name in self._rows], dtype),
        )

    def _put(self, node: Node) -> None:
        """Add a node, after a sum if it needs one."""
        edges = tuple((edge.source, edge.delay) for edge in self._program.incoming[node.name])
        if isinstance(node, Output) and node.reading == "potential":
            edges = ((potential_of(edges[0][0]), 0),)
        shape = self._program.shapes[node.name]
        sources_spike = len(edges) == 1 and self._spikes(edges[0][0])
        if len(edges) > 1 or isinstance(node, Output) or (isinstance(node, NeuronLayer) and sources_spike):
            total = node.name if isinstance(node, Output) else f"{node.name}/sum"
            self._rows[total] = _Row(Kind.SUM, self._program.in_shape(node.name), edges)
            edges = ((total, 0),)
            sources_spike = False
        match node:
            case Input():
                self._rows[node.name] = _Row(Kind.INPUT, shape, edges)
            case NeuronLayer():
                fields = self._neurons(node)
                kind = KINDS[type(node.neuron)]
                if node.name in self._observed:
                    self._rows[potential_of(node.name)] = _Row(Kind.POTENTIALS, shape, edges)
                self._rows[node.name] = _Row(kind, shape, edges, kind in SPIKING, fields)
            case Flatten() | Slice() | Place():
                self._rows[node.name] = _Row(Kind.FLATTEN, shape, edges, sources_spike, self._order(node))
            case Dense() | Conv() | Pool() | Scale():
                self._rows[node.name] = _Row(Kind.SYNAPSES, shape, edges, fields=self._synapses(node))

    def _put_costs(self, sender: str, table: str, costs: IntArray) -> str:
        """Have a map that receives from a sender count its messages, or else a node of its own; return its name."""
        receivers = (
            name
            for name, row in self._rows.items()
            if row.kind == Kind.SYNAPSES and row.edges == ((sender, 0),) and "has_costs" not in row.fields
        )
        name = next(receivers, f"{sender}/{table}")
        if name not in self._rows:
            self._rows[name] = _Row(Kind.ROUTE, (0,), ((sender, 0),))
        self._rows[name].fields |= {"has_costs": 1, "costs": self._table.put(costs)}
        return name

    def _spikes(self, name: str) -> bool:
        if name in self._rows:
            return self._rows[name].is_spiking
        node = self._program[name]  # comes later in execution order
        return isinstance(node, NeuronLayer) and KINDS[type(node.neuron)] in SPIKING

    def _lay_out(self, name: str, row: _Row) -> None:
        """Give a node its sources and its place in memory."""
        size = math.prod(row.shape)
        stride = _padded(size)
        slots = self._slots(name)
        row.fields |= {
            "kind": row.kind,
            "size": size,
            "source": self._table.put([(self.place[source], delay) for source, delay in row.edges] or [(0, 0)]),
            "n_sources": len(row.edges),
            "is_spiking": row.is_spiking,
            "start": self.n_spikes if row.is_spiking else self.n_numbers,
            "stride": stride,
            "slots": slots,
            "events": self.longest,
        }
        if row.kind == Kind.POTENTIALS:
            row.fields["observed"] = self.place[name.removesuffix("/potential")]
        if row.is_spiking:
            self.n_spikes += slots * stride
        else:
            self.n_numbers += slots * stride
        keeps_v = row.kind in (Kind.NEURONS, Kind.SIGMA_DELTA, Kind.VARIANTS)
        for state in ("u", "v") if row.fields.get("has_u") else ("v",) if keeps_v else ():
            row.fields[state] = self.n_numbers
            self.n_numbers += stride

    def _slots(self, name: str) -> int:
        """Return for how many steps a node keeps its values: as many as its receivers or its own changes need."""
        asked = [
            delay + (2 if row.kind == Kind.SYNAPSES else 1)
            for row in self._rows.values()
            for source, delay in row.edges
            if source == name
        ]
        return max(*asked, 1, 2 if self._rows[name].kind in SENDERS else 1)

    def _neurons(self, layer: NeuronLayer) -> dict[str, int]:
        """Lay out parameters; a v that passes a threshold or is equal to it is above the next lower number."""
        neuron, dtype = layer.neuron, self._program.dtype
        given = neuron.parameters()
        nothing = np.zeros((), dtype)
        threshold = next((given[name] for name in ("v_threshold", "delta_threshold") if name in given), nothing)
        is_soft = isinstance(neuron, Firing) and neuron.reset == "soft"
        passes_at = getattr(neuron, "compare", ">") == ">=" or getattr(neuron, "spikes", "one") == "many"
        is_bounded = isinstance(neuron, SigmaDelta) and neuron.activation == "relu"
        lowest = np.array(-np.inf if dtype.kind == "f" else 0, dtype)
        values = {
            Parameter.KEEP_U: DECAY - 1 - given["du"] if "du" in given else given.get("alpha", nothing),
            Parameter.KEEP_V: DECAY - given["dv"] if "dv" in given else given.get("beta", np.ones((), dtype)),
            Parameter.BIAS: given.get("bias", nothing),
            Parameter.LIMIT: next_below(threshold) if passes_at else threshold,
            Parameter.AFTER: -threshold if is_soft else given.get("v_reset", nothing),
            Parameter.FLOOR: nothing if is_bounded else given.get("v_min", lowest),
            Parameter.GRID: threshold if isinstance(neuron, VariantLIF) else given.get("grid", nothing),
        }
        blocks = [_block(values[parameter]) for parameter in Parameter]
        rows = [(self._numbers.put(block), len(block) > BLOCK) for block in blocks]
        has_u = isinstance(neuron, CubaLIF | CubaLI | LoihiLIF | VariantLIF)
        variant = _variant(neuron) if isinstance(neuron, VariantLIF) else 0
        return {"parameters": self._table.put(rows), "is_soft": is_soft, "has_u": has_u, "variant": variant}

    def _order(self, node: Flatten | Slice | Place) -> dict[str, int]:
        if isinstance(node, Slice):
            part = node.start + np.arange(math.prod(node.shape)).reshape(1, *node.shape)
            return {"order": self._table.put(channel_last(part).ravel()), "n_ordered": part.size}
        shape = self._program.in_shape(node.name)
        first = node.start if isinstance(node, Place) else 0
        places = np.arange(math.prod(shape)).reshape(_last(shape))
        order = self._table.put(channel_first(places[None]).ravel())
        return {"order": order, "first": first, "n_ordered": places.size}

    def _synapses(self, node: Dense | Conv | Pool | Scale) -> dict[str, int]:
        shape = self._program.in_shape(node.name)
        synapses = self._maps[node.name]
        fans = np.zeros((math.prod(shape), 2), np.int32)
        if isinstance(synapses, Synapses):
            fans = np.stack([synapses.fan_effective, synapses.fan_stored], axis=1)
        conv = as_conv(node, shape)
        image = shape if len(shape) == 3 and not isinstance(node, Scale) else (math.prod(shape), 1, 1)
        weight, rows, columns = weights_of(conv), rows_of(conv, image), columns_of(conv, image)
        pairs = pairs_of(conv, image)
        return {
            "is_delta": self._program.incoming[node.name][0].code == "delta",
            "size_in": math.prod(shape),
            "fans": self._table.put(fans),
            "has_bias": conv.bias is not None,
            "bias": 0 if conv.bias is None else self._numbers.put(conv.bias),
            "weights": self._weights.put(weight),
            "rows": self._put_taps(rows),
            "columns": self._put_taps(columns),
            "n_rows": weight.shape[1],
            "n_columns": weight.shape[2],
            "block": weight.shape[3],
            "groups": conv.groups,
            "channels_in": image[0],
            "width_in": image[2],
            "channels_out": len(conv.weight),
            "width_out": conv.out_shape(image)[2],
            "many": math.ceil(MANY * math.prod(shape)) if pairs else math.prod(shape) + 1,
            "pairs": self._table.put(np.concatenate(pairs)) if pairs else 0,
        }

    def _put_taps(self, places: list[list[Tap]]) -> int:
        begin = self._table.put([tap for place in places for tap in place])
        return self._table.put(begin + 3 * np.cumsum([0, *(len(place) for place in places)]))


def _variant(neuron: VariantLIF) -> Variant:
    """Translate the words of a variant into the flags of the compiled loops."""
    words = {
        Variant.SOFT: neuron.reset == "soft",
        Variant.NEVER_RESETS: neuron.reset == "none",
        Variant.LATE: neuron.resets == "next step",
        Variant.MANY: neuron.spikes == "many",
        Variant.HELD: neuron.left_over == "held",
    }
    return Variant(sum(flag for flag, is_so in words.items() if is_so))


class _Table:
    """One long array, put together."""

    def __init__(self) -> None:
        self._parts: list[NDArray[Any]] = []
        self._size = 0

    def put(self, part: Any) -> int:
        """Append; return where it begins."""
        start, array = self._size, np.asarray(part)
        self._parts.append(array)
        self._size += array.size
        return start

    def array(self, dtype: Any) -> NDArray[Any]:
        """Return everything; parts are copied to their places, and no other copies are made."""
        table, start = np.empty(self._size, dtype), 0
        for part in self._parts:
            table[start : start + part.size].reshape(part.shape)[...] = part
            start += part.size
        return table


def _padded(size: int) -> int:
    return -(-size // PADDING) * PADDING


def _last(shape: Shape) -> Shape:
    return (*shape[1:], shape[0]) if len(shape) == 3 else shape


def _block(parameter: NumberArray) -> NumberArray:
    """Lay out a parameter, channel last; as one block where all blocks are equal, as when channels share numbers."""
    flat = channel_last(parameter[None])[0].ravel() if parameter.ndim else parameter[None]
    block = np.resize(flat, BLOCK)
    return block if np.array_equal(flat, np.resize(block, flat.size)) else flat
