"""Expressions over the columns in sight, as far as they can be told beforehand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlglot import exp

from .catalogue import fold
from .combining import combined
from .guards import guarded
from .values import (
    NULL,
    Influence,
    Truth,
    Value,
    and_,
    not_,
    or_,
    truth_of,
    unknowable,
)

if TYPE_CHECKING:
    from .context import Context

COMPARISONS: dict[type[exp.Expr], str] = {
    exp.EQ: "=", exp.NEQ: "<>", exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">=",
    exp.Is: "IS", exp.NullSafeEQ: "IS", exp.NullSafeNEQ: "IS NOT", exp.Like: "LIKE",
    exp.Glob: "GLOB",
}  # fmt: skip
LOOSE = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.Is, exp.NullSafeEQ, exp.NullSafeNEQ)
"""Comparisons that can't tell 1 from 1.0."""
ARITHMETIC: dict[type[exp.Expr], str] = {
    exp.Add: "+",
    exp.Sub: "-",
    exp.Mul: "*",
    exp.Div: "/",
    exp.Mod: "%",
}
FUNCTIONS: dict[type[exp.Expr], str] = {
    exp.Abs: "abs", exp.Coalesce: "coalesce", exp.Lower: "lower", exp.Upper: "upper",
    exp.Length: "length", exp.Nullif: "nullif", exp.Round: "round", exp.Max: "max", exp.Min: "min",
}  # fmt: skip
"""Functions of their operands only; `max` and `min` with several operands."""
RANKED = (*COMPARISONS, exp.Between, exp.In, exp.Not, exp.And, exp.Or)
QUERIES = (exp.Select, exp.SetOperation, exp.Subquery, exp.Exists)


@dataclass(frozen=True)
class Source:
    """A name in a FROM clause and its columns."""

    alias: str
    columns: Mapping[str, Value]  # in order
    find: Callable[[str], str | None] | None = None
    opaque: Influence | None = None  # its columns aren't known; this is what may change them

    def get(self, name: str) -> Value | None:
        """A column's value."""
        if self.find is not None:
            found = self.find(name)
            return self.columns.get(found) if found is not None else None
        if name in self.columns:
            return self.columns[name]
        low = fold(name)
        known = next((v for column, v in self.columns.items() if fold(column) == low), None)
        if known is None and self.opaque is not None:
            return unknowable(self.opaque)
        return known


@dataclass
class Scope:
    """What names mean at a place of the query."""

    sources: Sequence[Source]
    parent: Scope | None = None
    aliases: Mapping[str, exp.Expr] = field(default_factory=dict)
    busy: set[str] = field(default_factory=set)  # aliases that are being looked up
    subqueries: list[str] = field(default_factory=list)  # found in its expressions


