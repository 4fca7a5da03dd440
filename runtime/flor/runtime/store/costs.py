"""What runs and replays took besides their iterations: two tables, made with their first entry."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass, fields

TIMINGS = """
CREATE TABLE IF NOT EXISTS timings (
    run INTEGER, what TEXT, seconds REAL, PRIMARY KEY (run, what)
) WITHOUT ROWID
"""
"""Of recorded runs: SCRIPT and END in seconds since the epoch, REGION + id as a mean duration."""

REPLAYS = """
CREATE TABLE IF NOT EXISTS replay_costs (
    number INTEGER PRIMARY KEY, time REAL, machine TEXT, origin TEXT, script TEXT, run INTEGER,
    workers INTEGER, component TEXT, base REAL, expected REAL, took REAL
)
"""

SCRIPT, END, REGION = "script", "end", "region:"
KEPT = 5_000
"""Rows of replay_costs: the oldest beyond go."""


@dataclass(frozen=True)
class Observation:
    """What one component of one replay took, and what had been expected of it."""

    time: float  # seconds since the epoch
    machine: str  # on which it was replayed
    origin: str  # the host on which the run was recorded
    script: str
    run: int
    workers: int  # processes at once
    component: str
    base: float  # seconds by what was recorded, before any correction
    expected: float
    took: float


NAMES = ", ".join(field.name for field in fields(Observation))


def put_timings(connection: sqlite3.Connection, run: int, timings: Mapping[str, float]) -> None:
    """Keep durations of a run (needs a transaction)."""
    connection.execute(TIMINGS)
    connection.executemany(
        "INSERT OR REPLACE INTO timings VALUES (?, ?, ?)",
        [(run, what, float(seconds)) for what, seconds in timings.items()],
    )


def get_timings(connection: sqlite3.Connection, run: int) -> dict[str, float]:
    """What `put_timings` was given of a run."""
    if not exists(connection, "timings"):
        return {}
    return dict(connection.execute("SELECT what, seconds FROM timings WHERE run = ?", (run,)))


def put_observations(connection: sqlite3.Connection, found: Iterable[Observation]) -> None:
    """Keep what a replay took (needs a transaction)."""
    connection.execute(REPLAYS)
    marks = ", ".join("?" * len(fields(Observation)))
    rows = [astuple(each) for each in found]
    connection.executemany(f"INSERT INTO replay_costs ({NAMES}) VALUES ({marks})", rows)
    connection.execute(
        "DELETE FROM replay_costs WHERE number <= (SELECT max(number) FROM replay_costs) - ?",
        (KEPT,),
    )


def get_observations(connection: sqlite3.Connection, machine: str) -> list[Observation]:
    """What replays took on a machine, the oldest first."""
    if not exists(connection, "replay_costs"):
        return []
    rows = connection.execute(
        f"SELECT {NAMES} FROM replay_costs WHERE machine = ? ORDER BY number", (machine,)
    )
    return [Observation(*row) for row in rows]


def exists(connection: sqlite3.Connection, table: str) -> bool:
    """Whether a table has been made."""
    query = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
    return connection.execute(query, (table,)).fetchone() is not None
