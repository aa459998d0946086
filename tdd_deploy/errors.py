"""Every error a user can meet, each with what was found, what is allowed and how to get there.

A message has one of three shapes: a value out of range (``batch must be 1 or more (got 0).``), options that exclude
each other (one whole sentence), or something that is missing or damaged (what, where, and a remedy as an imperative).

Messages name parameters, never flags of the command line. In the source, a parameter stands in backticks, alone or with
a value: "Use `threads`", "Use `input_scale=1/256`". ``str`` drops the backticks; the command line writes flags instead.

TddDeployError            exit code 2: a file, an option or a number the user can correct
├── BadFile               one file cannot be read or written
├── DataNotFound          a data set is not where it was looked for
├── Refused               one or more violations, all reported at once
│   ├── BadProgram        a Program breaks a rule
│   ├── UnsupportedGraph  a NIR graph holds what no Program can hold
│   ├── NotExportable     a Program holds what the target cannot hold
│   ├── BadOptions        options that are not allowed, or not together
│   │   └── BadOption     one option has a value that is not allowed
│   ├── BadData           the samples do not fit the program, or are damaged
│   └── BadProfile        an energy profile has an unknown key or a missing number
├── TooLittleMemory       a limit of the environment leaves too little memory
├── WorkerFailed          a process that we started failed, or took too long
├── MissingDependency     exit code 3: an optional part is not installed
├── MissingEnvironment    exit code 3: another program's environment, or an interpreter for it, is not there
└── Interrupted           exit code 130: Ctrl-C; what was done is saved
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from .text import shortened_lines, visible

MOST_VIOLATIONS = 20  # in the brief form of a message

PARAMETER = re.compile(r"`([a-z][a-z_0-9]*)(?:=([^`]*))?`")


def without_backticks(text: str) -> str:
    """Drop the backticks around the names of parameters: the form for Python."""
    return PARAMETER.sub(lambda found: found[0].strip("`"), text)


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """Suggest the known word that is closest to another one; without a close one, return an empty text."""
    import difflib  # noqa: PLC0415  (most runs need none)

    if not isinstance(word, str):
        return ""

    near = difflib.get_close_matches(word, list(known), n=1)
    return f"Did you mean {near[0]}?" if near else ""


def any_of(words: Iterable[str]) -> str:
    """List words of which one is allowed: a, b or c."""
    *others, last = words
    return f"{', '.join(others)} or {last}" if others else last


def as_sentence(text: str) -> str:
    """Return a text that ends with a period, unless it ends with a period or a question mark."""
    return text if text.endswith((".", "?")) else f"{text}."


def as_remedy(text: str) -> str:
    """Return an imperative as a sentence of its own, with a capital letter."""
    return as_sentence(text[:1].upper() + text[1:])


class TddDeployError(Exception):
    """An error that a user can correct. ``exit_code`` is what the command line returns."""

    exit_code: ClassVar[int] = 2

    @property
    def message(self) -> str:
        """The whole message, parameters in backticks."""
        return super().__str__()

    @property
    def brief(self) -> str:
        """The message for a terminal: long lines are cut in the middle, with the number of missing characters."""
        return shortened_lines(self.message)

    def __str__(self) -> str:
        return visible(without_backticks(self.message), lines=True)


@dataclass(eq=False)
class BadFile(TddDeployError):
    """One file cannot be read or written: ``found`` is a predicate, ``remedy`` an imperative."""

    path: Path | str
    found: str
    remedy: str

    @property
    def message(self) -> str:
        """The whole message, parameters in backticks."""
        return visible(f"{self.path} {self.found}. {as_remedy(self.remedy)}")


@dataclass(eq=False)
class DataNotFound(TddDeployError):
    """A data set is not where it was looked for."""

    name: str
    looked_in: Sequence[Path]
    remedy: str

    @property
    def message(self) -> str:
        """The whole message, parameters in backticks."""
        places = ", ".join(str(path) for path in self.looked_in) or "no folder, since none was named"
        return visible(f"data set {self.name} was not found; looked in {places}. {as_remedy(self.remedy)}")


@dataclass(frozen=True)
class Violation:
    """One broken rule.

    With ``allowed`` it is a value out of range: "WHERE must be ALLOWED (got FOUND)". Without, ``found`` is a predicate:
    "WHERE FOUND", such as "`step_time_s` needs `energy`" or "fc.weight is missing".
    """

    where: str
    found: str
    allowed: str = ""
    remedy: str = ""

    def __str__(self) -> str:
        fault = (
            f"{self.where} must be {self.allowed} (got {self.found})" if self.allowed else f"{self.where} {self.found}"
        )
        return visible(f"{as_sentence(fault)} {as_remedy(self.remedy)}" if self.remedy else as_sentence(fault))


@dataclass(eq=False)
class Refused(TddDeployError):
    """One or more violations, all reported at once."""

    subject: str
    violations: Sequence[Violation]

    @property
    def message(self) -> str:
        """The whole message, parameters in backticks."""
        return self._message(len(self.violations))

    @property
    def brief(self) -> str:
        """The message for a terminal: the first violations, and the number of the others."""
        return shortened_lines(self._message(MOST_VIOLATIONS))

    def _message(self, most: int) -> str:
        """Write the first violations."""
        if len(self.violations) == 1:
            return f"{visible(self.subject)}: {self.violations[0]}" if self.subject else str(self.violations[0])
        lines = "".join(f"\n  - {violation}" for violation in self.violations[:most])
        left_out = len(self.violations) - most
        rest = f"\n  - and {left_out:,} more" if left_out > 0 else ""
        return f"{visible(self.subject) or 'these options'} ({len(self.violations):,} found):{lines}{rest}"


class BadProgram(Refused):
    """A Program breaks a rule of ``program/verify.py``."""


class UnsupportedGraph(Refused):
    """A NIR graph holds what no Program can hold, or leaves a choice open."""


class NotExportable(Refused):
    """A Program holds what the target cannot hold."""


class BadOptions(Refused):
    """Options that are not allowed, or not together; without a subject, a single violation is the whole message."""


class BadOption(BadOptions):
    """One option has a value that is not allowed."""

    def __init__(self, option: str, found: str, allowed: str = "", remedy: str = "") -> None:
        """Take the name of a parameter, and what ``Violation`` takes."""
        super().__init__("", (Violation(f"`{option}`", found, allowed, remedy),))


class BadData(Refused):
    """The samples do not fit the program, or are damaged."""


class BadProfile(Refused):
    """An energy profile has an unknown key, or lacks a number, a unit or a source."""


@dataclass(eq=False)
class TooLittleMemory(TddDeployError):
    """A limit of the environment leaves too little memory: ``found`` is a predicate, ``remedy`` an imperative."""

    subject: str
    found: str
    remedy: str

    @property
    def message(self) -> str:
        """The whole message, parameters in backticks."""
        return f"{self.subject} {self.found}. {as_remedy(self.remedy)}"


@dataclass(eq=False)
class MissingDependency(TddDeployError):
    """An optional part is not installed."""

    package: str
    needed_for: str
    install: str  # the arguments of pip
    exit_code: ClassVar[int] = 3

    @property
    def message(self) -> str:
        """The whole message, parameters in backticks."""
        return f"{self.needed_for} needs {self.package}. Install it with: pip install {self.install}"


@dataclass(eq=False)
class WorkerFailed(TddDeployError):
    """A process that we started failed, or took too long; ``last_lines`` are the end of what it wrote."""

    subject: str
    found: str
    remedy: str = ""
    last_lines: Sequence[str] = ()
    log: Path | None = None  # where all that it wrote is kept

    @property
    def message(self) -> str:
        """The whole message, parameters in backticks."""
        remedy = f". {as_remedy(self.remedy)}" if self.remedy else ""
        lines = "".join(f"\n  | {visible(line)}" for line in self.last_lines)
        log = f"\nthe whole log: {self.log}" if self.log else ""
        return f"{self.subject} {self.found}{remedy}{lines}{log}"


@dataclass(eq=False)
class MissingEnvironment(TddDeployError):
    """What runs outside our own interpreter, or the interpreter for it, is not there."""

    needed_for: str
    missing: str
    looked_in: Sequence[str]
    remedy: str
    exit_code: ClassVar[int] = 3

    @property
    def message(self) -> str:
        """The whole message, parameters in backticks."""
        return (
            f"{self.needed_for} needs {self.missing}; looked in {', '.join(self.looked_in)}. {as_remedy(self.remedy)}"
        )


@dataclass(eq=False)
class Interrupted(TddDeployError):
    """Ctrl-C; what was done until then is saved."""

    saved: str
    exit_code: ClassVar[int] = 130

    @property
    def message(self) -> str:
        """The whole message, parameters in backticks."""
        return f"interrupted; {self.saved}"
