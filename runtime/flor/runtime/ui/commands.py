"""The commands that only read: `query`, `runs`, `show`.  Each returns an exit code.

StoreError and QueryError pass through: whoever calls prints them as one line and exits with 2.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..store.rows import Run
from ..store.store import Store
from .render import OBJECTS, check, write

_MARKERS = (".flor", ".git", "pyproject.toml")


def find_root(start: Path | None = None) -> Path:
    """The project root for a folder: the nearest one up that has a store, else a project."""
    start = (start or Path.cwd()).resolve()
    folders = [start, *start.parents]
    for folder in folders:
        if (folder / ".flor" / "flor.db").exists():
            return folder
    for folder in folders:
        if any((folder / marker).exists() for marker in _MARKERS):
            return folder
    return start


def open_store(root: str | Path | None = None) -> Store:
    """The store of `root`, or of the current folder's project.  Raises StoreError."""
    from ..versions.worktrees import clean

    found = Path(root) if root is not None else find_root()
    clean(found)  # what a killed replay has left
    return Store.open(found)


def query(args: argparse.Namespace) -> int:
    """`query SQL`: print the answer from what is stored; nothing is replayed."""
    check(args.format, args.output)
    with open_store(args.root) as store:
        columns, rows = store.sql(_sql(args.sql))
    write(columns, rows, args.format, args.output)
    return 0


def _sql(text: str) -> str:
    return sys.stdin.read() if text == "-" else text


def runs(args: argparse.Namespace) -> int:
    """`runs`: print one line per run, oldest first."""
    with open_store(args.root) as store:
        found = store.runs()
    columns = (
        "run", "started", "seconds", "status", "exit_code", "version", "branch", "script", "args",
    )  # fmt: skip
    if args.format in OBJECTS:
        rows: Iterable[tuple[Any, ...]] = (_summary(run, run.args) for run in found)
    else:
        rows = (
            _summary(run, " ".join(f"{k}={v}" for k, v in run.args.items()) or " ".join(run.argv))
            for run in found
        )
    write(columns, list(rows), args.format, args.output)
    return 0


def _summary(run: Run, arguments: Any) -> tuple[Any, ...]:
    return (
        run.run, run.started, seconds(run), run.status, run.exit_code, run.version, run.branch,
        run.script, arguments,
    )  # fmt: skip


def seconds(run: Run) -> float | None:
    """How long the run took, None while it is going on."""
    from datetime import datetime

    if not run.started or not run.ended:
        return None
    start, end = (datetime.fromisoformat(text) for text in (run.started, run.ended))
    return (end - start).total_seconds()


def show(args: argparse.Namespace) -> int:
    """`show RUN`: print everything about one run."""
    with open_store(args.root) as store:
        run = store.run(args.run)
        names = store.connection.execute(
            "SELECT name, count(*), min(source) = 1 FROM cells JOIN names USING (name_id) "
            "WHERE run = ? GROUP BY name ORDER BY name",
            (run.run,),
        ).fetchall()
        loops = store.connection.execute(
            "SELECT loop, count(*) FROM nodes JOIN shapes USING (shape) WHERE run = ? "
            "GROUP BY shape ORDER BY depth, shape",
            (run.run,),
        ).fetchall()
        count, stored = store.connection.execute(
            "SELECT count(*), coalesce(sum(stored), 0) FROM checkpoints WHERE run = ?", (run.run,)
        ).fetchone()
    facts: dict[str, Any] = {
        "run": run.run,
        "status": run.status,
        "exit_code": run.exit_code,
        "script": run.script,
        "argv": list(run.argv),
        "args": run.args,
        "started": run.started,
        "ended": run.ended,
        "seconds": seconds(run),
        "version": run.version,
        "branch": run.branch,
        "commit": run.commit_sha,
        "dirty": run.dirty,
        "cwd": run.cwd,
        "host": run.host,
        "pid": run.pid,
        "python": run.python,
        "budget": run.budget,
        "loops": dict(loops),
        "logged": {name: total for name, total, _ in names},
        "replayed only": [name for name, _, replayed in names if replayed],
        "checkpoints": count,
        "checkpoint_bytes": stored,
        "dropped": run.dropped,
        "note": run.note,
    }
    if args.format in OBJECTS:
        facts.update(env=run.env, packages=run.packages, dirty_diff=run.dirty_diff)
        write(list(facts), [list(facts.values())], args.format, args.output)
        return 0
    rows = [(key, _line(value)) for key, value in facts.items() if value not in (None, [], {})]
    write(("fact", "value"), rows, args.format, args.output)
    return 0


def _line(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}={item}" for key, item in value.items())
    if isinstance(value, list):
        return " ".join(map(str, value))
    return str(value)
