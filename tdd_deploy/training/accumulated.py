"""Temporal accumulated batch norm (TAB), whose map differs from step to step.

Source: Jiang et al., "TAB: Temporal Accumulated Batch Normalization in Spiking Neural Networks", ICLR 2024.
"""

import torch
from torch import Tensor, nn


class AccumulatedNorm(nn.Module):
    """Batch norm of step t by the statistics of steps 1 to t, with a learned scale and running statistics per step.

    As in the authors' code, a step has a scale and a shift per channel, and a factor p_t^2 for all channels.

    Args:
        n_features: the number of channels, or of values without places.
        n_steps: the number of time steps.
        has_places: values are images, ``(channels, height, width)``.
    """

    def __init__(self, n_features: int, n_steps: int, *, has_places: bool) -> None:
        super().__init__()
        self.steps = nn.ModuleList(_Step(n_features, has_places=has_places) for _ in range(n_steps))
        self.factors = nn.Parameter(torch.ones(n_steps))

    def forward(self, currents: Tensor) -> Tensor:
        """Normalize the steps from the first on, ``[n_steps, batch, ...]``."""
        normed = []
        for t in range(len(currents)):
            known = currents[: t + 1] if self.training else currents[t : t + 1]  # running statistics need no others
            of_step = self.steps[t](known.flatten(0, 1))[-currents.shape[1] :]
            normed.append(self.factors[t] ** 2 * of_step)
        return torch.stack(normed)


class _Step(nn.Module):
    """The norm of one step, under the name by which several processes find norms."""

    def __init__(self, n_features: int, *, has_places: bool) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(n_features) if has_places else nn.BatchNorm1d(n_features)

    def forward(self, currents: Tensor) -> Tensor:
        normed: Tensor = self.norm(currents)
        return normed
