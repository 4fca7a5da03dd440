"""What a name means at a place between two statements: the definitions that reach it, if any.

A second tree of the file gets a marker statement at every such place; the analysis then tells what
reaches the markers.
"""

from __future__ import annotations

import ast
import builtins
from dataclasses import dataclass, field
from functools import cached_property

from florc.analysis.cfg import Node, case_of, control_flow_graph, handler_of
from florc.analysis.occurrences import Occurrence, occurrences
from florc.analysis.reaching import reachable, solve_forward
from florc.frontend.scopes import Scope, build_scopes
from florc.propagate.source import Block, Source, Statement, Unit, named_blocks

_ALWAYS = frozenset(dir(builtins)) | {
    "__name__", "__file__", "__doc__", "__builtins__", "__spec__", "__package__", "__loader__",
}  # fmt: skip

Site = tuple[str, int]
"""(path of the unit, index of the statement); index -1 for a parameter."""


@dataclass(frozen=True)
class Binding:
    """`kind` is "local", "global", "closure", "builtin", "star" or "none" (not bound)."""

    kind: str
    sites: frozenset[Site] = frozenset()
    definite: bool = True

    @property
    def bound(self) -> bool:
        """Whether the name may have a value here."""
        return self.kind in ("builtin", "star") or bool(self.sites)


_NONE = Binding("none", definite=False)


@dataclass(eq=False)
class _Flow:
    """Reaching definitions of one unit, with a bit for "not bound" of each name."""

    before: dict[Node, int]
    nodes: dict[ast.stmt, Node]  # marker -> node
    live: frozenset[Node]
    sites: list[tuple[str, Site]]  # of each bit
    masks: dict[str, int]
    unbound: dict[str, int]
    late: dict[str, set[Site]]  # what nested functions assign


