"""What may depend on the clock: a flow-insensitive taint over variables, attributes, objects.

Such values differ in every run, so that nobody compares them.  A taint that reaches too far only
weakens a comparison; one that reaches too little raises a false alarm.  Control dependence
(`if time() > limit`) isn't followed: such a script isn't reproducible at all.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Set
from dataclasses import dataclass, field

from florc.analysis.callgraph import Summaries
from florc.analysis.heap import owner_of
from florc.analysis.objects import Function, Obj
from florc.analysis.program import Program
from florc.frontend.scopes import Scope
from florc.frontend.statements import shown


@dataclass
class Clocks:
    """Variables, attributes of objects, and whole objects (containers) that may hold a time."""

    variables: set[tuple[Scope, str]] = field(default_factory=set)
    attributes: set[tuple[Obj, str]] = field(default_factory=set)
    objects: set[Obj] = field(default_factory=set)
    returns: set[Function] = field(default_factory=set)
    logs: set[ast.stmt] = field(default_factory=set)  # log statements whose value depends on it

    def in_reach(self, objs: Set[Obj]) -> bool:
        """Whether any of these objects may hold a time."""
        return bool(objs & self.objects) or any(obj in objs for obj, _ in self.attributes)


class _Taint:
    def __init__(self, program: Program, summaries: Summaries) -> None:
        self.program = program
        self.summaries = summaries
        self.heap = summaries.points_to.heap
        self.found = Clocks()
        self.changed = False
        self.callees: dict[ast.AST, list[Function]] = {}
        for edge in summaries.points_to.edges:
            if edge.at is not None:
                self.callees.setdefault(edge.at, []).append(edge.callee)
        self.sources: dict[ast.stmt, set[str]] = {}
        for access in summaries.points_to.accesses:
            if access.kind == "clock":
                self.sources.setdefault(access.statement, set()).add(access.reason)

    # -- reading --------------------------------------------------------------------------------
    def pts(self, node: ast.expr, scope: Scope) -> set[Obj]:
        """What a path of names, attributes and subscripts may lead to."""
        if isinstance(node, ast.Name):
            owner = scope.owner(node.id)
            return self.heap.variable(owner, node.id) if owner is not None else set()
        if isinstance(node, ast.Attribute):
            found: set[Obj] = set()
            for obj in self.pts(node.value, scope):
                if obj.kind == "module" and obj.module is not None:
                    inner = self.program.module_scope(obj.module)
                    found |= self.heap.variable(inner, node.attr)
                else:
                    found |= self.heap.field(obj, node.attr)
            return found
        if isinstance(node, ast.Subscript):
            return {e for o in self.pts(node.value, scope) for e in self.heap.elements(o)}
        return set()

    def mentions(self, node: ast.AST | None, scope: Scope, sources: set[str]) -> bool:
        """Whether evaluating an expression may give something that depends on the clock."""
        if node is None or isinstance(node, (ast.Constant, ast.Lambda)):
            return False
        if isinstance(node, ast.Name):
            owner = scope.owner(node.id)
            if (owner, node.id) in self.found.variables:
                return True
            return bool(self.pts(node, scope) & self.found.objects)
        if isinstance(node, ast.Attribute):
            objs = self.pts(node.value, scope)
            if any((obj, node.attr) in self.found.attributes for obj in objs):
                return True
            for obj in objs:
                method = obj.cls.method(node.attr) if obj.cls is not None else None
                if method is not None and method.property and method in self.found.returns:
                    return True
            if objs and not objs & self.found.objects:
                return False
            return self.mentions(node.value, scope, sources)
        if isinstance(node, ast.Call):
            if sources and shown(node.func) in sources:
                return True
            called = self.callees.get(node, [])
            if called:
                return any(callee in self.found.returns for callee in called)
        return any(
            self.mentions(child, scope, sources)
            for child in ast.iter_child_nodes(node)
            if isinstance(child, (ast.expr, ast.keyword, ast.comprehension))
        )

    def mentions_any(self, statement: ast.stmt, scope: Scope, sources: set[str]) -> bool:
        """Whether any expression of a statement depends on the clock."""
        return any(
            self.mentions(child, scope, sources)
            for child in ast.iter_child_nodes(statement)
            if isinstance(child, ast.expr)
        )

    # -- writing --------------------------------------------------------------------------------
    def _add(self, target: set, item: object) -> None:  # type: ignore[type-arg]
        if item not in target:
            target.add(item)
            self.changed = True

    def taint(self, target: ast.expr, scope: Scope) -> None:
        """What is stored to a target depends on the clock."""
        if isinstance(target, ast.Name):
            self._add(self.found.variables, (scope.owner(target.id) or scope, target.id))
        elif isinstance(target, ast.Attribute):
            for obj in self.pts(target.value, scope):
                self._add(self.found.attributes, (obj, target.attr))
        elif isinstance(target, ast.Subscript):
            for obj in self.pts(target.value, scope):
                self._add(self.found.objects, owner_of(obj))
        elif isinstance(target, ast.Starred):
            self.taint(target.value, scope)
        elif isinstance(target, (ast.Tuple, ast.List)):
            for element in target.elts:
                self.taint(element, scope)

    def assign(self, target: ast.expr, value: ast.expr, scope: Scope, sources: set[str]) -> None:
        """An assignment; a tuple to a tuple goes by places."""
        if (
            isinstance(target, (ast.Tuple, ast.List))
            and isinstance(value, (ast.Tuple, ast.List))
            and len(target.elts) == len(value.elts)
        ):
            for inner, piece in zip(target.elts, value.elts):
                self.assign(inner, piece, scope, sources)
        elif self.mentions(value, scope, sources):
            self.taint(target, scope)

    def call(self, node: ast.Call, scope: Scope, sources: set[str]) -> None:
        """Arguments reach parameters of the project's functions, or the receiver of others."""
        arguments = [*node.args, *(k.value for k in node.keywords)]
        if not any(self.mentions(a, scope, sources) for a in arguments):
            return
        called = self.callees.get(node, [])
        for callee in called:
            for position, argument in enumerate(node.args):
                if self.mentions(argument, scope, sources):
                    shift = 1 if callee.cls is not None and not callee.static else 0
                    names = callee.params[position + shift : position + shift + 1]
                    for name in names or ((callee.vararg,) if callee.vararg else ()):
                        self._add(self.found.variables, (callee.scope, name))
            for keyword in node.keywords:
                if self.mentions(keyword.value, scope, sources):
                    given = keyword.arg if keyword.arg in callee.params else callee.kwarg
                    if given:
                        self._add(self.found.variables, (callee.scope, given))
        if not called and isinstance(node.func, ast.Attribute):
            for obj in self.pts(node.func.value, scope):
                if obj.kind in ("alloc", "part") and not self._sink(obj):
                    self._add(self.found.objects, owner_of(obj))

    def _sink(self, obj: Obj) -> bool:
        return bool(obj.type) and self.heap.effects.type(obj.type).sink

    def statement(self, node: ast.stmt, function: Function, scope: Scope) -> None:
        """One statement's own expressions."""
        sources = self.sources.get(node, set())
        for child in _own(node):
            if isinstance(child, ast.Call):
                self.call(child, scope, sources)
            elif isinstance(child, ast.NamedExpr):
                self.assign(child.target, child.value, scope, sources)
        if isinstance(node, ast.Assign):
            for target in node.targets:
                self.assign(target, node.value, scope, sources)
        elif isinstance(node, (ast.AugAssign, ast.AnnAssign)) and node.value is not None:
            self.assign(node.target, node.value, scope, sources)
        elif isinstance(node, (ast.For, ast.AsyncFor)):
            self.assign(node.target, node.iter, scope, sources)
        elif isinstance(node, ast.Return):
            if self.mentions(node.value, scope, sources):
                self._add(self.found.returns, function)
        elif isinstance(node, (ast.With, ast.AsyncWith)):
            for item in node.items:
                if item.optional_vars is not None:
                    self.assign(item.optional_vars, item.context_expr, scope, sources)


