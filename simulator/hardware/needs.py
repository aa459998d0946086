"""Find what a block of a layer needs in a core: neurons, synapse memory, axons.

Synapse memory is counted in entries, as Loihi 1 has them (nengo-loihi 1.1.0, ``SynapseConfig.bits_per_axon``); or,
where it is not published how a chip packs its synapses, as the bits of the weights alone, below which none can be.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np

from tdd_deploy.program import Conv, Dense, Flatten, LinearMap, Output, Place, Pool, Program, Scale, Shape, Slice
from tdd_deploy.simulator.engine.scatter import IntArray

from .chips import Chip

Path = tuple[LinearMap, ...]  # the maps between a layer and a sender, from the layer on
Extent = tuple[IntArray, IntArray, IntArray]  # channels, rows and columns; of many blocks at once
Taps = tuple[tuple[int, ...], int]  # the rows that the first window takes, from its first on, and the stride
INDEX_BITS = (6, 12)  # of a target in an entry, least and most


@dataclass(frozen=True, kw_only=True)
class Load:
    """The load of a core; ``axons_in`` and memory hold for a block away from the border of an image.

    ``fan_in`` counts the synapses of one neuron; ``destinations`` is the largest number of cores that a neuron reaches.
    """

    neurons: int
    synapse_bits: int
    axons_in: int
    fan_in: int
    axons_out: int = 0
    destinations: int = 0


class Needs:
    """The needs of blocks of one layer on a chip."""

    def __init__(self, program: Program, layer: str, chip: Chip, weight_bits: int) -> None:
        self.shape = program.shapes[layer]
        self._image = as_image(self.shape)
        self._program = program
        self._paths = tuple(_paths(program, layer))
        self._chip = chip
        self._bits = weight_bits
        self._loads: dict[Shape, Load] = {}  # blocks of a layer have few shapes

    def largest_block(self, most: int | None) -> tuple[Shape, tuple[str, ...]]:
        """Find the block that cuts the layer into the fewest parts, and the limits that even a single neuron breaks.

        Args:
            most: neurons per core.
        """
        sizes = [np.unique([-(-n // k) for k in range(1, n + 1)]) for n in self._image]
        c, h, w = (axis.ravel() for axis in np.meshgrid(*sizes, indexing="ij"))
        needs = self._of((c, h, w))
        limits = {**{name: self._chip.limit(name) for name in needs}, "neurons": most}
        fits = np.ones(len(c), bool)
        broken, kept = [], {}
        for name, limit in limits.items():
            if limit is None:
                continue
            if needs[name][0] > limit:  # sizes rise: the first is one neuron
                broken.append(name)
            else:
                kept[name] = limit
                fits &= needs[name] <= limit
        n_blocks = math.prod(-(-n // size) for n, size in zip(self._image, (c, h, w), strict=True))
        traffic = n_blocks * needs["axons_in"]
        ranked = sorted(np.flatnonzero(fits), key=lambda i: (n_blocks[i], traffic[i], -c[i], -h[i]))
        shapes = ((int(c[i]), int(h[i]), int(w[i]))[: len(self.shape)] for i in ranked)
        return next(shape for shape in shapes if self._rests_fit(shape, kept)), tuple(broken)

    def _rests_fit(self, block: Shape, limits: Mapping[str, int]) -> bool:
        """Check the smaller blocks at the ends of a layer: where pixels share lists, they may need more memory."""
        ends = [{size, (n - 1) % size + 1} for size, n in zip(block, self.shape, strict=True)]
        return all(
            getattr(self.load(shape), name) <= limit for shape in product(*ends) for name, limit in limits.items()
        )

    def load(self, shape: Shape) -> Load:
        """Return the needs of a block."""
        if shape not in self._loads:
            c, h, w = (np.array([n]) for n in as_image(shape))
            self._loads[shape] = Load(**{name: int(n[0]) for name, n in self._of((c, h, w)).items()})
        return self._loads[shape]

    def _of(self, block: Extent) -> dict[str, IntArray]:
        neurons = _product(block)
        one = np.ones_like(neurons), np.ones_like(neurons), np.ones_like(neurons)
        bits, axons, fan_in = (np.zeros_like(neurons) for _ in range(3))
        for path in self._paths:
            per_neuron = _product(_extent(self._program, path, one))
            of_path, into = self._memory(path, block, neurons, per_neuron)
            bits, axons, fan_in = bits + of_path, axons + into, fan_in + per_neuron
        return {"neurons": neurons, "synapse_bits": bits, "axons_in": axons, "fan_in": fan_in}

    def _memory(self, path: Path, block: Extent, neurons: IntArray, per_neuron: IntArray) -> tuple[IntArray, IntArray]:
        """Return the bits of the synapses on a path, and the axons that bring its events."""
        c, h, w = _extent(self._program, path, block)
        sources = c * h * w
        weighted = next((node for node in path if isinstance(node, Dense | Conv)), None)
        if self._chip.synapses.sharing == "kernels":
            is_scaled = any(isinstance(node, Scale) and node.factor.ndim for node in path)
            weights = neurons if is_scaled else np.ones_like(neurons)
            if weighted is not None:
                n_out, *per_out = weighted.weight.shape
                weights = np.minimum(block[0], n_out) * math.prod(per_out)
            return weights * self._bits, sources
        is_dense = isinstance(weighted, Dense)
        width = self._bits + (np.zeros_like(neurons) if is_dense else _index_bits(neurons))
        single = sources * self._entries(-(-neurons * per_neuron // sources), width)
        if self._chip.synapses.sharing == "none" or not isinstance(weighted, Conv) or len(self.shape) != 3:
            return single, sources
        rows, columns = (_composed(path[: path.index(weighted) + 1], axis) for axis in (0, 1))
        shared = self._shared(weighted.weight.shape[1], rows, columns, block, width)
        return np.minimum(single, shared), h * w

    def _shared(self, channels: int, rows: Taps, columns: Taps, block: Extent, width: IntArray) -> IntArray:
        """Return the bits where pixels that use the same taps share one list of synapses, for all their channels."""
        bits = np.zeros_like(block[0])
        for h, w in {(int(h), int(w)) for h, w in zip(*block[1:], strict=True)}:
            mine = (block[1] == h) & (block[2] == w)
            per_tap = channels * block[0][mine]
            for (n_rows, n), (n_columns, m) in product(_tap_sets(rows, h), _tap_sets(columns, w)):
                bits[mine] += n * m * self._entries(n_rows * n_columns * per_tap, width[mine])
        return bits

    def _entries(self, n: IntArray, width: IntArray) -> IntArray:
        """Return the bits of one axon's ``n`` synapses, in whole words."""
        form = self._chip.synapses
        whole, rest = n // form.entry_synapses, n % form.entry_synapses

        def words(synapses: IntArray | int) -> IntArray:
            return form.word_bits * -(-(synapses * width + form.entry_bits) // form.word_bits)

        return whole * words(form.entry_synapses) + np.where(rest > 0, words(rest), 0)


def _product(block: Extent) -> IntArray:
    c, h, w = block
    n: IntArray = c * h * w
    return n


def as_image(shape: Shape) -> Shape:
    """Return a shape with rows and columns."""
    return shape if len(shape) == 3 else (*shape, 1, 1)


def _paths(program: Program, name: str) -> Iterator[Path]:
    """Yield the maps between a layer and each sender; none for an edge without a map."""
    for edge in program.incoming[name]:
        node = program[edge.source]
        if isinstance(node, LinearMap):
            yield from ((node, *rest) for rest in _paths(program, node.name))
        elif not isinstance(program[name], Output):
            yield ()


def _extent(program: Program, path: Path, block: Extent) -> Extent:
    """Return how many channels, rows and columns of a sender reach a block, away from the border."""
    c, h, w = block
    run: list[LinearMap] = []  # of maps of images, the last ones
    for node in path:
        shape = program.in_shape(node.name)
        match node:
            case Dense() | Flatten() | Slice() | Place():
                c, h, w = (np.full_like(c, n) for n in as_image(shape))
                run = []
            case Conv() | Pool():
                conv = node if isinstance(node, Conv) else node.as_conv(shape[0])
                outs, ins = len(conv.weight) // conv.groups, conv.weight.shape[1]
                c = np.minimum(shape[0], (-(-(c - 1) // outs) + 1) * ins)  # groups that a block can touch
                run.append(node)
    if run:
        h, w = (np.minimum(shape[1 + axis], _span(_composed(run, axis), n)) for axis, n in enumerate((h, w)))
    return c, h, w


def _composed(maps: Sequence[LinearMap], axis: int) -> Taps:
    """Return the rows (axis 0) or columns (1) that a window of several maps takes, as if they were one."""
    taps, stride = {0}, 1
    for node in maps:
        if isinstance(node, Conv | Pool):
            kernel, dilation = (
                (node.weight.shape[2:], node.dilation) if isinstance(node, Conv) else (node.kernel, (1, 1))
            )
            taps = {at * node.stride[axis] + tap * dilation[axis] for at in taps for tap in range(kernel[axis])}
            stride *= node.stride[axis]
    return tuple(sorted(taps)), stride


def _span(taps: Taps, n: IntArray) -> IntArray:
    """Return how many rows or columns a number of windows take."""
    sizes, where = np.unique(n, return_inverse=True)
    return np.array([_n_taken(taps, int(size)) for size in sizes])[where]


@lru_cache(1 << 16)
def _n_taken(taps: Taps, n: int) -> int:
    at, stride = taps
    return len(np.unique(stride * np.arange(n)[:, None] + np.array(at)))


def _index_bits(neurons: IntArray) -> IntArray:
    bits: IntArray = np.clip(np.ceil(np.log2(neurons)).astype(np.int64), *INDEX_BITS)
    return bits


@lru_cache(1 << 16)
def _tap_sets(taps: Taps, n: int) -> tuple[tuple[int, int], ...]:
    """Return how many taps the pixels before ``n`` windows use, and how many different such sets there are."""
    at, stride = taps
    sets = set()
    for pixel in range((n - 1) * stride + at[-1] + 1):
        reached = ((tap, pixel - tap) for tap in at)
        sets.add(frozenset(tap for tap, to in reached if to % stride == 0 and 0 <= to // stride < n))
    return tuple(Counter(len(used) for used in sets if used).items())
