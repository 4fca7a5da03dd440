"""Where in a run something happened: contexts, positions, nodes and shapes.

A *context* is the run time's linked tuple (parent, loop, index, value); None is outside all loops.
A *position* is ((loop, index), …), outermost first.  A *node* is a position's number within a run,
a *shape* the number of its nest of loop names.  This module maps contexts to nodes.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from .values import encode, freeze, is_typed

Position = tuple[tuple[str, int], ...]
Context = Any  # None | tuple[Context, str, int, object]

ROOT = 0
_CACHE = 8192


def position_of(ctx: Context) -> Position:
    """The position of a context."""
    steps = []
    while ctx is not None:
        steps.append((ctx[1], ctx[2]))
        ctx = ctx[0]
    return tuple(reversed(steps))


def context_at(coordinates: Any) -> Context:
    """The context of ((loop, index), …) or ((loop, index, value), …)."""
    ctx: Context = None
    for step in coordinates:
        ctx = (ctx, step[0], step[1], step[2] if len(step) > 2 else step[1])
    return ctx


class Nodes:
    """Finds, or makes, the nodes of one run's contexts, inside the caller's transaction.

    `fresh` says that no other process adds iterations to the run: an index that is larger than
    all seen before is then known to be new without asking the database.
    """

    def __init__(self, connection: sqlite3.Connection, run: int, *, fresh: bool) -> None:
        self._connection = connection
        self._run = run
        self.fresh = fresh
        self._rows: list[tuple[Any, ...]] = []
        self.forget()

    def forget(self) -> None:
        """Drop everything remembered; needed after a rollback."""
        self._by_context: dict[int, tuple[Context, int, int]] = {}
        self._highest: dict[tuple[int, int], int] = {}
        self._shapes: dict[tuple[int, str], int] = {}
        self._seen_shapes: dict[int, bool] = {}
        self._rows.clear()
        self.next = 0

    def begin(self) -> None:
        """Call at the start of each transaction: another writer may have added nodes."""
        if len(self._by_context) > _CACHE:
            self._by_context.clear()
            self._highest.clear()
        if not self.fresh or not self.next:
            row = self._connection.execute(
                "SELECT max(node) FROM nodes WHERE run = ?", (self._run,)
            ).fetchone()
            self.next = (row[0] or ROOT) + 1

    def write(self) -> None:
        """Insert the nodes made since the last call."""
        if self._rows:
            self._connection.executemany(
                "INSERT INTO nodes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", self._rows
            )
            self._rows.clear()

    def resolve(self, ctx: Context, time: float | None) -> tuple[int, int]:
        """(node, shape) of a context; its node is made if it is new."""
        if ctx is None:
            return ROOT, ROOT
        known = self._by_context.get(id(ctx))
        if known is not None:
            return known[1], known[2]
        parent, parent_shape = self.resolve(ctx[0], time)
        shape = self._shape(parent_shape, ctx[1])
        index = ctx[2]
        highest = self._highest.get((parent, shape))
        if self.fresh and highest is not None and index > highest:
            node = self._make(parent, shape, index, ctx[3], time)
            self._highest[parent, shape] = index
        else:
            found = self._find(parent, shape, index)
            if found is not None:  # its later siblings may exist too: go on asking
                self._highest.pop((parent, shape), None)
                node = found
            else:
                node = self._make(parent, shape, index, ctx[3], time)
                self._highest[parent, shape] = max(index, highest or 0)
        self._by_context[id(ctx)] = (ctx, node, shape)
        return node, shape

    def _find(self, parent: int, shape: int, index: int) -> int | None:
        self.write()
        row = self._connection.execute(
            "SELECT node FROM nodes WHERE run = ? AND parent = ? AND shape = ? AND idx = ?",
            (self._run, parent, shape, index),
        ).fetchone()
        return None if row is None else row[0]

    def _make(self, parent: int, shape: int, index: int, value: Any, time: float | None) -> int:
        node = self.next
        self.next += 1
        kind, shown, exact = encode(freeze(value))
        self._rows.append((self._run, node, parent, shape, index, shown, kind, exact, time))
        typed = is_typed(kind, exact)
        if typed > self._seen_shapes.get(shape, -1):
            self._seen_shapes[shape] = typed
            self._connection.execute(
                "INSERT INTO loop_shapes VALUES (?, ?, ?) "
                "ON CONFLICT DO UPDATE SET typed = max(typed, excluded.typed)",
                (self._run, shape, typed),
            )
        return node

    def _shape(self, parent: int, loop: str) -> int:
        shape = self._shapes.get((parent, loop))
        if shape is None:
            shape = self._shapes[parent, loop] = shape_of(self._connection, parent, loop)
        return shape


def shape_of(connection: sqlite3.Connection, parent: int, loop: str) -> int:
    """The shape of `loop` inside shape `parent`, made if it is new (needs a transaction)."""
    query = "SELECT shape FROM shapes WHERE parent = ? AND loop = ?"
    row = connection.execute(query, (parent, loop)).fetchone()
    if row is None:
        connection.execute(
            "INSERT INTO shapes (parent, loop, depth) "
            "SELECT ?, ?, depth + 1 FROM shapes WHERE shape = ?",
            (parent, loop, parent),
        )
        row = connection.execute(query, (parent, loop)).fetchone()
    return int(row[0])


def shape_paths(connection: sqlite3.Connection) -> dict[int, tuple[str, ...]]:
    """Every shape's loop names, outermost first."""
    paths: dict[int, tuple[str, ...]] = {ROOT: ()}
    rows = connection.execute("SELECT shape, parent, loop FROM shapes WHERE shape > 0")
    for shape, parent, loop in sorted(rows):
        paths[shape] = (*paths[parent], loop)
    return paths
