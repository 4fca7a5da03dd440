"""The scans of a query with what isn't known yet: views of views, for the derivation's queries."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from florc.queries import (
    NODE,
    ROWS,
    UNKNOWN,
    Analysis,
    Need,
    QueryError,
    Reading,
    Scan,
    Unknowns,
    derive,
    readings,
    view_names,
)

from ..store.edits import quoted
from ..store.pivot import NODE as ROW
from ..store.pivot import SHAPE

if TYPE_CHECKING:
    from florc.queries import Catalogue

    from ..store.relation import Views
    from .lacks import Lack

Path = tuple[str, ...]


STEPS, EVERY = 400_000_000, 1_000_000
"""Instructions of SQLite's machine that asking other scans may take, and how often to look."""


class Sight:
    """What of each run isn't known.

    `lacks` are of the runs that are replayed; in those of `dark` any of `names` may come to light
    in ways that aren't known here.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        paths: Mapping[int, Path],
        lacks: Mapping[int, Sequence[Lack]],
        hidden: Mapping[int, frozenset[str]],
        dark: Collection[int],
        names: Collection[str],
        *,
        everything: bool = False,
    ) -> None:
        self.connection = connection
        self.paths = paths
        self.lacks = lacks
        self.hidden = hidden
        self.dark = sorted(dark)
        self.names = frozenset(names)
        self.everything = everything
        self._ids = dict(connection.execute("SELECT name, name_id FROM names").fetchall())
        self._blank: dict[str, set[int]] = {}
        self._inner = self._inner_columns()

    def unknowns(self, catalogue: Catalogue) -> Unknowns:
        """For the derivation."""
        lacking = {lack.name for lacks in self.lacks.values() for lack in lacks}
        vague = lacking | (self.names if self.dark else frozenset())
        loops = {loop for loops in self.hidden.values() for loop in loops}
        columns: dict[str, bool] = {}
        hindsight = set()
        for column in catalogue.columns:
            family, name = catalogue.origin(column)
            if family == "log" and name in vague:
                columns[column] = True
                if name in lacking:
                    hindsight.add(column)
            elif (family == "loop" and name in loops) or self._inner.get((family, name)):
                columns[column] = True
        return Unknowns(columns, frozenset(hindsight), bool(loops))

    def _inner_columns(self) -> dict[tuple[str, str], set[int]]:
        """Family and name of columns -> runs where an iteration of a new loop may lack them.

        The iteration makes a row of its own, beside those of other loops in the same nest: it has
        the values from around the new loop only.
        """
        found: dict[tuple[str, str], set[int]] = defaultdict(set)
        columns = {
            "log": "SELECT name, shape FROM name_shapes JOIN names USING (name_id)",
            "loop": "SELECT loop, shape FROM loop_shapes JOIN shapes USING (shape)",
        }
        for run, loops in self.hidden.items():
            nests = {path for lack in self.lacks.get(run, ()) for path in lack.statement.paths}
            nests.update(self.paths.values())
            around = {outside(path, loops) for path in nests if not loops.isdisjoint(path)}
            for family, query in columns.items():
                for name, shape in self.connection.execute(f"{query} WHERE run = ?", (run,)):
                    path = self.paths[shape]
                    if any(nest[: len(path)] != path for nest in around):
                        found[family, name].add(run)
        return found

    # -- views ---------------------------------------------------------------------------------

    def create(self, views: Views, scan: Scan, unknowns: Unknowns, reading: Reading | None) -> str:
        """Make the view of a scan, with what isn't known of it; returns its name.

        `reading` says what is read of it; None if that isn't known.
        """
        if scan.table != "logs":
            return views.create(scan)
        inner = views.create(scan, node=True, reading=reading)
        shown = view_names(scan.columns)
        read = shown.values() if reading is None else reading.columns
        outputs = [f"v.{quoted(name)}" for name in shown.values() if name in read]
        if "run" not in scan.columns or "run" not in read:
            outputs.append('v."run"')
        outputs += [
            f"v.{quoted(ROW)} AS {quoted(NODE[1])}",
            f"v.{quoted(SHAPE)} AS {quoted(NODE[2])}",
        ]
        for column in scan.columns:
            if column in unknowns.columns and (
                reading is None or UNKNOWN + shown[column] in reading.columns
            ):
                flag = self._flag(*views.catalogue.origin(column))
                outputs.append(f"{flag} AS {quoted(UNKNOWN + shown[column])}")
        if unknowns.rows:
            outputs.append(f"{_among(self.hidden)} AS {quoted(ROWS)}")
        name = f"{inner}:known"
        select = f"SELECT {', '.join(outputs)} FROM {quoted(inner)} AS v"
        self.connection.execute(f"CREATE TEMP VIEW {quoted(name)} AS {select}")
        views.add(name)
        return name

    def _flag(self, family: str, name: str) -> str:
        """SQL: whether a column of the row isn't known."""
        inner = self._inner.get((family, name), set())
        if family == "loop":
            return _among(inner | {run for run, loops in self.hidden.items() if name in loops})
        parts = [_among(inner)] if inner else []
        always = {*self.hidden, *self.dark} if name in self.names or self.hidden else set()
        always = {r for r in always if r in self.dark or self._lacks(r, name)}
        if always:
            parts.append(_among(always))
        targets: dict[tuple[int, str], list[int]] = defaultdict(list)
        for run, lacks in self.lacks.items():
            for lack in lacks:
                if lack.name == name and run not in always:
                    for shape in lack.shapes:
                        targets[shape, lack.statement.id].append(run)
        cases: dict[int, list[str]] = defaultdict(list)
        for (target, statement), runs in targets.items():
            for shape, depth in self._below(target):
                cases[shape].append(self._missing(name, statement, runs, depth))
        if cases:
            whens = " ".join(
                f"WHEN {shape} THEN {' OR '.join(flags)}" for shape, flags in sorted(cases.items())
            )
            parts.append(f"(CASE v.{quoted(SHAPE)} {whens} ELSE 0 END)")
        return f"({' OR '.join(parts)})" if parts else "0"

    def _lacks(self, run: int, name: str) -> bool:
        return any(lack.name == name for lack in self.lacks.get(run, ()))

    def _below(self, target: int) -> Iterator[tuple[int, int]]:
        """The shapes at or below one, and how far."""
        path = self.paths[target]
        for shape, other in self.paths.items():
            if other[: len(path)] == path:
                yield shape, len(other) - len(path)

    def _missing(self, name: str, statement: str, runs: list[int], depth: int) -> str:
        """SQL: whether the row's node, `depth` levels up, has no value and wasn't run again."""
        blank = set(runs) if self.everything else set(runs) & self.blank(name)
        parts = [_among(blank)] if blank else []
        rest = set(runs) - blank
        if rest:
            node = f"v.{quoted(ROW)}"
            for _ in range(depth):
                node = f'(SELECT parent FROM main.nodes WHERE run = v."run" AND node = {node})'
            name_id = self._ids[name]
            parts.append(
                f'({_among(rest)} AND NOT EXISTS (SELECT 1 FROM main.cells WHERE run = v."run" '
                f"AND node = {node} AND name_id = {name_id}) "
                f'AND NOT EXISTS (SELECT 1 FROM main.replayed WHERE run = v."run" '
                f"AND name_id = {name_id} AND node = {node} AND stmt_id = "
                f"(SELECT stmt_id FROM main.statements WHERE stmt = {_literal(statement)})))"
            )
        return f"({' OR '.join(parts)})" if parts else "0"

    def blank(self, name: str) -> set[int]:
        """Runs that have nothing at all of a name."""
        if name not in self._blank:
            name_id = self._ids.get(name)
            some = {
                run
                for (run,) in self.connection.execute(
                    "SELECT run FROM name_shapes WHERE name_id = ?", (name_id,)
                )
            }
            for run in self.lacks:
                if (
                    run not in some
                    and self.connection.execute(
                        "SELECT 1 FROM replayed WHERE run = ? AND name_id = ? LIMIT 1",
                        (run, name_id),
                    ).fetchone()
                ):
                    some.add(run)
            self._blank[name] = set(self.lacks) - some
        return self._blank[name]


