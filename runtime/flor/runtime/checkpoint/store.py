"""Checkpoint files: written by a background thread, whole or not at all, nothing twice.

The layout is in fileformat.py.
"""

from __future__ import annotations

import errno
import os
import pickle
import queue
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from .errors import one_line
from .fileformat import CHUNK, FORMAT, HEAD, HEAD_SIZE, MAGIC, SUFFIX, algorithm, digest
from .graph import Snapshot
from .memory import LARGE, PAGE
from .reader import load

_DEDUP_MIN = 1024


class Published(NamedTuple):
    """One checkpoint that is on disk.  Sizes in bytes, times in seconds."""

    loop: str
    position: tuple[tuple[str, int, Any], ...]  # (name, index, value), outermost first
    file: str  # name inside the writer's folder
    nbytes: int
    stored: int
    persist_s: float
    checksum: str


def positions(ctx: Any) -> tuple[tuple[str, int, Any], ...]:
    """The linked coordinates (parent, name, index, value) as a flat tuple, outermost first."""
    out = []
    while ctx is not None:
        ctx, name, index, value = ctx
        out.append((name, index, value))
    return tuple(reversed(out))


class CheckpointWriter:
    """Persists snapshots of one run into `folder`, one after the other, on its own thread.

    It never raises into the caller: an error ends checkpointing and is told in `error`.
    """

    def __init__(self, folder: Path, run: str, on_published: Callable[[Published], None]) -> None:
        self.folder, self.run = Path(folder), run
        self.error: str | None = None
        self.persist_s = 0.0
        self.stored = 0
        self._on_published = on_published
        self._known: dict[bytes, tuple[str, int]] = {}
        self._number = 0
        self._pid = os.getpid()
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._pending = 0
        self._idle = threading.Condition()
        self._closed = False
        self._thread: threading.Thread | None = None
        self._hash = algorithm()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._sweep()
        except OSError as error:
            self._fail(error)

    @property
    def busy(self) -> bool:
        """Whether a snapshot is waiting or being written: the caller should skip this one."""
        return self._pending > 0

    def submit(self, snapshot: Snapshot, loop: str, ctx: Any) -> bool:
        """Persist `snapshot` in the background and release it.  False: it was dropped."""
        if self.error is not None or self._closed or os.getpid() != self._pid:
            snapshot.release()
            return False
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._serve, name="flor-checkpoints", daemon=True
            )
            try:
                self._thread.start()
            except RuntimeError as error:  # the interpreter is going down
                self._fail(error)
                snapshot.release()
                return False
        with self._idle:
            self._pending += 1
        self._queue.put((snapshot, loop, positions(ctx)))
        return True

    def drain(self, timeout: float | None = None) -> bool:
        """Wait until all that was submitted is on disk; False if `timeout` seconds passed first."""
        if os.getpid() != self._pid:
            return True
        with self._idle:
            return self._idle.wait_for(lambda: self._pending == 0, timeout)

    def close(self, timeout: float | None = None) -> bool:
        """Drain and end the thread; further snapshots are dropped."""
        self._closed = True
        done = self.drain(timeout)
        if self._thread is not None and os.getpid() == self._pid:
            self._queue.put(None)
            if done:
                self._thread.join(timeout)
        return done

    # -- the background thread -----------------------------------------------------------------

    def _serve(self) -> None:
        while (item := self._queue.get()) is not None:
            snapshot, loop, position = item
            try:
                if self.error is None:
                    published = self._persist(snapshot, loop, position)
                    self._on_published(published)
            except BaseException as error:
                self._fail(error)
            finally:
                snapshot.release()
                del item, snapshot
                with self._idle:
                    self._pending -= 1
                    self._idle.notify_all()

    def _fail(self, error: BaseException) -> None:
        if self.error is None:
            where = f" in {self.folder}" if isinstance(error, OSError) else ""
            self.error = f"no more checkpoints{where}: {one_line(error)}"

    def _sweep(self) -> None:
        """Remove what killed processes left half written; go on numbering after what is there."""
        for path in self.folder.iterdir():
            found = re.match(r"\.tmp-(\d+)-", path.name)
            if found and not _alive(int(found[1])):
                path.unlink(missing_ok=True)
            number = path.name.partition("-")[0]
            if number.isdigit():
                self._number = max(self._number, int(number))

    def _persist(self, snapshot: Snapshot, loop: str, position: Any) -> Published:
        started = time.perf_counter()
        self._number += 1
        place = "-".join(str(index) for _, index, _ in position)
        label = re.sub(r"\W+", "_", loop)[:40]
        name = f"{self._number:06d}-{label}" + (f"-{place}" if place else "") + SUFFIX
        table, own, data_size = self._allot(snapshot, name)
        manifest = _manifest(snapshot, table, self.run, loop, position)
        data_at = -(-(HEAD_SIZE + len(manifest)) // PAGE) * PAGE
        head = HEAD.pack(MAGIC, FORMAT, self._hash, HEAD_SIZE, len(manifest), data_at, data_size)
        checksum = digest(self._hash, head, manifest)
        small, large = _runs(snapshot, own, data_at)
        parts = [(0, head + checksum + manifest), *small]
        self._write(name, data_at + data_size if data_size else 0, parts, large)
        for (_, known, file, offset), region in zip(table, snapshot.regions, strict=True):
            if file == "" and region.nbytes >= _DEDUP_MIN:
                self._known[known] = (name, offset)
        seconds = time.perf_counter() - started
        stored = data_size + len(manifest) + HEAD_SIZE
        self.persist_s += seconds
        self.stored += stored
        nbytes = snapshot.nbytes
        return Published(loop, position, name, nbytes, stored, seconds, checksum.hex())

    def _allot(self, snapshot: Snapshot, name: str) -> tuple[list[Any], list[Any], int]:
        """The region table, the (offset, view) of regions stored here, and their total size."""
        table: list[Any] = []
        own: list[Any] = []
        cursor = 0
        here: dict[bytes, int] = {}
        order = sorted(range(len(snapshot.regions)), key=lambda i: snapshot.regions[i].offset)
        rows: dict[int, Any] = {}
        for index in order:
            region = snapshot.regions[index]
            view = snapshot.region_view(index)
            found = digest(self._hash, view)
            shareable = region.nbytes >= _DEDUP_MIN
            if shareable and found in self._known:
                rows[index] = (region.nbytes, found, *self._known[found])
            elif shareable and found in here:
                rows[index] = (region.nbytes, found, "", here[found])
            else:
                align = PAGE if region.nbytes >= LARGE else 64
                cursor = -(-cursor // align) * align
                here[found] = cursor
                rows[index] = (region.nbytes, found, "", cursor)
                own.append((cursor, index))
                cursor += region.nbytes
        table = [rows[index] for index in range(len(order))]
        return table, own, -(-cursor // PAGE) * PAGE

    def _write(self, name: str, size: int, parts: list[tuple[int, Any]], direct: Any) -> None:
        temporary = self.folder / f".tmp-{self._pid}-{name}.partial"
        try:
            fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
            try:
                if size and hasattr(os, "posix_fallocate"):
                    _preallocate(fd, size)
                rest = _write_direct(temporary, direct)
                for offset, data in [*parts, *rest]:
                    _pwrite(fd, data, offset)
            finally:
                os.close(fd)
            os.replace(temporary, self.folder / name)
        except BaseException:
            try:
                temporary.unlink(missing_ok=True)
            except OSError:
                pass
            raise


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _preallocate(fd: int, size: int) -> None:
    """Find out early that there is no room; file systems without it just go on."""
    try:
        os.posix_fallocate(fd, 0, size)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
            raise


def _pwrite(fd: int, data: Any, offset: int, *, whole_pages: bool = False) -> None:
    view = memoryview(data)
    while view:
        done = os.pwrite(fd, view[:CHUNK], offset)
        if done <= 0:
            raise OSError("nothing was written")
        if whole_pages and done % PAGE:
            raise OSError(errno.EINVAL, "a direct write ended inside a page")
        view, offset = view[done:], offset + done


def _runs(snapshot: Snapshot, own: list[tuple[int, int]], data_at: int) -> tuple[Any, Any]:
    """(file offset, bytes) to write: (small ones, whole pages); neighbours are joined.

    Whole pages reach over a region's end into the arena's padding.
    """
    spans: dict[bool, list[list[int]]] = {False: [], True: []}  # [file offset, arena from, to]
    for cursor, index in own:
        buffer, offset, nbytes = snapshot.regions[index]
        large = nbytes >= LARGE and buffer == 0
        end = -(-(offset + nbytes) // PAGE) * PAGE if large else offset + nbytes
        at = data_at + cursor
        last = spans[large][-1] if spans[large] else None
        if last and 0 <= offset - last[2] < PAGE and at - last[0] == offset - last[1]:
            last[2] = end
        else:
            spans[large].append([at, offset, end])
    view = snapshot.buffers[0].view if snapshot.buffers else memoryview(b"")
    return (
        [(at, view[start:end]) for at, start, end in spans[False]],
        [(at, view[start:end]) for at, start, end in spans[True]],
    )


def _write_direct(file: Path, runs: list[tuple[int, Any]]) -> list[tuple[int, Any]]:
    """Write pages past the page cache: filling the cache costs 20 times the copy.

    Returns what is left to be written the ordinary way.
    """
    if not runs or not hasattr(os, "O_DIRECT"):
        return runs
    try:
        fd = os.open(file, os.O_WRONLY | os.O_DIRECT)
    except OSError:
        return runs
    left = list(runs)
    try:
        while left:
            _pwrite(fd, left[0][1], left[0][0], whole_pages=True)
            left.pop(0)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(fd)
    return left


def _manifest(snapshot: Snapshot, table: list[Any], run: str, loop: str, position: Any) -> bytes:
    nodes = [
        (n[0], n[1], (type(n[2]).__name__, *n[2]), n[3], n[4])
        if n[0] in ("tensor", "ndarray") and n[2] is not None
        else n
        for n in snapshot.nodes
    ]
    content = {
        "run": run,
        "loop": loop,
        "position": tuple((n, i, v if _plain(v) else repr(v)) for n, i, v in position),
        "roots": snapshot.roots,
        "anchors": snapshot.anchors,
        "nodes": nodes,
        "types": snapshot.types,
        "regions": table,
        "rng": snapshot.rng,
        "missing": snapshot.missing,
        "notes": snapshot.notes,
        "meta": snapshot.meta,
    }
    return pickle.dumps(content, 5)


def _plain(value: Any) -> bool:
    return value is None or type(value) in (bool, int, float, str)


__all__ = ["CheckpointWriter", "Published", "load", "positions"]
