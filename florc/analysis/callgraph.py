"""The call graph and transitive effects, over strongly connected components."""

from __future__ import annotations

import ast
import functools
from dataclasses import dataclass
from functools import cached_property

import networkx as nx

from florc.analysis.execute import PointsTo
from florc.analysis.objects import Access, CallEdge, Function, Obj


@dataclass(frozen=True)
class Summaries:
    """Direct and transitive effects: of statements, of functions."""

    points_to: PointsTo

    @cached_property
    def graph(self) -> nx.DiGraph[Function]:
        """Functions; an edge caller -> callee."""
        graph: nx.DiGraph[Function] = nx.DiGraph()
        graph.add_nodes_from(self.points_to.functions)
        graph.add_edges_from((e.caller, e.callee) for e in self.points_to.edges)
        return graph

    @cached_property
    def closure(self) -> dict[Function, frozenset[Function]]:
        """Function -> all functions that calling it may run (itself included)."""
        condensed = nx.condensation(self.graph)
        reached: dict[int, frozenset[Function]] = {}
        for component in reversed(list(nx.topological_sort(condensed))):
            members = frozenset(condensed.nodes[component]["members"])
            reached[component] = members.union(
                *(reached[successor] for successor in condensed.successors(component))
            )
        mapping = condensed.graph["mapping"]
        return {function: reached[mapping[function]] for function in self.graph}

    @cached_property
    def direct(self) -> dict[Function, list[Access]]:
        """Function -> effects of its own statements."""
        found: dict[Function, list[Access]] = {}
        for access in self.points_to.accesses:
            found.setdefault(access.function, []).append(access)
        return found

    @cached_property
    def at_statement(self) -> dict[ast.stmt, list[Access]]:
        """Statement -> its own effects."""
        found: dict[ast.stmt, list[Access]] = {}
        for access in self.points_to.accesses:
            found.setdefault(access.statement, []).append(access)
        return found

    @cached_property
    def callees(self) -> dict[ast.stmt, set[Function]]:
        """Statement -> functions that it may call itself."""
        found: dict[ast.stmt, set[Function]] = {}
        for edge in self.points_to.edges:
            found.setdefault(edge.statement, set()).add(edge.callee)
        return found

    @cached_property
    def calls_of(self) -> dict[Function, list[CallEdge]]:
        """Function -> the places that may call it."""
        found: dict[Function, list[CallEdge]] = {}
        for edge in self.points_to.edges:
            found.setdefault(edge.callee, []).append(edge)
        return found

    @cached_property
    def callers(self) -> dict[Function, list[tuple[Function, ast.stmt]]]:
        """Function -> (caller, statement) pairs."""
        found: dict[Function, list[tuple[Function, ast.stmt]]] = {}
        for edge in self.points_to.edges:
            found.setdefault(edge.callee, []).append((edge.caller, edge.statement))
        return found

    @cached_property
    def within(self) -> dict[tuple[Obj, str], tuple[Obj, ...]]:
        """(object, package) -> what a deep mutation of it may change, as far as asked."""
        return {}

    def of_function(self, function: Function) -> list[Access]:
        """All effects that calling `function` may have."""
        return [
            access
            for callee in sorted(self.closure.get(function, {function}), key=_place)
            for access in self.direct.get(callee, ())
        ]

    def run_by(self, statements: list[ast.stmt]) -> frozenset[Function]:
        """Functions that running these statements may run, transitively."""
        called: set[Function] = set()
        for statement in statements:
            called |= self.callees.get(statement, set())
        return frozenset().union(*(self.closure.get(f, {f}) for f in called))

    def of_statements(self, statements: list[ast.stmt]) -> list[Access]:
        """All effects that running these statements may have, callees' included."""
        key = tuple(statements)
        if key not in self._effects:
            self._effects[key] = self._collect(statements)
        return list(self._effects[key])

    @cached_property
    def _effects(self) -> dict[tuple[ast.stmt, ...], list[Access]]:
        return {}

    def _collect(self, statements: list[ast.stmt]) -> list[Access]:
        found = [a for s in statements for a in self.at_statement.get(s, ())]
        ran = self.run_by(statements)
        nodes: set[ast.AST] = set()
        for statement in statements:
            if statement not in nodes:  # those inside come after the one around them
                nodes.update(ast.walk(statement))
        for function in sorted(ran, key=_place):
            direct = self.direct.get(function, ())
            if function.path.endswith((".__init__", ".__post_init__")):
                # A constructor changes the object being made: only ones made by this code count.
                direct = [
                    a
                    for a in direct
                    if a.obj is None
                    or a.obj.cls is None
                    or a.obj.where is None
                    or a.obj.where in ran
                    or a.obj.site in nodes
                ]
            found += direct
        return found


def _place(function: Function) -> tuple[str, int, int]:
    """Source order of functions; two lambdas of one line differ by column."""
    line = getattr(function.node, "lineno", 0)
    return repr(function), line, getattr(function.node, "col_offset", 0)


def statements_of(function: Function) -> list[ast.stmt]:
    """All statements of a function's own body (nested functions' bodies excluded)."""
    return list(_own_statements(function.node))


@functools.lru_cache(maxsize=4096)
def _own_statements(node: ast.AST) -> tuple[ast.stmt, ...]:
    body = [] if isinstance(node, ast.Lambda) else getattr(node, "body", [])
    return tuple(_with_inner(list(body)))


def statements_in(loop: ast.stmt) -> list[ast.stmt]:
    """A loop's header and all statements of its body (nested functions' bodies excluded).

    Not those of its `else`, which runs when the loop is over.
    """
    return [loop, *_with_inner(list(getattr(loop, "body", [])))]


def statements_within(statement: ast.stmt) -> list[ast.stmt]:
    """A statement and all statements in it, of every branch (functions' bodies excluded)."""
    return _with_inner([statement])


def _with_inner(stack: list[ast.stmt]) -> list[ast.stmt]:
    found = []
    while stack:
        statement = stack.pop(0)
        found.append(statement)
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            continue
        for name in ("body", "orelse", "finalbody"):
            stack += getattr(statement, name, [])
        for handler in getattr(statement, "handlers", []):
            stack += handler.body
        for case in getattr(statement, "cases", []):
            stack += case.body
    return found
