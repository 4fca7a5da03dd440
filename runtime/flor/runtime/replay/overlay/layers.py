"""The merged view: scratch files over the real ones.

Paths go through two steps.  `canonical` makes a path absolute and resolves symbolic links through
the merged view; `locate` says which file really stands behind a canonical path (to read), and
`writable` brings one into the scratch (to write).  A real file that was removed, or a folder that
was removed or renamed, is hidden for good: a later file of the same name lives in the scratch.
"""

from __future__ import annotations

import errno
import os
import site
import stat as modes
import sys
import sysconfig
from collections.abc import Callable, Mapping
from typing import Any

from . import data, real
from .journal import GONE, LINKS, STALE, Journal

Recorded = tuple[int, int, str | None]
"""Size, time in ns and hash of a file when the recorded run read it."""


def blocked(what: str) -> PermissionError:
    """The refusal that the user's script sees."""
    return PermissionError(f"florc: replay blocked {what}")


def failure(code: int, path: object) -> OSError:
    """The OSError (of the right subclass) that the operating system would raise."""
    return OSError(code, os.strerror(code), path)


class Layers:
    """Two layers of files: `upper`, a folder in the scratch, over the real file system."""

    def __init__(
        self,
        scratch: str,
        allow: tuple[str, ...],
        started: float,
        on_stale: Callable[[str], None] | None,
        inputs: Mapping[str, Recorded] | None = None,
        ended: float = 0.0,
    ) -> None:
        self.scratch = real.resolved(scratch)
        self.upper = self.scratch + "/files"
        self.temporary = self.scratch + "/tmp"
        for folder in (self.upper, self.temporary):
            real.make_folders(folder)
        self.journal = Journal(self.scratch + "/journal")
        self.started = started
        self.on_stale = on_stale
        self.inputs = inputs or {}  # what the recorded run read
        self.ended = ended  # when it ended; 0.0: not known
        own = (self.scratch, *(real.resolved(path) for path in allow))
        self._exact = frozenset(own)
        self._below = tuple(path.rstrip("/") + "/" for path in own) + data.PASS_BELOW
        self._installed = tuple(path + "/" for path in _installed_folders())
        self._folders: dict[str, str] = {}
        self._links_seen = 0

    # -- which path is meant ---------------------------------------------------------------

    def logical(self, path: str) -> str:
        """The user's name for a path of the upper layer; any other path as it is."""
        if path == self.upper:
            return "/"
        return path[len(self.upper) :] if path.startswith(self.upper + "/") else path

    def getcwd(self) -> str:
        """The current folder as the user's script sees it."""
        return self.logical(real.getcwd())

    def of_descriptor(self, fd: int) -> str | None:
        """The user's path of an open descriptor, or None (a pipe, a removed file)."""
        try:
            path = real.readlink(f"/proc/self/fd/{fd}")
        except OSError:
            return None
        return self.logical(path) if path.startswith("/") else None

    def canonical(self, path: Any, *, follow: bool = True, dir_fd: int | None = None) -> str:
        """`path` absolute, links resolved through the merged view (the last one if `follow`)."""
        text = os.fsdecode(path)
        if not text:
            raise failure(errno.ENOENT, path)
        if "\0" in text:
            raise ValueError("embedded null byte")
        if text[0] != "/":
            folder = self.getcwd() if dir_fd is None else self.of_descriptor(dir_fd)
            text = f"{folder or ''}/{text}"
        if text.startswith(data.KERNEL) and "/../" not in text:
            return text  # links there are answered by the kernel
        self.journal.refresh()
        if self.journal.links != self._links_seen:
            self._folders.clear()
            self._links_seen = self.journal.links
        try:
            return self._resolve(self.logical(text), follow) or "/"
        except RecursionError:
            raise failure(errno.ELOOP, path) from None

    def _resolve(self, path: str, follow: bool) -> str:
        head, _, tail = path.rstrip("/").rpartition("/")
        return self._step(self._folder(head), tail, follow)

    def _folder(self, path: str) -> str:
        """The canonical form of a folder; "" for the root."""
        if not path:
            return ""
        known = self._folders.get(path)
        if known is None:
            head, _, tail = path.rpartition("/")
            known = self._step(self._folder(head), tail, True)
            self._folders[path] = known
        return known

    def _step(self, base: str, name: str, follow: bool) -> str:
        if name in ("", "."):
            return base
        if name == "..":
            return base.rpartition("/")[0]
        path = f"{base}/{name}"
        if not follow or path.startswith(data.KERNEL):
            return path
        try:
            target = os.fsdecode(real.readlink(self.locate(path)))
        except OSError:
            return path
        if target.startswith(data.KERNEL):
            return target
        return self._resolve(self.logical(target) if target[0] == "/" else f"{base}/{target}", True)

    # -- what stands behind it -------------------------------------------------------------

    def passes(self, path: str) -> bool:
        """Whether a canonical path is left alone: the scratch, what is allowed, devices."""
        return path.startswith(self._below) or path in self._exact or path in data.PASS

    def hidden(self, path: str) -> bool:
        """Whether the real file of this canonical path was removed by the script."""
        gone = self.journal.gone
        if not gone:
            return False
        while path:
            if path in gone:
                return True
            path = path.rpartition("/")[0]
        return False

    def locate(self, path: str) -> str:
        """The file behind a canonical path; one that does not exist if there is none."""
        if self.passes(path):
            return path
        over = self.upper + path
        return over if real.lexists(over) or self.hidden(path) else path

    def status(self, path: str) -> os.stat_result | None:
        """lstat of a canonical path in the merged view, or None."""
        try:
            return real.lstat(self.locate(path))
        except OSError:
            return None

    def is_folder(self, path: str) -> bool:
        """Whether a canonical path is a folder in the merged view."""
        status = self.status(path or "/")
        return status is not None and modes.S_ISDIR(status.st_mode)

    def beneath(self, path: str) -> os.stat_result | None:
        """lstat of the *real* file of a canonical path, None when there is none or it is hidden."""
        if self.hidden(path):
            return None
        try:
            return real.lstat(path)
        except OSError:
            return None

    def merged(self, path: str) -> bool:
        """Whether listing this canonical folder needs both layers."""
        if self.passes(path):
            return False
        return path in self.journal.parents or self.hidden(path) or real.lexists(self.upper + path)

    def names(self, path: str) -> list[str]:
        """The entries of a canonical folder: real ones in the system's order, then new ones."""
        if not self.merged(path):
            return real.listdir(path)
        over = self.upper + ("" if path == "/" else path)
        below = self.beneath(path)
        found: dict[str, None] = {}
        if below is not None and modes.S_ISDIR(below.st_mode):
            base = "" if path == "/" else path
            gone = self.journal.gone
            found.update((n, None) for n in real.listdir(path) if f"{base}/{n}" not in gone)
        elif not real.lexists(over):
            return real.listdir(over)  # raises what is right
        if real.lexists(over):
            found.update((name, None) for name in real.listdir(over))
        return list(found)

    # -- bringing things into the scratch --------------------------------------------------

    def make_upper(self, folder: str) -> None:
        """Make a folder, which exists in the merged view, exist in the scratch."""
        if folder and not self.passes(folder):
            real.make_folders(self.upper + folder)

    def writable(
        self, path: str, *, keep: bool, create: bool, exclusive: bool = False, said: object = None
    ) -> str:
        """The file to open for writing instead of canonical `path`.

        `keep`: what is there will be read or extended, so it is copied first; `create`: it may be
        missing; `exclusive`: it must be.  `said` is the user's spelling, for messages.
        """
        if self.passes(path):
            return path
        over = self.upper + path
        if real.lexists(over):
            return over
        below = self.beneath(path)
        parent = path.rpartition("/")[0]
        if below is None:
            if create and self.is_folder(parent):
                self.make_upper(parent)
            return over
        if exclusive:
            raise failure(errno.EEXIST, said or path)
        if modes.S_ISDIR(below.st_mode):
            raise failure(errno.EISDIR, said or path)
        if not modes.S_ISREG(below.st_mode):
            raise blocked(f"writing to {path!r}: it is a pipe, socket or device")
        if keep:
            self.copy_up(path)
        else:
            self.make_upper(parent)
            flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
            os.close(real.os_open(over, flags, modes.S_IMODE(below.st_mode) | 0o200))
        return over

    def copy_up(self, path: str) -> str:
        """Copy what is at a canonical path (a whole folder too) into the scratch; its place."""
        if self.passes(path):
            return path
        over = self.upper + path
        below = self.beneath(path)
        if below is None or (real.lexists(over) and not modes.S_ISDIR(below.st_mode)):
            return over
        self.make_upper(path.rpartition("/")[0])
        if modes.S_ISDIR(below.st_mode):
            real.make_folders(over)
            for name in real.listdir(path):
                if not self.hidden(f"{path}/{name}"):
                    self.copy_up(f"{path}/{name}")
        elif modes.S_ISLNK(below.st_mode):
            real.symlink(real.readlink(path), over)
        elif modes.S_ISREG(below.st_mode):
            self.note_read(path)
            real.copy_bytes(path, over)
        else:
            raise blocked(f"moving {path!r}: it is a pipe, socket or device")
        return over

    def bare(self, path: str) -> str:
        """A place in the scratch whose metadata may change: a folder is not copied whole."""
        if not self.passes(path) and self.is_folder(path):
            self.make_upper(path)
            return self.upper + path
        return self.copy_up(path)

    def hide(self, path: str) -> None:
        """Hide the real file of a canonical path, if there is one, from now on."""
        if not self.passes(path) and self.beneath(path) is not None:
            self.journal.append(GONE, path)

    def links_changed(self) -> None:
        """Void cached resolutions in every process of this replay."""
        self.journal.append(LINKS, "")

    # -- stale inputs ----------------------------------------------------------------------

    def note_read(self, path: str) -> None:
        """Note that a canonical path is opened for reading; remember it if it is stale.

        Stale: a real regular file that isn't what the recorded run read; of one that it isn't known
        to have read, changed since the run began, so by it or after it.
        """
        if path in self.journal.stale or path.startswith(self._installed):
            return
        if "/.flor/" in path or "/__pycache__/" in path or self.passes(path):
            return
        try:
            status = real.stat(path)
        except OSError:
            return
        if not modes.S_ISREG(status.st_mode) or not self._changed(path, status):
            return
        self.journal.append(STALE, path)
        if self.on_stale is not None:
            self.on_stale(path)

    def _changed(self, path: str, status: os.stat_result) -> bool:
        """Whether a file isn't what the recorded run read, or may not be."""
        known = self.inputs.get(path)
        if known is None:
            return status.st_mtime > self.started
        size, mtime_ns, digest = known
        if (size, mtime_ns) == (status.st_size, status.st_mtime_ns):
            return False
        if self.started < status.st_mtime <= self.ended or not self.ended:
            return True  # the run itself may have written it, and more than once
        return digest is None or size != status.st_size or digest != _hash(path)

    def reading(self, path: str) -> str:
        """`locate` for a file that is opened for reading: stale ones are noted."""
        place = self.locate(path)
        if place == path:
            self.note_read(path)
        return place


def _hash(path: str) -> str | None:
    """The hash that a recording keeps of a small file."""
    import xxhash

    try:
        with real.open_file(path, "rb") as file:
            return xxhash.xxh3_128_hexdigest(file.read())
    except OSError:
        return None


def _installed_folders() -> set[str]:
    """Where the standard library and installed packages live."""
    folders = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    folders.update(site.getsitepackages() if hasattr(site, "getsitepackages") else ())
    folders.add(site.getusersitepackages())
    folders.add(sys.prefix + "/lib")
    return {real.resolved(folder) for folder in folders if folder}
