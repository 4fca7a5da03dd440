"""The tables, the schema's version, and how a connection is opened."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from .errors import StoreError
from .filesystems import on_network

VERSION = 2
"""Kept in PRAGMA user_version.  A store with a larger one was written by a newer florc."""

OLDEST_USABLE = 1
"""Stores from this version on can be read and written as they are, without what came later."""

APPLICATION_ID = 0x666C6F72  # "flor"

BUSY_SECONDS = 30.0

TABLES = """
CREATE TABLE runs (
    run INTEGER PRIMARY KEY AUTOINCREMENT,
    script TEXT, argv TEXT, started TEXT, ended TEXT, status TEXT, exit_code INTEGER,
    version TEXT, branch TEXT, commit_sha TEXT, dirty INTEGER, dirty_diff TEXT,
    cwd TEXT, host TEXT, pid INTEGER, process TEXT, python TEXT,
    env TEXT, packages TEXT, args TEXT, plan TEXT, budget REAL,
    dropped INTEGER NOT NULL DEFAULT 0, note TEXT
);
CREATE TABLE arguments (
    run INTEGER, name TEXT, value, kind INTEGER, exact, PRIMARY KEY (run, name)
) WITHOUT ROWID;

-- A shape is a nest of loops, e.g. epoch/step; shape 0 is the root, outside all loops.
CREATE TABLE shapes (
    shape INTEGER PRIMARY KEY, parent INTEGER, loop TEXT, depth INTEGER, UNIQUE (parent, loop)
);
-- A node is one iteration of one loop of a run; node 0 is the run itself.
CREATE TABLE nodes (
    run INTEGER, node INTEGER, parent INTEGER, shape INTEGER, idx INTEGER,
    value, kind INTEGER, exact, time REAL, PRIMARY KEY (run, node)
) WITHOUT ROWID;
CREATE UNIQUE INDEX nodes_by_shape ON nodes (run, shape, parent, idx);
CREATE TABLE names (name_id INTEGER PRIMARY KEY, name TEXT UNIQUE);
CREATE TABLE statements (stmt_id INTEGER PRIMARY KEY, stmt TEXT UNIQUE);
-- source: 0 recorded, 1 replayed.  shown = 1 on the one row of a cell that `logs` shows.
CREATE TABLE cells (
    run INTEGER, node INTEGER, name_id INTEGER, ordinal INTEGER, source INTEGER,
    value, kind INTEGER, exact, stmt_id INTEGER, time REAL, shown INTEGER,
    PRIMARY KEY (run, node, name_id, ordinal, source)
) WITHOUT ROWID;
-- Which names live in which shapes of a run: it decides the granularity of `logs`.
-- typed = 1: some value there isn't what SQLite shows (True, NaN, a list, …).
CREATE TABLE name_shapes (
    run INTEGER, name_id INTEGER, shape INTEGER, typed INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (run, name_id, shape)
) WITHOUT ROWID;
CREATE TABLE loop_shapes (
    run INTEGER, shape INTEGER, typed INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (run, shape)
) WITHOUT ROWID;
-- Positions that a replay has re-executed for a statement, whether or not it logged there.
CREATE TABLE replayed (
    run INTEGER, name_id INTEGER, stmt_id INTEGER, node INTEGER,
    PRIMARY KEY (run, name_id, stmt_id, node)
) WITHOUT ROWID;
CREATE TABLE checkpoints (
    run INTEGER, loop TEXT, position TEXT, node INTEGER, file TEXT, nbytes INTEGER,
    stored INTEGER, persist_s REAL, checksum TEXT, time REAL
);
CREATE INDEX checkpoints_by_run ON checkpoints (run, loop, node);
CREATE TABLE versions (
    version TEXT PRIMARY KEY, created TEXT, branch TEXT, commit_sha TEXT, dirty INTEGER
);
CREATE TABLE sources (version TEXT, path TEXT, blob TEXT, PRIMARY KEY (version, path))
    WITHOUT ROWID;
CREATE TABLE blobs (blob TEXT PRIMARY KEY, text BLOB) WITHOUT ROWID;
INSERT INTO shapes VALUES (0, NULL, NULL, 0);
"""

PACKS = """
-- Values of ended runs by column (packs.py), beside the rows.  packed.changes grows with each
-- change of a run's rows, which also sets its pack to NULL.
CREATE TABLE packs (pack INTEGER PRIMARY KEY AUTOINCREMENT, layout TEXT);
CREATE TABLE pack_columns (
    pack INTEGER, shape INTEGER, name_id INTEGER, data BLOB, PRIMARY KEY (pack, shape, name_id)
);
CREATE TABLE packed (run INTEGER PRIMARY KEY, pack INTEGER, changes INTEGER NOT NULL DEFAULT 0);
"""

REGIONS = """
CREATE TABLE IF NOT EXISTS regions (
    run INTEGER, node INTEGER, stmt_id INTEGER, number INTEGER, data BLOB,
    PRIMARY KEY (run, node, stmt_id, number)
) WITHOUT ROWID
"""
"""What executions of skippable regions left behind.  Made with the first: a store may lack it."""


MIGRATIONS: dict[int, str] = {
    1: PACKS
    + """
