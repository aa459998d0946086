"""Tables in HTML, without a style of their own."""

from collections.abc import Sequence
from html import escape

from tdd_deploy.text import ends, visible

from .table import Table


def as_html(table: Table, *, whole: str = "") -> str:
    """Write a table: heads with a scope, the first cell of a row as its head, numbers in cells of the class ``n``.

    Args:
        table: of very many rows, the first and the last ones are written.
        whole: where everything is, for a table that is written in part.
    """
    is_text = [column.format.is_text for column in table.columns]
    heads = "".join(
        f'<th scope="col"{_class(left)}>{escape(head)}</th>' for head, left in zip(table.heads, is_text, strict=True)
    )
    texts = table.texts
    body = texts if table.total is None else texts[:-1]
    first, last = ends(body)
    gap = [("...", *[""] * (len(table.columns) - 1))] if last else []
    rows = "\n".join(_row(row, is_text) for row in (*first, *gap, *last))
    foot = "" if table.total is None else f"<tfoot>{_row(texts[-1], is_text)}</tfoot>\n"
    caption = table.caption
    if last:
        caption += f" ({len(body) - len(first) - len(last):,} of {len(body):,} rows are left out; {whole})"
    named = f"<caption>{escape(visible(caption))}</caption>" if caption else ""
    return f"<table>{named}\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n{foot}</table>\n"


def _row(texts: Sequence[str], is_text: Sequence[bool]) -> str:
    first, *others = zip(texts, is_text, strict=True)
    cells = [f'<th scope="row"{_class(first[1])}>{escape(first[0])}</th>']
    cells += [f"<td{_class(left)}>{escape(text)}</td>" for text, left in others]
    return f"<tr>{''.join(cells)}</tr>"


def _class(is_text: bool) -> str:
    return "" if is_text else ' class="n"'
