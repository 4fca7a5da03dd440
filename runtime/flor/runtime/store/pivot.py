"""The relation `logs`: one SELECT per nest of loops, over just the columns that a scan names.

A row is an iteration.  For every run, the loops that count are those that are named and those in
which a named value was logged; of these, an iteration that has none below it in a loop that counts
is a row.  A value logged further out is broadcast; the innermost one on the row's path wins.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from florc.queries import Catalogue, view_names

from .edits import EXACT, KIND, quoted
from .positions import ROOT, shape_paths

NODE, SHAPE = "flor:node", "flor:shape"
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
        self._paths = shape_paths(connection)
        self._parents = dict(connection.execute("SELECT shape, parent FROM shapes").fetchall())
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
        shapes = {path: shape for shape, path in self._paths.items()}
        for run, name, loops in declared:
            if tuple(loops) in shapes:
                self._name_shapes[name][run].add(shapes[tuple(loops)])

    def _outside(self, shape: int, loops: Collection[str]) -> int:
        """The nest around the outermost of `loops` in a nest; the nest itself without one."""
        path = self._paths.get(shape, ())
        for depth, loop in enumerate(path):
            if loop in loops:
                for _ in path[depth:]:
                    shape = self._parents[shape]
                break
        return shape

    def typed(self, column: str) -> bool:
        """Whether some values of a column of `logs` aren't what SQLite shows."""
        origin = self._catalogue.origin(column)
        return origin[0] == "arg" or origin in self._typed

    def select(
        self, columns: Sequence[str], companions: Sequence[str] = (), *, node: bool = False
    ) -> str:
        """SQL of the rows that a scan of these columns sees."""
        branches = []
        for shapes, runs in self._groups(columns).items():
            for shape in sorted(shapes):
                branches.append(self._branch(columns, companions, node, shape, shapes, runs))
        if not branches:
            branches.append(self._nothing(columns, companions, node))
        return "\nUNION ALL\n".join(branches)

    def _groups(self, columns: Sequence[str]) -> dict[frozenset[int], list[int]]:
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
    ) -> str:
        source = _Branch(self._ancestors(shape), self._paths)
        names = view_names(columns)
        outputs = []
        for column in columns:
            family, name = self._catalogue.origin(column)
            value, kind, exact = self._column(source, family, name, runs)
            outputs.append(f"{value} AS {quoted(names[column])}")
            if column in companions:
                outputs.append(f"{kind} AS {quoted(KIND + column)}")
                outputs.append(f"{exact} AS {quoted(EXACT + column)}")
        if node:
            outputs.append(f"{source.node(len(source.shapes) - 1)} AS {quoted(NODE)}")
            outputs.append(f"{shape} AS {quoted(SHAPE)}")
            if "run" not in columns:
                outputs.append(f'{source.run} AS "run"')
        conditions = source.conditions(shape)
        if len(runs) < len(self._runs):
            conditions.append(f"{source.run} IN ({', '.join(map(str, runs))})")
        for other in shapes:
            below = self._ancestors(other)
            if other != shape and shape in below:
                conditions.append(source.childless(below[below.index(shape) + 1 :]))
        where = f"\nWHERE {' AND '.join(conditions)}" if conditions else ""
        return f"SELECT {', '.join(outputs) or 'NULL'}\nFROM {source.tables()}{where}"

    def _column(
        self, source: _Branch, family: str, name: str, runs: list[int]
    ) -> tuple[str, str, str]:
        if family == "metadata":
            return source.metadata(name), "NULL", "NULL"
        if family == "arg":
            return source.argument(name)
        if family == "loop":
            depths = [d for d, s in enumerate(source.shapes) if self._paths[s][-1:] == (name,)]
            return source.loop(depths[-1]) if depths else ("NULL", "NULL", "NULL")
        name_id = self._name_ids.get(name)
        there: set[int] = set()
        for run in runs:
            there |= self._name_shapes[name].get(run, set())
        depths = [depth for depth, s in enumerate(source.shapes) if s in there]
        if name_id is None or not depths:
            return "NULL", "NULL", "NULL"
        return source.logged(name_id, depths)

    def _ancestors(self, shape: int) -> list[int]:
        """The shapes from the root to `shape`."""
        shapes = [shape]
        while shapes[-1] != ROOT:
            shapes.append(self._parents[shapes[-1]])
        return shapes[::-1]

    def _nothing(self, columns: Sequence[str], companions: Sequence[str], node: bool) -> str:
        names = list(view_names(columns).values())
        names += [kind + column for column in companions for kind in (KIND, EXACT)]
        if node:
            names += [NODE, SHAPE] + ["run"] * ("run" not in columns)
        listing = ", ".join(f"NULL AS {quoted(name)}" for name in names) or "NULL"
        return f"SELECT {listing} WHERE 0"


