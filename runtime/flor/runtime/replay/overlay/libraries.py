"""Libraries whose native code opens files by name: they get the name of the right file.

The functions are listed in `data.NATIVE`.  A module is changed when its import has finished, so
nothing is imported here for the sake of it.
"""

from __future__ import annotations

import functools
import importlib.abc
import importlib.machinery
import importlib.util
import inspect
import os
import sys
import urllib.parse
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from . import data, real
from .layers import Layers


class AfterImport(importlib.abc.MetaPathFinder):
    """Calls a function with a module of a given name once its import has finished."""

    def __init__(self, names: set[str], then: Callable[[ModuleType], None]) -> None:
        self._names = names
        self._then = then

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name not in self._names:
            return None
        self._names.discard(name)
        for finder in sys.meta_path:
            if finder is self or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                break
        else:
            self._names.add(name)
            return None
        loader = spec.loader
        if loader is None or not hasattr(loader, "exec_module"):
            return spec
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            self._then(module)

        try:
            loader.exec_module = exec_module  # type: ignore[method-assign]
        except AttributeError:
            self._names.add(name)
        return spec


def install(layers: Layers) -> None:
    """Redirect the functions of `data.NATIVE`, in modules imported already and later."""
    entries: dict[str, list[data.Native]] = {}
    for entry in data.NATIVE:
        entries.setdefault(entry.module, []).append(entry)

    def apply(module: ModuleType) -> None:
        for entry in entries.get(module.__name__, ()):
            _redirect(layers, module, entry)

    waiting = set(entries)
    for name in entries:
        if name in sys.modules:
            waiting.discard(name)
            apply(sys.modules[name])
    sys.meta_path.insert(0, AfterImport(waiting, apply))
    _redirect_sqlite(layers)


def _redirect(layers: Layers, module: ModuleType, entry: data.Native) -> None:
    """Wrap one function so that its path argument names the file of the merged view."""
    owner: Any = module
    *way, last = entry.target.split(".")
    for name in way:
        owner = getattr(owner, name, None)
    function = getattr(owner, last, None)
    if function is None or getattr(function, "flor_redirected", False):
        return
    static = inspect.isclass(owner) and isinstance(
        inspect.getattr_static(owner, last), (staticmethod, classmethod)
    )

    @functools.wraps(function, updated=())
    def redirected(*args: Any, **kw: Any) -> Any:
        words = list(args)
        if entry.keyword in kw:
            kw[entry.keyword] = _place(layers, kw[entry.keyword], _mode(entry, args, kw))
        elif len(words) > entry.argument:
            words[entry.argument] = _place(layers, words[entry.argument], _mode(entry, args, kw))
        return function(*words, **kw)

    redirected.flor_redirected = True  # type: ignore[attr-defined]
    try:
        setattr(owner, last, staticmethod(redirected) if static else redirected)
    except (AttributeError, TypeError):
        pass  # an immutable native class


def _mode(entry: data.Native, args: tuple[Any, ...], kw: dict[str, Any]) -> str:
    """What this call does to the file: "r", "w", "a" or "d"."""
    if not entry.mode.startswith("="):
        return entry.mode
    keyword, position, default = entry.mode[1:].split(":")
    if default == "shared":  # torch: a shared mapping writes, a private one reads
        shared = kw.get(keyword, args[int(position)] if len(args) > int(position) else False)
        return "a" if shared else "r"
    mode = kw.get(keyword, args[int(position)] if len(args) > int(position) else default)
    mode = str(mode or default)
    if mode.startswith(("w", "x")) and "+" not in mode:
        return "w"
    return "r" if mode.startswith("r") and "+" not in mode else "a"


def _place(layers: Layers, path: Any, mode: str) -> Any:
    """The file to hand to native code instead of `path`; anything but a path as it is."""
    if not isinstance(path, (str, bytes, os.PathLike)):
        return path
    text = os.fsdecode(path)
    if "://" in text or text in ("", ":memory:"):
        return path
    canon = layers.canonical(text)
    if mode == "r":
        place = layers.reading(canon)
    elif mode == "d":
        place = layers.copy_up(canon)
        if not layers.passes(canon):
            layers.make_upper(canon.rpartition("/")[0])
    else:
        place = layers.writable(canon, keep=mode == "a", create=True, said=path)
    if place == canon:
        return path if os.path.isabs(text) or layers.getcwd() == real.getcwd() else place
    return os.fsencode(place) if isinstance(path, bytes) else place


def _redirect_sqlite(layers: Layers) -> None:
    """sqlite3.connect opens a copy of the data base, with its journal, in the scratch."""
    try:
        import sqlite3
    except ImportError:
        return
    connect = sqlite3.connect

    def place(name: str) -> str:
        canon = layers.canonical(name)
        if layers.passes(canon):
            return canon
        fresh = not real.lexists(layers.upper + canon)
        over = layers.writable(canon, keep=True, create=True, said=name)
        if fresh:
            for suffix in ("-wal", "-journal"):
                if layers.beneath(canon + suffix) is not None:
                    layers.copy_up(canon + suffix)
        return over

    @functools.wraps(connect, updated=())
    def redirected(database: Any, *args: Any, **kw: Any) -> Any:
        text = os.fsdecode(database)
        if text.startswith("file:") and kw.get("uri"):
            name, mark, options = text[5:].partition("?")
            name = urllib.parse.unquote(name)
            if name.startswith("//"):
                name = "/" + name[2:].partition("/")[2]
            if name and ":memory:" not in name and "mode=memory" not in options:
                database = "file:" + urllib.parse.quote(place(name)) + mark + options
        elif text and text != ":memory:":
            database = place(text)
        return connect(database, *args, **kw)

    sqlite3.connect = redirected
    sqlite3.dbapi2.connect = redirected
