"""Places between statements: those of the old version, and where a slice stands in the new one."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from florc.propagate.source import Block, Statement, Unit, is_elif_of

WINDOW = 8
"""Statements before and after the log statement that are looked at."""
FADE = 0.7
"""What the next farther statement counts for."""
JUMPS = (ast.Return, ast.Raise, ast.Break, ast.Continue)


@dataclass(frozen=True)
class Slot:
    """The place before the statement `position` of a block (behind the last one: its length)."""

    block: Block
    position: int

    @property
    def order(self) -> int:
        """How many statements of the file come before it."""
        if self.position < len(self.block.statements):
            return self.block.statements[self.position].index
        if self.block.statements:
            return self.block.statements[-1].last + 1
        return self.block.owner.last + 1 if self.block.owner is not None else 0

    @property
    def line(self) -> int:
        """The line that it comes before."""
        if self.position < len(self.block.statements):
            return self.block.statements[self.position].first_line
        if self.block.statements:
            return self.block.statements[-1].last_line + 1
        return self.block.owner.last_line + 1 if self.block.owner is not None else 1

    def neighbours(self) -> tuple[Statement | None, Statement | None]:
        """The nearest statements of the block before and after it that are no log statements."""
        before = [s for s in self.block.statements[: self.position] if not s.log]
        after = [s for s in self.block.statements[self.position :] if not s.log]
        return (before[-1] if before else None, after[0] if after else None)


@dataclass(eq=False)
class Place:
    """Where something stands in the new version: in place of a statement, before or behind one."""

    statement: Statement
    mode: str = "instead"  # "instead", "before", "behind"

    @property
    def block(self) -> Block:
        """The block that it is in."""
        return self.statement.block

    @property
    def order(self) -> int:
        """How many statements of the file come before it."""
        return self.statement.last + 1 if self.mode == "behind" else self.statement.index

    @property
    def position(self) -> int:
        """Its position in the block."""
        return self.statement.position + (self.mode == "behind")

    def siblings(self, *, before: bool) -> list[Statement]:
        """The statements of its block on one side, the nearest first."""
        found = [s for s in self.block.statements if self._counts(s)]
        if before:
            return [s for s in found if s.index < self.order][::-1]
        return [s for s in found if s.index >= self.order]

    def preceding(self) -> list[tuple[Statement, float]]:
        """Statements before it in its unit, the nearest first, with weights."""
        here = self.statement.index
        return self._weighted(
            s for s in reversed(self.block.unit.plain)
            if s.index < self.order and self._counts(s) and not s.index < here <= s.last
        )  # fmt: skip

    def following(self) -> list[tuple[Statement, float]]:
        """Statements after it in its unit, the nearest first, with weights."""
        return self._weighted(
            s for s in self.block.unit.plain if s.index >= self.order and self._counts(s)
        )

    def _counts(self, statement: Statement) -> bool:
        return not statement.log and (statement is not self.statement or self.mode != "instead")

    def _weighted(self, statements: Iterable[Statement]) -> list[tuple[Statement, float]]:
        found = []
        rank = 0.0
        for statement in statements:
            if rank >= WINDOW:
                break
            sibling = statement.block is self.block
            found.append((statement, FADE**rank * (1.0 if sibling else 0.5)))
            rank += 1.0 if sibling else 0.5
        return found


def all_slots(unit: Unit) -> Iterator[Slot]:
    """Every place of a unit."""
    for block in unit.body:
        yield from _slots(block)
    for statement in unit.statements:
        for block in statement.blocks:
            if block.unit is unit:
                yield from _slots(block)


def _slots(block: Block) -> Iterator[Slot]:
    first = 0
    statements = block.statements
    unit_body = block.owner is None or block.owner.unit is not block.unit
    if unit_body and statements and is_docstring(statements[0].node):
        first = 1
    for number, statement in enumerate(statements):
        node = statement.node
        future = isinstance(node, ast.ImportFrom) and node.module == "__future__"
        if future or isinstance(node, (ast.Global, ast.Nonlocal)):
            first = number + 1
    if is_elif(block):
        return
    for position in range(first, len(statements) + 1):
        if position and isinstance(statements[position - 1].node, JUMPS):
            return
        yield Slot(block, position)


def is_docstring(node: ast.stmt) -> bool:
    """Whether a statement is a string and nothing else."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(
        node.value.value, str
    )  # fmt: skip


def is_elif(block: Block) -> bool:
    """Whether a block is an `elif`, which has no place beside its one statement."""
    if block.name != "orelse" or block.owner is None or len(block.statements) != 1:
        return False
    return is_elif_of(block.statements[0].node, block.owner.node)
