"""Scores of neurons, which choose those that TDD-DDLA leaves free at the next time step.

Source: [P] "Feature Overlapping: Temporal Differential Decoupling for Efficient SNN Training", Ann. NY Acad. Sci.
1556(1), 2026 (ICLR 2025 submission 77plFC53J5): equation 8, Definition 2 and Algorithm 1.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from tdd_deploy.options.vocabulary import KeepOf, Score

from .choice import OUTSIDE
from .gates import Gate
from .network import Connection, Network, Neurons, Unrolled


@dataclass(frozen=True)
class Scoring:
    """How the neurons of a time step are scored, and which of them can be chosen.

    Args:
        by: ``gsc`` is Definition 2, ``|dL/dO x O|``, or ``|dL/dO x D|`` among the neurons that changed. ``grad`` is
            ``|dL/dO|``, ``jac`` is line 9 of Algorithm 1 (see ``moved_in_next_layer``), ``random`` is a control.
        among: the neurons that can be chosen: those whose spike ``changed`` at the step (the dynamic features of
            equation 8), those that ``fired``, or ``all``.
    """

    by: Score
    among: KeepOf = "all"

    def scores(
        self,
        sensitivities: Mapping[str, Tensor],
        spikes: Mapping[str, Tensor],
        before: Mapping[str, Tensor],
    ) -> dict[str, Tensor]:
        """Return the score of every neuron by layer; ``OUTSIDE`` where it cannot be chosen.

        Args:
            sensitivities: the derivatives of neurons, without their signs, or random numbers.
            spikes: the spikes of the same steps, ``[n, batch, ...]``.
            before: the spikes one step earlier; zeros before the first step.
        """
        found = {}
        for name, score in sensitivities.items():
            now = spikes[name].detach()
            events = now - before[name] if self.among == "changed" else now
            of_events = (score * events).abs() if self.by == "gsc" else score
            found[name] = of_events if self.among == "all" else torch.where(events != 0, of_events, OUTSIDE)
        return found


def moved_in_next_layer(network: Network, run: Unrolled, received: Mapping[str, Tensor]) -> list[Tensor]:
    """Return ``|d sum F_(l+1)^t / dF_l^t|`` of each neuron: line 9 of Algorithm 1, for one layer and one time step.

    Batch norm is frozen: it scales by its running statistics, as in the deployed network. States are constants, so
    nothing passes to later steps. A spike that reaches several layers moves all of them; one of the last layer moves
    the outputs.

    Args:
        network: of LIF or IF neurons.
        run: gives the potentials of neurons.
        received: the spikes of each layer as they reached the next ones, ``[n_steps, batch, ...]``.
    """
    leaves = {name: spikes.detach().requires_grad_() for name, spikes in received.items()}
    values, moved = dict(leaves), []
    with torch.enable_grad():
        for part in network.parts:
            arrived = [values[name] for name in part.sources if name in values]  # without those from the input alone
            if not arrived:
                continue
            match part.module:
                case Neurons():
                    slope = part.module.derivative(run.potentials[part.name].detach())
                    moved.append((slope * torch.stack(arrived).sum(0)).sum())
                case Gate():
                    moved.append(part.module(*arrived).sum())
                case _:
                    total = torch.stack(arrived).sum(0)
                    frozen = part.module.frozen if isinstance(part.module, Connection) else part.module
                    values[part.name] = frozen(total.flatten(0, 1)).unflatten(0, total.shape[:2])
        moved += [values[name].sum() for name in network.outputs if name in values]
        gradients = torch.autograd.grad(torch.stack(moved).sum(), list(leaves.values()), materialize_grads=True)
    return [gradient.abs() for gradient in gradients]
