"""Liveness of names (backward dataflow; Aho et al., Compilers, 9.2.5) on a control-flow graph."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from florc.analysis.captures import Captures
from florc.analysis.cfg import ControlFlowGraph, Node, case_of, handler_of, pattern_names
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


def _header(node: Node) -> list[ast.AST]:
    """The parts of a statement that its node evaluates."""
    s = node.statement
    if s is None or node.role == "bind":
        return []
    if isinstance(s, (ast.For, ast.AsyncFor)):
        return [s.iter] if node.role == "init" else []
    if isinstance(s, (ast.While, ast.If)):
        return [s.test]
    if isinstance(s, (ast.With, ast.AsyncWith)):
        return list(s.items)
    if isinstance(s, ast.Match):
        return [s.subject]
    handler = handler_of(s)
    if handler is not None:
        return [handler.type] if handler.type else []
    case = case_of(s)
    if case is not None:
        return [case.pattern, *([case.guard] if case.guard else [])]
    return [s]


def names_of(node: Node, scope: Scope, scopes: dict[ast.AST, Scope]) -> tuple[set[str], set[str]]:
    """(uses, definitions) of `scope`'s names at a node; nested code that mentions one uses it."""
    uses: set[str] = set()
    defs: set[str] = set()
    s = node.statement
    if node.role == "bind" and isinstance(s, (ast.For, ast.AsyncFor)):
        _target(s.target, scope, uses, defs)
        return uses, defs
    handler = handler_of(s)
    if handler is not None and handler.name:
        defs.add(handler.name)
    for part in _header(node):
        _collect(part, scope, scope, scopes, uses, defs, True)
    case = case_of(s)
    if case is not None:
        captured = set(pattern_names(case.pattern))
        uses -= captured  # a guard reads what the pattern has just bound
        defs |= captured
    if isinstance(s, ast.AugAssign) and isinstance(s.target, ast.Name):
        uses.add(s.target.id)
    if isinstance(s, ast.Delete):
        targets = {t.id for t in s.targets if isinstance(t, ast.Name)}
        uses |= {name for name in targets if scope.owner(name) is scope}  # it has to be bound
    return uses, defs


def _target(target: ast.expr, scope: Scope, uses: set[str], defs: set[str]) -> None:
    for child in ast.walk(target):
        if isinstance(child, ast.Name):
            if scope.owner(child.id) is scope:
                (uses if isinstance(child.ctx, ast.Load) else defs).add(child.id)


def _collect(
    part: ast.AST,
    here: Scope,
    scope: Scope,
    scopes: dict[ast.AST, Scope],
    uses: set[str],
    defs: set[str],
    certain: bool,
) -> None:
    """Add a part's names; what only some evaluations reach defines nothing for certain."""
    inner = scopes.get(part)
    if inner is not None and not isinstance(part, ast.Module):
        if isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            if here is scope:
                defs.add(part.name)
        here = inner
    elif isinstance(part, ast.Name):
        if here.owner(part.id) is scope:
            if isinstance(part.ctx, ast.Load) or here is not scope:
                uses.add(part.id)
            elif certain:
                defs.add(part.id)
    elif isinstance(part, (ast.Import, ast.ImportFrom)) and here is scope:
        for alias in part.names:
            defs.add(alias.asname or alias.name.split(".")[0])
    doubtful = _conditional_parts(part)
    for child in ast.iter_child_nodes(part):
        sure = certain and child not in doubtful
        _collect(child, here, scope, scopes, uses, defs, sure)


def _conditional_parts(part: ast.AST) -> list[ast.AST]:
    """Sub-expressions that evaluating `part` may leave out (short circuits, arms, loops)."""
    if isinstance(part, ast.BoolOp):
        return list(part.values[1:])
    if isinstance(part, ast.IfExp):
        return [part.body, part.orelse]
    if isinstance(part, ast.Compare):
        return list(part.comparators[1:])
    if isinstance(part, ast.comprehension):
        return [part.target, *part.ifs]
    if isinstance(part, (ast.ListComp, ast.SetComp, ast.GeneratorExp)):
        return [part.elt]
    if isinstance(part, ast.DictComp):
        return [part.key, part.value]
    if isinstance(part, ast.Assert):
        return [part.msg] if part.msg else []
    return []


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


def liveness(
    cfg: ControlFlowGraph,
    scope: Scope,
    scopes: dict[ast.AST, Scope],
    captures: Captures | None = None,
) -> LiveSets:
    """Names of `scope` live before each node.

    Names that nested functions mention, and in a module those that its functions mention, are
    live where a call may run such a function (`captures`); everywhere, if that isn't known.
    """
    always = frozenset(scope.captured) if captures is None else captures.always(scope)
    dynamic = {"locals", "vars", "eval", "exec", "globals"}

    def facts(node: Node) -> tuple[Iterable[str], Iterable[str]]:
        uses, defs = names_of(node, scope, scopes)
        for part in _header(node):
            for child in ast.walk(part):
                if isinstance(child, ast.Call) and isinstance(child.func, ast.Name):
                    if child.func.id in dynamic:
                        uses |= scope.names
        if captures is not None and node.statement is not None and node.role != "bind":
            uses |= captures.read_by(node.statement, scope)
        return uses, defs - always

    before = solve_backward(cfg, facts, always)
    return LiveSets({node: live | always for node, live in before.items()})
