"""Which table a command prints, and in which format."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from tdd_deploy.errors import Violation

from .declare import Options, option
from .vocabulary import EnergyUnit, PrintedFormat, Row


@dataclass(frozen=True, kw_only=True)
class SimulationTable(Options):
    """The table of a simulation."""

    heading = "The table"

    by: Literal["step", "layer"] = option("step", help="Print a row for each of these.")


@dataclass(frozen=True, kw_only=True)
class Printed(Options):
    """The format of a table."""

    heading = "The table"

    format: PrintedFormat = option("text", help="Print in this format: text for a terminal, or md, csv, latex or html.")
    columns: tuple[str, ...] = option(
        (), metavar="NAME", help="Print these columns alone, in this order. Default: all."
    )
    unit: EnergyUnit | None = option(None, help="Print energies in this unit. Default: the unit that suits them.")
    caption: str | None = option(None, metavar="TEXT", help="latex: put the table under this caption. Default: none.")
    label: str | None = option(None, metavar="NAME", help="latex: give the table this label. Default: none.")

    def conflicts(self) -> Iterator[Violation]:
        """Yield what belongs to another format."""
        yield from super().conflicts()
        for name in ("caption", "label"):
            if getattr(self, name) is not None and self.format != "latex":
                yield Violation(f"`{name}`", "needs `format=latex`")


@dataclass(frozen=True, kw_only=True)
class ReportTable(Printed):
    """The table of a report."""

    by: Row = option("step", help="Print a row for each of these.")
