"""Losses of every time step, and penalties that reduce events.

Sources: TET, Deng et al., ICLR 2022. TDD-DDLA, "Feature Overlapping: Temporal Differential Decoupling for Efficient
SNN Training", Ann. NY Acad. Sci. 1556(1), 2026 (ICLR 2025 submission 77plFC53J5): Definition 2 and Algorithm 1, with
options for everything that they leave open. RMP-loss, Guo et al., ICCV 2023.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  (torch's own convention)

from tdd_deploy.options.vocabulary import DdlaReading

from .choice import highest, highest_of_members
from .gates import Gate
from .network import Connection, Network, Neurons, Unrolled

MSE_TARGET = 1.0  # of every output, in TET's own scripts


class StepLoss(Protocol):
    """The loss of the outputs of some time steps."""

    def __call__(self, run: Unrolled, targets: Tensor) -> Tensor:
        """Return the mean over the steps of a run; targets are classes ``[batch]`` or probabilities ``[batch, n]``."""
        ...


@dataclass(frozen=True)
class TetLoss:
    """Cross-entropy of every step's outputs, and the mean squared distance of all outputs from a constant.

    ``mse`` is the fraction of the second term. The authors' scripts have 0.001, the same constant for every class,
    and a value of 1 for it.
    """

    smoothing: float = 0.0
    mse: float = 0.0

    def __call__(self, run: Unrolled, targets: Tensor) -> Tensor:
        """Return the mean over steps and samples."""
        n_steps = len(run.outputs)
        repeated = targets.repeat(n_steps, *[1] * (targets.ndim - 1))
        entropy = F.cross_entropy(run.outputs.flatten(0, 1), repeated, label_smoothing=self.smoothing)
        if self.mse == 0:
            return entropy
        distance = (run.outputs - MSE_TARGET).square().mean()
        return (1 - self.mse) * entropy + self.mse * distance


@dataclass(frozen=True)
class RateLoss:
    """Cross-entropy of the outputs' mean over time."""

    smoothing: float = 0.0

    def __call__(self, run: Unrolled, targets: Tensor) -> Tensor:
        """Return the mean over samples."""
        return F.cross_entropy(run.outputs.mean(0), targets, label_smoothing=self.smoothing)


@dataclass(frozen=True)
class RmpLoss:
    """Cross-entropy as in TET, plus the weighted mean squared distance of potentials from their spikes, 0 or 1."""

    smoothing: float = 0.0
    weight: float = 0.1

    def __call__(self, run: Unrolled, targets: Tensor) -> Tensor:
        """Return the mean over steps and samples; the mean of potentials is over layers too."""
        distances = [(u - run.spikes[name].detach()).square().mean() for name, u in run.potentials.items()]
        of_potentials = torch.stack(distances).mean() if distances else run.outputs.new_zeros(())
        return TetLoss(self.smoothing)(run, targets) + self.weight * of_potentials


@dataclass(frozen=True)
class Sent:
    """The spikes of one layer in some time steps, ``[n, batch, ...]``."""

    now: Tensor
    before: Tensor  # one step earlier, as a constant; zeros before the first step
    score: Tensor | None  # of the step before each, except before the first step of a sample
    start: int  # the number of steps before these
    n_steps: int  # all steps of a sample
    chance: torch.Generator  # of the batch

    @property
    def later(self) -> "Sent | None":
        """The steps after the first of a sample; None without any."""
        if self.start > 0:
            return self
        if len(self.now) == 1:
            return None
        return Sent(self.now[1:], self.before[1:], self.score, 1, self.n_steps, self.chance)


class Penalty(Protocol):
    """The penalty of a layer, before its weight, that is added to the loss."""

    def __call__(self, sent: Sent) -> Tensor:
        """Return a scalar that grows with the events of a layer: the part of these steps in the mean over all."""
        ...