def _own(statement: ast.stmt) -> Iterator[ast.expr]:
    """Expressions of a statement itself, not of the statements in it."""
    stack: list[ast.AST] = list(ast.iter_child_nodes(statement))
    while stack:
        node = stack.pop()
        if isinstance(node, (ast.stmt, ast.ExceptHandler, ast.match_case)):
            continue
        if isinstance(node, ast.expr):
            yield node
        stack += ast.iter_child_nodes(node)


def _statements(function: Function) -> Iterator[tuple[ast.stmt, Scope]]:
    if isinstance(function.node, ast.Lambda):
        return
    stack: list[ast.AST] = list(function.node.body)
    while stack:
        node = stack.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            continue
        if isinstance(node, ast.stmt):
            yield node, function.scope
        stack += [
            c
            for c in ast.iter_child_nodes(node)
            if isinstance(c, (ast.stmt, ast.ExceptHandler, ast.match_case))
        ]


def clocks(
    program: Program, summaries: Summaries, capturing: Set[ast.stmt] = frozenset()
) -> Clocks:
    """Solve the taint over all functions that can run.

    `capturing`: statements that log to a tracker, whose values are captured.
    """
    taint = _Taint(program, summaries)
    if not taint.sources:
        return taint.found
    places = [
        (statement, function, scope)
        for function in summaries.points_to.functions
        for statement, scope in _statements(function)
    ]
    while True:
        taint.changed = False
        for statement, function, scope in places:
            taint.statement(statement, function, scope)
        if not taint.changed:
            break
    for access in summaries.points_to.accesses:
        if access.kind == "log":
            sources = taint.sources.get(access.statement, set())
            if taint.mentions_any(access.statement, access.function.scope, sources):
                taint.found.logs.add(access.statement)
    for statement, _, scope in places:
        if statement in capturing:
            if taint.mentions_any(statement, scope, taint.sources.get(statement, set())):
                taint.found.logs.add(statement)
    return taint.found
