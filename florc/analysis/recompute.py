"""Save or recompute: members that are a pure function of what is there after a restore.

A name that every iteration assigns last by one pure expression, whose operands are the same at the
next head, needn't be saved: evaluating the expression once more gives it.  An operand may have to
be saved for that alone, so what is cheapest is a minimum cut (networkx) over estimated bytes, with
the work of an expression counted in bytes too (as ElasticNotebook, VLDB 2024, chooses for cells).
At an entry's first head nothing is recomputed: the value is not yet one of an iteration.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass

import networkx as nx

from florc.analysis.callgraph import Summaries, statements_within
from florc.analysis.cfg import ControlFlowGraph
from florc.analysis.checkpoint_set import CheckpointSet, changed_objects
from florc.analysis.liveness import names_of
from florc.analysis.loops import LoopSite, own_loops
from florc.analysis.objects import Obj
from florc.analysis.program import Program
from florc.plan import Member, Recomputed

_IMPURE = {
    "advance", "clock", "draw", "dynamic", "kill_grads", "log", "read_file", "rebind", "sink",
    "touch", "train",
}  # fmt: skip
_SIZES = {"torch.Tensor": 1 << 20, "numpy.ndarray": 1 << 20, "pandas.DataFrame": 1 << 20}
"""Bytes that an object of a type is taken to have."""
_CONTAINER = 1 << 12
_UNKNOWN = 1 << 14
_SCALAR = 8
_EXPRESSION = 64
"""Bytes that evaluating an expression is worth, and each call in it."""
_CALL = 1 << 10


@dataclass(frozen=True)
class _Candidate:
    """An assignment that gives a member its value at the head."""

    name: str
    statement: ast.Assign
    operands: tuple[str, ...]  # names of the frame that it reads
    cost: int


def recompute(
    program: Program,
    summaries: Summaries,
    site: LoopSite,
    cfg: ControlFlowGraph,
    result: CheckpointSet,
) -> tuple[tuple[Member, ...], tuple[Recomputed, ...]]:
    """(members to be saved, what is recomputed from them, in the order to do it)."""
    named = {m.path: m for m in result.members}
    binds = loop_bindings(program, site, cfg)
    found = {
        name: candidate
        for name, member in named.items()
        if member.how == "rebound" and member.certainty == "exact" and not member.volatile
        if (candidate := _candidate(summaries, site, binds, name)) is not None
    }
    bound = set().union(*binds.values())
    found = {
        name: c
        for name, c in found.items()
        if all(o in named or o not in bound for o in c.operands)
    }
    chosen = _cut(summaries, site, named, found)
    kept = tuple(m for m in result.members if m.path not in chosen)
    done: dict[str, Recomputed] = {}
    while len(done) < len(chosen):
        ready = [
            name
            for name in sorted(chosen - done.keys())
            if all(o not in chosen or o in done for o in found[name].operands)
        ]
        if not ready:  # each needs the other
            return result.members, ()
        for name in ready:
            statement = found[name].statement
            text = ast.unparse(statement.value)
            done[name] = Recomputed(name, text, statement.lineno)
    return kept, tuple(done.values())


def _candidate(
    summaries: Summaries, site: LoopSite, binds: dict[ast.stmt, set[str]], name: str
) -> _Candidate | None:
    """The one assignment in the loop's body that every iteration makes to `name`, if it's pure."""
    body = site.node.body
    binding = [s for s in site.statements if name in binds[s]]
    if len(binding) != 1 or binding[0] not in body:
        return None
    statement = binding[0]
    if not (isinstance(statement, ast.Assign) and len(statement.targets) == 1):
        return None
    if not isinstance(statement.targets[0], ast.Name):
        return None
    position = body.index(statement)
    for earlier in body[:position]:
        if any(
            isinstance(s, (ast.Continue, ast.Try, ast.With)) for s in statements_within(earlier)
        ):
            return None  # an iteration may end without it
    if any(
        isinstance(node, (ast.Await, ast.Yield, ast.YieldFrom, ast.NamedExpr, ast.Lambda))
        for node in ast.walk(statement.value)
    ):
        return None
    operands = _operands(site, statement.value)
    if name in operands or not _pure(summaries, site, statement):
        return None
    after = [s for top in body[position + 1 :] for s in statements_within(top)]
    for later in after:
        if binds[later] & {*operands}:
            return None
    if summaries.run_by([statement]):
        return None  # a function of the project may read what the loop changes
    heap, scope = summaries.points_to.heap, site.function.scope
    accesses = summaries.of_statements(after)
    rebound = {(a.scope, a.name) for a in accesses if a.kind in ("rebind", "touch")}
    read: set[Obj] = set()
    for node in ast.walk(statement.value):
        if isinstance(node, ast.Name):  # of whatever scope
            owner = scope.owner(node.id)
            if owner is not None:
                if (owner, node.id) in rebound:
                    return None
                read |= heap.variable(owner, node.id)
    if heap.reach(read) & changed_objects(summaries, accesses).keys():
        return None
    if isinstance(site.node, ast.For):
        items = {n.id for n in ast.walk(site.node.target) if isinstance(n, ast.Name)}
        if items & {*operands}:
            return None
    if not _own(summaries, site, name):
        return None
    calls = [node for node in ast.walk(statement.value) if isinstance(node, ast.Call)]
    return _Candidate(name, statement, operands, _EXPRESSION + _CALL * len(calls))


def loop_bindings(
    program: Program, site: LoopSite, cfg: ControlFlowGraph
) -> dict[ast.stmt, set[str]]:
    """Statement of the loop -> names of the frame that it itself may bind."""
    found: dict[ast.stmt, set[str]] = {statement: set() for statement in site.statements}
    for node in cfg.nodes:
        if node.statement in found and node.role != "init":
            found[node.statement] |= names_of(node, site.function.scope, program.scopes)[1]
    for statement, names in found.items():
        for child in ast.iter_child_nodes(statement):
            if not isinstance(child, ast.stmt):
                names |= {n.target.id for n in ast.walk(child) if isinstance(n, ast.NamedExpr)}
    return found


def _operands(site: LoopSite, value: ast.expr) -> tuple[str, ...]:
    scope = site.function.scope
    names = {n.id for n in ast.walk(value) if isinstance(n, ast.Name)}
    return tuple(sorted(name for name in names if scope.owner(name) is scope))


def _pure(summaries: Summaries, site: LoopSite, statement: ast.stmt) -> bool:
    inner = summaries.run_by([statement])
    for access in summaries.of_statements([statement]):
        if access.kind in _IMPURE:
            return False
        if access.kind == "mutate" and access.obj is not None:
            made = any(child is access.obj.site for child in ast.walk(statement))
            if not made and access.obj.where not in inner:
                return False
    return True


def _own(summaries: Summaries, site: LoopSite, name: str) -> bool:
    """Whether nobody else holds what `name` holds at the head, and the loop doesn't change it.

    Variables of other functions don't count but those that the loop rebinds: the object is made
    in the loop, and they get at it only through what is returned.
    """
    heap, scope = summaries.points_to.heap, site.function.scope
    objs = {o for o in heap.variable(scope, name) if o.kind in ("alloc", "part")}
    if not objs:
        return True
    accesses = summaries.of_statements(site.statements)
    if heap.reach(objs) & changed_objects(summaries, accesses).keys():
        return False
    rebound = {(a.scope, a.name) for a in accesses if a.kind in ("rebind", "touch")}
    holders: Iterable[set[Obj]] = (
        *(
            held
            for variable, held in heap.variables.items()
            if variable != (scope, name) and (variable[0] is scope or variable in rebound)
        ),
        *(
            held
            for holder, fields in heap.fields.items()
            if not _later(site, holder)
            for held in fields.values()
        ),
        *(held for holder, held in heap.contents.items() if not _later(site, holder)),
    )
    objs = heap.kin(objs)
    return not any(objs & held for held in holders)


def _later(site: LoopSite, holder: Obj) -> bool:
    """Whether a container is made only behind the loop."""
    line, end = getattr(holder.site, "lineno", 0), site.node.end_lineno or 0
    if holder.where is not site.function or line <= end:
        return False
    loops = own_loops(site.function)
    return not any(loop is not site.node and site.node in ast.walk(loop) for loop in loops)


def _size(summaries: Summaries, site: LoopSite, name: str) -> int:
    objs = summaries.points_to.heap.variable(site.function.scope, name)
    if not objs:
        return _SCALAR
    return max(_SIZES.get(o.type, _CONTAINER if o.type else _UNKNOWN) for o in objs)


def _cut(
    summaries: Summaries,
    site: LoopSite,
    members: dict[str, Member],
    candidates: dict[str, _Candidate],
) -> set[str]:
    """Names that are cheaper to recompute than to save."""
    if not candidates:
        return set()
    graph: nx.DiGraph[str] = nx.DiGraph()
    for name in members:
        if "." in name or ":" in name:
            continue
        graph.add_edge("source", f"need {name}")  # no capacity: it can't be cut
        size = _size(summaries, site, name)
        candidate = candidates.get(name)
        if candidate is None:
            graph.add_edge(f"need {name}", "sink", capacity=size)
            continue
        graph.add_edge(f"need {name}", f"do {name}", capacity=size)
        graph.add_edge(f"do {name}", "sink", capacity=candidate.cost)
        for operand in candidate.operands:
            if operand in members:
                graph.add_edge(f"do {name}", f"need {operand}")
    _, (reached, _) = nx.minimum_cut(graph, "source", "sink")
    return {name for name in candidates if f"do {name}" in reached}
