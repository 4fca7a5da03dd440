"""The normal form of a query: a union of blocks, each a list of scans, conditions and outputs.

Every row of a relation, in every world that the unknown values allow, is covered by a combination
of rows of the items of some block that may meet its conditions.  And when the value of a cell
changes, every row that comes, goes or changes is covered by a combination of some block in which
the item of the cell is *active*, with the cell among what influences it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from .analyse import Scan
from .values import Cell, Flag, Influence, Truth, Value, both, merged

LIMIT = 48
"""Blocks of one relation; with more, it is taken as opaque."""


class TooComplex(Exception):
    """The normal form would be too large."""


@dataclass(frozen=True)
class Item:
    """A table in a block; `scan` tells whose rows these are."""

    alias: str
    text: str  # SQL, with "{scan}" where the scan's table stands
    scan: Scan | None = None


@dataclass(frozen=True)
class Block:
    """Items, conditions on them, and what each combination gives."""

    items: tuple[Item, ...] = ()
    conditions: tuple[Truth, ...] = ()
    outputs: tuple[tuple[str, Value], ...] = ()
    seal: Influence = field(default_factory=dict)  # matters whichever outputs are used
    active: frozenset[str] = frozenset()
    shadow: bool = False  # tells of influences only: its rows are covered by other blocks too
    certain: bool = True  # combinations that must meet the conditions are rows for certain
    distinct: bool = False  # several combinations may be one row: it is told by `identity`
    identity: tuple[Value, ...] | None = None  # None: by the outputs
    inert: bool = False  # what may change it is told by another block
    early: bool = False  # few rows may be enough to decide what it gives
    rank: Flag | None = None  # then, which to begin with: 1, 2, …

    @property
    def may(self) -> Flag:
        """Whether a combination may be a row."""
        return both(*(one.may for one in self.conditions))

    @property
    def must(self) -> Flag:
        """Whether a combination is a row for certain."""
        return both(*(one.must for one in self.conditions))

    def gates(self) -> dict[Cell, Flag]:
        """What decides whether a combination is a row."""
        found: dict[Cell, Flag] = dict(self.seal)
        for condition in self.conditions:
            found = merged(found, condition.influence)
        return found


Relation = tuple[Block, ...]


def checked(blocks: Sequence[Block]) -> Relation:
    """The blocks, unless there are too many."""
    if len(blocks) > LIMIT:
        raise TooComplex
    return tuple(blocks)


def rows_of(relation: Relation) -> Relation:
    """The blocks that cover a relation's rows."""
    return tuple(block for block in relation if not block.shadow)


def with_conditions(block: Block, conditions: Sequence[Truth]) -> Block:
    """More conditions."""
    return replace(block, conditions=(*block.conditions, *conditions))


def from_clause(items: Sequence[Item]) -> str:
    """The FROM clause of some items, as it is written before the tables' names are known."""
    return ", ".join(f"{item.text} AS {item.alias}" for item in items)
