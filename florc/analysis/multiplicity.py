"""How many objects an allocation site makes: one, or one for each activation of a training loop."""

from __future__ import annotations

import ast
import functools

from florc.analysis.callgraph import Summaries
from florc.analysis.objects import Function, Obj


def defined_once(function: Function, summaries: Summaries) -> bool:
    """Whether there is one function object of it at most."""
    parent = function.scope.parent
    if parent is None or parent.kind == "module":
        return True
    outer = next((f for f in summaries.points_to.functions if f.scope is parent), None)
    if outer is None or _in_loop(outer, function.node):
        return False
    return _once(outer, summaries, frozenset())


def single(obj: Obj, summaries: Summaries, tops: frozenset[Function] = frozenset()) -> bool:
    """Whether the allocation site makes one object only: it isn't in a loop or a callee.

    With `tops`: one for each activation of one of these functions.
    """
    where = obj.where
    if obj.kind in ("class", "module"):
        return True
    if obj.kind == "function":
        return obj.function is None or defined_once(obj.function, summaries)
    if where is None or obj.site is None or obj in summaries.points_to.heap.many:
        return False
    return not _in_loop(where, obj.site) and _once(where, summaries, frozenset(), tops)


def _once(
    function: Function,
    summaries: Summaries,
    within: frozenset[Function],
    tops: frozenset[Function] = frozenset(),
) -> bool:
    """Whether a function runs once at most: one call of it, in code that runs once.

    Code of the functions `tops` counts as such.
    """
    if isinstance(function.node, ast.Module) or function in tops:
        return True
    calls = summaries.calls_of.get(function, ())
    if len(calls) != 1 or function.generator or function in within:
        return False
    edge = calls[0]
    if edge.at is None or _in_loop(edge.caller, edge.at) or _in_loop(edge.caller, edge.statement):
        return False
    return _once(edge.caller, summaries, within | {function}, tops)


def _in_loop(function: Function, node: ast.AST) -> bool:
    """Whether code of a function's own body may run more often than the body."""
    return node in _repeated(function)


@functools.lru_cache(maxsize=512)
def _repeated(function: Function) -> frozenset[ast.AST]:
    """Everything in a function's loops and comprehensions."""
    kinds = (ast.For, ast.While, ast.AsyncFor, ast.ListComp, ast.SetComp, ast.DictComp)
    loops = [n for n in ast.walk(function.node) if isinstance(n, (*kinds, ast.GeneratorExp))]
    return frozenset(child for loop in loops for child in ast.walk(loop))
