"""The tables, the schema's version, and how a connection is opened."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

from .errors import StoreError

VERSION = 1
"""Kept in PRAGMA user_version.  A store with a larger one was written by a newer florc."""

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
CREATE UNIQUE INDEX nodes_by_parent ON nodes (run, parent, shape, idx);
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

REGIONS = """
CREATE TABLE IF NOT EXISTS regions (
    run INTEGER, node INTEGER, stmt_id INTEGER, number INTEGER, data BLOB,
    PRIMARY KEY (run, node, stmt_id, number)
) WITHOUT ROWID
"""
"""What executions of skippable regions left behind.  Made with the first: a store may lack it."""


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
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _initialise(path: Path) -> None:
    connection = connect(path)
    try:
        if connection.execute("PRAGMA user_version").fetchone()[0]:
            return
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("BEGIN IMMEDIATE")
        if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
            for statement in TABLES.split(";\n"):
                if statement.strip():
                    connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    finally:
        connection.close()


def check(connection: sqlite3.Connection, path: Path) -> None:
    """Raise StoreError unless this is a store of a version that can be read."""
    try:
        found = connection.execute("PRAGMA user_version").fetchone()[0]
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.DatabaseError as error:
        raise StoreError(f"{path} is damaged or no store: {error}") from None
    if found > VERSION:
        raise StoreError(
            f"{path} was written by a newer florc (schema {found}, this one reads {VERSION}): "
            "upgrade florc"
        )
    if found == 0:
        raise StoreError(f"{path} is not a florc store")
