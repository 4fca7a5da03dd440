"""Which context managers may swallow an exception, so that their block may be left half way."""

from __future__ import annotations

import ast
from collections.abc import Callable

from florc.effects.model import Effects


def swallows(effects: Effects) -> Callable[[ast.withitem], bool]:
    """A predicate on `with` items: true unless a known library manager, which lets errors pass.

    Known by the last part of its name only: `torch.no_grad()`, `no_grad()`, `open(…)`.
    """
    passing: set[str] = set()
    swallowing: set[str] = set()
    for name, effect in effects.exact.items():
        (swallowing if effect.swallows else passing).add(name.rpartition(".")[2])

    def may(item: ast.withitem) -> bool:
        manager = item.context_expr
        callee = manager.func if isinstance(manager, ast.Call) else manager
        name = callee.attr if isinstance(callee, ast.Attribute) else getattr(callee, "id", "")
        return name in swallowing or name not in passing

    return may
