"""Printing an answer: a table for people, CSV or JSON for programs."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Sequence
from typing import Any, TextIO

FORMATS = ("table", "csv", "json")

_WIDEST = 60  # characters of one cell of a table


def render(
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    format: str = "table",
    *,
    file: TextIO | None = None,
) -> None:
    """Print rows in one of FORMATS to `file` (default: standard output).

    A table on a terminal rounds to six digits; everywhere else a float is printed exactly.
    """
    out = sys.stdout if file is None else file
    if format == "csv":
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([_csv_cell(value) for value in row] for row in rows)
    elif format == "json":
        out.write(_json_text(columns, rows))
    elif format == "table":
        _table(columns, rows, out)
    else:
        raise ValueError(f"format is one of {', '.join(FORMATS)}, not {format!r}")


def _csv_cell(value: Any) -> str:
    """None is empty; text is itself; everything else as Python or JSON writes it, exactly."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    if isinstance(value, (list, dict)):
        return json.dumps(value, ensure_ascii=False)
    if hasattr(value, "tolist"):
        return json.dumps(value.tolist())
    if isinstance(value, bytes):
        return value.hex()
    return repr(value)


def _json_text(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A list with one object per row.  NaN and infinities are written as Python's json does."""
    names = _unique(columns)
    lines = [
        json.dumps(dict(zip(names, row)), ensure_ascii=False, default=_json_default) for row in rows
    ]
    return "[" + ",\n ".join(lines) + "]\n"


def _json_default(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    return value.hex() if isinstance(value, bytes) else str(value)


def _unique(columns: Sequence[str]) -> list[str]:
    """Two columns of one name can't both be keys: the second is called NAME_2."""
    names: list[str] = []
    for column in columns:
        name, n = column, 2
        while name in names:
            name, n = f"{column}_{n}", n + 1
        names.append(name)
    return names


def _shown(value: Any, exact: bool) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return repr(value) if exact else f"{value:.6g}"
    if hasattr(value, "tolist"):
        text = f"{value.dtype}{list(value.shape)} {value.ravel()[:4].tolist()}"
    else:
        text = value if isinstance(value, str) else _csv_cell(value)
    text = text.replace("\n", "\\n").replace("\t", "\\t")
    return text if len(text) <= _WIDEST else text[: _WIDEST - 1] + "…"


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]], out: TextIO) -> None:
    terminal = out.isatty()
    cells = [[_shown(value, exact=not terminal) for value in row] for row in rows]
    right = [_numeric(rows, i) for i in range(len(columns))]
    if terminal:
        _rich_table(columns, cells, right, out)
        return
    widths = [
        max([len(column), *(len(row[i]) for row in cells)]) for i, column in enumerate(columns)
    ]
    for row in ([*columns], ["-" * width for width in widths], *cells):
        line = "  ".join(
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(row, widths, right)
        )
        out.write(line.rstrip() + "\n")


def _numeric(rows: Sequence[Sequence[Any]], column: int) -> bool:
    values = [row[column] for row in rows if row[column] is not None]
    return bool(values) and all(
        isinstance(value, (int, float)) and not isinstance(value, bool) for value in values
    )


def _rich_table(
    columns: Sequence[str], cells: Sequence[Sequence[str]], right: Sequence[bool], out: TextIO
) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column, to_right in zip(columns, right):
        table.add_column(Text(column), justify="right" if to_right else "left")
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))
    Console(file=out).print(table)
