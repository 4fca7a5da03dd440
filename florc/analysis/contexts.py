"""Which context managers may swallow an exception, so that their block may be left half way."""

from __future__ import annotations

import ast
from collections.abc import Callable

from florc.effects.model import Effects


def swallows(effects: Effects, tree: ast.Module | None = None) -> Callable[[ast.withitem], bool]:
    """A predicate on `with` items: true unless a known library manager, which lets errors pass.

    Known by the last part of its name only: `torch.no_grad()`, `no_grad()`, `open(…)`.  A name
    (`with ctx:`) is known if all that the module `tree` ever binds it to is.
    """
    passing: set[str] = set()
    swallowing: set[str] = set()
    for name, effect in effects.exact.items():
        (swallowing if effect.swallows else passing).add(name.rpartition(".")[2])
    values = _assigned(tree) if tree is not None else {}

    def passes(manager: ast.expr, depth: int = 0) -> bool:
        if isinstance(manager, ast.IfExp):
            return passes(manager.body, depth) and passes(manager.orelse, depth)
        if isinstance(manager, ast.Name) and depth < 3:
            bound = values.get(manager.id, [None])
            return all(value is not None and passes(value, depth + 1) for value in bound)
        callee = manager.func if isinstance(manager, ast.Call) else manager
        name = callee.attr if isinstance(callee, ast.Attribute) else getattr(callee, "id", "")
        return name in passing and name not in swallowing

    return lambda item: not passes(item.context_expr)


def _assigned(tree: ast.Module) -> dict[str, list[ast.expr | None]]:
    """Name -> all that it is bound to in any scope of a module; None where that isn't plain."""
    found: dict[str, list[ast.expr | None]] = {}
    plain: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and all(isinstance(t, ast.Name) for t in node.targets):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    plain.add(target)
                    found.setdefault(target.id, []).append(node.value)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load) and node not in plain:
            found.setdefault(node.id, []).append(None)
        elif isinstance(node, ast.arg):
            found.setdefault(node.arg, []).append(None)
        elif isinstance(node, ast.alias):
            found.setdefault((node.asname or node.name).partition(".")[0], []).append(None)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.setdefault(node.name, []).append(None)
    return found
