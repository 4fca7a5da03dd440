"""The relation `logs`: one SELECT per nest of loops, over just the columns that a scan names.

A row is an iteration.  For every run, the loops that count are those that are named and those in
which a named value was logged; of these, an iteration that has none below it in a loop that counts
is a row.  A value logged further out is broadcast; the innermost one on the row's path wins.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from florc.queries import Catalogue, Reading, view_names

from .branch import Branch
from .edits import EXACT, KIND, quoted
from .positions import ROOT, shape_paths

NODE, SHAPE = "flor:node", "flor:shape"
BLANK = "CAST(NULL AS BLOB)"
"""A column that a nest hasn't, with the affinity that it has in others: else SQLite doesn't see
through a UNION of nests, and takes every row for a condition.  But where it does, it refuses some
queries with FULL JOIN (3.40): it is for derived ones only, which have none."""
Declaration = tuple[int, str, tuple[str, ...]]


class Pivot:
    """Builds SELECTs for scans of `logs`.  `declared` names need no value in the store."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        catalogue: Catalogue,
        declared: Sequence[Declaration] = (),
        hidden: Mapping[int, Collection[str]] | None = None,
    ) -> None:
        """`hidden` names loops, per run, that don't count: rows end at the loop around them."""
        self._catalogue = catalogue
        self.paths = shape_paths(connection)
        self.parents: dict[int, int | None] = dict(
            connection.execute("SELECT shape, parent FROM shapes").fetchall()
        )
        self._outer = {parent for parent in self.parents.values() if parent}
        self._runs = [row[0] for row in connection.execute("SELECT run FROM runs")]
        self._name_ids = dict(connection.execute("SELECT name, name_id FROM names").fetchall())
        self._name_shapes: dict[str, dict[int, set[int]]] = defaultdict(lambda: defaultdict(set))
        self._loop_shapes: dict[str, dict[int, set[int]]] = defaultdict(lambda: defaultdict(set))
        self._typed: set[tuple[str, str]] = set()
        for run, name, shape, typed in connection.execute(
            "SELECT run, name, shape, typed FROM name_shapes JOIN names USING (name_id)"
        ):
            self._name_shapes[name][run].add(self._outside(shape, (hidden or {}).get(run, ())))
            if typed:
                self._typed.add(("log", name))
        for run, loop, shape, typed in connection.execute(
            "SELECT run, loop, shape, typed FROM loop_shapes JOIN shapes USING (shape)"
        ):
            if self._outside(shape, (hidden or {}).get(run, ())) == shape:
                self._loop_shapes[loop][run].add(shape)
            if typed:
                self._typed.add(("loop", loop))
        shapes = {path: shape for shape, path in self.paths.items()}
        for run, name, loops in declared:
            if tuple(loops) in shapes:
                self._name_shapes[name][run].add(shapes[tuple(loops)])

    def _outside(self, shape: int, loops: Collection[str]) -> int:
        """The nest around the outermost of `loops` in a nest; the nest itself without one."""
        path = self.paths.get(shape, ())
        for depth, loop in enumerate(path):
            if loop in loops:
                for _ in path[depth:]:
                    shape = self.parents[shape] or ROOT
                break
        return shape

    def typed(self, column: str) -> bool:
        """Whether some values of a column of `logs` aren't what SQLite shows."""
        origin = self._catalogue.origin(column)
        return origin[0] == "arg" or origin in self._typed

    def origin(self, column: str) -> tuple[str, str]:
        """Family and name of a column of `logs`."""
        return self._catalogue.origin(column)

    def name_id(self, name: str) -> int | None:
        """The number of a logged name."""
        return self._name_ids.get(name)

    def shapes_of(self, name: str, runs: Sequence[int]) -> set[int]:
        """The nests of loops in which one of `runs` has logged a name."""
        found: set[int] = set()
        table = self._name_shapes.get(name, {})
        for run in runs:
            found |= table.get(run, set())
        return found

    def select(
        self,
        columns: Sequence[str],
        companions: Sequence[str] = (),
        *,
        node: bool = False,
        reading: Reading | None = None,
    ) -> str:
        """SQL of the rows that a scan of these columns sees; `reading`: what is read of it."""
        branches = []
        for shapes, runs in self.groups(columns).items():
            for shape in sorted(shapes):
                branches.append(
                    self._branch(columns, companions, node, shape, shapes, runs, reading)
                )
        if not branches:
            branches.append(self._nothing(columns, companions, node, reading))
        return "\nUNION ALL\n".join(branches)

    def groups(self, columns: Sequence[str]) -> dict[frozenset[int], list[int]]:
        """Sets of shapes that count -> the runs where just these do."""
        tables = []
        for column in columns:
            family, name = self._catalogue.origin(column)
            if family == "loop":
                tables.append(self._loop_shapes[name])
            elif family == "log":
                tables.append(self._name_shapes[name])
        if not tables:
            return {frozenset((ROOT,)): self._runs} if self._runs else {}
        groups: dict[frozenset[int], list[int]] = defaultdict(list)
        for run in self._runs:
            shapes = frozenset().union(*(table[run] for table in tables if run in table))
            if shapes:
                groups[shapes].append(run)
        return groups

    def _branch(
        self,
        columns: Sequence[str],
        companions: Sequence[str],
        node: bool,
        shape: int,
        shapes: frozenset[int],
        runs: list[int],
        reading: Reading | None,
    ) -> str:
        names = view_names(columns)
        path = self.ancestors(shape)
        inward = reading is not None and any(
            max((self._depth(name, path, runs, names) for name in condition), default=len(path))
            < len(path) - 1
            for condition in reading.conditions
        )
        source = Branch(path, inward=inward)
        outputs = []
        for column in columns:
            if reading is not None and names[column] not in reading.columns:
                continue
            family, name = self._catalogue.origin(column)
            value, kind, exact = self._column(source, family, name, runs)
            if reading is not None and value == "NULL":
                value = BLANK
            outputs.append(f"{value} AS {quoted(names[column])}")
            if column in companions:
                outputs.append(f"{kind} AS {quoted(KIND + names[column])}")
                outputs.append(f"{exact} AS {quoted(EXACT + names[column])}")
        if node:
            outputs.append(f"{source.node(len(source.shapes) - 1)} AS {quoted(NODE)}")
            outputs.append(f"{shape} AS {quoted(SHAPE)}")
            if "run" not in columns or (reading is not None and "run" not in reading.columns):
                outputs.append(f'{source.run} AS "run"')
        outer = shape in self._outer
        conditions = source.conditions(shape, outer)
        if len(runs) < len(self._runs) or outer:
            conditions.append(f"{source.run} IN ({', '.join(map(str, runs))})")
        for other in shapes:
            below = self.ancestors(other)
            if other != shape and shape in below:
                conditions.append(source.childless(below[below.index(shape) + 1 :]))
        where = f"\nWHERE {' AND '.join(conditions)}" if conditions else ""
        return f"SELECT {', '.join(outputs) or 'NULL'}\nFROM {source.tables()}{where}"

    def _depth(
        self, name: str, path: Sequence[int], runs: list[int], names: Mapping[str, str]
    ) -> int:
        """How far inside a view's column comes from, in rows of the nest at the end of a path."""
        column = next((column for column, shown in names.items() if shown == name), None)
        if column is None:
            return 0 if name == "run" else len(path)
        family, name = self._catalogue.origin(column)
        if family in ("metadata", "arg"):
            return 0
        if family == "loop":
            found = [d for d, s in enumerate(path) if self.paths[s][-1:] == (name,)]
        else:
            there = self.shapes_of(name, runs)
            found = [depth for depth, s in enumerate(path) if s in there]
        return max(found, default=0)

    def _column(
        self, source: Branch, family: str, name: str, runs: list[int]
    ) -> tuple[str, str, str]:
        if family == "metadata":
            return source.metadata(name), "NULL", "NULL"
        if family == "arg":
            return source.argument(name)
        if family == "loop":
            depths = [d for d, s in enumerate(source.shapes) if self.paths[s][-1:] == (name,)]
            return source.loop(depths[-1]) if depths else ("NULL", "NULL", "NULL")
        name_id = self.name_id(name)
        there = self.shapes_of(name, runs)
        depths = [depth for depth, s in enumerate(source.shapes) if s in there]
        if name_id is None or not depths:
            return "NULL", "NULL", "NULL"
        return source.logged(name_id, depths)

    def ancestors(self, shape: int) -> list[int]:
        """The shapes from the root to `shape`."""
        shapes = [shape]
        while shapes[-1] != ROOT:
            shapes.append(self.parents[shapes[-1]] or ROOT)
        return shapes[::-1]

    def _nothing(
        self, columns: Sequence[str], companions: Sequence[str], node: bool,
        reading: Reading | None,
    ) -> str:  # fmt: skip
        views = view_names(columns)
        names = [n for n in views.values() if reading is None or n in reading.columns]
        names += [kind + views[column] for column in companions for kind in (KIND, EXACT)]
        if node:
            names += [NODE, SHAPE] + ["run"] * ("run" not in names)
        listing = ", ".join(f"NULL AS {quoted(name)}" for name in names) or "NULL"
        return f"SELECT {listing} WHERE 0"
