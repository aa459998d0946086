"""Standard streams of a command: control characters are made visible, and a failure to write is no internal error."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO, cast

from tdd_deploy.errors import BadFile
from tdd_deploy.text import visible


class Stream:
    """A text stream in the place of stdout or stderr.

    Characters that the encoding lacks are written as escapes. If the reader leaves early, as ``head`` does, the rest is
    dropped and the command goes on to its own exit code. Other failures raise on stdout, and are ignored on stderr,
    which is where they would be reported.

    Args:
        stream: the stream of Python.
        is_stdout: whether failures raise.
        is_raw: pass control characters; rich writes its own, and makes those in texts visible.
    """

    def __init__(self, stream: TextIO, *, is_stdout: bool, is_raw: bool = False) -> None:
        self._stream, self._is_stdout, self._is_raw = stream, is_stdout, is_raw

    def __getattr__(self, name: str) -> object:
        if name == "buffer":  # click would write around this class, in UTF-8 whatever the encoding
            raise AttributeError(name)
        return getattr(self._stream, name)

    @property
    def rich_proxied_file(self) -> "Stream":
        """The stream that rich writes to instead of this one."""
        return Stream(self._stream, is_stdout=self._is_stdout, is_raw=True)

    def write(self, text: str) -> int:
        """Write a text; return its length."""
        shown = text if self._is_raw else visible(text, lines=True)
        if shown:  # click writes an empty text to find out what a stream takes, and ignores all errors
            self._guarded(lambda: self._encoded(shown))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write texts one after the other."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Write what is buffered."""
        self._guarded(self._stream.flush)

    def _encoded(self, text: str) -> None:
        try:
            self._stream.write(text)
        except UnicodeEncodeError:
            encoding = self._stream.encoding
            self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))

    def _guarded(self, write: Callable[[], None]) -> None:
        """Write.

        Raises:
            BadFile: stdout cannot be written, for instance because the disk is full.
        """
        try:
            write()
        except BrokenPipeError:
            self._discard()
        except OSError as error:
            self._discard()
            if self._is_stdout:
                raise BadFile(
                    "stdout", f"cannot be written ({error.strerror})", "redirect it to a disk with enough space"
                ) from error

    def _discard(self) -> None:
        """Drop what is buffered and all that follows: Python would try once more when it exits."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)


@contextmanager
def guarded_streams() -> Iterator[bool]:
    """Guard stdout and stderr while a command runs; yield whether there is a stdout.

    A closed stream becomes the null device. Otherwise the next file to be opened would get the number of the stream,
    and its output too.
    """
    _open_closed()
    _forget_bad_sizes()
    before = sys.stdout, sys.stderr
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        sys.stdout = cast("TextIO", Stream(before[0] or nowhere, is_stdout=True))
        sys.stderr = cast("TextIO", Stream(before[1] or nowhere, is_stdout=False))
        try:
            yield before[0] is not None
        finally:
            sys.stdout, sys.stderr = before


def _forget_bad_sizes() -> None:
    """Drop a size of the terminal that is zero or no number, with which libraries fail or print nothing."""
    for name in ("COLUMNS", "LINES"):
        value = os.environ.get(name, "1")
        if not value.isdecimal() or int(value) == 0:
            del os.environ[name]


def _open_closed() -> None:
    """Open the null device in the place of every standard stream that is closed."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            nowhere = os.open(os.devnull, os.O_RDWR)  # gets the lowest free number
            os.set_inheritable(nowhere, True)
