"""Replacements for the functions of `os` that change folders, names and metadata."""

from __future__ import annotations

import errno
import os
import stat as modes
from collections.abc import Callable
from typing import Any

from . import real
from .birth import born_after
from .layers import Layers, failure
from .look import call


def changing(layers: Layers) -> dict[str, Callable[..., Any]]:
    """The replacements, by their name in `os`."""

    def at(path: Any, dir_fd: int | None = None, follow: bool = False) -> str:
        return layers.canonical(path, follow=follow, dir_fd=dir_fd)

    def new_name(canon: str, said: Any) -> str:
        """Where a new entry `canon` goes; raises when it exists or its folder does not."""
        if layers.status(canon) is not None:
            raise failure(errno.EEXIST, said)
        if layers.passes(canon):
            return canon
        parent = canon.rpartition("/")[0]
        status = layers.status(parent or "/")
        if status is None:
            raise failure(errno.ENOENT, said)
        if not modes.S_ISDIR(status.st_mode):
            raise failure(errno.ENOTDIR, said)
        layers.make_upper(parent)
        return layers.upper + canon

    def mkdir(path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        canon = at(path, dir_fd)
        below = None if layers.passes(canon) else layers.beneath(canon)
        if (
            below is not None
            and modes.S_ISDIR(below.st_mode)
            and not real.lexists(layers.upper + canon)
            and born_after(canon, layers.started)
        ):
            layers.make_upper(canon)  # the recorded run made it: then it did not exist here
            return
        call(real.mkdir, new_name(canon, path), path, mode)

    def rmdir(path: Any, *, dir_fd: int | None = None) -> None:
        canon = at(path, dir_fd)
        if layers.passes(canon):
            call(real.rmdir, canon, path)
            return
        status = layers.status(canon)
        if status is None:
            raise failure(errno.ENOENT, path)
        if not modes.S_ISDIR(status.st_mode):
            raise failure(errno.ENOTDIR, path)
        if layers.names(canon):
            raise failure(errno.ENOTEMPTY, path)
        layers.hide(canon)
        if real.lexists(layers.upper + canon):
            real.rmdir(layers.upper + canon)

    def remove(path: Any, *, dir_fd: int | None = None) -> None:
        canon = at(path, dir_fd)
        if layers.passes(canon):
            call(real.unlink, canon, path)
            return
        status = layers.status(canon)
        if status is None:
            raise failure(errno.ENOENT, path)
        if modes.S_ISDIR(status.st_mode):
            raise failure(errno.EISDIR, path)
        layers.hide(canon)
        if real.lexists(layers.upper + canon):
            real.unlink(layers.upper + canon)
        if modes.S_ISLNK(status.st_mode):
            layers.links_changed()

    def unlink(path: Any, *, dir_fd: int | None = None) -> None:
        remove(path, dir_fd=dir_fd)

    def rename(
        src: Any, dst: Any, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None
    ) -> None:
        source, target = at(src, src_dir_fd), at(dst, dst_dir_fd)
        moved, there = layers.status(source), layers.status(target)
        if moved is None:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), src, None, dst)
        if source == target:
            return
        folder = modes.S_ISDIR(moved.st_mode)
        if there is not None:
            code = _collision(folder, modes.S_ISDIR(there.st_mode), layers, target)
            if code:
                raise OSError(code, os.strerror(code), src, None, dst)
        origin = layers.copy_up(source)
        if layers.passes(target):
            place = target
        else:
            parent = target.rpartition("/")[0]
            if not layers.is_folder(parent):
                raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), src, None, dst)
            layers.make_upper(parent)
            place = layers.upper + target
        try:
            real.rename(origin, place)
        except OSError as error:
            error.filename, error.filename2 = src, dst
            raise
        layers.hide(source)
        layers.hide(target)  # a folder must not show what was in the one it replaced
        if folder or modes.S_ISLNK(moved.st_mode):
            layers.links_changed()

    def replace(
        src: Any, dst: Any, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None
    ) -> None:
        rename(src, dst, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    def link(
        src: Any,
        dst: Any,
        *,
        src_dir_fd: int | None = None,
        dst_dir_fd: int | None = None,
        follow_symlinks: bool = True,
    ) -> None:
        source, target = at(src, src_dir_fd, follow_symlinks), at(dst, dst_dir_fd)
        if layers.status(source) is None:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), src, None, dst)
        if layers.is_folder(source):
            raise OSError(errno.EPERM, os.strerror(errno.EPERM), src, None, dst)
        place = new_name(target, dst)
        real.link(layers.copy_up(source), place)

    def symlink(
        src: Any, dst: Any, target_is_directory: bool = False, *, dir_fd: int | None = None
    ) -> None:
        place = new_name(at(dst, dir_fd), dst)
        real.symlink(os.fsdecode(src), place)
        layers.links_changed()

    def mkfifo(path: Any, mode: int = 0o666, *, dir_fd: int | None = None) -> None:
        real.mkfifo(new_name(at(path, dir_fd), path), mode)

    def mknod(path: Any, mode: int = 0o600, device: int = 0, *, dir_fd: int | None = None) -> None:
        real.mknod(new_name(at(path, dir_fd), path), mode, device)

    made = (mkdir, rmdir, remove, unlink, rename, replace, link, symlink, mkfifo, mknod)
    return {function.__name__: function for function in made}


