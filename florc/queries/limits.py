"""ORDER BY … LIMIT: rows that enough others precede for certain don't matter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sqlglot import exp

from .blocks import Block, Relation, from_clause
from .guards import guarded
from .values import NO, YES, Flag, Truth, Value, all_known, both, either, negated, unknowable

if TYPE_CHECKING:
    from .context import Context


@dataclass(frozen=True)
class Key:
    """One expression of ORDER BY, for one block."""

    value: Value
    descending: bool
    nulls_first: bool


def row_count(node: exp.Expr) -> int | None:
    """How many rows LIMIT and OFFSET reach to; None if that can't be told."""
    limit, offset = node.args.get("limit"), node.args.get("offset")
    counts = []
    for part in (limit, offset):
        if part is None:
            counts.append(0)
            continue
        number = part.expression
        if not isinstance(number, exp.Literal) or number.is_string or not number.this.isdigit():
            return None
        counts.append(int(number.this))
    if limit is None:
        return None
    return counts[0] + counts[1] if guarded("limit-offset") else counts[0]


def limited_to(
    context: Context, blocks: Relation, keys: Sequence[Sequence[Key]], node: exp.Expr,
    *, root: bool,
) -> Relation:  # fmt: skip
    """The blocks of a query with LIMIT, whose rows are ordered by `keys` (by block)."""
    count = row_count(node)
    worse = _threshold(context, blocks, keys, count) if count else [NO] * len(blocks)
    found = []
    for block, flag, order in zip(blocks, worse, keys):
        good = negated(flag)
        rank = _in_order(order, count) if count and flag != NO else block.rank
        condition = Truth(good, YES, NO, NO)
        narrowed = replace(
            block, conditions=(*block.conditions, condition), certain=False,
            early=block.early or flag != NO, rank=rank,
        )  # fmt: skip
        if root or not guarded("limit-outside"):
            found.append(narrowed)
            continue
        seal = block.gates()
        for _, value in block.outputs:
            for cell, influence in value.influence.items():
                seal[cell] = either(seal.get(cell, NO), influence)
        outputs = tuple((name, unknowable()) for name, _ in block.outputs)
        if not block.shadow:
            found.append(replace(narrowed, active=frozenset(), seal={}, inert=True))
        found.append(replace(narrowed, outputs=outputs, seal=seal, shadow=True))
    return tuple(found)


def _threshold(
    context: Context, blocks: Relation, keys: Sequence[Sequence[Key]], count: int
) -> list[Flag]:
    """For each block: where a row comes behind `count` others for certain."""
    nothing = [NO] * len(blocks)
    if not context.precise or not keys or not keys[0]:
        return nothing
    usable = 0
    rows = [one for block, one in zip(blocks, keys) if not block.shadow]
    while usable < len(keys[0]) and all(one[usable].value.unknown != YES for one in rows):
        usable += 1
    if not usable:
        return nothing
    keys = [one[:usable] for one in keys]
    distinct = any(b.distinct for b in blocks if not b.shadow) and guarded("limit-distinct")
    same_identity = len([b for b in blocks if not b.shadow]) == 1
    selects = []
    for block, one in zip(blocks, keys):
        if block.shadow or not block.certain or not block.items:
            continue
        there = block.must if guarded("limit-certain") else block.may
        known = all_known([key.value for key in one])
        columns = [f"{key.value.sql} AS k{i}" for i, key in enumerate(one)]
        if distinct:
            values = [value for _, value in block.outputs]
            if same_identity and block.identity is not None:
                values = list(block.identity)
            known = both(known, all_known(values))
            columns += [f"{value.sql} AS d{i}" for i, value in enumerate(values)]
        flag = both(there, known)
        if flag == NO or flag.aliases - {item.alias for item in block.items}:
            continue
        word = "SELECT DISTINCT" if distinct else "SELECT"
        selects.append(
            f"{word} {', '.join(columns)} FROM {from_clause(block.items)} WHERE {flag.sql}"
        )
    if not selects:
        return nothing
    union = " UNION " if distinct else " UNION ALL "
    order = ", ".join(
        f"k{i}{' DESC' if key.descending else ''} NULLS {'FIRST' if key.nulls_first else 'LAST'}"
        for i, key in enumerate(keys[0])
    )
    listing = ", ".join(f"k{i}" for i in range(usable))
    table = context.define(
        f"SELECT {listing} FROM ({union.join(selects)}) ORDER BY {order} LIMIT 1 OFFSET {count - 1}"
    )
    return [_behind(context, table, one) for one in keys]


