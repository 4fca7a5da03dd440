"""When names of a scope are read by other functions: a captured name isn't live everywhere.

A statement that may run a function, over any number of calls, reads what the function mentions.
A function that may also be called by somebody who isn't in the call graph (it is handed to a
library, its object is held by one) may read what it mentions at any time.
"""

from __future__ import annotations

import ast
from functools import cached_property

from florc.analysis.callgraph import Summaries
from florc.analysis.heap import SEQUENCES
from florc.analysis.objects import Class, Function
from florc.analysis.program import Program
from florc.frontend.scopes import Scope


class Captures:
    """Reads of a scope's names by other functions."""

    def __init__(self, program: Program, summaries: Summaries) -> None:
        self.program = program
        self.summaries = summaries
        self._mentions: dict[Scope, dict[Function, frozenset[str]]] = {}
        self._own_names: dict[Function, list[tuple[ast.Name, Scope]]] = {}

    def always(self, scope: Scope) -> frozenset[str]:
        """Names that somebody may read at any time."""
        mentions = self._of(scope)
        anytime = self._anytime
        return frozenset().union(*(names for f, names in mentions.items() if f in anytime))

    def read_by(self, statement: ast.stmt, scope: Scope) -> frozenset[str]:
        """Names that running a statement may read in functions that it calls."""
        mentions = self._of(scope)
        if not mentions:
            return frozenset()
        ran = self.summaries.run_by([statement])
        return frozenset().union(*(names for f, names in mentions.items() if f in ran))

    def _of(self, scope: Scope) -> dict[Function, frozenset[str]]:
        if scope not in self._mentions:
            self._mentions[scope] = self._find(scope)
        return self._mentions[scope]

    def _find(self, scope: Scope) -> dict[Function, frozenset[str]]:
        """Function -> names of `scope` that its own body, class bodies and all, mentions."""
        found: dict[Function, frozenset[str]] = {}
        for function in self.summaries.points_to.functions:
            if function.scope is scope:
                continue
            names = set()
            for node, here in self._names(function):
                if node.id in scope.captured and here.owner(node.id) is scope:
                    names.add(node.id)
            if names:
                found[function] = frozenset(names)
        return found

    def _names(self, function: Function) -> list[tuple[ast.Name, Scope]]:
        """Names in a function's own code, with the scope that each is in."""
        if function in self._own_names:
            return self._own_names[function]
        found: list[tuple[ast.Name, Scope]] = []
        stack: list[tuple[ast.AST, Scope]] = [
            (child, function.scope) for child in ast.iter_child_nodes(function.node)
        ]
        while stack:
            node, scope = stack.pop()
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
                inner: list[ast.AST] = [*node.args.defaults, *node.args.kw_defaults]  # type: ignore[list-item]
                inner += getattr(node, "decorator_list", [])
                stack += [(child, scope) for child in inner if child is not None]
                continue
            if isinstance(node, ast.Name):
                found.append((node, scope))
            inside = self.program.scopes.get(node, scope)
            stack += [(child, inside) for child in ast.iter_child_nodes(node)]
        self._own_names[function] = found
        return found

    @cached_property
    def _anytime(self) -> frozenset[Function]:
        """Functions that may be called at any time, and all that they call."""
        loose = self._handed_over | self._held
        closure = self.summaries.closure
        return frozenset().union(*(closure.get(f, frozenset({f})) for f in loose))

    @cached_property
    def _handed_over(self) -> set[Function]:
        """Functions that are mentioned other than to be called, and those that `with` runs."""
        heap = self.summaries.points_to.heap
        functions = self.summaries.points_to.functions
        loose: set[Function] = set()
        names: set[str] = set()
        for function in functions:
            called: set[ast.AST] = set()
            attributes: list[ast.Attribute] = []
            for node in ast.walk(function.node):
                if isinstance(node, ast.Call):
                    called.add(node.func)
                elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                    attributes.append(node)
                elif isinstance(node, (ast.With, ast.AsyncWith)):
                    loose |= self.summaries.run_by([node])
            names.update(node.attr for node in attributes if node not in called)
            for name, scope in self._names(function):
                owner = scope.owner(name.id)
                if owner is not None and name not in called and isinstance(name.ctx, ast.Load):
                    for obj in heap.variable(owner, name.id):
                        if obj.function is not None and obj.kind in ("function", "bound"):
                            loose.add(obj.function)
        for function in functions:
            own = getattr(function.node, "name", "")
            unnamed = isinstance(function.node, ast.Lambda)
            if unnamed or own == "__del__" or (function.cls is not None and own in names):
                loose.add(function)
        return loose

    @cached_property
    def _held(self) -> set[Function]:
        """Methods of objects that a library's object holds."""
        heap = self.summaries.points_to.heap
        classes: dict[Class, None] = {}
        for holder, held in heap.contents.items():
            if holder.kind == "alloc" and holder.type not in SEQUENCES:
                classes.update({obj.cls: None for obj in held if obj.cls is not None})
        return {f for cls in classes for c in cls.mro() for f in c.methods.values()}
