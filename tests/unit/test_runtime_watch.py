"""Schedulers and workers that do not answer, have other versions, or end."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import reduce
from operator import add
from pathlib import Path

import dask
import distributed
import numpy as np
import psutil
import pytest

from tdd_deploy.errors import BadOption, MissingDependency, WorkerFailed
from tdd_deploy.runtime import dask as cluster
from tdd_deploy.runtime import watch
from tests.unit.test_runtime_shards import N, assert_same, free_port, job, samples, whole
from tests.waiting import wait_until

__all__ = ["samples"]  # a fixture

VERSION = watch.__version__


@contextmanager
def threads(n: int = 1, **given: object) -> Iterator[distributed.LocalCluster]:
    """A cluster of threads, which starts and ends at once."""
    options = {"n_workers": n, "threads_per_worker": 1, "processes": False, "dashboard_address": "127.0.0.1:0"}
    with distributed.LocalCluster(**options, **{"protocol": "tcp", "host": "127.0.0.1", **given}) as found:
        yield found


# --- what answers at an address ----------------------------------------------------------------------------------


@contextmanager
def listener(answer: bytes) -> Iterator[str]:
    """Something that accepts every connection and sends the same bytes."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held = []

        def serve() -> None:
            with suppress(OSError):
                while True:
                    held.append(server.accept()[0])
                    held[-1].sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
        for connection in held:
            connection.close()


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", bytes(64), b"\x08" + bytes(7) + b"8bytes.."]
)
def test_a_listener_that_is_no_scheduler_is_reported(answer: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "CONNECT_S", 0.5)
    reason = r"no answer within 0\.5 s" if not answer else "no "
    expected = rf"^scheduler must be the address of a scheduler that answers, .* \(got tcp://127\S+: {reason}"
    with listener(answer) as address, pytest.raises(BadOption, match=expected), cluster.scheduler(address):
        pytest.fail("the body must not run")


@pytest.mark.parametrize("protocol", ["ucx", "foo", "http", "inproc"])
def test_another_protocol_is_reported(protocol: str) -> None:
    expected = rf"^scheduler must be .* \(got {protocol}://127\.0\.0\.1:8786: "
    with pytest.raises(BadOption, match=expected), cluster.scheduler(f"{protocol}://127.0.0.1:8786"):
        pytest.fail("the body must not run")


def test_the_first_reason_is_named() -> None:
    error = OSError("Timed out trying to connect")
    error.__cause__ = ConnectionRefusedError(111, "Connection refused")
    assert cluster._reason(error) == "Connection refused"
    assert cluster._reason(MemoryError("3 EiB")) == "no Dask scheduler"


# --- certificates ------------------------------------------------------------------------------------------------


@pytest.fixture
def certificate(tmp_path: Path) -> dict[str, str]:
    """Dask's settings for a certificate that signs itself."""
    security = distributed.Security.temporary()
    (tmp_path / "cert.pem").write_text(security.tls_client_cert)
    (tmp_path / "key.pem").write_text(security.tls_client_key)
    cert, key = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")
    settings = {f"distributed.comm.tls.{who}.cert": cert for who in ("client", "scheduler", "worker")}
    settings |= {f"distributed.comm.tls.{who}.key": key for who in ("client", "scheduler", "worker")}
    return settings | {"distributed.comm.tls.ca-file": cert}


def test_a_scheduler_with_a_certificate_of_dask_settings(samples: Path, certificate: dict[str, str]) -> None:
    given = job(samples, batch=64)
    with dask.config.set(certificate), threads(security=distributed.Security(), protocol="tls") as found:
        with cluster.scheduler(found.scheduler_address) as client:
            assert found.scheduler_address.startswith("tls://")
            assert_same(reduce(add, cluster.in_shards(given, N, client)), whole(given))
        with (
            dask.config.set({"distributed.comm.tls.client.cert": None}),
            pytest.raises(BadOption, match=r"^scheduler tls://\S+ needs a certificate\. Name .*TLS__CLIENT__CERT"),
            cluster.scheduler(found.scheduler_address),
        ):
            pytest.fail("the body must not run")
        with (
            dask.config.set({"distributed.comm.tls.client.cert": "nowhere.pem"}),
            pytest.raises(BadOption, match=r"No such file or directory\). Name the files .*TLS__CLIENT__CERT"),
            cluster.scheduler(found.scheduler_address),
        ):
            pytest.fail("the body must not run")


def test_processes_without_the_certificate_cannot_use_the_workers_of_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cluster, "CONNECT_S", 2)
    with cluster.workers(1) as client:
        address = client.scheduler.address
        assert address.startswith("tls://127.0.0.1:")
        for other in (address, address.replace("tls:", "tcp:")):
            with pytest.raises(BadOption), cluster.scheduler(other):
                pytest.fail("the body must not run")


