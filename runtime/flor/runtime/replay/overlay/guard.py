"""The last line: an audit hook that refuses whatever was not redirected.

It sees the interpreter's own events, so also calls through `posix`, `_io` and functions captured
before the overlay was there.  Redirected calls name paths in the scratch and pass.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

from . import commands, data, real
from .files import CHANGES, vouched
from .layers import Layers, blocked


def install(layers: Layers, allow_subprocess: bool) -> None:
    """Add the audit hook; it stays for the life of the process."""
    checks: dict[str, Callable[[tuple[Any, ...]], None]] = {}

    def may_change(path: Any, doing: str) -> None:
        if isinstance(path, int):
            try:
                path = real.readlink(f"/proc/self/fd/{path}")
            except OSError:
                return
            if not path.startswith("/"):
                return  # a pipe or a socket
        try:
            text = os.fsdecode(path)
        except TypeError:
            return
        if not text.startswith("/"):
            text = real.getcwd() + "/" + text
        if ".." in text:
            text = os.path.normpath(text)
        if layers.passes(text) or text.startswith(data.KERNEL):
            return
        if layers.passes(_unlinked(text)):
            return
        raise blocked(f"{doing} {text!r}: it would change something outside the replay's scratch")

    def on_open(args: tuple[Any, ...]) -> None:
        path, _, flags = args
        if isinstance(path, int) or not isinstance(flags, int) or not flags & CHANGES:
            return
        if not getattr(vouched, "depth", 0):
            may_change(path, "writing to")

    def one(doing: str) -> Callable[[tuple[Any, ...]], None]:
        return lambda args: may_change(args[0], doing)

    def both(doing: str) -> Callable[[tuple[Any, ...]], None]:
        def check(args: tuple[Any, ...]) -> None:
            may_change(args[0], doing)
            may_change(args[1], doing)

        return check

    def on_sqlite(args: tuple[Any, ...]) -> None:
        name = os.fsdecode(args[0]) if isinstance(args[0], (str, bytes)) else ""
        if name.startswith("file:"):
            if "mode=ro" in name or "mode=memory" in name or ":memory:" in name:
                return
            name = name[5:].partition("?")[0]
        if name and name != ":memory:":
            may_change(name, "opening the data base")

    def on_command(words: Any, executable: Any = None) -> None:
        if allow_subprocess:
            return
        listed = [words] if isinstance(words, (str, bytes, os.PathLike)) else list(words)
        reason = commands.objection(layers, listed, executable)
        if reason:
            raise blocked(f"the command {reason}")

    def on_shell(args: tuple[Any, ...]) -> None:
        reason = None
        if not allow_subprocess:
            reason = commands.shell_objection(layers, os.fsdecode(args[0]))
        if reason:
            raise blocked(f"the command {reason}")

    checks["open"] = on_open
    checks["os.remove"] = checks["os.rmdir"] = one("removing")
    checks["os.mkdir"] = one("making")
    checks["os.rename"] = both("renaming")
    checks["os.link"] = both("linking")
    checks["os.symlink"] = lambda args: may_change(args[1], "linking")
    for name in ("chmod", "chown", "truncate", "utime", "setxattr", "removexattr"):
        checks[f"os.{name}"] = one("changing")
    checks["sqlite3.connect"] = on_sqlite
    checks["subprocess.Popen"] = lambda args: on_command(args[1], args[0])
    checks["os.posix_spawn"] = checks["os.exec"] = lambda args: on_command(args[1], args[0])
    checks["os.system"] = on_shell
    find = checks.get

    def hook(event: str, args: tuple[Any, ...]) -> None:
        check = find(event)
        if check is not None:
            check(args)

    sys.addaudithook(hook)


def _unlinked(path: str) -> str:
    """A path with the links of its folder resolved on the real file system."""
    head, _, tail = path.rpartition("/")
    seen = 0
    parts = head.split("/")
    done = ""
    while parts:
        part = parts.pop(0)
        if part in ("", "."):
            continue
        if part == "..":
            done = done.rpartition("/")[0]
            continue
        try:
            target = real.readlink(f"{done}/{part}")
        except OSError:
            done = f"{done}/{part}"
            continue
        seen += 1
        if seen > 40:
            return path
        done = "" if target.startswith("/") else done
        parts = [*target.split("/"), *parts]
    return f"{done}/{tail}"
