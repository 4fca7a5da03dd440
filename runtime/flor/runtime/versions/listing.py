"""Which files make up a project right now, and their names as git objects.

Tracked files and untracked ones that aren't ignored, in submodules and nested repositories too.
What a file was called at the last look is kept by size, times and inode, as git's own index does
it, so that a large project isn't read again for each run.
"""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import git
from .objects import LINK, Entry, content_of, name_of

FILE_LIMIT = 10_000_000
TOTAL_LIMIT = 200_000_000
UNTRACKED_LIMIT = 20_000
"""Files.  With more of them that aren't ignored, only code is taken of the untracked ones."""

CODE = (".py", ".pyi", ".toml", ".cfg", ".ini", ".yaml", ".yml", ".json", ".txt", ".md", ".sh")
_SKIPPED = frozenset({".flor", ".git", "__pycache__", "node_modules", "site-packages"})
_RACY_NS = 2_000_000_000
"""A file changed this shortly before it was looked at may change again within one clock tick."""

_GITLINK = "160000"


@dataclass
class Listing:
    """The files of a project: relative path -> entry; `contents` of those read just now."""

    entries: dict[str, Entry] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)  # by object name
    left_out: dict[str, tuple[int, int]] = field(default_factory=dict)  # size, mtime in ns
    submodules: dict[str, str] = field(default_factory=dict)  # folder -> commit ("" before any)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Limits:
    """How much a version may hold, in bytes."""

    file: int = FILE_LIMIT
    total: int = TOTAL_LIMIT


def list_files(
    repository: git.Repository,
    must: Collection[str],
    limits: Limits | None = None,
    *,
    keep: bool = True,
) -> Listing:
    """The project's files now.  Raises GitError when git can't list them.

    `must`: paths that belong to it, ignored or not.  Without `keep` it is only looked: contents
    aren't kept, nor what was learnt.
    """
    limits = limits or Limits()
    found = Listing()
    tracked: dict[str, str] = {}  # path -> object in the index of `repository` itself
    untracked: set[str] = set()
    _collect(repository, "", found, tracked, untracked)
    places = _without_environments(untracked)
    if len(places) > UNTRACKED_LIMIT:
        found.notes.append(f"{len(places)} untracked files: of these only code is kept")
        places = {path for path in places if path.endswith(CODE)}
    known = _Known(repository)
    candidates = []
    stats: dict[str, os.stat_result] = {}
    for path in {*tracked, *places, *must}:
        status = _status(repository.root, path)
        if status is not None:
            stats[path] = status
            candidates.append((path not in must, not path.endswith(CODE), status.st_size, path))
    total = 0
    large = []
    for optional, _, size, path in sorted(candidates):
        if optional and (size > limits.file or total + size > limits.total):
            large.append(path)
            continue
        if known.take(found, path, stats[path], keep):
            total += size
    _large(repository, found, [p for p in large if p in tracked], tracked)
    for path in large:
        if path not in found.entries:
            found.left_out[path] = (stats[path].st_size, stats[path].st_mtime_ns)
    if keep:
        known.save()
    return found


def _status(root: Path, path: str) -> os.stat_result | None:
    """lstat of a regular file or link; None for anything else."""
    try:
        status = os.lstat(f"{root}/{path}")
    except (OSError, ValueError):
        return None
    return status if stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode) else None


def _collect(
    repository: git.Repository,
    prefix: str,
    found: Listing,
    tracked: dict[str, str],
    untracked: set[str],
) -> None:
    """Add the files that git lists in a repository, and in repositories inside of it."""
    inner: dict[str, str] = {}
    listed = b"" if repository.private else repository.run("ls-files", "-z", "--stage", "--", ".")
    for line in git.zero_separated(listed):
        facts, _, path = line.partition("\t")
        mode, oid, _ = facts.split(" ")
        if mode == _GITLINK:
            inner[path] = oid
        elif not _ours(path):
            if prefix:
                untracked.add(prefix + path)  # its objects are elsewhere
            else:
                tracked[path] = oid
    others = repository.run("ls-files", "-z", "--others", "--exclude-standard", "--", ".")
    for path in git.zero_separated(others):
        if path.endswith("/"):
            inner.setdefault(path.rstrip("/"), "")
        elif not _ours(path):
            untracked.add(prefix + path)
    for path, commit in inner.items():
        if not _ours(path):
            _nested(repository.root / path, prefix + path, commit, found, tracked, untracked)


