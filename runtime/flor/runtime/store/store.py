"""`Store`: runs, versions, values and checkpoints of one project."""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import processes, schema, snapshots, versions
from .batches import bump, intern_name, intern_statement
from .errors import StoreError
from .positions import ROOT, Nodes, Position, context_at, shape_of, shape_paths
from .rows import Answer, Checkpoint, Coordinates, Iteration, Record, Run
from .transaction import Transaction
from .values import decode, encode, freeze

if TYPE_CHECKING:
    from florc.plan import Plan

    from ..versions.snapshot import Kept
    from .snapshots import Input

SOURCES = ("record", "replay")
Declaration = tuple[int, str, tuple[str, ...]]


class Store:
    """The store of one project root.  Use it in one thread; close it, or use `with`."""

    def __init__(self, root: Path, path: Path, connection: sqlite3.Connection) -> None:
        self.root = root
        self.path = path
        self.connection = connection

    @classmethod
    def open(cls, root: Path, *, create: bool = False) -> Store:
        """Open the store at project root `root`.  Raises StoreError (one line)."""
        path = Path(root) / ".flor" / "flor.db"
        if not create and not path.exists():
            raise StoreError(f"nothing is recorded here yet: {path} does not exist")
        try:
            if create:
                schema.initialise(path)
            connection = schema.open_checked(path)
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"can't open {path}: {error}") from None
        return cls(Path(root), path, connection)

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def transaction(self) -> Transaction:
        """`with store.transaction() as connection:` commits at the end, or rolls back."""
        return Transaction(self.connection)

    # -- runs ----------------------------------------------------------------------------------

    def begin_run(self, info: Mapping[str, Any]) -> int:
        """Add a run and return its id: 1, 2, 3, …, never used again.

        Keys of `info`, all optional: script, argv, args, env, cwd, python, packages, host, pid,
        started (seconds since the epoch), version, git {commit, branch, dirty_diff}, plan, budget.
        """
        git = info.get("git") or {}
        pid = info.get("pid", os.getpid())
        diff = git.get("dirty_diff")
        columns = {
            "script": _text(info.get("script")),
            "argv": _json(list(info.get("argv") or ())),
            "started": timestamp(info.get("started")),
            "status": "running",
            "version": info.get("version"),
            "branch": git.get("branch"),
            "commit_sha": git.get("commit"),
            "dirty": None if diff is None else int(bool(diff)),
            "dirty_diff": diff,
            "cwd": _text(info.get("cwd")),
            "host": info.get("host", socket.gethostname()),
            "pid": pid,
            "process": processes.identity(pid),
            "python": info.get("python"),
            "env": _json(dict(info.get("env") or {})),
            "packages": _json(dict(info.get("packages") or {})),
            "args": "{}",
            "plan": info.get("plan"),
            "budget": info.get("budget"),
        }
        with self.transaction() as connection:
            cursor = connection.execute(
                f"INSERT INTO runs ({', '.join(columns)}) VALUES ({_marks(columns)})",
                tuple(columns.values()),
            )
            run = cursor.lastrowid
            assert run is not None
            self._put_args(run, info.get("args") or {})
        return run

    def set_args(self, run: int, args: Mapping[str, Any]) -> None:
        """Add run arguments (typed); one that is there already is replaced."""
        with self.transaction():
            self._put_args(int(run), args)

    def _put_args(self, run: int, args: Mapping[str, Any]) -> None:
        rows = [(run, str(name), *_reordered(encode(freeze(v)))) for name, v in args.items()]
        self.connection.executemany("INSERT OR REPLACE INTO arguments VALUES (?, ?, ?, ?, ?)", rows)
        self.connection.execute(
            "UPDATE runs SET args = ? WHERE run = ?", (_json(self._args(run)), run)
        )

    def _args(self, run: int) -> dict[str, Any]:
        rows = self.connection.execute(
            "SELECT name, kind, value, exact FROM arguments WHERE run = ? ORDER BY name", (run,)
        )
        return {name: decode(*encoded) for name, *encoded in rows}

    def set_plan(self, run: int, plan: str) -> None:
        """Keep the plan (JSON text) that the run was recorded with."""
        with self.transaction() as connection:
            connection.execute("UPDATE runs SET plan = ? WHERE run = ?", (plan, int(run)))

    def plan(self, run: int) -> Plan | None:
        """The plan that the run was recorded with, None if there is none that can be read."""
        from florc.plan import Plan

        row = self.connection.execute("SELECT plan FROM runs WHERE run = ?", (run,)).fetchone()
        try:
            return Plan.from_json(row[0]) if row and row[0] else None
        except (ValueError, TypeError, KeyError):
            return None

    def end_run(
        self,
        run: int,
        status: str,
        exit_code: int | None,
        *,
        ended: float | None = None,
        dropped: int = 0,
        note: str | None = None,
    ) -> None:
        """Set how the run ended: finished, failed, interrupted or terminated."""
        with self.transaction() as connection:
            connection.execute(
                "UPDATE runs SET status = ?, exit_code = ?, ended = ?, dropped = ?, note = ? "
                "WHERE run = ?",
                (status, exit_code, timestamp(ended), dropped, note, int(run)),
            )

    def mark_killed(self) -> None:
        """Set the status of runs whose process is gone without having ended them."""
        rows = self.connection.execute(
            "SELECT run, host, pid, process FROM runs WHERE status = 'running'"
        ).fetchall()
        dead = [row[0] for row in rows if processes.is_dead(*row[1:])]
        if not dead:
            return
        try:
            with self.transaction() as connection:
                connection.executemany(
                    "UPDATE runs SET status = 'killed' WHERE run = ? AND status = 'running'",
                    [(run,) for run in dead],
                )
        except sqlite3.OperationalError:  # a store on a read-only disk can still be read
            pass

    def runs(self) -> list[Run]:
        """All runs, oldest first."""
        self.mark_killed()
        names = tuple(name for name in Run.__dataclass_fields__)
        rows = self.connection.execute(f"SELECT {', '.join(names)} FROM runs ORDER BY run")
        return [self._run(dict(zip(names, row))) for row in rows.fetchall()]

    def _run(self, row: dict[str, Any]) -> Run:
        row["argv"] = tuple(json.loads(row["argv"] or "[]"))
        row["env"] = json.loads(row["env"] or "{}")
        row["packages"] = json.loads(row["packages"] or "{}")
        row["args"] = self._args(row["run"])
        row["dirty"] = None if row["dirty"] is None else bool(row["dirty"])
        return Run(**row)

    def run(self, ref: int | str) -> Run:
        """The run with this id, "last", or whose id begins so if that is just one."""
        runs = self.runs()
        text = str(ref).strip()
        if text in ("last", "latest") and runs:
            return runs[-1]
        exact = [run for run in runs if str(run.run) == text]
        found = exact or [run for run in runs if text and str(run.run).startswith(text)]
        if len(found) == 1:
            return found[0]
        if found:
            ids = ", ".join(str(run.run) for run in found[:8])
            raise StoreError(f"run {text!r} is ambiguous: {ids}")
        known = f"runs are 1 to {runs[-1].run}" if runs else "nothing is recorded yet"
        raise StoreError(f"no run {text!r}: {known}")

    # -- versions ------------------------------------------------------------------------------

    def put_version(self, files: Mapping[str, str], git: Mapping[str, Any] | None = None) -> str:
        """Keep the text of a project's files; returns the version, the same for the same text."""
        with self.transaction() as connection:
            return versions.put(connection, files, git or {}, timestamp(None))

    def sources(self, version: str) -> dict[str, str]:
        """The files of a version: path -> text.  Raises StoreError if there is no such version."""
        return versions.get(self.connection, version)

    def put_snapshot(self, run: int, kept: Kept) -> None:
        """Keep in which commit the files of a run are."""
        with self.transaction() as connection:
            snapshots.put(connection, int(run), dataclasses.asdict(kept))

    def snapshots(self) -> dict[int, Kept]:
        """In which commits the files of runs are; a run without one isn't mentioned."""
        from ..versions.snapshot import Kept

        return {run: Kept(**facts) for run, facts in snapshots.get(self.connection).items()}

    def snapshot(self, run: int) -> Kept | None:
        """In which commit the files of a run are."""
        from ..versions.snapshot import Kept

        facts = snapshots.get(self.connection, int(run)).get(int(run))
        return Kept(**facts) if facts is not None else None

    def put_inputs(self, run: int, inputs: Iterable[Input]) -> None:
        """Keep which files a run read."""
        with self.transaction() as connection:
            snapshots.put_inputs(connection, int(run), inputs)

    def inputs(self, run: int) -> list[Input]:
        """Which files a run read."""
        return snapshots.get_inputs(self.connection, int(run))

    # -- values --------------------------------------------------------------------------------

    def records_of(
        self, run: int, name: str | None = None, *, source: str | None = None
    ) -> list[Record]:
        """Every logged value of a run, in the order it was logged."""
        positions = {node: position for node, position, _, _ in self._nodes(int(run))}
        query = (
            "SELECT n.name, c.node, c.ordinal, c.kind, c.value, c.exact, c.source, s.stmt, c.time "
            "FROM cells c JOIN names n USING (name_id) LEFT JOIN statements s USING (stmt_id) "
            "WHERE c.run = ?"
        )
        parameters: list[Any] = [int(run)]
        if name is not None:
            query += " AND n.name = ?"
            parameters.append(name)
        if source is not None:
            query += " AND c.source = ?"
            parameters.append(SOURCES.index(source))
        rows = self.connection.execute(query + " ORDER BY c.time, c.node, c.ordinal", parameters)
        return [
            Record(row[0], positions[row[1]], row[2], decode(*row[3:6]), SOURCES[row[6]], *row[7:])
            for row in rows
        ]

    def recorded(self, run: int, name: str | None = None) -> dict[tuple[str, Position, int], Any]:
        """(name, position, ordinal) -> value, of what the recording logged."""
        records = self.records_of(run, name, source="record")
        return {(r.name, r.position, r.ordinal): r.value for r in records}

    def replayed(self, run: int, name: str | None = None) -> dict[tuple[str, Position, int], Any]:
        """(name, position, ordinal) -> value, of what replays logged."""
        records = self.records_of(run, name, source="replay")
        return {(r.name, r.position, r.ordinal): r.value for r in records}

    def iterations(self, run: int) -> list[Iteration]:
        """Every iteration of the run's instrumented loops, in the order they began."""
        nodes = sorted(self._nodes(int(run)))
        return [Iteration(p, coordinates, time) for node, p, coordinates, time in nodes if node]

    def _nodes(self, run: int) -> Iterator[tuple[int, Position, Coordinates, float | None]]:
        loops = {shape: path[-1:] for shape, path in shape_paths(self.connection).items()}
        known: dict[int, tuple[Position, Coordinates]] = {ROOT: ((), ())}
        yield ROOT, (), (), None
        rows = self.connection.execute(
            "SELECT node, parent, shape, idx, kind, value, exact, time FROM nodes "
            "WHERE run = ? ORDER BY node",  # a parent is always made before its children
            (run,),
        )
        for node, parent, shape, index, kind, value, exact, time in rows:
            position, coordinates = known[parent]
            (loop,) = loops[shape]
            known[node] = (
                (*position, (loop, index)),
                (*coordinates, (loop, index, decode(kind, value, exact))),
            )
            yield node, *known[node], time

    def checkpoints(self, run: int) -> list[Checkpoint]:
        """The published checkpoints of a run, oldest first."""
        rows = self.connection.execute(
            "SELECT loop, position, file, nbytes, stored, persist_s, checksum, time "
            "FROM checkpoints WHERE run = ? ORDER BY time, rowid",
            (int(run),),
        )
        result = []
        for loop, text, *rest in rows:
            coordinates = tuple((name, index, value) for name, index, value in json.loads(text))
            position = tuple((name, index) for name, index, _ in coordinates)
            result.append(Checkpoint(loop, position, coordinates, *rest))
        return result

    # -- hindsight -----------------------------------------------------------------------------

    def regions(self, run: int) -> dict[tuple[Position, str, int], bytes]:
        """What executions of regions left: (position, region, number of the call) -> bytes."""
        query = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'regions'"
        if self.connection.execute(query).fetchone() is None:
            return {}
        positions = {node: position for node, position, _, _ in self._nodes(run)}
        rows = self.connection.execute(
            "SELECT node, stmt, number, data FROM regions JOIN statements USING (stmt_id) "
            "WHERE run = ?",
            (run,),
        )
        return {
            (positions[node], stmt, number): zlib.decompress(data)
            for node, stmt, number, data in rows
            if node in positions
        }

    def mark_replayed(self, run: int, marks: Iterable[tuple[str, str, Position]]) -> None:
        """Note that these (name, statement id, position) have been executed again."""
        with self.transaction() as connection:
            nodes = Nodes(connection, int(run), fresh=False)
            nodes.begin()
            rows = []
            for name, stmt, position in marks:
                node, _ = nodes.resolve(context_at(position), None)
                name_id = intern_name(connection, name)
                rows.append((int(run), name_id, intern_statement(connection, stmt), node))
            nodes.write()
            bump(connection, int(run), schema.version(connection))
            connection.executemany("INSERT OR IGNORE INTO replayed VALUES (?, ?, ?, ?)", rows)

    def declare(self, declarations: Iterable[Declaration]) -> None:
        """Note in which nests of loops a name belongs, before any value of it is there."""
        with self.transaction() as connection:
            for run, name, loops in declarations:
                shape = ROOT
                for loop in loops:
                    shape = shape_of(connection, shape, loop)
                connection.execute(
                    "INSERT OR IGNORE INTO name_shapes VALUES (?, ?, ?, 0)",
                    (int(run), intern_name(connection, name), shape),
                )

    # -- packs ---------------------------------------------------------------------------------

    def pack(self, run: int, limit: int | None = None) -> bool:
        """Keep an ended run's values by column too, for fast queries; False if that can't be now.

        A run of more than `limit` iterations and values is left for later.
        """
        if schema.version(self.connection) < 2:
            return False
        if limit is not None:
            query = "SELECT count(*) FROM (SELECT 1 FROM {} WHERE run = ? LIMIT ?)"
            for table in ("cells", "nodes"):
                found = self.connection.execute(query.format(table), (int(run), limit)).fetchone()
                limit -= int(found[0])
            if limit <= 0:
                return False
        from .packing import pack_run

        return pack_run(self.connection, int(run))

    def compact(self) -> int:
        """Pack all ended runs and merge small packs; returns how many runs were packed anew.

        Raises StoreError if the store is still as an older florc made it.
        """
        from .packing import compact

        if schema.version(self.connection) < 2:
            raise StoreError(f"{self.path} is used by an older florc now: try again later")

        self.mark_killed()
        return compact(self.connection)

    # -- queries -------------------------------------------------------------------------------

    def sql(
        self, query: str, *, declared: Sequence[Declaration] = ()
    ) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Answer a SELECT over `logs`, `runs`, `records`, ….  Raises QueryError (one line).

        `declared` are names to be known besides the logged ones, as in `declare`.
        """
        return self.answer(query, declared).table()

    def answer(self, query: str, declared: Sequence[Declaration] = ()) -> Answer:
        """As `sql`, in whichever form it was found: as rows or as columns."""
        from .answers import answer

        self.mark_killed()
        return answer(self.connection, query, declared)

    def dicts(self, query: str) -> list[dict[str, Any]]:
        """The answer as one dict per row."""
        columns, rows = self.sql(query)
        return [dict(zip(columns, row)) for row in rows]

    def dataframe(self, query: str) -> Any:
        """The answer as a pandas DataFrame.  Raises ImportError without pandas."""
        from .answers import answer
        from .framing import data_frame

        self.mark_killed()
        return data_frame(answer(self.connection, query, columns=True))


def timestamp(seconds: float | str | None) -> str:
    """UTC text that sorts by time, e.g. "2026-11-21 14:30:00.123"; None is now."""
    if isinstance(seconds, str):
        return seconds
    now = timezone.utc
    moment = datetime.now(now) if seconds is None else datetime.fromtimestamp(seconds, now)
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def _json(value: Any) -> str:
    return json.dumps(value, default=str, ensure_ascii=True)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _marks(columns: Mapping[str, Any]) -> str:
    return ", ".join("?" * len(columns))


def _reordered(encoded: tuple[int, Any, Any]) -> tuple[Any, int, Any]:
    kind, value, exact = encoded
    return value, kind, exact
