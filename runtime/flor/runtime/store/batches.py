"""One transaction of a `RunWriter`: buffered entries become rows."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Sequence
from typing import Any

from .costs import put_timings
from .positions import Nodes, context_at
from .schema import REGIONS, version
from .values import encode, is_typed

_INSERT_RECORDED = "INSERT OR REPLACE INTO cells VALUES (?, ?, ?, ?, 0, ?, ?, ?, ?, ?, 1)"
# A replayed value is shown only where nothing was recorded under that name.
_INSERT_REPLAYED = (
    "INSERT OR REPLACE INTO cells VALUES (?1, ?2, ?3, ?4, 1, ?5, ?6, ?7, ?8, ?9, NOT EXISTS ("
    "SELECT 1 FROM cells WHERE run = ?1 AND node = ?2 AND name_id = ?3 AND source = 0))"
)
# The last one before; those before it are hidden already (touching them all would be quadratic).
_HIDE_EARLIER = (
    "UPDATE cells SET shown = 0 "
    "WHERE run = ?1 AND node = ?2 AND name_id = ?3 AND source = ?4 AND ordinal = ("
    "SELECT max(ordinal) FROM cells "
    "WHERE run = ?1 AND node = ?2 AND name_id = ?3 AND source = ?4 AND ordinal < ?5)"
)
# A position that is replayed again may log fewer values than the time before.
_FORGET_LATER = (
    "DELETE FROM cells WHERE run = ? AND node = ? AND name_id = ? AND source = 1 AND ordinal > 0"
)
_REMEMBERED = 200_000


class Batch:
    """Turns entries into rows; remembers ids between transactions."""

    def __init__(self, connection: sqlite3.Connection, run: int, source: int) -> None:
        self._connection = connection
        self._run = run
        self._source = source
        self._nodes = Nodes(connection, run, fresh=source == 0)
        self._forget()

    def _forget(self) -> None:
        self._nodes.forget()
        self._names: dict[str, int] = {}
        self._statements: dict[str, int] = {}
        self._shapes_of: dict[tuple[int, int], bool] = {}
        self._ordinals: dict[tuple[int, int], int] = {}
        self._has_regions = False  # whether the table is there
        self._version = version(self._connection)
        # The ordinals of nodes from this one on are all in memory; 0: not known yet.
        self._complete_from = 0

    def write(self, entries: Sequence[tuple[Any, ...]]) -> None:
        """Write all entries in one transaction, or none.  Raises sqlite3.Error."""
        try:
            self._write(entries)
        except sqlite3.IntegrityError:
            if not self._nodes.fresh:
                raise
            self._nodes.fresh = False  # someone else adds iterations to this run: ask each time
            self._write(entries)

    def _write(self, entries: Sequence[tuple[Any, ...]]) -> None:
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        # A retry after a rollback must count ordinals from where the transaction began.
        ordinals = dict(self._ordinals) if self._source else None
        try:
            self._nodes.begin()
            self._complete_from = self._complete_from or self._nodes.next
            self._rows: list[tuple[Any, ...]] = []
            for entry in entries:
                getattr(self, "_" + entry[0])(*entry[1:])
            self._write_rows()
            self._nodes.write()
            bump(connection, self._run, self._version)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            self._forget()
            if ordinals is not None:
                self._ordinals = ordinals
            raise

    def _write_rows(self) -> None:
        if self._rows:
            self._connection.executemany(_INSERT_RECORDED, self._rows)
            self._rows.clear()

    def _iteration(self, ctx: Any, time: float) -> None:
        self._nodes.resolve(ctx, time)

    def _log(self, name: str, value: Any, ctx: Any, stmt: str | None, time: float) -> None:
        node, shape = self._nodes.resolve(ctx, time)
        name_id = self._names.get(name)
        if name_id is None:
            name_id = self._names[name] = intern_name(self._connection, name)
        stmt_id = None
        if stmt is not None:
            stmt_id = self._statements.get(stmt)
            if stmt_id is None:
                stmt_id = self._statements[stmt] = intern_statement(self._connection, stmt)
        kind, shown, exact = encode(value)
        typed = is_typed(kind, exact)
        if typed > self._shapes_of.get((name_id, shape), -1):
            self._shapes_of[name_id, shape] = typed
            self._connection.execute(
                "INSERT INTO name_shapes VALUES (?, ?, ?, ?) "
                "ON CONFLICT DO UPDATE SET typed = max(typed, excluded.typed)",
                (self._run, name_id, shape, typed),
            )
        ordinal = self._next_ordinal(node, name_id)
        row = (self._run, node, name_id, ordinal, shown, kind, exact, stmt_id, time)
        if self._source:
            self._replace(row)
        else:
            self._rows.append(row)
            if ordinal:
                self._write_rows()
                self._connection.execute(
                    _HIDE_EARLIER, (self._run, node, name_id, self._source, ordinal)
                )

    def _replace(self, row: tuple[Any, ...]) -> None:
        run, node, name_id, ordinal = row[:4]
        if ordinal == 0:
            self._connection.execute(_FORGET_LATER, (run, node, name_id))
        self._connection.execute(_INSERT_REPLAYED, row)
        if ordinal:
            self._connection.execute(_HIDE_EARLIER, (run, node, name_id, 1, ordinal))

    def _next_ordinal(self, node: int, name_id: int) -> int:
        """How often `name` was logged at `node` so far.

        A recorder's memory of it is bounded: what it no longer remembers is looked up.  A replay
        counts from 0, for it logs the whole iteration again.
        """
        key = (node, name_id)
        ordinal = self._ordinals.get(key)
        if ordinal is None:
            ordinal = 0
            if not self._source and node < self._complete_from:
                self._write_rows()
                row = self._connection.execute(
                    "SELECT max(ordinal) + 1 FROM cells "
                    "WHERE run = ? AND node = ? AND name_id = ? AND source = 0",
                    (self._run, *key),
                ).fetchone()
                ordinal = row[0] or 0
        if len(self._ordinals) > _REMEMBERED and not self._source:
            self._ordinals.clear()
            self._complete_from = self._nodes.next
        self._ordinals[key] = ordinal + 1
        return ordinal

    def _timing(self, what: str, seconds: float) -> None:
        put_timings(self._connection, self._run, {what: seconds})

    def _reset(self) -> None:
        self._ordinals.clear()

    def _region(self, ctx: Any, region: str, number: int, data: bytes) -> None:
        node, _ = self._nodes.resolve(ctx, None)
        if not self._has_regions:
            self._connection.execute(REGIONS)
            self._has_regions = True
        stmt_id = self._statements.get(region)
        if stmt_id is None:
            stmt_id = self._statements[region] = intern_statement(self._connection, region)
        self._connection.execute(
            "INSERT OR REPLACE INTO regions VALUES (?, ?, ?, ?, ?)",
            (self._run, node, stmt_id, number, zlib.compress(data)),
        )

    def _checkpoint(self, published: Any, time: float) -> None:
        # The head's own iteration may never begin (a loop's last head): only the outer one is sure.
        node, _ = self._nodes.resolve(context_at(published.position[:-1]), None)
        coordinates = [
            [step[0], step[1], step[2] if len(step) > 2 else step[1]] for step in published.position
        ]
        self._connection.execute(
            "INSERT INTO checkpoints VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                self._run,
                published.loop,
                json.dumps(coordinates, default=repr),
                node,
                str(published.file),
                published.nbytes,
                published.stored,
                published.persist_s,
                str(published.checksum),
                time,
            ),
        )


def bump(connection: sqlite3.Connection, run: int, version: int) -> None:
    """The run's rows change (call in the same transaction): what was packed of it is void."""
    if version >= 2:
        connection.execute(
            "INSERT INTO packed VALUES (?, NULL, 1) "
            "ON CONFLICT DO UPDATE SET pack = NULL, changes = changes + 1",
            (run,),
        )


def intern_name(connection: sqlite3.Connection, name: str) -> int:
    """The id of a logged name, made if it is new (needs a transaction)."""
    connection.execute("INSERT OR IGNORE INTO names (name) VALUES (?)", (name,))
    row = connection.execute("SELECT name_id FROM names WHERE name = ?", (name,)).fetchone()
    return int(row[0])


def intern_statement(connection: sqlite3.Connection, stmt: str) -> int:
    """The id of a log statement, made if it is new (needs a transaction)."""
    connection.execute("INSERT OR IGNORE INTO statements (stmt) VALUES (?)", (stmt,))
    row = connection.execute("SELECT stmt_id FROM statements WHERE stmt = ?", (stmt,)).fetchone()
    return int(row[0])