def _nested(
    folder: Path,
    path: str,
    commit: str,
    found: Listing,
    tracked: dict[str, str],
    untracked: set[str],
) -> None:
    """A submodule, or a repository that lies in the project: its files are the project's too."""
    found.submodules[path] = commit
    if not os.path.lexists(folder / ".git"):
        return
    try:
        inside = git.users(folder)
        if not os.path.samefile(inside.top, folder):
            return
        _collect(inside, f"{path}/", found, tracked, untracked)
    except (git.GitError, OSError) as error:
        found.notes.append(f"{path} can't be listed: {error}")
        return
    try:
        head = inside.run("rev-parse", "--verify", "--quiet", "HEAD").decode().strip()
    except git.GitError:
        head = ""
    found.submodules[path] = head


def _ours(path: str) -> bool:
    """Whether a path never belongs to a version."""
    return not _SKIPPED.isdisjoint(path.split("/"))


def _without_environments(paths: set[str]) -> set[str]:
    """Paths that don't lie in a virtual environment that nobody has told git to ignore."""
    marks = {path.rpartition("/")[0] + "/" for path in paths if path.endswith("/pyvenv.cfg")}
    return {path for path in paths if not path.startswith(tuple(marks))} if marks else paths


def _large(
    repository: git.Repository, found: Listing, paths: list[str], tracked: dict[str, str]
) -> None:
    """Large files that git has as they are need no space of ours: they are referred to."""
    if not paths or repository.private:
        return
    try:
        listed = repository.run("ls-files", "-z", "--modified", "--", ".")
        changed = set(git.zero_separated(listed))
        same = [path for path in paths if path not in changed]
        asked = "".join(f"{tracked[path]}\n" for path in same).encode()
        answers = repository.run("cat-file", "--batch-check", input=asked).decode().splitlines()
    except git.GitError:
        return
    for path, answer in zip(same, answers):
        status = _status(repository.root, path)
        words = answer.split()
        if status is None or len(words) != 3 or words[1] != "blob":
            continue
        if int(words[2]) == status.st_size:  # else a filter stands between (LFS, line ends)
            found.entries[path] = Entry(_mode(status), tracked[path], status.st_size)


def _mode(status: os.stat_result) -> str:
    if stat.S_ISLNK(status.st_mode):
        return LINK
    return "100755" if status.st_mode & 0o100 else "100644"


class _Known:
    """Names of files' contents, remembered from look to look in `.flor/versions.json`."""

    def __init__(self, repository: git.Repository) -> None:
        self.root = repository.root
        self.hash = repository.hash
        self.file = self.root / ".flor" / "versions.json"
        self.begun = time.time_ns()
        self.old: dict[str, Any] = {}
        try:
            data = json.loads(self.file.read_text(encoding="utf-8"))
            if data["hash"] == self.hash:
                self.old = data["files"]
        except (OSError, ValueError, KeyError, TypeError):
            pass
        self.new: dict[str, list[Any]] = {}
        self.changed = False

    def take(self, found: Listing, path: str, status: os.stat_result, keep: bool) -> bool:
        """Add a file; False if it can't be read."""
        try:
            stamp = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
            mode = _mode(status)
            before = self.old.get(path)
            if isinstance(before, list) and before[:4] == stamp:
                oid = str(before[4])
                self.new[path] = before
            else:
                content = content_of(self.root / path, mode)
                oid = name_of("blob", content, self.hash)
                if keep:
                    found.contents[oid] = content
                if max(stamp[1], stamp[2]) < self.begun - _RACY_NS:
                    self.new[path] = [*stamp, oid]
                    self.changed = True
        except OSError as error:
            found.notes.append(f"{path} can't be read: {error.strerror}")
            return False
        found.entries[path] = Entry(mode, oid, status.st_size)
        return True

    def save(self) -> None:
        """Keep what was learnt, if anything was."""
        if not self.changed and self.new.keys() == self.old.keys():
            return
        text = json.dumps({"hash": self.hash, "files": self.new})
        part = self.file.with_name(f".{self.file.name}.{os.getpid()}")
        try:
            part.write_text(text, encoding="utf-8")
            os.replace(part, self.file)
        except OSError:
            pass
