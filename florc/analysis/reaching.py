"""Reaching definitions and def-use chains (forward dataflow; Aho et al., Compilers, 9.2.4)."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass

from florc.analysis.cfg import ControlFlowGraph, Node
from florc.analysis.occurrences import Occurrence, occurrences
from florc.frontend.scopes import Scope


@dataclass(frozen=True)
class Definition:
    """One place that binds a name; `node` is None for one in a nested function."""

    name: str
    site: ast.AST  # Name, arg, alias, function, class, except clause or capture pattern
    node: Node | None

    @property
    def line(self) -> int:
        """The line of the binding."""
        return getattr(self.site, "lineno", 0)


@dataclass(frozen=True)
class ReachingDefinitions:
    """Definitions of a scope's names, and where they reach.

    `anywhere` are those that any node may see: a nested function or another module makes them.
    `before` holds for each node a set of indices into `definitions`, as the bits of an integer.
    """

    definitions: tuple[Definition, ...]
    anywhere: frozenset[Definition]
    before: dict[Node, int]
    chains: dict[ast.AST, frozenset[Definition]]  # use -> the definitions that it may read

    def at(self, node: Node, name: str) -> frozenset[Definition]:
        """Definitions of `name` that reach a node (before it is evaluated)."""
        return self._named(self.before[node], name) | self._always(name)

    def _named(self, bits: int, name: str) -> frozenset[Definition]:
        found = enumerate(self.definitions)
        return frozenset(d for i, d in found if d.name == name and bits >> i & 1)

    def _always(self, name: str) -> frozenset[Definition]:
        return frozenset(d for d in self.anywhere if d.name == name)

    def text(self) -> str:
        """Stable text: one use a line, `name@line <- lines of its definitions`."""
        rows = set()
        for use, found in self.chains.items():
            name = getattr(use, "id", "")
            place = f"{getattr(use, 'lineno', 0)}:{getattr(use, 'col_offset', 0)}"
            lines = " ".join(map(str, sorted({d.line for d in found}))) or "-"
            rows.add((getattr(use, "lineno", 0), getattr(use, "col_offset", 0), name, place, lines))
        return "\n".join(f"{name}@{place} <- {lines}" for *_, name, place, lines in sorted(rows))


def reaching_definitions(
    cfg: ControlFlowGraph,
    scope: Scope,
    scopes: dict[ast.AST, Scope],
    eager: frozenset[str] = frozenset(),
) -> ReachingDefinitions:
    """Which definitions of `scope`'s names reach which nodes and uses.

    What runs later (bodies of nested functions, lazy generator expressions) may read and make
    every definition of a name: who calls it, and when, isn't followed here.
    """
    found = {node: occurrences(node, scope, scopes, eager) for node in cfg.nodes}
    numbers: dict[tuple[ast.AST, str], int] = {}
    definitions: list[Definition] = []
    anywhere: dict[tuple[ast.AST, str], Definition] = {}
    of_name: dict[str, int] = {}
    for node, group in found.items():
        for o in group:
            if o.kind != "def":
                continue
            if o.deferred:
                anywhere[o.site, o.name] = Definition(o.name, o.site, None)
            elif (o.site, o.name) not in numbers:
                numbers[o.site, o.name] = len(definitions)
                of_name[o.name] = of_name.get(o.name, 0) | 1 << len(definitions)
                definitions.append(Definition(o.name, o.site, node))

    def step(bits: int, o: Occurrence) -> int:
        if o.deferred or o.kind == "use":
            return bits
        if o.certain:
            bits &= ~of_name.get(o.name, 0)
        return bits | 1 << numbers[o.site, o.name] if o.kind == "def" else bits

    def transfer(node: Node, bits: int) -> int:
        for o in found[node]:
            bits = step(bits, o)
        return bits

    before = solve_forward(cfg, transfer)
    always: dict[str, frozenset[Definition]] = {}
    for definition in anywhere.values():
        always[definition.name] = always.get(definition.name, frozenset()) | {definition}

    def seen(bits: int, name: str) -> frozenset[Definition]:
        bits &= of_name.get(name, 0)
        reached = set(always.get(name, ()))
        while bits:
            low = bits & -bits
            reached.add(definitions[low.bit_length() - 1])
            bits ^= low
        return frozenset(reached)

    chains: dict[ast.AST, frozenset[Definition]] = {}
    for node in reachable(cfg):
        bits = before[node]
        for o in found[node]:
            if o.kind == "use":
                visible = seen(-1 if o.deferred else bits, o.name)
                chains[o.site] = chains.get(o.site, frozenset()) | visible
            else:
                bits = step(bits, o)
    return ReachingDefinitions(tuple(definitions), frozenset(anywhere.values()), before, chains)


def reachable(cfg: ControlFlowGraph) -> list[Node]:
    """Nodes that some path from the entry reaches, in reverse postorder."""
    order: list[Node] = []
    seen = {cfg.entry}
    stack = [(cfg.entry, iter(cfg.entry.successors))]
    while stack:
        node, successors = stack[-1]
        for successor in successors:
            if successor not in seen:
                seen.add(successor)
                stack.append((successor, iter(successor.successors)))
                break
        else:
            stack.pop()
            order.append(node)
    return order[::-1]


def solve_forward(cfg: ControlFlowGraph, transfer: Callable[[Node, int], int]) -> dict[Node, int]:
    """Forward may-analysis over bit sets: before = union of what leaves the predecessors."""
    before: dict[Node, int] = dict.fromkeys(cfg.nodes, 0)
    order = reachable(cfg)
    changed = True
    while changed:
        changed = False
        for node in order:
            after = transfer(node, before[node])
            for successor in node.successors:
                if before[successor] | after != before[successor]:
                    before[successor] |= after
                    changed = True
    return before
