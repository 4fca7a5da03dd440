"""Log slices that the state at the loop's next head answers: no iteration is executed for them.

A statement at the end of an iteration reads what the checkpoint of the next head holds: a replay
restores that and evaluates the slice alone.  That is right if, from the slice on to the head,

- nothing changes what the slice reads (mod/ref over the points-to result), and
- what it reads is there after a restore: not bound by the loop, a member of the checkpoint set,
  recomputed with it, the loop's own item, or assigned by a pure statement, which joins the slice;
- and every iteration that comes to the next head has executed it.

The slice itself changes nothing, draws nothing, and reads neither clocks, files, gradients nor
what is never saved.  Whatever isn't known is an obstacle, and the iteration is executed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from florc.analysis.callgraph import Summaries, statements_of, statements_within
from florc.analysis.cfg import ControlFlowGraph, control_flow_graph
from florc.analysis.checkpoint_set import changed_objects
from florc.analysis.liveness import names_of, solve_backward
from florc.analysis.logs import log_accesses
from florc.analysis.loops import LoopSite
from florc.analysis.objects import Access, Function, Obj
from florc.analysis.outside import assigned_in_library, decorated
from florc.analysis.program import Program
from florc.analysis.reads import Reads, change_in, reads
from florc.analysis.recompute import loop_bindings
from florc.analysis.regions import RegionSite
from florc.plan import LogStatement, LoopPlan, SlicePlan

_ALLOWED = (ast.Expr, ast.Assign, ast.AnnAssign, ast.AugAssign, ast.If, ast.With, ast.For, ast.Pass)
_SUSPENDING = (ast.Await, ast.Yield, ast.YieldFrom, ast.NamedExpr)
_UNSURE = {
    "unknown": "calls {0}(), which nothing is known of",
    "dynamic": "calls {1}()",
    "draw": "draws random numbers",
    "clock": "reads a clock",
    "read_file": "may read a file",
    "sink": "writes to the outside",
    "train": "changes gradients",
    "kill_grads": "changes gradients",
    "read_grads": "reads gradients, which the next head's checkpoint may lack",
    "rebind": "assigns {1}",
    "touch": "may change {1}",
}


class _ObstacleError(Exception):
    def __init__(self, reason: str, access: Access | None = None, line: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.line = access.line if access is not None else line
        self.place = access.function.module.rel if access is not None else ""


@dataclass(frozen=True)
class _Context:
    """What all slices of a program are judged by."""

    program: Program
    summaries: Summaries
    sites: Sequence[LoopSite]
    regions: Mapping[ast.stmt, RegionSite]


def state_slices(
    program: Program,
    summaries: Summaries,
    graphs: Mapping[Function, ControlFlowGraph],
    loops: Mapping[LoopSite, LoopPlan],
    skippable: Iterable[RegionSite],
    logs: Iterable[LogStatement],
) -> tuple[SlicePlan, ...]:
    """A plan for each statement of a training loop's body that logs, in source order."""
    context = _Context(
        program,
        summaries,
        tuple(loops),
        {region.statement: region for region in skippable if not region.obstacle},
    )
    statements: dict[tuple[str, int], list[LogStatement]] = {}
    for log in logs:
        if not log.captured:
            statements.setdefault((log.file, log.line), []).append(log)
    found: dict[tuple[LoopSite, ast.stmt], list[LogStatement]] = {}
    for access in log_accesses(summaries):
        around = [s for s in loops if s.training and access.statement in s.statements[1:]]
        if not around:
            continue
        site = min(around, key=lambda s: len(s.statements))
        unit = next((s for s in site.node.body if access.statement in statements_within(s)), None)
        if unit is None or not loops[site].jump:
            continue
        known = found.setdefault((site, unit), [])
        for log in statements.get((access.function.module.rel, access.line), ()):
            if log not in known:
                known.append(log)
    return tuple(
        _plan(context, graphs[site.function], site, loops[site], unit, own)
        for (site, unit), own in found.items()
    )


