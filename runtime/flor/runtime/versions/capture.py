"""What a run was made of: the text of the project's modules and the state of git.

Git is only asked, by its command line: never a lock, a hook, a pager or the index written.  No
git, no repository, a slow disk: the version is noted without it, and `note` says so.
"""

from __future__ import annotations

import io
import os
import subprocess
import time
import tokenize
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .git import OPTIONS, environment

DIFF_LIMIT = 5_000_000
"""A larger diff (in characters) is kept only up to here, with a note."""

UNTRACKED_LIMIT = 1_000
"""No more untracked files than this are listed, with a note."""


@dataclass(frozen=True)
class GitState:
    """The state of the repository around a project; `available` is False without one."""

    available: bool = False
    top: str | None = None  # the working tree's folder
    commit: str | None = None  # None before the first commit
    branch: str | None = None  # None when the head is detached
    dirty: bool = False  # tracked files differ from the commit
    diff: str = ""  # `git diff HEAD`, binary files by name
    untracked: tuple[str, ...] = ()  # relative to `top`, ignored files left out
    note: str = ""  # what could not be noted, one line


@dataclass(frozen=True)
class VersionInfo:
    """One version of a project: `files` maps paths relative to its root ("/") to their text."""

    files: dict[str, str]
    git: GitState
    missing: tuple[str, ...] = field(default=())  # files that could not be read

    def as_git_dict(self) -> dict[str, Any]:
        """The git state as JSON-able values."""
        return {**asdict(self.git), "untracked": list(self.git.untracked)}


def snapshot(root: Path, files: Iterable[Path | str], *, timeout: float = 5.0) -> VersionInfo:
    """The version of the project at `root`, made of these files of it.

    `files` are relative to `root`, or absolute and below it.  `timeout` (seconds) bounds all that
    git is asked.  Never raises for a file that cannot be read, nor for anything about git.
    """
    texts: dict[str, str] = {}
    missing = []
    for file in files:
        path = root / file
        name = _relative(path, root)
        text = read_source(path)
        if text is None:
            missing.append(name)
        else:
            texts[name] = text
    return VersionInfo(dict(sorted(texts.items())), git_state(root, timeout), tuple(missing))


def read_source(path: Path) -> str | None:
    """The text of a Python file by its own declared encoding; None if it cannot be read."""
    try:
        return decoded(path.read_bytes())
    except OSError:
        return None


def decoded(raw: bytes) -> str:
    """The bytes of a Python file as text with plain line ends, as `tokenize.open` reads it."""
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(raw).readline)
        text = raw.decode(encoding)
    except (SyntaxError, UnicodeDecodeError, LookupError):
        return raw.decode("utf-8", "surrogateescape")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _relative(path: Path, root: Path) -> str:
    try:
        return path.relative_to(root).as_posix()
    except ValueError:
        return Path(os.path.relpath(path, root)).as_posix()


def git_state(folder: Path, timeout: float = 5.0) -> GitState:
    """What git says about a folder within `timeout` seconds; never raises."""
    deadline = time.monotonic() + timeout
    try:
        top = _git(folder, deadline, "rev-parse", "--show-toplevel")
    except FileNotFoundError:
        return GitState(note="git is not installed")
    except subprocess.TimeoutExpired:
        return GitState(note="git did not answer in time")
    except OSError as error:
        return GitState(note=f"git could not be run: {error.strerror}")
    if not top:
        return GitState(note="not in a git repository")
    top = top.rstrip("\n")
    known: dict[str, Any] = {"available": True, "top": top}
    notes: list[str] = []
    try:
        _ask(Path(top), deadline, known, notes)
    except subprocess.TimeoutExpired as error:
        notes.append(f"git {_verb(error.cmd)} did not answer in time")
    except OSError as error:
        notes.append(f"git could not be run: {error.strerror}")
    return GitState(**known, note="; ".join(notes))


def _ask(top: Path, deadline: float, known: dict[str, Any], notes: list[str]) -> None:
    """Fill in what git knows, step by step, so that a late failure keeps the first answers."""
    commit = _git(top, deadline, "rev-parse", "--verify", "-q", "HEAD")
    known["commit"] = (commit or "").strip() or None
    branch = _git(top, deadline, "symbolic-ref", "-q", "--short", "HEAD")
    known["branch"] = (branch or "").strip() or None
    listed = _git(top, deadline, "ls-files", "--others", "--exclude-standard", "-z") or ""
    untracked = [name for name in listed.split("\0") if name]
    if len(untracked) > UNTRACKED_LIMIT:
        notes.append(f"{len(untracked)} untracked files, the first {UNTRACKED_LIMIT} are listed")
    known["untracked"] = tuple(untracked[:UNTRACKED_LIMIT])
    if known["commit"] is None:
        notes.append("no commit yet")
        return
    plain = ("--no-color", "--no-ext-diff", "--no-textconv", "HEAD", "--")
    diff = _git(top, deadline, "diff", *plain, limit=DIFF_LIMIT * 4)
    if diff is None:
        notes.append("git diff failed")
        return
    known["dirty"] = bool(diff)
    if len(diff) > DIFF_LIMIT:
        notes.append(f"the diff is larger than {DIFF_LIMIT // 1_000_000} MB, its start is kept")
        diff = diff[:DIFF_LIMIT]
    known["diff"] = diff


def _git(folder: Path, deadline: float, *words: str, limit: int | None = None) -> str | None:
    """The output of a git command, None when it failed.  Raises OSError, TimeoutExpired.

    With a `limit` no more than so many bytes are read, and the command is ended there.
    """
    command = ["git", *OPTIONS, *words]
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            out, cut = _read(process, command, deadline, limit)
        except BaseException:
            process.kill()
            raise
        if cut:
            process.kill()
            return out
        return out if process.wait() == 0 else None


def _read(
    process: subprocess.Popen[bytes], command: list[str], deadline: float, limit: int | None
) -> tuple[str, bool]:
    """What a process prints until it ends, the deadline or the limit; whether it was cut."""
    import select

    assert process.stdout is not None
    parts, total = [], 0
    descriptor = process.stdout.fileno()
    while limit is None or total < limit:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([descriptor], [], [], left)[0]:
            raise subprocess.TimeoutExpired(command, left)
        block = os.read(descriptor, 1 << 16)
        if not block:
            return b"".join(parts).decode("utf-8", "replace"), False
        parts.append(block)
        total += len(block)
    return b"".join(parts).decode("utf-8", "replace"), True


def _verb(command: Any) -> str:
    """The verb of a git command line of ours."""
    return str(command[1 + len(OPTIONS)])
