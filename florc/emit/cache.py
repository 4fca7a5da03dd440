"""Builds by the content of what they were made from, shared by all projects of a user.

    $XDG_CACHE_HOME/florc/v<layout>/<what was asked for>/<what it was made from>.json

The folder's name is the hash of florc itself, the options, the effect files and the script's
place and text.  Each file in it tells the other inputs: the text of every module read, and which
files were looked for and not there, so that adding a module counts as a change.  Paths are
relative to the project's root: another checkout of the same text finds the same build.

The cache never makes a compilation fail: what can't be read or written is as if it weren't there.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from florc.emit.build import (
    Build,
    file_hash,
    fingerprint,
    from_data,
    read_json,
    replace_file,
    same_inputs,
    to_data,
)

LAYOUT = 1
LIMIT = 100 * 2**20
"""Bytes that are kept; what was used least recently goes first."""


def cache_dir() -> Path | None:
    """Where this user's builds are; None if there is no home folder."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(given):
        return Path(given) / "florc" / f"v{LAYOUT}"
    try:
        return Path.home() / ".cache" / "florc" / f"v{LAYOUT}"
    except RuntimeError:
        return None


def _folder(root: Path, script: Path, module: str | None, effects: Sequence[Path]) -> Path | None:
    base = cache_dir()
    text = file_hash(script)
    if base is None or text is None:
        return None
    place = os.path.relpath(script.resolve(), root.resolve()).replace(os.sep, "/")
    parts = [fingerprint(), place, module, text, [file_hash(path) for path in effects]]
    return base / hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def load(root: Path, script: Path, module: str | None, effects: Sequence[Path]) -> Build | None:
    """The build of a script whose inputs are what they were when it was stored, else None."""
    folder = _folder(root, script, module, effects)
    try:
        entries = sorted(folder.glob("*.json")) if folder is not None else []
        for path in entries:
            data = read_json(path)
            if data is not None and same_inputs(data, root):
                build = from_data(data)
                if build is not None:
                    os.utime(path)
                    return build
    except OSError:
        pass
    return None


def store(
    build: Build, root: Path, script: Path, module: str | None, effects: Sequence[Path]
) -> None:
    """Keep a build, unless that can't be done."""
    folder = _folder(root, script, module, effects)
    if folder is None:
        return
    data = to_data(build)
    inputs = json.dumps([data["modules"], data["absent"], data["unread"]], sort_keys=True)
    name = hashlib.sha256(inputs.encode()).hexdigest()[:32]
    raw = json.dumps(data).encode()
    with contextlib.suppress(OSError):
        base = folder.parent
        replace_file(folder / f"{name}.json", raw)
        _evict(base)


def _entries(base: Path) -> Iterator[tuple[float, int, str]]:
    for folder in os.scandir(base):
        if folder.is_dir(follow_symlinks=False):
            for entry in os.scandir(folder.path):
                status = entry.stat(follow_symlinks=False)
                yield status.st_mtime, status.st_size, entry.path


def _evict(base: Path) -> None:
    """Remove what was used least recently until LIMIT is kept."""
    found = sorted(_entries(base))
    size = sum(entry[1] for entry in found)
    for _, length, path in found:
        if size <= LIMIT:
            break
        with contextlib.suppress(OSError):
            os.unlink(path)
            size -= length
            os.rmdir(os.path.dirname(path))  # fails while it holds others
