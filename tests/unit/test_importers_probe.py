"""Readers that never end, take all memory, die or raise: each is stopped in time, and no file is needed to show it."""

import faulthandler
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import pytest

from tdd_deploy.errors import BadFile
from tdd_deploy.importers import hdf5, probe

MEMORY = 256 << 20
LONG_S = 100  # time limit that no reader of these tests reaches
bounded = pytest.mark.skipif(sys.platform != "linux", reason="memory is bounded on Linux alone")


def sleep() -> None:
    time.sleep(LONG_S)


def loop() -> None:
    while time.process_time() < LONG_S:
        pass


def allocate() -> None:
    assert bytes(2 * MEMORY)


def die_of(number: int) -> Callable[[], None]:
    def die() -> None:
        faulthandler.disable()  # pytest's would print a traceback
        os.kill(os.getpid(), number)
        time.sleep(LONG_S)

    return die


def leave(code: int) -> Callable[[], None]:
    return lambda: os._exit(code)


def fail(error: BaseException) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


def test_a_reader_that_returns_is_not_reported() -> None:
    assert probe.probe(lambda: bytes(MEMORY // 2), seconds=LONG_S, memory=MEMORY) == ""


def test_a_reader_that_waits_is_ended_by_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    copies, fork = [], os.fork

    def noted() -> int:
        copies.append(fork())
        return copies[-1]

    monkeypatch.setattr(os, "fork", noted)
    monkeypatch.setattr(probe, "PATIENCE", 1)
    assert probe.probe(sleep, seconds=1, memory=MEMORY) == "reading it does not end"
    with pytest.raises(ProcessLookupError):
        os.kill(copies[0], 0)


def test_a_reader_that_computes_is_ended_by_its_cpu_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "PATIENCE", 100 * LONG_S)  # not by the clock
    assert probe.probe(loop, seconds=1, memory=MEMORY) == "reading it does not end"


@bounded
def test_a_reader_that_takes_more_memory_than_it_may_is_ended() -> None:
    assert probe.probe(allocate, seconds=LONG_S, memory=MEMORY) == "reading it takes more than 256 MiB of memory"


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGTERM])
def test_a_reader_that_dies_by_a_signal_ends_nothing_else(number: int) -> None:
    assert probe.probe(die_of(number), seconds=LONG_S, memory=MEMORY) == "reading it ends the process"


@pytest.mark.parametrize("code", [1, 255])
def test_a_reader_that_leaves_with_an_exit_code_is_known(code: int) -> None:
    assert probe.probe(leave(code), seconds=LONG_S, memory=MEMORY) == "reading it ends the process"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("no such filter\nat line 3"), "ValueError: no such filter"),
        (ValueError(), "ValueError"),
        (OSError("no \udcff.nir"), "OSError: no ?.nir"),
        (KeyboardInterrupt("stop"), "KeyboardInterrupt: stop"),
        (SystemExit(0), "SystemExit: 0"),
        (ValueError("x" * 1000), "ValueError: " + "x" * 488),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_a_reader_that_raises_is_quoted_in_one_line(error: BaseException, expected: str) -> None:
    assert probe.probe(fail(error), seconds=LONG_S, memory=MEMORY) == expected


def test_a_reader_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    assert probe.probe(lambda: os.write(2, b"HDF5-DIAG"), seconds=LONG_S, memory=MEMORY) == ""
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("reader", "expected"),
    [
        (sleep, "reading it does not end"),
        (loop, "reading it does not end"),
        pytest.param(allocate, "reading it takes more than 128 MiB of memory", marks=bounded),
        (die_of(signal.SIGSEGV), "reading it ends the process"),
        (fail(ValueError("no such filter")), "ValueError: no such filter"),
    ],
    ids=["sleeps", "computes", "allocates", "dies", "raises"],
)
def test_a_file_that_no_reader_survives_is_refused_in_a_sentence(
    reader: Callable[[], None], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "network.nir"
    with h5py.File(path, "w") as file:
        file["node/type"] = "NIRGraph"
    monkeypatch.setattr(hdf5, "_read_all", lambda _path: reader())
    monkeypatch.setattr(hdf5, "MEMORY", 128 << 20)
    monkeypatch.setattr(hdf5, "SECONDS", 1)
    if reader is sleep:
        monkeypatch.setattr(probe, "PATIENCE", 1)
    with pytest.raises(BadFile) as refused, hdf5.open_hdf5(path, remedy="name a NIR file"):
        pytest.fail("a file is opened after the probe alone")
    assert str(refused.value) == f"{path} is damaged ({expected}). Write it again."


def test_a_file_is_probed_once_until_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, probed = tmp_path / "network.nir", tmp_path / "probed"

    def read(_path: Path) -> None:
        with probed.open("a") as file:
            file.write("x")

    monkeypatch.setattr(hdf5, "_read_all", read)
    for k in (1, 1, 2):
        path.write_bytes(bytes(k))
        os.utime(path, ns=(k, k))
        assert hdf5.find_fault(path) == ""
        assert len(probed.read_text()) == k


@bounded
def test_a_hard_limit_of_the_session_does_not_damage_a_good_file() -> None:
    code = (
        "import resource; from pathlib import Path; from tdd_deploy.importers.probe import probe\n"
        "taken = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()\n"
        f"resource.setrlimit(resource.RLIMIT_AS, 2 * (taken + {MEMORY // 2},))\n"
        f"print(repr(probe(lambda: None, seconds=5, memory={MEMORY})))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "''\n"
