"""Calls by which the script logs already, to a tracker: values of theirs are captured when it runs.

Which calls these are is data (florc/logcalls); here only the names are found out.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from florc.analysis.callgraph import Summaries
from florc.analysis.objects import Function
from florc.logcalls.model import LogCall


@dataclass(frozen=True)
class CapturedCall:
    """One call, with the literal names under which it logs (none: they aren't known before)."""

    function: Function
    statement: ast.stmt
    node: ast.Call
    names: tuple[str, ...]


def captured_calls(
    summaries: Summaries, calls: Mapping[str, LogCall]
) -> tuple[CapturedCall, ...]:  # fmt: skip
    """All calls of the program that log by themselves, in order of place."""
    known = {name: call for call in calls.values() for name in (call.call, *call.also)}
    found: dict[tuple[Function, ast.AST], CapturedCall] = {}
    for made in summaries.points_to.library_calls:
        call, node = known.get(made.name), made.node
        if call is not None and isinstance(node, ast.Call):
            names = tuple(dict.fromkeys(_names(call, node)))
            found[made.function, node] = CapturedCall(made.function, made.statement, node, names)
    return tuple(
        sorted(
            found.values(),
            key=lambda c: (c.function.module.rel, c.node.lineno, c.node.col_offset),
        )
    )


def _names(call: LogCall, node: ast.Call) -> Iterator[str]:
    """The literal names; a name that is only known when the script runs isn't among them."""
    before = call.prefix
    if call.under:
        under = _text(_given(call, node, call.under))
        if under is None:
            return
        before += f"{under}/"
    if call.name and call.value:
        name = _text(_given(call, node, call.name))
        if name is not None:
            yield before + name
    if call.values:
        yield from _keys(_given(call, node, call.values), before, call.nested)
    if call.keywords:
        yield from (
            f"{before}{k.arg}" for k in node.keywords if k.arg not in (None, *call.parameters)
        )


def _keys(node: ast.expr | None, before: str, nested: str) -> Iterator[str]:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict":
        if not node.args:
            for keyword in node.keywords:
                if keyword.arg is not None:
                    yield before + keyword.arg
    if not isinstance(node, ast.Dict):
        return
    for key, value in zip(node.keys, node.values):
        name = _text(key)
        if name is None:
            continue
        if isinstance(value, ast.Dict):
            if nested:
                yield from _keys(value, f"{before}{name}{nested}", nested)
        else:
            yield before + name


def _given(call: LogCall, node: ast.Call, parameter: str) -> ast.expr | None:
    """The expression that a call gives for a parameter."""
    for keyword in node.keywords:
        if keyword.arg == parameter:
            return keyword.value
    place = call.parameters.index(parameter)
    if place < len(node.args) and not any(
        isinstance(argument, ast.Starred) for argument in node.args[: place + 1]
    ):
        return node.args[place]
    return None


def _text(node: ast.expr | None) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None
