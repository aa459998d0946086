"""Shards of a simulation, executed by Dask workers.

A shard that is lost with its worker is executed again by another. Only the job, which is sent once, numbers of samples
and counts move between processes; every worker reads the data itself.
"""

import logging
import signal
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import reduce
from itertools import islice
from operator import add
from typing import TYPE_CHECKING, Any

from tdd_deploy import memory
from tdd_deploy.errors import BadOption, MissingDependency, WorkerFailed
from tdd_deploy.options.execution import Execution

from .shards import Job, Shard

if TYPE_CHECKING:
    from distributed import Client

AHEAD = 2  # shards sent per thread of a worker: one is executed, one waits
PER_THREAD = 8  # shards per thread in a whole simulation, at least: so all end at about the same time
LARGEST = 1 << 14  # samples in a shard, or one batch: so much is executed again when a worker is lost
TIMEOUT_S = 20


def client(execution: Execution) -> "AbstractContextManager[Client]":
    """Return a client of the workers that the options name."""
    return workers(execution.workers) if execution.workers else scheduler(execution.scheduler or "")


@contextmanager
def workers(n: int) -> "Iterator[Client]":
    """Start worker processes on this machine.

    Raises:
        WorkerFailed: they cannot start; each one imports the script of the user, which must not start workers itself.
    """
    memory.reserve(memory.WORKERS, "each worker process", taken=0)  # it has the same limit
    dask = _distributed()
    with ExitStack() as stack:
        try:
            cluster = stack.enter_context(
                dask.LocalCluster(
                    n_workers=n,
                    threads_per_worker=1,
                    processes=True,
                    dashboard_address="127.0.0.1:0",
                    silence_logs=logging.CRITICAL,  # a worker that dies is replaced, which needs no page of log
                )
            )
        except RuntimeError as error:
            remedy = 'In a script, call the function in a block that begins with if __name__ == "__main__"'
            raise WorkerFailed("the worker processes", "cannot start", remedy) from error
        client = stack.enter_context(dask.Client(cluster))
        client.register_plugin(_deaf_to_ctrl_c(dask))
        yield client


def _deaf_to_ctrl_c(dask: Any) -> Any:
    """Make a plugin by which workers ignore Ctrl-C; this process ends them."""

    class Deaf(dask.WorkerPlugin):  # type: ignore[misc]
        def setup(self, worker: Any) -> None:
            signal.signal(signal.SIGINT, signal.SIG_IGN)

    return Deaf()


@contextmanager
def scheduler(address: str) -> "Iterator[Client]":
    """Use the workers of a scheduler that runs already.

    Raises:
        BadOption: none answers there.
        WorkerFailed: it has no workers.
    """
    dask = _distributed()
    try:
        client = dask.Client(address, timeout=TIMEOUT_S)
    except (OSError, ValueError) as error:
        allowed = "the address of a scheduler that answers, such as tcp://HOST:8786"
        raise BadOption("scheduler", f"{address} ({error})", allowed) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=TIMEOUT_S)
        except TimeoutError as error:
            remedy = f"Start one: dask worker {address}"
            raise WorkerFailed(f"the scheduler at {address}", "has no workers", remedy) from error
        yield client


def in_shards(job: Job, n_samples: int, client: "Client") -> Iterator[Shard]:
    """Execute the first ``n_samples`` samples of a job; yield their results, in any order.

    Raises:
        WorkerFailed: samples are lost again and again, or the scheduler is.
        TddDeployError: what a worker met.
    """
    dask = _distributed()
    n_threads = sum(client.nthreads().values())  # type: ignore[no-untyped-call]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sending large graph")  # a program is large, and is sent once
        sent = client.submit(_given, job, pure=False)  # a result, and so made again when its workers are lost
    left = (
        client.submit(_execute, sent, samples, pure=False)
        for samples in _ranges(n_samples, job.execution.batch, n_threads)
    )
    running = dask.as_completed(islice(left, AHEAD * n_threads))
    try:
        for future in running:
            yield future.result()
            for following in islice(left, 1):
                running.add(following)
    except dask.KilledWorker as error:
        found = "were lost with their worker, again and again"
        remedy = f"Lower `batch`, which is {job.execution.batch}, if memory ran out."
        raise WorkerFailed("some samples", found, remedy) from error
    except (dask.CancelledError, OSError) as error:
        raise WorkerFailed("the scheduler", "is gone, and nothing was written", "Start it again.") from error


def _given(job: Job) -> Job:
    return job


def _execute(job: Job, samples: range) -> Shard:
    return reduce(add, job.execute(samples))


def _ranges(n_samples: int, batch: int, n_threads: int) -> Iterator[range]:
    """Cut samples into shards of whole batches."""
    size = batch * max(1, min(n_samples // (n_threads * PER_THREAD), LARGEST) // batch)
    for start in range(0, n_samples, size):
        yield range(start, min(start + size, n_samples))


def _distributed() -> Any:
    try:
        import distributed
    except ImportError as error:
        raise MissingDependency("distributed", "several workers", "'tdd-deploy[scale]'") from error
    return distributed
