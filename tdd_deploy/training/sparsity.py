"""Prune a network while it learns: more and more of its smallest weights become zero, and the others learn on.

The fraction of zeros follows the cubic schedule of Zhu and Gupta, "To prune, or not to prune", arXiv:1710.01878, 2017.
It reaches its end while the others still have batches to settle in. One threshold divides the weights of all
connections, as they are learned, before batch norm is folded in. At the same sparsity, a threshold per connection was
less accurate, since it takes too much from small connections.
"""

import math

import torch
from torch import Tensor, nn

from .network import Network

START, END = 0.2, 0.6  # of a run's batches: no weight is removed before the first, and none after the last
UPDATES = 100  # of the masks in a run, at most


def sparsity_after(done: int, total: int, *, sparsity: float) -> float:
    """Return the fraction of weights that is zero after ``done`` of ``total`` batches."""
    gone = (done / total - START) / (END - START)
    return sparsity * (1 - (1 - min(1.0, max(0.0, gone))) ** 3)


class Masks(nn.Module):
    """Masks of the weights that are left, by connection; a checkpoint holds them.

    Args:
        network: the network that learns.
        sparsity: the fraction of all weights that is zero in the end.
        total: the number of batches of the run.
    """

    def __init__(self, network: Network, *, sparsity: float, total: int) -> None:
        super().__init__()
        self._sparsity = sparsity
        self._total = total
        for name, connection in network.connections.items():
            self.register_buffer(name, torch.ones_like(connection.weights.weight, dtype=torch.bool))

    @torch.no_grad()
    def update(self, network: Network, done: int) -> None:
        """Remove the smallest of the weights that are left, as many as the schedule wants after ``done`` batches.

        Each connection keeps its largest weight, so that none falls silent.
        """
        last = math.ceil(END * self._total)
        if done != last and (done > last or done % max(1, self._total // UPDATES)):
            return
        connections = network.connections
        sizes = [(each.weights.weight.abs() * self._mask(name)).flatten() for name, each in connections.items()]
        for size in sizes:
            size[size.argmax()] = math.inf
        together = torch.cat(sizes)
        n_left = round((1 - sparsity_after(done, self._total, sparsity=self._sparsity)) * len(together))
        left = torch.zeros_like(together, dtype=torch.bool)
        left[together.argsort(descending=True, stable=True)[: max(n_left, len(sizes))]] = True
        for name, part in zip(connections, torch.split(left, [len(size) for size in sizes]), strict=True):
            self._mask(name).copy_(part.view(self._mask(name).shape))

    @torch.no_grad()
    def apply_to(self, network: Network) -> None:
        """Set the removed weights of a network to zero."""
        for name, connection in network.connections.items():
            connection.weights.weight.mul_(self._mask(name))

    def _mask(self, name: str) -> Tensor:
        return self.get_buffer(name)
