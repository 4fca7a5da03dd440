"""Plain queries over `logs`: `SELECT columns FROM logs [WHERE …] [ORDER BY columns] [LIMIT …]`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from sqlglot import exp

from florc.queries import Analysis, Scan, fold, view_names


@dataclass(frozen=True)
class Plain:
    """A query of that kind: columns of `logs` as (name in the answer, column)."""

    scan: Scan
    outputs: tuple[tuple[str, str], ...]
    where: exp.Expr | None
    order: tuple[tuple[str, bool], ...]  # (column, descending)
    limit: int | None
    offset: int
    column_of: Callable[[exp.Expr], str | None]


_PARTS = {"expressions", "from_", "where", "order", "limit", "offset", "kind"}


def plan(analysis: Analysis) -> Plain | None:
    """The query in this form; None if it is more than that."""
    select = analysis.tree
    if not isinstance(select, exp.Select) or len(analysis.scans) != 1:
        return None
    if any(value for key, value in select.args.items() if key not in _PARTS):
        return None
    (scan,) = analysis.scans
    source = select.args.get("from_")
    if scan.table != "logs" or source is None or source.this is not scan.node:
        return None
    if any(value for key, value in scan.node.args.items() if key not in ("this", "alias")):
        return None
    resolved = {id(reference.node): reference.column for reference in analysis.references}

    def column_of(node: exp.Expr) -> str | None:
        return resolved.get(id(node))

    outputs = _outputs(select, scan, column_of)
    order = _order(select, outputs, column_of) if outputs else None
    limit, offset = _count(select, "limit"), _count(select, "offset")
    if not outputs or order is None or limit is None or offset is None:
        return None
    where = select.args.get("where")
    return Plain(
        scan, tuple(outputs), where.this if where else None, tuple(order),
        limit if limit >= 0 else None, max(offset, 0), column_of,
    )  # fmt: skip


def _outputs(
    select: exp.Select, scan: Scan, column_of: Callable[[exp.Expr], str | None]
) -> list[tuple[str, str]] | None:
    views = view_names(scan.columns)
    outputs: list[tuple[str, str]] = []
    for projection in select.expressions:
        star = projection.this if isinstance(projection, exp.Column) else projection
        if isinstance(star, exp.Star):
            if any(value for value in star.args.values()):
                return None
            outputs += [(name, name) for name in scan.starred]
            continue
        found = column_of(projection.unalias())
        if found is None:
            return None
        if isinstance(projection, exp.Alias):
            outputs.append((projection.alias, found))
        else:  # a view's column has the view's spelling
            same = views[found] == found
            outputs.append((found if same else projection.name, found))
    return outputs


def _order(
    select: exp.Select,
    outputs: Sequence[tuple[str, str]],
    column_of: Callable[[exp.Expr], str | None],
) -> list[tuple[str, bool]] | None:
    order = select.args.get("order")
    aliases: dict[str, str | None] = {}
    for projection in select.expressions:
        if isinstance(projection, exp.Alias):
            aliases.setdefault(fold(projection.alias), column_of(projection.unalias()))
    keys = []
    for ordered in order.expressions if order else ():
        node, descending = ordered.this, bool(ordered.args.get("desc"))
        if bool(ordered.args.get("nulls_first")) == descending or ordered.args.get("with_fill"):
            return None
        found: str | None
        if isinstance(node, exp.Literal) and not node.is_string and node.name.isdigit():
            place = int(node.name)
            found = outputs[place - 1][1] if 1 <= place <= len(outputs) else None
        elif isinstance(node, exp.Column):
            found = column_of(node)
            if not node.table and fold(node.name) in aliases:
                found = aliases[fold(node.name)]  # an output's name goes first
        else:
            found = None
        if found is None:
            return None
        keys.append((found, descending))
    return keys


def _count(select: exp.Select, part: str) -> int | None:
    """The number in LIMIT or OFFSET; -1 without one, None if it is an expression."""
    clause = select.args.get(part)
    if clause is None:
        return -1
    node = clause.expression
    if clause.args.get("expressions") or not isinstance(node, exp.Literal) or node.is_string:
        return None
    return int(node.name) if node.name.isdigit() and len(node.name) < 18 else None


def conjuncts_of(condition: exp.Expr | None) -> Iterator[exp.Expr]:
    """What all has to hold."""
    if isinstance(condition, exp.Paren):
        yield from conjuncts_of(condition.this)
    elif isinstance(condition, exp.And):
        yield from conjuncts_of(condition.this)
        yield from conjuncts_of(condition.expression)
    elif condition is not None:
        yield condition
