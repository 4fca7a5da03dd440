"""Replacements for `open` and `os.open`: writes land in the scratch."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from typing import Any

from . import real
from .layers import Layers, failure
from .look import call

CHANGES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
"""Flags of `open` that may change a file."""

vouched = threading.local()
"""`vouched.depth` > 0 while a call of ours names a user's path but opens another file."""


def place_for(layers: Layers, path: Any, flags: int, dir_fd: int | None = None) -> str:
    """The file to open instead of `path` under these flags of open(2)."""
    follow = not flags & os.O_NOFOLLOW and not (flags & os.O_EXCL and flags & os.O_CREAT)
    canon = layers.canonical(path, follow=follow, dir_fd=dir_fd)
    if not flags & CHANGES:
        return layers.reading(canon)
    if (flags & os.O_TMPFILE) == os.O_TMPFILE:
        if not layers.is_folder(canon):
            raise failure(errno.ENOENT, path)
        layers.make_upper(canon)
        return canon if layers.passes(canon) else layers.upper + canon
    create = bool(flags & os.O_CREAT)
    return layers.writable(
        canon,
        keep=not flags & os.O_TRUNC,
        create=create,
        exclusive=create and bool(flags & os.O_EXCL),
        said=path,
    )


def opening(layers: Layers) -> dict[str, Callable[..., Any]]:
    """The replacements: "open" of `io`/`builtins` and "os_open" of `os`."""

    def os_open(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        place = place_for(layers, path, flags, dir_fd)
        return call(real.os_open, place, path, flags, mode)

    def open(
        file: Any,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        closefd: bool = True,
        opener: Callable[[Any, int], int] | None = None,
    ) -> Any:
        if isinstance(file, int):
            return real.open_file(file, mode, buffering, encoding, errors, newline, closefd, opener)

        def inside(path: Any, flags: int) -> int:
            # The stream keeps the user's spelling as its name; the descriptor is ours.
            vouched.depth -= 1
            try:
                if opener is not None:
                    return opener(path, flags)
                return call(real.os_open, place_for(layers, path, flags), path, flags, 0o666)
            finally:
                vouched.depth += 1

        if not isinstance(mode, str) or _plain_read(layers, file, mode, opener):
            return real.open_file(file, mode, buffering, encoding, errors, newline, closefd, opener)
        vouched.depth = getattr(vouched, "depth", 0) + 1
        try:
            return real.open_file(file, mode, buffering, encoding, errors, newline, closefd, inside)
        finally:
            vouched.depth -= 1

    open.__module__ = "io"
    os_open.__name__ = os_open.__qualname__ = "open"
    return {"open": open, "os_open": os_open}


def _plain_read(layers: Layers, file: Any, mode: str, opener: object) -> bool:
    """Whether reading this file needs no redirection at all (the common case, kept quick)."""
    if opener is not None or any(letter in mode for letter in "wax+"):
        return False
    try:
        if ".." in os.fsdecode(file).split("/"):
            return False  # over a folder, perhaps, that only the scratch has
        canon = layers.canonical(file)
        place = layers.reading(canon)
    except (TypeError, ValueError):
        return True  # let the real function complain
    return place == canon and layers.getcwd() == real.getcwd()
