"""The execution of a run: its device and its processes."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, distributed

from tdd_deploy.errors import BadOption
from tdd_deploy.options.vocabulary import Device

from .distributed import ALONE, CPU, Processes

TIMEOUT = timedelta(minutes=5)  # of a process that waits for another


@dataclass(frozen=True)
class Execution:
    """The device and the processes of a run; they change its result by the order of sums alone."""

    device: torch.device = CPU
    processes: Processes = ALONE

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {"device": self.device.type, "processes": self.processes.n}

    def part(self, values: Tensor, dim: int = 0) -> Tensor:
        """Return this process's part of a batch, on its device."""
        return self.processes.part(values, dim).to(self.device)

    def autocast(self, *, enabled: bool) -> AbstractContextManager[None]:
        """Return a context in which connections may compute in bfloat16.

        Cast weights are not cached: a strategy also runs steps without gradients, whose weights no other step may use.
        """
        return torch.autocast(self.device.type, torch.bfloat16, enabled=enabled, cache_enabled=False)


@contextmanager
def executing(device: Device = "auto") -> Iterator[Execution]:
    """Join the processes of torchrun, if it started this one; choose the device.

    Raises:
        BadOption: torch has no GPU.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise BadOption("device=cuda", "needs a GPU that torch can use", remedy="Use `device=cpu` or `device=auto`.")
    place = CPU
    if device != "cpu" and torch.cuda.is_available():
        place = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    n = int(os.environ.get("WORLD_SIZE", "1"))
    if n == 1:
        yield Execution(place, Processes(device=place))
        return
    is_cuda = place.type == "cuda"
    backend = "nccl" if is_cuda else "gloo"
    distributed.init_process_group(backend, timeout=TIMEOUT, device_id=place if is_cuda else None)
    try:
        yield Execution(place, Processes(distributed.get_rank(), n, place))
    finally:
        distributed.destroy_process_group()


@contextmanager
def exact_sums() -> Iterator[None]:
    """Disable cuDNN, whose convolutions may round (TF32, Winograd), where sums must be exact."""
    with torch.backends.cudnn.flags(enabled=False):
        yield
