"""Tables: columns with units and formats, and five writers: terminal, Markdown, CSV, LaTeX and HTML."""

from .html import as_html
from .latex import as_latex
from .numbers import SI_UNITS, energy_text, fixed, significant, span_text, unit_for
from .plain import as_csv, as_markdown
from .table import Cell, Column, Format, Span, Table
from .terminal import as_terminal

__all__ = [
    "SI_UNITS",
    "Cell",
    "Column",
    "Format",
    "Span",
    "Table",
    "as_csv",
    "as_html",
    "as_latex",
    "as_markdown",
    "as_terminal",
    "energy_text",
    "fixed",
    "significant",
    "span_text",
    "unit_for",
]
