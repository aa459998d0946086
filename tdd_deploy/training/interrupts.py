"""Signals that stop a run between two batches."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def interrupt_flag() -> Iterator[threading.Event]:
    """Turn SIGINT, SIGTERM and SIGHUP into a flag, which stops a run between two batches.

    Schedulers and terminals repeat SIGTERM and SIGHUP, and torchrun repeats every signal that it receives. So only a
    second SIGINT stops a run at once, and not below torchrun. A SIGHUP that is ignored, as by nohup, stays ignored.
    """
    flag = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield flag
        return
    before = {each: signal.getsignal(each) for each in SIGNALS}
    if before[signal.SIGHUP] == signal.SIG_IGN:
        del before[signal.SIGHUP]
    is_repeated = "TORCHELASTIC_RUN_ID" in os.environ

    def note(number: int, frame: object) -> None:
        flag.set()
        if number == signal.SIGINT and not is_repeated:
            signal.signal(number, before[signal.SIGINT])

    for number in before:
        signal.signal(number, note)
    try:
        yield flag
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
