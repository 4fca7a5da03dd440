"""Reading a version again: its files, their bytes, and a folder made of them."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import FlorError
from . import git
from .objects import LINK, Entry
from .snapshot import Kept

if TYPE_CHECKING:
    from ..store import Store
    from ..store.rows import Run


class Version:
    """The files of one run's version, wherever they are kept."""

    def __init__(
        self,
        texts: Mapping[str, str],
        entries: Mapping[str, Entry] | None = None,
        repository: git.Repository | None = None,
        kept: Kept | None = None,
    ) -> None:
        self.texts = texts  # of the modules that the script reached, as they were compiled
        self.entries = entries  # of all files; None: only the texts were kept
        self.repository = repository
        self.kept = kept

    @property
    def whole(self) -> bool:
        """Whether all files of the project were kept."""
        return self.entries is not None

    def paths(self) -> list[str]:
        """The paths of all files, sorted."""
        return sorted({*self.texts, *(self.entries or ())})

    def read(self, paths: Collection[str]) -> dict[str, bytes]:
        """The contents of some files.  Raises GitError."""
        entries = self.entries or {}
        found = {p: encoded(self.texts[p]) for p in paths if p in self.texts and p not in entries}
        asked = [path for path in paths if path in entries]
        if asked:
            assert self.repository is not None
            blobs = read_blobs(self.repository, {entries[path].oid for path in asked})
            found.update((path, blobs[entries[path].oid]) for path in asked)
        for path in asked:
            text = self.texts.get(path)
            if text is not None and not _same(found[path], text):
                found[path] = encoded(text)  # it was edited while the run began
        return found

    def write(self, folder: Path, paths: Collection[str] | None = None) -> int:
        """Write files (default: all) below `folder`; how many.  Raises GitError, OSError."""
        contents = self.read(self.paths() if paths is None else paths)
        for path, content in contents.items():
            entry = (self.entries or {}).get(path)
            write_file(folder, path, content, entry.mode if entry is not None else "100644")
        return len(contents)


def encoded(text: str) -> bytes:
    """A source text as bytes; by its own declared encoding."""
    import io
    import tokenize

    raw = text.encode("utf-8", "surrogateescape")
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(raw).readline)
        return raw if encoding == "utf-8" else text.encode(encoding)
    except (SyntaxError, LookupError, UnicodeError):
        return raw


def _same(content: bytes, text: str) -> bool:
    """Whether a file's bytes are that text, whatever the line ends."""
    from .capture import decoded

    return decoded(content).splitlines() == text.splitlines()


def write_file(folder: Path, path: str, content: bytes, mode: str) -> None:
    """Write one file of a version below `folder`.  Raises OSError."""
    parts = path.split("/")
    if path.startswith("/") or ".." in parts or ".git" in parts:
        raise OSError(f"{path!r} is no path of a version")
    place = folder.joinpath(*parts)
    place.parent.mkdir(parents=True, exist_ok=True)
    if mode == LINK:
        place.unlink(missing_ok=True)
        os.symlink(os.fsdecode(content), place)
        return
    place.write_bytes(content)
    if mode == "100755":
        place.chmod(place.stat().st_mode | 0o111)


def of_run(store: Store, run: Run) -> Version:
    """The version of a run.  Raises FlorError if nothing of it was kept."""
    texts = store.sources(run.version) if run.version is not None else {}
    kept = store.snapshot(run.run)
    if kept is not None:
        try:
            return kept_version(store.root, kept, texts)
        except git.GitError:
            if not texts:
                raise FlorError(f"run {run.run}: git can't read version {kept.commit}", 1) from None
    if not texts:
        raise FlorError(f"run {run.run}: its code was not kept", 1)
    return Version(texts, None, None, kept)


def kept_version(root: Path, kept: Kept, texts: Mapping[str, str]) -> Version:
    """The version that the store knows of.  Raises GitError."""
    private = kept.place == "private"
    repository = git.private(root, create=False) if private else git.users(root)
    return Version(texts, entries_of(repository, kept.commit), repository, kept)


def entries_of(repository: git.Repository, commit: str) -> dict[str, Entry]:
    """The files of a commit.  Raises GitError."""
    listed = repository.run("ls-tree", "-r", "-z", "-l", "--full-tree", commit)
    found = {}
    for line in git.zero_separated(listed):
        facts, _, path = line.partition("\t")
        mode, kind, oid, size = facts.split()
        if kind == "blob":
            found[path] = Entry(mode, oid, int(size))
    return found


def read_blobs(repository: git.Repository, names: Collection[str]) -> dict[str, bytes]:
    """Contents by object name.  Raises GitError when one isn't there."""
    order = sorted(names)
    asked = "".join(f"{name}\n" for name in order).encode()
    raw = repository.run("cat-file", "--batch", input=asked, timeout=600.0)
    found = {}
    at = 0
    for name in order:
        end = raw.index(b"\n", at)
        words = raw[at:end].decode().split()
        if len(words) != 3:
            raise git.GitError(f"object {name} is missing")
        size = int(words[2])
        found[name] = raw[end + 1 : end + 1 + size]
        at = end + 1 + size + 1
    return found
