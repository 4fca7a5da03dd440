"""Which files a project has when a run starts, by name.

A script may look for its own output ("resume if there is a checkpoint").  A replay then has to
see the folder as it was at the run's start: what came later is hidden from it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

LIMIT = 20_000
"""Entries; a larger project is not listed (and nothing is hidden in a replay of its runs)."""

SKIPPED = frozenset({"__pycache__", "node_modules", "site-packages"})


def listing(*folders: str | os.PathLike[str]) -> set[str] | None:
    """Absolute paths of all files and folders below `folders`, code and hidden ones left out.

    None if there are too many.
    """
    found: set[str] = set()
    for folder in dict.fromkeys(os.path.realpath(f) for f in folders):
        for parent, names, files in os.walk(folder):
            if "pyvenv.cfg" in files and parent != folder:
                names.clear()
                continue
            names[:] = [n for n in names if not n.startswith(".") and n not in SKIPPED]
            for name in [*names, *files]:
                if not name.endswith((".py", ".pyc")) and not name.startswith("."):
                    found.add(os.path.join(parent, name))
            if len(found) > LIMIT:
                return None
    return found


def save(path: Path, root: Path, cwd: str) -> None:
    """Keep the listing of the project and the current folder in `path`."""
    found = listing(root, cwd)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(None if found is None else sorted(found)), encoding="utf-8")


def newer(path: Path, root: Path, cwd: str) -> list[str]:
    """Files and folders that came after `save`; what lies in such a folder is not listed."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    now = listing(root, cwd) if kept is not None else None
    if now is None:
        return []
    fresh = now - set(kept)
    return sorted(p for p in fresh if os.path.dirname(p) not in fresh)
