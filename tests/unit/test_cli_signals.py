"""Signals that end a command: nothing half written stays, and one sentence says so."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import tdd_deploy.cli
from tdd_deploy.cli import app, signals
from tdd_deploy.errors import MissingDependency
from tests.waiting import wait_until

WAIT_S = 240  # a signal waits while a loop is compiled, and a busy computer takes long for that
SMALL, SHAPE = Path(__file__).parents[1] / "golden" / "small.nir", (1, 6, 6)


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Words that simulate for minutes."""
    folder = tmp_path_factory.mktemp("long")
    np.savez(folder / "x.npz", x=np.ones((100_000, *SHAPE), np.bool_))
    return ["simulate", str(SMALL), "--data", str(folder / "x.npz"), "--steps", "3000"]


@contextmanager
def started(words: list[str], folder: Path) -> "Iterator[subprocess.Popen[str]]":
    """Start a command and wait until it writes into a hidden folder; end it afterwards, whatever happens."""
    folder.mkdir()
    command = [sys.executable, "-m", "tdd_deploy", *words, "--record", str(folder / "r.npz")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            wait_until(lambda: process.poll() is not None or [*folder.glob(".r.npz.*/*.npy")])
            assert process.poll() is None, process.communicate()[1]
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("number", signals.SIGNALS)
def test_a_signal_ends_a_command_and_leaves_nothing(number: int, words: list[str], tmp_path: Path) -> None:
    with started(words, tmp_path / "out") as process:
        for _ in range(1 if number == signal.SIGINT else 3):  # a second Ctrl-C would cut the clean-up short
            process.send_signal(number)
        _, err = process.communicate(timeout=WAIT_S)
    assert (process.returncode, err.strip()) == (130, "tdd-deploy: interrupted")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_command_started_by_nohup_outlives_the_terminal(words: list[str], tmp_path: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with started(words, tmp_path / "out") as process:
            process.send_signal(signal.SIGHUP)
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(timeout=0.5)
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=WAIT_S)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert process.returncode == 130


DROPPED = """
import contextlib, signal, sys, weakref
from tdd_deploy.cli.signals import ignore_while_exiting, end_like_ctrl_c

class Thing: pass

end_like_ctrl_c()
thing = Thing()
number = getattr(signal, sys.argv[1])
callback = weakref.ref(thing, lambda _: signal.raise_signal(number))
try:
    if sys.argv[2] == "callback":
        del thing
    else:
        with contextlib.suppress(BaseException):
            signal.raise_signal(number)
    while True:
        signal.pause()
except KeyboardInterrupt:
    print("interrupted")
finally:
    ignore_while_exiting()
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
@pytest.mark.parametrize("where", ["callback", "module"])
def test_a_signal_whose_exception_is_dropped_ends_the_command_too(name: str, where: str) -> None:
    """Python drops it in the callback of a weak reference, and compiled modules drop what they do not expect."""
    command = [sys.executable, "-c", DROPPED, name, where]
    end = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (end.returncode, end.stdout, end.stderr) == (0, "interrupted\n", "")


class Stopped:
    """A module whose import Ctrl-C ends."""

    def find_spec(self, name: str, path: object, target: object = None) -> None:
        if name == "tdd_deploy.cli.app":
            raise KeyboardInterrupt


@pytest.mark.usefixtures("handlers")
def test_ctrl_c_while_modules_are_imported_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "tdd_deploy.cli.app")
    monkeypatch.setattr(sys, "meta_path", [Stopped(), *sys.meta_path])
    with pytest.raises(SystemExit) as stopped:
        tdd_deploy.cli.main()
    assert stopped.value.code == 130
    assert capsys.readouterr().err == "tdd-deploy: interrupted\n"


@pytest.mark.usefixtures("handlers")
def test_a_signal_that_a_module_turned_into_another_exception_is_recognized() -> None:
    signals.end_like_ctrl_c()
    assert not signals.was_interrupted()
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGTERM)
    assert signals.was_interrupted()


@pytest.mark.usefixtures("handlers")
def test_a_module_whose_import_is_interrupted_is_not_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def imported(**given: object) -> None:
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
        raise MissingDependency("matplotlib", "report.html", "'tdd-deploy[report]'")

    monkeypatch.setattr(app.cli, "main", imported)
    signals.end_like_ctrl_c()
    with pytest.raises(SystemExit) as stopped:
        app.main()
    assert (stopped.value.code, capsys.readouterr().err) == (130, "tdd-deploy: interrupted\n")


@pytest.mark.usefixtures("handlers")
def test_a_signal_while_python_ends_changes_nothing() -> None:
    signals.end_like_ctrl_c()
    signals.ignore_while_exiting()
    for number in (signal.SIGTERM, signal.SIGHUP):
        os.kill(os.getpid(), number)
    assert signal.getsignal(signal.SIGINT) == signal.SIG_DFL


def test_a_signal_in_a_callback_at_the_end_leaves_the_exit_code(tmp_path: Path) -> None:
    code = (
        "import atexit, os, signal, sys; from tdd_deploy.cli import main; "
        "atexit.register(os.kill, os.getpid(), signal.SIGTERM); sys.argv = ['tdd-deploy', 'profiles']; main()"
    )
    called = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (called.returncode, called.stderr) == (0, "")
