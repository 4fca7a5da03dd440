"""The names that statements bind and mention, and which of them come from flor."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_NAMED = (*SCOPES, ast.ExceptHandler, ast.MatchAs, ast.MatchStar)


@dataclass
class FlorNames:
    """The names under which a module knows flor and its `log`."""

    modules: set[str] = field(default_factory=set)
    logs: set[str] = field(default_factory=set)
    others: set[str] = field(default_factory=set)  # arg, loop, …

    def all(self) -> set[str]:
        """Every name that an import from flor binds."""
        return self.modules | self.logs | self.others

    def is_log(self, node: ast.AST) -> bool:
        """Whether a node is a call of `flor.log`."""
        if not isinstance(node, ast.Call):
            return False
        function = node.func
        if isinstance(function, ast.Name):
            return function.id in self.logs
        return (
            isinstance(function, ast.Attribute)
            and function.attr == "log"
            and isinstance(function.value, ast.Name)
            and function.value.id in self.modules
        )


def is_flor_import(node: ast.stmt) -> bool:
    """Whether a statement imports from flor only (a star import doesn't count)."""
    if isinstance(node, ast.Import):
        return all(alias.name == "flor" for alias in node.names)
    return (
        isinstance(node, ast.ImportFrom)
        and node.module == "flor"
        and node.level == 0
        and all(alias.name != "*" for alias in node.names)
    )


def flor_names(tree: ast.Module) -> FlorNames:
    """The names that the module's imports from flor bind, wherever they stand."""
    names = FlorNames()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):  # perhaps among others: `import os, flor`
            names.modules |= {a.asname or a.name for a in node.names if a.name == "flor"}
        elif isinstance(node, ast.stmt) and is_flor_import(node):
            for alias in getattr(node, "names", ()):
                bound = alias.asname or alias.name
                if alias.name == "log":
                    names.logs.add(bound)
                else:
                    names.others.add(bound)
    return names


def identifiers(node: ast.AST) -> Iterator[str]:
    """Every variable name that a tree mentions, bound or used."""
    for child in ast.walk(node):
        if isinstance(child, ast.Name):
            yield child.id
        elif isinstance(child, ast.arg):
            yield child.arg
        elif isinstance(child, (ast.Global, ast.Nonlocal)):
            yield from child.names
        elif isinstance(child, ast.alias):
            yield child.asname or child.name.partition(".")[0]
        elif isinstance(child, _NAMED) and child.name:
            yield child.name
        elif isinstance(child, ast.MatchMapping) and child.rest:
            yield child.rest


def bound_names(tree: ast.AST) -> frozenset[str]:
    """Every name that anything in the tree binds, in whatever scope, imports from flor apart."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            found.add(node.id)
        elif isinstance(node, ast.stmt) and is_flor_import(node):
            continue
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            found.update(identifiers(node))
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, _NAMED) and node.name:
            found.add(node.name)
    return frozenset(found)


def binds(node: ast.stmt) -> set[str]:
    """The names that a simple statement or a function definition binds; {} if unsure."""
    if isinstance(node, ast.Assign) and all(map(is_plain_target, node.targets)):
        return {name for target in node.targets for name in identifiers(target)}
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
        return {node.target.id}
    if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
        return {node.target.id}
    if isinstance(node, (ast.Import, ast.ImportFrom)) and not is_flor_import(node):
        starred = any(alias.name == "*" for alias in node.names)
        future = isinstance(node, ast.ImportFrom) and (node.level or node.module == "__future__")
        return set() if starred or future else set(identifiers(node))
    return {node.name} if isinstance(node, ast.FunctionDef) else set()


def is_plain_target(target: ast.expr) -> bool:
    """Whether an assignment's target is a name or a tuple of names."""
    if isinstance(target, (ast.Tuple, ast.List)):
        return all(map(is_plain_target, target.elts))
    return isinstance(target, ast.Name)


def imported_tops(node: ast.Import | ast.ImportFrom) -> set[str]:
    """The top-level packages that an import statement reaches."""
    if isinstance(node, ast.ImportFrom):
        return {(node.module or ".").partition(".")[0]}
    return {alias.name.partition(".")[0] for alias in node.names}


def annotations_of(node: ast.FunctionDef) -> Iterator[ast.expr]:
    """The annotations of a function's signature, which its definition evaluates."""
    for argument in ast.walk(node.args):
        if isinstance(argument, ast.arg) and argument.annotation:
            yield argument.annotation
    if node.returns:
        yield node.returns


def blocks(node: ast.AST) -> Iterator[list[ast.stmt]]:
    """The blocks of statements of a compound statement, handlers' and cases' too."""
    for name in ("body", "orelse", "finalbody"):
        block = getattr(node, name, None)
        if isinstance(block, list):
            yield block
    for name in ("handlers", "cases"):
        for part in getattr(node, name, ()):
            yield part.body


def header_names(node: ast.ExceptHandler | ast.match_case) -> Iterator[str]:
    """The names that a handler or a case mentions outside of its block."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.stmt):
            yield from identifiers(child)
    if isinstance(node, ast.ExceptHandler) and node.name:
        yield node.name


def own_nodes(owner: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a scope in order, without the bodies of scopes inside it."""
    for child in ast.iter_child_nodes(owner):
        yield child
        if not isinstance(child, SCOPES):
            yield from own_nodes(child)


def numbers(owner: ast.AST) -> set[str]:
    """Names of a scope that plain assignments set to number literals and to nothing else."""
    found: set[str] = set()
    spoiled: set[str] = set()
    for node in own_nodes(owner):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            literal = isinstance(node.value.value, (int, float))
            names = {name for target in node.targets for name in identifiers(target)}
            (found if literal else spoiled).update(names)
        elif isinstance(node, ast.AugAssign):
            continue
        elif isinstance(node, ast.stmt):
            spoiled.update(
                child.id
                for part in ast.iter_child_nodes(node)
                if not isinstance(part, ast.stmt)
                for child in ast.walk(part)
                if isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store)
            )
    return found - spoiled
