"""Git repositories that versions are kept in: the user's, else a private one under `.flor/`.

Only plumbing is used, with hooks, pagers, prompts, reflogs and automatic maintenance off; nothing
here reads or writes the user's index, branches or configuration.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PRIVATE = "versions.git"
"""The private repository's folder in `.flor/`."""

REFS = "refs/flor/versions/"

OPTIONS = (
    *("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false"),
    *("-c", "core.logAllRefUpdates=false", "-c", "core.untrackedCache=keep"),
    *("-c", "core.quotePath=false", "-c", "core.ignoreCase=false"),
    *("-c", "gc.auto=0", "-c", "maintenance.auto=false", "-c", "diff.autoRefreshIndex=false"),
)
_QUIET = {
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_LAZY_FETCH": "1",  # a partial clone must not go to the network for us
    "GIT_PAGER": "cat",
    "LC_ALL": "C",
}
_LOCAL = (
    *("GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_CONFIG", "GIT_CONFIG_PARAMETERS", "GIT_DIR"),
    *("GIT_OBJECT_DIRECTORY", "GIT_WORK_TREE", "GIT_IMPLICIT_WORK_TREE", "GIT_GRAFT_FILE"),
    *("GIT_INDEX_FILE", "GIT_NO_REPLACE_OBJECTS", "GIT_REPLACE_REF_BASE", "GIT_PREFIX"),
    *("GIT_SHALLOW_FILE", "GIT_COMMON_DIR", "GIT_NAMESPACE", "GIT_CONFIG_COUNT"),
)
"""Variables that point git at another repository (set when a hook of the user's started us)."""


class GitError(Exception):
    """Git isn't there, didn't answer in time, or refused; the message is one line."""


@dataclass(frozen=True)
class Repository:
    """A repository that holds, or could hold, versions of the project at `root`."""

    root: Path
    private: bool = False
    hash: str = "sha1"  # how it names objects
    top: str = ""  # the working tree's folder; "" of the private one

    @property
    def place(self) -> str:
        """How the store names it."""
        return "private" if self.private else "git"

    def run(self, *words: str, input: bytes | None = None, timeout: float = 60.0) -> bytes:
        """The output of a git command in the project's folder.  Raises GitError."""
        where: tuple[str, ...] = ()
        if self.private:
            folder = private_folder(self.root)
            where = (f"--git-dir={folder}", f"--work-tree={self.root}")
        return call(self.root, *where, *words, input=input, timeout=timeout)

    def has(self, ref: str) -> bool:
        """Whether a name leads to an object."""
        try:
            self.run("rev-parse", "--verify", "--quiet", f"{ref}^{{tree}}")
        except GitError:
            return False
        return True


def call(folder: Path, *words: str, input: bytes | None = None, timeout: float = 60.0) -> bytes:
    """The output of a git command in `folder`.  Raises GitError."""
    try:
        done = subprocess.run(
            ["git", *OPTIONS, *words],
            cwd=folder,
            env=environment(),
            input=b"" if input is None else input,
            capture_output=True,
            timeout=timeout,
        )
    except FileNotFoundError:
        raise GitError("git is not installed") from None
    except subprocess.TimeoutExpired:
        raise GitError("git did not answer in time") from None
    except OSError as error:
        raise GitError(f"git could not be run: {error.strerror}") from None
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise GitError(lines[0] if lines else f"git ended with code {done.returncode}")
    return done.stdout


def environment() -> dict[str, str]:
    """Ours, without what points git at some other repository."""
    kept = {k: v for k, v in os.environ.items() if k not in _LOCAL}
    return {**kept, **_QUIET}


def users(root: Path) -> Repository:
    """The user's repository around `root`.  Raises GitError when git has or accepts none."""
    words = ("--show-toplevel", "--show-object-format", "--is-inside-work-tree")
    lines = call(root, "rev-parse", *words, timeout=10.0).decode("utf-8", "replace").splitlines()
    if len(lines) < 3 or lines[2] != "true":
        raise GitError("not in a working tree")
    return Repository(root, False, lines[1], os.fspath(lines[0]))


def private(root: Path, *, create: bool) -> Repository:
    """The private repository of the project at `root`.  Raises GitError."""
    folder = private_folder(root)
    if not (folder / "HEAD").exists():
        if not create:
            raise GitError(f"{folder} does not exist")
        _create(folder)
    return Repository(root, True)


def private_folder(root: Path) -> Path:
    """Where the private repository is."""
    return root / ".flor" / PRIVATE


def _create(folder: Path) -> None:
    """Make it under another name first: of many processes that do this at once, one wins."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent)
    except OSError as error:
        raise GitError(f"can't write to {folder.parent}: {error.strerror}") from None
    try:
        words = ("init", "--quiet", "--bare", "--template=", "--object-format=sha1", made)
        call(folder.parent, *words)
        with contextlib.suppress(OSError):
            os.rename(made, folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    if not (folder / "HEAD").exists():
        raise GitError(f"{folder} can't be made")


def quoted(path: str) -> bytes:
    """A path as git's streams write it."""
    raw = os.fsencode(path)
    for plain, escaped in ((b"\\", b"\\\\"), (b'"', b'\\"'), (b"\n", b"\\n")):
        raw = raw.replace(plain, escaped)
    return b'"' + raw + b'"'


def zero_separated(raw: bytes) -> Sequence[str]:
    """The fields of a `-z` listing."""
    return [os.fsdecode(field) for field in raw.split(b"\0") if field]
