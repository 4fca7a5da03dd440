"""Whether a replay may jump inside a loop: can what the loop iterates over be fast-forwarded?

Consuming k items again gives the same position if advancing reads and mutates nothing that the
loop's body changes.  Random draws of a generator don't matter: the run time records them.
"""

from __future__ import annotations

import ast
import functools
import re

from florc.analysis.callgraph import Summaries
from florc.analysis.checkpoint_set import CheckpointSet, changed_objects
from florc.analysis.dependence import depends_on
from florc.analysis.iterables import changed_iterable
from florc.analysis.loops import LoopSite
from florc.analysis.objects import WITHIN, Access, Obj
from florc.analysis.program import Program


def _generators(summaries: Summaries, accesses: list[Access]) -> dict[Obj, Access]:
    found: dict[Obj, Access] = {}
    heap = summaries.points_to.heap
    for access in accesses:
        if access.kind == "advance" and access.obj is not None:
            for obj in heap.reach({access.obj}):
                if obj.function is not None and obj.function.generator and obj.kind == "alloc":
                    found.setdefault(obj, access)
    return found


def jump_obstacle(
    program: Program, summaries: Summaries, site: LoopSite, result: CheckpointSet
) -> str:
    """Why a replay must not jump inside the loop; "" if it may."""
    for access in result.dynamic:
        if access.name in ("exec", "globals"):
            return f"{access.name}() at line {access.line} may bind names that can't be known"
    if result.unnamed:
        return result.unnamed
    if site.function.generator and _yields(site):
        return "the loop yields: what advances the generator can't be taken along in a jump"
    accesses = summaries.of_statements(site.statements)
    why = _cached(program, summaries, site) or _entangled(summaries, result, accesses)
    if why:
        return why
    for obj, access in _generators(summaries, accesses).items():
        assert obj.function is not None
        own = summaries.closure.get(obj.function, frozenset({obj.function}))
        others = [a for a in accesses if a.function not in own]
        changes = changed_objects(summaries, others)
        own_locals = summaries.closure.get(obj.function, frozenset({obj.function}))
        changed = {
            o
            for o, change in changes.items()
            if o is not obj
            and o.where not in own_locals
            and (change.advanced is None or change.whole is not change.advanced)
        }
        rebound = _rebound(site, result, others)
        outlives = _outlives(summaries, site, result, obj)
        remade = not outlives and obj in result.iterators
        header = access.statement is site.node
        inside = (
            frozenset()
            if remade or not (outlives or header)
            else _born_in(summaries, site, changed)
        )
        why = depends_on(summaries, obj.function, changed, rebound, remade, inside)
        if why and (header or outlives or remade):
            return (
                f"the generator {obj.function.path or '<genexpr>'} depends on what the loop "
                f"changes ({why}): it can't be fast-forwarded"
            )
    return changed_iterable(summaries, site, result)


def _rebound(
    site: LoopSite, result: CheckpointSet, accesses: list[Access]
) -> set[tuple[object, str]]:
    """Variables that the loop assigns: those of its own frame, and others'."""
    own: set[tuple[object, str]] = {(site.function.scope, name) for name in result.rebound}
    return own | {(a.scope, a.name) for a in accesses if a.kind == "rebind"}


_CACHE = re.compile(r"(functools\.)?(lru_cache|cache)(\(.*\))?", re.DOTALL)


@functools.lru_cache(maxsize=1024)
def _wrapped(tree: ast.Module) -> frozenset[str]:
    """Names of functions that a module gives to a cache by hand (`cache(f)`)."""
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and len(n.args)]
    return frozenset(
        a.id
        for node in calls
        if _CACHE.fullmatch(ast.unparse(node.func))
        for a in node.args
        if isinstance(a, ast.Name)
    )


def _cached(program: Program, summaries: Summaries, site: LoopSite) -> str:
    """A function whose results are cached, though they depend on when it is called."""
    wrapped: set[str] = set().union(*(_wrapped(module.tree) for module in program.project.modules))
    for function in sorted(summaries.run_by(site.statements), key=repr):
        decorators = getattr(function.node, "decorator_list", [])
        name = function.path.rpartition(".")[2]
        if name in wrapped or any(_CACHE.fullmatch(ast.unparse(d)) for d in decorators):
            for access in summaries.of_function(function):
                if access.kind in ("draw", "rebind", "advance", "clock"):
                    return f"what {function.path} has cached can't be saved ({access.reason})"
    return ""


def _entangled(summaries: Summaries, result: CheckpointSet, accesses: list[Access]) -> str:
    """Two iterators over the same iterator that the loop advances by turns."""
    heap = summaries.points_to.heap
    advanced: dict[Obj, list[Access]] = {}
    for access in accesses:
        if access.kind == "advance" and access.obj is not None:
            advanced.setdefault(access.obj, []).append(access)
    for outer in sorted(set(result.iterators) & advanced.keys(), key=repr):
        own = summaries.closure.get(outer.function, frozenset()) if outer.function else frozenset()
        at = {a.statement for a in advanced[outer]}
        for inner in sorted(heap.reach({outer}) & advanced.keys() - {outer}, key=repr):
            for access in advanced[inner]:
                alone = access.statement not in at or access.name != WITHIN
                if alone and access.function not in own:
                    return f"{inner} is advanced by itself and by {outer}: it has no one position"
    return ""


def _yields(site: LoopSite) -> bool:
    """Whether an iteration may be suspended."""
    scopes = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
    stack: list[ast.AST] = list(site.node.body)
    while stack:
        node = stack.pop()
        if isinstance(node, (ast.Yield, ast.YieldFrom)):
            return True
        if not isinstance(node, scopes):
            stack += ast.iter_child_nodes(node)
    return False


def _born_in(summaries: Summaries, site: LoopSite, objs: set[Obj]) -> frozenset[Obj]:
    """Those objects that running the loop's body makes."""
    ran = summaries.run_by(site.statements[1:])
    nodes = {child for statement in site.node.body for child in ast.walk(statement)}
    return frozenset(o for o in objs if o.where in ran or o.site in nodes)


def _outlives(summaries: Summaries, site: LoopSite, result: CheckpointSet, obj: Obj) -> bool:
    """Whether the generator was made outside the loop's body (a fresh one needs no position).

    One that a function makes which the body calls may be of an earlier call, if it's still there.
    """
    if obj.where is site.function:
        body = site.node.body
        return not any(child is obj.site for statement in body for child in ast.walk(statement))
    if obj.where not in summaries.run_by(site.statements[1:]):
        return True
    heap = summaries.points_to.heap
    return obj in heap.reach({held for _, held in result.paths})
