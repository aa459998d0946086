"""The table that all writers write: columns, rows, and how numbers of a column look."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

from tdd_deploy.errors import BadOption, did_you_mean
from tdd_deploy.text import visible

from .numbers import SI_UNITS, bounds_text, decimals_for, fixed, significant, span_text, unit_for


@dataclass(frozen=True)
class Span:
    """A figure with the range of its sources; None, where only the range is known."""

    value: float | None
    low: float
    high: float

    @property
    def middle(self) -> float:
        """The figure, or the middle of its range."""
        return (self.low + self.high) / 2 if self.value is None else self.value

    def text(self, size: float) -> str:
        """Write the figure and its range, divided by a size."""
        low, high = self.low / size, self.high / size
        return bounds_text(low, high) if self.value is None else span_text(self.value / size, low, high)


Cell = str | int | float | Span | None  # None: not known, or nothing to say


class Format(Enum):
    """How the cells of a column look."""

    TEXT = "text"
    MARK = "mark"  # ok or NO, which a terminal colors
    WRITTEN = "written"  # texts that hold numbers, such as 3 of 5: on the right, never broken
    NUMBER = "number"  # the same decimals in every row
    FIGURE = "figure"  # three significant digits
    RATIO = "ratio"  # two significant digits
    PERCENT = "percent"  # of fractions
    ENERGY = "energy"  # of pJ, in one unit per column, with as many digits as the range allows

    @property
    def is_text(self) -> bool:
        """Whether cells are texts, on the left."""
        return self in (Format.TEXT, Format.MARK)


@dataclass(frozen=True)
class Column:
    """A column with its head.

    Attributes:
        name: the head, without the unit.
        format: how its cells look.
        drop: a narrow terminal leaves out columns of the highest number first; 0 stays.
        decimals: of a NUMBER or PERCENT; by default they follow from the cells.
        unit: after the head; of an ENERGY, it follows from the cells of the table where it is empty.
    """

    name: str
    format: Format = Format.TEXT
    drop: int = 0
    decimals: int | None = None
    unit: str = ""

    def head(self, unit: str) -> str:
        """Return the head with a unit."""
        return f"{self.name}, {unit}" if unit and self.name else self.name

    def texts(self, cells: Sequence[Cell], unit: str) -> list[str]:
        """Write the cells of the column, without their unit."""
        numbers = [float(cell) for cell in cells if isinstance(cell, int | float)]
        if self.format is Format.PERCENT:
            numbers = [100 * number for number in numbers]
        size = SI_UNITS[unit] if self.format is Format.ENERGY else 1.0
        decimals = self.decimals
        if decimals is None:
            decimals = 1 if self.format is Format.PERCENT else decimals_for(numbers) if numbers else 0
        return [self._text(cell, size, decimals) for cell in cells]

    def _text(self, cell: Cell, size: float, decimals: int) -> str:
        if cell is None or isinstance(cell, str):
            return visible(cell or "")
        if isinstance(cell, Span):
            return cell.text(size)
        match self.format:
            case Format.RATIO:
                return significant(cell)
            case Format.FIGURE | Format.ENERGY:
                return significant(cell / size, 3)
            case _:
                return fixed(100 * cell if self.format is Format.PERCENT else cell, decimals)


@dataclass(frozen=True, kw_only=True)
class Table:
    """Columns and rows; a cell per column.

    Attributes:
        columns: from left to right.
        rows: from top to bottom.
        total: a last row, apart from the others.
        caption: what the figures are, such as means over samples.
    """

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    total: tuple[Cell, ...] | None = None
    caption: str = ""

    @property
    def all_rows(self) -> tuple[tuple[Cell, ...], ...]:
        """The rows, and the total if there is one."""
        return self.rows if self.total is None else (*self.rows, self.total)

    def cells(self, place: int) -> list[Cell]:
        """Return the cells of a column, that of the total last."""
        return [row[place] for row in self.all_rows]

    @property
    def units(self) -> tuple[str, ...]:
        """The unit of each column, empty where it has none; all energies of a table have one."""
        energies = [
            cell.middle if isinstance(cell, Span) else cell
            for i, column in enumerate(self.columns)
            for cell in self.cells(i)
            if column.format is Format.ENERGY
        ]
        of_energy = unit_for([energy for energy in energies if isinstance(energy, int | float)])
        units = {Format.ENERGY: of_energy, Format.PERCENT: "%"}
        return tuple(column.unit or units.get(column.format, "") for column in self.columns)

    @property
    def heads(self) -> tuple[str, ...]:
        """The heads, with units."""
        return tuple(visible(column.head(unit)) for column, unit in zip(self.columns, self.units, strict=True))

    @property
    def texts(self) -> list[tuple[str, ...]]:
        """The cells of all rows as texts."""
        units = self.units
        columns = [column.texts(self.cells(i), units[i]) for i, column in enumerate(self.columns)]
        return list(zip(*columns, strict=True)) if columns else []

    def only(self, places: Sequence[int]) -> "Table":
        """Return a table of some columns."""

        def chosen(row: tuple[Cell, ...]) -> tuple[Cell, ...]:
            return tuple(row[i] for i in places)

        total = None if self.total is None else chosen(self.total)
        columns = tuple(self.columns[i] for i in places)
        return replace(self, columns=columns, rows=tuple(map(chosen, self.rows)), total=total)

    def named(self, names: Sequence[str]) -> "Table":
        """Return a table of the columns with these names.

        Raises:
            BadOption: a column that is not there.
        """
        known = [column.name for column in self.columns]
        for name in names:
            if name not in known:
                raise BadOption("columns", repr(name), ", ".join(filter(None, known)), did_you_mean(name, known))
        return self.only([known.index(name) for name in names])

    def in_unit(self, unit: str) -> "Table":
        """Return the table with all energies in one unit."""
        columns = tuple(
            replace(column, unit=unit) if column.format is Format.ENERGY else column for column in self.columns
        )
        return replace(self, columns=columns)
