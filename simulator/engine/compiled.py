"""Execute a batch in the compiled loops: threads take samples; their rasters and counts are put together."""

import math
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np

from tdd_deploy import memory
from tdd_deploy.program import Code, Input, NeuronLayer, Program
from tdd_deploy.program.bounds import check_sent
from tdd_deploy.program.inputs import as_input
from tdd_deploy.simulator.arithmetic import NumberArray
from tdd_deploy.simulator.counts import IntArray, Layer
from tdd_deploy.simulator.routes import Found, Routes

from .batch import Frames, Result
from .kernels import run as kernels
from .kernels.tables import N_COUNTS, Count, Memory
from .plan import Planned, potential_of
from .scatter import Synapses, channel_first, channel_last
from .tally import Synops, Tally

Part = tuple[int, int]  # samples of a batch: the first, and the first not taken
# Of a thread: [node, n_steps, count], samples executed per step, and [n_steps, code, class of inputs].
Counted = tuple[IntArray, IntArray, IntArray]
THREADS = int(numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]  # the variable, or our cores
STAGED = 2**23  # bytes of input, laid out for the loops
AT_ONCE = 4  # samples that a thread takes at a time, at most: a thread on a busy core takes fewer in all
WORTH = 500_000  # values that nodes send in the time for which it pays to start a thread


