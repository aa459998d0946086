"""Place layers on cores: find which core holds which neurons, what it stores, and where every event goes.

A layer is cut into blocks of channels, rows and columns, as few as the limits of a core allow, one block to a core; the
output, where currents are read, is placed like a layer of neurons. Layers follow each other in execution order over
the mesh. Inputs enter at its first tile. An event costs one message for each core that holds a neuron which it can
reach, zero weights included.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np

from tdd_deploy.program import Code, Edge, LinearMap, Output, Program, Shape
from tdd_deploy.simulator.engine.scatter import IntArray, channel_first, channel_last
from tdd_deploy.simulator.routes import COSTS, EVERYWHERE, Route, Routes

from .chips import Chip, Mesh
from .fans import core_fans
from .needs import Load, Needs
from .reach import Mask, reaching

STAGED = 2**25  # bytes of masks
ATTEMPTS = 8  # at fewer neurons per core, when a core sends to too many others


@dataclass(frozen=True, kw_only=True)
class Block:
    """The part of a layer that one core holds: it begins at ``first`` and has ``shape`` channels (rows, columns)."""

    layer: str
    core: int
    first: Shape
    shape: Shape
    load: Load


@dataclass(frozen=True, kw_only=True)
class Placement:
    """The place of a program on a chip, or on several of them side by side.

    Attributes:
        exceeded: by layer, the names of limits that even a single neuron breaks.
    """

    chip: Chip
    weight_bits: int
    blocks: tuple[Block, ...]
    routes: Routes
    exceeded: Mapping[str, tuple[str, ...]]

    @property
    def n_cores(self) -> int:
        """How many cores hold something."""
        return len(self.blocks)

    @property
    def n_chips(self) -> int:
        """How many chips these are."""
        cores = self.chip.limit("cores")
        return 1 if cores is None else max(1, -(-self.n_cores // cores))

    def of(self, layer: str) -> tuple[Block, ...]:
        """Return the blocks of a layer."""
        return tuple(block for block in self.blocks if block.layer == layer)


def place(program: Program, chip: Chip, *, weight_bits: int) -> Placement:
    """Lay a program out on a chip.

    A limit that a single neuron breaks is ignored for its layer, and named. The caller decides whether all cores fit
    on one chip, and whether axons out of a core are too many where smaller blocks do not help.

    Args:
        program: any program.
        chip: limits and mesh.
        weight_bits: the bits of one weight.
    """
    limit = chip.limit("axons_out")
    whole = dict.fromkeys(placed_layers(program), chip.limit("neurons"))
    most = whole
    for _ in range(ATTEMPTS):
        placement = _placed(program, chip, weight_bits, most)
        crowded = _crowded(placement, limit)
        if not crowded:
            break
        most = most | crowded
    still = [block.layer for block in placement.blocks if limit is not None and block.load.axons_out > limit]
    in_vain = {name: whole[name] for name in still if most[name] != whole[name]}
    placement = _placed(program, chip, weight_bits, most | in_vain) if in_vain else placement
    fans = core_fans(program, _masks(program, placement.blocks), n_cores=placement.n_cores)
    return replace(placement, routes=replace(placement.routes, fans=fans))


def placed_layers(program: Program) -> tuple[str, ...]:
    """Return the names of all placed nodes: the layers of neurons, and the output where it receives from a map."""
    reads_currents = any(isinstance(program[edge.source], LinearMap) for edge in program.incoming[program.output.name])
    layers = tuple(layer.name for layer in program.neuron_layers)
    return (*layers, program.output.name) if reads_currents else layers


def senders_of(program: Program, name: str) -> tuple[str, ...]:
    """Return the input and the layers of neurons that send to a node, directly or through maps."""
    found: dict[str, None] = {}
    for edge in program.incoming[name]:
        is_map = isinstance(program[edge.source], LinearMap)
        found |= dict.fromkeys(senders_of(program, edge.source) if is_map else (edge.source,))
    return tuple(found)


def codes_sent(program: Program) -> dict[str, frozenset[Code]]:
    """Return the codes in which each sender reaches what is placed; what the output reads of it goes to no core."""
    codes: dict[str, frozenset[Code]] = {}
    for name in placed_layers(program):
        for edge in _edges_into(program, name):
            codes[edge.source] = codes.get(edge.source, frozenset()) | {edge.code}
    return codes


def _edges_into(program: Program, name: str) -> Iterator[Edge]:
    """Yield the edges of senders through which a node is reached, as ``_arriving`` does."""
    for edge in program.incoming[name]:
        if isinstance(program[edge.source], LinearMap):
            yield from _edges_into(program, edge.source)
        elif not isinstance(program[name], Output):
            yield edge


def tile_of(mesh: Mesh | None, core: IntArray) -> tuple[IntArray, IntArray]:
    """Return column and row of a core's tile; of several chips, columns go on. Without a mesh all is one tile."""
    if mesh is None:
        return 0 * core, 0 * core
    tile = core // mesh.cores_per_tile
    return tile // mesh.rows, tile % mesh.rows


