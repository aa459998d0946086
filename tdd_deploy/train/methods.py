"""Losses: TET, and what is added to it so that fewer events are sent.

Sources: TET, Deng et al., ICLR 2022. TDD-DDLA, "Feature Overlapping: Temporal Differential Decoupling for Efficient
SNN Training", Ann. NY Acad. Sci. 1556(1), 2026 (ICLR 2025 submission 77plFC53J5): Definition 2 and Algorithm 1, with
what they leave open made options.
"""

from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  (torch's own convention)

from .network import Unrolled

Score = Literal["gsc", "jac", "random"]
Reading = Literal["F", "D"]
SCORES: tuple[Score, ...] = get_args(Score)
READINGS: tuple[Reading, ...] = get_args(Reading)


def tet_loss(outputs: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of every step's outputs ``[n_steps, batch, n_classes]``, averaged; TET without its regulariser."""
    n_steps = len(outputs)
    return F.cross_entropy(outputs.flatten(0, 1), labels.repeat(n_steps))


class Penalty(Protocol):
    """What is added to the loss, before its weight."""

    def __call__(self, run: Unrolled, loss: Tensor, generator: torch.Generator) -> Tensor:
        """Return a scalar that grows with the events of a batch."""
        ...


@dataclass(frozen=True)
class Ddla:
    """Dynamic decoupling of what repeats: spikes (reading F) or changes (D) of low score are pressed down.

    Per sample and layer the fraction ``keep`` of highest score at step t - 1 is free at step t; nothing is pressed at
    t = 1. ``keep`` 1 is plain TET, and 0 in reading F an activity penalty. Equal scores rank as ``topk`` ranks them: a
    silent neuron's gsc is 0, so a ``keep`` above the firing rate also frees some that were silent, and then every
    neuron that fired is free and both readings are one. gsc and jac at t - 1 hold what flows back from later steps.
    """

    score: Score
    reading: Reading
    keep: float

    def __call__(self, run: Unrolled, loss: Tensor, generator: torch.Generator) -> Tensor:
        """Return the sum over layers of the mean square of what is not kept, over t >= 2."""
        if len(run.outputs) == 1:
            return loss.new_zeros(())
        total = loss.new_zeros(())
        for spikes, score in zip(run.taps, self._scores(run, loss, generator), strict=True):
            pressed = 1 - kept_mask(score[:-1], self.keep)
            now, before = spikes[1:], spikes[:-1].detach()
            what = now if self.reading == "F" else now - before
            total = total + (pressed * what).square().mean()
        return total

    def _scores(self, run: Unrolled, loss: Tensor, generator: torch.Generator) -> list[Tensor]:
        """Return the score of every spike output, without gradient, ``[n_steps, batch, ...]`` per layer."""
        if self.score == "random":
            return [torch.rand(tap.shape, generator=generator).to(tap.device) for tap in run.taps]
        if self.score == "gsc":
            gradients = torch.autograd.grad(loss, run.taps, retain_graph=True)
            return [(gradient * tap.detach()).abs() for gradient, tap in zip(gradients, run.taps, strict=True)]
        following = [*run.taps[1:], run.outputs]
        return [
            torch.autograd.grad(after.sum(), tap, retain_graph=True)[0].abs()
            for tap, after in zip(run.taps, following, strict=True)
        ]


def kept_mask(score: Tensor, keep: float) -> Tensor:
    """Return 1 for the fraction ``keep`` of highest score in each ``[step, sample]``, else 0."""
    flat = score.flatten(2)
    highest = flat.topk(round(keep * flat.shape[2]), dim=2).indices
    return torch.zeros_like(flat).scatter_(2, highest, 1.0).view_as(score)


@dataclass(frozen=True)
class L1Spikes:
    """Activity penalty: the sum over layers of the mean spike."""

    def __call__(self, run: Unrolled, loss: Tensor, generator: torch.Generator) -> Tensor:
        """Return the penalty."""
        return torch.stack([tap.mean() for tap in run.taps]).sum()


@dataclass(frozen=True)
class L1Delta:
    """Penalty on changes, the first step's spikes among them; the former step is a constant.

    A gradient through the former step breaks training.
    """

    def __call__(self, run: Unrolled, loss: Tensor, generator: torch.Generator) -> Tensor:
        """Return the penalty."""
        changes = [tap - torch.cat([torch.zeros_like(tap[:1]), tap[:-1].detach()]) for tap in run.taps]
        return torch.stack([change.abs().mean() for change in changes]).sum()
