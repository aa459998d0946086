"""Several processes that train one network together: each learns from its part of a batch, as torchrun starts them.

Gradients are averaged behind the backward passes, of which a strategy may have many; batch norm sees the whole batch.
So a run gives what one process would give, but for the order of sums.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed, nn

from tdd_deploy.errors import WorkerFailed

CPU = torch.device("cpu")
REMEDY = "see what it said; --resume goes on from the last finished epoch"


@dataclass(frozen=True)
class Processes:
    """The processes of a run, and which of them this is; without arguments, one alone.

    Args:
        rank: of this one; the first writes the files.
        n: how many.
        device: where tensors must lie that they exchange.
    """

    rank: int = 0
    n: int = 1
    device: torch.device = CPU

    @property
    def is_first(self) -> bool:
        """Whether this process writes and speaks."""
        return self.rank == 0

    def part(self, values: Tensor, dim: int = 0) -> Tensor:
        """Return this process's part of a batch that all can share evenly."""
        return values.chunk(self.n, dim)[self.rank] if self.n > 1 else values

    def sums(self, values: Sequence[float]) -> list[float]:
        """Return each number's sum over all processes."""
        if self.n == 1:
            return list(values)
        return [float(x) for x in self.summed(torch.tensor(values, dtype=torch.float64, device=self.device))]

    def any(self, flag: bool) -> bool:
        """Say whether a flag is set in any process, in all of them alike."""
        return flag if self.n == 1 else self.sums([float(flag)])[0] > 0

    def wait(self) -> None:
        """Go on when all processes have come here."""
        self.any(False)

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Give every parameter the mean of all processes' gradients."""
        gradients = [each.grad for each in parameters if each.grad is not None]
        if self.n == 1 or not gradients:
            return
        summed = self.summed(torch.cat([gradient.flatten() for gradient in gradients])) / self.n
        means = torch.split(summed, [each.numel() for each in gradients])
        for gradient, mean in zip(gradients, means, strict=True):
            gradient.copy_(mean.view_as(gradient))

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean over all processes, through which gradients flow to all."""
        mean: Tensor = _Mean.apply(values, self)  # type: ignore[no-untyped-call]
        return mean

    def summed(self, values: Tensor) -> Tensor:
        """Return the sum over all processes, without gradients.

        Raises:
            WorkerFailed: another process is gone, or has not come here in time.
        """
        total = values.detach().clone(memory_format=torch.contiguous_format)
        try:
            distributed.all_reduce(total)
        except RuntimeError as error:
            raise WorkerFailed(
                f"process {self.rank} of {self.n}", "another one has ended or is not answering", REMEDY
            ) from error
        return total


ALONE = Processes()


class _Mean(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, processes: Processes) -> Tensor:
        ctx.processes = processes
        return processes.summed(values) / processes.n

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return ctx.processes.summed(grads[0]) / ctx.processes.n, None


def norms_of_all(network: nn.Module, processes: Processes) -> None:
    """Let the batch norms of a network see the batches of all processes."""
    if processes.n == 1:
        return
    for module in list(network.modules()):
        norm = getattr(module, "norm", None)
        if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
            kind = _BatchNorm2d if isinstance(norm, nn.BatchNorm2d) else _BatchNorm1d
            module.norm = kind(norm.num_features).to(norm.weight)
            module.norm.load_state_dict(norm.state_dict())
            module.norm.processes = processes


class _OfAll:
    """Batch norm with the statistics of all processes' parts of a batch, which are of one size."""

    processes: Processes

    def forward(self: Any, x: Tensor) -> Tensor:
        if not self.training:
            normed: Tensor = super().forward(x)  # type: ignore[misc]
            return normed
        values, dims = x.float(), [dim for dim in range(x.ndim) if dim != 1]
        shape = [1, -1, *[1] * (x.ndim - 2)]
        mean = self.processes.mean(values.mean(dims))
        centred = values - mean.view(shape)
        variance = self.processes.mean(centred.square().mean(dims))
        n = self.processes.n * x.numel() / x.shape[1]
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (n / (n - 1)), self.momentum)
            self.num_batches_tracked += 1
        scale = self.weight * torch.rsqrt(variance + self.eps)
        scaled: Tensor = centred * scale.view(shape) + self.bias.view(shape)
        return scaled.to(x.dtype)


class _BatchNorm1d(_OfAll, nn.BatchNorm1d):
    pass


class _BatchNorm2d(_OfAll, nn.BatchNorm2d):
    pass
