"""Answering a query by SQLite: each scan of a virtual table becomes a view of what it names.

The query's own text is kept.  Only table names are replaced by the views' names, and hidden
columns are appended that tell the type of values which SQLite can't hold (True, NaN, 10**30, …).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from florc.queries import Analysis, Catalogue, QueryError, Reading, Scan

from . import edits
from .edits import quoted
from .pivot import Pivot
from .tables import PLAIN_TABLES, TABLES, table_view
from .values import NONE, decode, decode_array, is_array

Declaration = tuple[int, str, tuple[str, ...]]
Table = tuple[list[str], list[tuple[Any, ...]]]


def catalogue(connection: sqlite3.Connection, declared: Sequence[Declaration] = ()) -> Catalogue:
    """The names of a store, with those that are only declared."""
    loops = connection.execute(
        "SELECT loop FROM shapes WHERE shape IN (SELECT shape FROM loop_shapes) "
        "GROUP BY loop ORDER BY min(depth), min(shape)"
    )
    declared_loops = (loop for _, _, path in declared for loop in path)
    loop_names = tuple(dict.fromkeys([*(row[0] for row in loops), *declared_loops]))
    names = connection.execute(
        "SELECT name FROM names WHERE name_id IN (SELECT name_id FROM name_shapes) ORDER BY name_id"
    )
    logged = dict.fromkeys([*(row[0] for row in names), *(name for _, name, _ in declared)])
    arguments = connection.execute(
        "SELECT name FROM arguments GROUP BY name ORDER BY min(run), name"
    )
    tables = dict(PLAIN_TABLES)
    for name, fixed in TABLES.items():
        extra = (loop for loop in loop_names if loop not in fixed)
        tables[name] = (*fixed, *extra)
    return Catalogue(loop_names, tuple(logged), tuple(row[0] for row in arguments), tables)


def by_sqlite(connection: sqlite3.Connection, analysis: Analysis, views: Views) -> Table:
    """Columns and rows of a query.  Raises QueryError (one line)."""
    companions = edits.companions(analysis, views.pivot.typed)
    text = edits.rewrite(
        analysis,
        {id(scan): views.create(scan, companions.columns(scan)) for scan in analysis.scans},
        companions,
    )
    return _run(connection, text, companions)


def _run(connection: sqlite3.Connection, text: str, companions: edits.Companions) -> Table:
    connection.execute("PRAGMA query_only = ON")
    try:
        cursor = connection.execute(text)
        rows = cursor.fetchall()
    except (sqlite3.Error, sqlite3.Warning) as error:
        raise QueryError(f"SQLite can't answer this: {error}") from None
    finally:
        connection.execute("PRAGMA query_only = OFF")
    hidden = 2 * len(companions.outputs)
    columns = [column[0] for column in cursor.description]
    visible = len(columns) - hidden
    return columns[:visible], [_restored(row, visible, companions.outputs) for row in rows]


def _restored(row: tuple[Any, ...], visible: int, outputs: Sequence[int]) -> tuple[Any, ...]:
    """Python values for a row of SQLite's."""
    if not outputs:
        if not any(type(value) is bytes for value in row):
            return row
    values = list(row[:visible])
    for i, output in enumerate(outputs):
        kind, exact = row[visible + 2 * i : visible + 2 * i + 2]
        if kind is not None and kind != NONE:
            values[output] = decode(kind, values[output], exact)
    for i, value in enumerate(values):
        if type(value) is bytes and i not in outputs and is_array(value):
            values[i] = decode_array(value)
    return tuple(values)


class Views:
    """Makes the views of one query, and drops them at the end of the `with` block."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        declared: Sequence[Declaration] = (),
        hidden: Mapping[int, Collection[str]] | None = None,
    ) -> None:
        self.connection = connection
        self._hidden = hidden
        self.catalogue = catalogue(connection, declared)
        self._declared = declared
        self._pivot: Pivot | None = None
        self._made: list[str] = []

    def __enter__(self) -> Views:
        return self

    def __exit__(self, *_: object) -> None:
        for name in self._made:
            self.connection.execute(f"DROP VIEW IF EXISTS temp.{quoted(name)}")

    @property
    def pivot(self) -> Pivot:
        """The builder of `logs`."""
        if self._pivot is None:
            self._pivot = Pivot(self.connection, self.catalogue, self._declared, self._hidden)
        return self._pivot

    def create(
        self, scan: Scan, companions: Sequence[str] = (), *, node: bool = False,
        reading: Reading | None = None,
    ) -> str:  # fmt: skip
        """Make the view of a scan; returns its name.

        `companions` are columns whose kind and exact value are needed too.  With `node`, a view of
        `logs` has the columns "flor:node" and "flor:shape": the row's iteration.  `reading` says
        what is read of the view: nothing else need be there.
        """
        if scan.table == "logs":
            select = self.pivot.select(scan.columns, companions, node=node, reading=reading)
        else:
            select = table_view(self.connection, scan.table, scan.columns, companions)
        name = f"flor:{scan.table}:{len(self._made)}"
        self.connection.execute(f"CREATE TEMP VIEW {quoted(name)} AS {select}")
        self.add(name)
        return name

    def add(self, name: str) -> None:
        """Drop a view made elsewhere with the others."""
        self._made.append(name)
