"""From a query to the rows whose hindsight columns can matter to its answer.

For each scan of `logs` the conditions that every row of any influence must meet are kept as far as
they speak of recorded columns; all others are dropped.  The result is always a superset: a row
that fails what is kept can't change the answer, whatever values its hindsight columns have.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from sqlglot import exp

from .analyse import Analysis, Scan
from .parse import DIALECT

# Expressions whose value depends on nothing but their operands, and whose reading doesn't depend
# on how SQLite and sqlglot rank operators.
_VALUES = (
    exp.Column,
    exp.Literal,
    exp.Null,
    exp.Boolean,
    exp.Neg,
    exp.Add,
    exp.Sub,
    exp.Mul,
    exp.Div,
    exp.Paren,
    exp.Abs,
    exp.Coalesce,
    exp.Lower,
    exp.Upper,
    exp.Length,
    exp.Identifier,
)
_COMPARISONS = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.Is, exp.Like, exp.Glob)


@dataclass(frozen=True)
class ScanFilter:
    """What one scan of `logs` needs: hindsight columns, for the rows that satisfy `where`."""

    scan: Scan
    names: tuple[str, ...]
    where: str | None  # SQL over the scan's own columns, canonical names, quoted; None: all rows


def derive_filter(analysis: Analysis, hindsight: Collection[str]) -> tuple[ScanFilter, ...]:
    """The filters of the scans that read a column in `hindsight`; columns by canonical name."""
    filters = []
    for scan in analysis.scans:
        names = tuple(column for column in scan.columns if column in hindsight)
        if scan.table != "logs" or not names:
            continue
        kept = []
        for condition in _conditions(scan):
            weaker = _weaken(condition, _Recorded(analysis, scan, hindsight))
            if weaker is not None:
                kept.append(f"({weaker})")
        filters.append(ScanFilter(scan, names, " AND ".join(kept) or None))
    return tuple(filters)


def _conditions(scan: Scan) -> Iterator[exp.Expression]:
    """Conditions of the scan's SELECT without which none of its rows gets anywhere."""
    select = scan.select
    start = select.args.get("from_")
    joins: list[exp.Join] = list(select.args.get("joins") or ())
    tables = [start.this if start else None, *(join.this for join in joins)]
    place = next((i for i, table in enumerate(tables) if table is scan.node), None)
    if place is None:  # nested in parentheses: no telling what they do
        return
    where = select.args.get("where")
    if where is not None and not _may_be_null(place, joins):
        yield where.this
    for i, join in enumerate(joins):
        condition, right = join.args.get("on"), i + 1
        if condition is None or join.method == "NATURAL":
            continue
        if join.side == "LEFT":
            usable = place == right
        elif join.side == "RIGHT":
            usable = place < right and not _may_be_null(place, joins[:i])
        elif join.side == "FULL":
            usable = False
        else:
            usable = place <= right and not _may_be_null(place, joins[:right])
        if usable:
            yield condition


def _may_be_null(place: int, joins: list[exp.Join]) -> bool:
    """Whether an outer join may put NULLs for the rows of the table at `place`."""
    if 0 < place <= len(joins) and joins[place - 1].side in ("LEFT", "FULL"):
        return True
    return any(join.side in ("RIGHT", "FULL") for join in joins[place:])


@dataclass(frozen=True)
class _Recorded:
    """Renders expressions that speak only of a scan's recorded columns."""

    analysis: Analysis
    scan: Scan
    hindsight: Collection[str]

    def render(self, expression: exp.Expression) -> str | None:
        """SQL of `expression`, or None if it says anything else."""
        if not _is_plain(expression):
            return None
        columns = {}
        for node in expression.find_all(exp.Column):
            reference = self.analysis.reference(node)
            if reference is None or reference.scan is not self.scan:
                return None
            if reference.column in self.hindsight:
                return None
            columns[id(node)] = reference.column

        def bare(node: exp.Expression) -> exp.Expression:
            if isinstance(node, exp.Column):
                return exp.column(exp.to_identifier(names.pop(0), quoted=True))
            return node

        names = [columns[id(node)] for node in _in_order(expression)]
        return expression.copy().transform(bare, copy=False).sql(dialect=DIALECT)


def _in_order(expression: exp.Expression) -> list[exp.Column]:
    return [node for node in expression.walk(bfs=False) if isinstance(node, exp.Column)]


def _weaken(condition: exp.Expression, recorded: _Recorded) -> str | None:
    """SQL that is true wherever `condition` is true; None is "always true"."""
    if isinstance(condition, exp.Paren):
        return _weaken(condition.this, recorded)
    if isinstance(condition, exp.And):
        sides = (_weaken(condition.this, recorded), _weaken(condition.expression, recorded))
        parts = [part for part in sides if part]
        if len(parts) == 2:
            return f"({parts[0]}) AND ({parts[1]})"
        return parts[0] if parts else None
    if isinstance(condition, exp.Or):
        left, right = (
            _weaken(condition.this, recorded),
            _weaken(condition.expression, recorded),
        )
        return f"({left}) OR ({right})" if left and right else None
    return recorded.render(condition)


def _is_plain(expression: exp.Expression) -> bool:
    """Whether a condition is made of comparisons, NOT, AND, OR over values, nothing else."""
    if isinstance(expression, exp.Paren):
        return _is_plain(expression.this)
    if isinstance(expression, exp.Not):
        inner = expression.this
        # `a NOT IN (…)`, `a IS NOT NULL` and the like are parsed as NOT of the positive form.
        return _is_plain(inner)
    if isinstance(expression, (exp.And, exp.Or)):
        return _is_plain(expression.this) and _is_plain(expression.expression)
    if isinstance(expression, _COMPARISONS):
        return _is_value(expression.this) and _is_value(expression.expression)
    if isinstance(expression, exp.Between):
        parts = (expression.this, expression.args["low"], expression.args["high"])
        return not expression.args.get("symmetric") and all(map(_is_value, parts))
    if isinstance(expression, exp.In):
        others = {key for key, value in expression.args.items() if value}
        return others <= {"this", "expressions"} and all(
            map(_is_value, (expression.this, *expression.expressions))
        )
    return _is_value(expression)


def _is_value(expression: exp.Expression) -> bool:
    if isinstance(expression, exp.Paren):
        return _is_plain(expression.this)
    if not isinstance(expression, _VALUES) or isinstance(expression, exp.Identifier):
        return False
    if isinstance(expression, (exp.Column, exp.Literal, exp.Null, exp.Boolean)):
        return True
    return all(_is_value(child) for child in expression.iter_expressions())