CREATE UNIQUE INDEX nodes_by_shape ON nodes (run, shape, parent, idx);
DROP INDEX nodes_by_parent;
""",
}
"""Version -> what makes it the next one."""


def connect(path: Path) -> sqlite3.Connection:
    """Open a connection in autocommit mode, with the settings every process shares."""
    connection = sqlite3.connect(
        path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA cache_size = -65536")
    connection.execute("PRAGMA temp_store = MEMORY")
    return connection


def initialise(path: Path) -> None:
    """Create the tables unless another process just did.  Raises sqlite3.Error, OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            return _initialise(path)
        except sqlite3.OperationalError as error:
            # Switching to WAL doesn't wait for other processes by itself.
            if not is_busy(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another connection stood in the way."""
    return "locked" in str(error) or "busy" in str(error)


def _initialise(path: Path) -> None:
    connection = connect(path)
    try:
        if version(connection):
            return
        set_journal(connection, path)
        with exclusive(connection):
            if version(connection) == 0:
                _run(connection, TABLES + PACKS)
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {VERSION}")
    finally:
        connection.close()


def version(connection: sqlite3.Connection) -> int:
    """The schema version of a database; 0 of an empty one."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _run(connection: sqlite3.Connection, script: str) -> None:
    for statement in script.split(";\n"):
        if statement.strip():
            connection.execute(statement)


@contextlib.contextmanager
def exclusive(connection: sqlite3.Connection) -> Iterator[None]:
    """A transaction that excludes all others; rolled back if the block raises."""
    connection.execute("BEGIN EXCLUSIVE")
    try:
        yield
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def migrate(path: Path) -> bool:
    """Bring an older store to VERSION; False if others use it now: it can be used as it is.

    Needs the database for itself: no other connection may be open, for one of an older florc
    would go on writing what is no longer read.  Raises sqlite3.Error.
    """
    connection = sqlite3.connect(path, timeout=0.2, isolation_level=None)
    try:
        if not 0 < version(connection) < VERSION:
            return True
        journal = journal_mode(connection)
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        try:
            # Leaving WAL takes all connections' consent, which a lock alone doesn't.
            if journal == "wal":
                connection.execute("PRAGMA journal_mode = DELETE")
            with exclusive(connection):
                for found in range(version(connection), VERSION):
                    _run(connection, MIGRATIONS[found])
                    connection.execute(f"PRAGMA user_version = {found + 1}")
        except sqlite3.OperationalError as error:
            if is_busy(error) or "readonly" in str(error):
                return False
            raise
        finally:
            if not connection.in_transaction:
                connection.execute("PRAGMA locking_mode = NORMAL")
        set_journal(connection, path)
        return True
    finally:
        connection.close()


def journal_mode(connection: sqlite3.Connection) -> str:
    """How changes are kept until they are in the file: wal, delete or another of SQLite's."""
    return str(connection.execute("PRAGMA journal_mode").fetchone()[0]).lower()


def set_journal(connection: sqlite3.Connection, path: Path) -> None:
    """WAL on a local disk; a rollback journal where processes of several machines may meet."""
    mode = "DELETE" if on_network(path) else "WAL"
    if journal_mode(connection) != mode.lower():
        connection.execute(f"PRAGMA journal_mode = {mode}")


def open_checked(path: Path) -> sqlite3.Connection:
    """A connection to an existing store, brought up to date if it can be.

    Raises StoreError if it is none that can be used, sqlite3.Error.
    """
    connection = connect(path)
    try:
        if check(connection, path) < VERSION:
            connection.close()
            migrate(path)
            connection = connect(path)
            check(connection, path)
        _mend_journal(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _mend_journal(connection: sqlite3.Connection, path: Path) -> None:
    """A store may have been moved to another kind of disk."""
    try:
        set_journal(connection, path)
    except sqlite3.OperationalError as error:
        if on_network(path) and is_busy(error):
            raise StoreError(
                f"{path} is on a network file system, but used now as if it weren't: "
                "wait for the processes that use it, or set FLOR_NETWORK_STORE=0"
            ) from None  # otherwise it only could be faster


def check(connection: sqlite3.Connection, path: Path) -> int:
    """The store's version.  Raises StoreError unless it can be read."""
    try:
        found = version(connection)
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.DatabaseError as error:
        raise StoreError(f"{path} is damaged or no store: {error}") from None
    if found > VERSION:
        raise StoreError(
            f"{path} was written by a newer florc (schema {found}, this one reads {VERSION}): "
            "upgrade florc"
        )
    if found < OLDEST_USABLE:
        raise StoreError(f"{path} is not a florc store")
    return found
