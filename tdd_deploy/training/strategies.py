"""Strategies to find the gradients of a batch: through all time steps, step by step, or also part by part.

Sources: SLTT and SLTT-K, Meng et al., "Towards Memory- and Time-Efficient Backpropagation for Training Spiking Neural
Networks", ICCV 2023. STDL, "Spatio-Temporal Decoupled Learning for Spiking Neural Networks", 2025.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from tdd_deploy.options.vocabulary import Transmission

from .choice import highest
from .distributed import ALONE, Processes
from .local import LocalParts
from .methods import Penalty, Sent, StepLoss
from .network import Network, States, Unrolled
from .scores import Scoring, moved_in_next_layer


@dataclass(frozen=True)
class Objective:
    """The objective of a batch: a loss, and penalties on the spikes of layers.

    Args:
        loss: the loss of the outputs.
        penalty: the penalty of a layer.
        weight: the factor of all penalties.
        layers: the weight of each layer's penalty; other layers have none.
        scoring: the score of spikes, for the penalty or the transmission.
        serial: the steps are run one after another, so that the score of a step depends on no later one. Otherwise the
            loss of all steps gives the scores, through time.
        transmit: the changes that reach a receiver while learning: ``all``, or only those of high score. In ``open`` a
            receiver adds them to its sum. In ``closed`` the sender tracks that sum, so that errors do not add up.
        keep: the fraction of changes that are transmitted in ``open`` and ``closed``.
        loss_factor: the factor of the loss.
    """

    loss: StepLoss
    penalty: Penalty | None = None
    weight: float = 0.0
    layers: Mapping[str, float] = field(default_factory=dict)
    scoring: Scoring | None = None
    serial: bool = False
    loss_factor: float = 1.0
    transmit: Transmission = "all"
    keep: float = 1.0


@dataclass(frozen=True)
class Learned:
    """The result of a batch, without gradients."""

    loss: float  # including penalties
    outputs: Tensor  # of the steps that were run, [n, batch, n_classes]


@dataclass(frozen=True)
class Batch:
    """Samples and their objective.

    Args:
        x: ``[n_steps, batch, ...]``, or ``[1, batch, ...]`` when it is the same at every step.
        targets: classes ``[batch]``, or probabilities of classes ``[batch, n_classes]``.
        n_steps: the number of time steps.
        objective: the loss and its penalties.
        chance: the generator of random choices.
        processes: the processes that each learn from a part; the samples here are the part of this one.
    """

    x: Tensor
    targets: Tensor
    n_steps: int
    objective: Objective
    chance: torch.Generator
    processes: Processes = ALONE

    def random(self, shape: torch.Size) -> Tensor:
        """Draw numbers from 0 to 1 for ``[n, batch, ...]``; they do not depend on the number of processes."""
        n, size, *rest = shape
        return self.processes.part(torch.rand(n, size * self.processes.n, *rest, generator=self.chance), dim=1)

    def at(self, t: int) -> Tensor:
        """Return the input of a step, ``[batch, ...]``."""
        return self.x[t if len(self.x) > 1 else 0]


class Strategy(Protocol):
    """A way to compute the gradients of a batch, which are left in the parameters."""

    def learn(self, network: Network, batch: Batch) -> Learned:
        """Run a batch and its backward passes, for a network in training mode whose gradients are cleared."""
        ...


@dataclass(frozen=True)
class Unrolling:
    """Backpropagation through time (BPTT): one backward pass through all steps."""

    def learn(self, network: Network, batch: Batch) -> Learned:
        """Run a batch and its backward pass."""
        objective = batch.objective
        if objective.transmit == "all" and not objective.serial:
            run = network.unroll(batch.x, batch.n_steps)
            loss = objective.loss(run, batch.targets)
            before = _before(run, Memory(), objective)
            scores = _scores(network, run, run.spikes, before, loss, batch=batch)
            memory = Memory(scores={name: score[:-1] for name, score in scores.items()})
            total = objective.loss_factor * loss + _penalties(run, before, batch, memory)
            outputs = run.outputs
        else:
            steps = list(_serial(network, batch, set(range(batch.n_steps)), is_detached=False))
            total = torch.stack([step.total for step in steps]).mean()
            outputs = torch.cat([step.run.outputs for step in steps])
        total.backward()  # type: ignore[no-untyped-call]
        return Learned(float(total.detach()), outputs.detach())


@dataclass(frozen=True)
class Online:
    """SLTT: a backward pass per step, in which the state before it is a constant; memory does not grow with steps.

    Args:
        k: the number of steps to learn from, drawn at random per batch (SLTT-K); by default all. Steps after the last
            of them are not run.
    """

    k: int | None = None

    def learn(self, network: Network, batch: Batch) -> Learned:
        """Run a batch and its backward passes."""
        order = torch.randperm(batch.n_steps, generator=batch.chance).tolist()
        chosen = set(order[: self.k])
        loss, outputs = 0.0, []
        for step in _serial(network, batch, chosen, is_detached=True):
            outputs.append(step.run.outputs.detach())
            if step.total.requires_grad:
                part = step.total / len(chosen)
                part.backward()  # type: ignore[no-untyped-call]
                loss += float(part.detach())
        return Learned(loss, torch.cat(outputs))


@dataclass(frozen=True)
class Local:
    """STDL: parts of a network, each online and with a head of its own; no gradient crosses a border."""

    parts: LocalParts

    def learn(self, network: Network, batch: Batch) -> Learned:
        """Run a batch and its backward passes."""
        networks = self.parts.networks
        memories = [Memory() for _ in networks]
        loss, outputs = 0.0, []
        for t in range(batch.n_steps):
            value = batch.at(t)
            received: Mapping[str, Tensor] = {}
            for part, memory in zip(networks, memories, strict=True):
                if part.source in received:
                    value = received[part.source][0].detach()
                step = _step(part, value, batch, memory)
                mean = step.total / batch.n_steps
                mean.backward()  # type: ignore[no-untyped-call]
                memory.take(step, is_detached=True)
                received = step.received
                loss += float(mean.detach()) / len(networks)
            outputs.append(step.run.outputs.detach())
        return Learned(loss, torch.cat(outputs))


def heads_of(strategy: Strategy) -> nn.ModuleList:
    """Return the heads that learn beside the network; only STDL has any."""
    return strategy.parts.heads if isinstance(strategy, Local) else nn.ModuleList()


@dataclass
class Memory:
    """The results of earlier steps that later ones need."""

    states: States | None = None
    spikes: Mapping[str, Tensor] = field(default_factory=dict)  # of the last step, [1, batch, ...]
    received: Mapping[str, Tensor] = field(default_factory=dict)  # as they reached the receivers
    scores: Mapping[str, Tensor] = field(default_factory=dict)
    start: int = 0  # the number of steps so far

    def take(self, step: "_Step", *, is_detached: bool) -> None:
        """Remember one step."""
        run = step.run
        self.states = {
            name: tuple(value.detach() if is_detached else value for value in state)
            for name, state in run.states.items()
        }
        self.spikes = {name: x.detach() if is_detached else x for name, x in run.spikes.items()}
        self.received = {n: x.detach() if is_detached else x for n, x in step.received.items()}
        self.scores = step.scores
        self.start += 1


@dataclass(frozen=True)
class _Step:
    """One time step of a network."""

    run: Unrolled
    received: Mapping[str, Tensor]  # spikes by layer, as they reach the receivers
    scores: Mapping[str, Tensor]
    total: Tensor  # the loss of this step as if there were no others, with penalties


def _serial(network: Network, batch: Batch, learning: set[int], *, is_detached: bool) -> Iterator[_Step]:
    """Run a network step by step; steps outside of ``learning`` have no gradient."""
    memory = Memory()
    for t in range(max(learning) + 1):
        with torch.set_grad_enabled(t in learning):
            step = _step(network, batch.at(t), batch, memory)
        yield step
        memory.take(step, is_detached=is_detached)


def _step(network: Network, x: Tensor, batch: Batch, memory: Memory) -> _Step:
    received: dict[str, Tensor] = {}

    def send(name: str, spikes: Tensor) -> Tensor:
        received[name] = _transmitted(name, spikes, memory, batch.objective)
        return received[name]

    run = network.step(x, memory.states, send)
    loss = batch.objective.loss(run, batch.targets)
    before = _before(run, memory, batch.objective)
    scores = _scores(network, run, received, before, loss, batch=batch)
    total = batch.objective.loss_factor * loss + batch.n_steps * _penalties(run, before, batch, memory)
    return _Step(run, received, scores, total)


def _transmitted(name: str, spikes: Tensor, memory: Memory, objective: Objective) -> Tensor:
    """Return the sum that receivers have after a step, ``[1, batch, ...]``; at the first step all spikes."""
    if objective.transmit == "all" or memory.start == 0:
        return spikes
    held = memory.received[name]
    known = held if objective.transmit == "closed" else memory.spikes[name]
    return held + highest(memory.scores[name], objective.keep) * (spikes - known)


@torch.no_grad()
def _before(run: Unrolled, memory: Memory, objective: Objective) -> dict[str, Tensor]:
    """Return the spikes one step earlier, zeros before the first step, if anything asks for them."""
    if objective.penalty is None and objective.scoring is None:
        return {}
    first = {name: memory.spikes.get(name, torch.zeros_like(now[:1])) for name, now in run.spikes.items()}
    return {name: torch.cat([first[name], now[:-1]]) for name, now in run.spikes.items()}


def _penalties(run: Unrolled, before: Mapping[str, Tensor], batch: Batch, memory: Memory) -> Tensor:
    """Return the weighted penalties of a run of steps, which follow those of a memory."""
    objective, found = batch.objective, [run.outputs.new_zeros(())]
    if objective.penalty is not None:
        for name, weight in objective.layers.items():
            if name in run.spikes:  # a part of the network has only some layers
                now, score = run.spikes[name], memory.scores.get(name)
                sent = Sent(now, before[name], score, memory.start, batch.n_steps, batch.chance)
                found.append(weight * objective.penalty(sent))
    return objective.weight * torch.stack(found).sum()


def _scores(
    network: Network,
    run: Unrolled,
    received: Mapping[str, Tensor],
    before: Mapping[str, Tensor],
    loss: Tensor,
    *,
    batch: Batch,
) -> dict[str, Tensor]:
    """Return the score of every neuron by layer, in the shape of ``run.spikes``, without gradient.

    Gradients are taken at the receivers' sums: a change that was not sent has none, and would never be sent again.
    """
    scoring, spikes = batch.objective.scoring, run.spikes
    if scoring is None:
        return {}
    if scoring.by == "random":
        found = [batch.random(x.shape).to(x.device) for x in spikes.values()]
    elif scoring.by == "jac":
        found = moved_in_next_layer(network, run, received)
    else:
        held = list(received.values())
        found = [g.abs() for g in torch.autograd.grad(loss, held, retain_graph=True, materialize_grads=True)]
    return scoring.scores(dict(zip(spikes, found, strict=True)), spikes, before)
