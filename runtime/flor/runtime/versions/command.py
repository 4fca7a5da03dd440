"""`versions`, `diff` and `checkout`: look at what was recorded, and get it back."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..errors import FlorError
from ..store import Store
from ..store.rows import Run
from ..ui.commands import open_store
from ..ui.numbers import spans
from ..ui.render import render
from . import git
from .contents import Version, of_run

NAMED = 4
"""Changed files that a line of the table names."""


def versions(args: argparse.Namespace) -> int:
    """`versions`: one line for each version, oldest first."""
    with open_store(args.root) as store:
        exact = args.format == "json"
        rows = list(_rows(store, exact))
    columns = ["version", "runs", "started", "branch", "commit", "files", "changed", "message"]
    render(columns + ["snapshot"] * exact, rows, args.format)
    return 0


def _rows(store: Store, exact: bool) -> Iterable[tuple[Any, ...]]:
    kept = store.snapshots()
    groups: dict[tuple[str | None, str | None], list[Run]] = {}
    for run in store.runs():
        tree = kept[run.run].tree if run.run in kept else None
        groups.setdefault((tree, run.version), []).append(run)
    before: Version | None = None
    for members in groups.values():
        first = members[0]
        try:
            now: Version | None = of_run(store, first)
        except FlorError:
            now = None
        changed = _changes(before, now) if before is not None and now is not None else None
        facts = kept.get(first.run)
        numbers = [run.run for run in members]
        commit = first.commit_sha or ""
        files = len(now.paths()) if now is not None else 0
        message = facts.subject if facts is not None else ""
        if exact:
            listed = None if changed is None else [{"path": p, "change": c} for c, p in changed]
            shown: tuple[Any, ...] = (numbers, first.started, first.branch, commit or None)
            kept_as = facts.commit if facts is not None else None
            yield (first.version, *shown, files, listed, message, kept_as)
        else:
            short = commit[:10] + ("+" if first.dirty else "")
            shown = (spans(numbers), first.started, first.branch, short or None)
            yield (first.version, *shown, files, _summary(changed), message)
        before = now or before


def _summary(changed: list[tuple[str, str]] | None) -> str | None:
    """Such as "M train.py, A model.py", in the letters of git."""
    if changed is None:
        return None
    names = [f"{letter} {path}" for letter, path in changed[:NAMED]]
    more = len(changed) - NAMED
    return ", ".join(names + ([f"and {more} more"] if more > 0 else []))


def _changes(old: Version, new: Version) -> list[tuple[str, str]]:
    """(letter, path) of files that were added, deleted, modified; code first."""
    before, after = _marks(old, new), _marks(new, old)
    found = [
        ("A" if path not in before else "D" if path not in after else "M", path)
        for path in sorted(before.keys() | after.keys())
        if before.get(path) != after.get(path)
    ]
    return sorted(found, key=lambda item: (not item[1].endswith(".py"), item[1]))


def _marks(version: Version, other: Version) -> dict[str, Any]:
    """Path -> what tells contents apart, in a way that suits both versions."""
    if version.whole and other.whole:
        return {path: (entry.mode, entry.oid) for path, entry in (version.entries or {}).items()}
    return dict(version.texts)


def diff(args: argparse.Namespace) -> int:
    """`diff RUN RUN`: a unified diff from the first to the second."""
    with open_store(args.root) as store:
        old, new = (of_run(store, store.run(ref)) for ref in (args.old, args.new))
    changed = _changes(old, new)
    try:
        texts = [
            version.read([p for _, p in changed if p in (version.entries or version.texts)])
            for version in (old, new)
        ]
    except git.GitError as error:
        raise FlorError(f"a version can't be read: {error}", 1) from None
    rows = [
        (letter, path, unified(path, texts[0].get(path), texts[1].get(path)))
        for letter, path in changed
    ]
    if args.format == "table":
        sys.stdout.write(coloured("".join(row[2] for row in rows), sys.stdout.isatty()))
    else:
        render(("change", "path", "diff"), rows, args.format)
    return 0


def unified(path: str, old: bytes | None, new: bytes | None) -> str:
    """The diff of one file as git prints it; a binary file is only named."""
    import difflib

    names = [f"a/{path}" if old is not None else "/dev/null"]
    names += [f"b/{path}" if new is not None else "/dev/null"]
    head = f"diff --git a/{path} b/{path}\n"
    if old is None:
        head += "new file\n"
    if new is None:
        head += "deleted file\n"
    if b"\0" in (old or b"") or b"\0" in (new or b""):
        return head + f"Binary files {names[0]} and {names[1]} differ\n"
    sides = [(b or b"").decode("utf-8", "replace").splitlines(keepends=True) for b in (old, new)]
    if sides[0] == sides[1]:
        return head + "mode changed\n"
    lines = [
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
        for line in difflib.unified_diff(sides[0], sides[1], names[0], names[1])
    ]
    return head + "".join(lines)


def coloured(text: str, terminal: bool) -> str:
    """A diff with git's colours, for a terminal."""
    if not terminal or os.environ.get("NO_COLOR"):
        return text
    colours = {"+": "32", "-": "31", "@": "36", "d": "1", "n": "1"}
    lines = []
    for line in text.splitlines(keepends=True):
        code = "1" if line.startswith(("+++", "---")) else colours.get(line[:1])
        lines.append(f"\033[{code}m{line.rstrip(chr(10))}\033[m\n" if code else line)
    return "".join(lines)


def checkout(args: argparse.Namespace) -> int:
    """`checkout RUN DIR`: the files of a version, in a new or empty folder."""
    folder = Path(args.folder)
    with open_store(args.root) as store:
        run = store.run(args.run)
        version = of_run(store, run)
    _claim(folder)
    try:
        count = version.write(folder)
    except (git.GitError, OSError) as error:
        raise FlorError(f"run {run.run} can't be checked out: {error}", 1) from None
    files = f"{count} file{'s' * (count != 1)}"
    print(f"run {run.run}, version {run.version}: {files} in {folder}")
    if not version.whole:
        say("only the modules that the script reaches were kept of this run")
    for path, (size, _) in sorted((version.kept.left_out if version.kept else {}).items()):
        say(f"{path} ({size} bytes) was too large to be kept")
    return 0


def _claim(folder: Path) -> None:
    """Refuse a folder that has something in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        empty = not any(folder.iterdir())
    except OSError as error:
        raise FlorError(f"can't write to {folder}: {error.strerror}") from None
    if not empty:
        raise FlorError(f"{folder} is not empty")


def say(line: str) -> None:
    """A line on standard error."""
    print(f"florc: {line}", file=sys.stderr)
