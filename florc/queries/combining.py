"""Values made from values: what of them is known, and what their comparison says."""

from __future__ import annotations

from collections.abc import Sequence

from .guards import guarded
from .values import NO, YES, Cell, Flag, Truth, Value, either, merged, truth_of, unknowable

EQUAL = "({} = {})"
TWO_SIDED = {f"({{}} {sign} {{}})" for sign in ("=", "<>", "<", "<=", ">", ">=")}
ROUNDING = {"({} + {})", "({} - {})", "({} * {})", "-({})"}
STRICT = {f"({{}} {sign} {{}})" for sign in ("=", "<>", "<", "<=", ">", ">=", "+", "-", "*")}
"""What is NULL where a side is."""


def combined(form: str, values: Sequence[Value]) -> Value:
    """A value made from others."""
    influence = merged(*(value.influence for value in values))
    unknown = either(*(value.unknown for value in values))
    if unknown == YES and guarded("unknown-leaf"):
        return unknowable(influence)
    aliases = frozenset[str]().union(*(value.aliases for value in values))
    vague = any(value.approximate for value in values)
    if vague and form in TWO_SIDED:
        one, other = (value.sql for value in values)
        near = f"(coalesce(abs({one} - {other}) <= 1e-9 * (abs({one}) + abs({other})), 0))"
        unknown = either(unknown, Flag(near, aliases)) if guarded("digits") else unknown
    elif vague and form not in ROUNDING:
        return unknowable(influence)
    nulls = [value.sql == "NULL" and value.unknown == NO for value in values]
    if form == "({} IS {})" and all(nulls):
        return Value("1", influence=influence)
    if form in STRICT and any(nulls):
        return Value("NULL", influence=influence)
    if form == EQUAL and unknown == NO:
        pair = (values[0], values[1])
        return Value(form.format(*(v.sql for v in values)), NO, influence, aliases, equal=pair)
    sql = form.format(*(value.sql for value in values))
    return Value(sql, unknown, influence, aliases, approximate=vague and form in ROUNDING)


def comparison(sign: str, one: Value, other: Value) -> Truth:
    """A comparison of two values."""
    return truth_of(combined(f"({{}} {sign} {{}})", (one, other)))


def column_value(cell: Cell, shown: str, unknown: Flag, hindsight: bool, kind: str = "") -> Value:
    """A column of an item, by the name that it has there."""
    name = '"' + shown.replace('"', '""') + '"'
    influence = {cell: unknown} if hindsight and unknown != NO else {}
    return Value(f"{cell[0]}.{name}", unknown, influence, frozenset((cell[0],)), kind=kind)


def known_null_or(one: Value) -> Flag:
    """Whether a value may be NULL."""
    if one.kind in ("run", "runs.run"):
        return one.unknown
    return either(one.unknown, Flag(f"({one.sql} IS NULL)", one.aliases))