def _collision(folder: bool, onto_folder: bool, layers: Layers, target: str) -> int:
    """The errno of renaming onto something that exists; 0 if it may be replaced."""
    if folder and not onto_folder:
        return errno.ENOTDIR
    if not folder and onto_folder:
        return errno.EISDIR
    return errno.ENOTEMPTY if folder and layers.names(target) else 0


def touching(layers: Layers) -> dict[str, Callable[..., Any]]:
    """The replacements that change metadata or length, by their name in `os`."""

    def own(path: Any, dir_fd: int | None = None, follow: bool = True) -> Any:
        """The place in the scratch whose metadata is changed instead of that of `path`."""
        if isinstance(path, int):
            name = layers.of_descriptor(path)
            if name is None or layers.passes(name) or _in_upper(layers, path):
                return path
            return layers.bare(layers.canonical(name))
        canon = layers.canonical(path, follow=follow, dir_fd=dir_fd)
        if layers.status(canon) is None:
            raise failure(errno.ENOENT, path)
        return layers.bare(canon)

    def truncate(path: Any, length: int) -> None:
        call(real.truncate, own(path), path, length)

    def chmod(
        path: Any, mode: int, *, dir_fd: int | None = None, follow_symlinks: bool = True
    ) -> None:
        call(real.chmod, own(path, dir_fd, follow_symlinks), path, mode)

    def fchmod(fd: int, mode: int) -> None:
        real.chmod(own(fd), mode)

    def chown(
        path: Any, uid: int, gid: int, *, dir_fd: int | None = None, follow_symlinks: bool = True
    ) -> None:
        place = own(path, dir_fd, follow_symlinks)
        kept = {} if isinstance(place, int) else {"follow_symlinks": False}
        call(real.chown, place, path, uid, gid, **kept)

    def lchown(path: Any, uid: int, gid: int) -> None:
        chown(path, uid, gid, follow_symlinks=False)

    def fchown(fd: int, uid: int, gid: int) -> None:
        real.chown(own(fd), uid, gid)

    def utime(
        path: Any,
        times: Any = None,
        *,
        dir_fd: int | None = None,
        follow_symlinks: bool = True,
        **ns: Any,
    ) -> None:
        place = own(path, dir_fd, follow_symlinks)
        if not isinstance(place, int):
            ns["follow_symlinks"] = False
        call(real.utime, place, path, times, **ns)

    def setxattr(
        path: Any, attribute: Any, value: bytes, flags: int = 0, *, follow_symlinks: bool = True
    ) -> None:
        assert real.setxattr is not None
        call(real.setxattr, own(path, None, follow_symlinks), path, attribute, value, flags)

    def removexattr(path: Any, attribute: Any, *, follow_symlinks: bool = True) -> None:
        assert real.removexattr is not None
        call(real.removexattr, own(path, None, follow_symlinks), path, attribute)

    made = (truncate, chmod, fchmod, chown, lchown, fchown, utime, setxattr, removexattr)
    return {function.__name__: function for function in made}


def _in_upper(layers: Layers, fd: int) -> bool:
    """Whether an open descriptor is a file of the scratch already."""
    try:
        return real.readlink(f"/proc/self/fd/{fd}").startswith(layers.scratch + "/")
    except OSError:
        return True
