"""Aggregates that are known: over rows that are all there for certain, with all their values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlglot import exp

from .blocks import Item, from_clause
from .expressions import Expressions
from .guards import guarded
from .values import NO, YES, Flag, Truth, Value, all_known, both, either, merged, negated

if TYPE_CHECKING:
    from .context import Context
    from .expressions import Scope
    from .joins import Frame

EXACT: dict[type[exp.Expr], str] = {exp.Max: "max", exp.Min: "min", exp.Count: "count"}
ROUNDED: dict[type[exp.Expr], str] = {exp.Sum: "sum", exp.Avg: "avg"}
"""Whose last digits depend on the order of the rows."""


@dataclass(frozen=True)
class Aggregate:
    """An aggregate function in SQL, and where what it reads of a row isn't known."""

    sql: str
    unknown: Flag
    aliases: frozenset[str]
    approximate: bool


def told(context: Context, node: exp.Expr, scope: Scope) -> Aggregate | None:
    """An aggregate that may be computed beforehand."""
    name = {**EXACT, **ROUNDED}.get(type(node))
    if name is None or isinstance(node.parent, exp.Filter) or node.expressions:
        return None
    operand, word = node.this, ""
    if isinstance(operand, exp.Star):
        return Aggregate("count(*)", NO, frozenset(), False)
    if isinstance(operand, exp.Distinct):
        if len(operand.expressions) != 1 or type(node) in ROUNDED:
            return None
        operand, word = operand.expressions[0], "DISTINCT "
    if operand is None:
        return None
    value = Expressions(context, scope).value(operand)
    if value.unknown == YES or value.approximate or (value.loose and type(node) in ROUNDED):
        return None
    return Aggregate(
        f"{name}({word}{value.sql})", value.unknown, value.aliases, type(node) in ROUNDED
    )


@dataclass
class Complete:
    """Groups of the rows of one frame, as far as all of their rows are known."""

    context: Context
    scope: Scope
    items: tuple[Item, ...]
    must: Flag
    vague: Flag  # rows of which not everything is known that decides where they belong
    keys: Sequence[Value]
    _known: dict[str, Value] = field(default_factory=dict)

    def value(self, node: exp.Expr, plain: Value) -> Value:
        """An aggregate's value, known for complete groups; `plain` is what it is without this."""
        found = told(self.context, node, self.scope)
        if found is None:
            return plain
        if found.sql not in self._known:
            self._known[found.sql] = self._lookup(found, plain)
        return self._known[found.sql]

    def _lookup(self, found: Aggregate, plain: Value) -> Value:
        inner = frozenset(item.alias for item in self.items)
        bad = either(self.vague, both(self.must, found.unknown))
        if not (self.must.aliases | bad.aliases | found.aliases) <= inner:
            return plain
        keys = [key.sql for key in self.keys]
        columns = [f"{key} AS k{i}" for i, key in enumerate(keys)]
        group = f" GROUP BY {', '.join(keys)}" if keys else ""
        # Rows that may belong to any group make all of them incomplete.
        columns += [f"{found.sql} AS a", f"max({bad.sql}) AS u"]
        source = from_clause(self.items)
        table = self.context.define(
            f"SELECT {', '.join(columns)} FROM {source} WHERE {either(self.must, bad).sql}{group}"
        )
        return plain if not table else self._read(table, found, plain)

    def _read(self, table: str, found: Aggregate, plain: Value) -> Value:
        alias = self.context.fresh("b")
        same = " AND ".join(f"{key.sql} IS {alias}.k{i}" for i, key in enumerate(self.keys))
        where = f" WHERE {same}" if same else ""
        aliases = frozenset[str]().union(*(key.aliases for key in self.keys))
        sql = f"(SELECT {alias}.a FROM {table} AS {alias}{where})"
        more = f" AND {same}" if same else ""
        unknown: Flag = Flag(
            f"EXISTS (SELECT 1 FROM {table} AS {alias} WHERE {alias}.u{more})", aliases
        )
        if self.vague == NO and found.unknown == NO:
            unknown = NO
        unknown = either(unknown, negated(all_known(self.keys)))
        loose = not found.sql.startswith("count(") and guarded("loose")
        return Value(sql, unknown, plain.influence, aliases, loose, found.approximate)