class Compiled:
    """A covered program, ready to run."""

    def __init__(
        self,
        program: Program,
        maps: Mapping[str, object],
        layers: tuple[Layer, ...],
        *,
        routes: Routes,
        threads: int | None,
        potentials: Collection[str] = (),
    ) -> None:
        self._threads = threads or THREADS
        self._program = program
        self._layers = layers
        self._maps = maps
        self._routes = routes
        self._potentials = potentials
        self._planned = Planned(program, maps, routes, potentials)
        memory.reserve(memory.COMPILING, "numba, which compiles the event engine,")
        self._graded = [layer.name for layer in program.neuron_layers if not layer.neuron.binary]  # they send numbers

    def run(self, frames: Frames, *, n_steps: int, record: Collection[str], margin: float) -> Result:
        """Execute one batch; see ``Engine.run``. ``margin`` is in the program's numbers, infinite for no early exit."""
        observed = {name: potential_of(name) for name in self._potentials}
        shape = len(frames.at(0)), n_steps
        run = _Run(self._planned, self._program, shape, record=[*record, *observed.values()], margin=margin)
        for steps in self._spans(frames, n_steps):
            run.take(self._staged(frames, steps), steps, self._threads)
        self._check_sent(run.counts)
        return Result(
            run.raster(self._program.output.name),
            {name: run.raster(name) for name in record},
            lambda: self._tally(run.counts, run.n_running, run.by_class).trace(),
            {name: run.raster(observer) for name, observer in observed.items()},
        )

    def _check_sent(self, counts: IntArray) -> None:
        """Refuse numbers so large that their sums may overflow, and name the first step at which a layer sent some."""
        if not self._graded:
            return
        beyond = counts[[self._planned.place[name] for name in self._graded], :, Count.BEYOND] > 0  # [layer, step]
        if beyond.any():
            step = int(beyond.any(axis=0).argmax())
            check_sent(self._program, dict(zip(self._graded, beyond[:, step], strict=True)), step=step)

    def _spans(self, frames: Frames, n_steps: int) -> list[range]:
        """Cut time so that a span's input takes no more than ``STAGED`` bytes."""
        at_once = n_steps if frames.static else max(1, STAGED // (frames.at(0).size * self._program.dtype.itemsize))
        return [range(t, min(t + at_once, n_steps)) for t in range(0, n_steps, at_once)]

    def _staged(self, frames: Frames, steps: range) -> NumberArray:
        """Return the input ``[n_steps, batch, n]``, channel last; one step of it when all are the same."""
        given = [frames.at(t) for t in (steps[:1] if frames.static else steps)]
        return np.stack([channel_last(as_input(self._program, x)).reshape(len(x), -1) for x in given])

    def _tally(self, counts: IntArray, n_running: IntArray, by_class: IntArray) -> Tally:
        """Translate the counts of the loops, ``[node, n_steps, count]``, into named counts."""
        tally = Tally(self._layers, n_running, self._routes)
        tally.by_class += by_class
        for layer in self._layers:
            node, found = self._program[layer.name], counts[self._planned.place[layer.name]].T
            if isinstance(node, Input | NeuronLayer):
                codes = {edge.code for edge in self._program.outgoing[node.name]}
                sent = {"n_values": found[Count.VALUES], "n_changes": found[Count.CHANGES]}
                tally.sent(node.name, codes, **sent, is_input=isinstance(node, Input))
            if isinstance(node, NeuronLayer):
                tally.updated(node.name, n_active=found[Count.ACTIVE], n_neurons=math.prod(node.shape))
            if node.name in self._routes.senders:
                tally.routed(node.name, self._costs(node.name, counts))
            synapses = self._maps.get(node.name)
            if isinstance(synapses, Synapses):
                code = self._program.incoming[node.name][0].code
                spikes, deltas = Synops(*found[Count.SPIKE_CODE :][:3]), Synops(*found[Count.DELTA_CODE :][:3])
                tally.connected(node.name, synapses, code, spikes=spikes, deltas=deltas)
        return tally

    def _costs(self, sender: str, counts: IntArray) -> Found:
        """Return the counts of the loops for the tables of a sender's route."""
        found: dict[str, dict[Code, IntArray]] = {}
        for table in self._routes.senders[sender].tables:
            costs = counts[self._planned.place[self._planned.counted_at[sender, table]]].T
            found[table] = {"spike": costs[Count.SPIKE_COSTS :][:3], "delta": costs[Count.DELTA_COSTS :][:3]}
        return found


class _Run:
    """One batch, span by span: what nodes sent, ``[batch, n_steps, n]``, and what that cost. Spikes are bytes."""

    def __init__(
        self, planned: Planned, program: Program, shape: tuple[int, int], *, record: Collection[str], margin: float
    ) -> None:
        nodes = planned.plan.nodes
        self._planned = planned
        self._batch, self._n_steps = shape
        self._deciding = (planned.place[program.output.name], margin)
        self._decided = np.zeros(self._batch, np.bool_)
        self._memories: list[Memory] = []  # of samples, when there are several spans
        self.counts = np.zeros((len(nodes), self._n_steps, N_COUNTS), np.int64)
        self.n_running = np.zeros(self._n_steps, np.int64)
        self.by_class = np.zeros((self._n_steps, 2, planned.n_classes), np.int64)  # of inputs
        self._at = np.full(len(nodes), -1)
        sizes = [0, 0]
        for name in {*record, program.output.name}:
            node = nodes[planned.place[name]]
            self._at[planned.place[name]] = sizes[node["is_spiking"]]
            sizes[node["is_spiking"]] += int(node["size"])
        self._numbers = np.zeros((*shape, sizes[0]), program.dtype)
        self._spikes = np.zeros((*shape, sizes[1]), np.int8)

    def take(self, inputs: NumberArray, steps: range, n_threads: int) -> None:
        """Take all samples through a span of steps."""
        n_threads = max(1, min(n_threads, self._batch, self._planned.n_values * len(steps) * self._batch // WORTH))
        is_whole = len(steps) == self._n_steps
        if not (is_whole or self._memories):
            self._memories = [self._planned.memory() for _ in range(self._batch)]
        at_once = min(AT_ONCE, -(-self._batch // n_threads)) if is_whole else 1
        parts = [(first, min(first + at_once, self._batch)) for first in range(0, self._batch, at_once)]

        def take_samples(parts: Iterable[Part]) -> Counted:
            plan = self._planned.plan
            counts, n_running = np.zeros((self.counts[..., 0].size, N_COUNTS), np.int64), np.zeros_like(self.n_running)
            by_class = np.zeros_like(self.by_class)
            with self._planned.lent() as memory:
                for first, last in parts:
                    if self._decided[first]:
                        continue
                    samples = (steps.start, steps.stop, first, last, memory if is_whole else self._memories[first])
                    raster = (self._at, self._spikes, self._numbers)
                    counted = (counts, n_running, by_class)
                    is_decided = kernels.run(plan, inputs, *samples, *raster, *self._deciding, *counted)
                    self._decided[first] = is_decided and not is_whole
            return counts.reshape(self.counts.shape), n_running, by_class

        for counts, n_running, by_class in _in_threads(take_samples, parts, n_threads):
            self.counts += counts
            self.n_running += n_running
            self.by_class += by_class

    def raster(self, name: str) -> NumberArray:
        """Return the raster of one node, ``[batch, n_steps, *shape]``, channel first."""
        place = self._planned.place[name]
        node, at = self._planned.plan.nodes[place], self._at[place]
        raster = (self._spikes if node["is_spiking"] else self._numbers)[:, :, at : at + int(node["size"])]
        shape = self._planned.shapes[name]
        first = channel_first(raster.reshape(-1, *(shape[1:] + shape[:1] if len(shape) == 3 else shape)))
        return first.astype(self._numbers.dtype).reshape(*raster.shape[:2], *shape)


def _in_threads(take_samples: Callable[[Iterable[Part]], Counted], parts: list[Part], n_threads: int) -> list[Counted]:
    """Share parts of a batch among threads, this one among them.

    The loops are compiled before other threads begin. A signal while they are compiled can leave llvmlite's lock held
    by this thread, and the others would wait for it forever.
    """
    if n_threads == 1:
        return [take_samples(parts)]
    take_samples([(0, 0)])
    shared = iter(parts)
    with ThreadPoolExecutor(n_threads - 1) as pool:
        try:
            others = [pool.submit(take_samples, shared) for _ in range(n_threads - 1)]
            return [take_samples(shared), *(other.result() for other in others)]
        except BaseException:
            deque(shared, maxlen=0)  # the others finish the parts that they have begun
            raise
