"""Recording: a buffer that the training thread appends to, a background thread that commits.

`RunWriter.log` is one append (well under a microsecond).  Whatever goes wrong in the background
(a locked database, a full disk) never reaches the training thread: it is kept in `.error`.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import weakref
from collections import deque
from pathlib import Path
from typing import Any

from .batches import Batch
from .schema import BUSY_SECONDS, connect

COMMIT_SECONDS = 0.04
"""Pause between commits; with the commit itself, an entry is durable within about 50 ms."""

MAX_BATCH = 20_000
MAX_WAITING = 2_000_000
"""Entries kept while the database can't be written; beyond it, the newest are dropped."""

RETRY_SECONDS = 1.0

RECORD, REPLAY = 0, 1

_writers: weakref.WeakSet[RunWriter] = weakref.WeakSet()


class RunWriter:
    """Writes what one process logs for one run.  Every method is safe in any thread.

    `path` is the database file or the project root; `source` is "record" or "replay".
    The constructor raises sqlite3.Error or OSError when the database can't be opened at all.
    """

    def __init__(self, path: Path, run: int, source: str = "record") -> None:
        if source not in ("record", "replay"):
            raise ValueError(f"source is 'record' or 'replay', not {source!r}")
        path = Path(path)
        if path.is_dir():
            path = path / ".flor" / "flor.db"
        self.path = path
        self.run = int(run)
        self.source = source
        self.error: str | None = None
        self.dropped = 0
        self._queue: deque[tuple[Any, ...]] = deque()
        self._append = self._queue.append
        self._wake = threading.Event()
        self._idle = threading.Condition()
        self._done = 0  # entries committed or dropped
        self._taken = 0  # entries taken off the queue
        self._closing = False
        self._connection: sqlite3.Connection | None = connect(path)
        self._batch = Batch(self._connection, self.run, REPLAY if source == "replay" else RECORD)
        self._thread = threading.Thread(target=self._work, name="flor-store", daemon=True)
        self._thread.start()
        _writers.add(self)

    def log(
        self, name: str, value: Any, ctx: Any, stmt: str | None = None, _time: Any = time.time
    ) -> None:
        """Log `value` (frozen, see `values.freeze`) under `name` at context `ctx`."""
        self._append(("log", name, value, ctx, stmt, _time()))

    def iteration(self, ctx: Any, t: float | None = None) -> None:
        """Note that the iteration `ctx` began, at `t` seconds since the epoch (default: now)."""
        self._append(("iteration", ctx, time.time() if t is None else t))

    def checkpoint(self, published: Any) -> None:
        """Note a published checkpoint (loop, position, file, nbytes, stored, …)."""
        self._append(("checkpoint", published, time.time()))

    def region(self, ctx: Any, region: str, number: int, data: bytes) -> None:
        """Note what execution `number` of a region at context `ctx` left behind."""
        self._append(("region", ctx, region, number, data))

    def reset_ordinals(self) -> None:
        """After a replay jumped: iterations that run again count their values from 0 again."""
        self._append(("reset",))

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until all that was logged before is committed.  False: not within `timeout` s."""
        if not self._thread.is_alive():
            return not self._queue
        target = self._taken + len(self._queue)
        self._wake.set()
        with self._idle:
            return self._idle.wait_for(lambda: self._done >= target, timeout)

    def close(self, timeout: float = BUSY_SECONDS) -> bool:
        """Commit what is left and end the thread.  False: not all could be written."""
        self._closing = True
        self._wake.set()
        self._thread.join(timeout)
        ended = not self._thread.is_alive()
        if ended and self._connection is not None:
            self._connection.close()
            self._connection = None
        return ended and not self.dropped

    # -- the background thread ---------------------------------------------------------------

    def _work(self) -> None:
        while True:
            closing = self._closing  # read first: what was appended before close() is seen below
            self._drain()
            if closing and not self._queue:
                return
            if self._wake.wait(COMMIT_SECONDS):
                self._wake.clear()

    def _drain(self) -> None:
        queue = self._queue
        while queue:
            entries = [queue.popleft() for _ in range(min(len(queue), MAX_BATCH))]
            self._taken += len(entries)
            if not self._commit(entries):
                self.dropped += len(entries)
            with self._idle:
                self._done += len(entries)
                self._idle.notify_all()

    def _commit(self, entries: list[tuple[Any, ...]]) -> bool:
        """Write entries in one transaction, however long others lock it; False: dropped."""
        failures = 0
        while True:
            try:
                self._batch.write(entries)
                return True
            except sqlite3.OperationalError as error:
                busy = "locked" in str(error) or "busy" in str(error)
                failures += not busy
                if not busy or self._closing:
                    self._note(error)
                hopeless = failures and (self.dropped or self._closing or failures > 2)
                if hopeless or self._overfull():
                    return False
                self._wake.wait(0.05 if busy else RETRY_SECONDS)
            except Exception as error:  # whatever it is, training goes on
                self._note(error)
                return self._commit_singly(entries) if len(entries) > 1 else False

    def _commit_singly(self, entries: list[tuple[Any, ...]]) -> bool:
        """One bad entry must not cost its neighbours."""
        lost = 0
        for entry in entries:
            try:
                self._batch.write([entry])
            except Exception as error:
                self._note(error)
                lost += 1
        self.dropped += lost
        return True

    def _note(self, error: Exception) -> None:
        if self.error is None:
            self.error = f"{type(error).__name__}: {error}".replace("\n", " ")

    def _overfull(self) -> bool:
        return len(self._queue) > MAX_WAITING


def _discard(_entry: tuple[Any, ...]) -> None:
    """In a forked child there is no background thread: what it logs isn't the run's."""


def _after_fork() -> None:
    for writer in list(_writers):
        writer._append = _discard
        writer._queue = deque()
        writer._idle = threading.Condition()
        writer._wake = threading.Event()
        # The inherited connection must be neither used nor closed: SQLite's locks are the parent's.
        _orphans.append(writer._connection)
        writer._connection = None


_orphans: list[Any] = []

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