def _plan(
    context: _Context,
    cfg: ControlFlowGraph,
    site: LoopSite,
    loop: LoopPlan,
    unit: ast.stmt,
    logs: list[LogStatement],
) -> SlicePlan:
    file, ids = site.function.module.rel, tuple(log.id for log in logs)
    try:
        if any(log.volatile for log in logs):
            raise _ObstacleError("it depends on the clock")
        found = _slice(context, site, loop, cfg, unit)
        scope = site.function.scope
        read = reads(context.program, context.summaries, found.statements, scope, found.ran)
        before = _before(context, site, found, read)
        _pure(context, site, found, unit, read, before)
        for statement in found.statements:
            _always(cfg, site, statement)
        watched = _unchanged(context, site, found, read, before)
    except _ObstacleError as error:
        place = "" if error.place in ("", file) else error.place
        return SlicePlan(
            site.name, file, ids, obstacle=error.reason, obstacle_file=place,
            obstacle_line=error.line,
        )  # fmt: skip
    places = tuple((s.lineno, s.col_offset) for s in found.statements)
    target = ast.unparse(site.node.target) if found.items and isinstance(site.node, ast.For) else ""
    return SlicePlan(site.name, file, ids, places, target, watched)


@dataclass(frozen=True)
class _Slice:
    """What is executed at the head."""

    statements: list[ast.stmt]  # of the loop's body, in order
    inside: list[ast.stmt]  # with those in them
    nodes: frozenset[ast.AST]
    ran: frozenset[Function]
    names: frozenset[str]  # of the loop's frame that are read before the slice binds them
    items: frozenset[str]  # those that the loop's target binds
    helped: frozenset[str]  # what statements assign that have joined it


def _slice(
    context: _Context, site: LoopSite, loop: LoopPlan, cfg: ControlFlowGraph, unit: ast.stmt
) -> _Slice:
    """The statements to execute.  Raises _ObstacleError if what they read isn't there any more."""
    body = site.node.body
    binds = loop_bindings(context.program, site, cfg)
    bound = set().union(*binds.values())
    there = {m.path for m in loop.state} | {r.path for r in loop.recomputed}
    items: set[str] = set()
    if isinstance(site.node, ast.For):
        items = {n.id for n in ast.walk(site.node.target) if isinstance(n, ast.Name)}
    chosen, helped = [unit], set[str]()
    while True:
        inside = [s for one in chosen for s in statements_within(one)]
        ran = context.summaries.run_by(inside)
        own, others = _names_read(context, site, chosen, ran)
        used: set[str] = set()
        helper: ast.stmt | None = None
        for name in sorted(((own | others) & bound) - there):
            binding = [s for s in site.statements if name in binds[s]]
            if name not in others and name in items and binding == [site.node]:
                used.add(name)
                continue
            first = binding[0]
            if len(binding) > 1 or name in others or not _helps(body, first, chosen):
                why = f"{name} isn't there any more at the next head"
                raise _ObstacleError(why, line=first.lineno)
            helper = first
            helped.add(name)
        if helper is None:
            nodes = frozenset(node for one in chosen for node in ast.walk(one))
            names = frozenset(own | others)
            return _Slice(chosen, inside, nodes, ran, names, frozenset(used), frozenset(helped))
        chosen = sorted([*chosen, helper], key=body.index)


def _helps(body: list[ast.stmt], helper: ast.stmt, chosen: list[ast.stmt]) -> bool:
    """Whether a statement can join a slice, in front of it."""
    if not isinstance(helper, (ast.Assign, ast.AnnAssign)) or helper.value is None:
        return False
    return helper in body and body.index(helper) < max(map(body.index, chosen))


def _names_read(
    context: _Context, site: LoopSite, chosen: list[ast.stmt], ran: frozenset[Function]
) -> tuple[set[str], set[str]]:
    """Names of the loop's frame that a slice reads before it binds them: itself, its callees."""
    scope, scopes = site.function.scope, context.program.scopes
    graph = control_flow_graph(chosen)
    before = solve_backward(graph, lambda node: names_of(node, scope, scopes))
    others = {
        node.id
        for function in ran
        for node in ast.walk(function.node)
        if isinstance(node, ast.Name) and function.scope.owner(node.id) is scope
    }
    return set(before[graph.entry]), others


def _pure(
    context: _Context, site: LoopSite, found: _Slice, unit: ast.stmt, read: Reads, before: set[Obj]
) -> None:
    """Raises _ObstacleError unless executing the slice leaves nothing behind but what it logs."""
    try:
        _leaves_nothing(context, site, found, read, before)
    except _ObstacleError:
        if found.statements == [unit]:
            raise
        helpers = [s for s in found.statements if s is not unit]
        names = sorted(found.helped)
        what = f"{', '.join(names)} {'is' if len(names) == 1 else 'are'}n't there any more"
        line = helpers[0].lineno
        raise _ObstacleError(f"{what} at the next head", line=line) from None


