"""Signals that end a command: SIGTERM and SIGHUP, from a scheduler or a closed terminal, end it like Ctrl-C."""

import signal
import sys
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
AGAIN_S = 0.01


class _Interruption(KeyboardInterrupt):
    """An interruption that is repeated when something drops it before ``stop_repeating``.

    Finalizers, callbacks of weak references and compiled modules drop exceptions. Without this the command would go
    on, deaf to further SIGTERM.
    """

    def __del__(self) -> None:
        if signal.getsignal(signal.SIGALRM) is _interrupt:
            signal.setitimer(signal.ITIMER_REAL, AGAIN_S)


def end_like_ctrl_c() -> None:
    """Let each signal that would end this process raise KeyboardInterrupt; ignored ones, as by nohup, stay ignored."""
    for number in SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _interrupt)
    signal.signal(signal.SIGALRM, _interrupt)
    sys.unraisablehook = partial(_report_others, sys.unraisablehook)


def stop_repeating() -> None:
    """Let an interruption that is dropped from now on stay dropped: the command is ending."""
    if signal.getsignal(signal.SIGALRM) is _interrupt:
        signal.signal(signal.SIGALRM, signal.SIG_IGN)


def ignore_while_exiting() -> None:
    """Let no signal change the exit code while Python ends; Ctrl-C still ends a process that hangs there, silently.

    An exception that a handler raised then would be printed as ignored.
    """
    if isinstance(sys.unraisablehook, partial):
        [sys.unraisablehook] = sys.unraisablehook.args
    stop_repeating()
    for number in SIGNALS:
        if signal.getsignal(number) in (_interrupt, _ignore):
            signal.signal(number, signal.SIG_DFL if number == signal.SIGINT else signal.SIG_IGN)


def was_interrupted() -> bool:
    """Decide whether a signal has come; compiled modules may turn its KeyboardInterrupt into another exception."""
    return signal.getsignal(signal.SIGTERM) is _ignore


def _interrupt(number: int, frame: FrameType | None) -> None:
    for other in (signal.SIGTERM, signal.SIGHUP):  # often repeated; only a second Ctrl-C cuts the clean-up short
        signal.signal(other, _ignore)
    raise _Interruption


def _report_others(others: "Callable[[UnraisableHookArgs], object]", dropped: "UnraisableHookArgs") -> None:
    """Report exceptions that Python has dropped, except interruptions, which come again."""
    if not isinstance(dropped.exc_value, KeyboardInterrupt):
        others(dropped)


def _ignore(number: int, frame: FrameType | None) -> None:
    pass
