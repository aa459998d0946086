"""Fixtures that more than one file uses."""

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tdd_deploy.cli import app as cli
from tdd_deploy.cli import signals
from tests.commands import Call, Called

# A shell lets its background jobs ignore Ctrl-C, and nohup lets them ignore SIGHUP, with every process that they start:
# then no test could be interrupted.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A conv-small network trained on digits for one epoch."""
    from tdd_deploy import train

    folder = tmp_path_factory.mktemp("trained") / "run"
    train(folder, data="digits", method="tet", epochs=1)
    return folder


@pytest.fixture(autouse=True)
def width(monkeypatch: pytest.MonkeyPatch) -> None:
    """Print tables in 80 columns, whatever pytest and its workers are started in."""
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def handlers() -> Iterator[None]:
    """Keep the signal handlers of the tests."""
    numbers = (*signals.SIGNALS, signal.SIGALRM)
    before, hook = {number: signal.getsignal(number) for number in numbers}, sys.unraisablehook
    yield
    signals.stop_repeating()
    signal.setitimer(signal.ITIMER_REAL, 0)
    sys.unraisablehook = hook
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Torch sums with one thread, so that tests side by side do not crowd each other out."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite the files in tests/golden")


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Call tdd-deploy with words of a command line."""

    def run(*words: object) -> Called:
        monkeypatch.setattr(sys, "argv", ["tdd-deploy", *map(str, words)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        captured = capsys.readouterr()
        return Called(int(stopped.value.code or 0), captured.out, captured.err)

    return run
