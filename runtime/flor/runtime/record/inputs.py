"""Which files the script reads: noted when it opens them, told to the store at the run's end.

A replay compares: an input that isn't what the run read is said, one that was only touched isn't.
A forked child (a DataLoader's worker) reports over a file of its parent's.  What native code
opens by name isn't seen.  (An audit hook would see a little more, and slow down every `id()` and
every log call by a microsecond.)
"""

from __future__ import annotations

import builtins
import contextlib
import functools
import io
import os
import stat
import sys
from pathlib import Path
from typing import Any

import xxhash

from ..store.snapshots import Input

LIMIT = 10_000
"""Files; further ones aren't noted."""
HASHED = 1_000_000
"""Bytes; larger files are told by size and time."""
HASHED_IN_ALL = 50_000_000
_CODE = (".py", ".pyc", ".pyi", ".so")
_APART = ("/proc/", "/sys/", "/dev/")
_INSIDE = ("/.flor/", "/site-packages/", "/dist-packages/")


class InputNotes:
    """Files opened for reading since `start`.  Nothing here raises into the script."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.seen: set[Any] = set()
        self.on = False
        folders = {sys.prefix, sys.base_prefix} - {"/usr", "/", "/usr/local"}
        folders.add(os.path.dirname(os.__file__))
        self._apart = (*_APART, *(f"{folder}/" for folder in folders))
        self._fd = -1
        self._real: Any = None
        self._ours: Any = None

    def start(self) -> None:
        """From now on.  Raises OSError."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._fd = os.open(self.file, flags, 0o666)
        self.on = True
        self._real = io.open
        self._ours = self._opener(io.open)
        builtins.open = io.open = self._ours

    def _opener(self, real: Any) -> Any:
        """`open` that notes what it is given."""

        @functools.wraps(real)
        def open(file: Any, mode: Any = "r", *args: Any, **kwargs: Any) -> Any:
            if self.on:
                self._look(file, mode)
            return real(file, mode, *args, **kwargs)

        del open.__wrapped__
        return open

    def _look(self, file: Any, mode: Any) -> None:
        try:
            if file in self.seen or not isinstance(file, (str, bytes, os.PathLike)):
                return
            if isinstance(mode, str) and not any(letter in mode for letter in "wax+"):
                self._note(file)
        except Exception:
            return

    def _note(self, said: Any) -> None:
        if len(self.seen) >= LIMIT:
            self.on = False
            return
        self.seen.add(said)
        path = os.path.abspath(os.fsdecode(said))
        if path.endswith(_CODE) or path.startswith(self._apart):
            return
        if any(part in path for part in _INSIDE):
            return
        status = os.stat(path)
        if stat.S_ISREG(status.st_mode):
            line = f"{status.st_size} {status.st_mtime_ns} {path}\0"
            os.write(self._fd, os.fsencode(line))

    def stop(self) -> list[Input]:
        """What was read, with hashes of what is small and hasn't changed since."""
        self.on = False
        if self._fd < 0:
            return []
        if builtins.open is self._ours:
            builtins.open = self._real
        if io.open is self._ours:
            io.open = self._real
        with contextlib.suppress(OSError):
            os.close(self._fd)
        self._fd = -1
        found = read_notes(self.file, hashes=True)
        with contextlib.suppress(OSError):
            self.file.unlink()
        return found


def read_notes(file: Path, *, hashes: bool) -> list[Input]:
    """What was noted in a file; a run that was killed leaves it.

    `hashes`: of what is small and hasn't changed since it was read.
    """
    found: dict[str, Input] = {}
    try:
        raw = file.read_bytes()
    except OSError:
        return []
    budget = HASHED_IN_ALL if hashes else -1
    for line in raw.split(b"\0")[:-1]:
        size, mtime, path = os.fsdecode(line).split(" ", 2)
        place = os.path.realpath(path)
        if place in found or len(found) >= LIMIT:
            continue  # the first look counts: what is read later the run may have written
        digest = None
        if int(size) <= min(HASHED, budget):
            digest = content_hash(place, int(size), int(mtime))
            budget -= int(size)
        found[place] = Input(place, int(size), int(mtime), digest)
    return list(found.values())


def content_hash(path: str, size: int, mtime_ns: int | None = None) -> str | None:
    """The hash of a file that is as large as that (and as old); None if it isn't."""
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            if status.st_size != size or mtime_ns not in (None, status.st_mtime_ns):
                return None
            return xxhash.xxh3_128_hexdigest(file.read())
    except OSError:
        return None
