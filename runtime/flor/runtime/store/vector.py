"""Plain queries over `logs`, answered column by column.

They need no SQL engine: columns come from packs, conditions are evaluated on whole columns by
SQLite's rules.  Whatever isn't surely answered as SQLite does is left to SQLite (`plain.plan` or
`run` give None): there is one answer.
"""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sqlglot import exp

from . import column, conditions
from .column import Column
from .conditions import Unsupported
from .frames import Frames
from .packs import Pack, Unpackable
from .pivot import Pivot
from .plain import Plain, conjuncts_of
from .positions import ROOT
from .values import INT


def run(
    connection: sqlite3.Connection,
    plain: Plain,
    pivot: Pivot,
    gathered: Callable[[Pack], None] | None = None,
) -> list[Column] | None:
    """The answer's columns; None if SQLite has to answer.  Needs a read transaction."""
    try:
        return _Run(connection, plain, pivot, gathered).columns()
    except (Unpackable, Unsupported):
        return None


class _Run:
    def __init__(
        self,
        connection: sqlite3.Connection,
        plain: Plain,
        pivot: Pivot,
        gathered: Callable[[Pack], None] | None,
    ) -> None:
        self.connection = connection
        self.plain = plain
        self.pivot = pivot
        self.gathered = gathered
        self.needed = list(dict.fromkeys([
            *(c for _, c in plain.outputs), *(c for c, _ in plain.order),
        ]))  # fmt: skip

    def columns(self) -> list[Column]:
        plain = self.plain
        conjuncts = list(conjuncts_of(plain.where))
        parts: list[dict[str, Column]] = []
        for shapes, runs in self.pivot.groups(plain.scan.columns).items():
            chosen, rest = self._prune(runs, conjuncts)
            if chosen:
                parts += self._group(shapes, chosen, rest)
        whole = {
            name: column.concatenate([part[name] for part in parts])
            if parts else column.absent(0)
            for name in self.needed
        }  # fmt: skip
        whole = self._ordered(whole)
        return [whole[name] for _, name in plain.outputs]

    # -- columns that a run has once -----------------------------------------------------------

    def _per_run(self, runs: Sequence[int], name: str) -> Column | None:
        """A column that is the same in all rows of a run, one value for each of `runs`."""
        family, name = self.pivot.origin(name)
        if family == "metadata":
            if name == "run":
                return Column(np.array(runs, dtype=np.int64), INT)
            rows = dict(self.connection.execute(f"SELECT run, {name} FROM runs").fetchall())
            return column.of_values([rows.get(run) for run in runs])
        if family == "arg":
            query = "SELECT run, kind, value, exact FROM arguments WHERE name = ?"
            found = {run: rest for run, *rest in self.connection.execute(query, (name,))}
            if any(kind not in column.HELD for kind, _, _ in found.values()):
                raise Unpackable
            absent = (column.ABSENT, None, None)
            encoded = [tuple(found.get(run, absent)) for run in runs]
            return column.of_encoded(encoded)
        return None

    def _prune(
        self, runs: list[int], conjuncts: list[exp.Expr]
    ) -> tuple[list[int], list[exp.Expr]]:
        """The runs that meet the conditions on runs alone, and the other conditions."""
        rest = []
        for conjunct in conjuncts:
            names = {self.plain.column_of(node) for node in conjunct.find_all(exp.Column)}
            families = {self.pivot.origin(name)[0] if name else "" for name in names}
            if not families <= {"metadata", "arg"} or not families:
                rest.append(conjunct)
            elif runs:
                true = self._true(conjunct, functools.partial(self._per_run, runs))
                runs = [run for run, keep in zip(runs, true.tolist()) if keep]
        return runs, rest

    def _true(self, condition: exp.Expr, lookup: Callable[[str], Any]) -> Any:
        def operand(node: exp.Expr) -> Column | None:
            name = self.plain.column_of(node)
            return lookup(name) if name is not None else None

        def textual(node: exp.Expr) -> str:
            name = self.plain.column_of(node)
            family, name = self.pivot.origin(name) if name else ("", "")
            return "" if family != "metadata" else "integer" if name == "run" else "text"

        return conditions.true(condition, operand, textual)

    # -- rows ----------------------------------------------------------------------------------

    def _group(
        self, shapes: frozenset[int], runs: list[int], conjuncts: list[exp.Expr]
    ) -> list[dict[str, Column]]:
        frames = Frames(self.connection, runs, self.pivot.parents, self.gathered)
        return [self._branch(frames, shape, shapes, conjuncts) for shape in sorted(shapes)]

    def _branch(
        self,
        frames: Frames,
        shape: int,
        shapes: frozenset[int],
        conjuncts: list[exp.Expr],
    ) -> dict[str, Column]:
        rows = self._childless(frames, shape, shapes)
        cache: dict[str, Column] = {}

        def lookup(name: str) -> Column:
            if name not in cache:
                found = self._column(frames, shape, name)
                cache[name] = found if rows is None else found.take(rows)
            return cache[name]

        keep = None
        for conjunct in conjuncts:
            true = self._true(conjunct, lookup)
            keep = true if keep is None else keep & true
        found = {name: lookup(name) for name in self.needed}
        if keep is None or bool(keep.all()):
            return found
        index = np.flatnonzero(keep)
        return {name: c.take(index) for name, c in found.items()}

    def _childless(self, frames: Frames, shape: int, shapes: frozenset[int]) -> Any:
        """The rows that have nothing below them in a nest that counts; None for all."""
        lonely = None
        for other in shapes:
            if other != shape and shape in self.pivot.ancestors(other):
                inside = np.zeros(self._length(frames, shape), dtype=bool)
                inside[frames.ancestors(other, shape)] = True
                lonely = ~inside if lonely is None else lonely & ~inside
        return None if lonely is None else np.flatnonzero(lonely)

    def _length(self, frames: Frames, shape: int) -> int:
        return len(frames.runs) if shape == ROOT else int(frames.counts(shape).sum())

    def _column(self, frames: Frames, shape: int, name: str) -> Column:
        once = self._per_run(frames.runs, name)
        if once is not None:
            return once if shape == ROOT else once.take(frames.run_index(shape))
        family, logged = self.pivot.origin(name)
        path = self.pivot.ancestors(shape)
        if family == "loop":
            found = [s for s in path if self.pivot.paths[s][-1:] == (logged,)]
            if not found:
                return column.absent(self._length(frames, shape))
            return self._outer(frames, shape, found[-1], frames.coordinate(found[-1]))
        name_id = self.pivot.name_id(logged)
        there = self.pivot.shapes_of(logged, frames.runs)
        levels = [s for s in reversed(path) if s in there]
        if name_id is None or not levels:
            return column.absent(self._length(frames, shape))
        parts = [self._outer(frames, shape, s, frames.logged(s, name_id)) for s in levels]
        return column.first(parts)

    def _outer(self, frames: Frames, shape: int, outer: int, found: Column) -> Column:
        return found if shape == outer else found.take(frames.ancestors(shape, outer))

    # -- the end -------------------------------------------------------------------------------

    def _ordered(self, whole: dict[str, Column]) -> dict[str, Column]:
        index: Any = None
        if self.plain.order:
            keys = [conditions.sort_key(whole[name], down) for name, down in self.plain.order]
            index = np.lexsort([key for pair in reversed(keys) for key in reversed(pair)])
        if self.plain.limit is not None or self.plain.offset:
            stop = None if self.plain.limit is None else self.plain.offset + self.plain.limit
            chosen = slice(self.plain.offset, stop)
            index = chosen if index is None else index[chosen]
        if index is None:
            return whole
        return {name: c.take(index) for name, c in whole.items()}
