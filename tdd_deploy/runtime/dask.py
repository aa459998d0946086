"""Shards of a simulation, executed by Dask workers.

A shard that is lost with its worker is executed again by another. Only the job, which is sent once, numbers of samples
and counts move between processes; every worker reads the data itself.
"""

import asyncio
import logging
import signal
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from functools import partial, reduce
from itertools import islice
from operator import add
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from tdd_deploy import memory
from tdd_deploy.errors import BadOption, MissingDependency, WorkerFailed
from tdd_deploy.options.execution import Execution

from .shards import Job, Shard
from .watch import CONNECT_S, compare_workers, wait_for_worker, watch

if TYPE_CHECKING:
    from distributed import Client

AHEAD = 2  # shards sent per thread of a worker: one is executed, one waits
PER_THREAD = 8  # shards per thread in a whole simulation, at least: so all end at about the same time
LARGEST = 1 << 14  # samples in a shard, or one batch: at most this is executed again when a worker is lost
START_S = 120  # for a worker process of this machine to start; it may import a script that imports much


def client(execution: Execution) -> "AbstractContextManager[Client]":
    """Return a client of the workers that the options name."""
    return workers(execution.workers) if execution.workers else scheduler(execution.scheduler or "")


@contextmanager
def workers(n: int) -> "Iterator[Client]":
    """Start worker processes on this machine; only processes with a certificate, made in memory, can give them work.

    Raises:
        MissingDependency: the package that makes the certificate.
        WorkerFailed: they cannot start; each one imports the script of the user, which must not start workers itself.
    """
    memory.reserve(memory.WORKERS, "each worker process", taken=0)  # it has the same limit
    dask = _distributed()
    try:
        security = dask.Security.temporary()
    except ImportError as error:
        raise MissingDependency("cryptography", "several workers", "'tdd-deploy[scale]'") from error
    options = {
        "n_workers": n,
        "threads_per_worker": 1,
        "processes": True,
        "protocol": "tls",
        "security": security,
        "dashboard_address": "127.0.0.1:0",
        "death_timeout": START_S,
        "silence_logs": logging.CRITICAL,  # a worker that dies is replaced, which needs no page of log
    }
    with ExitStack() as stack:
        try:
            cluster = stack.enter_context(_make_whole(partial(dask.LocalCluster, **options)))
            client = stack.enter_context(dask.Client(cluster))
            client.register_plugin(_ignoring_ctrl_c(dask))
        except (RuntimeError, OSError) as error:
            remedy = 'Try again. In a script, call the function in a block that begins with if __name__ == "__main__"'
            raise WorkerFailed("the worker processes", "ended while they started", remedy) from error
        yield client


def _make_whole(make: Callable[[], Any]) -> Any:
    """Make a cluster; an interruption waits until it is made, since half of one would leave processes behind."""
    with ThreadPoolExecutor(1) as pool:
        made = pool.submit(make)
        try:
            return made.result()
        except KeyboardInterrupt:
            with suppress(RuntimeError, OSError):
                made.result().close()
            raise


def _ignoring_ctrl_c(dask: Any) -> Any:
    """Make a plugin by which workers ignore Ctrl-C and the end of a terminal; this process ends them."""

    class IgnoreCtrlC(dask.WorkerPlugin):  # type: ignore[misc]
        def setup(self, worker: Any) -> None:
            for number in (signal.SIGINT, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)

    return IgnoreCtrlC()


@contextmanager
def scheduler(address: str) -> "Iterator[Client]":
    """Use the workers of a scheduler that runs already.

    Raises:
        BadOption: none answers there.
        WorkerFailed: it has no workers, or it or a worker has another version.
    """
    dask = _distributed()
    with ExitStack() as stack:
        stack.enter_context(dask.utils.silence_logging_cmgr(logging.CRITICAL))  # this module reports what is wrong
        _reach(address)
        try:
            with warnings.catch_warnings():
                # Every package is compared there; the versions that matter here are compared by wait_for_worker().
                warnings.simplefilter("ignore", dask.versions.VersionMismatchWarning)
                client = stack.enter_context(dask.Client(address, timeout=CONNECT_S))
            client.sync(wait_for_worker, client)
        except OSError as error:
            raise WorkerFailed(f"the scheduler at {address}", "does not answer any more", "Start it again.") from error
        yield client


