"""`status`, `compact`, `gc` and `fsck`.  Each returns an exit code."""

from __future__ import annotations

import argparse
import dataclasses
import sqlite3
import sys
from pathlib import Path

from florc.queries import QueryError

from ..errors import FlorError
from ..store import StoreError
from ..store.store import Store
from ..ui.commands import open_store
from ..ui.render import render
from . import check, garbage
from .status import NOTHING, NameStatus, Waiting
from .status import status as name_status


def status(args: argparse.Namespace) -> int:
    """`status NAME`."""
    with open_store(args.root) as store:
        found = of_name(store, args.name, args.script)
    if args.run:
        found = [one for one in found if one.run in args.run]
    columns = [field.name for field in dataclasses.fields(NameStatus)]
    if not any(one.why for one in found):
        columns.remove("why")
    render(columns, [[getattr(one, column) for column in columns] for one in found], args.format)
    return 0


def of_name(store: Store, name: str, script: str | None = None) -> list[NameStatus]:
    """The state of a name in every run, with what replays of today's script could still add."""
    return name_status(store, name, _waiting(store, name, script))


def _waiting(store: Store, name: str, script: str | None) -> Waiting:
    """What a replay of the whole column would do; nothing is executed."""
    from ..replay.work import request
    from ..versions.worktrees import Workplace

    quoted = '"log.' + name.replace('"', '""') + '"'
    try:
        with Workplace(store.root) as place:
            asked = request(store, place, f"SELECT {quoted} FROM logs", script, True)
    except (FlorError, QueryError):  # no script of today logs it
        return NOTHING
    positions = {
        work.run.run: sum(
            any(one.name == name for one in wanted) for wanted in work.demand.wanted.values()
        )
        for work in asked.work
    }
    refused = {
        run: one.reason
        for one in asked.statements
        if one.outcome == "refused" and one.statement == name
        for run in one.runs
    }
    return Waiting(positions, refused)


def compact(args: argparse.Namespace) -> int:
    """`compact`."""
    with open_store(args.root) as store:
        before = _size(store)
        try:
            count = store.compact()
        except ImportError:
            raise StoreError("packing needs numpy: pip install numpy") from None
        try:
            store.connection.execute("PRAGMA busy_timeout = 2000")
            store.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            store.connection.execute("VACUUM")
            store.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.OperationalError as error:
            print(f"florc: unused space stays where it is: {error}", file=sys.stderr)
        after = _size(store)
    print(f"{count} run{'s' * (count != 1)} packed; {megabytes(before)} -> {megabytes(after)}")
    return 0


def _size(store: Store) -> int:
    paths = (store.path, Path(f"{store.path}-wal"))
    return sum(path.stat().st_size for path in paths if path.exists())


def megabytes(count: float) -> str:
    """A number of bytes for people."""
    return f"{count / 1e6:,.1f} MB"


def gc(args: argparse.Namespace) -> int:
    """`gc`."""
    best = None
    if args.keep_best is not None:
        name, _, number = args.keep_best.rpartition(":")
        if not number.isdecimal() or not name:
            name, number = args.keep_best, "1"
        best = (name, int(number), args.min)
    rules = garbage.Rules(
        args.older_than, args.max_size, best, tuple(args.run) if args.run else None
    )
    if rules.older_than is None and rules.max_bytes is None and best is None:
        raise StoreError("say which: --older-than, --max-size or --keep-best")
    with open_store(args.root) as store:
        for run in rules.runs or ():
            if store.run(run).status == garbage.RUNNING:
                raise StoreError(f"run {run} is going on")
        found = garbage.plan(store, rules)
        if not args.dry_run:
            garbage.collect(store, found)
    columns = ("run", "checkpoint", "bytes", "why")
    rows = [(one.run, one.checkpoint.file, one.nbytes, one.why) for one in found.gone]
    if args.dry_run or args.format != "table":
        render(columns, rows, args.format)
    verb = "would be removed" if args.dry_run else "removed"
    count = len(found.gone)
    line = f"{count} checkpoint{'s' * (count != 1)} {verb}, {megabytes(found.freed)}"
    line += f"; {megabytes(found.kept_bytes)} left"
    if found.needed:
        line += f", {len(found.needed)} of them only because others refer to them"
    print(line, file=sys.stdout if args.format == "table" else sys.stderr)
    return 0


def fsck(args: argparse.Namespace) -> int:
    """`fsck`: 0 if all is well (again), 1 if not."""
    with open_store(args.root) as store:
        rows, left = _checked(store, args.quick, args.repair)
        if rows and not left:  # a database that is whole again shows what else there is
            more, left = _checked(store, args.quick, args.repair)
            rows += more
        runs = len(store.runs()) if not left else 0
    if rows or args.format != "table":
        render(("kind", "what", "outcome"), rows, args.format)
    else:
        print(f"all is well: {runs} run{'s' * (runs != 1)}")
    return 1 if left else 0


def _checked(store: Store, quick: bool, repair: bool) -> tuple[list[tuple[str, str, str]], int]:
    """What was found and what became of it; how much of it is left."""
    rows, left = [], 0
    for found in list(check.check(store, quick=quick)):
        outcome, mended = found.mended, False
        if repair and found.mend is not None:
            try:
                found.mend()
                mended = True
            except (OSError, sqlite3.Error) as error:
                outcome = f"can't be mended: {error}"
        elif found.mend is not None:
            outcome = f"--repair: {found.mended}"
        left += not mended
        rows.append((found.kind, found.what, outcome))
    return rows, left
