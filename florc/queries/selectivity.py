"""A guess at how many rows a column's conditions leave, before any of its values is known."""

from __future__ import annotations

from sqlglot import exp

from .analyse import Analysis

EQUAL, RANGE, OTHER = 0.1, 0.33, 0.5
LEAST = 0.01
RANGES = (exp.LT, exp.LTE, exp.GT, exp.GTE)


def selectivity(analysis: Analysis, column: str) -> float:
    """The share of rows that conditions on a column of `logs` leave: a rule of thumb.

    An equality leaves a tenth, a range a third, anything else half.
    """
    share = 1.0
    seen: set[int] = set()
    for reference in analysis.references:
        if reference.column != column or reference.scan.table != "logs":
            continue
        condition = _condition(reference.node)
        if condition is None or id(condition) in seen:
            continue
        seen.add(id(condition))
        share *= _share(condition)
    return max(share, LEAST)


def _condition(node: exp.Expr) -> exp.Expr | None:
    """The condition that an expression is a part of, if it is one of a WHERE, ON or HAVING."""
    found: exp.Expr | None = None
    while node.parent is not None and not isinstance(node, exp.Query):
        parent = node.parent
        if found is None and isinstance(
            parent, (exp.And, exp.Or, exp.Where, exp.Having, exp.Join, exp.Not)
        ):
            found = node
        if isinstance(parent, (exp.Where, exp.Having, exp.Join)):
            return found
        node = parent
    return None


def _share(condition: exp.Expr) -> float:
    negated = isinstance(condition.parent, exp.Not)
    while isinstance(condition, exp.Paren):
        condition = condition.this
    if isinstance(condition, (exp.EQ, exp.Is)):
        share = EQUAL
    elif isinstance(condition, (*RANGES, exp.Between)):
        share = RANGE
    elif isinstance(condition, exp.In) and condition.expressions:
        share = min(OTHER, EQUAL * len(condition.expressions))
    else:
        return OTHER
    return 1 - share if negated else share


def conditions(analysis: Analysis, column: str, name: str) -> tuple[str, ...]:
    """Conditions on a column of `logs` alone, as SQL in which it is called `name`.

    To be counted over values of the column that are known.  A part of a condition that must hold
    as a whole (of an OR, say) isn't among them.
    """
    references = {id(r.node) for r in analysis.references if r.column == column}
    found: dict[str, None] = {}
    for reference in analysis.references:
        if reference.column != column or reference.scan.table != "logs":
            continue
        condition = _condition(reference.node)
        if condition is None or not _conjunct(condition):
            continue
        columns = list(condition.find_all(exp.Column))
        if any(id(node) not in references for node in columns) or condition.find(exp.Query):
            continue
        copy = condition.copy()
        for node in list(copy.find_all(exp.Column)):
            node.replace(exp.column(name))
        found[copy.sql(dialect="sqlite")] = None
    return tuple(f"({text})" for text in found)


def _conjunct(condition: exp.Expr) -> bool:
    """Whether a condition has to hold for a row."""
    node = condition.parent
    while isinstance(node, (exp.And, exp.Paren)):
        node = node.parent
    return isinstance(node, (exp.Where, exp.Having, exp.Join))
