"""Calls by which the script logs already, to a tracker: values of theirs are captured when it runs.

Which calls these are is data (florc/logcalls); here only the names are found out.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass

from florc.analysis.callgraph import Summaries
from florc.analysis.objects import Function
from florc.logcalls.constant import written
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
            names = tuple(dict.fromkeys(name for name, _ in written(call, node)))
            found[made.function, node] = CapturedCall(made.function, made.statement, node, names)
    return tuple(
        sorted(
            found.values(),
            key=lambda c: (c.function.module.rel, c.node.lineno, c.node.col_offset),
        )
    )
