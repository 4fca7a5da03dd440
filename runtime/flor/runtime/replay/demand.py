"""From a query and today's log statements to the iterations that have to be replayed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from florc.queries import ScanFilter, analyse, derive_filter

from ..store.edits import quoted
from ..store.pivot import NODE, SHAPE
from ..store.positions import ROOT, Position, shape_paths
from ..store.relation import Views

if TYPE_CHECKING:
    from florc.plan import LogStatement

    from ..store.store import Store

Path = tuple[str, ...]
Declaration = tuple[int, str, Path]

NO_RUN = 0
"""Runs count from 1: a declaration for this one only makes a name known."""


@dataclass(frozen=True)
class RunDemand:
    """What one run has to execute again: which statements at which positions."""

    run: int
    names: tuple[str, ...]
    positions: tuple[Position, ...]
    wanted: Mapping[Position, tuple[LogStatement, ...]]


@dataclass(frozen=True)
class Demand:
    """What a query needs replayed.

    `names` are the hindsight names it reads.  `declarations` are for `Store.declare` before the
    query is answered: the nests of loops in which these names belong.
    """

    names: tuple[str, ...] = ()
    runs: tuple[RunDemand, ...] = ()
    declarations: tuple[Declaration, ...] = ()


@dataclass
class _Need:
    """One statement that wasn't there when the run was recorded, and the nests it belongs to."""

    statement: LogStatement
    shapes: set[int] = field(default_factory=set)


def demand(
    store: Store,
    sql: str,
    statements: Sequence[LogStatement],
    runs: Sequence[int] | None = None,
    known: Sequence[LogStatement] = (),
) -> Demand:
    """What has to be replayed, in `runs` (default: all), so that `sql` is answered in full.

    `statements` are the log statements of the script that would be replayed; the names of `known`
    ones may be asked for too, though nothing is replayed for them.  Raises QueryError.
    """
    chosen = [run.run for run in store.runs()] if runs is None else [int(run) for run in runs]
    return _Deriver(store, sql, statements, chosen, known).derive()


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
    return _Deriver(store, sql, statements, list(runs), known, everything=True).derive()


