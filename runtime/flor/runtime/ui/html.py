"""Answers and plans as HTML, for notebooks."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

from .render import numeric, shown

SHOWN = 60
"""Rows of a table; what lies between the first and the last of them is left out."""

_RIGHT = ' style="text-align: right"'
_LEFT = ' style="text-align: left"'
_NULL = '<span style="opacity: 0.45">NULL</span>'


def html_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, limit: int = SHOWN) -> str:
    """A table that says how many rows and columns there are."""
    styles = [_RIGHT if numeric(rows, i) else _LEFT for i in range(len(columns))]
    head = "".join(f"<th{s}>{html.escape(column)}</th>" for s, column in zip(styles, columns))
    lines = [f"<table><thead><tr>{head}</tr></thead><tbody>"]
    cut = len(rows) > limit
    lines += [_row(row, styles) for row in (rows[: limit // 2] if cut else rows)]
    if cut:
        lines.append(f'<tr><td colspan="{len(columns)}">…</td></tr>')
        lines += [_row(row, styles) for row in rows[-(limit // 2) :]]
    lines.append("</tbody></table>")
    size = f"{len(rows):,} row{'s' * (len(rows) != 1)} × {len(columns)} column"
    lines.append(f"<p>{size}{'s' * (len(columns) != 1)}</p>")
    return "\n".join(lines)


def _row(row: Sequence[Any], styles: Sequence[str]) -> str:
    cells = (
        f"<td{style}>{_NULL if value is None else html.escape(shown(value, exact=False))}</td>"
        for style, value in zip(styles, row)
    )
    return f"<tr>{''.join(cells)}</tr>"


def code(text: str) -> str:
    """Source text."""
    return f"<pre>{html.escape(text)}</pre>"


def lines(texts: Sequence[str]) -> str:
    """Sentences, one below the other."""
    return "".join(f"<p>{html.escape(text)}</p>" for text in texts)
