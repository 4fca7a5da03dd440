"""Printing an answer: a table for people, CSV, JSON, JSON lines or Parquet for programs."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from ..errors import FlorError
from ..store.rows import unique
from .columns import table
from .extras import need

FORMATS = ("table", "csv", "json", "jsonl", "parquet")

OBJECTS = ("json", "jsonl")
"""Formats for which a value may have a structure."""

_NO_TEXT = "Parquet is no text for a terminal: say --output FILE"

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
        out.write("[" + ",\n ".join(_objects(columns, rows)) + "]\n")
    elif format == "jsonl":
        out.writelines(line + "\n" for line in _objects(columns, rows))
    elif format == "parquet":
        _parquet(columns, rows, out)
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


def check(format: str, output: str | None) -> None:
    """Raise FlorError now if `write` would for want of a package or a place."""
    if format == "parquet":
        need("pyarrow.parquet", "pyarrow", "the format parquet")
        if output is None and sys.stdout.isatty():
            raise FlorError(_NO_TEXT)
    if output is not None:
        folder = Path(output).absolute().parent
        if not folder.is_dir():
            raise FlorError(f"can't write {output}: there is no folder {folder}")


def write(
    columns: Sequence[str], rows: Sequence[Sequence[Any]], format: str, output: str | None
) -> None:
    """Print rows, or write them to the file `output`.  Raises FlorError (one line)."""
    if output is None:
        render(columns, rows, format)
        return
    packed = _packed(columns, rows) if format == "parquet" else b""
    try:
        if packed:
            Path(output).write_bytes(packed)
        else:
            with open(output, "w", encoding="utf-8", newline="") as file:
                render(columns, rows, format, file=file)
    except OSError as error:
        raise FlorError(f"can't write {output}: {error.strerror or error}") from None


def _parquet(columns: Sequence[str], rows: Sequence[Sequence[Any]], out: TextIO) -> None:
    if out.isatty():
        raise FlorError(_NO_TEXT)
    packed = _packed(columns, rows)
    out.flush()
    out.buffer.write(packed)
    out.buffer.flush()


def _packed(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> bytes:
    """The bytes of a Parquet file.  Raises MissingPackage."""
    parquet = need("pyarrow.parquet", "pyarrow", "the format parquet")
    file = io.BytesIO()
    parquet.write_table(table(columns, rows), file)
    return file.getvalue()


def _objects(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Iterator[str]:
    """One JSON object per row.  NaN and infinities are written as Python's json does."""
    names = unique(columns)
    for row in rows:
        yield json.dumps(dict(zip(names, row)), ensure_ascii=False, default=_json_default)


def _json_default(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    return value.hex() if isinstance(value, bytes) else str(value)


def shown(value: Any, exact: bool) -> str:
    """A value in a cell of a table: short, on one line."""
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
    cells = [[shown(value, exact=not terminal) for value in row] for row in rows]
    right = [numeric(rows, i) for i in range(len(columns))]
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


def numeric(rows: Sequence[Sequence[Any]], column: int) -> bool:
    """Whether a column has numbers only."""
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
