"""The event engine: what changed is sent, and nothing else is computed.

Every edge sends its source's values (spike code) or their change since the step before (delta code). A receiver
*holds* what delta edges brought; what spike edges brought counts for one step. Everything between two layers
of neurons is linear, so it acts on changes as it acts on values; a bias is added once in delta code, at every step in
spike code.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass
from functools import partial, reduce

import numpy as np

from tdd_deploy.errors import BadOption
from tdd_deploy.neurons import Observing
from tdd_deploy.program import Code, Conv, Dense, Edge, Input, LinearMap, NeuronLayer, Output, Program, Scale
from tdd_deploy.program.bounds import check_sent, largest_sent
from tdd_deploy.program.inputs import as_input
from tdd_deploy.simulator.arithmetic import NumberArray, arithmetic_of
from tdd_deploy.simulator.counts import Layer
from tdd_deploy.simulator.early_exit import check_decidable
from tdd_deploy.simulator.routes import Routes

from . import loading  # noqa: F401  (before numba)
from .batch import Frames, Result
from .compiled import Compiled
from .plan import is_covered
from .scatter import Events, IntArray, Synapses, channel_first, channel_last, ready
from .tally import Synops, Tally

__all__ = ["Engine", "Frames", "Result"]


class Engine:
    """A program laid out for execution; holds no state of a run.

    Compiled loops execute it where they know all its nodes, and numpy otherwise: the same numbers, unless floats round.

    Args:
        program: what to execute.
        compiled: whether to compile where it can be done.
        threads: how many share the samples of a batch; by default $NUMBA_NUM_THREADS, or one per available core.
        routes: what events cost on the cores of a placement; messages, and operations of each core, are counted by it.
        potentials: spiking layers for which every run keeps the potentials that they compare with their thresholds.
    """

    def __init__(
        self,
        program: Program,
        *,
        compiled: bool = True,
        threads: int | None = None,
        routes: Routes | None = None,
        potentials: Collection[str] = (),
    ) -> None:
        assert set(potentials) <= {x.name for x in program.neuron_layers if x.neuron.spiking}, "only spiking layers"
        self.program = program
        self.potentials = frozenset(potentials)
        self.routes = routes or Routes()
        self.largest = largest_sent(program)
        self.maps = {node.name: ready(node, program.in_shape(node.name)) for node in program.linear_maps}
        self.neurons = {
            layer.name: layer.neuron.converted(lambda p: channel_last(p[None])[0] if p.ndim else p)
            for layer in program.neuron_layers
        }
        self.layers = tuple(
            Layer(node.name, _kind(node), program.shapes[node.name])
            for node in program.nodes
            if isinstance(node, Input | NeuronLayer | Dense | Conv | Scale)
        )
        is_compiled = compiled and is_covered(program)
        self._compiled = (
            Compiled(program, self.maps, self.layers, routes=self.routes, threads=threads, potentials=self.potentials)
            if is_compiled
            else None
        )

    def run(
        self, frames: Frames, *, n_steps: int, record: Collection[str] = (), early_exit: float | None = None
    ) -> Result:
        """Execute one batch.

        Args:
            frames: the input.
            n_steps: time steps.
            record: the input, or layers of neurons, whose values are kept.
            early_exit: a sample ends with the first step at which its largest output, as a mean over the steps so far,
                is this much ahead of the next one. Later steps send zero, and nothing of them is counted.

        Raises:
            BadOption: ``early_exit`` is not above zero, or the output is not one number per class.
        """
        if early_exit is not None:
            self._check_early_exit(early_exit)
        senders = {self.program.input.name, *(layer.name for layer in self.program.neuron_layers)}
        assert set(record) <= senders, "only what the input and neurons send is recorded"
        margin = math.inf if early_exit is None else early_exit / self.program.output.unit
        if self._compiled is not None:
            return self._compiled.run(frames, n_steps=n_steps, record=record, margin=margin)
        if early_exit is None:
            return self._interpreted(frames, n_steps, record, margin)
        samples = (_Sample(frames, i) for i in range(len(frames.at(0))))
        return reduce(Result.__add__, [self._interpreted(one, n_steps, record, margin) for one in samples])

    def _interpreted(self, frames: Frames, n_steps: int, record: Collection[str], margin: float) -> Result:
        """Execute in numpy a batch, or one sample until it is decided."""
        run = _Run(self, len(frames.at(0)), n_steps, record)
        for t in range(n_steps):
            run.step(t, channel_last(as_input(self.program, frames.at(t))))
            if margin < math.inf and run.lead() >= margin * (t + 1):
                break
        return run.result()

    def _check_early_exit(self, margin: float) -> None:
        if not 0 < margin < math.inf:
            raise BadOption("early_exit", f"{margin:g}", "a number above 0, in units of the output")
        check_decidable(self.program)


@dataclass(frozen=True)
class _Sample:
    """One sample of a batch, as a batch."""

    frames: Frames
    number: int

    @property
    def static(self) -> bool:
        """Whether the input is the same at every step."""
        return self.frames.static

    def at(self, t: int) -> NumberArray:
        """Return ``[1, *shape]``."""
        return self.frames.at(t)[self.number : self.number + 1]


class _Run:
    """The state of one batch."""

    def __init__(self, engine: Engine, batch: int, n_steps: int, record: Collection[str]) -> None:
        self._engine = engine
        self._program = program = engine.program
        self._batch = batch
        self._n_running = np.zeros(n_steps, np.int64)
        self._tally = Tally(engine.layers, self._n_running, engine.routes)
        self._arithmetic = Observing(arithmetic_of(program))
        senders = [program.input, *program.neuron_layers]
        longest = max(edge.delay for edge in program.edges)
        # A ring of what was sent at steps t, t - 1, ...; a delayed edge may ask before its source's turn in step t.
        self._past = {node.name: [self._zeros(node.name)] * (longest + 2) for node in senders}
        self._t = 0
        self._states = {
            layer.name: layer.neuron.start(partial(self._zeros, layer.name)) for layer in program.neuron_layers
        }
        receivers = [*program.neuron_layers, program.output]
        self._received: dict[tuple[str, Code], NumberArray] = {
            (node.name, edge.code): self._zeros(node.name) for node in receivers for edge in program.incoming[node.name]
        }
        # A map writes into its receiver's accumulator; with several targets, or a map after it, into its own array.
        self._sinks = {
            node.name: self._received.get((edges[0].target, edges[0].code)) if len(edges) == 1 else None
            for node in program.linear_maps
            for edges in [program.outgoing[node.name]]
        }
        self._sent: dict[str, NumberArray] = {}  # what maps without a sink sent this step, in the code of their edges
        # What maps sent as changes, as values: a map after them is counted in spike code too.
        self._kept = {
            edge.source
            for node in program.linear_maps
            for edge in program.incoming[node.name]
            if edge.code == "delta" and isinstance(program[edge.source], LinearMap)
        }
        self._values: dict[str, NumberArray] = {}
        self._values_before: dict[str, NumberArray] = {
            node.name: self._zeros(program.incoming[node.name][0].source)
            for node in program.linear_maps
            if isinstance(engine.maps[node.name], Synapses)
        }
        shapes = program.shapes
        self._rasters = {
            name: np.zeros((batch, n_steps, *shapes[name]), program.dtype) for name in {*record, program.output.name}
        }
        self._potentials = {
            name: np.zeros((batch, n_steps, *shapes[name]), program.dtype) for name in engine.potentials
        }
        # The layer whose potential is the output: only the output reads the edge between them.
        self._read = program.incoming[program.output.name][0].source if program.output.reading == "potential" else None

    def step(self, t: int, frame: NumberArray) -> None:
        """Execute one time step."""
        self._t = self._tally.t = t
        self._n_running[t] = self._batch
        for node in self._program.nodes:
            match node:
                case Input():
                    self._send(node.name, frame)
                case LinearMap():
                    self._map(node)
                case NeuronLayer():
                    self._fire(node)
                case Output(reading="spikes"):
                    self._rasters[node.name][:, t] = channel_first(self._current(node.name))
        for (_, code), received in self._received.items():
            if code == "spike":
                received.fill(0)

    def result(self) -> Result:
        """Return the rasters and the counts of the batch."""
        layers = dict(self._rasters)
        output = layers.pop(self._program.output.name)
        return Result(output, layers, self._tally.trace, self._potentials)

    def lead(self) -> float:
        """Return by how much the largest output, summed over the steps so far, is ahead of the next; of one sample."""
        totals = np.sort(self._rasters[self._program.output.name][0].sum(axis=0, dtype=np.float64))
        return float(totals[-1] - totals[-2])

    def _fire(self, layer: NeuronLayer) -> None:
        current = self._current(layer.name)
        state = self._states[layer.name]
        neuron = self._engine.neurons[layer.name]
        active = int(np.count_nonzero(reduce(np.logical_or, state, neuron.is_driven(current))))
        self._tally.updated(layer.name, n_active=active, n_neurons=current[0].size)
        self._states[layer.name], values = neuron.step(self._arithmetic, state, current)
        largest = self._engine.largest.get(layer.name)
        if largest is not None and not np.abs(values).max() <= largest:
            check_sent(self._program, {layer.name: True}, step=self._t)
        if layer.name in self._potentials:
            self._potentials[layer.name][:, self._t] = channel_first(self._arithmetic.compared)
        if layer.name == self._read:
            self._rasters[self._program.output.name][:, self._t] = channel_first(self._arithmetic.compared)
        self._send(layer.name, values)

    def _current(self, name: str) -> NumberArray:
        """Return the current of a receiver: the sums that it holds, plus what arrived in this step."""
        for edge in self._program.incoming[name]:
            if self._sinks.get(edge.source) is None:
                self._received[name, edge.code] += self._message(edge)
        codes = {edge.code for edge in self._program.incoming[name]}
        return reduce(np.add, [self._received[name, code] for code in sorted(codes)])

    def _send(self, name: str, values: NumberArray) -> None:
        """Keep what a layer sends, and count it."""
        before = self._sent_before(name, 1)
        ring = self._past[name]
        ring[self._t % len(ring)] = values
        if name in self._rasters:
            self._rasters[name][:, self._t] = channel_first(values)
        self._tally.sent(
            name,
            {edge.code for edge in self._program.outgoing[name]},
            n_values=int(np.count_nonzero(values)),
            n_changes=int(np.count_nonzero(values != before)),
            is_input=name == self._program.input.name,
        )
        if name in self._engine.routes.senders:
            route = self._engine.routes.senders[name]
            events: dict[Code, IntArray] = {"spike": Events.of(values).at, "delta": Events.of(values - before).at}
            found = {
                table: {code: costs[at].sum(axis=0) for code, at in events.items()}
                for table, costs in route.tables.items()
            }
            self._tally.routed(name, found)

    def _map(self, node: LinearMap) -> None:
        edges = self._program.incoming[node.name]
        message = reduce(np.add, [self._message(edge) for edge in edges])
        sink = self._sinks[node.name]
        if sink is None:
            sink = self._sent[node.name] = self._zeros(node.name)
        code = edges[0].code
        linear_map = self._engine.maps[node.name]
        values = self._values_into(node.name, message)
        if isinstance(linear_map, Synapses):
            before, self._values_before[node.name] = self._values_before[node.name], values
            events = Events.of(message)
            if code == "delta":
                spikes, deltas = Events.of(values), events
            else:
                spikes, deltas = events, Events.of(values - before)
            linear_map.add_events(events, sink)
            if self._t == 0 or code == "spike":
                linear_map.add_bias(sink)
            in_spikes, in_deltas = (Synops.of(linear_map, events, self._batch) for events in (spikes, deltas))
            self._tally.connected(node.name, linear_map, code, spikes=in_spikes, deltas=in_deltas)
            if node.name in self._engine.routes.classes:
                classes = self._engine.routes.classes[node.name]
                for by_class, happened in zip(self._tally.by_class[self._t], (spikes, deltas), strict=True):
                    np.add.at(by_class, classes[happened.at], 1)
        else:
            linear_map.add(message, sink)
        if node.name in self._kept:
            self._keep_values(node.name, values)

    def _message(self, edge: Edge) -> NumberArray:
        """Return the message of an edge in this step, in its code."""
        if edge.source in self._sent:
            return self._sent[edge.source]
        now = self._sent_before(edge.source, edge.delay)
        return now if edge.code == "spike" else now - self._sent_before(edge.source, edge.delay + 1)

    def _sent_before(self, name: str, steps: int) -> NumberArray:
        """Return the values that a layer sent some steps ago."""
        ring = self._past[name]
        return ring[(self._t - steps) % len(ring)]

    def _values_into(self, name: str, message: NumberArray) -> NumberArray:
        """Return the values, whatever the code, that a map receives this step."""
        edges = self._program.incoming[name]
        if edges[0].code == "spike":
            return message
        return reduce(
            np.add,
            [self._values[e.source] if e.source in self._sent else self._sent_before(e.source, e.delay) for e in edges],
        )

    def _keep_values(self, name: str, values: NumberArray) -> None:
        """Keep as values what a map sent as changes."""
        linear_map = self._engine.maps[name]
        if isinstance(linear_map, Synapses):
            self._values[name] = self._values.get(name, 0) + self._sent[name]
        else:
            self._values[name] = self._zeros(name)
            linear_map.add(values, self._values[name])

    def _zeros(self, name: str) -> NumberArray:
        shape = self._program.shapes[name]
        last = (*shape[1:], shape[0]) if len(shape) == 3 else shape
        return np.zeros((self._batch, *last), self._program.dtype)


def _kind(node: Input | NeuronLayer | Dense | Conv | Scale) -> str:
    return type(node.neuron).__name__ if isinstance(node, NeuronLayer) else type(node).__name__.lower()
