"""The operating system's own functions, taken before any of them is replaced.

Everything in this package that has to reach the file system itself goes through these names.
"""

from __future__ import annotations

import builtins
import io
import os

open_file = io.open
open_builtin = builtins.open  # the same object as io.open in CPython
os_open = os.open
stat = os.stat
lstat = os.lstat
access = os.access
readlink = os.readlink
listdir = os.listdir
scandir = os.scandir
chdir = os.chdir
getcwd = os.getcwd
getcwdb = os.getcwdb
statvfs = os.statvfs
mkdir = os.mkdir
rmdir = os.rmdir
unlink = os.unlink
remove = os.remove
rename = os.rename
replace = os.replace
link = os.link
symlink = os.symlink
truncate = os.truncate
chmod = os.chmod
fchmod = os.fchmod
chown = os.chown
lchown = os.lchown
fchown = os.fchown
utime = os.utime
mkfifo = os.mkfifo
mknod = os.mknod
getxattr = getattr(os, "getxattr", None)
listxattr = getattr(os, "listxattr", None)
setxattr = getattr(os, "setxattr", None)
removexattr = getattr(os, "removexattr", None)


def lexists(path: str) -> bool:
    """Whether `path` names anything, a dangling link too; never raises."""
    try:
        lstat(path)
    except (OSError, ValueError):
        return False
    return True


def resolved(path: str) -> str:
    """`path` absolute and without symbolic links (call it before the functions are replaced)."""
    return os.path.realpath(path)


def make_folders(path: str) -> None:
    """Make `path` and the folders above it, as `mkdir -p` does."""
    try:
        mkdir(path)
    except FileExistsError:
        pass
    except FileNotFoundError:
        make_folders(os.path.dirname(path))
        try:
            mkdir(path)
        except FileExistsError:
            pass


def copy_bytes(source: str, target: str) -> None:
    """Copy a regular file's bytes and permission bits, sharing blocks where the kernel can."""
    reader = os_open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        status = os.fstat(reader)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        writer = os_open(target, flags, status.st_mode & 0o7777 | 0o200)
        try:
            _pump(reader, writer)
            utime(writer, ns=(status.st_atime_ns, status.st_mtime_ns))
        finally:
            os.close(writer)
    finally:
        os.close(reader)


def _pump(reader: int, writer: int) -> None:
    """Move all bytes from one descriptor to another."""
    try:
        while os.copy_file_range(reader, writer, 1 << 30):
            pass
    except (OSError, AttributeError):  # other file systems, /proc, old kernels
        while block := os.read(reader, 1 << 20):
            view = memoryview(block)
            while view:
                view = view[os.write(writer, view) :]