def placement_json(placement: Placement) -> dict[str, Any]:
    """Return where layers lie, as plain values."""
    chip = placement.chip
    return {
        "chip": chip.name,
        "title": chip.title,
        "weight_bits": placement.weight_bits,
        "cores": placement.n_cores,
        "chips": placement.n_chips,
        "limits": {name: limit.value for name, limit in chip.limits.items()},
        "mesh": None if chip.mesh is None else asdict(chip.mesh),
        "blocks": [
            {**asdict(block), "first": list(block.first), "shape": list(block.shape)} for block in placement.blocks
        ],
    }


def _placed(program: Program, chip: Chip, weight_bits: int, most: Mapping[str, int | None]) -> Placement:
    blocks: list[Block] = []
    exceeded: dict[str, tuple[str, ...]] = {}
    for name in placed_layers(program):
        needs = Needs(program, name, chip, weight_bits)
        shape, broken = needs.largest_block(most[name])
        if broken:
            exceeded[name] = broken
        for first in _starts(needs.shape, shape):
            taken = tuple(min(n, whole - at) for n, whole, at in zip(shape, needs.shape, first, strict=True))
            blocks.append(Block(layer=name, core=len(blocks), first=first, shape=taken, load=needs.load(taken)))
    senders = _routes(program, blocks, chip.mesh)
    blocks = list(_sending(program, blocks, senders, chip))
    routes = Routes(senders=senders)
    return Placement(chip=chip, weight_bits=weight_bits, blocks=tuple(blocks), routes=routes, exceeded=exceeded)


