"""What a NULL in a column means: run by run, what became of a name.

A name is *recorded*, *replayed* or *partly replayed* where it has values; *not yet replayed* where
today's script logs it and the run's own didn't; *not reached* where the run's script had the
statement and never came there; *refused* where a replay can't answer; else *never logged*.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..store.store import Store

RECORDED, REPLAYED, PARTLY = "recorded", "replayed", "partly replayed"
WAITING, UNREACHED, REFUSED, NEVER = "not yet replayed", "not reached", "refused", "never logged"


@dataclass(frozen=True)
class Waiting:
    """What replays could still do for a name, by run, and why they can't in others."""

    positions: Mapping[int, int]
    refused: Mapping[int, str]


NOTHING = Waiting({}, {})


@dataclass(frozen=True)
class NameStatus:
    """What became of one name in one run, counted in iterations of the loops that log it."""

    run: int
    state: str
    values: int  # shown by `logs`, not NULL
    nulls: int  # None or not a number was logged
    unlogged: int  # nothing was logged there
    replayed: int  # of values and nulls: added by replays
    waiting: int  # would be replayed for a query that reads the whole column
    why: str = ""


_COUNTS = """
SELECT count(*) FILTER (WHERE value IS NOT NULL), count(*) FILTER (WHERE value IS NULL),
    count(*) FILTER (WHERE source = 1)
FROM cells WHERE run = ?1 AND name_id = ?2 AND shown = 1
"""
_PLACES = """
SELECT coalesce(sum(CASE WHEN shape = 0 THEN 1 ELSE (
    SELECT count(*) FROM nodes n WHERE n.run = ?1 AND n.shape = s.shape) END), 0)
FROM name_shapes s WHERE run = ?1 AND name_id = ?2
"""


def status(store: Store, name: str, waiting: Waiting = NOTHING) -> list[NameStatus]:
    """The state of a name in each run, oldest first."""
    row = store.connection.execute("SELECT name_id FROM names WHERE name = ?", (name,)).fetchone()
    name_id = row[0] if row else -1
    found = []
    for run in store.runs():
        key = (run.run, name_id)
        values, nulls, replayed = store.connection.execute(_COUNTS, key).fetchone()
        (places,) = store.connection.execute(_PLACES, key).fetchone()
        left, why = waiting.positions.get(run.run, 0), waiting.refused.get(run.run, "")
        state = _state(store, run.run, name, values + nulls, replayed, left, why)
        unlogged = max(places - values - nulls - left, 0)
        found.append(NameStatus(run.run, state, values, nulls, unlogged, replayed, left, why))
    return found


def _state(
    store: Store, run: int, name: str, logged: int, replayed: int, waiting: int, refused: str
) -> str:
    if logged > replayed:
        return RECORDED
    if logged:
        return PARTLY if waiting or refused else REPLAYED
    if refused:
        return REFUSED
    if waiting:
        return WAITING
    if _was_replayed(store, run, name):
        return REPLAYED  # and logged nothing
    plan = store.plan(run)
    if plan is not None and any(statement.name == name for statement in plan.logs):
        return UNREACHED
    return NEVER


def _was_replayed(store: Store, run: int, name: str) -> bool:
    query = "SELECT 1 FROM replayed JOIN names USING (name_id) WHERE run = ? AND name = ? LIMIT 1"
    return store.connection.execute(query, (run, name)).fetchone() is not None