class Expressions:
    """Evaluates the expressions of one scope."""

    def __init__(self, context: Context, scope: Scope) -> None:
        self.context = context
        self.scope = scope

    # -- values --------------------------------------------------------------------------------

    def value(self, node: exp.Expr) -> Value:
        """An expression."""
        if isinstance(node, exp.Paren):
            return self.value(node.this)
        if isinstance(node, exp.Column):
            return self.column(node)
        if isinstance(node, exp.Null):
            return NULL
        if isinstance(node, exp.Boolean):
            return Value("TRUE" if node.this else "FALSE")
        if isinstance(node, exp.Literal):
            text = str(node.this)
            return Value("'" + text.replace("'", "''") + "'" if node.is_string else text)
        if isinstance(node, exp.Subquery) and isinstance(node.this, exp.Query):
            return self.context.scalar(node, self.scope)
        if isinstance(node, exp.Rand) and not guarded("random"):
            return Value("random()")
        built = self._built(node)
        return built if built is not None else self.opaque(node)

    def _built(self, node: exp.Expr) -> Value | None:
        """An expression of an operator or function that is known here."""
        if isinstance(node, exp.Neg):
            return self._made("-({})", [node.this])
        for kind, sign in ARITHMETIC.items():
            if type(node) is kind and not _misread(node.this, node.expression):
                return self._made(f"({{}} {sign} {{}})", [node.this, node.expression])
        if type(node) in FUNCTIONS:
            parts = [p for p in (node.this, node.args.get("expression")) if p is not None]
            parts += node.expressions
            parts += [p for p in (node.args.get("decimals"),) if p is not None]
            extra = {"this", "expression", "expressions", "decimals"}
            if any(v for k, v in node.args.items() if k not in extra and v is not True):
                return None
            if isinstance(node, (exp.Max, exp.Min)) and len(parts) < 2:
                return None  # an aggregate
            form = f"{FUNCTIONS[type(node)]}({', '.join(['{}'] * len(parts))})"
            return self._made(form, parts)
        if isinstance(node, (*COMPARISONS, exp.Between, exp.In, exp.Not, exp.And, exp.Or)):
            return self._condition(node)
        if isinstance(node, exp.Case):
            return self._case(node)
        return None

    def _made(self, form: str, parts: Sequence[exp.Expr], loose: bool = False) -> Value:
        values = [self.value(part) for part in parts]
        if not loose and guarded("loose") and any(value.loose for value in values):
            return unknowable(*(value.influence for value in values))
        return combined(form, values)

    def _case(self, node: exp.Case) -> Value | None:
        form, parts = "CASE", []
        if node.this is not None:
            form, parts = "CASE {}", [node.this]
        for branch in node.args.get("ifs") or ():
            form += " WHEN {} THEN {}"
            parts += [branch.this, branch.args["true"]]
        if node.args.get("default") is not None:
            form += " ELSE {}"
            parts.append(node.args["default"])
        return self._made(f"({form} END)", parts)

    def _condition(self, node: exp.Expr) -> Value:
        """A condition where a value is asked for: known if all that it reads is."""
        if isinstance(node, exp.Not):
            return self._made("(NOT {})", [node.this])
        if isinstance(node, (exp.And, exp.Or)):
            word = "AND" if isinstance(node, exp.And) else "OR"
            return self._made(f"({{}} {word} {{}})", [node.this, node.expression])
        parts, form = self._comparison(node)
        equal = type(node) in LOOSE or isinstance(node, (exp.In, exp.Between))
        return self._made(form, parts, equal) if form else self.opaque(node)

    def _comparison(self, node: exp.Expr) -> tuple[list[exp.Expr], str]:
        """Operands and form of a comparison; no form: it can't be told what it means."""
        if isinstance(node, exp.Between):
            parts = [node.this, node.args["low"], node.args["high"]]
            form = "({} BETWEEN {} AND {})"
            bad = bool(node.args.get("symmetric"))
        elif isinstance(node, exp.In):
            parts = [node.this, *node.expressions]
            form = f"({{}} IN ({', '.join(['{}'] * len(node.expressions))}))"
            bad = any(v for k, v in node.args.items() if k not in ("this", "expressions"))
        else:
            parts = [node.this, node.expression]
            form = f"({{}} {COMPARISONS[type(node)]} {{}})"
            bad = any(v for k, v in node.args.items() if k not in ("this", "expression"))
        if bad or (_misread(*parts) and guarded("ranks")):
            return [], ""
        return parts, form

    def column(self, node: exp.Column) -> Value:
        """What a column expression reads."""
        scope: Scope | None = self.scope
        while scope is not None:
            found = self._in_scope(node, scope)
            if found is not None:
                return found
            scope = scope.parent
        return unknowable()

    def _in_scope(self, node: exp.Column, scope: Scope) -> Value | None:
        name, table = node.name, fold(node.table) if node.table else None
        for source in scope.sources:
            if table is None or fold(source.alias) == table:
                value = source.get(name)
                if value is not None:
                    return value
        key = fold(name)
        if table is None and key in scope.aliases and key not in scope.busy:
            scope.busy.add(key)
            try:
                return Expressions(self.context, scope).value(scope.aliases[key])
            finally:
                scope.busy.discard(key)
        return None

    def opaque(self, node: exp.Expr) -> Value:
        """An expression of which only what it reads is known."""
        return unknowable(*self._reads(node))

    def _reads(self, node: exp.Expr) -> list[Influence]:
        if isinstance(node, exp.Column):
            return [self.column(node).influence]
        if isinstance(node, QUERIES) and isinstance(
            node if isinstance(node, exp.Query) else node.this, exp.Query
        ):
            return [self.context.inside(node, self.scope)]
        return [part for child in node.iter_expressions() for part in self._reads(child)]

    # -- conditions ----------------------------------------------------------------------------

    def truth(self, node: exp.Expr) -> Truth:
        """An expression as a condition."""
        if isinstance(node, exp.Paren):
            return self.truth(node.this)
        if isinstance(node, exp.And):
            return and_(self.truth(node.this), self.truth(node.expression))
        if isinstance(node, exp.Or):
            return or_(self.truth(node.this), self.truth(node.expression))
        if isinstance(node, exp.Not):
            return not_(self.truth(node.this))
        if isinstance(node, exp.Exists):
            return self.context.exists(node, self.scope)
        if isinstance(node, exp.In) and node.args.get("query") is not None:
            if not _misread(node.this):
                return self.context.among(node, self.scope)
        if type(node) in LOOSE and not _misread(node.this, node.expression):
            told = self.context.compared(node, self.scope)
            if told is not None:
                return told
        return truth_of(self.value(node))

    def conjuncts(self, node: exp.Expr) -> list[Truth]:
        """A condition that must be true, in parts that must all be true."""
        while isinstance(node, exp.Paren):
            node = node.this
        if isinstance(node, exp.And):
            return [*self.conjuncts(node.this), *self.conjuncts(node.expression)]
        return [self.truth(node)]


def _misread(*operands: exp.Expr) -> bool:
    """Whether SQLite might rank operators otherwise than the parser did."""
    return any(isinstance(operand, RANKED) for operand in operands)