def complete(
    context: Context, frame: Frame, conditions: Sequence[Truth], keys: Sequence[Value],
    scope: Scope, frames: int,
) -> Complete | None:  # fmt: skip
    """The groups of a SELECT's only frame, if some may be complete."""
    if frames != 1 or frame.shadow or not frame.certain or not context.precise:
        return None
    if frame.distinct or not frame.items or not guarded("aggregate"):
        return None
    conditions = [*frame.conditions, *conditions]
    may, must = both(*(c.may for c in conditions)), both(*(c.must for c in conditions))
    known = all_known(keys)
    if NO in (must, known) or any(key.approximate for key in keys):
        return None
    vague = NO if may == must and known == YES else both(may, negated(both(must, known)))
    if vague != NO and keys and known != YES:
        return None  # a row without a key may belong to any group
    if any(context.new_rows(item.alias) != NO for item in frame.items if item.scan is not None):
        return None
    return Complete(context, scope, frame.items, must, vague, keys)


def fixed_scalar(context: Context, node: exp.Expr, scope: Scope) -> Value | None:
    """A scalar subquery that is one aggregate over rows that are known."""
    from .joins import frames_of

    select = node.this
    if not isinstance(select, exp.Select) or len(select.expressions) != 1:
        return None
    others = ("group", "having", "distinct", "limit", "offset", "with_", "windows", "order")
    if any(select.args.get(key) for key in others):
        return None
    aggregate = select.expressions[0].unalias()
    if type(aggregate) not in {**EXACT, **ROUNDED}:
        return None
    frames = frames_of(context, select, scope)
    inner = _scope(frames[0], scope)
    where = select.args.get("where")
    conditions = Expressions(context, inner).conjuncts(where.this) if where else []
    groups = complete(context, frames[0], conditions, (), inner, len(frames))
    found = told(context, aggregate, inner)
    if groups is None or found is None:
        return None
    items = frozenset(item.alias for item in groups.items)
    bad = either(groups.vague, both(groups.must, found.unknown))
    aliases = (groups.must.aliases | found.aliases | bad.aliases) - items
    if bad == NO and aliases:
        by_key = _by_key(context, [*frames[0].conditions, *conditions], groups.items, found)
        if by_key is not None:
            return by_key
    source = from_clause(groups.items)
    where_sql = "" if groups.must == YES else f" WHERE {groups.must.sql}"
    unknown = NO
    influence = {}
    if bad != NO:
        unknown = Flag(f"EXISTS (SELECT 1 FROM {source} WHERE {bad.sql})", aliases)
        influence = dict(context.inside(node, scope))
    outer = merged(*(c.influence for c in conditions))
    influence |= {c: f for c, f in outer.items() if c[0] not in items and c not in influence}
    sql = f"(SELECT {found.sql} FROM {source}{where_sql})"
    loose = type(aggregate) is not exp.Count and guarded("loose")
    return Value(sql, unknown, influence, aliases, loose, found.approximate)


def _by_key(
    context: Context, conditions: Sequence[Truth], items: Sequence[Item], found: Aggregate
) -> Value | None:
    """An aggregate of a correlated subquery, computed once for each value it is asked for."""
    inner = frozenset(item.alias for item in items)
    own, keys = [], []
    for condition in conditions:
        flag = condition.must
        if flag.aliases <= inner:
            own.append(flag)
            continue
        pair = flag.equal
        if pair is not None and pair[1].aliases and not pair[1].aliases & inner:
            pair = (pair[1], pair[0])
        if pair is None or pair[0].aliases & inner or not pair[1].aliases <= inner:
            return None
        keys.append(pair)
    if not found.aliases <= inner or not keys:
        return None
    columns = [f"{key.sql} AS k{i}" for i, (_, key) in enumerate(keys)]
    where = both(*own)
    table = context.define(
        f"SELECT {', '.join([*columns, f'{found.sql} AS a'])} FROM {from_clause(items)} "
        f"WHERE {where.sql} GROUP BY {', '.join(key.sql for _, key in keys)}"
    )
    alias = context.fresh("b")
    same = " AND ".join(f"{alias}.k{i} = {asked.sql}" for i, (asked, _) in enumerate(keys))
    sql = f"(SELECT {alias}.a FROM {table} AS {alias} WHERE {same})"
    if found.sql.startswith("count("):
        sql = f"coalesce({sql}, 0)"
    influence = merged(*(asked.influence for asked, _ in keys))
    aliases = frozenset[str]().union(*(asked.aliases for asked, _ in keys))
    loose = not found.sql.startswith("count(")
    return Value(sql, NO, influence, aliases, loose, found.approximate)


def _scope(frame: Frame, parent: Scope) -> Scope:
    from .expressions import Scope as Level

    return Level(frame.sources, parent)
