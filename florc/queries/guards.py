"""The precautions of the derivation, by name.

Each is the reason why one rule stays sound where it is tempting not to be.  They are listed so that
tests can take any one away and see that a wrong answer comes out.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

GUARDS = {
    "unknown-leaf": "a comparison with a value not known yet may come out either way",
    "negation": "what may be true under NOT is what may be false without it",
    "disjunction": "an OR with a side that isn't known restricts nothing",
    "padded": "a LEFT, RIGHT or FULL JOIN keeps rows that meet no partner",
    "ghost": "a row that finds a partner takes its padded form away, and the other way round",
    "aggregate": "an aggregate isn't known before all rows of its group are",
    "bare": "a bare column beside an aggregate may come from any row of the group",
    "loose": "rows of one group have equal keys, not identical ones: 1 and 1.0",
    "no-key": "without GROUP BY all rows are one group, which is there over no rows too",
    "window": "a row's window function sees the other rows of its partition",
    "partition": "of several windows only the keys that all are partitioned by select rows",
    "limit-outside": "what a LIMIT inside cuts off lets another row in",
    "limit-ties": "a row as good as the last one taken may be the one taken",
    "limit-certain": "only rows that are in the answer for certain push others out of a LIMIT",
    "limit-offset": "OFFSET makes room for as many rows more",
    "limit-nulls": "NULL is ordered before all values",
    "limit-distinct": "a LIMIT over groups or DISTINCT counts results, not rows",
    "random": "a function that isn't the same each time says nothing beforehand",
    "ranks": "SQLite and the parser rank some operators differently",
    "set-values": "UNION, EXCEPT, INTERSECT and DISTINCT look at all values, used or not",
    "distinct-known": "a result is there for certain only if all its values are known",
    "correlated": "a subquery may change with what it reads of the rows outside",
    "in-null": "x IN (…) is unknown, not false, where a NULL is among the values",
    "exists-certain": "EXISTS is decided only by a row that is there for certain",
    "order": "rows are in the order of values that needn't be in the answer",
    "argument": "the row of a maximum is any that isn't worse than one known",
    "argument-alone": "a bare column follows MIN or MAX only if that is the one aggregate",
    "influence-or": "a side of an OR matters unless the other one is true for certain",
    "influence-and": "a side of an AND matters unless the other one is false for certain",
    "digits": "a sum's last digits depend on the order of the rows",
    "new-loops": "rows of a loop that wasn't noted stand for no one knows how many",
}
"""Name -> why."""

_off: set[str] = set()


def guarded(name: str) -> bool:
    """Whether the precaution `name` is taken: always, but in tests of the tests."""
    assert name in GUARDS
    return name not in _off


@contextmanager
def without(name: str) -> Iterator[None]:
    """Take a precaution away for a while."""
    assert name in GUARDS
    _off.add(name)
    try:
        yield
    finally:
        _off.discard(name)
