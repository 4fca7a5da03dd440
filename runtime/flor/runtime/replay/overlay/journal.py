"""What a replay did to the view of the files, shared by all of its processes.

An append-only file of records `<kind><path>NUL`.  Every process reads the tail that it has not
seen yet whenever the file grew, so a worker forked by a DataLoader and its parent agree.
"""

from __future__ import annotations

import os

from . import real

GONE = "G"  # the real path is hidden from now on
LINKS = "L"  # a symbolic link appeared or a folder moved: cached resolutions are void
STALE = "S"  # a real file, newer than the recorded run, was read


class Journal:
    """The records so far: `gone` (hidden real paths), `stale` (in order), `links` (a counter)."""

    def __init__(self, file: str) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._fd = real.os_open(file, flags, 0o600)
        self._read = 0
        self.gone: set[str] = set()
        self.parents: set[str] = set()  # folders with something hidden directly in them
        self.stale: dict[str, None] = {}
        self.links = 0

    def append(self, kind: str, path: str) -> None:
        """Add one record; visible to every process at once."""
        os.write(self._fd, os.fsencode(kind + path) + b"\0")
        self.refresh()

    def refresh(self) -> None:
        """Take in what other processes appended (one fstat when nothing was)."""
        size = os.fstat(self._fd).st_size
        if size == self._read:
            return
        tail = os.pread(self._fd, size - self._read, self._read)
        end = tail.rfind(b"\0") + 1
        self._read += end
        for record in tail[:end].split(b"\0")[:-1]:
            text = os.fsdecode(record)
            self._take(text[:1], text[1:])

    def _take(self, kind: str, path: str) -> None:
        if kind == GONE:
            self.gone.add(path)
            self.parents.add(path.rpartition("/")[0])
        elif kind == STALE:
            self.stale.setdefault(path)
        self.links += kind != STALE