def _leaves_nothing(
    context: _Context, site: LoopSite, found: _Slice, read: Reads, before: set[Obj]
) -> None:
    summaries, heap = context.summaries, context.summaries.points_to.heap
    for statement in found.inside:
        if not isinstance(statement, _ALLOWED):
            kind = type(statement).__name__.lower()
            raise _ObstacleError(f"a {kind} statement belongs to it", line=statement.lineno)
        for name in _bound(statement):
            if name in found.names:  # at the head it has its value already
                raise _ObstacleError(f"it assigns {name}", line=statement.lineno)
    for function in found.ran:
        why = decorated(heap, function)
        if why:
            raise _ObstacleError(why)
    for node in found.nodes:
        if isinstance(node, _SUSPENDING):
            raise _ObstacleError("it suspends, or binds names within expressions")
        name = node.id if isinstance(node, ast.Name) else getattr(node, "attr", "")
        private = name.startswith("__") and not name.endswith("__")
        if name in ("super", "__class__") or (private and "." in site.function.path):
            raise _ObstacleError(f"{name} means something in its class only")
    for other in context.sites:
        lexical = other.node in found.nodes
        if other.function in found.ran or (lexical and other.training):
            raise _ObstacleError(f"it runs the loop `{other.name}`", line=other.node.lineno)
        if lexical and not isinstance(other.node, ast.For):
            raise _ObstacleError(f"the loop `{other.name}` is no for loop", line=other.node.lineno)
    for access in summaries.of_statements(found.inside):
        if access.kind in _UNSURE:
            why = _UNSURE[access.kind].format(access.reason, access.name)
            raise _ObstacleError(f"it {why}", access)
        if access.kind in ("mutate", "advance") and access.obj is not None:
            if not _made(access.obj, found) or access.obj in before:
                raise _ObstacleError(f"it isn't pure: {access.reason}", access)
    for call in summaries.points_to.library_calls:
        if call.statement in found.inside or call.function in found.ran:
            effect = heap.effects.call(call.name)
            if effect is not None and effect.process:
                why = f"{call.shown}() tells of the process, not of values"
                raise _ObstacleError(why, line=call.statement.lineno)
    if read.attributes & {"grad", "__dict__"}:
        raise _ObstacleError("it may read gradients, which the next head's checkpoint may lack")
    if read.sinks:
        name = min(map(repr, read.sinks))
        raise _ObstacleError(f"{name} belongs to the outside and is never saved")


def _made(obj: Obj, found: _Slice) -> bool:
    """Whether an object is one that the slice makes, or another of that kind."""
    return obj.site in found.nodes or obj.where in found.ran


def _before(context: _Context, site: LoopSite, found: _Slice, read: Reads) -> set[Obj]:
    """All that the slice can get hold of and hasn't made itself."""
    heap, scope = context.summaries.points_to.heap, site.function.scope
    own = {function.scope for function in found.ran}
    objs: set[Obj] = set()
    for owner, name in read.names:
        inner = owner.kind == "comprehension" or owner in own
        if not inner and (owner is not scope or name in found.names):
            objs |= heap.variable(owner, name) if owner.kind != "class" else set()
    return heap.reach(objs | {obj for obj in read.slots if obj.kind == "class"})


def _always(cfg: ControlFlowGraph, site: LoopSite, statement: ast.stmt) -> None:
    """Raises _ObstacleError if an iteration may come to the next head without the statement."""
    head = cfg.heads[site.node]
    inside = range(site.node.lineno, (site.node.end_lineno or site.node.lineno) + 1)
    stack, seen = list(head.successors), set()
    while stack:
        node = stack.pop()
        if node is head:
            line = statement.lineno
            raise _ObstacleError("an iteration may come to the next head without it", line=line)
        own = node.statement is not None and node.statement.lineno in inside
        if node not in seen and own and node.statement is not statement:
            seen.add(node)
            stack += node.successors


