"""WHERE and ORDER BY on whole columns, by SQLite's rules.

Values compare by class first: NULL with nothing, then numbers, then text.  Text compares byte by
byte.  Where SQLite would convert a type, or an exact comparison of an integer with a float
isn't certain, `Unsupported` leaves the query to SQLite.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from sqlglot import exp

from .column import Column

Operand = Callable[[exp.Expr], Column | None]
Affinity = Callable[[exp.Expr], str]  # "integer", "text" or ""
Truth = tuple[Any, Any]  # masks: true, unknown

_EXACT = 1 << 53
_OPERATORS: dict[Any, Callable[[Any, Any], Any]] = {
    exp.EQ: operator.eq, exp.NEQ: operator.ne, exp.LT: operator.lt, exp.LTE: operator.le,
    exp.GT: operator.gt, exp.GTE: operator.ge,
}  # fmt: skip
_MIRRORED: dict[Any, Any] = {
    exp.EQ: exp.EQ, exp.NEQ: exp.NEQ, exp.LT: exp.GT, exp.LTE: exp.GTE, exp.GT: exp.LT,
    exp.GTE: exp.LTE,
}  # fmt: skip


class Unsupported(Exception):
    """SQLite has to decide."""


def true(condition: exp.Expr, operand: Operand, affinity: Affinity) -> Any:
    """Where the condition holds: a mask.  Raises Unsupported."""
    return _Evaluator(operand, affinity).truth(condition)[0]


class _Evaluator:
    def __init__(self, operand: Operand, affinity: Affinity) -> None:
        self.operand = operand
        self.affinity = affinity

    def truth(self, node: exp.Expr) -> Truth:
        """(true, unknown) of a condition."""
        if isinstance(node, exp.Paren):
            return self.truth(node.this)
        if isinstance(node, exp.And):
            left, right = self.truth(node.this), self.truth(node.expression)
            false = (~left[0] & ~left[1]) | (~right[0] & ~right[1])
            both = left[0] & right[0]
            return both, ~both & ~false
        if isinstance(node, exp.Or):
            left, right = self.truth(node.this), self.truth(node.expression)
            either = left[0] | right[0]
            return either, ~either & (left[1] | right[1])
        if isinstance(node, exp.Not):
            held, unknown = self.truth(node.this)
            return ~held & ~unknown, unknown
        if isinstance(node, exp.Is):
            return self._is_null(node)
        if isinstance(node, exp.Between):
            if node.args.get("symmetric"):
                raise Unsupported
            low = self._compare(exp.GTE, node.this, node.args["low"])
            high = self._compare(exp.LTE, node.this, node.args["high"])
            held = low[0] & high[0]
            false = (~low[0] & ~low[1]) | (~high[0] & ~high[1])
            return held, ~held & ~false
        if isinstance(node, exp.In):
            return self._in(node)
        if type(node) in _OPERATORS:
            return self._compare(type(node), node.this, node.expression)
        raise Unsupported

    def _column(self, node: exp.Expr) -> Column:
        found = self.operand(node)
        if found is None:
            raise Unsupported
        return found

    def _is_null(self, node: exp.Is) -> Truth:
        if not isinstance(node.expression, exp.Null):
            raise Unsupported
        null = self._column(node.this).null
        return null, np.zeros(len(null), dtype=bool)

    def _in(self, node: exp.In) -> Truth:
        listed = node.args.get("expressions")
        if not listed or any(node.args.get(part) for part in ("query", "unnest", "field")):
            raise Unsupported
        found = [self._compare(exp.EQ, node.this, item) for item in listed]
        held, unknown = found[0]
        for other in found[1:]:
            held = held | other[0]
            unknown = unknown | other[1]
        return held, unknown & ~held

    def _compare(self, kind: Any, left: exp.Expr, right: exp.Expr) -> Truth:
        if self.operand(left) is None and self.operand(right) is not None:
            kind, left, right = _MIRRORED[kind], right, left
        values = self._column(left)
        null = values.null
        other = self.operand(right)
        if other is not None:
            return self._columns(kind, values, other, null | other.null)
        literal = _literal(right)
        if literal is None:
            return np.zeros(len(null), dtype=bool), np.ones(len(null), dtype=bool)
        affinity = self.affinity(left)
        if affinity and (affinity == "text") != isinstance(literal, str):
            raise Unsupported
        return _against(_OPERATORS[kind], values, literal, null), null

    def _columns(self, kind: Any, left: Column, right: Column, null: Any) -> Truth:
        if left.form == "o" or right.form == "o":
            raise Unsupported
        if left.form != right.form:
            _exact(left)
            _exact(right)
        return _OPERATORS[kind](left.data, right.data) & ~null, null


def _literal(node: exp.Expr) -> Any:
    """A number or text; None for NULL."""
    if isinstance(node, exp.Paren):
        return _literal(node.this)
    if isinstance(node, exp.Null):
        return None
    if isinstance(node, exp.Neg):
        number = _literal(node.this)
        if isinstance(number, (int, float)):
            return -number
        raise Unsupported
    if not isinstance(node, exp.Literal):
        raise Unsupported
    if node.is_string:
        return node.name
    try:
        number = int(node.name) if node.name.isdigit() else float(node.name)
    except ValueError:
        raise Unsupported from None
    if isinstance(number, int) and number >= _EXACT:
        raise Unsupported
    return number


def _exact(values: Column) -> None:
    """Refuse integers that a float can't hold."""
    if values.form == "i" and len(values):
        if int(values.data.max()) >= _EXACT or int(values.data.min()) <= -_EXACT:
            raise Unsupported


def _against(compare: Callable[[Any, Any], Any], values: Column, literal: Any, null: Any) -> Any:
    if values.form == "o":
        result = np.zeros(len(values), dtype=bool)
        index = np.flatnonzero(~null)
        rank = (isinstance(literal, str), literal)
        result[index] = [_by_class(compare, v, rank) for v in values.data[index].tolist()]
        return result
    if isinstance(literal, str):  # a number is less than any text
        return np.full(len(values), bool(compare(0, 1))) & ~null
    if isinstance(literal, float):
        _exact(values)
    return compare(values.data, literal) & ~null


def _by_class(compare: Callable[[Any, Any], Any], value: Any, rank: tuple[bool, Any]) -> bool:
    text = isinstance(value, str)
    if text != rank[0]:
        return bool(compare(text, rank[0]))
    return bool(compare(value, rank[1]))


def sort_key(values: Column, descending: bool) -> tuple[Any, Any]:
    """Two arrays to sort by, one after the other: NULL first, then the values."""
    null = values.null
    if values.form == "o":
        data = values.data[~null].tolist()  # numbers before text
        ordered = sorted(set(data), key=lambda value: (isinstance(value, str), value))
        ranks = {value: rank for rank, value in enumerate(ordered)}
        key = np.zeros(len(values), dtype=np.int64)
        key[~null] = [ranks[value] for value in data]
    else:
        key = np.where(null, 0, values.data)
        if values.form == "i":
            key = key.astype(np.int64)
            if descending and len(key) and int(key.min()) == np.iinfo(np.int64).min:
                raise Unsupported
    return (null, -key) if descending else (~null, key)
