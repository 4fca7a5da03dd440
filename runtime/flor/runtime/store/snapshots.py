"""Which commit holds the files of a run, and which input files it read."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

TABLES = """
CREATE TABLE IF NOT EXISTS snapshots (
    run INTEGER PRIMARY KEY, commit_sha TEXT, tree TEXT, place TEXT, files INTEGER, size INTEGER,
    left_out TEXT, submodules TEXT, subject TEXT, note TEXT, root TEXT
);
CREATE TABLE IF NOT EXISTS inputs (
    run INTEGER, path TEXT, size INTEGER, mtime_ns INTEGER, hash TEXT, PRIMARY KEY (run, path)
) WITHOUT ROWID;
"""
"""Made with the first entry: an older store lacks them."""

COLUMNS = "commit_sha, tree, place, files, size, left_out, submodules, subject, note, root"


@dataclass(frozen=True)
class Input:
    """A file that a run read: an absolute path; `hash` is None of a large one."""

    path: str
    size: int
    mtime_ns: int
    hash: str | None


def make(connection: sqlite3.Connection) -> None:
    """Make the tables unless they exist."""
    for statement in TABLES.split(";\n"):
        if statement.strip():
            connection.execute(statement)


def put(connection: sqlite3.Connection, run: int, facts: Mapping[str, Any]) -> None:
    """Keep where the version of a run is."""
    make(connection)
    values = (
        run, facts["commit"], facts["tree"], facts["place"], facts["files"], facts["size"],
        json.dumps(facts["left_out"]), json.dumps(facts["submodules"]), facts["subject"],
        facts["note"], facts["root"],
    )  # fmt: skip
    marks = ", ".join("?" * len(values))
    connection.execute(f"INSERT OR REPLACE INTO snapshots VALUES ({marks})", values)


def get(connection: sqlite3.Connection, run: int | None = None) -> dict[int, dict[str, Any]]:
    """What `put` was given, by run; of all runs, or of one."""
    if not _exists(connection, "snapshots"):
        return {}
    names = ("commit", "tree", "place", "files", "size", "left_out", "submodules", "subject")
    found = {}
    query = f"SELECT run, {COLUMNS} FROM snapshots WHERE ?1 IS NULL OR run = ?1 ORDER BY run"
    for number, *row in connection.execute(query, (run,)):
        facts: dict[str, Any] = dict(zip((*names, "note", "root"), row))
        facts["left_out"] = {k: tuple(v) for k, v in json.loads(facts["left_out"]).items()}
        facts["submodules"] = json.loads(facts["submodules"])
        found[number] = facts
    return found


def put_inputs(connection: sqlite3.Connection, run: int, inputs: Iterable[Input]) -> None:
    """Keep what a run read."""
    make(connection)
    connection.executemany(
        "INSERT OR REPLACE INTO inputs VALUES (?, ?, ?, ?, ?)",
        [(run, each.path, each.size, each.mtime_ns, each.hash) for each in inputs],
    )


def get_inputs(connection: sqlite3.Connection, run: int) -> list[Input]:
    """What a run read, by path."""
    if not _exists(connection, "inputs"):
        return []
    rows = connection.execute(
        "SELECT path, size, mtime_ns, hash FROM inputs WHERE run = ? ORDER BY path", (run,)
    )
    return [Input(*row) for row in rows]


def _exists(connection: sqlite3.Connection, table: str) -> bool:
    query = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
    return connection.execute(query, (table,)).fetchone() is not None
