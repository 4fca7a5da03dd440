"""From blocks to queries for the rows whose unknown cells can matter."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from .analyse import Analysis, Scan
from .blocks import Block, Item, TooComplex, from_clause
from .context import Context, Unknowns
from .relations import relation
from .semijoin import some
from .values import NO, YES, Flag, both, either, merged

NODE = ("run", "flor:node", "flor:shape")
"""What the table of a scan of `logs` has beside the scan's columns: the iteration of a row."""


@dataclass(frozen=True)
class Need:
    """Rows of a scan, and which of its columns matter there.

    `sql` gives run, node, shape, a rank, and 0 or 1 for each of `columns`.  With `early`, few of
    the rows may be enough: those of the lowest rank are the ones to begin with.
    """

    scan: Scan
    columns: tuple[str, ...]
    alias: str
    sql: str
    deciding: frozenset[str]  # columns on which it depends which rows matter
    early: bool
    tables: tuple[str, ...]  # by number

    @property
    def condition(self) -> str | None:
        """The rows in words of the query, to be read; None: all of them."""
        text = self.text(lambda number: self.tables[number])
        where = text.partition(f" FROM {self.scan.table} AS {self.alias}")[2].partition(" WHERE ")[
            2
        ]
        if text.startswith("WITH "):
            start = text.rindex(f" FROM {self.scan.table} AS {self.alias} WHERE ")
            where = text[start:].partition(" WHERE ")[2]
        previous = ""
        while where != previous:
            previous = where
            where = re.sub(r"\((\([^()]*\)|EXISTS [^ ]*) IS TRUE\)", r"\1", where)
        where = re.sub(rf'\b{self.alias}\."(\w+)"', r"\1", where)
        where = re.sub(r'(?:\w+\.)?"flor:unknown:([^"]+)"', r"unknown(\1)", where)
        return where or None

    def text(self, name: Callable[[int], str]) -> str:
        """The query, with the names of the scans' tables by number."""
        return re.sub(r'"flor:scan:(\d+)"', lambda match: name(int(match[1])), self.sql)


def derive(analysis: Analysis, unknowns: Unknowns, *, precise: bool = True) -> tuple[Need, ...]:
    """The rows that matter; all others may hold whatever they like, the answer is the same.

    Without `precise` no scan is restricted by what other scans hold.
    """
    context = Context(analysis, unknowns, precise)
    if not any(scan.table == "logs" and context.lacks(scan) for scan in analysis.scans):
        return ()
    try:
        blocks = relation(context, analysis.tree, None, root=True)
        needs = _Assembly(context).needs(blocks)
        return _needed({(id(need.scan), need.sql): need for need in needs}.values())
    except (TooComplex, RecursionError):
        return tuple(_everything(analysis, unknowns))


def _needed(needs: Collection[Need]) -> tuple[Need, ...]:
    """Without those that another one covers."""
    every = [need for need in needs if need.condition is None and not need.early]
    return tuple(
        need
        for need in needs
        if not any(
            other is not need
            and other.scan is need.scan
            and set(need.columns) <= set(other.columns)
            and (need not in every or needs_first(every, other, need))
            for other in every
        )
    )


def needs_first(needs: Sequence[Need], one: Need, other: Need) -> bool:
    """Whether `one` comes before `other`."""
    return next(need for need in needs if need is one or need is other) is one


def _everything(analysis: Analysis, unknowns: Unknowns) -> Iterator[Need]:
    context = Context(analysis, unknowns, False)
    for scan in analysis.scans:
        if scan.table != "logs":
            continue
        item, source = context.use(scan)
        cells = merged(*(value.influence for value in source.columns.values()))
        if cells:
            block = Block((item,), seal=cells, active=frozenset((item.alias,)))
            yield from _Assembly(context).needs((block,))


