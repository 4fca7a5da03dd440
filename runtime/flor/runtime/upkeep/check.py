"""`fsck`: is everything there that the store tells of, and nothing that it doesn't?"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..checkpoint.errors import CheckpointCorrupt
from ..checkpoint.reader import contents, load
from ..record.command import run_folder
from ..store import schema
from ..store.store import Store
from ..versions.worktrees import clean
from .folders import checkpoint_files, referred, run_folders

PARTIAL = re.compile(r"\.tmp-(\d+)-.*\.partial$")


@dataclass(frozen=True)
class Finding:
    """Something that isn't as it should be.  `mend` is None where nothing can be done by itself."""

    kind: str  # "damaged" | "missing" | "orphan" | "leftover"
    what: str
    mended: str  # what mending does, or what the user can do
    mend: Callable[[], None] | None = None


def check(store: Store, *, quick: bool = False) -> Iterator[Finding]:
    """Everything that is wrong; `quick` leaves out what has to read all data.

    Of a damaged database nothing else is looked at: mend it, and check again.
    """
    damaged = False
    for found in _database(store):
        damaged = True
        yield found
    if damaged:
        return
    store.mark_killed()
    runs = {run.run: run.status for run in store.runs()}
    yield from _rows(store)
    if not quick:
        yield from _packs(store)
    for run, status in runs.items():
        yield from _checkpoints(store, run, running=status == "running", quick=quick)
    for run, folder in run_folders(store.root):
        if run not in runs:
            yield Finding(
                "orphan", f"{_short(store, folder)}: the store has no such run", "removed",
                partial(shutil.rmtree, folder),
            )  # fmt: skip
    yield from _worktrees(store)


def _short(store: Store, path: Path) -> str:
    return os.path.relpath(path, store.root)


def _database(store: Store) -> Iterator[Finding]:
    try:
        rows = store.connection.execute("PRAGMA integrity_check(20)").fetchall()
    except sqlite3.DatabaseError as error:
        rows = [(str(error),)]
    wrong = [str(row[0]).splitlines()[0] for row in rows if row[0] != "ok"]
    if not wrong:
        return
    indexes = all("index" in line for line in wrong)
    yield Finding(
        "damaged", f"{_short(store, store.path)}: {wrong[0]}",
        "indexes are made anew" if indexes else "sqlite3 FILE .recover saves what can be read",
        partial(_reindex, store) if indexes else None,
    )  # fmt: skip


def _reindex(store: Store) -> None:
    store.connection.execute("REINDEX")


_DANGLING = {
    "values without their iteration": (
        "cells", "node <> 0 AND (run, node) NOT IN (SELECT run, node FROM nodes)",
    ),
    "values of no run": ("cells", "run NOT IN (SELECT run FROM runs)"),
    "iterations of no run": ("nodes", "run NOT IN (SELECT run FROM runs)"),
    "values without a name": ("cells", "name_id NOT IN (SELECT name_id FROM names)"),
    "checkpoints of no run": ("checkpoints", "run NOT IN (SELECT run FROM runs)"),
}  # fmt: skip


def _rows(store: Store) -> Iterator[Finding]:
    for what, (table, condition) in _DANGLING.items():
        query = f"SELECT count(*) FROM {table} WHERE {condition}"
        (count,) = store.connection.execute(query).fetchone()
        if count:
            yield Finding(
                "orphan", f"{count} {what}", "removed",
                partial(_delete, store, table, condition),
            )  # fmt: skip


def _delete(store: Store, table: str, condition: str) -> None:
    with store.transaction() as connection:
        connection.execute(f"DELETE FROM {table} WHERE {condition}")


def _packs(store: Store) -> Iterator[Finding]:
    if schema.version(store.connection) < 2:
        return
    try:
        from ..store import packing
    except ImportError:  # without numpy packs are neither made nor read
        return
    for run in packing.differing(store.connection):
        yield Finding(
            "damaged", f"the pack of run {run} differs from its rows", "packed anew",
            partial(packing.forget, store.connection, run),
        )  # fmt: skip


def _checkpoints(store: Store, run: int, *, running: bool, quick: bool) -> Iterator[Finding]:
    folder = run_folder(store.root, run)
    known = {checkpoint.file for checkpoint in store.checkpoints(run)}
    for file in sorted(known):
        path = folder / "checkpoints" / file
        try:
            contents(path) if quick else load(path)
        except CheckpointCorrupt as error:
            missing = not path.exists()
            text = f"{_short(store, path)} is missing" if missing else f"run {run}: {error}"
            yield Finding(
                "missing" if missing else "damaged", text,
                "forgotten: replays start from an earlier one",
                partial(_forget, store, run, file),
            )  # fmt: skip
    if running:
        return  # its files are in the making
    used = referred(folder, known)
    for path in checkpoint_files(folder):
        if path.name not in known | used:
            yield Finding(
                "orphan", f"{_short(store, path)}: the store has no such checkpoint", "removed",
                path.unlink,
            )  # fmt: skip
    for path in sorted((folder / "checkpoints").glob(".tmp-*")):
        if PARTIAL.match(path.name):
            yield Finding(
                "leftover", f"{_short(store, path)}: its process was killed", "removed", path.unlink
            )


def _forget(store: Store, run: int, file: str) -> None:
    with store.transaction() as connection:
        connection.execute("DELETE FROM checkpoints WHERE run = ? AND file = ?", (run, file))
    with contextlib.suppress(OSError):
        path = run_folder(store.root, run) / "checkpoints" / file
        left = {checkpoint.file for checkpoint in store.checkpoints(run)}
        if file not in referred(run_folder(store.root, run), left):
            path.unlink()


def _worktrees(store: Store) -> Iterator[Finding]:
    base = store.root / ".flor" / "worktrees"
    before = set(base.iterdir()) if base.is_dir() else set()
    clean(store.root)
    after = set(base.iterdir()) if base.is_dir() else set()
    for path in sorted(before - after):
        yield Finding(
            "leftover", f"{_short(store, path)}: its process was killed", "removed", lambda: None
        )