class Bindings:
    """Bindings at all places of a file, worked out unit by unit when asked for."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._tree = ast.parse(source.text)
        self._markers: dict[tuple[Block, int], ast.Pass] = {}
        self._originals: dict[ast.AST, Statement] = {}
        self._copies: dict[ast.AST, ast.AST] = {source.tree: self._tree}
        self._mark(self._tree, source.module.body)
        self._scopes = build_scopes(self._tree, source.path)
        self._flows: dict[Unit, _Flow] = {}
        self._outer: dict[tuple[Unit, str], Binding] = {}

    def _mark(self, node: ast.AST, blocks: list[Block]) -> None:
        lists = [body for _, body in named_blocks(node)]
        for block, body in zip(blocks, lists):
            inner: list[ast.stmt] = []
            for statement, copied in zip(block.statements, list(body)):
                inner += [self._marker(block, statement.position, copied), copied]
                self._originals[copied] = statement
                self._copies[statement.node] = copied
                for part in (*getattr(copied, "handlers", ()), *getattr(copied, "cases", ())):
                    self._originals[part] = statement
                self._mark(copied, statement.blocks)
            inner.append(self._marker(block, len(block.statements), inner[-1]))
            body[:] = inner

    def _marker(self, block: Block, position: int, near: ast.stmt) -> ast.Pass:
        made = ast.Pass(lineno=near.lineno, col_offset=near.col_offset)
        self._markers[block, position] = made
        return made

    # -- asking ------------------------------------------------------------------------------------

    def reachable(self, block: Block, position: int) -> bool:
        """Whether control may come to the place."""
        if not block.statements and block.owner is not None:  # an `else` that isn't there yet
            return self.reachable(block.owner.block, block.owner.position)
        flow = self._flow(block.unit)
        return flow.nodes[self._markers[block, position]] in flow.live

    def at(self, block: Block, position: int, name: str) -> Binding:
        """What `name` means just before the statement `position` of a block."""
        if not block.statements and block.owner is not None:
            return self.at(block.owner.block, block.owner.position, name)
        scope = self._scope(block.unit)
        owner = scope.owner(name)
        if owner is not None and owner is not scope:
            known = (block.unit, name)
            if known not in self._outer:
                self._outer[known] = self._from_outside(owner, name)
            return self._outer[known]
        if owner is None:
            if name in _ALWAYS:
                return Binding("builtin")
            return Binding("star") if self._starred else _NONE
        return self._local(self._flow(block.unit), block, position, name)

    def _from_outside(self, owner: Scope, name: str) -> Binding:
        unit = self._unit(owner)
        sites = self._everywhere(unit, name)
        for other in self.source.units:  # functions that declare it global
            if name in self._scope(other).global_names:
                sites |= self._everywhere(other, name)
        kind = "global" if unit.kind == "module" else "closure"
        return Binding(kind, frozenset(sites)) if sites else _NONE

    def _local(self, flow: _Flow, block: Block, position: int, name: str) -> Binding:
        bits = flow.before[flow.nodes[self._markers[block, position]]]
        sites = set(flow.late.get(name, ()))
        found = bits & flow.masks.get(name, 0)
        while found:
            low = found & -found
            sites.add(flow.sites[low.bit_length() - 1][1])
            found ^= low
        if not sites and block.unit.kind == "class" and name in _ALWAYS:
            return Binding("builtin")
        definite = not bits & flow.unbound.get(name, 0)
        return Binding("local", frozenset(sites), definite) if sites else _NONE

    def owned(self, unit: Unit, name: str) -> bool:
        """Whether a name belongs to the unit itself, or to one of its module's functions as global.

        A new assignment of such a name would change what others read.
        """
        scope = self._scope(unit)
        return name in scope.names or name in scope.global_names or name in scope.nonlocal_names

    def visible(self, unit: Unit) -> set[str]:
        """Every name that is bound somewhere in reach of a unit's code."""
        scope: Scope | None = self._scope(unit)
        found: set[str] = set()
        while scope is not None:
            found |= scope.names
            scope = scope.parent
        return found

    @cached_property
    def _starred(self) -> bool:
        return any(
            isinstance(s.node, ast.ImportFrom) and any(a.name == "*" for a in s.node.names)
            for s in self.source.statements
        )

    # -- working it out ----------------------------------------------------------------------------

    def _scope(self, unit: Unit) -> Scope:
        return self._scopes[self._copies[unit.node]]

    def _unit(self, scope: Scope) -> Unit:
        node = scope.function().node
        for unit in self.source.units:
            if self._copies[unit.node] is node:
                return unit
        return self.source.module

    def _everywhere(self, unit: Unit, name: str) -> set[Site]:
        flow = self._flow(unit)
        return {site for n, site in flow.sites if n == name} | flow.late.get(name, set())

    def _flow(self, unit: Unit) -> _Flow:
        if unit not in self._flows:
            self._flows[unit] = self._solve(unit)
        return self._flows[unit]

    def _solve(self, unit: Unit) -> _Flow:
        copied = self._copies[unit.node]
        graph = control_flow_graph(getattr(copied, "body", []), lambda item: False)
        scope = self._scope(unit)
        found = {node: occurrences(node, scope, self._scopes) for node in graph.nodes}
        numbers: dict[tuple[str, Site], int] = {}
        late: dict[str, set[Site]] = {}
        masks: dict[str, int] = {}
        for node, group in found.items():
            site = self._site(unit, node)
            for o in group:
                if o.kind != "def":
                    continue
                if o.deferred:
                    late.setdefault(o.name, set()).add(site)
                elif (o.name, site) not in numbers:
                    masks[o.name] = masks.get(o.name, 0) | 1 << len(numbers)
                    numbers[o.name, site] = len(numbers)
        names = sorted({*masks, *scope.names})
        unbound = {name: 1 << len(numbers) + i for i, name in enumerate(names)}

        def step(bits: int, o: Occurrence, site: Site) -> int:
            if o.deferred or o.kind == "use":
                return bits
            if o.certain:
                bits &= ~(masks.get(o.name, 0) | unbound.get(o.name, 0))
            if o.kind == "del":
                return bits | unbound.get(o.name, 0)
            return bits | 1 << numbers[o.name, site]

        def transfer(node: Node, bits: int) -> int:
            if node is graph.entry:
                bits |= sum(unbound.values())
            for o in found[node]:
                bits = step(bits, o, self._site(unit, node))
            return bits

        before = solve_forward(graph, transfer)
        nodes = {node.statement: node for node in graph.nodes if node.statement is not None}
        return _Flow(
            before, nodes, frozenset(reachable(graph)), list(numbers), masks, unbound, late
        )

    def _site(self, unit: Unit, node: Node) -> Site:
        part: ast.AST | None = handler_of(node.statement) or case_of(node.statement)
        statement = self._originals.get(part or node.statement)  # type: ignore[arg-type]
        return unit.path, statement.index if statement is not None else -1