class _Assembly:
    def __init__(self, context: Context) -> None:
        self.context = context

    def needs(self, blocks: Sequence[Block]) -> Iterator[Need]:
        """Of the root's blocks."""
        for block in blocks:
            yield from self._block(block, (), (), YES, block.early, block.rank)

    def _block(
        self, block: Block, items: tuple[Item, ...], conditions: tuple[Flag, ...], gate: Flag,
        early: bool, rank: Flag | None,
    ) -> Iterator[Need]:  # fmt: skip
        """`items`, `conditions` and `gate` are those of the blocks around a subquery."""
        gates = block.gates()
        influence = merged(gates, *(value.influence for _, value in block.outputs))
        items, around = (*items, *block.items), conditions
        conditions = (*around, gate, *(one.may for one in block.conditions))
        for item in block.items:
            if item.alias not in block.active or item.scan is None or item.scan.table != "logs":
                continue
            columns, flags = [], []
            rows = self.context.new_rows(item.alias)
            for column in item.scan.columns:
                if column not in self.context.unknowns.hindsight:
                    continue
                unknown = self._unknown(item, column)
                flag = both(either(influence.get((item.alias, column), NO), rows), unknown)
                if flag != NO:
                    columns.append(column)
                    flags.append(flag)
            if columns and both(*conditions) != NO:
                deciding = frozenset(c for c in columns if (item.alias, c) in gates)
                yield self._need(item, items, conditions, columns, flags, deciding, early, rank)
        if block.inert:
            return
        if both(*conditions) == NO:
            return
        for (name, column), flag in influence.items():
            if column or not name.startswith("#"):
                continue
            fast = early or name in self.context.early
            # What asks the subquery itself isn't asked again.
            others = [c.may for c in block.conditions if (name, "") not in c.influence]
            for inner in self.context.relations[name]:
                yield from self._block(inner, items, (*around, gate, *others), flag, fast, None)

    def _unknown(self, item: Item, column: str) -> Flag:
        where = self.context.unknowns.columns.get(column)
        if where is None or item.scan is None:
            return NO
        return self.context.unknown(item.alias, item.scan, column) if where else YES

    def _need(
        self, item: Item, items: Sequence[Item], conditions: Sequence[Flag],
        columns: list[str], flags: list[Flag], deciding: frozenset[str], early: bool,
        rank: Flag | None,
    ) -> Need:  # fmt: skip
        alias = frozenset((item.alias,))
        others = [other for other in items if other.alias != item.alias]
        reach = alias.union(other.alias for other in others)
        conditions = [c for c in dict.fromkeys(conditions) if c != YES and c.aliases <= reach]
        own = [c for c in conditions if c.aliases <= alias]
        joint = [c for c in conditions if not c.aliases <= alias]
        if self.context.precise and others:
            partner = some(others, joint)
            own += [partner] if joint else []
        told = []
        for column, flag in zip(columns, flags):
            if not flag.aliases <= alias:
                near = [c for c in joint if c.aliases]
                if self.context.precise and flag.aliases <= reach:
                    flag = some(others, [*near, flag])
                else:
                    flag = self._unknown(item, column)
            told.append(flag)
        where = both(*own, either(*told))
        listing = [f'{item.alias}."{column}"' for column in NODE]
        if early:
            usable = rank is not None and rank.aliases <= alias
            order = f"row_number() OVER (PARTITION BY {item.alias}.run)"
            listing.append(f"{rank.sql if rank is not None and usable else order} AS rank")
        else:
            listing.append("1 AS rank")
        listing += [f"{flag.sql} AS n{i}" for i, flag in enumerate(told)]
        sql = f"SELECT {', '.join(listing)} FROM {from_clause([item])}"
        if where != YES:
            sql += f" WHERE {where.sql}"
        assert item.scan is not None
        tables = tuple(scan.table for scan in self.context.analysis.scans)
        return Need(item.scan, tuple(columns), item.alias, self._with(sql), deciding, early, tables)

    def _with(self, sql: str) -> str:
        """The query behind the tables that it reads."""
        names: dict[str, None] = {}
        todo = [sql]
        while todo:
            for name in re.findall(r"FROM (t\d+) AS ", todo.pop()):
                if name not in names:
                    names[name] = None
                    todo.append(self.context.tables[name])
        if not names:
            return sql
        ordered = sorted(names, key=lambda name: int(name[1:]))
        tables = ", ".join(f"{n} AS MATERIALIZED ({self.context.tables[n]})" for n in ordered)
        return f"WITH {tables} {sql}"
