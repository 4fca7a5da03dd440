"""Put the replacements in place: in `os`, `io`, `builtins`, and wherever they were captured."""

from __future__ import annotations

import builtins
import io
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from types import FunctionType
from typing import Any

from . import data, real
from .children import joined
from .files import opening
from .layers import Layers
from .look import looking
from .past import PastSources
from .tree import changing, touching

_OWN = __name__.rpartition(".")[0]
_NEVER = frozenset({"posix", "_io", "builtins", "io", "os", "_frozen_importlib_external"})


def install(
    layers: Layers, child_environment: dict[str, str], past: PastSources | None = None
) -> None:
    """Replace the functions of this process; call it once."""
    made = {**looking(layers), **changing(layers), **touching(layers)}
    opened = opening(layers)
    made["open"] = opened["os_open"]
    swapped: dict[int, Callable[..., Any]] = {}
    kept = []  # keeps the originals alive, so that their ids stay theirs
    for name, function in made.items():
        original = getattr(os, name, None)
        if original is None:
            continue
        swapped[id(original)] = function
        kept.append(original)
        _claim(original, function)
        setattr(os, name, function)
    swapped[id(io.open)] = opened["open"]
    kept.append(io.open)
    builtins.open = opened["open"]
    io.open = opened["open"]
    io.open_code = _open_code  # runpy's; the import system has its own
    _sweep(swapped)
    shutil._use_fd_functions = False  # type: ignore[attr-defined]
    shutil.rmtree.avoids_symlink_attacks = False  # type: ignore[attr-defined]
    _tempfile(layers)
    _children(layers, child_environment, past)
    install.kept = kept  # type: ignore[attr-defined]


def _open_code(path: str) -> Any:
    """`io.open_code` through the merged view."""
    return builtins.open(path, "rb")


def _claim(original: Any, function: Callable[..., Any]) -> None:
    """State that a replacement follows links, or not, as the original does."""
    for ability in (os.supports_follow_symlinks, os.supports_effective_ids, os.supports_fd):
        if original in ability:
            ability.add(function)


def _sweep(swapped: dict[int, Callable[..., Any]]) -> None:
    """Replace the originals in modules that took them by name (`from os import stat`)."""
    for name, module in list(sys.modules.items()):
        if name in _NEVER or name == _OWN or name.startswith(_OWN + "."):
            continue
        space = getattr(module, "__dict__", None)
        if not isinstance(space, dict):
            continue
        for key, value in list(space.items()):
            if id(value) in swapped:
                space[key] = swapped[id(value)]
        if name == "glob" or name.partition(".")[0] == "pathlib":
            for value in list(space.values()):
                if isinstance(value, type):
                    _sweep_class(value, swapped)

    for name, way in data.CAPTURED:
        held: Any = sys.modules.get(name)
        for attribute in way.split("."):
            held = getattr(held, attribute, None)
        if isinstance(held, dict):
            held.update((k, swapped[id(v)]) for k, v in list(held.items()) if id(v) in swapped)


def _sweep_class(owner: type, swapped: dict[int, Callable[..., Any]]) -> None:
    """The same for functions kept as attributes of a class, as pathlib does."""
    for key, value in list(vars(owner).items()):
        function = value.__func__ if isinstance(value, staticmethod) else value
        if id(function) in swapped:
            setattr(owner, key, staticmethod(swapped[id(function)]))


def _tempfile(layers: Layers) -> None:
    """Temporary files go to the scratch; multiprocessing's sockets need a short path."""
    outside = tempfile.gettempdir()
    make = tempfile.mkdtemp
    tempfile.tempdir = layers.temporary
    os.environ["TMPDIR"] = layers.temporary

    def mkdtemp(suffix: Any = None, prefix: Any = None, dir: Any = None) -> Any:
        if prefix == "pymp-" and dir is None:
            dir = "/tmp" if real.access("/tmp", os.W_OK) else outside
        return make(suffix, prefix, dir)

    tempfile.mkdtemp = mkdtemp  # type: ignore[assignment]


def _children(layers: Layers, wanted: dict[str, str], past: PastSources | None) -> None:
    """Children inherit the overlay's environment and start in the folder that is meant."""
    os.environ.update(joined(os.environ, wanted))
    begin = subprocess.Popen.__init__
    assert isinstance(begin, FunctionType)

    def start(self: Any, args: Any, *rest: Any, **kw: Any) -> None:
        if past is not None:
            args = past.command(args, kw.get("cwd"))
        if kw.get("env") is not None:
            kw["env"] = _environment(kw["env"], wanted)
        if kw.get("cwd") is not None:
            kw["cwd"] = layers.locate(layers.canonical(kw["cwd"]))
        begin(self, args, *rest, **kw)

    start.__name__, start.__qualname__ = "__init__", "Popen.__init__"
    subprocess.Popen.__init__ = start  # type: ignore[method-assign]
    for name in ("execve", "posix_spawn", "posix_spawnp"):
        if hasattr(os, name):
            setattr(os, name, _with_environment(getattr(os, name), wanted))


def _environment(given: Any, wanted: dict[str, str]) -> dict[str, str]:
    """An explicit environment of a child, joined to the overlay."""
    return joined({os.fsdecode(k): os.fsdecode(v) for k, v in given.items()}, wanted)


def _with_environment(function: Callable[..., Any], wanted: dict[str, str]) -> Callable[..., Any]:
    """`os.execve` and its kin: the environment is the third argument."""

    def start(path: Any, argv: Any, env: Any, **kw: Any) -> Any:
        return function(path, argv, _environment(env, wanted), **kw)

    start.__name__ = function.__name__
    return start
