"""A query's answer, as rows or as columns, by whichever way is faster; both give the same."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from florc.queries import Analysis, analyse

from . import relation, schema
from .relation import Declaration, Views
from .rows import Answer

if TYPE_CHECKING:
    from .packs import Pack

WORTHWHILE = 20_000_000
"""Bytes of a database from which on numpy is imported for a query of rows."""


def answer(
    connection: sqlite3.Connection,
    sql: str,
    declared: Sequence[Declaration] = (),
    *,
    columns: bool = False,
) -> Answer:
    """Answer a query.  Raises QueryError (one line).

    `columns` says that columns are wanted, so that they are worth some effort.
    """
    with Views(connection, declared) as views:
        analysis = analyse(sql, views.catalogue)
        if _worthwhile(connection, columns):
            found = _by_column(connection, analysis, views)
            if found is not None:
                return found
        return Answer(*relation.by_sqlite(connection, analysis, views))


def _worthwhile(connection: sqlite3.Connection, columns: bool) -> bool:
    if schema.version(connection) < 2 or connection.in_transaction:
        return False
    if columns or "numpy" in sys.modules:
        return True
    pages, size = (
        connection.execute(f"PRAGMA {what}").fetchone()[0] for what in ("page_count", "page_size")
    )
    return bool(pages * size >= WORTHWHILE)


def _by_column(connection: sqlite3.Connection, analysis: Analysis, views: Views) -> Answer | None:
    try:
        import numpy  # noqa: F401
    except ImportError:
        return None
    from . import packing, vector
    from .plain import plan

    plain = plan(analysis)
    if plain is None:
        return None
    gathered: list[tuple[Pack, int]] = []
    connection.execute("BEGIN")
    try:
        columns = vector.run(
            connection, plain, views.pivot,
            lambda pack: gathered.append((pack, packing.changes(connection, pack.runs[0]))),
        )  # fmt: skip
    finally:
        connection.execute("COMMIT")
    packing.keep(connection, gathered)
    if columns is None:
        return None
    return Answer([name for name, _ in plain.outputs], columns=columns)
