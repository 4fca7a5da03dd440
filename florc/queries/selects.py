"""One SELECT as blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from sqlglot import exp

from .blocks import Block, Relation, TooComplex, checked
from .catalogue import fold
from .expressions import Expressions, Scope
from .fixed import complete
from .grouping import GroupExpressions, Keys, aggregates, argument_row
from .guards import guarded
from .joins import Frame, frames_of
from .limits import Key, limited_to, needless_repeats
from .values import Influence, Truth, Value, merged, unknowable
from .windows import WindowExpressions, partitions, windows

if TYPE_CHECKING:
    from .context import Context


class Output(Protocol):
    """Evaluates an output expression."""

    def __call__(self, node: exp.Expr) -> Value: ...


def select_relation(
    context: Context, select: exp.Select, parent: Scope | None, *, root: bool = False
) -> Relation:
    """The blocks of a SELECT.  At the root, also the order of its rows matters."""
    order = _order(select)
    parts = [*select.expressions, *(one.this for one in order)]
    having = select.args.get("having")
    found = aggregates([*parts, *([having.this] if having else [])])
    group = select.args.get("group")
    if group is not None and any(v for k, v in group.args.items() if k != "expressions" and v):
        raise TooComplex
    grouped = bool(found or group or having)
    seen = windows(parts)
    if select.args.get("qualify") or select.args.get("laterals") or select.args.get("into"):
        raise TooComplex
    aliases = {
        fold(one.alias): one.this for one in select.expressions if isinstance(one, exp.Alias)
    }
    blocks: list[tuple[Block, list[Value]]] = []
    frames = frames_of(context, select, parent)
    for frame in frames:
        scope = Scope(frame.sources, parent, aliases)
        where = select.args.get("where")
        conditions = Expressions(context, scope).conjuncts(where.this) if where else []
        if grouped:
            blocks += _grouped(
                context, select, frame, scope, conditions, found, bool(seen), len(frames)
            )
        elif seen:
            blocks += _windowed(context, select, frame, scope, conditions, seen)
        else:
            evaluate = Expressions(context, scope)
            blocks.append(_block(select, frame, conditions, evaluate.value))
    if grouped and not (group and group.expressions) and guarded("no-key"):
        width = _widths(blocks)
        blocks.append((_one_row(width, having is not None), [unknowable() for _ in order]))
    return _finished(context, select, blocks, order, grouped, root=root)


def _order(select: exp.Expr) -> list[exp.Ordered]:
    order = select.args.get("order")
    return list(order.expressions) if order is not None else []


def _block(
    select: exp.Select, frame: Frame, conditions: Sequence[Truth], evaluate: Output
) -> tuple[Block, list[Value]]:
    """A block, and what its rows are ordered by."""
    outputs = _outputs(select, frame, evaluate)
    keys = [order_value(select, one, outputs, evaluate) for one in _order(select)]
    block = Block(
        frame.items, (*frame.conditions, *conditions), tuple(outputs), frame.seal, frame.active,
        frame.shadow, frame.certain, frame.distinct, None, frame.early,
    )  # fmt: skip
    return block, keys


def _outputs(select: exp.Select, frame: Frame, evaluate: Output) -> list[tuple[str, Value]]:
    outputs: list[tuple[str, Value]] = []
    for projection in select.expressions:
        star = projection.this if isinstance(projection, exp.Column) else projection
        if isinstance(star, exp.Star):
            table = fold(projection.table) if isinstance(projection, exp.Column) else None
            for source in frame.sources:
                if table is not None and fold(source.alias) != table:
                    continue
                if source.opaque is not None:
                    outputs.append(("*", unknowable(source.opaque)))
                outputs += source.columns.items()
            continue
        value = evaluate(projection.unalias())
        if value.sql in ("TRUE", "FALSE"):
            value = replace(value, sql="1" if value.sql == "TRUE" else "0")
        outputs.append((projection.alias_or_name or projection.sql(), value))
    return outputs


def order_value(
    select: exp.Expr, ordered: exp.Ordered, outputs: Sequence[tuple[str, Value]],
    evaluate: Output,
) -> Value:  # fmt: skip
    """What one expression of ORDER BY is."""
    node = ordered.this
    while isinstance(node, exp.Paren):
        node = node.this
    if isinstance(node, exp.Literal) and not node.is_string and node.this.isdigit():
        number = int(node.this)
        return outputs[number - 1][1] if 0 < number <= len(outputs) else unknowable()
    if isinstance(node, exp.Column) and not node.table:
        for name, value in outputs:
            if fold(name) == fold(node.name):
                return value
    return evaluate(node)


def _grouped(
    context: Context, select: exp.Select, frame: Frame, scope: Scope,
    conditions: Sequence[Truth], found: Sequence[exp.Expr], windowed: bool, frames: int,
) -> list[tuple[Block, list[Value]]]:  # fmt: skip
    plain = Expressions(context, scope)
    group = select.args.get("group")
    nodes = [_group_key(select, node) for node in (group.expressions if group else ())]
    keys = Keys(nodes, [plain.value(node) for node in nodes])
    bare = argument_row(context, frame, conditions, keys, found, scope)
    groups = complete(context, frame, conditions, keys.values, scope, frames) if nodes else None
    evaluate = GroupExpressions(context, scope, keys, bare, groups)
    having = select.args.get("having")
    more = evaluate.conjuncts(having.this) if having else []
    output: Output = evaluate.value
    if windowed:
        output = lambda node: unknowable(plain.opaque(node).influence)  # noqa: E731
    block, order = _block(select, frame, [*conditions, *more], output)
    seal = merged(block.seal, *(value.influence for value in keys.values))
    block = replace(block, seal=seal, distinct=True, identity=tuple(keys.values))
    if not nodes:
        outputs = tuple((n, unknowable(v.influence)) for n, v in block.outputs)
        order = [unknowable(value.influence) for value in order]
        shadow = guarded("no-key")
        block = replace(block, outputs=outputs, shadow=shadow, certain=False, identity=None)
    return [(block, order)]


def _group_key(select: exp.Select, node: exp.Expr) -> exp.Expr:
    while isinstance(node, exp.Paren):
        node = node.this
    if isinstance(node, exp.Literal) and not node.is_string and node.this.isdigit():
        number = int(node.this)
        if not 0 < number <= len(select.expressions):
            raise TooComplex
        chosen: exp.Expr = select.expressions[number - 1].unalias()
        if isinstance(chosen, exp.Star) or any(
            e.find(exp.Star) for e in select.expressions[:number]
        ):
            raise TooComplex
        return chosen
    return node


def _widths(blocks: Sequence[tuple[Block, list[Value]]]) -> list[str]:
    return [name for name, _ in blocks[0][0].outputs] if blocks else []


def _one_row(names: Sequence[str], having: bool) -> Block:
    """The one row of a SELECT with aggregates and no GROUP BY: it is there over no rows too."""
    return Block(outputs=tuple((name, unknowable()) for name in names), certain=not having)


def _windowed(
    context: Context, select: exp.Select, frame: Frame, scope: Scope,
    conditions: Sequence[Truth], seen: Sequence[exp.Window],
) -> list[tuple[Block, list[Value]]]:  # fmt: skip
    named = list(select.args.get("windows") or ())
    own = WindowExpressions(context, scope, named, None)
    found = [_block(select, frame, conditions, own.output)]
    if guarded("window"):
        common = partitions(context, scope, seen, named)
        across = WindowExpressions(context, scope, named, common)
        bare = replace(
            frame,
            sources=tuple(
                replace(
                    s, columns={n: common.find(v) or unknowable() for n, v in s.columns.items()}
                )
                for s in frame.sources
            ),
        )
        block, order = _block(select, bare, conditions, across.output)
        reads: list[Influence] = []
        for window in seen:
            plain = Expressions(context, scope)
            reads += [plain.opaque(part).influence for part in (window, *named)]
        keys = [value.influence for value in common.keys]
        block = replace(block, seal=merged(block.seal, *reads, *keys), shadow=True, certain=False)
        found.append((block, order))
    return found


def _finished(
    context: Context, select: exp.Select, pairs: Sequence[tuple[Block, list[Value]]],
    order: Sequence[exp.Ordered], grouped: bool, *, root: bool,
) -> Relation:  # fmt: skip
    """DISTINCT, ORDER BY and LIMIT."""
    blocks = [block for block, _ in pairs]
    if not root:
        blocks = [
            replace(b, seal=merged(b.seal, *(v.influence for v in values)))
            for b, (_, values) in zip(blocks, pairs)
        ]
    if select.args.get("distinct") is not None:
        if select.args["distinct"].args.get("on"):
            raise TooComplex
        blocks = [as_set(block) for block in blocks]
    values = [list(v) for _, v in pairs]
    limit = select.args.get("limit") or select.args.get("offset")
    simple = bool(select.args.get("distinct")) or (grouped and _only_keys(blocks))
    if simple and not limit and (not order or _of_outputs(blocks, values)):
        blocks = list(needless_repeats(context, tuple(blocks)))
    elif limit:
        keys = [[_key(v, one) for v, one in zip(vs, order)] for vs in values]
        blocks = list(limited_to(context, tuple(blocks), keys, select, root=root))
        if not root or len(blocks) != len(values):
            return checked(blocks)
    if root and guarded("order") and len(blocks) == len(values):
        blocks = [
            replace(b, seal=merged(b.seal, *(v.influence for v in vs)))
            for b, vs in zip(blocks, values)
        ]
    return checked(blocks)


def _of_outputs(blocks: Sequence[Block], values: Sequence[Sequence[Value]]) -> bool:
    """Whether rows are ordered by their outputs only."""
    return all(
        any(v.sql == out.sql and v.sql != "NULL" for _, out in block.outputs)
        for block, vs in zip(blocks, values)
        for v in vs
    )


def _only_keys(blocks: Sequence[Block]) -> bool:
    """Whether groups show nothing but their keys."""
    for block in blocks:
        keys = {key.sql for key in block.identity or ()}
        if block.shadow or not keys or any(v.sql not in keys for _, v in block.outputs):
            return False
        if len(keys) > len({v.sql for _, v in block.outputs}):
            return False
    return True


def as_set(block: Block) -> Block:
    """A block of a DISTINCT or UNION: all its values matter, and equal rows are one."""
    outputs = tuple((n, replace(v, loose=guarded("loose"))) for n, v in block.outputs)
    seal = block.seal
    if guarded("set-values"):
        seal = merged(seal, *(value.influence for _, value in outputs))
    return replace(block, outputs=outputs, seal=seal, distinct=True, identity=None)


def _key(value: Value, ordered: exp.Ordered) -> Key:
    descending = bool(ordered.args.get("desc"))
    first = ordered.args.get("nulls_first")
    return Key(value, descending, bool(first) if first is not None else not descending)
