"""Numbers for people: as many digits as a figure has a right to, and units of energy."""

import math
from collections.abc import Mapping, Sequence

# Units of energy by their size in pJ, the largest one first.
SI_UNITS: Mapping[str, float] = {"J": 1e12, "mJ": 1e9, "uJ": 1e6, "nJ": 1e3, "pJ": 1.0}
LEAST_PLAIN, MOST_PLAIN = 1e-4, 1e15  # beyond them, a number is written with a power of ten
CLOSE = 0.1  # a figure whose sources agree within this fraction has a third digit


def significant(figure: float, digits: int = 2) -> str:
    """Round a figure to significant digits."""
    if figure == 0:
        return "0"
    if not LEAST_PLAIN <= abs(figure) < MOST_PLAIN:
        return f"{figure:.{digits - 1}e}"
    shift = digits - 1 - math.floor(math.log10(abs(figure)))
    return f"{round(figure, shift):,.{max(0, shift)}f}"


def digits_of(figure: float, low: float, high: float) -> int:
    """Return the significant digits of a figure: two, or three where its sources agree within a tenth."""
    return 3 if high - low <= abs(figure) * CLOSE else 2


def span_text(figure: float, low: float, high: float) -> str:
    """Write a figure with its range, as 6.4 (6.2 to 8.7); without a range where none is seen."""
    digits = digits_of(figure, low, high)
    least, most = significant(low, digits), significant(high, digits)
    text = significant(figure, digits)
    return text if least == most else f"{text} ({least} to {most})"


def bounds_text(low: float, high: float) -> str:
    """Write a range, as 11 to 41; as one number where its ends look the same."""
    least, most = significant(low), significant(high)
    return least if least == most else f"{least} to {most}"


def unit_for(energies_pj: Sequence[float]) -> str:
    """Choose the unit of energy in which the median has one to three digits before its point."""
    found = sorted(abs(energy) for energy in energies_pj if energy)
    middle = found[len(found) // 2] if found else 0.0
    return next((unit for unit, size in SI_UNITS.items() if middle >= size), "pJ")


def energy_text(energy_pj: float, low_pj: float | None = None, high_pj: float | None = None, *, digits: int = 3) -> str:
    """Write an energy in the unit that suits it, with its range if there is one: 6.4 uJ (6.2 to 8.7)."""
    unit = unit_for([energy_pj])
    size = SI_UNITS[unit]
    low, high = (energy_pj if bound is None else bound for bound in (low_pj, high_pj))
    if low == high:
        return f"{significant(energy_pj / size, digits)} {unit}"
    value, _, bounds = span_text(energy_pj / size, low / size, high / size).partition(" ")
    return f"{value} {unit} {bounds}".rstrip()


def decimals_for(figures: Sequence[float]) -> int:
    """Choose the decimals of a column: none for whole numbers, fewer for large ones."""
    if all(figure == int(figure) for figure in figures):
        return 0
    largest = max(map(abs, figures))
    return 0 if largest >= 100 else 1 if largest >= 10 else 2


def fixed(figure: float, decimals: int) -> str:
    """Write a number with fixed decimals, unless it would be shown as zero or take too many digits."""
    text = f"{figure:,.{decimals}f}"
    is_lost = figure != 0 and not text.strip("-0.,")
    return significant(figure) if is_lost or abs(figure) >= MOST_PLAIN else text
