"""Control-flow graph of one function, a node per statement (compound ones: their header).

A `for` statement gives three nodes: `init` evaluates the iterable once, `head` is where the next
item is asked for, `bind` assigns it.  Checkpoints are taken at `head`.  Any statement in a `try`
body may jump to its handlers; `finally` joins all ways through it (an over-approximation).
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace

Loop = ast.For | ast.AsyncFor | ast.While


@dataclass(eq=False)
class Node:
    """One node; `role` is "stmt", "init", "head", "bind", "entry" or "exit"."""

    index: int
    role: str
    statement: ast.stmt | None
    successors: list[Node] = field(default_factory=list)

    def __repr__(self) -> str:
        line = self.statement.lineno if self.statement else 0
        kind = type(self.statement).__name__ if self.statement else ""
        return f"{self.role}:{kind}@{line}" if kind else self.role


@dataclass(frozen=True)
class ControlFlowGraph:
    """Nodes in creation order; `heads` finds a loop's head."""

    nodes: tuple[Node, ...]
    entry: Node
    exit: Node
    heads: dict[ast.stmt, Node]

    def text(self) -> str:
        """Stable text: one node a line with its successors."""
        lines = []
        for node in self.nodes:
            to = " ".join(str(s.index) for s in node.successors)
            lines.append(f"{node.index:4} {node!r} -> {to}")
        return "\n".join(lines)


@dataclass
class _Jumps:
    """Where break, continue, return and exceptions go at the current place."""

    breaks: list[Node] | None = None
    continues: list[Node] | None = None
    returns: list[Node] | None = None
    raises: list[Node] | None = None  # nodes that may raise into the enclosing handlers


class _Builder:
    def __init__(self, swallows: Callable[[ast.withitem], bool]) -> None:
        self.swallows = swallows
        self.nodes: list[Node] = []
        self.heads: dict[ast.stmt, Node] = {}

    def new(self, role: str, statement: ast.stmt | None, sources: list[Node]) -> Node:
        node = Node(len(self.nodes), role, statement)
        self.nodes.append(node)
        for source in sources:
            source.successors.append(node)
        return node

    def block(self, body: list[ast.stmt], sources: list[Node], jumps: _Jumps) -> list[Node]:
        for statement in body:
            sources = self.statement(statement, sources, jumps)
        return sources

    def statement(self, statement: ast.stmt, sources: list[Node], jumps: _Jumps) -> list[Node]:
        if isinstance(statement, (ast.For, ast.AsyncFor, ast.While)):
            return self.loop(statement, sources, jumps)
        if isinstance(statement, ast.Try) or type(statement).__name__ == "TryStar":
            return self.try_(statement, sources, jumps)  # type: ignore[arg-type]
        node = self.new("stmt", statement, sources)
        if jumps.raises is not None:
            jumps.raises.append(node)
        if isinstance(statement, ast.If):
            then = self.block(statement.body, [node], jumps)
            other = self.block(statement.orelse, [node], jumps) if statement.orelse else [node]
            return then + other
        if isinstance(statement, (ast.With, ast.AsyncWith)):
            if not any(map(self.swallows, statement.items)):
                return self.block(statement.body, [node], jumps)
            # An exception may be swallowed wherever it is raised in the body.
            raising = [node]
            within = replace(jumps, raises=raising)
            after = self.block(statement.body, [node], within)
            if jumps.raises is not None:
                jumps.raises += raising
            return after + raising
        if isinstance(statement, ast.Match):
            after = [node]
            tried = [node]
            for case in statement.cases:
                start = self.new("stmt", _CaseHeader(case, statement), tried)
                if jumps.raises is not None:
                    jumps.raises.append(start)
                after += self.block(case.body, [start], jumps)
                if case.guard is not None:  # bound, then refused
                    tried = [*tried, start]
                    after.append(start)
            return after
        if isinstance(statement, ast.Return):
            if jumps.returns is not None:
                jumps.returns.append(node)
            return []
        if isinstance(statement, ast.Raise):
            if jumps.raises is None and jumps.returns is not None:
                jumps.returns.append(node)
            return []
        if isinstance(statement, ast.Break) and jumps.breaks is not None:
            jumps.breaks.append(node)
            return []
        if isinstance(statement, ast.Continue) and jumps.continues is not None:
            jumps.continues.append(node)
            return []
        return [node]

    def loop(self, statement: Loop, sources: list[Node], jumps: _Jumps) -> list[Node]:
        inner = _Jumps([], [], jumps.returns, jumps.raises)
        if isinstance(statement, ast.While):
            head = self.new("head", statement, sources)
            start = head
            endless = isinstance(statement.test, ast.Constant) and bool(statement.test.value)
        else:
            init = self.new("init", statement, sources)
            head = self.new("head", statement, [init])
            start = self.new("bind", statement, [head])
            endless = False
            if jumps.raises is not None:
                jumps.raises.append(init)
        if jumps.raises is not None:
            jumps.raises += [head] if start is head else [head, start]
        self.heads[statement] = head
        for node in self.block(statement.body, [start], inner):
            node.successors.append(head)
        for node in inner.continues or ():
            node.successors.append(head)
        finished = [] if endless else [head]
        after = self.block(statement.orelse, finished, jumps) if statement.orelse else finished
        return after + (inner.breaks or [])

    def try_(self, statement: ast.Try, sources: list[Node], jumps: _Jumps) -> list[Node]:
        final = bool(statement.finalbody)
        inner = _Jumps(
            [] if final and jumps.breaks is not None else jumps.breaks,
            [] if final and jumps.continues is not None else jumps.continues,
            [] if final else jumps.returns,
            list(sources),
        )
        after = self.block(statement.body, sources, inner)
        raising = inner.raises or []
        inner.raises = [] if final or jumps.raises is not None else None
        ends = self.block(statement.orelse, after, inner) if statement.orelse else after
        for handler in statement.handlers:
            marker = ast.copy_location(ast.Pass(), handler)
            start = self.new("stmt", marker, raising)
            start.statement = _HandlerHeader(handler)
            if inner.raises is not None:
                inner.raises.append(start)
            ends = ends + self.block(handler.body, [start], inner)
        if not final:
            if jumps.raises is not None:
                jumps.raises += (inner.raises or []) + raising
            return ends
        pending = [*(inner.breaks or ()), *(inner.continues or ()), *(inner.returns or ())]
        pending += [*raising, *(inner.raises or ())]
        done = self.block(statement.finalbody, ends + pending, jumps)
        for into, through in (
            (jumps.breaks, inner.breaks),
            (jumps.continues, inner.continues),
            (jumps.returns, inner.returns),
        ):
            if into is not None and through:
                into += done
        if jumps.raises is not None:  # `finally` may raise too, at its first statement already
            jumps.raises += [*ends, *pending, *done]
        return done


