"""Shares of a simulation handed to Dask workers, and taken back as they are done.

A share that is lost with its worker is executed again by another. Only the job, which is sent once, numbers of samples
and counts move between processes; every worker reads the data itself.
"""

import logging
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import reduce
from itertools import islice
from operator import add
from typing import TYPE_CHECKING, Any

from tdd_deploy.errors import BadOption, MissingDependency, WorkerFailed

from .shards import Job, Share

if TYPE_CHECKING:
    from distributed import Client

AHEAD = 2  # shares sent per thread of a worker: one is executed, one waits
PER_THREAD = 8  # shares per thread in a whole simulation, at least: so all end at about the same time
LARGEST = 1 << 14  # samples in a share, or one batch: so much is executed again when a worker is lost
TIMEOUT_S = 20


@contextmanager
def workers(n: int) -> "Iterator[Client]":
    """Start worker processes on this machine."""
    dask = _distributed()
    with (
        dask.LocalCluster(
            n_workers=n,
            threads_per_worker=1,
            processes=True,
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,  # a worker that dies is made good, and needs no page of log
        ) as cluster,
        dask.Client(cluster) as client,
    ):
        client.register_plugin(_deaf_to_ctrl_c(dask))
        yield client


def _deaf_to_ctrl_c(dask: Any) -> Any:
    """Return what lets workers leave Ctrl-C to this process, which ends them."""

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
        allowed = "the address of a scheduler that answers, as dask scheduler prints it: tcp://HOST:8786"
        raise BadOption("--scheduler", f"{address} ({error})", allowed) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=TIMEOUT_S)
        except TimeoutError as error:
            raise WorkerFailed(f"the scheduler at {address}", "has no workers", f"dask worker {address}") from error
        yield client


def in_shares(job: Job, n_samples: int, client: "Client") -> Iterator[Share]:
    """Execute the first ``n_samples`` samples of a job; yield what they gave, in any order.

    Raises:
        WorkerFailed: samples are lost again and again, or the scheduler is.
        TddDeployError: what a worker met.
    """
    dask = _distributed()
    n_threads = sum(client.nthreads().values())  # type: ignore[no-untyped-call]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sending large graph")  # a program is large, and is sent once
        sent = client.submit(_given, job, pure=False)  # a result, and so made again when its workers are lost
    left = (client.submit(_execute, sent, samples, pure=False) for samples in _ranges(n_samples, job.batch, n_threads))
    running = dask.as_completed(islice(left, AHEAD * n_threads))
    try:
        for future in running:
            yield future.result()
            for following in islice(left, 1):
                running.add(following)
    except dask.KilledWorker as error:
        found = "were lost with their worker, again and again"
        raise WorkerFailed("some samples", found, f"is there memory for --batch {job.batch}?") from error
    except (dask.CancelledError, OSError) as error:
        raise WorkerFailed("the scheduler", "is gone", "start it again; nothing was written") from error


def _given(job: Job) -> Job:
    return job


def _execute(job: Job, samples: range) -> Share:
    return reduce(add, job.execute(samples))


def _ranges(n_samples: int, batch: int, n_threads: int) -> Iterator[range]:
    """Cut samples into shares of whole batches."""
    size = batch * max(1, min(n_samples // (n_threads * PER_THREAD), LARGEST) // batch)
    for start in range(0, n_samples, size):
        yield range(start, min(start + size, n_samples))


def _distributed() -> Any:
    try:
        import distributed
    except ImportError as error:
        raise MissingDependency("distributed", "several workers", "'tdd-deploy[scale]'") from error
    return distributed
