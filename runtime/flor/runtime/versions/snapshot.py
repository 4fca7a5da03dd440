"""A version: all files of the project as a commit under `refs/flor/versions/`.

`take` looks at the files and computes what the commit will be called, without writing anything;
`Snapshot.keep` writes it.  A commit has neither parent nor date: the same files are the same
commit, whoever records them, and processes that do so at once don't collide.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from . import git
from .listing import Limits, Listing, list_files
from .objects import AUTHOR, MESSAGE, commit_of, content_of, tree_of

SHOWN = 3
"""Files left out that the message names."""


@dataclass(frozen=True)
class Kept:
    """Where a version is, as the store remembers it."""

    commit: str
    tree: str
    place: str  # "git": the user's repository, "private": the one under .flor
    files: int
    size: int  # bytes
    left_out: dict[str, tuple[int, int]] = field(default_factory=dict)  # size, mtime in ns
    submodules: dict[str, str] = field(default_factory=dict)
    subject: str = ""  # of the user's commit
    note: str = ""
    root: str = ""  # where the project was, without links


@dataclass(frozen=True)
class Snapshot:
    """The project's files at one moment."""

    repository: git.Repository
    listing: Listing
    tree: str
    commit: str
    why_private: str = ""

    @property
    def fresh(self) -> int:
        """Bytes that may have to be written."""
        return sum(map(len, self.listing.contents.values()))

    def keep(self) -> Kept:
        """Write it, unless it is there already.  Raises GitError, OSError.

        Should the user's repository refuse, the private one takes it.
        """
        try:
            place = self._write(self.repository)
        except (git.GitError, OSError) as error:
            if self.repository.private:
                raise
            place = git.private(self.repository.root, create=True)
            if place.hash != self.repository.hash:  # then objects have other names there
                again = _snapshot(place, frozenset(self.listing.entries), Limits(), str(error))
                return again.keep()
            place = self._write(place)
        found = self.listing
        return Kept(
            self.commit,
            self.tree,
            place.place,
            len(found.entries),
            sum(entry.size for entry in found.entries.values()),
            found.left_out,
            found.submodules,
            _subject(self.repository),
            "; ".join([*filter(None, [self.why_private]), *found.notes]),
            os.path.realpath(self.repository.root),
        )

    def _write(self, repository: git.Repository) -> git.Repository:
        if repository.has(git.REFS + self.commit):
            return repository
        self._import(repository)
        return repository

    def _import(self, repository: git.Repository) -> None:
        """Feed git what it hasn't got."""
        entries = self.listing.entries
        parts = [b"feature done\n"]
        marks: dict[str, int] = {}
        held = _held(repository, {entry.oid for entry in entries.values()})
        for path, entry in entries.items():
            if entry.oid in marks or entry.oid in held:
                continue
            content = self.listing.contents.get(entry.oid)
            if content is None:
                content = content_of(repository.root / path, entry.mode)
            marks[entry.oid] = len(marks) + 1
            parts += [b"blob\nmark :%d\n" % marks[entry.oid], *_data(content)]
        ref = (git.REFS + self.commit).encode()
        last = len(marks) + 1
        parts += [b"commit %s\nmark :%d\n" % (ref, last)]
        parts += [b"author " + AUTHOR + b"\ncommitter " + AUTHOR + b"\n", *_data(MESSAGE)]
        for path, entry in entries.items():
            mark = marks.get(entry.oid)
            name = b":%d" % mark if mark else entry.oid.encode()
            parts.append(b"M %s %s %s\n" % (entry.mode.encode(), name, git.quoted(path)))
        parts += [b"get-mark :%d\ndone\n" % last]
        try:
            words = ("fast-import", "--quiet", "--force", "--done", "--date-format=raw")
            made = repository.run(*words, input=b"".join(parts), timeout=600.0)
        except git.GitError:
            _remove_reports(repository)
            raise
        if made.decode().strip() != self.commit:
            raise git.GitError(f"the version was kept as {made.decode().strip()}")


def _data(content: bytes) -> Iterable[bytes]:
    return b"data %d\n" % len(content), content, b"\n"


def _held(repository: git.Repository, names: Collection[str]) -> set[str]:
    """Which of these objects a repository has."""
    asked = "".join(f"{name}\n" for name in names).encode()
    answers = repository.run("cat-file", "--batch-check=%(objectname)", input=asked)
    return {line for line in answers.decode().splitlines() if not line.endswith(" missing")}


def _remove_reports(repository: git.Repository) -> None:
    """Git's own report of a failed import of ours doesn't belong in the user's repository."""
    with contextlib.suppress(git.GitError, OSError):
        folder = Path(os.fsdecode(repository.run("rev-parse", "--absolute-git-dir").strip()))
        for report in folder.glob("fast_import_crash_*"):
            report.unlink()


def _subject(repository: git.Repository) -> str:
    if repository.private:
        return ""
    try:
        line = repository.run("log", "-1", "--no-show-signature", "--format=%s", "HEAD", "--")
    except git.GitError:
        return ""
    return line.decode("utf-8", "replace").strip()


def take(root: Path, must: Iterable[str], limits: Limits | None = None) -> Snapshot:
    """The project at `root` as it is now.  Raises GitError when there is no git.

    `must`: paths of files that belong to the version, ignored or not.
    """
    wanted, limits = frozenset(must), limits or Limits()
    try:
        return _snapshot(chosen(root), wanted, limits, "")
    except git.GitError as error:
        if "not installed" in str(error):
            raise
        return _snapshot(git.private(root, create=True), wanted, limits, str(error))


def chosen(root: Path) -> git.Repository:
    """The user's repository, unless it ignores the whole project.  Raises GitError."""
    repository = git.users(root)
    if os.path.realpath(repository.top) != os.path.realpath(root):
        try:
            repository.run("check-ignore", "--quiet", ".")
        except git.GitError:
            return repository
        if not repository.run("ls-files", "-z", "--", "."):
            raise git.GitError("the repository around it ignores the project")
    return repository


def _snapshot(
    repository: git.Repository, must: Collection[str], limits: Limits, why: str
) -> Snapshot:
    listing = list_files(repository, must, limits)
    tree = tree_of(listing.entries, repository.hash)
    return Snapshot(repository, listing, tree, commit_of(tree, repository.hash), why)


def left_out_message(left_out: dict[str, tuple[int, int]], limits: Limits) -> str:
    """One line that says what a version lacks, "" if nothing."""
    if not left_out:
        return ""
    largest = sorted(left_out, key=lambda path: -left_out[path][0])
    names = ", ".join(f"{path} ({megabytes(left_out[path][0])})" for path in largest[:SHOWN])
    more = f" and {len(largest) - SHOWN} more" if len(largest) > SHOWN else ""
    return (
        f"the version leaves out {names}{more}: files over {megabytes(limits.file)}, or "
        f"{megabytes(limits.total)} in all, are not kept but used as they are then (ignore them "
        "in git, or see version-file-mb in docs/versions.md)"
    )


def megabytes(size: int) -> str:
    """A size for people."""
    return f"{size / 1e6:.0f} MB" if size >= 9_500_000 else f"{size / 1e6:.1f} MB"
