"""Code of an older version, imported as if it still lay where it was recorded.

Python's import system doesn't look through the overlay.  A finder in front of it looks for
modules of the project in the folder that holds the old version, and lets them say that they come
from the project's own place; modules that the project had not then aren't found.
"""

from __future__ import annotations

import _imp
import os
import sys
from collections.abc import Collection, Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType
from typing import Any

from . import real


class PastSources:
    """Which file of the old version stands behind a path of the project."""

    def __init__(self, root: str, folder: str, hidden: Collection[str]) -> None:
        self.root = real.resolved(root)
        self.folder = real.resolved(folder)
        self.hidden = frozenset(hidden)  # relative paths that the old version hasn't got

    def inside(self, path: str) -> str | None:
        """A path below the project's root, relative to it ("" for the root itself)."""
        full = os.path.realpath(path or os.getcwd())
        if full == self.root:
            return ""
        return full[len(self.root) + 1 :] if full.startswith(self.root + os.sep) else None

    def place(self, path: str) -> str | None:
        """The old version's file or folder for a path of the project, if it has one."""
        rel = self.inside(path)
        if rel is None:
            return None
        place = os.path.join(self.folder, rel) if rel else self.folder
        return place if real.lexists(place) else None

    def read(self, path: str) -> bytes | None:
        """The old version's content of a file of the project; None if it has none."""
        place = self.place(path)
        if place is None:
            return None
        with real.open_file(place, "rb") as file:
            content: bytes = file.read()
        return content

    def code(self, file: str, filename: str) -> CodeType | None:
        """Compiled code for a module of the project; None: it isn't one of the old version's."""
        content = self.read(file)
        return None if content is None else compile(content, filename, "exec", dont_inherit=True)

    def command(self, args: Any, cwd: Any) -> Any:
        """The arguments of a child: a script of the project means the old version's.

        The interpreter opens its script itself, past the overlay.
        """
        if not isinstance(args, (list, tuple)) or len(args) < 2:
            return args
        program = os.path.basename(os.fsdecode(args[0]))
        if not program.startswith("python") and program != os.path.basename(sys.executable):
            return args
        for number, given in enumerate(args[1:], 1):
            word = os.fsdecode(given)
            if word in ("-m", "-c", "-"):
                return args
            if word.startswith("-"):
                continue
            place = self.place(os.path.join(os.fspath(cwd or os.getcwd()), word))
            if place is None or not os.path.isfile(place):
                return args
            return [*args[:number], place, *args[number + 1 :]]
        return args

    def original(self, place: str) -> str:
        """The project's path for a file in the old version's folder."""
        return self.root + place[len(self.folder) :]


class _Loader(SourceFileLoader):
    """Python's own loader, except where the text comes from."""

    past: Any  # PastSources, or what has its methods

    def get_code(self, fullname: str) -> CodeType | None:
        path = self.get_filename(fullname)
        code: CodeType | None = self.past.code(path, path)
        return code if code is not None else super().get_code(fullname)

    def get_data(self, path: str) -> bytes:
        content: bytes | None = self.past.read(path)
        return content if content is not None else super().get_data(path)


class PastFinder:
    """In front of sys.meta_path: modules of the project come from the old version."""

    def __init__(self, past: Any) -> None:
        self.past = past
        self.busy = False

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """None: the other finders answer, for what isn't the project's."""
        if self.busy or name in sys.builtin_module_names or _imp.is_frozen(name):
            return None
        entries = list(sys.path if path is None else path)
        if any(self.past.inside(str(entry)) is not None for entry in entries):
            portions: list[str] = []
            withheld: list[str] = []
            for entry in entries:
                spec = self._in_entry(name, str(entry), portions, withheld)
                if spec is not None:
                    return spec
            if portions:
                spec = ModuleSpec(name, None, is_package=True)
                spec.submodule_search_locations = portions
                return spec
            if withheld:  # the other finders would find today's
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return self._elsewhere(name, path, target)

    def _in_entry(
        self, name: str, entry: str, portions: list[str], withheld: list[str]
    ) -> ModuleSpec | None:
        """What one folder of the search path has: the old version's first, then today's."""
        place = self.past.place(entry)
        for folder in (place, entry):
            if folder is None:
                continue
            spec = PathFinder.find_spec(name, [folder])
            if spec is None:
                continue
            if spec.loader is None:  # part of a namespace package
                for part in spec.submodule_search_locations or ():
                    part = self.past.original(part) if folder is place else part
                    if part not in portions and not self._gone(part):
                        portions.append(part)
                continue
            if folder is place:
                return self._renamed(spec)
            if spec.origin is None or not self._gone(spec.origin):
                return spec
            withheld.append(spec.origin)
        return None

    def _gone(self, path: str) -> bool:
        """Whether a file or folder of today's wasn't there in the old version."""
        rel = self.past.inside(path)
        if not rel:
            return False
        rel = rel.replace(os.sep, "/")
        if os.path.isdir(path):
            return any(hidden.startswith(rel + "/") for hidden in self.past.hidden) and (
                self.past.place(path) is None
            )
        return rel in self.past.hidden

    def _renamed(self, spec: ModuleSpec) -> ModuleSpec:
        """A spec of the old version's folder, as the project's."""
        if type(spec.loader) is not SourceFileLoader or spec.origin is None:
            return spec
        origin = self.past.original(spec.origin)
        loader = _Loader(spec.name, origin)
        loader.past = self.past
        found = ModuleSpec(spec.name, loader, origin=origin)
        found.has_location = True
        if spec.submodule_search_locations is not None:
            found.submodule_search_locations = [os.path.dirname(origin)]
        return found

    def _elsewhere(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None
    ) -> ModuleSpec | None:
        """A finder of an editable installation may lead into the project, past sys.path."""
        self.busy = True
        try:
            for finder in list(sys.meta_path):
                module = getattr(type(finder), "__module__", "")
                if isinstance(finder, type) or finder is self:
                    if not getattr(finder, "__module__", "").startswith("__editable__"):
                        continue
                elif not module.startswith("__editable__"):
                    continue
                spec = finder.find_spec(name, path, target)
                place = self.past.place(spec.origin) if spec and spec.origin else None
                if spec is not None and place is not None:
                    spec.origin = place
                    return self._renamed(spec)
        finally:
            self.busy = False
        return None

    def invalidate_caches(self) -> None:
        """Nothing is cached here."""


def install(past: Any) -> None:
    """Serve the old version's modules from now on."""
    sys.meta_path.insert(0, PastFinder(past))