@dataclass(frozen=True)
class Ddla:
    """Dynamic decoupling of repeated features: spikes (reading F) or changes (reading D) of low score are penalized.

    Per sample and layer the fraction ``keep`` of highest score at step t - 1 is free at step t; step 1 has no penalty.

    Args:
        reading: ``F`` penalizes spikes, ``D`` penalizes changes.
        keep: the fraction that is free, of the neurons that can be chosen.
        breaks_ties: neurons of equal score are chosen at random, and a score of 0 is never free. Otherwise they rank as
            ``topk`` ranks them, by memory order: among all neurons, most of which are silent and have a score of 0,
            these free places go to the same neurons again and again.
    """

    reading: DdlaReading
    keep: float
    breaks_ties: bool = False

    def __call__(self, sent: Sent) -> Tensor:
        """Return the mean square of the spikes or changes that are not free, over t >= 2."""
        later = sent.later
        if later is None:
            return sent.now.new_zeros(())
        assert later.score is not None
        if self.breaks_ties:
            free = highest_of_members(later.score, self.keep, later.chance)
        else:
            free = highest(later.score, self.keep)
        penalized = 1 - free
        values = later.now if self.reading == "F" else later.now - later.before
        return _part_of_mean((penalized * values).square(), later.n_steps - 1)


@dataclass(frozen=True)
class L1Spikes:
    """A penalty on activity: the mean of spikes."""

    def __call__(self, sent: Sent) -> Tensor:
        """Return the penalty."""
        return _part_of_mean(sent.now, sent.n_steps)


@dataclass(frozen=True)
class L1Delta:
    """A penalty on changes, including the spikes of the first step; the step before is a constant.

    A gradient through the step before breaks training.
    """

    def __call__(self, sent: Sent) -> Tensor:
        """Return the penalty."""
        return _part_of_mean((sent.now - sent.before).abs(), sent.n_steps)


@dataclass(frozen=True)
class L1Onset:
    """A penalty on spikes of neurons that were silent a step before; repeated spikes are free."""

    def __call__(self, sent: Sent) -> Tensor:
        """Return the penalty."""
        return _part_of_mean(sent.now * (1 - sent.before), sent.n_steps)


def _part_of_mean(values: Tensor, n_steps: int) -> Tensor:
    """Return the mean of ``[n, ...]``, times the fraction of these steps in all."""
    mean = values.mean()
    return mean if len(values) == n_steps else mean * (len(values) / n_steps)


def fan_out(network: Network) -> dict[str, Tensor]:
    """Count the synaptic operations of an event of each neuron, in the shape of its layer.

    A synapse is a weight other than 0 (in evaluation mode, as deployed) that the event reaches directly or through maps
    without weights. Padding and maps without weights are not counted. Events that meet in a sum before they are
    weighted cost less together.
    """
    currents: list[Tensor] = []
    events: dict[str, Tensor] = {}
    values = {network.source: torch.zeros(1, *network.input_shape)}
    for part in network.parts:
        received = [values[name] for name in part.sources]
        match part.module:
            case Connection():
                weight = part.module.weights.weight if part.module.deployed is None else part.module.deployed[0]
                ones = (weight != 0).float().cpu()
                currents.append(part.module.current(torch.stack(received).sum(0), ones, None))
                values[part.name] = torch.zeros_like(currents[-1])
            case Neurons():
                events[part.name] = torch.zeros_like(received[0], requires_grad=True)
            case Gate():
                events[part.name] = part.module(*(x[None] for x in received))[0].detach().requires_grad_()
            case _:
                values[part.name] = part.module(torch.stack(received).sum(0))
        values |= events
    total = torch.stack([current.sum() for current in currents]).sum()
    gradients = torch.autograd.grad(total, list(events.values()), allow_unused=True)
    both = zip(events.items(), gradients, strict=True)
    return {name: (torch.zeros_like(event) if g is None else g).detach()[0] for (name, event), g in both}


def layer_weights(network: Network, *, by_synops: bool) -> dict[str, float]:
    """Return the weight of each layer's penalty: 1, or in proportion to its synaptic operations with a mean of 1."""
    if not by_synops:
        return dict.fromkeys(network.layers, 1.0)
    costs = {name: float(of_neurons.sum()) for name, of_neurons in fan_out(network).items()}
    mean = sum(costs.values()) / len(costs)
    return {name: cost / mean for name, cost in costs.items()}