def outside(path: Path, loops: Collection[str]) -> Path:
    """The nest around the outermost of `loops` in a nest."""
    return path[: min(path.index(loop) for loop in loops if loop in path)]


def _among(runs: Collection[int]) -> str:
    """SQL: whether the row is of one of some runs."""
    return f'(v."run" IN ({", ".join(map(str, sorted(runs)))}))' if runs else "0"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def answers(
    connection: sqlite3.Connection, views: Views, analysis: Analysis, sight: Sight
) -> Iterable[tuple[Need, list[tuple[Any, ...]]]]:
    """The needs of a query with their rows."""
    unknowns = sight.unknowns(analysis.catalogue)
    made: dict[tuple[int, Reading | None], str] = {}

    def text(need: Need) -> str:
        read = readings(need.sql)

        def name(number: int) -> str:
            key = (number, None if read is None else read.get(number))
            if key not in made:
                made[key] = sight.create(views, analysis.scans[number], unknowns, key[1])
            return quoted(made[key])

        return need.text(name)

    for precise in (True, False):
        try:
            return [
                (need, _rows(connection, text(need), bounded=precise))
                for need in derive(analysis, unknowns, precise=precise)
            ]
        except sqlite3.Error as error:
            if not precise:
                raise QueryError(f"SQLite can't answer this: {error}") from None
    raise AssertionError("not reached")


def _rows(connection: sqlite3.Connection, sql: str, *, bounded: bool) -> list[tuple[Any, ...]]:
    """A query's rows; `bounded`: sqlite3.OperationalError if that takes too long."""
    left = STEPS // EVERY

    def count() -> int:
        nonlocal left
        left -= 1
        return int(left < 0)

    if bounded:
        connection.set_progress_handler(count, EVERY)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.set_progress_handler(None, 0)
