"""Which texts an expression may give, where they are all written out near it.

`for name in ("weight", "bias"): setattr(layer, name, None)` assigns two attributes, not any.
A name counts if it is bound in its own function only, and each binding takes literals.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from florc.frontend.scopes import Scope

MOST = 64
"""Texts that are followed; more are any."""


def texts(node: ast.AST | None, scope: Scope) -> frozenset[str] | None:
    """The texts that `node`, in `scope`, may give; None: it isn't known.  Subsets of `MOST`."""
    found = _literal(node)
    if found is None and isinstance(node, ast.Name):
        owner = scope.owner(node.id)
        if owner is not None and owner.kind in ("function", "comprehension"):
            found = _bound(node.id, owner)
    return found if found is None or len(found) <= MOST else None


def _literal(node: ast.AST | None) -> frozenset[str] | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return frozenset({node.value})
    if isinstance(node, ast.IfExp):
        return _all([_literal(node.body), _literal(node.orelse)])
    return None


def _all(parts: list[frozenset[str] | None]) -> frozenset[str] | None:
    known = [part for part in parts if part is not None]
    return frozenset().union(*known) if parts and len(known) == len(parts) else None


def _bound(name: str, owner: Scope) -> frozenset[str] | None:
    """What a variable of a function may be; other scopes' variables of its name are mixed in."""
    parts: list[frozenset[str] | None] = []
    explained: set[ast.AST] = set()
    for node in ast.walk(owner.node):
        for target, values in _bindings(node, name):
            explained.add(target)
            parts.append(values)
    for node in ast.walk(owner.node):
        if isinstance(node, ast.Name) and node.id == name and not isinstance(node.ctx, ast.Load):
            if node not in explained:
                return None
        elif name in _other_names(node):
            return None
    return _all(parts)


def _bindings(node: ast.AST, name: str) -> Iterator[tuple[ast.AST, frozenset[str] | None]]:
    """Targets at `node` that bind `name`, with what they take."""
    if isinstance(node, (ast.For, ast.comprehension)):
        items = node.iter.elts if isinstance(node.iter, (ast.Tuple, ast.List, ast.Set)) else None
        if isinstance(node.target, ast.Name) and node.target.id == name:
            yield node.target, _all([_literal(item) for item in items or ()])
        elif isinstance(node.target, (ast.Tuple, ast.List)):
            for place, target in enumerate(node.target.elts):
                if isinstance(target, ast.Name) and target.id == name:
                    yield target, _all([_item(item, place) for item in items or ()])
    elif isinstance(node, ast.Assign):
        for target in node.targets:
            if isinstance(target, ast.Name) and target.id == name:
                yield target, _literal(node.value)
    elif isinstance(node, (ast.AnnAssign, ast.NamedExpr)) and node.value is not None:
        if isinstance(node.target, ast.Name) and node.target.id == name:
            yield node.target, _literal(node.value)


def _item(node: ast.expr, place: int) -> frozenset[str] | None:
    if not isinstance(node, (ast.Tuple, ast.List)) or place >= len(node.elts):
        return None
    if any(isinstance(each, ast.Starred) for each in node.elts[: place + 1]):
        return None
    return _literal(node.elts[place])


def _other_names(node: ast.AST) -> tuple[str, ...]:
    """Names that a node binds, or gives to other scopes, but not as a Name."""
    if isinstance(node, ast.arg):
        return (node.arg,)
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return (node.name,)
    if isinstance(node, ast.alias):
        return ((node.asname or node.name).partition(".")[0],)
    if isinstance(node, (ast.Global, ast.Nonlocal)):
        return tuple(node.names)
    if isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)):
        return (node.name or "",)
    if isinstance(node, ast.MatchMapping):
        return (node.rest or "",)
    return ()
