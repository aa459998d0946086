"""Where a run is computed: on which device, and by how many processes."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, distributed

from tdd_deploy.errors import BadOption

from .distributed import ALONE, CPU, Processes

DEVICES = ("auto", "cpu", "cuda")
TIMEOUT = timedelta(minutes=5)  # for which a process waits for another


@dataclass(frozen=True)
class Execution:
    """Where a run is computed; another one gives the same network, but for the order of sums."""

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

        Casted weights are not kept: a strategy runs steps without gradients too, whose weights must serve no others.
        """
        return torch.autocast(self.device.type, torch.bfloat16, enabled=enabled, cache_enabled=False)


@contextmanager
def executing(device: str = "auto") -> Iterator[Execution]:
    """Join the processes that torchrun started, if it did, on a device of one's own.

    Raises:
        BadOption: no such device.
    """
    if device not in DEVICES:
        raise BadOption("--device", repr(device), " or ".join(DEVICES))
    if device == "cuda" and not torch.cuda.is_available():
        raise BadOption("--device", "cuda, and torch finds none", "cpu or auto")
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
    """Keep cuDNN, whose convolutions may round (TF32, Winograd), from what must be exact."""
    with torch.backends.cudnn.flags(enabled=False):
        yield
