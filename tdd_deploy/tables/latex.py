"""Tables in LaTeX, for the packages booktabs and siunitx."""

import re

from tdd_deploy.text import visible

from .table import Format, Table

SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{c: f"\\{c}" for c in "&%$#_{}"},
    **{c: f"{{{c}}}" for c in "[]*"},  # after the end of a row, they are options of it
}
UNITS = {
    "%": r"\unit{\percent}",
    "J": r"\unit{\joule}",
    "mJ": r"\unit{\milli\joule}",
    "uJ": r"\unit{\micro\joule}",
    "nJ": r"\unit{\nano\joule}",
    "pJ": r"\unit{\pico\joule}",
}
NUMBER = re.compile(r"-?[\d,]+(?:\.(\d+))?")
RANGE = re.compile(r"(\S+) \((\S+) to (\S+)\)")
BOUNDS = re.compile(r"([\d.,]+) to ([\d.,]+)")
NEEDS = "% needs \\usepackage{booktabs} and \\usepackage{siunitx} (version 3)\n"


def as_latex(table: Table, *, caption: str = "", label: str = "") -> str:
    r"""Write a table in LaTeX; with a caption or a label, within the environment ``table``.

    A column of plain numbers is aligned at the decimal point by siunitx (column type S). A range is written with
    ``\numrange``, in a column on the right.
    """
    texts = table.texts
    columns = [[row[i] for row in texts] for i in range(len(table.columns))]
    kinds = [_kind(column.format, cells) for column, cells in zip(table.columns, columns, strict=True)]
    heads = [_head(column.name, unit) for column, unit in zip(table.columns, table.units, strict=True)]
    lines = [_row([f"{{{head}}}" for head in heads])]
    body = [_row([_cell(cell, kind) for cell, kind in zip(row, kinds, strict=True)]) for row in texts]
    if table.total is not None:
        body.insert(-1, "\\midrule")
    inner = "\n".join(["\\toprule", *lines, "\\midrule", *body, "\\bottomrule"])
    tabular = f"\\begin{{tabular}}{{{''.join(kinds)}}}\n{inner}\n\\end{{tabular}}\n"
    if not caption and not label:
        return NEEDS + tabular
    named = "".join(f"\\{name}{{{text}}}\n" for name, text in (("caption", escaped(caption)), ("label", label)) if text)
    return f"{NEEDS}\\begin{{table}}\n\\centering\n{named}{tabular}\\end{{table}}\n"


def _row(cells: list[str]) -> str:
    return " & ".join(cells) + r" \\"


def _kind(form: Format, cells: list[str]) -> str:
    """Return the type of a column: S with its digits, r, or l."""
    if form.is_text:
        return "l"
    found = [NUMBER.fullmatch(cell) for cell in cells if cell]
    if not found or not all(found):
        return "r"
    whole = max(len(match[0].partition(".")[0].replace(",", "").lstrip("-")) for match in found if match)
    decimals = max(len(match[1] or "") for match in found if match)
    sign = "-" if any(cell.startswith("-") for cell in cells) else ""
    return f"S[table-format={sign}{whole}.{decimals}]"


def _head(name: str, unit: str) -> str:
    return f"{escaped(name)} / {UNITS.get(unit, escaped(unit))}" if unit else escaped(name)


def _cell(text: str, kind: str) -> str:
    if kind == "l":
        return escaped(text)
    if not text:
        return "{}"
    if kind.startswith("S"):
        return text.replace(",", "")
    if found := RANGE.fullmatch(text):
        value, low, high = (part.replace(",", "") for part in found.groups())
        return f"\\num{{{value}}} (\\numrange{{{low}}}{{{high}}})"
    if found := BOUNDS.fullmatch(text):
        low, high = (part.replace(",", "") for part in found.groups())
        return f"\\numrange{{{low}}}{{{high}}}"
    return f"\\num{{{text.replace(',', '')}}}" if re.fullmatch(r"-?[\d,.]+(e[+-]?\d+)?", text) else escaped(text)


def escaped(text: str) -> str:
    """Write a text so that LaTeX prints it."""
    return re.sub(r"[\\&%$#_{}~^\[\]*]", lambda found: SPECIAL[found[0]], visible(text))