def _behind(context: Context, table: str, keys: Sequence[Key]) -> Flag:
    """Whether a row comes behind the one row of `table`, or wherever there is one."""
    alias = context.fresh("b")
    later = "" if guarded("limit-ties") else "1"
    for i in reversed(range(len(keys))):
        key = keys[i]
        mine, best = key.value.sql, f"{alias}.k{i}"
        sign = "<" if key.descending else ">"
        beyond = f"coalesce({mine} {sign} {best}, 0)"
        nulls_first = key.nulls_first == guarded("limit-nulls")
        first, second = (best, mine) if nulls_first else (mine, best)
        beyond = f"({beyond} OR ({first} IS NULL AND {second} IS NOT NULL))"
        later = f"({beyond} OR ({mine} IS {best} AND {later}))" if later else beyond
    known = all_known([key.value for key in keys])
    aliases = frozenset[str]().union(*(key.value.aliases for key in keys))
    return both(known, Flag(f"EXISTS (SELECT 1 FROM {table} AS {alias} WHERE {later})", aliases))


def needless_repeats(context: Context, blocks: Relation) -> Relation:
    """DISTINCT: a row whose result is there for certain already doesn't matter."""
    found: list[Block] = []
    for block in blocks:
        told = _certain_results(context, block)
        if told == NO:
            found.append(block)
            continue
        found.append(replace(block, active=frozenset(), inert=True))
        condition = Truth(negated(told), YES, NO, NO)
        found.append(
            replace(
                block, conditions=(*block.conditions, condition), shadow=True, certain=False,
                early=True, rank=_among_alike(block),
            )
        )  # fmt: skip
    return tuple(found)


def _among_alike(block: Block) -> Flag:
    """Begin with one row for each result."""
    values = [value for _, value in block.outputs if value.unknown != YES]
    aliases = frozenset[str]().union(*(value.aliases for value in values))
    listing = ", ".join(value.sql for value in values)
    return Flag(f"row_number() OVER ({f'PARTITION BY {listing}' if listing else ''})", aliases)


def _in_order(keys: Sequence[Key], count: int) -> Flag:
    """Begin with the rows that come first."""
    told = [key for key in keys if key.value.unknown != YES]
    aliases = frozenset[str]().union(*(key.value.aliases for key in told))
    order = ", ".join(
        f"{key.value.sql}{' DESC' if key.descending else ''} "
        f"NULLS {'FIRST' if key.nulls_first else 'LAST'}"
        for key in told
    )
    return Flag(f"(row_number() OVER (ORDER BY {order}) - 1) / {count} + 1", aliases)


def _certain_results(context: Context, block: Block) -> Flag:
    """Where a combination's outputs are those of one that is there for certain."""
    if block.shadow or not block.certain or not context.precise or not block.items:
        return NO
    if not block.gates() or not block.outputs:
        return NO
    values = [value for _, value in block.outputs]
    known = all_known(values)
    flag = both(block.must, known)
    if flag == NO or flag.aliases - {item.alias for item in block.items}:
        return NO
    columns = ", ".join(f"{value.sql} AS k{i}" for i, value in enumerate(values))
    table = context.define(
        f"SELECT DISTINCT {columns} FROM {from_clause(block.items)} WHERE {flag.sql}"
    )
    alias = context.fresh("b")
    same = " AND ".join(
        f"{v.sql} IS {alias}.k{i} AND typeof({v.sql}) = typeof({alias}.k{i})"
        for i, v in enumerate(values)
    )
    aliases = frozenset[str]().union(*(value.aliases for value in values))
    there = Flag(f"EXISTS (SELECT 1 FROM {table} AS {alias} WHERE {same})", aliases)
    return both(known, there) if guarded("distinct-known") else there