class _Deriver:
    def __init__(
        self,
        store: Store,
        sql: str,
        statements: Sequence[LogStatement],
        runs: list[int],
        known: Sequence[LogStatement],
        *,
        everything: bool = False,
    ) -> None:
        self.everything = everything  # what is lacking counts as such, whatever was replayed
        self.store = store
        self.connection = store.connection
        self.sql = sql
        self.statements = [s for s in statements if s.name is not None]
        self.known = [s for s in known if s.name is not None]
        self.runs = runs
        self.paths = shape_paths(self.connection)
        self.shapes = {path: shape for shape, path in self.paths.items()}

    def derive(self) -> Demand:
        needs: dict[int, list[_Need]] = {run: self._needs(run) for run in self.runs}
        declarations: tuple[Declaration, ...] = tuple(
            (run, str(need.statement.name), self.paths[shape])
            for run, found in needs.items()
            for need in found
            for shape in sorted(need.shapes)
        )
        # A name of today's script is known even if no run needs it replayed.
        known: list[Declaration] = [
            (NO_RUN, str(statement.name), path)
            for statement in (*self.statements, *self.known)
            for path in statement.paths or ((),)
        ]
        hidden = {run: self._new_loops(run) for run in self.runs}
        with Views(self.connection, [*declarations, *known], hidden) as views:
            analysis = analyse(self.sql, views.catalogue)
            read: set[str] = set()
            for scan in analysis.scans:
                if scan.table == "logs":
                    read |= {
                        name
                        for family, name in map(views.catalogue.origin, scan.columns)
                        if family == "log"
                    }
            names = tuple(sorted({d[1] for d in declarations} & read))
            groups: dict[tuple[frozenset[str], frozenset[str]], list[int]] = defaultdict(list)
            for run in self.runs:
                lacking = frozenset(str(n.statement.name) for n in needs[run]) & read
                groups[lacking, hidden[run]].append(run)
            nodes: dict[tuple[int, str, int], set[int]] = defaultdict(set)
            for (hindsight, loops), members in groups.items():
                unrecorded = {("log", name) for name in hindsight} if hindsight else set()
                if hindsight:  # a loop that only today's script notes prunes nothing either
                    unrecorded |= {("loop", loop) for loop in loops}
                columns = {
                    column
                    for scan in analysis.scans
                    if scan.table == "logs"
                    for column in scan.columns
                    if views.catalogue.origin(column) in unrecorded
                }
                for found in derive_filter(analysis, columns):
                    reads = {views.catalogue.origin(column)[1] for column in found.names}
                    self._collect(views, found, reads, members, needs, nodes)
        demands = (self._run_demand(run, needs[run], nodes) for run in self.runs)
        return Demand(
            names,
            tuple(d for d in demands if d.positions),
            tuple(dict.fromkeys(d for d in (*declarations, *known) if d[1] in read)),
        )

    # -- which statements a run lacks ----------------------------------------------------------

    def _needs(self, run: int) -> list[_Need]:
        """Statements that the run was recorded without, with the nests that it recorded."""
        plan = self.store.plan(run)
        row = self.connection.execute("SELECT dropped FROM runs WHERE run = ?", (run,)).fetchone()
        complete = plan is not None and row is not None and not row[0]
        had = {log.id for log in plan.logs} if plan is not None and complete else set()
        if self.everything:
            return [_Need(one, {ROOT}) for one in self.statements if one.id not in had]
        loops = {loop.name for loop in plan.loops} if plan is not None else set()
        recorded = {
            shape
            for (shape,) in self.connection.execute(
                "SELECT shape FROM loop_shapes WHERE run = ?", (run,)
            )
        }
        needs = []
        for statement in self.statements:
            if statement.id in had:
                continue
            need = _Need(statement)
            for path in statement.paths or (tuple(statement.loops),):
                shape = self._deepest(path, recorded, loops, known=plan is not None)
                if shape is not None:
                    need.shapes.add(shape)
            if need.shapes:
                needs.append(need)
        return needs

    def _new_loops(self, run: int) -> frozenset[str]:
        """Loops around today's statements that the run did not note when it was recorded.

        Iterations of them that earlier replays noted are only a part of all.
        """
        plan = self.store.plan(run)
        if plan is None:
            return frozenset()
        had = {loop.name for loop in plan.loops}
        paths = (path for s in self.statements for path in s.paths)
        return frozenset(loop for path in paths for loop in path if loop not in had)

    def _deepest(
        self, path: Path, recorded: set[int], loops: set[str], *, known: bool
    ) -> int | None:
        """The deepest recorded shape on a path; None if the run never came into the nest.

        A loop that the run's own plan has, but of which no iteration is recorded, was never
        entered: then there is nothing to replay.
        """
        shape = ROOT
        for depth, loop in enumerate(path):
            if known and loop not in loops:
                return shape
            deeper = self.shapes.get(path[: depth + 1])
            if deeper is None or deeper not in recorded:
                return None if loop in loops else shape
            shape = deeper
        return shape

    # -- which iterations the query can see ----------------------------------------------------

    def _collect(
        self,
        views: Views,
        found: ScanFilter,
        reads: set[str],
        runs: Sequence[int],
        needs: Mapping[int, list[_Need]],
        nodes: dict[tuple[int, str, int], set[int]],
    ) -> None:
        """Add to (run, name, shape) -> nodes those that rows within the filter show."""
        view = views.create(found.scan, node=True)
        condition = f" AND ({found.where})" if found.where else ""
        rows = self.connection.execute(
            f'SELECT DISTINCT "run", {quoted(NODE)}, {quoted(SHAPE)} FROM {quoted(view)} '
            f'WHERE "run" IN ({", ".join(map(str, runs)) or "NULL"}){condition}'
        )
        rows_of: dict[tuple[int, int], set[int]] = defaultdict(set)
        for run, node, shape in rows:
            rows_of[run, shape].add(node)
        for (run, shape), seen in rows_of.items():
            path = self.paths[shape]
            targets: dict[int, set[str]] = defaultdict(set)
            for need in needs[run]:
                if need.statement.name in reads:
                    for target in need.shapes:
                        if path[: len(self.paths[target])] == self.paths[target]:
                            targets[len(self.paths[target])].add(str(need.statement.name))
            depth = len(path)
            while targets:
                for name in targets.pop(depth, ()):
                    nodes[run, name, self.shapes[path[:depth]]] |= seen
                if targets:
                    seen = self._parents(run, seen)
                    depth -= 1

    def _parents(self, run: int, nodes: set[int]) -> set[int]:
        if len(nodes) < 200:
            query = "SELECT parent FROM nodes WHERE run = ? AND node = ?"
            return {self.connection.execute(query, (run, node)).fetchone()[0] for node in nodes}
        rows = self.connection.execute("SELECT node, parent FROM nodes WHERE run = ?", (run,))
        return {parent for node, parent in rows if node in nodes}

    # -- what of it is missing -----------------------------------------------------------------

    def _run_demand(
        self, run: int, needs: list[_Need], nodes: Mapping[tuple[int, str, int], set[int]]
    ) -> RunDemand:
        wanted: dict[int, list[LogStatement]] = defaultdict(list)
        for need in needs:
            name = str(need.statement.name)
            seen = set().union(*(nodes.get((run, name, shape), ()) for shape in need.shapes))
            if seen:
                for node in seen - self._present(run, need.statement):
                    wanted[node].append(need.statement)
        positions = self._positions(run, wanted)
        by_position = {positions[node]: tuple(found) for node, found in wanted.items()}
        names = sorted({str(s.name) for found in wanted.values() for s in found})
        ordered = [positions[node] for node in sorted(wanted)]
        return RunDemand(run, tuple(names), tuple(ordered), by_position)

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
        found: dict[int, Position] = {ROOT: ()}

        def position(node: int) -> Position:
            if node not in found:
                parent, shape, index = self.connection.execute(
                    "SELECT parent, shape, idx FROM nodes WHERE run = ? AND node = ?", (run, node)
                ).fetchone()
                found[node] = (*position(parent), (self.paths[shape][-1], index))
            return found[node]

        for node in nodes:
            position(node)
        return found
