"""Which program to run: a script's path or a module's name, and its arguments."""

from __future__ import annotations

import importlib.machinery
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from ..errors import FlorError
from ..project import project_root


@dataclass(frozen=True)
class Target:
    """A program as the user named it.

    `script` is the path as given ("train.py"), `module` the name after -m (then `script` is where
    the module was found).  `file` is absolute.
    """

    script: str
    module: str | None
    argv: tuple[str, ...]
    file: Path
    root: Path


def from_script(script: str, argv: list[str]) -> Target:
    """The target for `record SCRIPT ARGS…`.  Raises FlorError if it can't be read."""
    path = Path(script)
    if path.is_dir():
        path = path / "__main__.py"
    try:
        with open(path, "rb"):
            pass
    except OSError as error:
        raise FlorError(f"can't open {script}: {error.strerror}") from None
    file = Path(os.path.abspath(path))
    return Target(str(path), None, tuple(argv), file, project_root(file))


def from_module(name: str, argv: list[str]) -> Target:
    """The target for `record -m MODULE ARGS…`; nothing is imported."""
    file = find_module(name)
    if file is None:
        raise FlorError(f"no module named {name}")
    return Target(str(file), name, tuple(argv), file, project_root(file))


def find_module(name: str) -> Path | None:
    """The file that `python -m name` would run from the current folder, without importing."""
    search: list[str] | None = [os.getcwd(), *sys.path]
    parts = name.split(".")
    for _ in range(2):
        where = search
        spec = None
        for count in range(1, len(parts) + 1):
            spec = importlib.machinery.PathFinder.find_spec(".".join(parts[:count]), where)
            if spec is None:
                return None
            where = list(spec.submodule_search_locations or [])
        if spec is None or not spec.submodule_search_locations:
            return Path(spec.origin) if spec is not None and spec.origin else None
        parts = [*parts, "__main__"]
    return None