def test_workers_without_the_package_for_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(MissingDependency, match=r"cryptography.*tdd-deploy\[scale\]"), cluster.workers(1):
        pytest.fail("the body must not run")


# --- versions ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("python", "version", "fault"),
    [
        ("3.8.1 (main)", VERSION, r"has Python 3\.8\.1, not 3\."),
        (sys.version, "0.0.1", rf"has tdd-deploy 0\.0\.1, not {VERSION}"),
        (sys.version, ModuleNotFoundError("tdd_deploy"), r"has no tdd-deploy in its Python 3\."),
        (sys.version, VERSION, None),
    ],
)
def test_versions_are_compared(python: str, version: object, fault: str | None) -> None:
    async def ask(name: str) -> object:
        answer = {watch.PYTHON: python, watch.VERSION: version}[name]
        if isinstance(answer, Exception):
            raise answer
        return answer

    found = asyncio.run(watch._fault(ask))
    if fault is None:
        assert found is None
    else:
        assert found is not None
        assert re.match(fault, found)


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        process.kill()
        process.wait()


def test_every_worker_without_this_version_is_named(
    tmp_path: Path, processes: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "ANSWER_S", 60)  # else a worker on a busy computer may be left out
    address = f"tcp://127.0.0.1:{free_port()}"
    dask_ = [sys.executable, "-m", "distributed.cli"]
    command = [
        f"{dask_[2]}.dask_scheduler",
        "--host",
        "127.0.0.1",
        "--port",
        address.rpartition(":")[2],
        "--no-dashboard",
    ]
    processes.append(subprocess.Popen([*dask_[:2], *command], stderr=subprocess.DEVNULL))
    # An editable installation finds modules that a package on PYTHONPATH lacks, so one is there that fails.
    versions = {"without": "raise ModuleNotFoundError", "other": "__version__ = '0.0.1'"}
    for name, version in versions.items():
        package = tmp_path / name / "tdd_deploy"
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "version.py").write_text(version)
        command = [f"{dask_[2]}.dask_worker", address, "--no-nanny", "--nthreads", "1", "--no-dashboard"]
        processes.append(
            subprocess.Popen(
                [*dask_[:2], *command, "--local-directory", str(tmp_path)],
                stderr=subprocess.DEVNULL,
                cwd=package.parent,
                env={**os.environ, "PYTHONPATH": str(package.parent)},
            )
        )
    with distributed.Client(address) as client:
        client.wait_for_workers(2, timeout=60)
    with pytest.raises(WorkerFailed) as refused, cluster.scheduler(address):
        pytest.fail("the body must not run")
    message = str(refused.value)
    assert message.startswith(f"2 workers cannot execute the job. Install tdd-deploy {VERSION} there, with Python 3.")
    assert "has no tdd-deploy in its Python 3." in message
    assert f"has tdd-deploy 0.0.1, not {VERSION}" in message


def test_a_worker_of_another_version_that_joins_later_is_named(samples: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "LOOK_S", 0.01)
    with threads() as found, cluster.scheduler(found.scheduler_address) as client:
        first = set(found.scheduler.workers)
        running = cluster.in_shards(job(samples, batch=1), N, client)
        next(running)
        ask_all = watch._ask_workers

        async def ask(client: object, workers: frozenset[str]) -> frozenset[str]:
            if workers - first:
                raise watch._failure(dict.fromkeys(workers - first, "has tdd-deploy 0.0.1"))
            return await ask_all(client, workers)

        monkeypatch.setattr(watch, "_ask_workers", ask)
        found.scale(2)
        wait_until(lambda: len(found.scheduler.workers) == 2)
        with pytest.raises(WorkerFailed, match=r"the worker at tcp://\S+ has tdd-deploy 0\.0\.1"):
            list(running)


# --- nobody is left ----------------------------------------------------------------------------------------------


def scaled(found: distributed.LocalCluster, n: int) -> None:
    found.scale(n)
    wait_until(lambda: len(found.scheduler.workers) == n)


