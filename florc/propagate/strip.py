"""Take the log statements, and what serves only them, out of a module's syntax tree."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from florc.propagate.names import (
    SCOPES,
    FlorNames,
    annotations_of,
    binds,
    blocks,
    bound_names,
    flor_names,
    header_names,
    identifiers,
    imported_tops,
    is_flor_import,
    is_plain_target,
    numbers,
    own_nodes,
)
from florc.propagate.purity import looks_pure, makes_iterable

GUARDS = frozenset(("no_grad", "inference_mode"))
REFLECTION = frozenset(("globals", "locals", "vars", "dir", "exec", "eval"))
_Scope = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
_CONTROL = (ast.NamedExpr, ast.Await, ast.Yield, ast.YieldFrom)


@dataclass(frozen=True)
class Log:
    """One log statement as it was found."""

    name: str | None
    line: int
    scope: str
    text: str


@dataclass(frozen=True)
class Stripped:
    """A module without its log statements."""

    tree: ast.Module
    logs: tuple[Log, ...]
    names: frozenset[str]  # bound by imports from flor
    mentioned: frozenset[str]  # every identifier left
    used: frozenset[str]  # every identifier in what was taken out


def strip(
    tree: ast.Module,
    foreign: frozenset[str],
    known: frozenset[str],
    seeds: frozenset[str] = frozenset(),
) -> Stripped:
    """Take log statements out of `tree`, which is changed.

    `foreign`: names that other modules may use from this one; `known`: packages that both
    versions import anyway, so that importing them once more has no effect; `seeds`: names that
    log statements of the *other* version use, and so may be helpers here too.
    """
    tree = _SplitImports().visit(tree)
    stripper = _Stripper(tree, foreign, known, seeds)
    stripper.find_logs(tree, "")
    tree = _Unwrapper(stripper.flor).visit(tree)
    stripper.scope(tree)
    return Stripped(
        tree,
        tuple(stripper.logs),
        frozenset(stripper.flor.all()),
        frozenset(identifiers(tree)),
        frozenset(stripper.used),
    )


class _SplitImports(ast.NodeTransformer):
    """`import flor, random` means `import flor` and `import random`, one of which is ours."""

    def visit_Import(self, node: ast.Import) -> list[ast.Import]:
        return [ast.copy_location(ast.Import([alias]), node) for alias in node.names]


class _Unwrapper(ast.NodeTransformer):
    """`x = flor.log("name", value)` means `x = value`; statements are left to the stripper."""

    def __init__(self, flor: FlorNames) -> None:
        self._flor = flor

    def visit_Expr(self, node: ast.Expr) -> ast.Expr:
        if not self._flor.is_log(node.value):
            self.generic_visit(node)
        return node

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        plain = self._flor.is_log(node) and len(node.args) == 2 and not node.keywords
        if plain and isinstance(node.args[0], ast.Constant):
            value = node.args[1]
            return node if isinstance(value, ast.Starred) else value
        return node


class _Stripper:
    """The state of stripping one module: scopes are done from the inside out."""

    def __init__(
        self,
        tree: ast.Module,
        foreign: frozenset[str],
        known: frozenset[str],
        seeds: frozenset[str],
    ) -> None:
        self.flor = flor_names(tree)
        self.rebound = bound_names(tree)
        self.foreign = foreign
        self.known = known
        self.logs: list[Log] = []
        self.used: set[str] = set(seeds)  # mentioned in what was taken out
        self.numbers: set[str] = set()  # of the scope at hand: only ever set to number literals
        self.reflects = bool(REFLECTION & set(identifiers(tree)))

    def find_logs(self, owner: ast.Module | ast.stmt, path: str) -> None:
        """Note the log statements of a scope and of those in it."""
        for node in own_nodes(owner):
            if isinstance(node, SCOPES):
                self.find_logs(node, f"{path}.{node.name}" if path else node.name)
            elif self.flor.is_log(node):
                assert isinstance(node, ast.Call)
                first = node.args[0] if node.args else None
                name = first.value if isinstance(first, ast.Constant) else None
                text = ast.unparse(node)
                self.logs.append(
                    Log(name if isinstance(name, str) else None, node.lineno, path, text)
                )

    def scope(self, owner: ast.Module | _Scope) -> None:
        """Strip a module, function or class: the scopes in it first, then its own statements."""
        for node in list(own_nodes(owner)):
            if isinstance(node, SCOPES):
                self.scope(node)
        self.numbers = numbers(owner)
        owner.body = self._kept(owner.body, self._helpers(owner))

    # -- names that serve only log statements ------------------------------------------------

    def _helpers(self, owner: ast.Module | _Scope) -> frozenset[str]:
        """The names of a scope that are mentioned in log statements and their helpers only."""
        if self.reflects or isinstance(owner, ast.ClassDef):
            return frozenset()
        names = set(self.used)
        for node in own_nodes(owner):
            if self._is_log_statement(node):
                names.update(identifiers(node))
        grown = -1
        while grown != len(names):
            grown = len(names)
            for node in own_nodes(owner):
                if isinstance(node, ast.stmt) and binds(node) & names:
                    names.update(identifiers(node))
        if isinstance(owner, ast.Module):
            names -= self.foreign
        else:
            names -= {node.arg for node in ast.walk(owner) if isinstance(node, ast.arg)}
        while True:
            helpers = frozenset(names)
            body = self._kept(owner.body, helpers, change=False)
            left = {name for node in body for name in self._left(node, helpers)}
            if not helpers & left:
                return helpers
            names = set(helpers - left)

    def _left(self, node: ast.stmt, helpers: frozenset[str]) -> Iterator[str]:
        """The names mentioned in a statement that stays, without what is taken out of it."""
        if isinstance(node, SCOPES):
            yield from identifiers(node)
            return
        inner = [id(child) for block in blocks(node) for child in block]
        for child in ast.iter_child_nodes(node):
            if id(child) in inner:
                continue
            if isinstance(child, (ast.ExceptHandler, ast.match_case)):
                yield from header_names(child)
                continue
            yield from identifiers(child)
        if not any(True for _ in ast.iter_child_nodes(node)) or isinstance(
            node, (ast.Global, ast.Nonlocal)
        ):
            yield from identifiers(node)
        for block in blocks(node):
            for child in self._kept(block, helpers, change=False):
                yield from self._left(child, helpers)

    # -- statements ------------------------------------------------------------------------

    def _kept(
        self, body: list[ast.stmt], helpers: frozenset[str], change: bool = True
    ) -> list[ast.stmt]:
        """The statements of a block that stay; with `change` blocks inside are stripped too."""
        kept = []
        for node in body:
            if self.log_only(node, helpers) or isinstance(node, ast.Pass):
                if change:
                    self.used.update(identifiers(node))
                continue
            kept.append(node)
            if not change or isinstance(node, SCOPES):
                continue
            for block in blocks(node):
                block[:] = self._kept(block, helpers)
        return kept

    def log_only(self, node: ast.stmt, helpers: frozenset[str]) -> bool:
        """Whether a statement is a log statement or serves nothing else."""
        if is_flor_import(node) or self._is_log_statement(node):
            return True
        if isinstance(node, ast.If):
            return looks_pure(node.test, self.rebound) and self._block(node, helpers)
        if isinstance(node, ast.With):
            return all(map(_is_guard, node.items)) and self._block(node, helpers)
        if isinstance(node, ast.For):
            bound = set(identifiers(node.target))
            return (
                bound <= helpers
                and is_plain_target(node.target)
                and makes_iterable(node.iter, self.rebound)
                and self._block(node, helpers)
            )
        return bool(binds(node)) and binds(node) <= helpers and self._harmless(node)

    def _block(self, node: ast.stmt, helpers: frozenset[str]) -> bool:
        """Whether all statements in a compound statement are log statements or serve them."""
        return all(
            isinstance(child, ast.Pass) or self.log_only(child, helpers)
            for block in blocks(node)
            for child in block
        )

    def _is_log_statement(self, node: ast.AST) -> bool:
        return (
            isinstance(node, ast.Expr)
            and self.flor.is_log(node.value)
            and not any(isinstance(child, _CONTROL) for child in ast.walk(node))
        )

    def _harmless(self, node: ast.stmt) -> bool:
        """Whether a statement that binds only helpers has no other effect."""
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            return imported_tops(node) <= self.known | sys.stdlib_module_names
        if isinstance(node, ast.FunctionDef):
            shared = any(isinstance(n, (ast.Global, ast.Nonlocal)) for n in ast.walk(node))
            spec = node.args
            outside = [*spec.defaults, *(d for d in spec.kw_defaults if d), *annotations_of(node)]
            pure = all(looks_pure(part, self.rebound) for part in outside)
            return pure and not shared and not node.decorator_list
        if isinstance(node, (ast.Assign, ast.AnnAssign)):
            annotation = node.annotation if isinstance(node, ast.AnnAssign) else None
            return looks_pure(annotation, self.rebound) and looks_pure(node.value, self.rebound)
        if isinstance(node, ast.AugAssign):  # in place, so the target must be a number of its own
            return binds(node) <= self.numbers and looks_pure(node.value, self.rebound)
        return False


def _is_guard(item: ast.withitem) -> bool:
    """Whether a context manager is `torch.no_grad()` or the like, and bound to no name."""
    call = item.context_expr
    if item.optional_vars is not None or not isinstance(call, ast.Call):
        return False
    function = call.func
    named = isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name)
    if not named or call.args or call.keywords:
        return False
    assert isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name)
    return function.value.id == "torch" and function.attr in GUARDS