def bindings_of(source: Source) -> Bindings:
    """The bindings of a file, worked out once."""
    if source.bindings is None:
        source.bindings = Bindings(source)
    assert isinstance(source.bindings, Bindings)
    return source.bindings


def free_names(node: ast.AST) -> list[str]:
    """The names that evaluating a piece of code reads from around it, in order."""
    return list(dict.fromkeys(name.id for name in free_nodes(node)))


def free_nodes(node: ast.AST) -> list[ast.Name]:
    """The mentions of those names (for `n += 1` one that has no place in the text)."""
    reader = _Reader()
    reader.visit(node)
    return reader.found


@dataclass
class _Reader(ast.NodeVisitor):
    """Walks in the order of evaluation, roughly; what has been bound on the way isn't free."""

    found: list[ast.Name] = field(default_factory=list)
    bound: list[set[str]] = field(default_factory=lambda: [set()])

    def visit_Name(self, node: ast.Name) -> None:
        if not isinstance(node.ctx, ast.Load):
            self.bound[-1].add(node.id)
        elif not any(node.id in names for names in self.bound):
            self.found.append(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        self.visit(node.value)
        for target in node.targets:
            self.visit(target)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value:
            self.visit(node.value)
        self.visit(node.annotation)
        self.visit(node.target)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name):
            self.visit_Name(ast.Name(node.target.id, ast.Load()))
        self.visit(node.value)
        self.visit(node.target)

    def visit_For(self, node: ast.For) -> None:
        self.visit(node.iter)
        self.visit(node.target)
        for child in [*node.body, *node.orelse]:
            self.visit(child)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.visit(node.value)
        self.bound[0].add(node.target.id)

    def visit_Import(self, node: ast.Import | ast.ImportFrom) -> None:
        self.bound[-1].update(a.asname or a.name.partition(".")[0] for a in node.names)

    visit_ImportFrom = visit_Import

    def _comprehension(
        self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
    ) -> None:
        self.visit(node.generators[0].iter)
        self.bound.append(set())
        for index, part in enumerate(node.generators):
            if index:
                self.visit(part.iter)
            self.visit(part.target)
            for test in part.ifs:
                self.visit(test)
        for value in (node.key, node.value) if isinstance(node, ast.DictComp) else (node.elt,):
            self.visit(value)
        self.bound.pop()

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._function(node.args, [node.body])

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        for decorator in node.decorator_list:
            self.visit(decorator)
        self.bound[-1].add(node.name)
        self._function(node.args, list(node.body))

    def _function(self, spec: ast.arguments, body: list[ast.AST]) -> None:
        for default in [*spec.defaults, *(d for d in spec.kw_defaults if d)]:
            self.visit(default)
        assigned = {
            n.id for part in body for n in ast.walk(part)
            if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)
        }  # fmt: skip
        self.bound.append({a.arg for a in ast.walk(spec) if isinstance(a, ast.arg)} | assigned)
        for part in body:
            self.visit(part)
        self.bound.pop()
