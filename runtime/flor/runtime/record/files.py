"""Files that the script has written so far, as a part of a checkpoint.

A script that saves its best model in the loop and loads it behind the loop has state in a file.
At the heads of loops after which files are read, what the run has written is kept with the
checkpoint: each content once, up to a limit.  What isn't kept is named, so that a replay that
reads it can go back to the start.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import Any

import xxhash

from .tree import LIMIT, walk

FILES = "flor.files"
"""Key of a snapshot's `meta`: the manifest."""
MAX_BYTES = 1 << 30
"""Of one run."""
CHUNK = 1 << 20
_WRITING = os.O_WRONLY | os.O_RDWR
Stamp = tuple[int, int]


def stamps(*folders: str | os.PathLike[str]) -> dict[str, Stamp] | None:
    """(mtime in ns, size) of all regular files below `folders`; None if there are too many."""
    found: dict[str, Stamp] = {}
    for entry in walk(*folders):
        with contextlib.suppress(OSError):
            status = entry.stat(follow_symlinks=False)
            if stat.S_ISREG(status.st_mode):
                found[entry.path] = (status.st_mtime_ns, status.st_size)
        if len(found) > LIMIT:
            return None
    return found


def open_for_writing() -> set[str]:
    """Files that this process has open to write: their content isn't settled."""
    found: set[str] = set()
    try:
        names = os.listdir("/proc/self/fd")
    except OSError:
        return found
    for name in names:
        try:
            text = Path("/proc/self/fdinfo", name).read_text()
            flags = next(line for line in text.splitlines() if line.startswith("flags:"))
            if int(flags.split()[1], 8) & _WRITING:
                found.add(os.readlink(f"/proc/self/fd/{name}"))
        except (OSError, StopIteration, ValueError, IndexError):
            continue
    return found


class FileState:
    """What has been written since the run began.  Raises OSError only from `__init__`."""

    def __init__(self, folder: Path, root: Path, cwd: str) -> None:
        self.folder = folder
        self.folders = (str(root), cwd)
        self.before = stamps(*self.folders)
        self.kept: dict[str, tuple[Stamp, str]] = {}  # path -> what it was, where that is kept
        self.stored = 0

    def manifest(self) -> dict[str, Any] | None:
        """`saved`: path -> file in `folder`; `unsaved`; `gone`.  None: nothing can be said."""
        now = stamps(*self.folders) if self.before is not None else None
        if now is None or self.before is None:
            return None
        saved: dict[str, str] = {}
        unsaved: list[str] = []
        busy = open_for_writing()
        for path in sorted(now):
            if self.before.get(path) == now[path]:
                continue
            name = None if path in busy else self._keep(path, now[path])
            if name is None:
                unsaved.append(path)
            else:
                saved[path] = name
        gone = sorted(self.before.keys() - now.keys())
        return {"saved": saved, "unsaved": unsaved, "gone": gone}

    def _keep(self, path: str, stamp: Stamp) -> str | None:
        known = self.kept.get(path)
        if known is not None and known[0] == stamp:
            return known[1]
        if self.stored + stamp[1] > MAX_BYTES:
            return None
        scratch = self.folder / ".part"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            digest = xxhash.xxh3_128()
            with open(path, "rb") as source, open(scratch, "wb") as copy:
                while block := source.read(CHUNK):
                    digest.update(block)
                    copy.write(block)
            status = os.stat(path)
            if (status.st_mtime_ns, status.st_size) != stamp:
                return None  # it is being written
            name = digest.hexdigest()
            os.replace(scratch, self.folder / name)
        except OSError:
            return None
        self.stored += stamp[1]
        self.kept[path] = (stamp, name)
        return name


def lay_out(manifest: dict[str, Any], folder: Path) -> None:
    """Write what a manifest has saved to its places (in a replay: of the overlay).

    Raises OSError.
    """
    for path, name in manifest["saved"].items():
        content = (folder / name).read_bytes()
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)
    for path in manifest["gone"]:
        if os.path.exists(path):
            os.remove(path)
