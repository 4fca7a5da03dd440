"""Liveness of names (backward dataflow; Aho et al., Compilers, 9.2.5) on a control-flow graph."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from florc.analysis.captures import Captures
from florc.analysis.cfg import ControlFlowGraph, Node
from florc.analysis.objects import DYNAMIC
from florc.analysis.occurrences import Occurrence, evaluated, occurrences
from florc.frontend.scopes import Scope


@dataclass(frozen=True)
class LiveSets:
    """Names live before each node."""

    before: dict[Node, frozenset[str]]

    def text(self, cfg: ControlFlowGraph) -> str:
        """Stable text: one node a line."""
        return "\n".join(
            f"{n.index:4} {n!r}: {' '.join(sorted(self.before[n]))}" for n in cfg.nodes
        )


def names_of(
    node: Node,
    scope: Scope,
    scopes: dict[ast.AST, Scope],
    eager: frozenset[str] = frozenset(),
) -> tuple[set[str], set[str]]:
    """(uses, definitions) of `scope`'s names at a node; nested code that mentions one uses it.

    Uses are those that a definition at the node itself doesn't answer; definitions are certain.
    """
    return summary(occurrences(node, scope, scopes, eager))


def summary(found: Iterable[Occurrence]) -> tuple[set[str], set[str]]:
    """(uses, definitions) among occurrences in evaluation order: see `names_of`."""
    uses: set[str] = set()
    defs: set[str] = set()
    for occurrence in found:
        if occurrence.kind == "use":
            if occurrence.deferred or occurrence.name not in defs:
                uses.add(occurrence.name)
        elif occurrence.certain:
            defs.add(occurrence.name)
    return uses, defs


def solve_backward(
    cfg: ControlFlowGraph,
    facts: Callable[[Node], tuple[Iterable[str], Iterable[str]]],
    at_exit: Iterable[str] = (),
) -> dict[Node, frozenset[str]]:
    """Backward may-analysis: before = uses + (union of successors' before - definitions)."""
    gen_kill = {node: tuple(map(frozenset, facts(node))) for node in cfg.nodes}
    predecessors: dict[Node, list[Node]] = {node: [] for node in cfg.nodes}
    for node in cfg.nodes:
        for successor in node.successors:
            predecessors[successor].append(node)
    before: dict[Node, frozenset[str]] = {node: frozenset() for node in cfg.nodes}
    before[cfg.exit] = frozenset(at_exit)
    work = list(cfg.nodes)
    queued = set(work)
    while work:
        node = work.pop()
        queued.discard(node)
        if node is cfg.exit:
            continue
        after: frozenset[str] = frozenset().union(*(before[s] for s in node.successors))
        gen, kill = gen_kill[node]
        new = gen | (after - kill)
        if new != before[node]:
            before[node] = new
            for predecessor in predecessors[node]:
                if predecessor not in queued:
                    queued.add(predecessor)
                    work.append(predecessor)
    return before


def _of_object(call: ast.Call) -> bool:
    """Whether it is ``vars(x)``, which reads the attributes of x."""
    return getattr(call.func, "id", "") == "vars" and bool(call.args)


def liveness(
    cfg: ControlFlowGraph,
    scope: Scope,
    scopes: dict[ast.AST, Scope],
    eager: frozenset[str] = frozenset(),
    captures: Captures | None = None,
) -> LiveSets:
    """Names of `scope` live before each node.

    Names that nested functions mention, and in a module those that its functions mention, are
    live where a call may run such a function (`captures`); everywhere, if that isn't known.  So
    are those that a generator expression reads when it is iterated later (see `occurrences`).
    """
    found = {node: occurrences(node, scope, scopes, eager) for node in cfg.nodes}
    later = [o for group in found.values() for o in group if o.deferred and o.kind == "use"]
    if captures is None:
        always = frozenset(scope.captured | {o.name for o in later})
    else:
        always = captures.always(scope) | {o.name for o in later if not o.nested}

    def facts(node: Node) -> tuple[Iterable[str], Iterable[str]]:
        uses, defs = summary(found[node])
        for part in evaluated(node):
            for child in ast.walk(part):
                if isinstance(child, ast.Call) and isinstance(child.func, ast.Name):
                    if child.func.id in DYNAMIC and not _of_object(child):
                        uses |= scope.names
        if captures is not None and node.statement is not None and node.role != "bind":
            uses |= captures.read_by(node.statement, scope)
        return uses, defs - always

    before = solve_backward(cfg, facts, always)
    return LiveSets({node: live | always for node, live in before.items()})
