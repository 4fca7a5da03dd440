"""Statements that only log statements need: which ones, and under which names they can move."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from florc.propagate.align import Alignment
from florc.propagate.bound import Bindings, free_names
from florc.propagate.names import binds, identifiers
from florc.propagate.slices import Marked
from florc.propagate.slots import Place, Slot
from florc.propagate.source import Source, Statement, walk

EDITED = 0.75
"""How alike a helper and its counterpart must be to give the same value, or nearly so."""


class Helpers:
    """The new version's helpers that the old version lacks."""

    def __init__(self, new: Marked, alignment: Alignment) -> None:
        self.alignment = alignment
        self._names: dict[Statement, set[str]] = {}
        self._by_file: dict[str, list[Statement]] = {}
        for path, found in new.helpers.items():
            lacking = [h for h in found if self._names_of(h) and not self._there(h)]
            self._by_file[path] = sorted(lacking, key=lambda h: h.index)
            for helper in lacking:
                self._forget(helper)

    def names(self, helper: Statement) -> set[str]:
        """What it binds."""
        return self._names_of(helper)

    def _names_of(self, helper: Statement) -> set[str]:
        if helper not in self._names:
            found = binds(helper.node)
            if isinstance(helper.node, (ast.For, ast.If, ast.With)):
                found = {name for s in walk(helper) for name in binds(s.node)}
            self._names[helper] = found
        return self._names[helper]

    def _there(self, helper: Statement) -> bool:
        """Whether the old version has the statement, perhaps edited, binding the same names."""
        image = self.alignment.statements.get(helper)
        if image is None:
            return False
        if helper.key == image.key:
            return True
        votes = self.alignment.votes.get(helper.unit, {})
        translated = [votes[t].most_common(1)[0][0] if t in votes else t for t in helper.tokens]
        if translated == list(image.tokens):
            return True
        if self.alignment.strength[helper] < EDITED:
            return False
        names = {n: votes[n].most_common(1)[0][0] if n in votes else n for n in binds(helper.node)}
        return set(names.values()) == binds(image.node) and bool(names)

    def _forget(self, helper: Statement) -> None:
        """A counterpart that isn't one mustn't pass for a definition of the helper's names."""
        for statement in walk(helper):
            image = self.alignment.statements.pop(statement, None)
            if image is not None:
                self.alignment.sources.pop(image, None)

    def needed(self, place: Place, node: ast.AST, bindings: Bindings) -> list[Statement]:
        """The helpers that a piece of code needs, in textual order, with those they need."""
        helpers = self._by_file.get(place.block.unit.source.path, [])
        if not helpers:
            return []
        found: dict[Statement, None] = {}
        queue = [(place.block, place.position, node)]
        while queue:
            block, position, code = queue.pop()
            for name in free_names(code):
                sites = bindings.at(block, position, name).sites
                for helper in helpers:
                    if helper in found or helper is place.statement:
                        continue
                    if name in self._names_of(helper) and any(
                        helper.index <= index <= helper.last for _, index in sites
                    ):
                        found[helper] = None
                        queue.append((helper.block, helper.position, helper.node))
        return sorted(found, key=lambda h: h.index)

    def together(self, helper: Statement, statement: Statement) -> bool:
        """Whether a helper stands before a statement with nothing but log code between."""
        if helper.block is not statement.block or helper.position > statement.position:
            return False
        own = self._by_file.get(statement.unit.source.path, [])
        between = statement.block.statements[helper.position + 1 : statement.position]
        return all(s.log or s in own for s in between)

    def fresh(
        self, bound: set[str], slot: Slot, old: Source, marked: Marked, parts: Sequence[Statement]
    ) -> tuple[dict[str, str], str]:
        """New names for those that the old version uses for something else; or the one it can't."""
        if not bound:
            return {}, ""
        unit = slot.block.unit
        skipped = {
            id(n) for s in [*unit.statements] if s.log or s in marked.helpers.get(old.path, ())
            for n in ast.walk(s.node)
        }  # fmt: skip
        taken = {
            name for n in ast.walk(unit.node) if id(n) not in skipped
            for name in _mentioned(n)
        }  # fmt: skip
        clashing = sorted(bound & taken)
        defines = [
            s for s in parts if any(isinstance(n, ast.FunctionDef) for n in ast.walk(s.node))
        ]
        if clashing and defines:
            return {}, clashing[0]
        everything = taken | {name for s in parts for name in identifiers(s.node)}
        made = {}
        for name in clashing:
            other = f"{name}_"
            while other in everything:
                other += "_"
            everything.add(other)
            made[name] = other
        return made, ""


def _mentioned(node: ast.AST) -> set[str]:
    if isinstance(node, ast.Name):
        return {node.id}
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return {node.name}
    if isinstance(node, ast.arg):
        return {node.arg}
    if isinstance(node, ast.alias):
        return {node.asname or node.name.partition(".")[0]}
    if isinstance(node, (ast.Global, ast.Nonlocal)):
        return set(node.names)
    return set()
