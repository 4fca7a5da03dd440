"""FROM clauses: tables, derived tables and joins, as blocks whose outputs are named by source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from sqlglot import exp

from .blocks import LIMIT, Block, Item, TooComplex
from .catalogue import fold
from .combining import comparison
from .expressions import Expressions, Scope, Source
from .guards import guarded
from .values import NO, NULL, YES, Influence, Truth, Value, merged

if TYPE_CHECKING:
    from .context import Context


@dataclass(frozen=True)
class Frame:
    """A block under construction: its columns go by sources."""

    sources: tuple[Source, ...] = ()
    items: tuple[Item, ...] = ()
    conditions: tuple[Truth, ...] = ()
    seal: Influence = field(default_factory=dict)
    active: frozenset[str] = frozenset()
    shadow: bool = False
    certain: bool = True
    distinct: bool = False
    early: bool = False


Frames = tuple[Frame, ...]


def frames_of(context: Context, select: exp.Select, parent: Scope | None) -> Frames:
    """The FROM clause of a SELECT."""
    start = select.args.get("from_")
    if start is None:
        return (Frame(),)
    frames = _table(context, start.this, Scope((), parent))
    for join in select.args.get("joins") or ():
        frames = _join(context, frames, join, parent)
    return frames


def _table(
    context: Context, node: exp.Expr, left: Scope, *, nested: Sequence[exp.Join] | None = None
) -> Frames:
    """One table, derived table or parenthesised join."""
    if nested is None:
        nested = node.args.get("joins") or ()
    if nested:
        frames = _table(context, node, left, nested=())
        for join in nested:
            frames = _join(context, frames, join, left.parent)
        return frames
    if isinstance(node, exp.Table):
        scan = context.scan_of(node)
        if scan is not None:
            return (_scan(context, scan.node),)
        if not isinstance(node.this, exp.Identifier):
            return (_function(context, node, left),)
        from .relations import named

        return _derived(context, named(context, node), node.alias or node.name, node)
    if isinstance(node, exp.Subquery):
        if isinstance(node.this, exp.Table) and not node.alias:
            return _table(context, node.this, left)
        if isinstance(node.this, exp.Query):
            from .relations import relation

            return _derived(context, relation(context, node.this, left.parent), node.alias, node)
    if isinstance(node, exp.Values):
        return (_values(node),)
    raise TooComplex


def _scan(context: Context, node: exp.Table) -> Frame:
    scan = context.scan_of(node)
    assert scan is not None
    if scan.table in ("records", "iterations", "loops"):
        names = context.analysis.catalogue.tables[scan.table]
        unknown = {name: Value("NULL", YES) for name in names}
        return Frame((Source(scan.alias, unknown),), certain=False)
    item, source = context.use(scan)
    return Frame((source,), (item,), active=frozenset((item.alias,)))


def _values(node: exp.Values) -> Frame:
    width = max((len(row.expressions) for row in node.expressions), default=0)
    names = list(node.alias_column_names) or [f"column{i + 1}" for i in range(width)]
    columns = {name: Value("NULL", YES) for name in names}
    return Frame((Source(node.alias, columns),), certain=False)


def _function(context: Context, node: exp.Table, left: Scope) -> Frame:
    """A table-valued function: its rows may be anything, and change with what it is given."""
    reads = Expressions(context, left).opaque(node.this).influence
    never = Truth(YES, YES, NO, NO, reads)
    source = Source(node.alias or node.name, {}, opaque=reads)
    return Frame((source,), conditions=(never,), certain=False)


def _derived(context: Context, blocks: Sequence[Block], alias: str, node: exp.Expr) -> Frames:
    names = node.alias_column_names if isinstance(node, (exp.Table, exp.Subquery)) else []
    frames = []
    for block in blocks:
        columns: dict[str, Value] = {}
        for i, (name, value) in enumerate(block.outputs):
            columns.setdefault(names[i] if i < len(names) else name, value)
        frames.append(
            Frame(
                (Source(alias, columns),), block.items, block.conditions, block.seal,
                block.active, block.shadow, block.certain, block.distinct, block.early,
            )
        )  # fmt: skip
    return tuple(frames)


# -- joins -----------------------------------------------------------------------------------------


def _join(context: Context, frames: Frames, join: exp.Join, parent: Scope | None) -> Frames:
    kinds = {"", "INNER", "CROSS", "OUTER"}
    if join.kind not in kinds or join.side not in ("", "LEFT", "RIGHT", "FULL"):
        raise TooComplex
    found: list[Frame] = []
    rights: list[tuple[Frame, Frame]] = []
    for left in frames:
        inner = Scope(left.sources, parent)
        pairs = [(left, right) for right in _table(context, join.this, inner)]
        rights += pairs
    left_kept = join.side in ("LEFT", "FULL")
    right_kept = join.side in ("RIGHT", "FULL")
    for left, right in rights:
        if left.shadow and right.shadow:
            continue
        matched = _product(context, left, right, join, parent)
        found.append(matched)
        if guarded("ghost"):
            if left_kept and _moves(context, left, right, matched):
                found.append(_ghost(matched, len(left.sources), right=True))
            if right_kept and _moves(context, right, left, matched):
                found.append(_ghost(matched, len(left.sources), right=False))
    if guarded("padded"):
        if left_kept and rights:
            for left in frames:
                example = next(right for other, right in rights if other is left)
                found.append(_padded(left, _nulls(example.sources), after=True))
        if right_kept and rights:
            for right in {id(r): r for le, r in rights if le is frames[0]}.values():
                found.append(_padded(right, _nulls(frames[0].sources), after=False))
    if len(found) > LIMIT:
        raise TooComplex
    return tuple(found)


def _product(
    context: Context, left: Frame, right: Frame, join: exp.Join, parent: Scope | None
) -> Frame:
    sources = (*left.sources, *right.sources)
    conditions = []
    names = [identifier.name for identifier in join.args.get("using") or ()]
    if join.method == "NATURAL":
        names = _common(left.sources, right.sources)
    elif join.method:
        raise TooComplex
    if names and join.side in ("RIGHT", "FULL"):
        raise TooComplex
    for name in names:
        one, other = _first(left.sources, name), _first(right.sources, name)
        if one is None or other is None:
            raise TooComplex
        conditions.append(comparison("=", one, other))
    on = join.args.get("on")
    if on is not None:
        conditions += Expressions(context, Scope(sources, parent)).conjuncts(on)
    active = left.active | right.active
    if left.shadow or right.shadow:  # the other side stands by: its own changes are told elsewhere
        active = left.active if left.shadow else right.active
    return Frame(
        sources,
        (*left.items, *right.items),
        (*left.conditions, *right.conditions, *conditions),
        merged(left.seal, right.seal),
        active,
        left.shadow or right.shadow,
        left.certain and right.certain,
        left.distinct or right.distinct,
        left.early or right.early,
    )


def _moves(context: Context, kept: Frame, other: Frame, matched: Frame) -> bool:
    """Whether rows of one side may gain or lose partners in the other."""
    if any(item.scan is not None and context.lacks(item.scan) for item in other.items):
        return True
    conditions = matched.conditions[len(kept.conditions) + len(other.conditions) :]
    return bool(other.seal) or any(c.influence for c in (*other.conditions, *conditions))


def _ghost(matched: Frame, count: int, *, right: bool) -> Frame:
    """A padded row that comes or goes with its partners; NULLs stand for the `right` side."""
    left, others = matched.sources[:count], matched.sources[count:]
    sources = (*left, *_nulls(others)) if right else (*_nulls(left), *others)
    return replace(matched, sources=sources, shadow=True, certain=False)


def _padded(frame: Frame, nulls: tuple[Source, ...], *, after: bool) -> Frame:
    """A row without a partner."""
    sources = (*frame.sources, *nulls) if after else (*nulls, *frame.sources)
    return replace(frame, sources=sources, certain=False)


def _nulls(sources: Sequence[Source]) -> tuple[Source, ...]:
    return tuple(replace(s, columns=dict.fromkeys(s.columns, NULL), opaque=None) for s in sources)


def _first(sources: Sequence[Source], name: str) -> Value | None:
    return next((v for source in sources if (v := source.get(name)) is not None), None)


def _common(left: Sequence[Source], right: Sequence[Source]) -> list[str]:
    if any(source.opaque is not None for source in (*left, *right)):
        raise TooComplex
    have = {fold(name) for source in left for name in source.columns}
    return [name for source in right for name in source.columns if fold(name) in have]
