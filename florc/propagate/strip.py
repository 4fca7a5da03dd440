"""Take the log statements, and what serves only them, out of a module's syntax tree."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

from florc.propagate.purity import looks_pure, makes_iterable

GUARDS = frozenset(("no_grad", "inference_mode"))
REFLECTION = frozenset(("globals", "locals", "vars", "dir", "exec", "eval"))
_Scope = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_NAMED = (*SCOPES, ast.ExceptHandler, ast.MatchAs, ast.MatchStar)
_CONTROL = (ast.NamedExpr, ast.Await, ast.Yield, ast.YieldFrom)


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
        if isinstance(node, ast.stmt) and is_flor_import(node):
            for alias in getattr(node, "names", ()):
                bound = alias.asname or alias.name
                if isinstance(node, ast.Import):
                    names.modules.add(bound)
                elif alias.name == "log":
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
        for node in _own_nodes(owner):
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
        for node in list(_own_nodes(owner)):
            if isinstance(node, SCOPES):
                self.scope(node)
        self.numbers = _numbers(owner)
        owner.body = self._kept(owner.body, self._helpers(owner))

    # -- names that serve only log statements ------------------------------------------------

    def _helpers(self, owner: ast.Module | _Scope) -> frozenset[str]:
        """The names of a scope that are mentioned in log statements and their helpers only."""
        if self.reflects or isinstance(owner, ast.ClassDef):
            return frozenset()
        names = set(self.used)
        for node in _own_nodes(owner):
            if self._is_log_statement(node):
                names.update(identifiers(node))
        grown = -1
        while grown != len(names):
            grown = len(names)
            for node in _own_nodes(owner):
                if isinstance(node, ast.stmt) and _binds(node) & names:
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
        blocks = [id(child) for block in _blocks(node) for child in block]
        for child in ast.iter_child_nodes(node):
            if id(child) in blocks:
                continue
            if isinstance(child, (ast.ExceptHandler, ast.match_case)):
                yield from _header_names(child)
                continue
            yield from identifiers(child)
        if not any(True for _ in ast.iter_child_nodes(node)) or isinstance(
            node, (ast.Global, ast.Nonlocal)
        ):
            yield from identifiers(node)
        for block in _blocks(node):
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
            for block in _blocks(node):
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
                and _is_plain_target(node.target)
                and makes_iterable(node.iter, self.rebound)
                and self._block(node, helpers)
            )
        return bool(_binds(node)) and _binds(node) <= helpers and self._harmless(node)

    def _block(self, node: ast.stmt, helpers: frozenset[str]) -> bool:
        """Whether all statements in a compound statement are log statements or serve them."""
        return all(
            isinstance(child, ast.Pass) or self.log_only(child, helpers)
            for block in _blocks(node)
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
            return _imported_tops(node) <= self.known | sys.stdlib_module_names
        if isinstance(node, ast.FunctionDef):
            shared = any(isinstance(n, (ast.Global, ast.Nonlocal)) for n in ast.walk(node))
            spec = node.args
            outside = [*spec.defaults, *(d for d in spec.kw_defaults if d), *_annotations(node)]
            pure = all(looks_pure(part, self.rebound) for part in outside)
            return pure and not shared and not node.decorator_list
        if isinstance(node, (ast.Assign, ast.AnnAssign)):
            annotation = node.annotation if isinstance(node, ast.AnnAssign) else None
            return looks_pure(annotation, self.rebound) and looks_pure(node.value, self.rebound)
        if isinstance(node, ast.AugAssign):  # in place, so the target must be a number of its own
            return _binds(node) <= self.numbers and looks_pure(node.value, self.rebound)
        return False


def _binds(node: ast.stmt) -> set[str]:
    """The names that a simple statement or a function definition binds; {} if unsure."""
    if isinstance(node, ast.Assign) and all(map(_is_plain_target, node.targets)):
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


def _is_plain_target(target: ast.expr) -> bool:
    """Whether an assignment's target is a name or a tuple of names."""
    if isinstance(target, (ast.Tuple, ast.List)):
        return all(map(_is_plain_target, target.elts))
    return isinstance(target, ast.Name)


def _imported_tops(node: ast.Import | ast.ImportFrom) -> set[str]:
    if isinstance(node, ast.ImportFrom):
        return {(node.module or ".").partition(".")[0]}
    return {alias.name.partition(".")[0] for alias in node.names}


def _annotations(node: ast.FunctionDef) -> Iterator[ast.expr]:
    for argument in ast.walk(node.args):
        if isinstance(argument, ast.arg) and argument.annotation:
            yield argument.annotation
    if node.returns:
        yield node.returns


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


def _blocks(node: ast.AST) -> Iterator[list[ast.stmt]]:
    """The blocks of statements of a compound statement, handlers' and cases' too."""
    for name in ("body", "orelse", "finalbody"):
        block = getattr(node, name, None)
        if isinstance(block, list):
            yield block
    for name in ("handlers", "cases"):
        for part in getattr(node, name, ()):
            yield part.body


def _header_names(node: ast.ExceptHandler | ast.match_case) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.stmt):
            yield from identifiers(child)
    if isinstance(node, ast.ExceptHandler) and node.name:
        yield node.name


def _own_nodes(owner: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a scope in order, without the bodies of scopes inside it."""
    for child in ast.iter_child_nodes(owner):
        yield child
        if not isinstance(child, SCOPES):
            yield from _own_nodes(child)


def _numbers(owner: ast.AST) -> set[str]:
    """Names of a scope that plain assignments set to number literals and to nothing else."""
    found: set[str] = set()
    spoiled: set[str] = set()
    for node in _own_nodes(owner):
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
