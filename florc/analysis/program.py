"""The program: functions and classes of all project modules, found before any analysis."""

from __future__ import annotations

import ast
from dataclasses import dataclass

from florc.analysis.objects import Class, Function
from florc.frontend.project import Module, Project
from florc.frontend.scopes import Scope, build_scopes


@dataclass(frozen=True)
class Program:
    """All definitions, by their node.  Module bodies are functions too."""

    project: Project
    scopes: dict[ast.AST, Scope]
    functions: dict[ast.AST, Function]
    classes: dict[ast.AST, Class]
    bodies: dict[str, Function]  # module name -> its body

    def module_scope(self, module: Module) -> Scope:
        """Scope of a module."""
        return self.scopes[module.tree]


class _Yields(ast.NodeVisitor):
    """Whether a function's own body yields (nested functions don't count)."""

    found = False

    def visit_Yield(self, node: ast.Yield) -> None:
        self.found = True

    def visit_YieldFrom(self, node: ast.YieldFrom) -> None:
        self.found = True

    def _skip(self, node: ast.AST) -> None:
        return

    visit_FunctionDef = visit_AsyncFunctionDef = visit_Lambda = visit_ClassDef = _skip


def _is_generator(node: ast.AST) -> bool:
    visitor = _Yields()
    body = getattr(node, "body", [])
    for child in body if isinstance(body, list) else [body]:
        visitor.visit(child)
    return visitor.found


def _decorators(node: ast.AST) -> set[str]:
    names = set()
    for decorator in getattr(node, "decorator_list", []):
        target = decorator.func if isinstance(decorator, ast.Call) else decorator
        names.add(target.attr if isinstance(target, ast.Attribute) else getattr(target, "id", ""))
    return names


def _make_function(node: ast.AST, scope: Scope, module: Module, cls: Class | None) -> Function:
    arguments = node.args  # type: ignore[attr-defined]
    decorators = _decorators(node)
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return Function(
        node,  # type: ignore[arg-type]
        scope,
        module,
        cls,
        scope.path,
        generator=_is_generator(node),
        static="staticmethod" in decorators,
        classmethod="classmethod" in decorators,
        property=bool(decorators & {"property", "cached_property", "setter"}),
        params=tuple(a.arg for a in every),
        keyword_only=len(arguments.kwonlyargs),
        vararg=arguments.vararg.arg if arguments.vararg else None,
        kwarg=arguments.kwarg.arg if arguments.kwarg else None,
        arguments={a.arg: a for a in (*every, arguments.vararg, arguments.kwarg) if a},
    )


def build_program(project: Project) -> Program:
    """Collect scopes, functions and classes of every module (bases are resolved later)."""
    scopes: dict[ast.AST, Scope] = {}
    functions: dict[ast.AST, Function] = {}
    classes: dict[ast.AST, Class] = {}
    bodies: dict[str, Function] = {}
    for module in project.modules:
        own = build_scopes(module.tree, module.name)
        scopes.update(own)
        bodies[module.name] = functions[module.tree] = Function(
            module.tree, own[module.tree], module, None, ""
        )
        for node, scope in own.items():
            if isinstance(node, ast.ClassDef):
                fields = tuple(
                    s.target.id
                    for s in node.body
                    if isinstance(s, ast.AnnAssign) and isinstance(s.target, ast.Name)
                )
                classes[node] = Class(node, scope, module, fields=fields)
        for node, scope in own.items():
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
                parent = scope.parent
                cls = classes.get(parent.node) if parent and parent.kind == "class" else None
                function = _make_function(node, scope, module, cls)
                functions[node] = function
                if cls is not None and not isinstance(node, ast.Lambda):
                    role = {"setter", "deleter"} & _decorators(node)
                    cls.methods[".".join([node.name, *role])] = function
        for cls in classes.values():
            _add_other_names(cls)
    _star_imports(project, scopes)
    return Program(project, scopes, functions, classes, bodies)


def _add_other_names(cls: Class) -> None:
    """`__iadd__ = append = grow` in a class's body: one method under several names."""
    for statement in cls.node.body:
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Name):
            method = cls.methods.get(statement.value.id)
            for target in statement.targets:
                if method is not None and isinstance(target, ast.Name):
                    cls.methods[target.id] = method


def _star_imports(project: Project, scopes: dict[ast.AST, Scope]) -> None:
    """`from project_module import *` binds that module's public names (repeated until stable)."""
    changed = True
    while changed:
        changed = False
        for module in project.modules:
            scope = scopes[module.tree]
            for node in ast.walk(module.tree):
                if not isinstance(node, ast.ImportFrom) or node.names[0].name != "*":
                    continue
                target = project.by_name(resolve_relative(node, module.package))
                if target is None:
                    continue
                public = {n for n in scopes[target.tree].names if not n.startswith("_")}
                if not public <= scope.names:
                    scope.names |= public
                    changed = True


def resolve_relative(node: ast.ImportFrom, package: str) -> str:
    """Absolute dotted name of the module in `from … import …`."""
    if node.level == 0:
        return node.module or ""
    parts = package.split(".") if package else []
    parts = parts[: max(0, len(parts) - (node.level - 1))]
    return ".".join([*parts, *(node.module.split(".") if node.module else [])])
