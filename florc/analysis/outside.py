"""What a call finds when it begins, and ways of changing it that the points-to analysis misses."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from florc.analysis.callgraph import Summaries, statements_of
from florc.analysis.heap import Heap
from florc.analysis.objects import Function, LibraryCall, Obj
from florc.analysis.program import Program


def outside(
    program: Program, summaries: Summaries, callees: set[Function], ran: frozenset[Function]
) -> set[Obj]:
    """All that a call of `callees` can get hold of and hasn't made itself, `ran` being run by it.

    That is what its parameters, the globals, cells and default values of those functions lead to.
    """
    heap = summaries.points_to.heap
    found: set[Obj] = set()
    for callee in callees:
        names = (*callee.params, callee.vararg, callee.kwarg)
        found |= {o for n in names if n for o in heap.variable(callee.scope, n)}
    inside = {function.scope for function in ran}
    for function in ran:
        found |= {o for objs in heap.defaults.get(function, {}).values() for o in objs}
        for name in {n.id for n in ast.walk(function.node) if isinstance(n, ast.Name)}:
            owner = function.scope.owner(name)
            if owner is None or owner in inside:
                continue
            if owner.kind == "class":
                found |= heap.field(heap.klass(program.classes[owner.node]), name)
            else:
                found |= heap.variable(owner, name)
    modules = {o.module for o in found if o.kind == "module" and o.module is not None}
    for module in modules:  # any of its globals, by attribute
        scope = program.module_scope(module)
        found |= {o for name in scope.names for o in heap.variable(scope, name)}
    return heap.reach(found)


def decorated(heap: Heap, function: Function) -> str:
    """A decorator of a library that may keep something from call to call, in words, or ""."""
    for decorator in getattr(function.node, "decorator_list", ()):
        target = decorator.func if isinstance(decorator, ast.Call) else decorator
        if isinstance(target, ast.Attribute) and target.attr in ("setter", "getter", "deleter"):
            continue
        name = library_name(heap, target, function)
        effect = heap.effects.call(heap.effects.canonical(name)) if name else None
        if name and (effect is None or not effect.transparent):
            return f"{function.path} is decorated by {ast.unparse(target)}"
    return ""


def library_name(heap: Heap, node: ast.expr, function: Function) -> str:
    """The qualified name of what an expression in (or above) a function names in a library."""
    if isinstance(node, ast.Attribute):
        base = library_name(heap, node.value, function)
        return f"{base}.{node.attr}" if base else ""
    if not isinstance(node, ast.Name):
        return ""
    scope = function.scope.parent or function.scope
    owner = scope.owner(node.id)
    if owner is None:
        return f"builtins.{node.id}"
    objs = heap.variable(owner, node.id) if owner.kind != "class" else set()
    return next((o.name for o in objs if o.kind == "library"), "")


def setting(heap: Heap, function: Function, calls: Iterable[LibraryCall]) -> str:
    """How a function changes what later calls do in a library, in words, or "".

    `calls` are those of its library calls that have lasting effects.
    """
    undone = {
        item.context_expr
        for node in ast.walk(function.node)
        if isinstance(node, ast.With)
        for item in node.items
    }
    for call in calls:
        if call.node not in undone:
            return f"{call.shown}() has lasting effects"
    for statement in statements_of(function):
        text = assigned_in_library(heap, function, statement)
        if text:
            return f"{text} is assigned, line {statement.lineno}"
    return ""


def assigned_in_library(heap: Heap, function: Function, statement: ast.stmt) -> str:
    """What of a library's module a statement assigns or deletes, as written, or ""."""
    for target in _targets(statement):
        root: ast.expr = target
        while isinstance(root, (ast.Attribute, ast.Subscript)):
            root = root.value
        if root is target or not isinstance(root, ast.Name):
            continue
        owner = function.scope.owner(root.id)
        objs = heap.variable(owner, root.id) if owner and owner.kind != "class" else set()
        if any(o.kind == "library" for o in objs):
            return ast.unparse(target)
    return ""


def _targets(statement: ast.stmt) -> Iterable[ast.expr]:
    """What a statement stores into or deletes, one by one."""
    stack: list[ast.expr] = []
    if isinstance(statement, (ast.Assign, ast.Delete)):
        stack += statement.targets
    elif isinstance(statement, (ast.AugAssign, ast.AnnAssign, ast.For)):
        stack.append(statement.target)
    elif isinstance(statement, ast.With):
        stack += [i.optional_vars for i in statement.items if i.optional_vars is not None]
    while stack:
        target = stack.pop()
        if isinstance(target, (ast.Tuple, ast.List)):
            stack += target.elts
        elif isinstance(target, ast.Starred):
            stack.append(target.value)
        else:
            yield target


def uses(heap: Heap, before: set[Obj]) -> str:
    """What a call may use up of what is `before` it, in words, or ""."""
    for obj in before:
        if obj.kind == "alloc" and heap.effects.is_a(obj.type or "?", "builtins.file"):
            if not all(_writes(site) for site in heap.sites_of(obj)):
                return f"{obj} may be read from"
        if persistent(heap, obj) == "yes":
            return f"the workers of {obj} go on from call to call"
    return ""


def _writes(site: ast.AST) -> bool:
    """Whether a call opens a file only to write."""
    if not isinstance(site, ast.Call):
        return False
    given = [*site.args[1:2], *(k.value for k in site.keywords if k.arg == "mode")]
    modes = [a.value for a in given if isinstance(a, ast.Constant)]
    return any(isinstance(m, str) and m[:1] in ("w", "a", "x") and "+" not in m for m in modes)


def persistent(heap: Heap, obj: Obj) -> str:
    """Whether a data loader keeps its workers: "yes", "no", or "maybe"."""
    declared = heap.effects.type(obj.type)
    if obj.kind != "alloc" or not (declared.iterable_calls and declared.iteration_draws):
        return "no"
    answers = {_keeps_workers(site) for site in heap.sites_of(obj)} or {"maybe"}
    return answers.pop() if len(answers) == 1 else "maybe"


def _keeps_workers(site: ast.AST) -> str:
    for keyword in getattr(site, "keywords", ()):
        if keyword.arg is None:
            return "maybe"
        if keyword.arg == "persistent_workers":
            constant = isinstance(keyword.value, ast.Constant)
            return ("yes" if keyword.value.value else "no") if constant else "maybe"
    return "no"


def loaders(heap: Heap, before: set[Obj]) -> set[Obj]:
    """Data loaders that may keep their workers: the run time has to look."""
    return {obj for obj in before if persistent(heap, obj) == "maybe"}
