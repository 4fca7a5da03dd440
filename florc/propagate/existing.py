"""Log statements that the old version has already."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Sequence

from florc.propagate.align import Alignment
from florc.propagate.slices import Leaf, Marked, Piece, name_of
from florc.propagate.slots import Slot
from florc.propagate.source import Statement


class Existing:
    """Pairs the new version's log calls with equal ones of the old version, each at most once."""

    def __init__(self, new: Marked, old: Marked, alignment: Alignment) -> None:
        self.alignment = alignment
        self._old: dict[tuple[str, str], list[tuple[ast.Call, Statement]]] = defaultdict(list)
        for path, calls in old.logs.items():
            for call, statement in calls:
                self._old[path, statement.unit.path].append((call, statement))
        self._found: dict[ast.Call, tuple[str, int]] = {}
        self._taken: set[ast.Call] = set()
        groups: dict[tuple[str, str], list[tuple[ast.Call, Statement]]] = defaultdict(list)
        for path, calls in new.logs.items():
            for call, statement in calls:
                groups[path, statement.unit.path].append((call, statement))
        for group in groups.values():
            self._pair(group)

    def _pair(self, calls: list[tuple[ast.Call, Statement]]) -> None:
        """Equal calls of one unit: those in blocks that belong together first, then in order."""
        for strict in (True, False):
            for call, statement in calls:
                if call in self._found:
                    continue
                unit = self.alignment.units.get(statement.unit)
                if unit is None:
                    continue
                others = [
                    (c, s) for c, s in self._old.get((unit.source.path, unit.path), ())
                    if c not in self._taken and self._equal(call, statement, c)
                    and self._placed_alike(statement, s, strict)
                ]  # fmt: skip
                if others:
                    self._taken.add(others[0][0])
                    self._found[call] = (unit.source.path, others[0][0].lineno)

    def _equal(self, new: ast.Call, statement: Statement, old: ast.Call) -> bool:
        if _text(new) == _text(old):
            return True
        votes = self.alignment.votes.get(statement.unit, {})
        renames = {name: counts.most_common(1)[0][0] for name, counts in votes.items()}
        return _text(new, renames) == _text(old)

    def _placed_alike(self, new: Statement, old: Statement, strict: bool) -> bool:
        """Whether the blocks around both belong together (guards of logs only don't count)."""
        mine, theirs = _outer(new), _outer(old)
        image = self.alignment.statements.get(mine) if mine is not None else None
        if image is theirs:
            return True
        return not strict and (mine is None or image is None)

    def exactly(self, piece: Piece, leaves: Sequence[Leaf]) -> bool:
        """Whether the old version has all of these."""
        return all(leaf.call in self._found for leaf in leaves)

    def of(self, leaf: Leaf) -> tuple[str, int]:
        """File and line of the equal one."""
        return self._found[leaf.call]

    def near(self, leaf: Leaf, slot: Slot | None) -> tuple[str, int, bool] | None:
        """File and line of what the old version logs under the name at a slot; whether equal."""
        if leaf.call in self._found:
            return (*self._found[leaf.call], True)
        name = name_of(leaf.call)
        if slot is None or not name:
            return None
        run: list[Statement] = []
        statements = slot.block.statements
        for step in (-1, 1):
            position = slot.position - 1 if step < 0 else slot.position
            while 0 <= position < len(statements) and statements[position].log:
                run.append(statements[position])
                position += step
        path = slot.block.unit.source.path
        for call, statement in self._old.get((path, slot.block.unit.path), ()):
            around: Statement | None = statement
            while around is not None and around not in run:
                around = around.block.owner
            if around is not None and name_of(call) == name and call not in self._taken:
                self._taken.add(call)
                return path, call.lineno, False
        return None


def _outer(statement: Statement) -> Statement | None:
    """The block around a log statement and its guards, by the statement that owns it."""
    owner = statement.block.owner
    while owner is not None and owner.log:
        owner = owner.block.owner
    return owner if owner is not None and owner.unit is statement.unit else None


def _text(call: ast.Call, renames: dict[str, str] | None = None) -> str:
    """The arguments of a log call as comparable text."""
    parts = [*call.args, *(keyword.value for keyword in call.keywords)]
    dump = "\0".join(map(ast.dump, parts))
    for new, old in (renames or {}).items():
        dump = dump.replace(f"Name(id={new!r}", f"Name(id={old!r}")
    return dump
