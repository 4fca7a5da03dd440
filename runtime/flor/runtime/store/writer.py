"""Recording: a buffer that the training thread appends to, a background thread that commits.

`RunWriter.log` is one append (well under a microsecond).  Whatever goes wrong in the background
(a locked database, a full disk) never reaches the training thread: it is kept in `.error`.

The buffer is bounded.  A script that logs faster than the database writes is held up as long as
that goes on writing; if it can't write at all, values are dropped, and counted.
"""

from __future__ import annotations

import math
import os
import sqlite3
import threading
import time
import weakref
from collections import deque
from pathlib import Path
from typing import Any

from .batches import Batch
from .schema import BUSY_SECONDS, connect, is_busy, journal_mode

COMMIT_SECONDS = 0.04
"""Pause between commits; with the commit itself, an entry is durable within about 50 ms."""

MAX_BATCH = 20_000
MAX_WAITING = 250_000
"""Entries in the buffer (some 60 MB of numbers)."""

MAX_BYTES = 1 << 28
"""Bytes of text and arrays in the buffer: 256 MiB."""

STALLED_SECONDS = 5.0
"""A database that has written nothing for so long isn't waited for."""

RETRY_SECONDS = 1.0

MAX_SHARE = 0.2
"""Of the time that commits may take where they are slow (each is synced on a network's disk)."""

LIGHT = frozenset((float, int, bool, type(None)))

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
        self._lost = 0  # dropped by the background thread
        self._refused = 0  # dropped by the others: there was no room
        self._bytes = 0  # of text and arrays that came in
        self._bytes_done = 0
        self._moved = time.monotonic()  # when something was committed or dropped
        self._queue: deque[tuple[Any, ...]] = deque()
        self._append = self._queue.append
        self._wake = threading.Event()
        self._idle = threading.Condition()
        self._done = 0  # entries committed or dropped
        self._taken = 0  # entries taken off the queue
        self._closing = False
        self._closing_until = math.inf
        self._connection: sqlite3.Connection | None = connect(path)
        self._connection_is_wal = journal_mode(self._connection) == "wal"
        self._batch = Batch(self._connection, self.run, REPLAY if source == "replay" else RECORD)
        self._thread = threading.Thread(target=self._work, name="flor-store", daemon=True)
        self._thread.start()
        _writers.add(self)

    def log(
        self, name: str, value: Any, ctx: Any, stmt: str | None = None, _time: Any = time.time
    ) -> None:
        """Log `value` (frozen, see `values.freeze`) under `name` at context `ctx`."""
        self._append(("log", name, value, ctx, stmt, _time()))
        if len(self._queue) > MAX_WAITING:
            self._hold_up()
        if type(value) not in LIGHT:
            self._bytes += weight(value)
            if self._bytes - self._bytes_done > MAX_BYTES:
                self._hold_up()

    def iteration(self, ctx: Any, t: float | None = None) -> None:
        """Note that the iteration `ctx` began, at `t` seconds since the epoch (default: now)."""
        self._append(("iteration", ctx, time.time() if t is None else t))
        if len(self._queue) > MAX_WAITING:
            self._hold_up()

    def checkpoint(self, published: Any) -> None:
        """Note a published checkpoint (loop, position, file, nbytes, stored, …)."""
        self._append(("checkpoint", published, time.time()))

    def region(self, ctx: Any, region: str, number: int, data: bytes) -> None:
        """Note what execution `number` of a region at context `ctx` left behind."""
        self._append(("region", ctx, region, number, data))

    def timing(self, what: str, seconds: float) -> None:
        """Note a duration of the run (costs.py)."""
        self._append(("timing", what, seconds))

    @property
    def dropped(self) -> int:
        """How many entries were lost."""
        return self._lost + self._refused

    def _full(self) -> bool:
        return len(self._queue) > MAX_WAITING or self._bytes - self._bytes_done > MAX_BYTES

    def _hold_up(self) -> None:
        """Wait until there is room; if the database is stuck, drop what came last."""
        self._wake.set()
        while self._thread.is_alive() and not self._closing:
            if time.monotonic() - self._moved > STALLED_SECONDS:
                break
            with self._idle:
                if self._idle.wait_for(lambda: not self._full(), 0.05):
                    return
        try:
            entry = self._queue.pop()
        except IndexError:  # it went on just now
            return
        if entry[0] not in ("log", "iteration"):  # another thread's, and few
            self._queue.append(entry)
            return
        self._refused += 1
        self._bytes_done += _weight_of(entry)
        self._note(BufferError("the database can't be written; values are dropped"))

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
        self._closing_until = time.monotonic() + timeout
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
            begun = time.monotonic()
            self._drain()
            if closing and not self._queue:
                return
            spent = time.monotonic() - begun
            pause = max(COMMIT_SECONDS, min(spent * (1 / MAX_SHARE - 1), 1.0))
            if self._wake.wait(COMMIT_SECONDS if self._connection_is_wal else pause):
                self._wake.clear()

    def _drain(self) -> None:
        queue = self._queue
        while queue:
            entries: list[tuple[Any, ...]] = []
            size = 0
            while queue and len(entries) < MAX_BATCH and size < MAX_BYTES // 4:
                entry = queue.popleft()
                entries.append(entry)
                size += _weight_of(entry)
            self._taken += len(entries)
            if not self._commit(entries):
                self._lost += len(entries)
            self._bytes_done = self._bytes_done + size if queue else self._bytes
            self._moved = time.monotonic()
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
                busy = is_busy(error)
                failures += not busy
                if not busy or self._closing:
                    self._note(error)
                hopeless = failures and (self._lost or self._closing or failures > 2)
                if hopeless or (busy and self._closing and self._too_late()):
                    return False
                self._wake.wait(0.05 if busy else RETRY_SECONDS)
            except Exception as error:  # whatever it is, training goes on
                self._note(error)
                return self._commit_singly(entries) if len(entries) > 1 else False

    def _too_late(self) -> bool:
        return time.monotonic() > self._closing_until

    def _commit_singly(self, entries: list[tuple[Any, ...]]) -> bool:
        """One bad entry must not cost its neighbours."""
        for entry in entries:
            try:
                self._batch.write([entry])
            except Exception as error:
                self._note(error)
                self._lost += 1
        return True

    def _note(self, error: Exception) -> None:
        if self.error is None:
            self.error = f"{type(error).__name__}: {error}".replace("\n", " ")


def weight(value: Any) -> int:
    """About how many bytes a frozen value has besides its entry."""
    kind = type(value)
    if kind is str or kind is bytes:
        return len(value)
    size = getattr(value, "nbytes", None)
    if type(size) is int:
        return size
    if kind is list or kind is dict:
        return 64 * _items(value)
    return 64


def _items(value: Any, depth: int = 0) -> int:
    inner = list(value.values()) if type(value) is dict else value
    count = len(inner)
    if depth < 4:
        count += sum(_items(v, depth + 1) for v in inner if type(v) in (list, dict))
        count += sum(len(v) // 64 for v in inner if type(v) is str)
    return count


def _weight_of(entry: tuple[Any, ...]) -> int:
    return weight(entry[2]) if entry[0] == "log" and type(entry[2]) not in LIGHT else 0


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