def test_a_simulation_ends_a_while_after_its_last_worker(
    samples: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(watch, "LEFT_ALONE_S", 1)
    monkeypatch.setattr(watch, "LOOK_S", 0.05)
    with threads() as found, cluster.scheduler(found.scheduler_address) as client:
        running = cluster.in_shards(job(samples, batch=1), N, client)
        next(running)
        scaled(found, 0)
        with pytest.raises(WorkerFailed, match=r"the workers of tcp://\S+ have not answered for 1 s"):
            list(running)
    assert "no worker is left; the simulation ends in 1 s unless this changes" in caplog.messages


def test_a_simulation_continues_with_the_next_worker(
    samples: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(watch, "LOOK_S", 0.05)
    given = job(samples, batch=1)
    with threads() as found, cluster.scheduler(found.scheduler_address) as client:
        running = cluster.in_shards(given, N, client)
        first = next(running)
        scaled(found, 0)
        wait_until(lambda: "no worker is left" in caplog.text)
        scaled(found, 1)
        assert_same(reduce(add, [first, *running]), whole(given))
    assert "a worker answers again; the simulation continues" in caplog.messages


def test_a_scheduler_that_does_not_answer_any_more(
    samples: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def silent(client: object) -> frozenset[str]:
        raise TimeoutError

    monkeypatch.setattr(watch, "LEFT_ALONE_S", 1)
    monkeypatch.setattr(watch, "LOOK_S", 0.05)
    with threads() as found, cluster.scheduler(found.scheduler_address) as client:
        monkeypatch.setattr(watch, "_running", silent)
        monkeypatch.setattr(cluster, "_execute", lambda job, samples: time.sleep(2))
        with pytest.raises(WorkerFailed, match=r"the scheduler at tcp://\S+ has not answered for 1 s"):
            list(cluster.in_shards(job(samples), N, client))
    assert "the scheduler does not answer; the simulation ends in 1 s unless this changes" in caplog.messages


def test_a_worker_that_stops_is_reported(
    samples: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def asked(client: object, workers: frozenset[str]) -> frozenset[str]:
        return workers - {stopped}

    monkeypatch.setattr(watch, "_ask_workers", asked)
    monkeypatch.setattr(watch, "LOOK_S", 0.01)
    with ExitStack() as stack:
        found = stack.enter_context(threads(2))
        stopped = next(iter(found.scheduler.workers))
        client = stack.enter_context(cluster.scheduler(found.scheduler_address))
        running = cluster.in_shards(job(samples, batch=1), N, client)
        next(running)
        wait_until(lambda: f"the worker at {stopped} does not answer" in caplog.messages)
        running.close()
    assert caplog.messages.count(f"the worker at {stopped} does not answer") == 1


def test_what_a_worker_cannot_read_is_not_blamed_on_the_scheduler(
    samples: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(error: Exception) -> Callable[[object, object], None]:
        def execute(job: object, samples: object) -> None:
            raise error

        return execute

    with threads() as found, cluster.scheduler(found.scheduler_address) as client:
        for error, expected in (
            (PermissionError(13, "denied", "x.npz"), "a worker failed: .*x.npz"),
            (MemoryError(), "a worker has too little memory. Lower batch, which is 7"),
        ):
            monkeypatch.setattr(cluster, "_execute", fail(error))
            with pytest.raises(WorkerFailed, match=expected):
                list(cluster.in_shards(job(samples), N, client))


# --- processes that are killed -----------------------------------------------------------------------------------


def started_by(process: psutil.Process) -> list[psutil.Process]:
    """The worker processes that a process has started."""
    found = []
    for child in process.children(recursive=True):
        with suppress(psutil.Error):
            if "spawn_main" in " ".join(child.cmdline()):
                found.append(child)
    return found


def listens(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return any(each.status == psutil.CONN_LISTEN for each in process.net_connections())
    return False


@pytest.mark.parametrize("moment", ["begins", "listens"])
def test_a_worker_that_is_killed_while_it_starts(samples: Path, moment: str) -> None:
    this, given = psutil.Process(), job(samples, batch=16)
    before = {child.pid for child in started_by(this)}

    def kill() -> None:
        def ready() -> list[psutil.Process]:
            new = [child for child in started_by(this) if child.pid not in before]
            return new if moment == "begins" else [child for child in new if listens(child)]

        wait_until(ready)
        ready()[0].kill()

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        with cluster.workers(2) as client:
            assert_same(reduce(add, cluster.in_shards(given, N, client)), whole(given))
    except WorkerFailed as error:
        refused = str(error)
    else:
        refused = ""
    killer.join()
    assert not refused or refused.startswith("the worker processes ended while they started. Try again.")


@pytest.mark.parametrize(("number", "moment"), [(signal.SIGTERM, "executes"), (signal.SIGHUP, "begins")])
def test_a_run_that_is_ended_by_a_signal_ends_its_workers(
    run_folder: Path, tmp_path: Path, number: signal.Signals, moment: str
) -> None:
    np.savez(tmp_path / "many.npz", x=np.zeros((50_000, 1, 8, 8), np.uint8))
    command = [sys.executable, "-m", "tdd_deploy", "simulate", str(run_folder), "--data", str(tmp_path / "many.npz")]
    run = subprocess.Popen(
        [*command, "--steps", "200", "--workers", "2"], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    process = psutil.Process(run.pid)
    wait_until(lambda: started_by(process))
    if moment == "executes":
        wait_until(lambda: sum(map(listens, started_by(process))) == 2)
        wait_until(lambda: any(each.cpu_times().user >= 2 for each in started_by(process)))
    workers = started_by(process)
    run.send_signal(number)
    _, err = run.communicate(timeout=60)
    assert (run.returncode, err.strip()) == (130, "tdd-deploy: interrupted")
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert not alive
