"""Packs: the values of ended runs by column, beside the rows that they are made from.

A pack holds one or several runs.  For each nest of loops and each column it has a blob: a line of
JSON, then arrays.  Rows stay the truth: whoever changes those of a run bumps its entry in `packed`
in the same transaction, and the run is packed anew when someone needs it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from . import column
from .blobs import from_blob, spread, to_blob
from .column import FLOATS, HELD, INTS, Column
from .positions import ROOT
from .values import FLOAT, INT, STR

VALUE, PARENT = -1, -2
"""In the place of a name: an iteration's coordinate, and its outer iteration's row.

Rows are counted within a run and a nest of loops, in the order in which the iterations began.
"""

_CHUNK = 500_000  # rows read at once: Python objects take ten times the space of arrays


class Unpackable(Exception):
    """Values that only rows can hold are needed."""


@dataclass
class Pack:
    """Some runs by column.  `shapes` has the number of rows of each run, in the order of `runs`."""

    runs: list[int]
    shapes: dict[int, list[int]]
    columns: dict[tuple[int, int], Column] = field(default_factory=dict)
    unheld: set[tuple[int, int]] = field(default_factory=set)  # (shape, name) only in rows


# -- from rows ---------------------------------------------------------------------------------


def gather(connection: sqlite3.Connection, run: int) -> Pack:
    """Read a run's rows.  Needs a transaction if someone else may be writing."""
    nodes, parents, shapes, coordinates = _nodes(connection, run)
    row_of = np.zeros(len(nodes) + 1, dtype=np.int64)  # node -> its row among those of its shape
    pack = Pack([run], {})
    largest = int(nodes[-1]) if len(nodes) else ROOT
    if largest >= len(row_of):
        row_of = np.zeros(largest + 1, dtype=np.int64)
    shape_at = np.zeros(len(row_of), dtype=np.int64)
    rows_by_shape = {int(s): np.flatnonzero(shapes == s) for s in np.unique(shapes)}
    for shape, rows in rows_by_shape.items():
        row_of[nodes[rows]] = np.arange(len(rows))
        shape_at[nodes[rows]] = shape
    for shape, rows in rows_by_shape.items():
        pack.shapes[shape] = [len(rows)]
        pack.columns[shape, PARENT] = Column(row_of[parents[rows]], INT)
        if coordinates is None:
            pack.unheld.add((shape, VALUE))
        else:
            pack.columns[shape, VALUE] = coordinates.take(rows)
    pack.shapes[ROOT] = [1]
    _cells(connection, run, pack, row_of, shape_at)
    return pack


def _nodes(connection: sqlite3.Connection, run: int) -> tuple[Any, Any, Any, Column | None]:
    cursor = connection.execute(
        "SELECT node, parent, shape, kind, value, exact FROM nodes WHERE run = ? ORDER BY node",
        (run,),
    )
    numbers, coordinates = [np.zeros((0, 3), dtype=np.int64)], []
    held = True
    while rows := cursor.fetchmany(_CHUNK):
        node, parent, shape, kind, value, exact = zip(*rows)
        numbers.append(np.array((node, parent, shape), dtype=np.int64).T)
        part = _column(list(kind), value, list(exact))
        held = held and part is not None
        if part is not None:
            coordinates.append(part)
    table = np.concatenate(numbers)
    whole = column.concatenate(coordinates) if coordinates else column.absent(0)
    return table[:, 0], table[:, 1], table[:, 2], whole if held else None


def _column(kinds: list[int], values: Sequence[Any], exact: list[Any]) -> Column | None:
    """The column of encoded values; None if it can't hold them."""
    present = set(kinds)
    if present <= FLOATS and len(present) == 1 and exact.count(None) == len(exact):
        return Column(np.array(values, dtype=np.float64), kinds[0])
    if present <= INTS and len(present) == 1:
        return Column(np.array(values, dtype=np.int64), kinds[0])
    if not present <= HELD or (STR in present and exact.count(None) != len(exact)):
        return None
    return column.of_encoded(list(zip(kinds, values, exact)))


def _cells(
    connection: sqlite3.Connection, run: int, pack: Pack, row_of: Any, shape_at: Any
) -> None:
    cursor = connection.execute(
        "SELECT node, name_id, kind, value, exact FROM cells WHERE run = ? AND shown = 1", (run,)
    )
    shapes = int(shape_at.max(initial=0)) + 1
    parts: dict[tuple[int, int], list[tuple[Any, Column]]] = {}
    while rows := cursor.fetchmany(_CHUNK):
        node, name, kind, value, exact = zip(*rows)
        del rows
        nodes, cells = np.array(node, dtype=np.int64), _Cells(kind, value, exact)
        keys = np.array(name, dtype=np.int64) * shapes + shape_at[nodes]
        order = np.argsort(keys, kind="stable")
        starts = np.flatnonzero(np.diff(keys[order], prepend=-1))
        for begin, end in zip(starts.tolist(), [*starts[1:].tolist(), len(order)]):
            at = order[begin:end]
            name_id, shape = divmod(int(keys[at[0]]), shapes)
            part = cells.column(at)
            if part is None:
                pack.unheld.add((shape, name_id))
            else:
                parts.setdefault((shape, name_id), []).append((row_of[nodes[at]], part))
    for key, found in parts.items():
        if key not in pack.unheld:
            rows_at = np.concatenate([at for at, _ in found])
            logged = column.concatenate([part for _, part in found])
            pack.columns[key] = spread(rows_at, logged, pack.shapes[key[0]][0])


