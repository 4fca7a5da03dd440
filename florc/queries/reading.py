"""What a derived query reads of each scan: which columns, and which decide on a row together."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

SCAN = re.compile(r"flor:scan:(\d+)")


@dataclass(frozen=True)
class Reading:
    """Of one scan: the columns that are read, and those of each condition that must hold."""

    columns: frozenset[str]
    conditions: frozenset[frozenset[str]]


def readings(sql: str) -> dict[int, Reading] | None:
    """Number of a scan -> what a need's `sql` reads of it; None if that can't be told."""
    try:
        tree = sqlglot.parse_one(sql, dialect="sqlite")
    except (SqlglotError, RecursionError):
        return None
    scans: dict[str, set[int]] = defaultdict(set)
    for table in tree.find_all(exp.Table):
        found = SCAN.fullmatch(table.name)
        if found:
            scans[table.alias_or_name].add(int(found[1]))
    columns: dict[int, set[str]] = {n: set() for some in scans.values() for n in some}
    conditions: dict[int, set[frozenset[str]]] = {n: set() for n in columns}
    for column in tree.find_all(exp.Column):
        if not column.table or isinstance(column.this, exp.Star):
            return None
        for number in scans.get(column.table, ()):
            columns[number].add(column.name)
    for select in tree.find_all(exp.Select):
        where = select.args.get("where")
        for part in _conjuncts(where.this) if where is not None else ():
            mine: dict[str, set[str]] = defaultdict(set)
            for column in part.find_all(exp.Column):
                if column.find_ancestor(exp.Select) is select:
                    mine[column.table].add(column.name)
            for alias, names in mine.items():
                for number in scans.get(alias, ()):
                    if len(mine) == 1:
                        conditions[number].add(frozenset(names))
    return {n: Reading(frozenset(columns[n]), frozenset(conditions[n])) for n in columns}


def _conjuncts(condition: exp.Expr) -> Iterator[exp.Expr]:
    while isinstance(condition, exp.Paren):
        condition = condition.this
    if isinstance(condition, exp.And):
        yield from _conjuncts(condition.this)
        yield from _conjuncts(condition.expression)
    else:
        yield condition
