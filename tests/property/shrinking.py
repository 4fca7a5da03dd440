"""Makes a failing program smaller: statements and parts of them go while the failure stays."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator


def shrunk(text: str, fails: Callable[[str], bool], tries: int = 2000) -> str:
    """A small program that still fails; `fails` is called at most `tries` times."""
    best = ast.unparse(ast.parse(text))
    if not fails(best):
        return text
    left = [tries]

    def smaller(candidate: str) -> bool:
        nonlocal best
        left[0] -= 1
        if candidate == best or not fails(candidate):
            return False
        best = candidate
        return True

    before = ""
    while before != best and left[0] > 0:
        before = best
        size = max(1, _statements(best) // 2)
        while size and left[0] > 0:
            start = 0
            while left[0] > 0 and (candidate := _without(best, start, size)) is not None:
                start += 0 if smaller(candidate) else size
            size //= 2
        if before != best:
            continue  # whole statements first
        number = 0
        while left[0] > 0 and (candidates := _simpler(best, number)) is not None:
            number += 0 if any(left[0] > 0 and smaller(c) for c in candidates) else 1
    return best


def _statements(text: str) -> int:
    return sum(isinstance(node, ast.stmt) for node in ast.walk(ast.parse(text)))


def _bodies(tree: ast.AST) -> Iterator[list[ast.stmt]]:
    for node in ast.walk(tree):
        for name in ("body", "orelse", "finalbody"):
            body = getattr(node, name, None)
            if isinstance(body, list):
                yield body


def _without(text: str, start: int, count: int) -> str | None:
    """The program without `count` statements from number `start` on; None if there are none."""
    tree = ast.parse(text)
    numbered = [(body, statement) for body in _bodies(tree) for statement in body]
    chosen = numbered[start : start + count]
    if not chosen:
        return None
    for body, statement in chosen:
        body.remove(statement)
    _mend(tree)
    return ast.unparse(ast.fix_missing_locations(tree))


def _mend(tree: ast.AST) -> None:
    """Make a tree valid again whose bodies may be empty."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Try) and not node.handlers and not node.finalbody:
            node.finalbody = [ast.Pass()]
        if isinstance(node, ast.Try) and node.orelse and not node.handlers:
            node.body, node.orelse = node.body + node.orelse, []
        body = getattr(node, "body", None)
        if isinstance(body, list) and not body and not isinstance(node, ast.Module):
            node.body = [ast.Pass()]  # type: ignore[attr-defined]


def _simpler(text: str, number: int) -> Iterator[str] | None:
    """The program with its n-th node unwrapped or a part of it replaced by a part of that."""
    nodes = list(ast.walk(ast.parse(text)))
    if number >= len(nodes):
        return None

    def candidates() -> Iterator[str]:
        count = 0
        while True:
            tree = ast.parse(text)
            changes = _changes(tree, list(ast.walk(tree))[number])
            if count >= len(changes):
                return
            changes[count]()
            count += 1
            _mend(tree)
            yield ast.unparse(ast.fix_missing_locations(tree))

    return candidates()


def _changes(tree: ast.AST, node: ast.AST) -> list[Callable[[], None]]:
    found: list[Callable[[], None]] = []
    if isinstance(node, (ast.If, ast.With, ast.Try, ast.For, ast.While)):

        def unwrap() -> None:
            for body in _bodies(tree):
                if node in body:
                    at = body.index(node)
                    body[at : at + 1] = node.body

        found.append(unwrap)
    for field, value in ast.iter_fields(node):
        if isinstance(value, ast.expr) and not isinstance(value, (ast.Constant, ast.Name)):
            context = getattr(value, "ctx", None)
            if isinstance(context, (ast.Store, ast.Del)) or isinstance(node, ast.NamedExpr):
                continue
            parts = [child for child in ast.iter_child_nodes(value) if isinstance(child, ast.expr)]
            for part in [ast.Constant(3), *parts]:
                found.append(lambda f=field, p=part: setattr(node, f, p))  # type: ignore[misc]
    return found
