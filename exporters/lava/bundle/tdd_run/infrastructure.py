"""Lava's processes and channels, with two differences: memory without names, and a guard that knows every process."""

import mmap
from collections.abc import Callable
from typing import Any

from lava.magma.runtime.message_infrastructure.factory import MessageInfrastructureFactory
from lava.magma.runtime.message_infrastructure.multiprocessing import MultiProcessing

from .guard import Guard


def put_lava_under(guard: Guard) -> None:
    """Guard every network that Lava starts from now on."""
    MessageInfrastructureFactory.create = staticmethod(lambda factory_type: Infrastructure(guard))


class Infrastructure(MultiProcessing):
    """The infrastructure with which Lava's Runtime starts its processes."""

    def __init__(self, guard: Guard) -> None:
        super().__init__()
        self._guard = guard

    def start(self) -> None:
        """Lava starts a process here that keeps names of shared memory; there are none."""
        self._smm = NamelessMemory()

    @property
    def actors(self) -> tuple:
        """None: after an error Lava would wait for them all, also for those that wait for the one that died."""
        return ()

    def build_actor(self, target_fn: Callable, builder: Any, exception_q: Any = None) -> Any:
        """Start a process, of a model or of the service that leads them."""
        process = super().build_actor(target_fn, builder, exception_q)
        model = getattr(builder, "proc_model", type(builder)).__name__
        parameters = getattr(builder, "proc_params", None)
        name = parameters.get("name") if parameters is not None else None
        self._guard.watch(process, f"{model} of {name}" if name else model)
        return process


class NamelessMemory:
    """Gives memory that only forks can share, and that ends with the last process that uses it."""

    def create_shared_memory(self, size: int) -> "NamelessSegment":
        """Return zeros."""
        return NamelessSegment(size)

    def shutdown(self) -> None:
        """Do nothing: there is no name to remove."""


class NamelessSegment:
    """``size`` bytes."""

    def __init__(self, size: int) -> None:
        self.buf = memoryview(mmap.mmap(-1, size))
