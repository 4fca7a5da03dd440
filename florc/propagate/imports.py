"""Imports that slices need and the old version lacks."""

from __future__ import annotations

import ast
import posixpath
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from florc.propagate.bound import Bindings, free_names
from florc.propagate.names import bound_names
from florc.propagate.reads import Read
from florc.propagate.slots import Place, Slot, is_docstring
from florc.propagate.source import Source, Statement, Unit, Version
from florc.propagate.splice import Insertion, Lines, insertion

OWN = "_flor"
"""The name that `flor` goes by where the old version uses its name for something else."""


@dataclass(frozen=True)
class _Import:
    """One import statement that binds one name."""

    name: str
    text: str


class Imports:
    """Decides which imports are added to which files."""

    def __init__(
        self, new: Version, old: Version, bindings: Callable[[str, str], Bindings]
    ) -> None:
        self.new = new
        self.old = old
        self.bindings = bindings
        self._bound: dict[str, frozenset[str]] = {}
        self._added: dict[str, dict[str, Slot]] = {}  # file -> text -> slot of what needs it

    # -- imports of others ------------------------------------------------------------------------

    def can_add(self, read: Read, path: str, other: str) -> bool:
        """Whether a name that the old file lacks comes from an import that can be added to it."""
        return bool(self._imports(read.name, self.bindings("new", path), path, other))

    def _imports(self, name: str, bound: Bindings, path: str, other: str) -> list[str]:
        source = self.old.sources[other]
        if self._mentions(source, name):
            return []
        found = []
        for statement in bound.source.module.statements:
            node = statement.node
            if not isinstance(node, (ast.Import, ast.ImportFrom)):
                continue
            for alias in node.names:
                if (alias.asname or alias.name.partition(".")[0]) != name:
                    continue
                if not self._available(node, alias, other):
                    return []
                single = (
                    ast.Import([alias]) if isinstance(node, ast.Import)
                    else ast.ImportFrom(node.module, [alias], node.level)
                )  # fmt: skip
                found.append(ast.unparse(single))
        return found

    def _mentions(self, source: Source, name: str) -> bool:
        """Whether the old file binds the name anywhere."""
        if source.path not in self._bound:
            self._bound[source.path] = bound_names(source.tree)
        return name in self._bound[source.path]

    def _available(self, node: ast.Import | ast.ImportFrom, alias: ast.alias, other: str) -> bool:
        """Whether the old project has the module, if it is one of the project's."""
        module = alias.name if isinstance(node, ast.Import) else node.module or ""
        level = node.level if isinstance(node, ast.ImportFrom) else 0
        folder = posixpath.dirname(other)
        for _ in range(level - 1):
            folder = posixpath.dirname(folder)
        base = module.replace(".", "/")
        places = [posixpath.join(folder, base)] if level else [base, posixpath.join(folder, base)]
        for place in places:
            files = [f"{place}.py", f"{place}/__init__.py"]
            if not any(f in self.new.texts for f in files):
                if level and not any(f in self.old.texts for f in files):
                    return False
                continue
            there = next((f for f in files if f in self.old.sources), None)
            if there is None:
                return False
            if isinstance(node, ast.ImportFrom):
                scope = self.bindings("old", there)
                return scope.owned(scope.source.module, alias.name)
            return True
        return True

    def unbound(self, node: ast.stmt, path: str, old: Source) -> str:
        """The first name that a function reads and that its module neither has nor can import."""
        bound = self.bindings("old", old.path)
        for name in free_names(node):
            everywhere = bound.at(old.module.body[0], len(old.module.body[0].statements), name)
            if not everywhere.bound and not self._imports(
                name, self.bindings("new", path), path, old.path
            ):
                if name not in self.new.sources[path].flor.all():
                    return name
        return ""

    # -- imports of flor --------------------------------------------------------------------------

    def callees(
        self, new: Source, old: Source, unit: Unit, names: Sequence[str]
    ) -> dict[str, str]:  # fmt: skip
        """What names of flor in the new version are called in the old one."""
        renames = {}
        for name in names:
            if name not in new.flor.all() or self._has(new, old, name):
                continue
            if self._mentions(old, name) or name in _words(old):
                renames[name] = OWN if name in new.flor.modules else f"{OWN}_log"
        return renames

    def _has(self, new: Source, old: Source, name: str) -> bool:
        """Whether the old file imports the very name from flor, at module level."""
        return any(
            _flor_import(alias, statement.node) == _of(new, name)
            for statement in old.module.statements
            if isinstance(statement.node, (ast.Import, ast.ImportFrom))
            for alias in statement.node.names
            if (alias.asname or alias.name) == name and statement.block.owner is None
        )

    def add(
        self, place: Place, node: ast.stmt, extra: Sequence[Statement], new: Source, old: Source,
        slot: Slot,
    ) -> None:  # fmt: skip
        """Note the imports that a placed piece needs."""
        wanted = self._added.setdefault(old.path, {})
        for part in [node, *(helper.node for helper in extra)]:
            for name in free_names(part):
                if name in new.flor.all():
                    if self._has(new, old, name):
                        continue
                    own = self.callees(new, old, slot.block.unit, [name])
                    wanted.setdefault(_flor_text(new, name, own.get(name)), slot)
                elif not self.bindings("old", old.path).at(slot.block, slot.position, name).bound:
                    path = new.path
                    for text in self._imports(name, self.bindings("new", path), path, old.path):
                        wanted.setdefault(text, slot)

    def insertions(self, source: Source) -> list[Insertion]:
        """The text to insert into an old file."""
        wanted = self._added.get(source.path, {})
        if not wanted:
            return []
        block = source.module.body[0]
        lines = Lines(source.text)
        first = 0
        for statement in block.statements:
            node = statement.node
            future = isinstance(node, ast.ImportFrom) and node.module == "__future__"
            if future or (statement.position == 0 and is_docstring(node)):
                first = statement.position + 1
        position = first
        while position < len(block.statements) and isinstance(
            block.statements[position].node, (ast.Import, ast.ImportFrom)
        ):
            position += 1
        earliest = min((s.order for s in wanted.values() if s.block.unit.kind == "module"),
                       default=1 << 60)  # fmt: skip
        slot = Slot(block, position)
        if slot.order > earliest:
            slot = Slot(block, first)
        return [
            insertion(source, lines, slot, text, "", (-99, number))
            for number, text in enumerate(wanted)
        ]


def _words(source: Source) -> set[str]:
    return {n.id for n in ast.walk(source.tree) if isinstance(n, ast.Name)}


def _of(new: Source, name: str) -> str:
    """What a name of the new file is ("flor", "flor.log"); "" if it isn't from flor."""
    for node in ast.walk(new.tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias in node.names:
                if (alias.asname or alias.name) == name and _flor_import(alias, node):
                    return _flor_import(alias, node)
    return ""


def _flor_import(alias: ast.alias, node: ast.stmt) -> str:
    if isinstance(node, ast.Import):
        return "flor" if alias.name == "flor" else ""
    if isinstance(node, ast.ImportFrom) and node.module == "flor" and not node.level:
        return f"flor.{alias.name}"
    return ""


def _flor_text(new: Source, name: str, instead: str | None) -> str:
    what = _of(new, name)
    bound = instead or name
    if what == "flor":
        return "import flor" if bound == "flor" else f"import flor as {bound}"
    member = what.partition(".")[2]
    return f"from flor import {member}" + (f" as {bound}" if bound != member else "")
