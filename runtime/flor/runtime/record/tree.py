"""Which files a project has when a run starts, by name.

A script may look for its own output ("resume if there is a checkpoint").  A replay then has to
see the folder as it was at the run's start: what came later is hidden from it.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from ..places import Moved

LIMIT = 20_000
"""Entries; a larger project is not listed (and nothing is hidden in a replay of its runs)."""

SKIPPED = frozenset({"__pycache__", "node_modules", "site-packages"})


def listing(*folders: str | os.PathLike[str]) -> set[str] | None:
    """Absolute paths of all files and folders below `folders`, code and hidden ones left out.

    None if there are too many.
    """
    found: set[str] = set()
    for entry in walk(*folders):
        found.add(entry.path)
        if len(found) > LIMIT:
            return None
    return found


def walk(*folders: str | os.PathLike[str], code: bool = False) -> Iterator[os.DirEntry[str]]:
    """Entries of all folders below `folders`; hidden files and environments left out.

    Code too, unless `code`.
    """
    roots = list(dict.fromkeys(os.path.realpath(folder) for folder in folders))
    pending = list(roots)
    while pending:
        folder = pending.pop()
        try:
            entries = list(os.scandir(folder))
        except OSError:
            continue
        if folder not in roots and any(entry.name == "pyvenv.cfg" for entry in entries):
            continue
        for entry in entries:
            if entry.name.startswith(".") or entry.name in SKIPPED:
                continue
            if code or not entry.name.endswith((".py", ".pyc")):
                yield entry
            with contextlib.suppress(OSError):
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)


def save(path: Path, root: Path, cwd: str) -> None:
    """Keep the listing of the project and the current folder in `path`."""
    found = listing(root, cwd)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(None if found is None else sorted(found)), encoding="utf-8")


def newer(path: Path, root: Path, cwd: str, moved: Moved | None = None) -> list[str]:
    """Files and folders that came after `save`; what lies in such a folder is not listed.

    `moved`: the project was elsewhere then.
    """
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    now = listing(root, cwd) if kept is not None else None
    if now is None:
        return []
    fresh = now - {moved.path(p) if moved is not None else p for p in kept}
    return sorted(p for p in fresh if os.path.dirname(p) not in fresh)
