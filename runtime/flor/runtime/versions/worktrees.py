"""Folders that a command needs for a while: old versions, and its workers' scratch.

They lie in `.flor/worktrees/OWNER/`, where `owner` says which process made them.  What a process
leaves that was killed, the next command removes.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import stat
import tempfile
import threading
from pathlib import Path
from types import TracebackType

from ..store import processes

FOLDER = "worktrees"
SCRATCH = "flor-replay-"
"""Scratch folders' names begin so, wherever the system has its temporary files."""
_OWNER = "owner"
_SCRATCHES = "scratch"


class Workplace:
    """`with Workplace(root) as place:` the folders made in it are gone afterwards."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.base = root / ".flor" / FOLDER
        self._folder: Path | None = None
        self._count = 0
        self._lock = threading.Lock()

    def __enter__(self) -> Workplace:
        clean(self.root)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._folder is not None:
            _remove(self._folder)
            self._folder = None
        with contextlib.suppress(OSError):
            self.base.rmdir()

    @property
    def folder(self) -> Path:
        """The folder of the process that asks.  Raises OSError."""
        with self._lock:
            if self._folder is None:
                self._folder = self._make()
            return self._folder

    def _make(self) -> Path:
        pid = os.getpid()
        self.base.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".new-{pid}-", dir=self.base))
        facts = {"host": socket.gethostname(), "pid": pid, "id": processes.identity(pid)}
        (made / _OWNER).write_text(json.dumps(facts), encoding="utf-8")
        (made / _SCRATCHES).mkdir()
        folder = made.with_name(made.name[1:])
        made.rename(folder)  # complete from the first moment that it has this name
        return folder

    def tree(self) -> Path:
        """A new folder for a version.  It is the root of a project.  Raises OSError."""
        self._count += 1
        folder = self.folder / str(self._count)
        (folder / ".flor").mkdir(parents=True)
        return folder

    def scratch(self) -> Path:
        """A new folder among the system's temporary files.  Raises OSError."""
        links = self.folder / _SCRATCHES
        made = Path(tempfile.mkdtemp(prefix=SCRATCH))
        os.symlink(made, links / made.name)
        return made

    def free(self, scratch: Path) -> None:
        """Remove a scratch folder."""
        remove_tree(scratch)
        if self._folder is not None:
            with contextlib.suppress(OSError):
                (self._folder / _SCRATCHES / scratch.name).unlink()


def clean(root: Path) -> None:
    """Remove what processes that are gone have left.  Never raises."""
    base = root / ".flor" / FOLDER
    try:
        folders = [entry.path for entry in os.scandir(base)]
    except OSError:
        return
    for name in folders:
        folder = Path(name)
        try:
            facts = json.loads((folder / _OWNER).read_text(encoding="utf-8"))
            gone = processes.is_dead(facts["host"], facts["pid"], facts["id"])
        except (OSError, ValueError, KeyError, TypeError):
            gone = _died_young(folder.name)
        if gone:
            _remove(folder)
    with contextlib.suppress(OSError):
        base.rmdir()


def _died_young(name: str) -> bool:
    """Whether a folder without an owner was being made by a process that is gone."""
    parts = name.split("-")
    if len(parts) < 2 or not parts[1].isdigit():
        return True
    return processes.is_dead(socket.gethostname(), int(parts[1]), None)


def _remove(folder: Path) -> None:
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder / _SCRATCHES):
            target = os.readlink(entry.path)
            if os.path.basename(target) == entry.name and entry.name.startswith(SCRATCH):
                remove_tree(Path(target))
    remove_tree(folder)


def remove_tree(folder: Path) -> None:
    """Remove a folder, also where the script took permissions away."""
    shutil.rmtree(folder, ignore_errors=True)
    if not folder.exists():
        return
    for parent, _, _ in os.walk(folder):
        with contextlib.suppress(OSError):
            os.chmod(parent, os.stat(parent).st_mode | stat.S_IRWXU)
    shutil.rmtree(folder, ignore_errors=True)
