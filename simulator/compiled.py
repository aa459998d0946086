"""A batch through the compiled loops: samples shared out to threads, rasters and counts put together."""

import math
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np

from tdd_deploy.program import Input, NeuronLayer, Program
from tdd_deploy.program.inputs import as_input

from . import kernels
from .arithmetic import NumberArray
from .batch import Frames, Result
from .counts import IntArray, Layer
from .kernels import N_COUNTS, Count
from .plan import Planned
from .scatter import Synapses, channel_first, channel_last
from .tally import Synops, Tally

Counted = tuple[IntArray, IntArray]  # of a thread: [node, n_steps, count], and samples executed per step
THREADS = int(numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]  # the variable, or our cores
SHARE = 4  # samples that a thread takes at a time: one on a busy core takes fewer


class Compiled:
    """A covered program, ready to run."""

    def __init__(
        self, program: Program, maps: Mapping[str, object], layers: tuple[Layer, ...], *, threads: int | None
    ) -> None:
        self._threads = threads or THREADS
        self._program = program
        self._layers = layers
        self._maps = maps
        self._planned = Planned(program, maps)

    def run(self, frames: Frames, *, n_steps: int, record: Collection[str], margin: float) -> Result:
        """Execute one batch; see ``Engine.run``. ``margin`` is in the program's numbers, infinite for no early exit."""
        inputs = self._staged(frames, n_steps)
        batch = inputs.shape[1]
        output = self._program.output.name
        rasters = _Rasters(self._planned, {*record, output}, (batch, n_steps), inputs.dtype)
        starts = iter(range(0, batch, SHARE))

        n_threads = min(self._threads, -(-batch // SHARE))
        deciding = (self._planned.place[output], margin)

        def take_shares() -> Counted:
            memory = self._planned.memory()
            counts = np.zeros((len(self._planned.plan.nodes), n_steps, N_COUNTS), np.int64)
            n_running = np.zeros(n_steps, np.int64)
            for first in starts:
                last = min(first + SHARE, batch)
                raster = (rasters.at, rasters.spikes, rasters.numbers)
                kernels.run(self._planned.plan, inputs, first, last, memory, *raster, *deciding, counts, n_running)
            return counts, n_running

        counted = _in_threads(take_shares, n_threads)
        counts, n_running = (np.sum(each, axis=0) for each in zip(*counted, strict=True))
        layers = {name: rasters.of(name) for name in record}
        return Result(rasters.of(output), layers, lambda: self._tally(counts, n_running).trace())

    def _staged(self, frames: Frames, n_steps: int) -> NumberArray:
        """Return the input ``[n_steps, batch, n]``, channel last; one step of it when all are the same array."""
        given = [frames.at(t) for t in range(n_steps)]
        if all(frame is given[0] for frame in given):
            given = given[:1]
        return np.stack([channel_last(as_input(self._program, x)).reshape(len(x), -1) for x in given])

    def _tally(self, counts: IntArray, n_running: IntArray) -> Tally:
        """Say in the words of the counters what the loops counted, ``[node, n_steps, count]``."""
        tally = Tally(self._layers, n_running)
        for layer in self._layers:
            node, found = self._program[layer.name], counts[self._planned.place[layer.name]].T
            if isinstance(node, Input | NeuronLayer):
                codes = {edge.code for edge in self._program.outgoing[node.name]}
                sent = {"n_values": found[Count.VALUES], "n_changes": found[Count.CHANGES]}
                tally.sent(node.name, codes, **sent, is_input=isinstance(node, Input))
            if isinstance(node, NeuronLayer):
                tally.updated(node.name, n_active=found[Count.ACTIVE], n_neurons=math.prod(node.shape))
            synapses = self._maps.get(node.name)
            if isinstance(synapses, Synapses):
                code = self._program.incoming[node.name][0].code
                spikes, deltas = Synops(*found[Count.SPIKE_CODE :][:3]), Synops(*found[Count.DELTA_CODE :][:3])
                tally.connected(node.name, synapses, code, spikes=spikes, deltas=deltas)
        return tally


class _Rasters:
    """What nodes sent, ``[batch, n_steps, n]``: bytes of those that spike, numbers of the others."""

    def __init__(
        self, planned: Planned, names: Collection[str], batch_and_steps: tuple[int, int], dtype: np.dtype[Any]
    ) -> None:
        self._planned = planned
        nodes = planned.plan.nodes
        self.at = np.full(len(nodes), -1)
        sizes = [0, 0]
        for name in names:
            node = nodes[planned.place[name]]
            self.at[planned.place[name]] = sizes[node["is_spiking"]]
            sizes[node["is_spiking"]] += node["size"]
        self.numbers = np.zeros((*batch_and_steps, sizes[0]), dtype)
        self.spikes = np.zeros((*batch_and_steps, sizes[1]), np.int8)

    def of(self, name: str) -> NumberArray:
        """Return what one node sent, ``[batch, n_steps, *shape]``, channel first."""
        place = self._planned.place[name]
        node, at = self._planned.plan.nodes[place], self.at[place]
        raster = (self.spikes if node["is_spiking"] else self.numbers)[:, :, at : at + node["size"]]
        shape = self._planned.shapes[name]
        first = channel_first(raster.reshape(-1, *(shape[1:] + shape[:1] if len(shape) == 3 else shape)))
        return first.astype(self.numbers.dtype).reshape(*raster.shape[:2], *shape)


def _in_threads(take_shares: Callable[[], Counted], n_threads: int) -> list[Counted]:
    """Call a function once per thread."""
    if n_threads == 1:
        return [take_shares()]
    with ThreadPoolExecutor(n_threads) as pool:
        return [future.result() for future in [pool.submit(take_shares) for _ in range(n_threads)]]