def _unchanged(
    context: _Context, site: LoopSite, found: _Slice, read: Reads, before: set[Obj]
) -> tuple[str, ...]:
    """The regions that must have left alone what they use, as the recording has watched.

    Raises _ObstacleError if what the slice reads may change until the next head.
    """
    summaries, body = context.summaries, site.node.body
    first, last = (body.index(found.statements[n]) for n in (0, -1))
    rest = [s for s in body[first + 1 :] if s not in found.statements]
    # What the slice makes itself, it makes anew at the head; until its end that may be changed.
    own = {o for o in {*read.deep, *read.slots} - before if _made(o, found)}
    lasting = replace(
        read,
        deep=read.deep - own,
        slots={obj: names for obj, names in read.slots.items() if obj not in own},
    )
    modes = "training" in read.attributes
    later: list[Access] = []
    watched: tuple[str, ...] = ()
    for what, statements in (
        (read, [s for s in rest if body.index(s) < last]),
        (lasting, [s for s in rest if body.index(s) > last]),
    ):
        found_there, regions = _accesses(context, statements)
        accesses = [a for a in found_there if modes or a.mode != "sets"]
        changed = change_in(summaries, what, accesses)
        if changed is not None:
            raise _ObstacleError(f"{changed.reason} afterwards", changed)
        later, watched = [*later, *accesses], (*watched, *regions)
    for statement in (inner for one in rest for inner in statements_within(one)):
        for name in _bound(statement):
            if name in found.names:
                raise _ObstacleError(f"{name} is assigned afterwards", line=statement.lineno)
    for access in later:
        if access.kind in ("unknown", "dynamic"):
            raise _ObstacleError(f"{access.reason or access.name}() comes afterwards", access)
    _settings(context, site)
    if found.items and isinstance(site.node, ast.For):
        _items(context, site, site.node, found.items)
    return watched


def _bound(statement: ast.stmt) -> Iterator[str]:
    for child in ast.iter_child_nodes(statement):
        if not isinstance(child, ast.stmt):
            for node in ast.walk(child):
                if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
                    yield node.id
                elif isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)):
                    yield node.name or ""
                elif isinstance(node, ast.MatchMapping):
                    yield node.rest or ""
                elif isinstance(node, ast.alias):
                    yield (node.asname or node.name).partition(".")[0]
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield statement.name


def _accesses(
    context: _Context, rest: list[ast.stmt]
) -> tuple[list[Access], tuple[str, ...]]:  # fmt: skip
    """Effects of the statements up to the head, and the regions among them."""
    found: list[Access] = []
    watched: list[str] = []
    inside = [s for one in rest for s in statements_within(one)]
    loops = [s for s in inside if isinstance(s, (ast.For, ast.AsyncFor, ast.While))]
    repeated = {s for loop in loops for s in statements_within(loop)}
    for statement in inside:
        accesses = context.summaries.of_statements([statement])
        region = context.regions.get(statement)
        if region is not None and statement not in repeated:
            apart = [a for a in accesses if a.mode == "training" and a.function in region.ran]
            if apart:
                watched.append(region.id)
            accesses = [a for a in accesses if a not in apart]
        found += accesses
    return found, tuple(watched)


def _settings(context: _Context, site: LoopSite) -> None:
    """Raises _ObstacleError if the loop changes what libraries do: no checkpoint holds that."""
    summaries, heap = context.summaries, context.summaries.points_to.heap
    ran = summaries.run_by(site.statements)
    places = [(s, site.function) for s in site.statements]
    places += [(s, f) for f in ran for s in statements_of(f)]
    undone = {
        item.context_expr
        for statement, _ in places
        if isinstance(statement, ast.With)
        for item in statement.items
    }
    inside = {statement for statement, _ in places}
    for call in summaries.points_to.library_calls:
        effect = heap.effects.call(call.name) if call.statement in inside else None
        if effect is not None and effect.lasting and call.node not in undone:
            line = call.statement.lineno
            raise _ObstacleError(f"{call.shown}() has lasting effects", line=line)
    for statement, function in places:
        text = assigned_in_library(heap, function, statement)
        if text:
            raise _ObstacleError(f"{text} is assigned", line=statement.lineno)


def _items(
    context: _Context, site: LoopSite, node: ast.For, names: frozenset[str]
) -> None:  # fmt: skip
    """Raises _ObstacleError unless winding the loop's iterator forward gives the very item."""
    summaries, scope = context.summaries, site.function.scope
    for part in ast.walk(node.target):
        if not isinstance(part, (ast.Name, ast.Tuple, ast.List, ast.expr_context)):
            raise _ObstacleError("the loop's item isn't bound to names", line=node.lineno)
        if isinstance(part, ast.Name) and part.id in names:
            if summaries.points_to.heap.variable(scope, part.id):
                raise _ObstacleError(f"{part.id} may be an object that the iteration changes")
    if summaries.callees.get(node):
        raise _ObstacleError("the loop's items come from functions of the project")
    source = reads(context.program, summaries, [node.iter], scope, ())
    accesses = summaries.of_statements(site.statements)
    changed = changed_objects(summaries, [a for a in accesses if a.kind == "mutate"])
    if source.deep & changed.keys():
        raise _ObstacleError("what the loop goes through is changed by it", line=node.lineno)