class _Cells:
    """Encoded values of several names."""

    def __init__(self, kinds: Any, values: Any, exact: Any) -> None:
        self._floats = None
        if kinds.count(FLOAT) == len(kinds) and exact.count(None) == len(exact):
            self._floats = np.array(values, dtype=np.float64)
            return
        self._kinds = np.array(kinds, dtype=np.uint8)
        self._values = np.array(values, dtype=object)  # scalars and bytes: it stays flat
        self._exact = np.array(exact, dtype=object)

    def column(self, at: Any) -> Column | None:
        """Those at `at` as a column, None if it can't hold them."""
        if self._floats is not None:
            return Column(self._floats[at], FLOAT)
        parts = (self._kinds[at], self._values[at], self._exact[at])
        return _column(*(part.tolist() for part in parts))


# -- in the database ---------------------------------------------------------------------------


def changes(connection: sqlite3.Connection, run: int) -> int:
    """A number that grows whenever the run's rows change."""
    row = connection.execute("SELECT changes FROM packed WHERE run = ?", (run,)).fetchone()
    return int(row[0]) if row else 0


def put(connection: sqlite3.Connection, pack: Pack) -> int:
    """Keep a pack (needs a transaction); returns its number."""
    layout = {
        "runs": pack.runs,
        "shapes": {str(shape): counts for shape, counts in pack.shapes.items()},
        "unheld": sorted(pack.unheld),
    }
    cursor = connection.execute(
        "INSERT INTO packs (layout) VALUES (?)", (json.dumps(layout, separators=(",", ":")),)
    )
    number = int(cursor.lastrowid or 0)
    connection.executemany(
        "INSERT INTO pack_columns VALUES (?, ?, ?, ?)",
        [(number, *key, to_blob(found)) for key, found in sorted(pack.columns.items())],
    )
    connection.executemany(
        "INSERT INTO packed VALUES (?, ?, 0) ON CONFLICT DO UPDATE SET pack = excluded.pack",
        [(run, number) for run in pack.runs],
    )
    return number


def layout(connection: sqlite3.Connection, number: int) -> Pack:
    """A pack without its columns."""
    (text,) = connection.execute("SELECT layout FROM packs WHERE pack = ?", (number,)).fetchone()
    found = json.loads(text)
    shapes = {int(shape): counts for shape, counts in found["shapes"].items()}
    return Pack(found["runs"], shapes, {}, {(s, n) for s, n in found["unheld"]})


def load(connection: sqlite3.Connection, number: int, shape: int, name: int) -> Column | None:
    """A column of a pack; None if nothing of it was logged.  Raises Unpackable if it's damaged."""
    row = connection.execute(
        "SELECT data FROM pack_columns WHERE pack = ? AND shape = ? AND name_id = ?",
        (number, shape, name),
    ).fetchone()
    try:
        return from_blob(row[0]) if row else None
    except Exception as error:  # whatever the bytes may be: `fsck` tells, rows answer
        raise Unpackable from error


def sweep(connection: sqlite3.Connection) -> None:
    """Drop packs that no run is read from any more (needs a transaction)."""
    for table in ("pack_columns", "packs"):
        connection.execute(
            f"DELETE FROM {table} WHERE pack NOT IN "
            "(SELECT pack FROM packed WHERE pack IS NOT NULL)"
        )


def merge(packs: Iterable[Pack]) -> Pack:
    """Several packs (with all their columns) as one, its runs in order."""
    found = list(packs)
    runs = [run for pack in found for run in pack.runs]
    order = sorted(range(len(runs)), key=runs.__getitem__)
    merged = Pack([runs[i] for i in order], {}, {}, {key for p in found for key in p.unheld})
    moved = order != list(range(len(runs)))
    rows: dict[int, Any] = {}  # shape -> where each row of the merged pack was
    for shape in sorted({shape for pack in found for shape in pack.shapes}):
        counts = [n for p in found for n in p.shapes.get(shape, [0] * len(p.runs))]
        starts = np.cumsum([0, *counts])
        rows[shape] = np.concatenate([np.arange(starts[i], starts[i + 1]) for i in order])
        merged.shapes[shape] = [counts[i] for i in order]
    for key in sorted({key for pack in found for key in pack.columns} - merged.unheld):
        parts = [p.columns.get(key) or column.absent(sum(p.shapes.get(key[0], ()))) for p in found]
        whole = column.concatenate(parts)
        merged.columns[key] = whole.take(rows[key[0]]) if moved else whole
    return merged
