"""Subqueries in expressions: EXISTS, IN, comparisons with a scalar subquery.

What is inside is known by a name, "#1" and so on, in the influence of the condition outside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from sqlglot import exp

from .blocks import Relation, TooComplex, rows_of, with_conditions
from .combining import comparison, known_null_or
from .expressions import COMPARISONS, Expressions, Scope
from .fixed import fixed_scalar
from .guards import guarded
from .semijoin import some
from .values import (
    NO,
    YES,
    Cell,
    Flag,
    Influence,
    Truth,
    Value,
    both,
    either,
    merged,
    negated,
    truth_of,
    unknowable,
)

if TYPE_CHECKING:
    from .context import Context


def _query(node: exp.Expr) -> exp.Expr:
    while isinstance(node, (exp.Subquery, exp.Exists)) and isinstance(
        node.this, (exp.Query, exp.Subquery)
    ):
        if isinstance(node, exp.Subquery) and _decorated(node):
            break
        node = node.this
    return node


def _decorated(node: exp.Subquery) -> bool:
    return any(node.args.get(key) for key in ("limit", "offset", "order", "with_", "joins"))


def _relation(context: Context, node: exp.Expr, scope: Scope) -> Relation:
    from .relations import relation

    return relation(context, _query(node), scope)


def _note(
    context: Context, scope: Scope, blocks: Relation, extra: Sequence[Value] = (), *,
    outputs: bool, early: bool = False,
) -> dict[Cell, Flag]:  # fmt: skip
    """Remember a subquery; its influence outside.

    `outputs`: what it gives matters, not only whether it gives anything.
    """
    name = context.fresh("#")
    context.relations[name] = tuple(
        replace(block, outputs=() if not outputs else block.outputs) for block in blocks
    )
    if early:
        context.early.add(name)
    found: dict[Cell, Flag] = {(name, ""): YES}
    for block in blocks:
        inner = {item.alias for item in block.items}
        parts: list[Influence] = [block.gates()]
        if outputs:
            parts += [value.influence for _, value in block.outputs]
        for alias, column in merged(*parts):
            if alias not in inner and not alias.startswith("#") and guarded("correlated"):
                found[alias, column] = YES
    for cell, flag in merged(*(value.influence for value in extra)).items():
        found[cell] = either(found.get(cell, NO), flag)
    return found


def _some(context: Context, blocks: Relation) -> Flag:
    """Whether a relation may have a row."""
    if not context.precise:
        return YES
    return either(*(some(b.items, [c.may for c in b.conditions]) for b in rows_of(blocks)))


def _surely(context: Context, blocks: Relation) -> Flag:
    """Whether a relation has a row for certain."""
    if not context.precise:
        return NO
    if not guarded("exists-certain"):
        return _some(context, blocks)
    return either(
        *(some(b.items, [c.must for c in b.conditions]) for b in rows_of(blocks) if b.certain)
    )


def inside(context: Context, node: exp.Expr, scope: Scope) -> Influence:
    """What may change anything that a subquery gives."""
    return _note(context, scope, _relation(context, node, scope), outputs=True)


def exists(context: Context, node: exp.Exists, scope: Scope) -> Truth:
    """EXISTS (SELECT …)."""
    blocks = _relation(context, node, scope)
    may, must = _some(context, blocks), _surely(context, blocks)
    influence = _note(context, scope, blocks, outputs=False, early=True)
    return _decided(Truth(may, negated(must), must, negated(may), influence))


def _decided(truth: Truth) -> Truth:
    """A truth whose influence ends where it is decided."""
    undecided = negated(either(truth.must, truth.must_not))
    open_ = negated(truth.must)  # a row inside that matters shows by itself that it may be true
    influence = {
        cell: both(flag, open_ if cell[0].startswith("#") else undecided)
        for cell, flag in truth.influence.items()
    }
    return replace(truth, influence={c: f for c, f in influence.items() if f != NO})


def among(context: Context, node: exp.In, scope: Scope) -> Truth:
    """x IN (SELECT …)."""
    blocks = _relation(context, node.args["query"], scope)
    left = Expressions(context, scope).value(node.this)
    if isinstance(node.this, exp.Tuple) or any(len(b.outputs) != 1 for b in blocks):
        return truth_of(unknowable(left.influence, inside(context, node.args["query"], scope)))
    equal, null, relevant = [], [], []
    for block in blocks:
        same = comparison("=", left, block.outputs[0][1])
        equal.append(with_conditions(block, [same]))
        relevant.append(equal[-1])
        for flag in (known_null_or(left), known_null_or(block.outputs[0][1])):
            if flag != NO:
                empty = with_conditions(block, [Truth(flag, NO, NO, NO, same.influence)])
                null.append(empty)
                relevant += [empty] if guarded("in-null") else []
    may, must = _some(context, tuple(equal)), _surely(context, tuple(equal))
    perhaps = either(may, _some(context, tuple(null)))
    if not guarded("in-null"):
        perhaps = may
    influence = _note(context, scope, tuple(relevant), [left], outputs=True, early=True)
    return _decided(Truth(may, negated(must), must, negated(perhaps), influence))


def compared(context: Context, node: exp.Expr, scope: Scope) -> Truth | None:
    """A comparison with a scalar subquery: true only for a row that the subquery may give."""
    sides = (node.this, node.expression)
    nested = [isinstance(s, exp.Subquery) and isinstance(s.this, exp.Query) for s in sides]
    if nested.count(True) != 1:
        return None
    side = nested.index(True)
    if fixed_scalar(context, sides[side], scope) is not None:
        return None
    blocks = _relation(context, sides[side], scope)
    other = Expressions(context, scope).value(sides[1 - side])
    if any(len(block.outputs) != 1 for block in blocks):
        return None
    sign = COMPARISONS[type(node)]
    found = []
    for block in blocks:
        pair = (other, block.outputs[0][1]) if side else (block.outputs[0][1], other)
        found.append(with_conditions(block, [comparison(sign, *pair)]))
    may = _some(context, tuple(found))
    if sign in ("IS", "IS NOT"):
        may = YES  # an empty subquery is NULL
    influence = _note(context, scope, blocks, [other], outputs=True)
    return Truth(may, YES, NO, NO, influence)


def scalar(context: Context, node: exp.Subquery, scope: Scope) -> Value:
    """A scalar subquery: known if nothing in it is unknown."""
    known = fixed_scalar(context, node, scope)
    if known is not None:
        return known
    try:
        return unknowable(inside(context, node, scope))
    except TooComplex:
        raise


__all__ = ["among", "compared", "exists", "inside", "scalar"]
