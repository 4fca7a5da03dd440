"""Whether rows have partners, in a form that SQLite answers without trying all pairs."""

from __future__ import annotations

from collections.abc import Sequence

from .blocks import Item, from_clause
from .values import NO, YES, Flag, both


def some(items: Sequence[Item], conditions: Sequence[Flag]) -> Flag:
    """Whether some combination of items meets conditions, that may speak of rows outside too.

    Equalities between inside and outside become a look-up in what is computed once.
    """
    flag = both(*conditions)
    if flag == NO or not items:
        return flag
    inner = frozenset(item.alias for item in items)
    parts = [c for c in dict.fromkeys(conditions) if c != YES]
    outside = [c for c in parts if not c.aliases & inner]
    own = [c for c in parts if c.aliases and c.aliases <= inner]
    keys, values, rest = [], [], []
    for condition in parts:
        if condition in outside or condition in own:
            continue
        pair = condition.equal
        if pair is not None and pair[1].aliases and not pair[1].aliases & inner:
            pair = (pair[1], pair[0])
        if pair is not None and pair[0].aliases and not pair[0].aliases & inner:
            if pair[1].aliases and pair[1].aliases <= inner:
                keys.append(pair[0])
                values.append(pair[1])
                continue
        rest.append(condition)
    found = list(outside)
    free = frozenset[str]().union(*(c.aliases for c in parts)) - inner
    if keys:
        left = keys[0].sql if len(keys) == 1 else f"({', '.join(key.sql for key in keys)})"
        right = f"SELECT {', '.join(v.sql for v in values)} FROM {_where(items, own)}"
        found.append(Flag(f"({left} IN ({right}) IS TRUE)", free))
    if rest or not keys:
        inside = [c for c in parts if c not in outside]
        found.append(Flag(f"EXISTS (SELECT 1 FROM {_where(items, inside)})", free))
    return both(*found)


def _where(items: Sequence[Item], conditions: Sequence[Flag]) -> str:
    flag = both(*conditions)
    return from_clause(items) + ("" if flag == YES else f" WHERE {flag.sql}")