class _Branch:
    """The FROM clause of one shape: the row's node, and what is joined to it as needed."""

    def __init__(self, shapes: list[int], paths: dict[int, tuple[str, ...]]) -> None:
        self.shapes = shapes
        self._depth = len(shapes) - 1
        self._joined = self._depth  # nodes n<joined> … n<depth> are in the FROM clause
        self._runs = self._depth == 0
        self._joins: list[str] = []
        self._aliases = 0

    @property
    def run(self) -> str:
        """SQL of the row's run."""
        return f"n{self._depth}.run" if self._depth else "r.run"

    def node(self, depth: int) -> str:
        """SQL of the node at `depth` on the row's path."""
        if depth == 0:
            return str(ROOT)
        if depth < self._depth:
            self._join(depth + 1)
            return f"n{depth + 1}.parent"
        return f"n{depth}.node"

    def _join(self, depth: int) -> None:
        """Have the node at `depth` in the FROM clause."""
        while self._joined > depth:
            below = self._joined
            self._joined -= 1
            self._joins.append(
                f"JOIN nodes n{self._joined} ON n{self._joined}.run = n{below}.run "
                f"AND n{self._joined}.node = n{below}.parent"
            )

    def metadata(self, name: str) -> str:
        """SQL of a column of `runs`."""
        if name == "run":
            return self.run
        if not self._runs:
            self._runs = True
            self._joins.append(f"JOIN runs r ON r.run = {self.run}")
        return f"r.{name}"

    def argument(self, name: str) -> tuple[str, str, str]:
        """SQL of a run argument's value, kind and exact form."""
        alias = self._alias("a")
        literal = "'" + name.replace("'", "''") + "'"
        self._joins.append(
            f"LEFT JOIN arguments {alias} ON {alias}.run = {self.run} AND {alias}.name = {literal}"
        )
        return f"{alias}.value", f"{alias}.kind", f"{alias}.exact"

    def loop(self, depth: int) -> tuple[str, str, str]:
        """SQL of the coordinate at `depth`."""
        self._join(depth)
        return f"n{depth}.value", f"n{depth}.kind", f"n{depth}.exact"

    def logged(self, name_id: int, depths: list[int]) -> tuple[str, str, str]:
        """SQL of a logged value: the one at the innermost of `depths` that has one."""
        aliases = []
        for depth in reversed(depths):
            alias = self._alias("c")
            self._joins.append(
                f"LEFT JOIN cells {alias} ON {alias}.run = {self.run} "
                f"AND {alias}.node = {self.node(depth)} "
                f"AND {alias}.name_id = {name_id} AND {alias}.shown = 1"
            )
            aliases.append(alias)
        value, kind, exact = (_first(aliases, part) for part in ("value", "kind", "exact"))
        return value, kind, exact

    def _alias(self, prefix: str) -> str:
        self._aliases += 1
        return f"{prefix}{self._aliases}"

    def conditions(self, shape: int) -> list[str]:
        """Conditions that make the row's node one of `shape`."""
        return [f"n{self._depth}.shape = {shape}"] if self._depth else []

    def childless(self, below: list[int]) -> str:
        """The condition that the row has no iteration in the nest of loops `below` it."""
        tables, conditions, parent = [], [], self.node(self._depth)
        for i, shape in enumerate(below):
            tables.append(f"nodes d{i}")
            conditions.append(f"d{i}.run = {self.run} AND d{i}.parent = {parent}")
            conditions.append(f"d{i}.shape = {shape}")
            parent = f"d{i}.node"
        return f"NOT EXISTS (SELECT 1 FROM {', '.join(tables)} WHERE {' AND '.join(conditions)})"

    def tables(self) -> str:
        """The FROM clause."""
        start = f"nodes n{self._depth}" if self._depth else "runs r"
        return "\n".join([start, *self._joins])


def _first(aliases: list[str], part: str) -> str:
    """`part` of the first of `aliases` that has a row."""
    if len(aliases) == 1:
        return f"{aliases[0]}.{part}"
    cases = " ".join(f"WHEN {a}.kind IS NOT NULL THEN {a}.{part}" for a in aliases)
    return f"CASE {cases} END"
