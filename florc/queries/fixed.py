"""Parts of a query in which everything is known: they are left to SQLite."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from .values import Value

if TYPE_CHECKING:
    from .context import Context
    from .expressions import Scope


def fixed_scalar(context: Context, node: exp.Expr, scope: Scope) -> Value | None:
    """A scalar subquery that gives the same before and after any replay."""
    return None
