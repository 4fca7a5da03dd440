"""A query, or a part of it, as blocks: set operations, CTEs, and what isn't looked into."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from sqlglot import exp

from .blocks import Block, Relation, TooComplex, checked
from .catalogue import fold
from .expressions import Expressions, Scope
from .guards import guarded
from .limits import Key, limited_to, needless_repeats
from .selects import as_set, order_value, select_relation
from .values import Influence, Value, merged, unknowable

if TYPE_CHECKING:
    from .analyse import Scan
    from .context import Context


def relation(
    context: Context, node: exp.Expr, parent: Scope | None, *, root: bool = False
) -> Relation:
    """The blocks of a query."""
    try:
        return _relation(context, node, parent, root=root)
    except TooComplex:
        if root:
            raise
        return opaque(context, node, parent)


def _relation(
    context: Context, node: exp.Expr, parent: Scope | None, *, root: bool = False
) -> Relation:
    if isinstance(node, exp.Subquery):
        if any(node.args.get(key) for key in ("limit", "offset", "order", "with_", "joins")):
            raise TooComplex
        return _relation(context, node.this, parent, root=root)
    if isinstance(node, exp.SetOperation):
        return _set_operation(context, node, parent, root=root)
    if isinstance(node, exp.Select):
        return select_relation(context, node, parent, root=root)
    raise TooComplex


def named(context: Context, node: exp.Table) -> Relation:
    """The blocks of the CTE that a table expression means."""
    cte = _definition(node)
    if cte is None:
        raise TooComplex
    if any(ancestor is cte for ancestor in _ancestors(node)):  # recursive
        raise TooComplex
    if _recursive(cte):
        return _renamed(opaque(context, cte.this, None), cte)
    return _renamed(relation(context, cte.this, None), cte)


def _renamed(blocks: Relation, cte: exp.CTE) -> Relation:
    names = cte.alias_column_names
    if not names:
        return blocks
    return tuple(
        replace(
            block,
            outputs=tuple(
                (names[i] if i < len(names) else name, value)
                for i, (name, value) in enumerate(block.outputs)
            ),
        )
        for block in blocks
    )


def _definition(node: exp.Table) -> exp.CTE | None:
    name = fold(node.name)
    for ancestor in _ancestors(node):
        clause = ancestor.args.get("with_")
        for cte in clause.expressions if clause is not None else ():
            if fold(cte.alias) == name:
                assert isinstance(cte, exp.CTE)
                return cte
    return None


def _ancestors(node: exp.Expr) -> Sequence[exp.Expr]:
    found = []
    parent = node.parent
    while parent is not None:
        found.append(parent)
        parent = parent.parent
    return found


def _recursive(cte: exp.CTE) -> bool:
    return any(
        _definition(table) is cte
        for table in cte.this.find_all(exp.Table)
        if isinstance(table.this, exp.Identifier)
    )


# -- set operations --------------------------------------------------------------------------------


def _set_operation(
    context: Context, node: exp.SetOperation, parent: Scope | None, *, root: bool
) -> Relation:
    arms, kinds = _arms(node)
    parts = [list(relation(context, arm, parent)) for arm in arms]
    blocks = [block for part in parts for block in part]
    widths = {len(block.outputs) for block in blocks}
    if len(widths) != 1:
        blocks = [_vague(block, blocks[0]) for block in blocks]
    blocks = _named_alike(blocks)
    all_rows = kinds == {"UNION ALL"}
    if not all_rows:
        blocks = [as_set(block) for block in blocks]
    if kinds - {"UNION ALL", "UNION"}:
        blocks = [replace(block, certain=False) for block in blocks]
    elif kinds == {"UNION"} and not node.args.get("limit"):
        blocks = list(needless_repeats(context, tuple(blocks)))
    order = node.args.get("order")
    ordered = list(order.expressions) if order is not None else []
    values = [
        [order_value(node, one, block.outputs, lambda _: unknowable()) for one in ordered]
        for block in blocks
    ]
    if any(v.sql == "NULL" and not v.influence for vs in values for v in vs):
        reads = [merged(*(v.influence for _, v in block.outputs)) for block in blocks]
        values = [[unknowable(r)] * len(ordered) for r in reads]
    blocks = [
        replace(b, seal=merged(b.seal, *(v.influence for v in vs))) for b, vs in zip(blocks, values)
    ]
    if node.args.get("limit") or node.args.get("offset"):
        keys = [[_key(v, one) for v, one in zip(vs, ordered)] for vs in values]
        return checked(limited_to(context, tuple(blocks), keys, node, root=root))
    return checked(blocks)


def _key(value: Value, ordered: exp.Ordered) -> Key:
    descending = bool(ordered.args.get("desc"))
    first = ordered.args.get("nulls_first")
    return Key(value, descending, bool(first) if first is not None else not descending)


def _arms(node: exp.Expr) -> tuple[list[exp.Expr], set[str]]:
    """The SELECTs of a compound, and its operators."""
    if not isinstance(node, exp.SetOperation):
        return [node], set()
    for side in (node.this, node.expression):
        if isinstance(side, exp.SetOperation) and any(
            side.args.get(key) for key in ("limit", "offset", "order", "with_")
        ):
            raise TooComplex
    if any(node.args.get(key) for key in ("by_name", "side", "kind", "on")):
        raise TooComplex
    left, some = _arms(node.this)
    right, others = _arms(node.expression)
    name = type(node).__name__.upper()
    if isinstance(node, exp.Union) and not node.args.get("distinct"):
        name = "UNION ALL"
    return [*left, *right], some | others | {name}


def _named_alike(blocks: Sequence[Block]) -> list[Block]:
    """The first arm names the columns; where arms are compared unlike, nothing is known."""
    first = blocks[0].outputs
    found = []
    for block in blocks:
        outputs = []
        for i, (name, _) in enumerate(first):
            value = block.outputs[i][1]
            kinds = {other.outputs[i][1].kind for other in blocks}
            if len(kinds) > 1 and guarded("loose"):
                value = unknowable(value.influence)
            outputs.append((name, value))
        found.append(replace(block, outputs=tuple(outputs)))
    return found


def _vague(block: Block, example: Block) -> Block:
    reads = merged(*(value.influence for _, value in block.outputs))
    return replace(block, outputs=tuple((n, unknowable(reads)) for n, _ in example.outputs))


# -- what isn't looked into ------------------------------------------------------------------------


def opaque(context: Context, node: exp.Expr, parent: Scope | None) -> Relation:
    """A query of which only the scans are known: any row of them may change anything."""
    names = _output_names(context, node)
    reads: list[Influence] = []
    nothing = Scope((), parent)
    inside = {id(select) for select in node.find_all(exp.Select)}
    for column in node.find_all(exp.Column):
        home = context.analysis.homes.get(id(column))
        if home is not None and id(home) not in inside:
            reads.append(Expressions(context, nothing).column(column).influence)
    outer = merged(*reads)
    outputs = tuple((name, unknowable()) for name in names)
    blocks = [Block(outputs=outputs, seal=outer, certain=False)]
    for scan in _scans(context, node):
        if not context.lacks(scan):
            continue
        item, source = context.use(scan)
        seal = merged(*(value.influence for value in source.columns.values()))
        blocks.append(
            Block((item,), (), outputs, seal, frozenset((item.alias,)), shadow=True, certain=False)
        )
    return checked(blocks)


def _scans(context: Context, node: exp.Expr) -> list[Scan]:
    """The scans in a query and in the CTEs that it uses."""
    found: dict[int, Scan] = {}
    seen: set[int] = set()
    todo = [node]
    while todo:
        for table in todo.pop().find_all(exp.Table):
            scan = context.scan_of(table)
            if scan is not None:
                found[id(scan)] = scan
            elif isinstance(table.this, exp.Identifier):
                cte = _definition(table)
                if cte is not None and id(cte) not in seen:
                    seen.add(id(cte))
                    todo.append(cte.this)
    return list(found.values())


def _output_names(context: Context, node: exp.Expr) -> list[str]:
    query = node
    while isinstance(query, (exp.SetOperation, exp.Subquery)):
        query = query.this
    if not isinstance(query, exp.Select):
        raise TooComplex
    names = []
    for projection in query.expressions:
        if isinstance(projection, exp.Star) or (
            isinstance(projection, exp.Column) and isinstance(projection.this, exp.Star)
        ):
            raise TooComplex
        names.append(projection.alias_or_name or projection.sql())
    return names
