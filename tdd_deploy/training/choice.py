"""The choice of the neurons of highest score, in every time step of every sample."""

import numba
import numpy as np
import torch
from torch import Tensor

from .fused import compiled, is_compiled

OUTSIDE = -1.0  # the score of a neuron that cannot be chosen


def highest(score: Tensor, keep: float) -> Tensor:
    """Return 1 for the fraction ``keep`` of highest score in each ``[step, sample]``, else 0.

    Equal scores rank as ``topk`` ranks them, by memory order.
    """
    flat = score.flatten(2)
    places = flat.topk(round(keep * flat.shape[2]), dim=2).indices
    return torch.zeros_like(flat).scatter_(2, places, 1.0).view(score.shape)


def highest_of_members(score: Tensor, keep: float, chance: torch.Generator) -> Tensor:
    """Return 1 for the fraction ``keep`` of highest score among the members of each ``[step, sample]``, else 0.

    A score of 0 is never chosen, so there may be fewer. Equal scores rank by a random order.

    Args:
        score: ``[n, batch, ...]``, 0 or more; ``OUTSIDE`` for neurons that are no members.
        keep: the fraction, of the number of members.
        chance: draws the random order.
    """
    last = (0, 1, *range(3, score.ndim), 2)  # images keep their channels last in memory
    permuted = score.permute(last) if score.ndim > 3 else score
    rows = permuted.reshape(-1, score[0, 0].numel())
    order = torch.randperm(rows.shape[1], generator=chance).to(rows.device)
    mask = torch.zeros_like(rows)
    if is_compiled(rows):
        _choose_loops(rows.numpy(), order.numpy(), keep, mask.numpy())
    else:
        _choose_torch(rows, order, keep, mask)
    if score.ndim == 3:
        return mask.view(score.shape)
    return mask.view(permuted.shape).permute(0, 1, score.ndim - 1, *range(2, score.ndim - 1))


def _choose_torch(rows: Tensor, order: Tensor, keep: float, mask: Tensor) -> None:
    """Do what ``_choose`` does, by sorting."""
    wanted = (keep * (rows != OUTSIDE).sum(1).double()).round().long()
    ranked = order.argsort()
    values, places = rows[:, ranked].sort(dim=1, descending=True, stable=True)
    is_chosen = (torch.arange(rows.shape[1], device=rows.device) < wanted[:, None]) & (values > 0)
    mask.scatter_(1, ranked[places], is_chosen.to(mask.dtype))


def _choose(rows, order, keep, mask):  # type: ignore[no-untyped-def]
    """Set the mask to 1 where the score of a row is chosen; ``order`` ranks the neurons of equal score."""
    n_rows, n = rows.shape
    for row in numba.prange(n_rows):
        score, chosen = rows[row], mask[row]
        positive = np.empty(n, np.float32)
        n_members = n_positive = 0
        for k in range(n):
            value = score[k]
            if value >= 0:
                n_members += 1
            if value > 0:
                positive[n_positive] = value
                n_positive += 1
        wanted = min(round(keep * n_members), n_positive)
        if wanted == 0:
            continue
        least = np.partition(positive[:n_positive], n_positive - wanted)[n_positive - wanted]
        n_above = n_equal = 0
        for k in range(n):
            if score[k] > least:
                chosen[k] = 1
                n_above += 1
            elif score[k] == least:
                n_equal += 1
        ranks = np.empty(n_equal, np.int64)
        n_equal = 0
        for k in range(n):
            if score[k] == least:
                ranks[n_equal] = order[k]
                n_equal += 1
        last = np.partition(ranks, wanted - n_above - 1)[wanted - n_above - 1]
        for k in range(n):
            if score[k] == least and order[k] <= last:
                chosen[k] = 1


_choose_loops = compiled(_choose)
