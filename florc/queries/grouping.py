"""Aggregates: a group is covered by its rows, by its keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sqlglot import exp

from .blocks import TooComplex, from_clause
from .expressions import Expressions, Scope
from .guards import guarded
from .values import NO, Flag, Value, all_known, both, either, limited, negated, unknowable

if TYPE_CHECKING:
    from .blocks import Item
    from .context import Context
    from .fixed import Complete
    from .joins import Frame
    from .values import Truth

NAMED = {
    "total", "group_concat", "string_agg", "json_group_array", "json_group_object",
    "jsonb_group_array", "jsonb_group_object", "median", "percentile", "percentile_cont",
    "percentile_disc",
}  # fmt: skip
SCALAR = {
    "abs", "char", "coalesce", "concat", "concat_ws", "format", "glob", "hex", "ifnull", "iif",
    "instr", "length", "like", "likelihood", "likely", "lower", "ltrim", "max", "min", "nullif",
    "octet_length", "printf", "quote", "random", "randomblob", "replace", "round", "rtrim", "sign",
    "soundex", "sqlite_version", "substr", "substring", "trim", "typeof", "unhex", "unicode",
    "unlikely", "upper", "zeroblob", "date", "time", "datetime", "julianday", "unixepoch",
    "strftime", "timediff", "acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "ceil",
    "ceiling", "cos", "cosh", "degrees", "exp", "floor", "ln", "log", "log10", "log2", "mod", "pi",
    "pow", "power", "radians", "sin", "sinh", "sqrt", "tan", "tanh", "trunc", "json", "json_array",
    "json_array_length", "json_extract", "json_object", "json_type", "json_valid", "json_quote",
    "json_each", "json_tree", "json_patch", "json_remove", "json_set", "json_insert",
    "json_replace", "json_error_position", "json_pretty",
}  # fmt: skip


def aggregates(nodes: Sequence[exp.Expr]) -> list[exp.Expr]:
    """The aggregate functions of some expressions themselves."""
    return [found for node in nodes for found in _aggregates(node)]


def _aggregates(node: exp.Expr) -> list[exp.Expr]:
    if isinstance(node, (exp.Query, exp.Subquery, exp.Exists)):
        return []
    found: list[exp.Expr] = []
    if isinstance(node, exp.Window):
        below = list(node.this.iter_expressions()) + [
            child for child in node.iter_expressions() if child is not node.this
        ]
    else:
        below = list(node.iter_expressions())
        if is_aggregate(node):
            found.append(node)
    for child in below:
        found += _aggregates(child)
    return found


def is_aggregate(node: exp.Expr) -> bool:
    """Whether an expression is an aggregate function.  Raises TooComplex if that can't be told."""
    if isinstance(node, (exp.Max, exp.Min)) and node.expressions:
        return False
    if isinstance(node, exp.AggFunc):
        return True
    if isinstance(node, exp.Anonymous):
        name = str(node.this).lower()
        if name in NAMED:
            return True
        if name not in SCALAR:
            raise TooComplex
    return False


@dataclass
class Keys:
    """GROUP BY's expressions."""

    nodes: list[exp.Expr]
    values: list[Value]

    def find(self, node: exp.Expr, value: Value | None) -> Value | None:
        """The key that an expression is."""
        for key, one in zip(self.nodes, self.values):
            same = isinstance(node, exp.Column) and value is not None and value.sql == one.sql
            if (same and one.sql != "NULL") or key == node:
                return replace(one, loose=guarded("loose"))
        return None


class GroupExpressions(Expressions):
    """Expressions over groups."""

    def __init__(
        self, context: Context, scope: Scope, keys: Keys, bare: Flag | None,
        groups: Complete | None,
    ) -> None:  # fmt: skip
        super().__init__(context, scope)
        self.groups = groups
        self.keys = keys
        self.bare = bare  # where a bare column may come from; None: anywhere

    def value(self, node: exp.Expr) -> Value:
        """An expression over a group."""
        if isinstance(node, exp.Paren):
            return self.value(node.this)
        if isinstance(node, exp.Column):
            return self.column(node)
        known = self.keys.find(node, None)
        if known is not None and not isinstance(node, exp.Literal):
            return known
        if is_aggregate(node):
            plain = Expressions(self.context, self.scope).opaque(node)
            if not guarded("aggregate") and node.this is not None:
                if isinstance(node.this, exp.Column):
                    return Expressions(self.context, self.scope).value(node.this)
            return self.groups.value(node, plain) if self.groups is not None else plain
        return super().value(node)

    def column(self, node: exp.Column) -> Value:
        """A key, or a bare column: of some row of the group."""
        value = super().column(node)
        if not self._here(node):
            return value
        known = self.keys.find(node, value)
        if known is not None:
            return known
        if not guarded("bare"):
            return value
        influence = value.influence if self.bare is None else limited(value.influence, self.bare)
        return unknowable(influence)

    def opaque(self, node: exp.Expr) -> Value:
        """What is around an aggregate reads rows as it does."""
        if aggregates([node]):
            return Expressions(self.context, self.scope).opaque(node)
        return super().opaque(node)

    def _here(self, node: exp.Column) -> bool:
        home = self.context.analysis.homes.get(id(node))
        own = node.parent_select
        return home is None or own is None or home is own


def argument_row(
    context: Context, frame: Frame, conditions: Sequence[Truth], keys: Keys,
    found: Sequence[exp.Expr], scope: Scope,
) -> Flag | None:  # fmt: skip
    """Where the row of the one MIN or MAX may be, that bare columns come from.

    Only rows that aren't worse than the best one of their group that is there for certain.
    """
    if (len(found) != 1 and guarded("argument-alone")) or not found:
        return None
    node = found[0]
    if not isinstance(node, (exp.Max, exp.Min)) or isinstance(node.parent, exp.Filter):
        return None
    if frame.shadow or not frame.certain:
        return None
    if not frame.items or not context.precise:
        return None
    argument = Expressions(context, scope).value(node.this)
    must = both(*(c.must for c in (*frame.conditions, *conditions)))
    usable = both(must, argument.known, all_known(keys.values))
    if usable == NO or _outer(usable, frame.items) or argument.loose:
        return None
    name = "max" if isinstance(node, exp.Max) else "min"
    columns = [f"{key.sql} AS k{i}" for i, key in enumerate(keys.values)]
    group = f" GROUP BY {', '.join(key.sql for key in keys.values)}" if columns else ""
    columns.append(f"{name}({argument.sql}) AS m")
    table = context.define(
        f"SELECT {', '.join(columns)} FROM {from_clause(frame.items)} WHERE {usable.sql}{group}"
    )
    alias = context.fresh("b")
    sign = ("<" if name == "max" else ">") + ("" if guarded("argument") else "=")
    worse = (
        f"({argument.sql} {sign} {alias}.m OR ({argument.sql} IS NULL AND {alias}.m IS NOT NULL))"
    )
    same = [f"{key.sql} IS {alias}.k{i}" for i, key in enumerate(keys.values)]
    sql = f"EXISTS (SELECT 1 FROM {table} AS {alias} WHERE {' AND '.join([*same, worse])})"
    aliases = argument.aliases.union(*(key.aliases for key in keys.values))
    unknown = either(argument.unknown, negated(all_known(keys.values)))
    return either(unknown, negated(Flag(sql, aliases)))


def _outer(flag: Flag, items: Sequence[Item]) -> bool:
    """Whether a flag speaks of rows outside."""
    return bool(flag.aliases - {item.alias for item in items})