def _crowded(placement: Placement, limit: int | None) -> dict[str, int]:
    """Return layers with cores that send to too many others, and how many neurons per core may help."""
    fewer: dict[str, int] = {}
    if limit is None:
        return fewer
    for block in placement.blocks:
        load = block.load
        if load.axons_out > limit >= load.destinations and load.neurons > 1:
            allowed = max(1, load.neurons * limit // load.axons_out)
            fewer[block.layer] = min(fewer.get(block.layer, allowed), allowed)
    return fewer


def _starts(shape: Shape, block: Shape) -> Iterator[Shape]:
    """Yield where blocks begin, columns fastest."""
    counts = tuple(-(-n // size) for n, size in zip(shape, block, strict=True))
    for at in np.ndindex(counts):
        yield tuple(int(i) * size for i, size in zip(at, block, strict=True))


def _part(block: Block) -> tuple[slice, ...]:
    return tuple(slice(at, at + n) for at, n in zip(block.first, block.shape, strict=True))


def _routes(program: Program, blocks: Sequence[Block], mesh: Mesh | None) -> dict[str, Route]:
    """Return the routes of events, by sender."""
    tiles = {name: _tiles(program, name, blocks, mesh) for name in (program.input.name, *placed_layers(program))}
    codes = codes_sent(program)
    tables: dict[str, dict[str, IntArray]] = {}
    for layer, cores, masks in _masks(program, blocks):
        to = tile_of(mesh, cores)
        for sender, by_table in _arrived(program, layer, masks, codes).items():
            for table, reached in by_table.items():
                costs = _costs(reached, to, tiles[sender])
                total = tables.setdefault(sender, {}).setdefault(table, np.zeros(costs.shape, np.int64))
                total += costs
    return {
        sender: Route(codes[sender], {table: _flat(costs) for table, costs in by_table.items()})
        for sender, by_table in tables.items()
    }


def _masks(program: Program, blocks: Sequence[Block]) -> Iterator[tuple[str, IntArray, Mask]]:
    """Yield a layer, some of its cores, and which neurons each holds, in no more than ``STAGED`` bytes at a time."""
    for layer, own in groupby(blocks, key=lambda block: block.layer):
        shape = program.shapes[layer]
        at_once = max(1, STAGED // math.prod(shape))
        held = list(own)
        for some in (held[start : start + at_once] for start in range(0, len(held), at_once)):
            masks = np.zeros((len(some), *shape), bool)
            for mask, block in zip(masks, some, strict=True):
                mask[_part(block)] = True
            yield layer, np.array([block.core for block in some]), masks


def _tiles(program: Program, name: str, blocks: Sequence[Block], mesh: Mesh | None) -> tuple[IntArray, IntArray]:
    """Return column and row of the tile of each neuron; inputs enter at the first tile."""
    cores = np.zeros(program.shapes[name], np.int64)
    for block in blocks:
        if block.layer == name:
            cores[_part(block)] = block.core
    return tile_of(mesh, cores)


def _arrived(
    program: Program, layer: str, masks: Mask, codes: Mapping[str, frozenset[Code]]
) -> dict[str, dict[str, Mask]]:
    """Return for each sender, and each table of its route, which of its neurons reach which block."""
    arrived: dict[str, dict[str, Mask]] = {}
    for edge, reached in _arriving(program, layer, masks):
        by_table = arrived.setdefault(edge.source, {})
        for table in (EVERYWHERE, edge.code) if len(codes[edge.source]) > 1 else (EVERYWHERE,):
            by_table[table] = np.logical_or(by_table[table], reached) if table in by_table else reached
    return arrived


def _arriving(program: Program, name: str, masks: Mask) -> Iterator[tuple[Edge, Mask]]:
    """Yield the edges of senders through which parts of a node are reached, and from which of their neurons."""
    for edge in program.incoming[name]:
        node = program[edge.source]
        if isinstance(node, LinearMap):
            yield from _arriving(program, node.name, reaching(node, program.in_shape(node.name), masks))
        elif not isinstance(program[name], Output):
            yield edge, masks


def _costs(reached: Mask, to: tuple[IntArray, IntArray], at: tuple[IntArray, IntArray]) -> IntArray:
    """Return the costs of an event of each neuron, ``[*shape, (messages, hops in x, in y)]``.

    Args:
        reached: which neurons reach which block, ``[n_blocks, *shape]``, or with one channel for all.
        to: column and row of each block's tile.
        at: of each neuron's tile.
    """
    shape = at[0].shape
    costs = np.zeros((*shape, len(COSTS)), np.int64)
    if reached.shape[1:] == shape and shape[0] > 1:
        block, *neuron = np.nonzero(reached)
        flat = np.ravel_multi_index(tuple(neuron), shape)
        distances = (np.abs(there[block] - here.ravel()[flat]) for there, here in zip(to, at, strict=True))
        for cost, weights in enumerate((np.ones(len(flat)), *distances)):
            costs[..., cost] = np.bincount(flat, weights, minlength=math.prod(shape)).reshape(shape)
        return costs
    places = reached.reshape(len(reached), -1).astype(np.float64)
    costs[..., 0] = places.sum(axis=0).reshape(1, *shape[1:])
    place = np.arange(places.shape[1]).reshape(1, *shape[1:])
    for axis, (there, here) in enumerate(zip(to, at, strict=True), start=1):
        found, which = np.unique(here, return_inverse=True)
        sums = np.abs(there - found[:, None]) @ places  # [tiles of neurons, places]
        costs[..., axis] = sums[which.reshape(shape), place]
    return costs


def _flat(costs: IntArray) -> IntArray:
    """Return costs as an engine indexes them: channel last."""
    return np.stack([channel_last(costs[None, ..., i])[0].ravel() for i in range(costs.shape[-1])], axis=1)


def _sending(program: Program, blocks: Sequence[Block], routes: Mapping[str, Route], chip: Chip) -> Iterator[Block]:
    """Yield blocks with what they send.

    An axon out is an event's way to one core. Where pixels share lists of synapses, all channels of a pixel can have
    one together, which takes two entries (Loihi 1: nengo-loihi 1.1.0, block.py, pop32).
    """
    for layer, own in groupby(blocks, key=lambda block: block.layer):
        if layer not in routes:
            yield from own
            continue
        shape = program.shapes[layer]
        cores = routes[layer].tables[EVERYWHERE][:, 0]
        cores = channel_first(cores.reshape(1, *shape[1:], shape[0]))[0] if len(shape) == 3 else cores
        for block in own:
            mine = cores[_part(block)]
            axons = int(mine.sum())
            if len(shape) == 3 and chip.synapses.sharing == "pixels":
                axons = min(axons, 2 * int(mine.max(axis=0).sum()))
            yield replace(block, load=replace(block.load, axons_out=axons, destinations=int(mine.max())))
