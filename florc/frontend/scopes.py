"""Lexical scopes: which scope owns each name, by Python's rules."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
Comprehension = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@dataclass(eq=False)
class Scope:
    """One scope.  `path` is the qualified scope path ("" for a module, "main", "Trainer.fit")."""

    node: ast.AST
    kind: str  # "module" | "class" | "function" | "comprehension"
    parent: Scope | None
    path: str
    module: str  # import name of the module
    names: set[str] = field(default_factory=set)  # bound here
    global_names: set[str] = field(default_factory=set)
    nonlocal_names: set[str] = field(default_factory=set)
    captured: set[str] = field(default_factory=set)  # own names that nested scopes use
    children: list[Scope] = field(default_factory=list)

    def owner(self, name: str) -> Scope | None:
        """The scope that owns `name` as seen from here; None for a builtin or unknown name."""
        if name in self.global_names:
            return self.module_scope()
        if name in self.names and name not in self.nonlocal_names:
            return self
        scope = self.parent
        while scope is not None:
            if scope.kind != "class" and name in scope.names and name not in scope.global_names:
                if name not in scope.nonlocal_names:
                    return scope
            if scope.kind != "class" and name in scope.global_names:
                return scope.module_scope()
            scope = scope.parent
        return None

    def module_scope(self) -> Scope:
        """The scope of the module."""
        scope = self
        while scope.parent is not None:
            scope = scope.parent
        return scope

    def function(self) -> Scope:
        """The nearest function or module scope (a comprehension belongs to the one around it)."""
        scope = self
        while scope.kind == "comprehension" and scope.parent is not None:
            scope = scope.parent
        return scope


def target_names(target: ast.AST) -> Iterator[str]:
    """Names that an assignment target binds."""
    for node in ast.walk(target):
        if isinstance(node, ast.Name) and isinstance(node.ctx, (ast.Store, ast.Del)):
            yield node.id


class _Builder(ast.NodeVisitor):
    def __init__(self, module: str) -> None:
        self.module = module
        self.scopes: dict[ast.AST, Scope] = {}
        self.current: Scope | None = None
        self.uses: list[tuple[Scope, str]] = []

    def _enter(self, node: ast.AST, kind: str, name: str) -> Scope:
        parent = self.current
        prefix = parent.path if parent else ""
        path = f"{prefix}.{name}" if prefix and name else name or prefix
        scope = Scope(node, kind, parent, path, self.module)
        if parent:
            parent.children.append(scope)
        self.scopes[node] = scope
        self.current = scope
        return scope

    def _leave(self, scope: Scope) -> None:
        self.current = scope.parent

    def bind(self, name: str) -> None:
        assert self.current is not None
        self.current.names.add(name)

    def visit_Module(self, node: ast.Module) -> None:
        scope = self._enter(node, "module", "")
        self.generic_visit(node)
        self._leave(scope)

    def _function(self, node: FunctionNode, name: str) -> None:
        args = node.args
        for default in [*args.defaults, *(d for d in args.kw_defaults if d)]:
            self.visit(default)
        scope = self._enter(node, "function", name)
        every = [*args.posonlyargs, *args.args, *args.kwonlyargs]
        every += [a for a in (args.vararg, args.kwarg) if a]
        for arg in every:
            self.bind(arg.arg)
        for child in node.body if isinstance(node.body, list) else [node.body]:
            self.visit(child)
        self._leave(scope)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self.bind(node.name)
        for decorator in node.decorator_list:
            self.visit(decorator)
        self._function(node, node.name)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self.bind(node.name)
        for decorator in node.decorator_list:
            self.visit(decorator)
        self._function(node, node.name)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._function(node, "<lambda>")

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.bind(node.name)
        for child in [*node.decorator_list, *node.bases, *node.keywords]:
            self.visit(child)
        scope = self._enter(node, "class", node.name)
        for statement in node.body:
            self.visit(statement)
        self._leave(scope)

    def _comprehension(
        self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
    ) -> None:
        self.visit(node.generators[0].iter)
        scope = self._enter(node, "comprehension", "")
        for index, generator in enumerate(node.generators):
            if index:
                self.visit(generator.iter)
            self.visit(generator.target)
            for condition in generator.ifs:
                self.visit(condition)
        if isinstance(node, ast.DictComp):
            self.visit(node.key)
            self.visit(node.value)
        else:
            self.visit(node.elt)
        self._leave(scope)

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        assert self.current is not None
        self.visit(node.value)
        scope = self.current.function()  # a walrus binds outside comprehensions (PEP 572)
        scope.names.add(node.target.id)

    def visit_Global(self, node: ast.Global) -> None:
        assert self.current is not None
        self.current.global_names.update(node.names)
        self.current.module_scope().names.update(node.names)

    def visit_Nonlocal(self, node: ast.Nonlocal) -> None:
        assert self.current is not None
        self.current.nonlocal_names.update(node.names)

    def visit_Name(self, node: ast.Name) -> None:
        assert self.current is not None
        if isinstance(node.ctx, ast.Load):
            self.uses.append((self.current, node.id))
        else:
            self.bind(node.id)
            self.uses.append((self.current, node.id))

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.bind(alias.asname or alias.name.split(".")[0])

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            if alias.name != "*":
                self.bind(alias.asname or alias.name)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        if node.name:
            self.bind(node.name)
        self.generic_visit(node)

    def visit_MatchAs(self, node: ast.MatchAs) -> None:
        if node.name:
            self.bind(node.name)
        self.generic_visit(node)

    def visit_MatchStar(self, node: ast.MatchStar) -> None:
        if node.name:
            self.bind(node.name)

    def visit_MatchMapping(self, node: ast.MatchMapping) -> None:
        if node.rest:
            self.bind(node.rest)
        self.generic_visit(node)


def build_scopes(tree: ast.Module, module: str) -> dict[ast.AST, Scope]:
    """Scope of every module, class, function, lambda and comprehension node of a tree."""
    builder = _Builder(module)
    builder.visit(tree)
    for scope in builder.scopes.values():
        scope.names -= scope.global_names if scope.kind != "module" else set()
    for scope, name in builder.uses:
        owner = scope.owner(name)
        if owner is not None and owner is not scope.function() and owner.kind != "class":
            owner.captured.add(name)
    return builder.scopes
