"""What a generator, or a function that an iterator calls, reads of what a loop changes."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from florc.analysis.callgraph import Summaries
from florc.analysis.heap import Heap
from florc.analysis.objects import Function, Obj

_SHALLOW = frozenset(
    "builtins." + name
    for name in "len isinstance issubclass enumerate zip range iter next type id hasattr".split()
)
"""Functions that look at their arguments, not at what these hold."""

_BY_INDEX = frozenset({"builtins.list", "builtins.tuple"})
_MEMORY = (
    *(ast.Assign, ast.AugAssign, ast.AnnAssign, ast.NamedExpr, ast.With, ast.If, ast.While),
    *(ast.Try, ast.Match, ast.IfExp, ast.BoolOp, ast.comprehension, ast.Break, ast.Continue),
    *(ast.Return, ast.Delete, ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef),
)


def depends_on(
    summaries: Summaries,
    function: Function,
    changed: set[Obj],
    rebound: set[tuple[object, str]],
    remade: bool,
    born_inside: frozenset[Obj],
) -> str:
    """How a generator depends on what the loop changes; "" if it doesn't.

    So too for a function that an iterator calls.  What it mutates itself follows from its own
    position, unless the loop makes it anew (`remade`): then its start would have to be known too.
    Its arguments can't be objects that the loop makes (`born_inside`), unless it's made there too.
    """
    ran = summaries.closure.get(function, frozenset({function}))
    for inner in sorted(ran, key=repr):
        for access in summaries.direct.get(inner, ()):
            if not remade:
                continue
            if access.kind == "mutate" and access.obj is not None and access.obj.where not in ran:
                return f"{access.reason}, line {access.line}"
            if access.kind == "rebind" and access.scope is not None:
                if access.scope.kind == "module" or access.scope is not inner.scope:
                    if not any(access.scope is f.scope for f in ran):
                        return f"{access.name} is assigned, line {access.line}"
        reader = _Reader(summaries.points_to.heap, inner, inner is function, born_inside)
        for node in ast.walk(inner.node):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                owner = inner.scope.owner(node.id)
                if (owner, node.id) in rebound and owner is not inner.scope:
                    return f"{node.id} is read, line {node.lineno}"
        for shown, line, objs in reader.reads():
            if any(obj in changed and obj.where not in ran for obj in objs):
                return f"{shown} is read, line {line}"
    return ""


class _Reader:
    """The expressions of one function, with the objects that evaluating them reads."""

    def __init__(
        self, heap: Heap, function: Function, is_first: bool, born_inside: frozenset[Obj]
    ) -> None:
        self.heap = heap
        self.function = function
        self.params = frozenset(function.params) if is_first else frozenset()
        self.born_inside = born_inside

    def reads(self) -> Iterator[tuple[str, int, set[Obj]]]:
        """What is read, as text, where, and what it may be."""
        passed = self._gone_through()
        for node in ast.walk(self.function.node):
            if node in passed:
                continue
            if isinstance(node, (ast.Name, ast.Attribute, ast.Subscript)):
                if isinstance(node.ctx, ast.Load):
                    yield ast.unparse(node), node.lineno, self.objects(node)
            elif isinstance(node, ast.Call):
                callee = self.objects(node.func)
                if all(o.kind in ("function", "bound", "class") for o in callee) and callee:
                    continue  # what these read is looked at by itself
                if all(o.kind == "library" and o.name in _SHALLOW for o in callee) and callee:
                    continue
                if isinstance(node.func, ast.Name) and f"builtins.{node.func.id}" in _SHALLOW:
                    continue
                for argument in (*node.args, *(k.value for k in node.keywords)):
                    inside = self.heap.held(self.objects(argument))
                    yield ast.unparse(argument), node.lineno, inside

    def _gone_through(self) -> set[ast.expr]:
        """Lists that a frame without memory goes through: its place in them is a number.

        Such a frame binds nothing but its loops' targets, and decides nothing.
        """
        nodes = list(ast.walk(self.function.node))[1:]  # but for the function itself
        if any(isinstance(node, _MEMORY) for node in nodes):
            return set()
        headers = [node.iter for node in nodes if isinstance(node, ast.For)]
        return {
            header
            for header in headers
            if isinstance(header, (ast.Name, ast.Attribute))
            and all(obj.type in _BY_INDEX for obj in self.objects(header))
        }

    def objects(self, node: ast.expr) -> set[Obj]:
        """What a name, or a chain of attributes and subscripts, may be."""
        if isinstance(node, ast.Starred):
            return self.objects(node.value)
        if isinstance(node, ast.Name):
            owner = self.function.scope.owner(node.id)
            if owner is None:
                return set()
            found = self.heap.variable(owner, node.id)
            return found - self.born_inside if node.id in self.params else set(found)
        if isinstance(node, ast.Attribute):
            found = set()
            for obj in self.objects(node.value):
                found |= self.heap.field(obj, node.attr)
                if obj.kind == "module" and obj.module is not None:
                    scope = self.heap.program.module_scope(obj.module)
                    found |= self.heap.variable(scope, node.attr)
            return found
        if isinstance(node, ast.Subscript):
            return {e for obj in self.objects(node.value) for e in self.heap.elements(obj)}
        return set()
