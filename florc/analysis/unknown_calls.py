"""Calls that no effect entry describes, and what is saved for their sake alone."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass

from florc.analysis.callgraph import Summaries
from florc.analysis.checkpoint_set import CheckpointSet
from florc.analysis.loops import LoopSite
from florc.analysis.objects import LibraryCall


@dataclass(frozen=True)
class UnknownCall:
    """A call that nothing is known of, in a training loop."""

    name: str  # qualified; "*.method" where the receiver's type isn't known
    shown: str
    file: str
    line: int
    given: tuple[str, ...]  # locations that hold mutable objects
    members: tuple[tuple[str, str], ...]  # (loop, path) of what it is the stated reason for
    makes: str = ""  # the type of its result: what it is called by, where methods of it are called


def unknown_calls(
    summaries: Summaries, sets: Iterable[tuple[LoopSite, CheckpointSet]]
) -> tuple[UnknownCall, ...]:
    """Each undescribed call that may change something in a loop with assumed members, once."""
    blamed: dict[str, dict[tuple[str, str], None]] = {}
    first: dict[str, LibraryCall] = {}
    given: dict[str, dict[str, None]] = {}
    made_by = {c.node: c.name for c in summaries.points_to.library_calls if not c.known}
    types: set[str] = set()
    for site, result in sets:
        assumed = [m for m in result.members if m.certainty == "assumed"]
        if not assumed:
            continue
        inside, ran = set(site.statements), summaries.run_by(site.statements)
        for call in summaries.points_to.library_calls:
            if call.known or not call.name:
                continue
            if call.statement not in inside and call.function not in ran:
                continue
            words = f"unknown call {call.shown}() "
            paths = [m.path for m in assumed if words in m.reason]
            effects = summaries.at_statement.get(call.statement, ())
            if paths or any(a.kind == "mutate" and words in a.reason for a in effects):
                name = _method_of_made(call, made_by) or call.name
                if name != call.name:
                    types.add(name.rpartition(".")[0])
                first.setdefault(name, call)
                given.setdefault(name, {}).update(dict.fromkeys(call.given))
                members = blamed.setdefault(name, {})
                members.update(dict.fromkeys((site.name, path) for path in paths))
    return tuple(
        UnknownCall(
            name,
            call.shown,
            call.function.module.rel,
            getattr(call.node, "lineno", call.statement.lineno),
            tuple(given[name]),
            tuple(blamed[name]),
            name if name in types else "",
        )
        for name, call in first.items()
    )


def _method_of_made(call: LibraryCall, made_by: dict[ast.AST, str]) -> str:
    """`lib.Thing.go` for a method of what the undescribed call `lib.Thing()` has made."""
    start, _, method = call.name.partition(".")
    if start != "*":
        return ""
    makers = {made_by.get(obj.site) for obj in call.given.get("self", ()) if obj.site is not None}
    maker = makers.pop() if len(makers) == 1 else None
    return f"{maker}.{method}" if maker and not maker.startswith("*") else ""
