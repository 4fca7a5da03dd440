"""When packs are made, and kept."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence

from . import column, packs
from .packs import Pack, changes
from .transaction import Transaction

_PATIENCE_MS = 300  # a query doesn't wait long for other writers just to keep what it gathered
_SMALL = 200_000  # rows; packs below are worth merging
_MANY = 64  # packs that a query opens without much ado; then small ones are merged

__all__ = ["changes", "compact", "keep", "merge_small", "pack_run"]


def keep(connection: sqlite3.Connection, gathered: Sequence[tuple[Pack, int]]) -> bool:
    """Store what was gathered of ended runs, unless they changed since; False: not now."""
    if not gathered:
        return True
    try:
        with _patience(connection, _PATIENCE_MS), Transaction(connection):
            current = [pack for pack, seen in gathered if _settled(connection, pack, seen)]
            if current:
                packs.put(connection, packs.merge(current))
                _merge(connection, _MANY)
                packs.sweep(connection)
    except sqlite3.Error:  # locked, read-only, full: the rows are there
        return False
    return True


def _settled(connection: sqlite3.Connection, pack: Pack, seen: int) -> bool:
    (run,) = pack.runs
    if changes(connection, run) != seen:
        return False
    row = connection.execute("SELECT status FROM runs WHERE run = ?", (run,)).fetchone()
    return row is not None and row[0] != "running"


@contextlib.contextmanager
def _patience(connection: sqlite3.Connection, milliseconds: int) -> Iterator[None]:
    (before,) = connection.execute("PRAGMA busy_timeout").fetchone()
    connection.execute(f"PRAGMA busy_timeout = {milliseconds}")
    try:
        yield
    finally:
        connection.execute(f"PRAGMA busy_timeout = {before}")


def pack_run(connection: sqlite3.Connection, run: int) -> bool:
    """Pack an ended run; False if it couldn't be kept."""
    connection.execute("BEGIN")
    try:
        seen = changes(connection, run)
        pack = packs.gather(connection, run)
    finally:
        connection.execute("COMMIT")
    return keep(connection, [(pack, seen)])


def compact(connection: sqlite3.Connection) -> int:
    """Pack all ended runs, and merge small packs; returns how many runs were packed anew."""
    waiting = connection.execute(
        "SELECT run FROM runs WHERE status <> 'running' AND run NOT IN "
        "(SELECT run FROM packed WHERE pack IS NOT NULL) ORDER BY run"
    ).fetchall()
    count = sum(pack_run(connection, run) for (run,) in waiting)
    merge_small(connection)
    return count


def merge_small(connection: sqlite3.Connection, at_least: int = 2) -> None:
    """Make one pack of neighbouring small ones, if there are `at_least` so many."""
    with Transaction(connection):
        _merge(connection, at_least)
        packs.sweep(connection)


def _merge(connection: sqlite3.Connection, at_least: int) -> None:
    (count,) = connection.execute("SELECT count(*) FROM packs").fetchone()
    if count < at_least:
        return
    for group in _groups(_layouts(connection), at_least):
        found = [_whole(connection, number, members) for number, members in group]
        packs.put(connection, packs.merge(found))


def _layouts(connection: sqlite3.Connection) -> list[tuple[int, list[int], int]]:
    """Each pack: its number, the runs that are read from it, its rows."""
    members: dict[int, list[int]] = {}
    for run, number in connection.execute(
        "SELECT run, pack FROM packed WHERE pack IS NOT NULL ORDER BY run"
    ):
        members.setdefault(number, []).append(run)
    return [
        (n, runs, sum(map(sum, packs.layout(connection, n).shapes.values())))
        for n, runs in members.items()
    ]


def _groups(
    layouts: Iterable[tuple[int, list[int], int]], at_least: int
) -> Iterator[list[tuple[int, list[int]]]]:
    group: list[tuple[int, list[int]]] = []
    size = 0
    for number, members, rows in sorted(layouts, key=lambda item: item[1][0]):
        if rows >= _SMALL or size + rows > 4 * _SMALL:
            if len(group) >= at_least:
                yield group
            group, size = [], 0
        if rows < _SMALL:
            group.append((number, members))
            size += rows
    if len(group) >= at_least:
        yield group


def _whole(connection: sqlite3.Connection, number: int, members: list[int]) -> Pack:
    """A pack with all its columns, of the runs that are still read from it."""
    import numpy as np

    stored = packs.layout(connection, number)
    chosen = np.isin(np.array(stored.runs), np.array(members))
    shapes = {s: np.array(n)[chosen].tolist() for s, n in stored.shapes.items()}
    pack = Pack(
        [run for run, keep in zip(stored.runs, chosen.tolist()) if keep], shapes, {}, stored.unheld
    )
    keys = connection.execute(
        "SELECT shape, name_id FROM pack_columns WHERE pack = ?", (number,)
    ).fetchall()
    for shape, name in keys:
        found = packs.load(connection, number, shape, name)
        assert found is not None
        pack.columns[shape, name] = found.take(np.repeat(chosen, stored.shapes[shape]))
    return pack


def differing(connection: sqlite3.Connection) -> Iterator[int]:
    """Runs whose pack doesn't hold what their rows do."""
    rows = connection.execute("SELECT run, pack FROM packed WHERE pack IS NOT NULL").fetchall()
    for run, number in rows:
        try:
            same = _alike(_whole(connection, number, [run]), packs.gather(connection, run))
        except Exception:  # a damaged blob may fail in any way
            same = False
        if not same:
            yield run


def _alike(stored: Pack, actual: Pack) -> bool:
    """Whether a pack of one run has the columns that its rows give now."""
    if {s: n for s, n in stored.shapes.items() if sum(n)} != actual.shapes:
        return False
    if not stored.unheld >= actual.unheld:
        return False
    for key in stored.columns.keys() | actual.columns.keys():
        if key in stored.unheld or key[0] not in actual.shapes:
            continue
        nothing = column.absent(actual.shapes[key[0]][0])
        a, b = stored.columns.get(key, nothing), actual.columns.get(key, nothing)
        if list(map(repr, a.to_list())) != list(map(repr, b.to_list())):
            return False
    return True


def forget(connection: sqlite3.Connection, run: int) -> None:
    """Void a run's pack."""
    connection.execute("UPDATE packed SET pack = NULL, changes = changes + 1 WHERE run = ?", (run,))