def _reach(address: str) -> None:
    """Ask a scheduler for its identity; a client would wait without end for another kind of listener.

    Raises:
        BadOption: no scheduler answers there.
    """
    dask = _distributed()

    async def ask() -> None:
        arguments = dask.Security().get_connection_args("client")
        async with (
            asyncio.timeout(CONNECT_S + 1),  # after the limit inside, whose error names the reason
            dask.rpc(address, connection_args=arguments, timeout=CONNECT_S) as found,
        ):
            await found.identity()

    remedy = ""
    if address.startswith("tls:"):
        files = [f"DASK_DISTRIBUTED__COMM__TLS__{name}" for name in ("CA_FILE", "CLIENT__CERT", "CLIENT__KEY")]
        remedy = f"Name the files of a certificate in {', '.join(files)}."
        if not dask.Security().tls_client_cert:
            raise BadOption("scheduler", f"{address} needs a certificate", remedy=remedy)
    try:
        dask.utils.LoopRunner(asynchronous=False).run_sync(ask)
    except Exception as error:  # whatever listens there may send anything
        allowed = "the address of a scheduler that answers, such as tcp://HOST:8786"
        raise BadOption("scheduler", f"{address}: {_reason(error)}", allowed, remedy) from error


def _reason(error: BaseException) -> str:
    """Describe in a few words why no scheduler was reached."""
    while isinstance(error.__cause__, Exception):
        error = error.__cause__
    if isinstance(error, TimeoutError):
        return f"no answer within {CONNECT_S:g} s"
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return str(error) if isinstance(error, ValueError) else "no Dask scheduler"


def in_shards(job: Job, n_samples: int, client: "Client") -> Iterator[Shard]:
    """Execute the first ``n_samples`` samples of a job; yield their results, in any order.

    Raises:
        WorkerFailed: samples are lost again and again, or the scheduler or all workers are lost.
        TddDeployError: any error of a worker.
    """
    n_ahead = AHEAD * sum(client.nthreads().values())  # type: ignore[no-untyped-call]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sending large graph")  # a program is large, and is sent once
        sent = client.submit(_given, job, pure=False)  # a task, which Dask repeats when its workers are lost
    left = (
        client.submit(_execute, sent, samples, pure=False)
        for samples in _ranges(n_samples, job.execution.batch, n_ahead // AHEAD)
    )
    ended: SimpleQueue[Any] = SimpleQueue()  # futures of shards, and the watch if it ends with an error
    watching = asyncio.run_coroutine_threadsafe(watch(client), client.loop.asyncio_loop)  # type: ignore[union-attr]
    watching.add_done_callback(ended.put)
    n_running = 0
    try:
        while True:
            for future in islice(left, n_ahead - n_running):
                future.add_done_callback(ended.put)  # type: ignore[no-untyped-call]
                n_running += 1
            if not n_running:
                return
            future = ended.get()
            try:
                shard = _result(future, client, job.execution.batch)
            except TimeoutError:  # a worker that has stopped holds the result; the watch decides
                ended.put(future)
            else:
                n_running -= 1
                yield shard
    finally:
        watching.cancel()


def _result(future: Any, client: "Client", batch: int) -> Shard:
    """Return the result of a shard, or raise a sentence about its failure."""
    dask = _distributed()
    lower = f"Lower `batch`, which is {batch}, if memory ran out."
    try:
        result: Shard = future.result(timeout=CONNECT_S)
    except dask.KilledWorker as error:
        with suppress(OSError):  # a worker without tdd-deploy is lost like one without memory
            client.sync(compare_workers, client)  # type: ignore[no-untyped-call]
        raise WorkerFailed("some samples", "were lost with their worker, again and again", lower) from error
    except MemoryError as error:
        raise WorkerFailed("a worker", "has too little memory", lower) from error
    except (dask.CancelledError, OSError) as error:
        if isinstance(error, OSError) and future.status == "error":
            raise WorkerFailed("a worker", f"failed: {error}") from error
        if isinstance(error, TimeoutError):
            raise
        raise WorkerFailed("the scheduler", "is gone, and nothing was written", "Start it again.") from error
    return result


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
