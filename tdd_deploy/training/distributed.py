"""Several processes, started by torchrun, that train one network together: each learns from its part of a batch.

Gradients are averaged after all backward passes, of which a strategy may have many; batch norm sees the whole batch.
So a run has the result of a single process, except for the order of sums.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed, nn

from tdd_deploy.errors import WorkerFailed

CPU = torch.device("cpu")
REMEDY = "See its output; `resume` continues from the last finished epoch"


@dataclass(frozen=True)
class Processes:
    """The processes of a run, as one of them sees them; without arguments, a single process.

    Args:
        rank: the number of this process; the first one, 0, writes the files.
        n: the number of processes.
        device: the device of the tensors that they exchange.
    """

    rank: int = 0
    n: int = 1
    device: torch.device = CPU

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and reports."""
        return self.rank == 0

    def part(self, values: Tensor, dim: int = 0) -> Tensor:
        """Return this process's part of a batch, whose size is a multiple of their number."""
        return values.chunk(self.n, dim)[self.rank] if self.n > 1 else values

    def sums(self, values: Sequence[float]) -> list[float]:
        """Return each number's sum over all processes."""
        if self.n == 1:
            return list(values)
        return [float(x) for x in self.summed(torch.tensor(values, dtype=torch.float64, device=self.device))]

    def any(self, flag: bool) -> bool:
        """Return whether a flag is set in any process; all of them receive the same answer."""
        return flag if self.n == 1 else self.sums([float(flag)])[0] > 0

    def wait(self) -> None:
        """Wait until all processes have reached this point."""
        self.any(False)

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Set the gradient of every parameter to its mean over all processes."""
        gradients = [each.grad for each in parameters if each.grad is not None]
        if self.n == 1 or not gradients:
            return
        summed = self.summed(torch.cat([gradient.flatten() for gradient in gradients])) / self.n
        means = torch.split(summed, [each.numel() for each in gradients])
        for gradient, mean in zip(gradients, means, strict=True):
            gradient.copy_(mean.view_as(gradient))

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean over all processes; gradients flow through it to all of them."""
        mean: Tensor = _Mean.apply(values, self)  # type: ignore[no-untyped-call]
        return mean

    def summed(self, values: Tensor) -> Tensor:
        """Return the sum over all processes, without gradients.

        Raises:
            WorkerFailed: another process has ended, or has not reached this point in time.
        """
        total = values.detach().clone(memory_format=torch.contiguous_format)
        try:
            distributed.all_reduce(total)
        except RuntimeError as error:
            raise WorkerFailed(
                f"process {self.rank} of {self.n}", "lost another one, which has ended or does not answer", REMEDY
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
    """Let the batch norms of a network use the statistics of all processes."""
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
    """Batch norm with the statistics of the whole batch, of which all processes have parts of one size."""

    processes: Processes

    def forward(self: Any, x: Tensor) -> Tensor:
        if not self.training:
            normed: Tensor = super().forward(x)  # type: ignore[misc]
            return normed
        values, dims = x.float(), [dim for dim in range(x.ndim) if dim != 1]
        shape = [1, -1, *[1] * (x.ndim - 2)]
        mean = self.processes.mean(values.mean(dims))
        centered = values - mean.view(shape)
        variance = self.processes.mean(centered.square().mean(dims))
        n = self.processes.n * x.numel() / x.shape[1]
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (n / (n - 1)), self.momentum)
            self.num_batches_tracked += 1
        scale = self.weight * torch.rsqrt(variance + self.eps)
        scaled: Tensor = centered * scale.view(shape) + self.bias.view(shape)
        return scaled.to(x.dtype)


class _BatchNorm1d(_OfAll, nn.BatchNorm1d):
    pass


class _BatchNorm2d(_OfAll, nn.BatchNorm2d):
    pass
