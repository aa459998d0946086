"""Which signal stops a run between two batches, and which at once."""

import os
import signal
from collections.abc import Iterator

import pytest

from tdd_deploy.training.interrupts import interrupt_flag

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class AtOnce(Exception):
    """Raised by the handlers of the caller."""


def at_once(number: int, frame: object) -> None:
    raise AtOnce


@pytest.fixture(autouse=True)
def callers_handlers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    before = {number: signal.signal(number, at_once) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def send(*numbers: int) -> None:
    for number in numbers:
        os.kill(os.getpid(), number)


@pytest.mark.parametrize(
    "numbers",
    [
        (signal.SIGINT,),
        (signal.SIGTERM,) * 3,
        (signal.SIGHUP,) * 3,
        (signal.SIGTERM, signal.SIGHUP, signal.SIGINT),
        (signal.SIGINT, signal.SIGTERM, signal.SIGHUP),
    ],
)
def test_repeated_signals_of_a_scheduler_are_one(numbers: tuple[int, ...]) -> None:
    with interrupt_flag() as interrupted:
        assert not interrupted.is_set()
        send(*numbers)
        assert interrupted.is_set()
    with pytest.raises(AtOnce):
        send(numbers[0])


@pytest.mark.parametrize("first", SIGNALS)
def test_a_second_ctrl_c_stops_at_once(first: int) -> None:
    with interrupt_flag():
        send(first, *[signal.SIGINT] * (first != signal.SIGINT))
        with pytest.raises(AtOnce):
            send(signal.SIGINT)


def test_torchrun_repeats_a_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    with interrupt_flag() as interrupted:
        send(*[signal.SIGINT] * 3)
        assert interrupted.is_set()


def test_nohup_is_respected() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with interrupt_flag() as interrupted:
        send(signal.SIGHUP)
        assert not interrupted.is_set()
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
