"""Replacements for the functions of `os` that only look: each answers from the merged view."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

from . import data, real
from .layers import Layers


def call(function: Callable[..., Any], place: object, said: object, *args: Any, **kw: Any) -> Any:
    """Call the real `function` on `place`; an OSError names what the user `said`."""
    try:
        return function(place, *args, **kw)
    except OSError as error:
        if error.filename is not None:
            error.filename = said
        raise


class Entry:
    """An entry of a merged folder; does what os.DirEntry does."""

    __slots__ = ("name", "path")

    def __init__(self, name: Any, path: Any) -> None:
        self.name = name
        self.path = path

    def __fspath__(self) -> Any:
        return self.path

    def __repr__(self) -> str:
        return f"<DirEntry {self.name!r}>"

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        return os.stat(self.path, follow_symlinks=follow_symlinks)

    def inode(self) -> int:
        return os.lstat(self.path).st_ino

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        if not follow_symlinks and self.is_symlink():
            return False
        return os.path.isdir(self.path)

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        if not follow_symlinks and self.is_symlink():
            return False
        return os.path.isfile(self.path)

    def is_symlink(self) -> bool:
        return os.path.islink(self.path)

    def is_junction(self) -> bool:
        return False


class Entries:
    """The iterator that scandir returns for a merged folder."""

    def __init__(self, entries: Iterator[Entry]) -> None:
        self._entries = entries

    def __iter__(self) -> Entries:
        return self

    def __next__(self) -> Entry:
        return next(self._entries)

    def __enter__(self) -> Entries:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._entries = iter(())


def looking(layers: Layers) -> dict[str, Callable[..., Any]]:
    """The replacements, by their name in `os`."""

    def at(path: Any, dir_fd: int | None = None, follow: bool = True) -> str:
        return layers.locate(layers.canonical(path, follow=follow, dir_fd=dir_fd))

    def stat(path: Any, *, dir_fd: int | None = None, follow_symlinks: bool = True) -> Any:
        if isinstance(path, int):
            return real.stat(path)
        place = at(path, dir_fd, follow_symlinks)
        kernel = place.startswith(data.KERNEL)  # else the links are resolved already
        return call(real.stat, place, path, follow_symlinks=follow_symlinks and kernel)

    def lstat(path: Any, *, dir_fd: int | None = None) -> Any:
        return call(real.lstat, at(path, dir_fd, False), path)

    def access(
        path: Any,
        mode: int,
        *,
        dir_fd: int | None = None,
        effective_ids: bool = False,
        follow_symlinks: bool = True,
    ) -> bool:
        try:
            place = at(path, dir_fd, follow_symlinks)
        except OSError:
            return False
        return real.access(place, mode, effective_ids=effective_ids)

    def readlink(path: Any, *, dir_fd: int | None = None) -> Any:
        found = layers.logical(call(real.readlink, at(path, dir_fd, False), path))
        return os.fsencode(found) if isinstance(os.fspath(path), bytes) else found

    def folder_of(path: Any) -> tuple[Any, bool]:
        """The user's or canonical path of a folder, and whether it must be listed by us."""
        said = "." if path is None else path
        name = layers.of_descriptor(said) if isinstance(said, int) else said
        if name is None:
            return said, False
        canon = layers.canonical(name)
        if layers.merged(canon):
            return canon, True
        if not isinstance(said, int) and ".." in os.fsdecode(said).split("/"):
            return canon, True  # over a folder, perhaps, that only the scratch has
        relative = not isinstance(said, int) and not os.path.isabs(said)
        if relative and layers.getcwd() != real.getcwd():
            return canon, True  # the current folder is in the scratch
        return said, False

    def listdir(path: Any = None) -> list[Any]:
        place, ours = folder_of(path)
        if not ours:
            return call(real.listdir, place, path)  # type: ignore[no-any-return]
        try:
            names = layers.names(place)
        except OSError as error:
            error.filename = path
            raise
        return [os.fsencode(name) for name in names] if isinstance(path, bytes) else names

    def scandir(path: Any = None) -> Any:
        place, ours = folder_of(path)
        if not ours:
            return call(real.scandir, place, path)
        names = listdir(path)
        base = "." if path is None else place if isinstance(path, int) else os.fspath(path)
        return Entries(Entry(name, os.path.join(base, name)) for name in names)

    def chdir(path: Any) -> None:
        if isinstance(path, int):
            real.chdir(path)
            return
        canon = layers.canonical(path)
        below = layers.beneath(canon)
        call(real.chdir, canon if below is not None else layers.locate(canon), path)

    def getcwd() -> str:
        return layers.getcwd()

    def getcwdb() -> bytes:
        return os.fsencode(layers.getcwd())

    def statvfs(path: Any) -> Any:
        return real.statvfs(path) if isinstance(path, int) else call(real.statvfs, at(path), path)

    def getxattr(path: Any, attribute: Any, *, follow_symlinks: bool = True) -> bytes:
        assert real.getxattr is not None
        place = path if isinstance(path, int) else at(path, None, follow_symlinks)
        return call(real.getxattr, place, path, attribute)

    def listxattr(path: Any = None, *, follow_symlinks: bool = True) -> list[str]:
        assert real.listxattr is not None
        place = path if isinstance(path, int) else at(path or ".", None, follow_symlinks)
        return call(real.listxattr, place, path)

    made = (stat, lstat, access, readlink, listdir, scandir, chdir, getcwd, getcwdb, statvfs)
    return {function.__name__: function for function in (*made, getxattr, listxattr)}
