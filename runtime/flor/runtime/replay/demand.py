"""From a query and today's log statements to the iterations that have to be replayed."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from florc.queries import analyse, conditions, selectivity

from ..store.positions import ROOT, Position, shape_paths
from ..store.relation import Views
from .lacks import Lack, Lacks
from .sight import Sight, answers

if TYPE_CHECKING:
    from florc.plan import LogStatement
    from florc.queries import Analysis

    from ..store.store import Store

Path = tuple[str, ...]
Declaration = tuple[int, str, Path]
Cells = Mapping[tuple[str, int], set[int]]

NO_RUN = 0
"""Runs count from 1: a declaration for this one only makes a name known."""
SAMPLE, SAMPLED_RUNS = 200, 20
"""Values of a name, of each of so many runs, that are looked at to tell what conditions leave."""
CONFIDENCE = 2
"""So many values count as much as the rule of thumb."""
MANY = 5000
"""So many nodes of a run are looked up at once."""


@dataclass(frozen=True)
class RunDemand:
    """What one run has to execute again: which statements at which positions."""

    run: int
    names: tuple[str, ...]
    positions: tuple[Position, ...]
    wanted: Mapping[Position, tuple[LogStatement, ...]]
    first: Mapping[Position, int]  # which to begin with, where few may be enough: 1, 2, …


@dataclass(frozen=True)
class Demand:
    """What a query needs replayed.

    `names` are the hindsight names it reads.  `declarations` are for `Store.declare` before the
    query is answered: the nests of loops in which these names belong.  On the values of those in
    `deciding` it depends what else is needed; for those in `early`, a part may be enough.
    """

    names: tuple[str, ...] = ()
    runs: tuple[RunDemand, ...] = ()
    declarations: tuple[Declaration, ...] = ()
    deciding: frozenset[str] = frozenset()
    early: frozenset[str] = frozenset()
    shares: Mapping[str, float] = field(default_factory=dict)
    """For names in `deciding`: what their conditions are likely to leave."""
    sampled: Mapping[str, int] = field(default_factory=dict)
    """Of how many values of such a name that is known; not in it: a guess."""


def demand(
    store: Store,
    sql: str,
    statements: Sequence[LogStatement] | Mapping[int, Sequence[LogStatement]],
    runs: Sequence[int] | None = None,
    known: Sequence[LogStatement] = (),
) -> Demand:
    """What has to be replayed, in `runs` (default: all), so that `sql` is answered in full.

    `statements` are the log statements of the script that would be replayed, or those by run; the
    names of `known` ones may be asked for too, though nothing is replayed for them.  Raises
    QueryError.
    """
    if isinstance(statements, Mapping):
        return _Deriver(store, sql, statements, known).derive()
    chosen = [run.run for run in store.runs()] if runs is None else [int(run) for run in runs]
    return _Deriver(store, sql, dict.fromkeys(chosen, statements), known).derive()


def visible(
    store: Store,
    sql: str,
    statements: Sequence[LogStatement],
    runs: Sequence[int],
    known: Sequence[LogStatement] = (),
) -> Demand:
    """Which of `runs` the query can see that were recorded without some of `statements`.

    Wherever these stand, and whether or not they have been replayed; each such run has one
    demand, for the position outside of all loops.  Raises QueryError.
    """
    return _Deriver(store, sql, dict.fromkeys(runs, statements), known, everything=True).derive()


class _Deriver:
    def __init__(
        self,
        store: Store,
        sql: str,
        statements: Mapping[int, Sequence[LogStatement]],
        known: Sequence[LogStatement],
        *,
        everything: bool = False,
    ) -> None:
        self.everything = everything  # what is lacking counts as such, whatever was replayed
        self.store = store
        self.connection = store.connection
        self.sql = sql
        self.statements = {
            run: [s for s in some if s.name is not None] for run, some in statements.items()
        }
        self.today = list(
            {
                s.id: s for some in (*self.statements.values(), known) for s in some if s.name
            }.values()
        )
        self.runs = list(statements)
        self.paths = shape_paths(self.connection)
        self.shapes = {path: shape for shape, path in self.paths.items()}

    def derive(self) -> Demand:
        lacking = Lacks(self.store, self.statements, everything=self.everything)
        lacks = {run: lacking.of(run) for run in self.runs}
        declarations: tuple[Declaration, ...] = tuple(
            (run, lack.name, self.paths[shape])
            for run, found in lacks.items()
            for lack in found
            for shape in sorted(lack.shapes)
        )
        # A name of today's script is known even if no run needs it replayed.
        known: list[Declaration] = [
            (NO_RUN, str(statement.name), path)
            for statement in self.today
            for path in statement.paths or ((),)
        ]
        declared = [*declarations, *known]
        analysis = analyse(self.sql, Views(self.connection, declared).catalogue)
        read = {
            name
            for scan in analysis.scans
            if scan.table == "logs"
            for family, name in map(analysis.catalogue.origin, scan.columns)
            if family == "log"
        }
        lacks = {run: [one for one in found if one.name in read] for run, found in lacks.items()}
        lacks = {run: found for run, found in lacks.items() if found}
        nodes: dict[int, dict[tuple[str, int], dict[int, int]]] = {}
        deciding: set[str] = set()
        early: set[str] = set()
        if lacks:
            hidden = {run: loops for run in lacks if (loops := lacking.new_loops(run))}
            dark = {run.run for run in self.store.runs()} - set(self.runs)
            sight = Sight(
                self.connection, self.paths, lacks, hidden, dark,
                {str(s.name) for s in self.today}, everything=self.everything,
            )  # fmt: skip
            with Views(self.connection, declared, hidden) as views:
                for need, rows in answers(self.connection, views, analysis, sight):
                    names = [analysis.catalogue.origin(column)[1] for column in need.columns]
                    self._collect(names, rows, lacks, nodes)
                    origin = analysis.catalogue.origin
                    deciding |= {origin(column)[1] for column in need.deciding}
                    early |= set(names) if need.early else set()
            self._reveal(analysis, lacks, hidden, read, nodes)
        demands = (
            self._run_demand(run, found, nodes.get(run, {}), run in hidden)
            for run, found in lacks.items()
        )
        shares = {
            name: self._share(analysis, column, name)
            for column in dict.fromkeys(c for scan in analysis.scans for c in scan.columns)
            if column in analysis.catalogue.columns
            for family, name in [analysis.catalogue.origin(column)]
            if family == "log" and name in deciding
        }
        return Demand(
            tuple(sorted({d[1] for d in declarations} & read)),
            tuple(d for d in demands if d.positions),
            tuple(dict.fromkeys(d for d in declared if d[1] in read)),
            frozenset(deciding),
            frozenset(early),
            {name: share for name, (share, _) in shares.items()},
            {name: count for name, (_, count) in shares.items() if count},
        )

    def _share(self, analysis: Analysis, column: str, name: str) -> tuple[float, int]:
        """What a column's conditions leave, and by how many of its values that is known."""
        guess = selectivity(analysis, column)
        sample = f"SELECT value FROM cells WHERE run = ? AND name_id = ? AND shown LIMIT {SAMPLE}"
        tests = conditions(analysis, column, "value")
        if not tests:
            return guess, 0
        query = f"SELECT count(*), total({' AND '.join(tests)}) FROM ({sample})"
        runs = self.connection.execute(
            "SELECT DISTINCT run, name_id FROM name_shapes JOIN names USING (name_id) "
            "WHERE name = ? ORDER BY run DESC LIMIT ?",
            (name, SAMPLED_RUNS),
        ).fetchall()
        count, kept = 0, 0.0
        try:
            for place in runs:
                number, some = self.connection.execute(query, place).fetchone()
                count, kept = count + number, kept + some
        except sqlite3.Error:  # what SQLite can't evaluate here
            return guess, 0
        return (kept + CONFIDENCE * guess) / (count + CONFIDENCE), count

    # -- which iterations the query can see ----------------------------------------------------

    def _collect(
        self,
        names: Sequence[str],
        rows: Iterable[tuple[Any, ...]],
        lacks: Mapping[int, Sequence[Lack]],
        nodes: dict[int, dict[tuple[str, int], dict[int, int]]],
    ) -> None:
        """Add to run -> (name, shape) -> node -> rank what the rows of a need show."""
        seen: dict[tuple[int, int, str], dict[int, int]] = defaultdict(dict)
        for run, node, shape, rank, *flags in rows:
            for name, flag in zip(names, flags):
                if flag:
                    found = seen[run, shape, name]
                    found[node] = min(rank, found.get(node, rank))
        for (run, shape, name), found in seen.items():
            path = self.paths[shape]
            depths = {
                len(self.paths[target])
                for lack in lacks.get(run, ())
                if lack.name == name
                for target in lack.shapes
                if path[: len(self.paths[target])] == self.paths[target]
            }
            for depth in range(len(path), -1, -1):
                if depth in depths:
                    into = nodes.setdefault(run, {}).setdefault(
                        (name, self.shapes[path[:depth]]), {}
                    )
                    for node, rank in found.items():
                        into[node] = min(rank, into.get(node, rank))
                if depth and depth > min(depths, default=depth):
                    found = self._parents(run, found)

    def _reveal(
        self,
        analysis: Analysis,
        lacks: Mapping[int, Sequence[Lack]],
        hidden: Mapping[int, frozenset[str]],
        read: Collection[str],
        nodes: dict[int, dict[tuple[str, int], dict[int, int]]],
    ) -> None:
        """Need all of what brings a new loop to light that is shown where its names aren't.

        Its iterations are rows of every scan that counts the loop, and come with the values of any
        name in it: of a scan without such a name it can't be said which of them it will see.
        """
        scans = [
            [analysis.catalogue.origin(column) for column in scan.columns]
            for scan in analysis.scans
            if scan.table == "logs"
        ]
        for run, loops in hidden.items():
            inside = {
                str(s.name)
                for s in self.statements.get(run, ())
                if any(not loops.isdisjoint(path) for path in s.paths)
            }
            names = inside & set(read)
            shown = [
                {name for family, name in columns if family == "log"}
                for columns in scans
                if any(
                    name in (loops if family == "loop" else inside)
                    for family, name in columns
                    if family in ("loop", "log")
                )
            ]
            if all(names <= columns for columns in shown):
                continue
            for lack in lacks[run]:
                for shape in lack.shapes if lack.name in names else ():
                    every = self.connection.execute(
                        "SELECT node FROM nodes WHERE run = ? AND shape = ?", (run, shape)
                    )
                    found = {node: 1 for (node,) in every} if shape != ROOT else {ROOT: 1}
                    nodes.setdefault(run, {})[lack.name, shape] = found

    def _parents(self, run: int, nodes: Mapping[int, int]) -> dict[int, int]:
        found: dict[int, int] = {}
        for node, parent, _, _ in self._rows(run, nodes):
            found[parent] = min(nodes[node], found.get(parent, nodes[node]))
        return found

    def _rows(self, run: int, nodes: Collection[int]) -> Iterator[tuple[int, int, int, int]]:
        """(node, parent, shape, index) of some nodes."""
        query = "SELECT node, parent, shape, idx FROM nodes WHERE run = ?"
        every = list(nodes)
        for start in range(0, len(every), MANY):
            some = ", ".join(map(str, every[start : start + MANY]))
            yield from self.connection.execute(f"{query} AND node IN ({some})", (run,))

    # -- what of it is missing -----------------------------------------------------------------

    def _run_demand(
        self, run: int, lacks: Sequence[Lack], nodes: Mapping[tuple[str, int], Mapping[int, int]],
        hidden: bool,
    ) -> RunDemand:  # fmt: skip
        wanted: dict[int, list[LogStatement]] = defaultdict(list)
        ranks: dict[int, int] = {}
        for lack in lacks:
            seen: dict[int, int] = {}
            for shape in lack.shapes:
                for node, rank in nodes.get((lack.name, shape), {}).items():
                    seen[node] = rank
            if seen:
                for node in seen.keys() - self._present(run, lack.statement):
                    wanted[node].append(lack.statement)
                    ranks[node] = min(seen[node], ranks.get(node, seen[node]))
        positions = self._positions(run, wanted)
        by_position = {positions[node]: tuple(found) for node, found in wanted.items()}
        names = sorted({str(s.name) for found in wanted.values() for s in found})
        ordered = [positions[node] for node in sorted(wanted)]
        first = {positions[node]: rank for node, rank in ranks.items()}
        return RunDemand(run, tuple(names), tuple(ordered), by_position, first)

    def _present(self, run: int, statement: LogStatement) -> set[int]:
        """Nodes that have a value of the statement's name, or where it ran again already."""
        if self.everything:
            return set()
        rows = self.connection.execute(
            "SELECT node FROM cells JOIN names USING (name_id) WHERE run = ?1 AND name = ?2 "
            "UNION SELECT node FROM replayed JOIN names USING (name_id) "
            "JOIN statements USING (stmt_id) WHERE run = ?1 AND name = ?2 AND stmt = ?3",
            (run, statement.name, statement.id),
        )
        return {row[0] for row in rows}

    def _positions(self, run: int, nodes: Mapping[int, Any]) -> dict[int, Position]:
        """Nodes -> positions."""
        rows: dict[int, tuple[int, int, int]] = {}
        wanted = set(nodes) - {ROOT}
        while wanted:
            rows |= {row[0]: row[1:] for row in self._rows(run, wanted)}
            wanted = {rows[node][0] for node in wanted} - rows.keys() - {ROOT}
        found: dict[int, Position] = {ROOT: ()}

        def position(node: int) -> Position:
            if node not in found:
                parent, shape, index = rows[node]
                found[node] = (*position(parent), (self.paths[shape][-1], index))
            return found[node]

        for node in nodes:
            position(node)
        return found
