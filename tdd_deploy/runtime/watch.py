"""Watch the scheduler and the workers of a Dask cluster: which of them answer, and with which versions.

A worker may have another version of tdd-deploy, or none. So it is asked by a function of the standard library, which is
pickled by its name.
"""

import asyncio
import logging
import platform
from collections.abc import Awaitable, Callable, Mapping
from pkgutil import resolve_name
from typing import TYPE_CHECKING, NoReturn

from tdd_deploy.errors import WorkerFailed
from tdd_deploy.version import __version__

if TYPE_CHECKING:
    from distributed import Client

CONNECT_S = 20  # for a scheduler to answer, and then for one of its workers
LEFT_ALONE_S = 40  # for which a simulation goes on while no worker answers, or no scheduler
ANSWER_S = 5
LOOK_S = 1
ASK_AGAIN_S = 15  # a worker that has answered may stop
SHOWN = 10  # workers in a message

PYTHON, VERSION = "sys:version", "tdd_deploy.version:__version__"
Ask = Callable[[str], Awaitable[object]]

log = logging.getLogger("tdd_deploy")  # without a handler, Python prints its warnings on stderr


async def wait_for_worker(client: "Client") -> None:
    """Wait until a worker answers.

    Raises:
        WorkerFailed: none answers in time; the scheduler or a worker has another version of Python or of tdd-deploy.
    """
    address = _address(client)
    start = _now()
    await _compare_scheduler(client)
    while not await _ask_workers(client, await _running(client)):
        if _now() - start > CONNECT_S:
            listed = await client.scheduler.ncores()  # type: ignore[union-attr]
            found = "has no worker that answers and has memory left" if listed else "has no workers"
            raise WorkerFailed(f"the scheduler at {address}", found, f"Start one: dask worker {address}")
        await asyncio.sleep(LOOK_S)


async def watch(client: "Client") -> NoReturn:
    """Report workers that do not answer, until this is canceled.

    Raises:
        WorkerFailed: no worker answers any more, or the scheduler does not; a worker has another version.
    """
    ready: frozenset[str] = frozenset()
    asked = seen = _now()
    is_alone = False
    silent: frozenset[str] = frozenset()
    reported: set[str] = set()
    while True:
        try:
            running, answers = await _running(client), True
        except OSError:
            running, answers = frozenset(), False
        if _now() - asked > ASK_AGAIN_S:
            ready, asked = frozenset(), _now()
        ready = (ready & running) | await _ask_workers(client, running - ready)
        for address in sorted((silent & running) - ready - reported):
            log.warning("the worker at %s does not answer", address)
            reported.add(address)
        silent = running - ready
        if ready:
            if is_alone:
                log.warning("a worker answers again; the simulation continues")
            seen, is_alone = _now(), False
        elif _now() - seen > LEFT_ALONE_S:
            _give_up(client, answers=answers)
        elif not is_alone:
            who = "no worker is left" if answers else "the scheduler does not answer"
            log.warning("%s; the simulation ends in %g s unless this changes", who, LEFT_ALONE_S)
            is_alone = True
        await asyncio.sleep(LOOK_S)


def _give_up(client: "Client", *, answers: bool) -> NoReturn:
    address = _address(client)
    if not answers:
        found = f"has not answered for {LEFT_ALONE_S:g} s, and nothing was written"
        raise WorkerFailed(f"the scheduler at {address}", found, "Start it again.")
    found = f"have not answered for {LEFT_ALONE_S:g} s, and nothing was written"
    raise WorkerFailed(f"the workers of {address}", found, "Start them again, with more memory if it was full.")


async def compare_workers(client: "Client") -> None:
    """Compare the versions of all workers.

    Raises:
        WorkerFailed: it names every worker that has another version of Python or of tdd-deploy.
    """
    await _ask_workers(client, await _running(client))


async def _running(client: "Client") -> frozenset[str]:
    """Return the addresses of the workers that accept work; one whose memory is full accepts none.

    Raises:
        OSError: the scheduler does not answer.
    """
    async with asyncio.timeout(ANSWER_S):
        return frozenset(await client.scheduler.ncores_running())  # type: ignore[union-attr]


async def _compare_scheduler(client: "Client") -> None:
    """Compare the versions of the scheduler, which reads the job before a worker does."""
    address = _address(client)

    async def ask(name: str) -> object:
        async with asyncio.timeout(CONNECT_S):
            return await client.run_on_scheduler(resolve_name, name, asynchronous=True)  # type: ignore[no-untyped-call]

    try:
        fault = await _fault(ask)
    except OSError as error:
        raise WorkerFailed(f"the scheduler at {address}", "does not answer", "Start it again.") from error
    if fault is not None:
        raise WorkerFailed(f"the scheduler at {address}", fault, _remedy())


async def _ask_workers(client: "Client", workers: frozenset[str]) -> frozenset[str]:
    """Ask workers for their versions; return those that answer.

    Raises:
        WorkerFailed: it names every worker that has another version of Python or of tdd-deploy.
    """

    async def fault_of(address: str) -> str | None:
        async def ask(name: str) -> object:
            async with asyncio.timeout(ANSWER_S):
                answers = await client.run(resolve_name, name, workers=[address], asynchronous=True)
            return answers[address]

        return await _fault(ask)

    addresses = sorted(workers)
    found = await asyncio.gather(*map(fault_of, addresses), return_exceptions=True)
    faults = {}
    answered = set()
    for address, fault in zip(addresses, found, strict=True):
        if isinstance(fault, str):
            faults[address] = fault
        elif fault is None:
            answered.add(address)
        elif not isinstance(fault, OSError):
            raise fault
    if faults:
        raise _failure(faults)
    return frozenset(answered)


async def _fault(ask: Ask) -> str | None:
    """Return what differs from this process, or None.

    Raises:
        OSError: there is no answer.
    """
    ours = platform.python_version()
    python = str(await ask(PYTHON)).split()[0]
    if python.split(".")[:2] != ours.split(".")[:2]:
        return f"has Python {python}, not {ours}"
    try:
        version = await ask(VERSION)
    except (ImportError, AttributeError):
        return f"has no tdd-deploy in its Python {python}"
    return None if version == __version__ else f"has tdd-deploy {version}, not {__version__}"


def _failure(faults: Mapping[str, str]) -> WorkerFailed:
    """Make the error for workers that cannot execute the job."""
    if len(faults) == 1:
        [(address, fault)] = faults.items()
        return WorkerFailed(f"the worker at {address}", fault, _remedy())
    lines = [f"{address} {fault}" for address, fault in faults.items()]
    more = [f"and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    return WorkerFailed(f"{len(lines)} workers", "cannot execute the job", _remedy(), [*lines[:SHOWN], *more])


def _remedy() -> str:
    python = ".".join(platform.python_version_tuple()[:2])
    return f"Install tdd-deploy {__version__} there, with Python {python}."


def _address(client: "Client") -> str:
    return str(client.scheduler.address)  # type: ignore[union-attr]


def _now() -> float:
    return asyncio.get_running_loop().time()