class _HandlerHeader(ast.Pass):
    """Stands for `except E as name:` in the graph."""

    _fields = ()

    def __init__(self, handler: ast.ExceptHandler) -> None:
        super().__init__(lineno=handler.lineno, col_offset=handler.col_offset)
        self.handler = handler


class _CaseHeader(ast.Pass):
    """Stands for `case pattern if guard:` in the graph."""

    _fields = ()

    def __init__(self, case: ast.match_case, match: ast.Match) -> None:
        line = getattr(case.pattern, "lineno", match.lineno)
        super().__init__(lineno=line, col_offset=getattr(case.pattern, "col_offset", 0))
        self.case = case


def case_of(statement: ast.stmt | None) -> ast.match_case | None:
    """The case clause that a node stands for, or None."""
    return statement.case if isinstance(statement, _CaseHeader) else None


def pattern_names(pattern: ast.AST) -> list[str]:
    """Names that a match pattern binds."""
    found = [getattr(n, "name", None) or getattr(n, "rest", None) for n in ast.walk(pattern)]
    return [name for name in found if isinstance(name, str)]


def handler_of(statement: ast.stmt | None) -> ast.ExceptHandler | None:
    """The except clause that a node stands for, or None."""
    return statement.handler if isinstance(statement, _HandlerHeader) else None


def may_swallow(item: ast.withitem) -> bool:
    """The default: any context manager may swallow exceptions."""
    return True


def control_flow_graph(
    body: list[ast.stmt], swallows: Callable[[ast.withitem], bool] = may_swallow
) -> ControlFlowGraph:
    """Build the graph of a function's or module's body.

    `swallows` tells whether a context manager may swallow an exception of its block.
    """
    builder = _Builder(swallows)
    entry = builder.new("entry", None, [])
    jumps = _Jumps(None, None, [], None)
    ends = builder.block(body, [entry], jumps)
    leave = builder.new("exit", None, ends + (jumps.returns or []))
    return ControlFlowGraph(tuple(builder.nodes), entry, leave, builder.heads)


def assuming_runs(cfg: ControlFlowGraph, loops: Collection[ast.stmt]) -> ControlFlowGraph:
    """The graph without the ways around the bodies of these `for` loops: each runs once or more."""
    copies = {node: Node(node.index, node.role, node.statement) for node in cfg.nodes}
    for node, copy in copies.items():
        skipping = node.role == "init" and node.statement in loops
        for successor in node.successors:
            # From the loop's beginning straight to the first item, not over the head, which may
            # find that there is none.
            targets = [s for s in successor.successors if s.role == "bind"] if skipping else []
            copy.successors += [copies[target] for target in targets or [successor]]
    heads = {statement: copies[head] for statement, head in cfg.heads.items()}
    nodes = tuple(copies[node] for node in cfg.nodes)
    return ControlFlowGraph(nodes, copies[cfg.entry], copies[cfg.exit], heads)
