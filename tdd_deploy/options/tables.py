"""Which table a command prints, and in which format."""

from dataclasses import dataclass
from typing import Literal

from .declare import Options, option
from .vocabulary import PrintedFormat, Row


@dataclass(frozen=True, kw_only=True)
class SimulationTable(Options):
    """The table of a simulation."""

    by: Literal["step", "layer"] = option("step", help="Print a row for each of these.")


@dataclass(frozen=True, kw_only=True)
class Printed(Options):
    """The format of a table."""

    format: PrintedFormat = option("md", help="Print in this format.")


@dataclass(frozen=True, kw_only=True)
class ReportTable(Printed):
    """The table of a report."""

    by: Row = option("layer", help="Print a row for each of these.")
