"""Window functions: what a row sees of the others in its partition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sqlglot import exp

from .expressions import Expressions
from .guards import guarded
from .values import Value, unknowable

if TYPE_CHECKING:
    from .context import Context
    from .expressions import Scope


def windows(nodes: Sequence[exp.Expr]) -> list[exp.Window]:
    """The windows of some expressions themselves."""
    found: list[exp.Window] = []
    for node in nodes:
        if isinstance(node, (exp.Query, exp.Subquery, exp.Exists)):
            continue
        if isinstance(node, exp.Window):
            found.append(node)
        found += windows(list(node.iter_expressions()))
    return found


@dataclass
class Partitions:
    """The expressions that every window of a SELECT is partitioned by."""

    keys: tuple[Value, ...]

    def find(self, value: Value) -> Value | None:
        """The key that a value is."""
        for key in self.keys:
            if key.sql == value.sql and key.sql != "NULL":
                return replace(value, loose=guarded("loose"))
        return None


def partitions(
    context: Context, scope: Scope, found: Sequence[exp.Window], named: Sequence[exp.Expr]
) -> Partitions:
    """What all of some windows are partitioned by."""
    definitions = {node.name.lower(): node for node in named}
    evaluate = Expressions(context, scope)
    common: list[Value] | None = None
    for window in found:
        keys = _keys(window, definitions)
        values = [evaluate.value(key) for key in keys]
        if common is None:
            common = values
        elif guarded("partition"):
            common = [v for v in common if any(v.sql == other.sql for other in values)]
    return Partitions(tuple(common or ()))


def _keys(window: exp.Expr, definitions: dict[str, exp.Expr], depth: int = 0) -> list[exp.Expr]:
    keys = list(window.args.get("partition_by") or ())
    base = window.args.get("alias")
    if not keys and base is not None and depth < 20:
        definition = definitions.get(base.name.lower())
        if definition is not None:
            return _keys(definition, definitions, depth + 1)
    return keys


def over(definition: exp.Expr, named: Sequence[exp.Expr]) -> list[exp.Expr]:
    """What a window reads: its own parts and those of the named window that it refers to."""
    read = [definition]
    if definition.args.get("alias") is not None:
        read += named
    return read


class WindowExpressions(Expressions):
    """Expressions in which a window function's value isn't known."""

    def __init__(
        self, context: Context, scope: Scope, named: Sequence[exp.Expr],
        across: Partitions | None,
    ) -> None:  # fmt: skip
        super().__init__(context, scope)
        self.named = named
        self.across = across  # for the rows that other rows' windows see; None: for the row itself

    def output(self, node: exp.Expr) -> Value:
        """An output, or what rows are ordered by."""
        node = node.unalias()
        found = windows([node])
        if self.across is None:
            return self._own(node) if not found else self._seen(node, found)
        if found:
            return self._seen(node, found)
        value = Expressions(self.context, self.scope).value(node)
        return self.across.find(value) or unknowable()

    def _own(self, node: exp.Expr) -> Value:
        return Expressions(self.context, self.scope).value(node)

    def _seen(self, node: exp.Expr, found: Sequence[exp.Window]) -> Value:
        plain = Expressions(self.context, self.scope)
        reads = [plain.opaque(node).influence]
        for window in found:
            reads += [plain.opaque(part).influence for part in over(window, self.named)]
        if self.across is None and guarded("window"):
            return unknowable()  # told by the shadow
        return unknowable(*reads)
