"""Git's object names, computed here: what a version's tree and commit will be called."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

AUTHOR = b"flor <flor@localhost> 0 +0000"
MESSAGE = b"A recorded version\n\nKept by florc for its replays.\n"
LINK = "120000"


@dataclass(frozen=True)
class Entry:
    """A file of a version: "100644", "100755" or "120000" (a link, its target the content)."""

    mode: str
    oid: str
    size: int


def content_of(path: Path, mode: str) -> bytes:
    """What git keeps of a file: its bytes, a link's target.  Raises OSError."""
    return os.fsencode(os.readlink(path)) if mode == LINK else path.read_bytes()


def name_of(kind: str, content: bytes, algorithm: str = "sha1") -> str:
    """The name of an object."""
    digest = hashlib.new(algorithm, f"{kind} {len(content)}\0".encode(), usedforsecurity=False)
    digest.update(content)
    return digest.hexdigest()


def tree_of(entries: Mapping[str, Entry], algorithm: str = "sha1") -> str:
    """The name of the tree that has these files."""
    top: dict[str, Any] = {}
    for path, entry in entries.items():
        *folders, name = path.split("/")
        place = top
        for folder in folders:
            place = place.setdefault(folder, {})
        place[name] = entry
    return _tree(top, algorithm)


def _tree(folder: Mapping[str, Any], algorithm: str) -> str:
    rows = []
    for name, item in folder.items():
        raw = os.fsencode(name)
        if isinstance(item, Entry):
            rows.append((raw, item.mode.encode(), item.oid))
        else:
            rows.append((raw + b"/", b"40000", _tree(item, algorithm)))
    rows.sort()
    content = b"".join(
        mode + b" " + (raw[:-1] if mode == b"40000" else raw) + b"\0" + bytes.fromhex(oid)
        for raw, mode, oid in rows
    )
    return name_of("tree", content, algorithm)


def commit_of(tree: str, algorithm: str = "sha1") -> str:
    """The name of a version's commit: it has no parent and no date, so a tree has just one."""
    head = f"tree {tree}\n".encode() + b"author " + AUTHOR + b"\ncommitter " + AUTHOR + b"\n\n"
    return name_of("commit", head + MESSAGE, algorithm)
