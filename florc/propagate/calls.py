"""What callers give for the parameters of a function of the same file."""

from __future__ import annotations

import ast

from florc.propagate.bound import Bindings, Site
from florc.propagate.source import Unit


def parameters(node: ast.AST) -> list[str]:
    """The names of a function's parameters, in order."""
    spec = getattr(node, "args", None)
    if not isinstance(spec, ast.arguments):
        return []
    every = [*spec.posonlyargs, *spec.args, *spec.kwonlyargs]
    return [a.arg for a in (*every, spec.vararg, spec.kwarg) if a is not None]


def arguments(bound: Bindings, unit: Unit, name: str) -> set[Site]:
    """Definitions of the variables that calls of a function pass for a parameter."""
    names = parameters(unit.node)
    if name not in names:
        return set()
    own = getattr(unit.node, "name", "")
    method = unit.parent is not None and unit.parent.kind == "class"
    position = names.index(name) - method
    found: set[Site] = set()
    for statement in bound.source.statements:
        if statement.is_definition:
            continue
        for call in _calls(statement.node, own):
            given = next((k.value for k in call.keywords if k.arg == name), None)
            if given is None and 0 <= position < len(call.args):
                given = call.args[position]
            if isinstance(given, ast.Name):
                found |= bound.at(statement.block, statement.position, given.id).sites
    return found


def _calls(node: ast.stmt, name: str) -> list[ast.Call]:
    """Calls of a function of that name in a statement's header."""
    found = []
    parts: list[ast.AST] = [node]
    while parts:
        part = parts.pop()
        if isinstance(part, ast.Call):
            callee = part.func
            called = callee.id if isinstance(callee, ast.Name) else getattr(callee, "attr", "")
            if called == name:
                found.append(part)
        parts += [
            c for c in ast.iter_child_nodes(part)
            if not isinstance(c, (ast.stmt, ast.ExceptHandler, ast.match_case))
        ]  # fmt: skip
    return found
