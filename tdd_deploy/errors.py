"""Every error a user can meet, each with what was found, what is allowed and how to get there.

TddDeployError            exit code 2: a file, an option or a number the user can mend
├── BadFile               one file cannot be read or written
├── BadOption             one option has a value that is not allowed
├── DataNotFound          a data set is not where it was looked for
├── Refused               one or more violations, all reported at once
│   ├── BadProgram        a Program breaks a rule
│   ├── UnsupportedGraph  a NIR graph holds what no Program can hold
│   ├── NotExportable     a Program holds what the target cannot hold
│   ├── BadOptions        options that are not allowed, or not together
│   ├── BadData           the samples do not fit the program, or are damaged
│   └── BadProfile        an energy profile has an unknown key or a missing number
├── WorkerFailed          a process that we started failed, or took too long
├── MissingDependency     exit code 3: an optional part is not installed
├── MissingEnvironment    exit code 3: another program's environment, or an interpreter for it, is not there
└── Interrupted           exit code 130: Ctrl-C; what was done is saved
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar


class TddDeployError(Exception):
    """What a user can mend. ``exit_code`` is what the command line returns."""

    exit_code: ClassVar[int] = 2


@dataclass(eq=False)
class BadFile(TddDeployError):
    """One file cannot be read or written."""

    path: Path | str
    found: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.path}: {self.found}; {self.remedy}."


@dataclass(eq=False)
class BadOption(TddDeployError):
    """One option has a value that is not allowed."""

    option: str
    found: str
    allowed: str

    def __str__(self) -> str:
        return f"{self.option} is {self.found}; allowed: {self.allowed}."


@dataclass(eq=False)
class DataNotFound(TddDeployError):
    """A data set is not where it was looked for."""

    name: str
    looked_in: Sequence[Path]
    remedy: str

    def __str__(self) -> str:
        places = ", ".join(str(path) for path in self.looked_in) or "no folder, since none was named"
        return f"data set {self.name} not found; looked in {places}; {self.remedy}."


@dataclass(frozen=True)
class Violation:
    """One broken rule: where, what was found, what is allowed, and how to get there."""

    where: str
    found: str
    allowed: str
    remedy: str = ""

    def __str__(self) -> str:
        remedy = f" {self.remedy}" if self.remedy else ""
        return f"{self.where}: {self.found}; allowed: {self.allowed}.{remedy}"


@dataclass(eq=False)
class Refused(TddDeployError):
    """One or more violations, all reported at once."""

    subject: str
    violations: Sequence[Violation]

    def __str__(self) -> str:
        if len(self.violations) == 1:
            return f"{self.subject}: {self.violations[0]}"
        lines = "".join(f"\n  - {violation}" for violation in self.violations)
        return f"{self.subject} ({len(self.violations)} found):{lines}"


class BadProgram(Refused):
    """A Program breaks a rule of ``program/verify.py``."""


class UnsupportedGraph(Refused):
    """A NIR graph holds what no Program can hold, or leaves a choice open."""


class NotExportable(Refused):
    """A Program holds what the target cannot hold."""


class BadOptions(Refused):
    """Options that are not allowed, or not together."""


class BadData(Refused):
    """The samples do not fit the program, or are damaged."""


class BadProfile(Refused):
    """An energy profile has an unknown key, or lacks a number, a unit or a source."""


@dataclass(eq=False)
class MissingDependency(TddDeployError):
    """An optional part is not installed."""

    package: str
    needed_for: str
    install: str  # what pip is told
    exit_code: ClassVar[int] = 3

    def __str__(self) -> str:
        return f"{self.needed_for} needs {self.package}; install it with: pip install {self.install}"


@dataclass(eq=False)
class WorkerFailed(TddDeployError):
    """A process that we started failed, or took too long; ``last_lines`` are the end of what it wrote."""

    subject: str
    found: str
    remedy: str = ""
    last_lines: Sequence[str] = ()
    log: Path | None = None  # where all that it wrote is kept

    def __str__(self) -> str:
        remedy = f"; {self.remedy}" if self.remedy else ""
        lines = "".join(f"\n  | {line}" for line in self.last_lines)
        log = f"\nthe whole log: {self.log}" if self.log else ""
        return f"{self.subject}: {self.found}{remedy}{lines}{log}"


@dataclass(eq=False)
class MissingEnvironment(TddDeployError):
    """What runs outside our own interpreter, or the interpreter for it, is not there."""

    needed_for: str
    missing: str
    looked_in: Sequence[str]
    remedy: str
    exit_code: ClassVar[int] = 3

    def __str__(self) -> str:
        return f"{self.needed_for} needs {self.missing}; looked in {', '.join(self.looked_in)}; {self.remedy}."


@dataclass(eq=False)
class Interrupted(TddDeployError):
    """Ctrl-C; what was done until then is saved."""

    saved: str
    exit_code: ClassVar[int] = 130

    def __str__(self) -> str:
        return f"interrupted; {self.saved}"
