"""Where a control-flow node reads, binds and unbinds the names of one scope, in evaluation order.

Liveness and reaching definitions are both read off these: one place knows Python's rules.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from florc.analysis.cfg import Node, case_of, handler_of
from florc.effects.model import Effects
from florc.frontend.scopes import Scope

FunctionLike = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


@dataclass(frozen=True)
class Occurrence:
    """One mention of a name.  `certain` is false where evaluating the node may leave it out."""

    kind: str  # "use" | "def" | "del"
    name: str
    site: ast.AST  # Name, arg, alias, function, class, except clause or capture pattern
    certain: bool = True
    deferred: bool = False  # in a nested function or a lazy generator: runs later, if at all
    nested: bool = False  # in a nested function: runs when that is called


def eager_builtins(effects: Effects) -> frozenset[str]:
    """Built-in functions that read an iterable to its end (or drop it) before they return."""
    return frozenset(
        name.removeprefix("builtins.")
        for name, effect in effects.exact.items()
        if name.count(".") == 1 and "0" in effect.advances and "0" not in effect.keeps
    )


def occurrences(
    node: Node,
    scope: Scope,
    scopes: dict[ast.AST, Scope],
    eager: frozenset[str] = frozenset(),
) -> tuple[Occurrence, ...]:
    """Mentions of `scope`'s names at a node, in the order in which Python evaluates them.

    A generator expression runs when something iterates it: at once if it is the argument of one
    of the built-in functions `eager`, else at any later time.
    """
    walker = _Walker(scope, scopes, eager)
    return tuple(walker.parameters() if node.role == "entry" else walker.node(node))


def evaluated(node: Node) -> list[ast.AST]:
    """The parts of a statement that its node evaluates, in order."""
    s = node.statement
    if s is None:
        return []
    if isinstance(s, (ast.For, ast.AsyncFor)):
        return [s.iter] if node.role == "init" else [s.target] if node.role == "bind" else []
    if isinstance(s, (ast.While, ast.If)):
        return [s.test]
    if isinstance(s, (ast.With, ast.AsyncWith)):
        return list(s.items)
    if isinstance(s, ast.Match):
        return [s.subject]
    handler, case = handler_of(s), case_of(s)
    if handler is not None:
        return [handler.type] if handler.type else []
    if case is not None:
        return [case.pattern, *([case.guard] if case.guard else [])]
    return [s]


class _Walker:
    def __init__(self, scope: Scope, scopes: dict[ast.AST, Scope], eager: frozenset[str]) -> None:
        self.scope = scope
        self.scopes = scopes
        self.eager = eager
        self.drained: set[ast.AST] = set()  # generator expressions that are used up where they are
        self.here = scope  # the scope that the walk is in
        self.certain = True
        self.deferred = False
        self.nested = False

    def parameters(self) -> Iterator[Occurrence]:
        if isinstance(self.scope.node, FunctionLike):
            for arg in _arguments(self.scope.node.args):
                yield Occurrence("def", arg.arg, arg)

    def node(self, node: Node) -> Iterator[Occurrence]:
        for part in evaluated(node):
            yield from self.visit(part)
        handler = handler_of(node.statement)
        if handler is not None and handler.name:
            yield from self.bind(handler.name, handler)

    def bind(self, name: str, site: ast.AST, kind: str = "def") -> Iterator[Occurrence]:
        if self.here is self.scope and self.scope.owner(name) is self.scope:
            yield Occurrence(kind, name, site, self.certain, self.deferred, self.nested)
        elif self.here.owner(name) is self.scope:  # global, nonlocal; a walrus in a comprehension
            yield Occurrence(kind, name, site, False, self.deferred, self.nested)

    def maybe(self, *parts: ast.AST | None) -> Iterator[Occurrence]:
        """Parts that evaluation may leave out."""
        before, self.certain = self.certain, False
        for part in parts:
            if part is not None:
                yield from self.visit(part)
        self.certain = before

    def inside(self, scope: Scope, parts: list[ast.AST], *, later: bool) -> Iterator[Occurrence]:
        """Parts that belong to a nested scope; `later` if they run when something is called."""
        before = self.here, self.certain, self.deferred, self.nested
        self.here, self.certain, self.deferred = scope, False, later or self.deferred
        self.nested = self.nested or scope.kind == "function"
        for part in parts:
            yield from self.visit(part)
        self.here, self.certain, self.deferred, self.nested = before

    def visit(self, part: ast.AST) -> Iterator[Occurrence]:
        method = getattr(self, f"_{type(part).__name__}", None)
        if method is not None:
            yield from method(part)
        else:
            for child in ast.iter_child_nodes(part):
                yield from self.visit(child)

    # -- statements --

    def _Assign(self, s: ast.Assign) -> Iterator[Occurrence]:
        yield from self.visit(s.value)
        for target in s.targets:
            yield from self.visit(target)

    def _AugAssign(self, s: ast.AugAssign) -> Iterator[Occurrence]:
        if isinstance(s.target, ast.Name):
            yield from self.use(s.target)
            yield from self.visit(s.value)
            yield from self.bind(s.target.id, s.target)
        else:
            yield from self.visit(s.target)
            yield from self.visit(s.value)

    def _AnnAssign(self, s: ast.AnnAssign) -> Iterator[Occurrence]:
        if s.value is not None:
            yield from self.visit(s.value)
        if s.value is not None or not isinstance(s.target, ast.Name):
            yield from self.visit(s.target)  # a bare `x: int` binds nothing
        yield from self.visit(s.annotation)

    def _Assert(self, s: ast.Assert) -> Iterator[Occurrence]:
        yield from self.visit(s.test)
        yield from self.maybe(s.msg)

    def _function(self, s: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[Occurrence]:
        for decorator in s.decorator_list:
            yield from self.visit(decorator)
        yield from self._defaults(s.args)
        for arg in _arguments(s.args):
            if arg.annotation:
                yield from self.visit(arg.annotation)
        if s.returns:
            yield from self.visit(s.returns)
        yield from self.bind(s.name, s)
        yield from self.inside(self.scopes[s], list(s.body), later=True)

    _FunctionDef = _AsyncFunctionDef = _function

    def _ClassDef(self, s: ast.ClassDef) -> Iterator[Occurrence]:
        for part in [*s.decorator_list, *s.bases, *s.keywords]:
            yield from self.visit(part)
        yield from self.inside(self.scopes[s], list(s.body), later=False)
        yield from self.bind(s.name, s)

    def _import(self, s: ast.Import | ast.ImportFrom) -> Iterator[Occurrence]:
        for alias in s.names:
            if alias.name == "*":  # may bind any name
                for name in sorted(self.scope.names):
                    yield Occurrence("def", name, alias, False, self.deferred, self.nested)
            elif isinstance(s, ast.Import):
                yield from self.bind(alias.asname or alias.name.split(".")[0], alias)
            else:
                yield from self.bind(alias.asname or alias.name, alias)

    _Import = _ImportFrom = _import

    # -- patterns --

    def _capture(self, p: ast.MatchAs | ast.MatchStar) -> Iterator[Occurrence]:
        if isinstance(p, ast.MatchAs) and p.pattern:
            yield from self.visit(p.pattern)
        if p.name:
            yield from self.bind(p.name, p)

    _MatchAs = _MatchStar = _capture

    def _MatchMapping(self, p: ast.MatchMapping) -> Iterator[Occurrence]:
        for part in [*p.keys, *p.patterns]:
            yield from self.visit(part)
        if p.rest:
            yield from self.bind(p.rest, p)

    # -- expressions --

    def use(self, name: ast.Name) -> Iterator[Occurrence]:
        owner = self.here.owner(name.id)
        if owner is self.here and self.here.kind == "class" and self.here is not self.scope:
            # A class body reads the names of its module until it binds them itself.
            module = self.here.module_scope()
            owner = module if name.id in module.names else owner
        if owner is self.scope:
            yield Occurrence("use", name.id, name, self.certain, self.deferred, self.nested)

    def _Name(self, name: ast.Name) -> Iterator[Occurrence]:
        if isinstance(name.ctx, ast.Load):
            yield from self.use(name)
        elif isinstance(name.ctx, ast.Store):
            yield from self.bind(name.id, name)
        else:
            yield from self.use(name)  # it has to be bound
            yield from self.bind(name.id, name, "del")

    def _Call(self, e: ast.Call) -> Iterator[Occurrence]:
        callee = e.func
        if isinstance(callee, ast.Name):
            known = callee.id in self.eager and self.here.owner(callee.id) is None
        else:
            known = (
                isinstance(callee, ast.Attribute)
                and isinstance(callee.value, ast.Constant)
                and callee.attr == "join"
            )
        self.drained.update(e.args[:1] if known else ())
        self.drained.update(arg.value for arg in e.args if isinstance(arg, ast.Starred))
        for child in ast.iter_child_nodes(e):
            yield from self.visit(child)

    def _NamedExpr(self, e: ast.NamedExpr) -> Iterator[Occurrence]:
        yield from self.visit(e.value)
        name = e.target.id
        if self.here.function() is self.scope and self.scope.owner(name) is self.scope:
            yield Occurrence("def", name, e.target, self.certain, self.deferred, self.nested)
        else:
            yield from self.bind(name, e.target)

    def _BoolOp(self, e: ast.BoolOp) -> Iterator[Occurrence]:
        yield from self.visit(e.values[0])
        yield from self.maybe(*e.values[1:])

    def _IfExp(self, e: ast.IfExp) -> Iterator[Occurrence]:
        yield from self.visit(e.test)
        yield from self.maybe(e.body, e.orelse)

    def _Compare(self, e: ast.Compare) -> Iterator[Occurrence]:
        yield from self.visit(e.left)
        yield from self.visit(e.comparators[0])
        yield from self.maybe(*e.comparators[1:])

    def _Dict(self, e: ast.Dict) -> Iterator[Occurrence]:
        for key, value in zip(e.keys, e.values, strict=True):
            if key is not None:
                yield from self.visit(key)
            yield from self.visit(value)

    def _Lambda(self, e: ast.Lambda) -> Iterator[Occurrence]:
        yield from self._defaults(e.args)
        yield from self.inside(self.scopes[e], [e.body], later=True)

    def _comprehension(
        self, e: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
    ) -> Iterator[Occurrence]:
        yield from self.visit(e.generators[0].iter)
        parts: list[ast.AST] = []
        for index, generator in enumerate(e.generators):
            parts += [generator.iter] if index else []
            parts += [generator.target, *generator.ifs]
        parts += [e.key, e.value] if isinstance(e, ast.DictComp) else [e.elt]
        rounds = 1 + any(isinstance(n, ast.NamedExpr) for part in parts for n in ast.walk(part))
        for _ in range(rounds):  # what a walrus binds may be read in the next round
            later = isinstance(e, ast.GeneratorExp) and e not in self.drained
            yield from self.inside(self.scopes[e], parts, later=later)

    _ListComp = _SetComp = _DictComp = _GeneratorExp = _comprehension

    def _defaults(self, arguments: ast.arguments) -> Iterator[Occurrence]:
        for default in [*arguments.defaults, *arguments.kw_defaults]:
            if default is not None:
                yield from self.visit(default)


def _arguments(arguments: ast.arguments) -> list[ast.arg]:
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return every + [a for a in (arguments.vararg, arguments.kwarg) if a]
