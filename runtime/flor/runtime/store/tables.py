"""The other tables of a query: `runs`, `records`, `iterations`, `loops` and the like.

`records`, `iterations` and `loops` have a column for each loop too; it is NULL in a row that is
outside of that loop.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from florc.queries import view_names

from .edits import EXACT, KIND, quoted
from .positions import ROOT, shape_paths
from .values import KIND_NAMES

TABLES: dict[str, tuple[str, ...]] = {
    "records": ("run", "name", "value", "type", "path", "ordinal", "source", "stmt", "time"),
    "iterations": ("run", "path", "loop", "idx", "value", "time"),
    "loops": ("run", "path", "loop", "count", "started", "ended"),
}
"""Tables that also have the loops' columns."""

PLAIN_TABLES: dict[str, tuple[str, ...]] = {
    "runs": (
        "run", "script", "argv", "started", "ended", "status", "exit_code", "version", "branch",
        "commit_sha", "dirty", "cwd", "host", "pid", "python", "budget", "dropped", "note", "args",
        "packages", "env", "dirty_diff", "plan",
    ),
    "checkpoints": (
        "run", "loop", "position", "file", "nbytes", "stored", "persist_s", "checksum", "time",
    ),
    "versions": ("version", "created", "branch", "commit_sha", "dirty"),
}  # fmt: skip
"""Tables that are in the store as they are."""


def table_view(
    connection: sqlite3.Connection,
    table: str,
    columns: Sequence[str],
    companions: Sequence[str] = (),
) -> str:
    """SQL of a table with its fixed columns and the loops' columns among `columns`."""
    if table in PLAIN_TABLES:
        listing = ", ".join(f"{column} AS {quoted(column)}" for column in PLAIN_TABLES[table])
        return f"SELECT {listing} FROM main.{table}"
    fixed = TABLES[table]
    loops = [column for column in columns if column not in fixed]
    paths = shape_paths(connection)
    branches = []
    for shape, path in sorted(paths.items()):
        if shape == ROOT and table != "records":
            continue
        branches.append(_branch(table, shape, path, loops, bool(companions)))
    return "\nUNION ALL\n".join(branches) or _nothing([*fixed, *loops])


def _branch(
    table: str, shape: int, path: tuple[str, ...], loops: Sequence[str], typed: bool
) -> str:
    nest = "'" + "/".join(path).replace("'", "''") + "'"
    loop = "'" + path[-1].replace("'", "''") + "'" if path else "NULL"
    depth = len(path)
    joins = []
    for d in range(depth - 1, 0, -1):
        joins.append(f"JOIN nodes n{d} ON n{d}.run = n{d + 1}.run AND n{d}.node = n{d + 1}.parent")
    outputs, start, end = _fixed(table, shape, nest, loop, depth)
    names = view_names([*TABLES[table], *loops])
    if typed:
        outputs += [f"c.kind AS {quoted(KIND + 'value')}", f"c.exact AS {quoted(EXACT + 'value')}"]
    for column in loops:
        inner = max((d + 1 for d, name in enumerate(path) if name == column), default=None)
        own = table == "loops" and inner == depth  # an instance of a loop has no own coordinate
        value = "NULL" if inner is None or own else f"n{inner}.value"
        outputs.append(f"{value} AS {quoted(names[column])}")
    used = joins if any(column in path for column in loops) else []
    return f"SELECT {', '.join(outputs)}\nFROM {' '.join([start, *used])}\n{end}"


def _fixed(table: str, shape: int, nest: str, loop: str, depth: int) -> tuple[list[str], str, str]:
    """Columns, FROM clause and end of the SELECT of a table's rows of one shape."""
    node = f"n{depth}"
    if table == "iterations":
        outputs = [
            f"{node}.run AS run", f"{nest} AS path", f"{loop} AS loop", f"{node}.idx AS idx",
            f"{node}.value AS value", f"{node}.time AS time",
        ]  # fmt: skip
        return outputs, f"nodes {node}", f"WHERE {node}.shape = {shape}"
    if table == "loops":
        outputs = [
            f"{node}.run AS run", f"{nest} AS path", f"{loop} AS loop", "count(*) AS count",
            f"min({node}.time) AS started", f"max({node}.time) AS ended",
        ]  # fmt: skip
        end = f"WHERE {node}.shape = {shape} GROUP BY {node}.run, {node}.parent"
        return outputs, f"nodes {node}", end
    kinds = " ".join(f"WHEN {kind} THEN '{name}'" for kind, name in enumerate(KIND_NAMES))
    outputs = [
        "c.run AS run", "names.name AS name", "c.value AS value",
        f"CASE c.kind {kinds} END AS type", f"{nest} AS path", "c.ordinal AS ordinal",
        "CASE c.source WHEN 0 THEN 'record' ELSE 'replay' END AS source",
        "statements.stmt AS stmt", "c.time AS time",
    ]  # fmt: skip
    start = "cells c JOIN names USING (name_id) LEFT JOIN statements USING (stmt_id)"
    if depth == 0:
        return outputs, start, f"WHERE c.node = {ROOT}"
    start += f" JOIN nodes {node} ON {node}.run = c.run AND {node}.node = c.node"
    return outputs, start, f"WHERE {node}.shape = {shape}"


def _nothing(columns: Sequence[str]) -> str:
    listing = ", ".join(f"NULL AS {quoted(name)}" for name in view_names(columns).values())
    return f"SELECT {listing} WHERE 0"
