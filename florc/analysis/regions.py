"""Skippable regions: calls in training loops that leave nothing behind but what can be recorded.

A region is a call of the project's functions that is a statement, or a statement's value: an
evaluation pass, logging, saving.  Calling it changes no object that was there before, rebinds
nothing, and moves no iterator; it may write to the outside, draw random numbers and read clocks.
So a replay that wants nothing from inside it may put its recorded result and the random streams'
recorded after-state in its place.  Which mode modules are in may change (`model.eval()`), and a
module's call counts as one in evaluation mode: both are looked at while recording (`watch`).

Whatever the analysis can't know is an obstacle.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from florc.analysis.callgraph import Summaries, statements_of
from florc.analysis.checkpoint_set import changed_objects
from florc.analysis.loops import LoopSite, nests_of
from florc.analysis.objects import Access, Function, Obj
from florc.analysis.outside import decorated, loaders, outside, setting, uses
from florc.analysis.program import Program
from florc.analysis.watching import Watching
from florc.frontend.statements import canonical, digest, shown

_LOOPS = (ast.For, ast.While, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_VALUED = (ast.Expr, ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Return)
_MADE = frozenset({"builtins.list", "builtins.tuple", "builtins.dict"})
"""Types of containers that a result may hold."""
_ARRAYS = ("numpy.", "torch.Tensor")
_NO_REGIONS = frozenset({"__init__", "__post_init__", "forward", "__call__"})
"""Methods whose results are never plain data."""


@dataclass(frozen=True)
class RegionSite:
    """A call in a training loop that a replay may skip, unless there is an `obstacle`."""

    function: Function
    statement: ast.stmt
    call: ast.Call
    id: str  # stable as long as the statement is
    name: str  # unique in the project
    loops: tuple[str, ...]  # the innermost training loops that it runs in, over calls
    ran: frozenset[Function]
    watch: tuple[str, ...]  # access paths to what has to be looked at while recording
    obstacle: str = ""
    line: int = 0  # of the obstacle
    place: str = ""  # the obstacle's module

    @property
    def discarded(self) -> bool:
        """Whether nobody sees what the call returns."""
        return isinstance(self.statement, ast.Expr)


class _ObstacleError(Exception):
    """Why a call can't be skipped; `quiet`: nobody would expect it to be."""

    def __init__(self, reason: str, access: Access | None = None, *, quiet: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.access, self.quiet = reason, access, quiet


def regions(
    program: Program, summaries: Summaries, sites: Iterable[LoopSite], rereading: set[LoopSite]
) -> tuple[RegionSite, ...]:
    """The regions of all training loops, and calls that only just aren't any.

    `rereading` are the loops from whose heads on files are read: what they write is state.
    """
    sites = list(sites)
    judge = _Judge(program, summaries, sites, rereading)
    found: list[RegionSite] = []
    alike: dict[str, int] = {}
    names: dict[str, int] = {}
    for function, statement, call in _calls(summaries, sites):
        text = shown(call.func)
        base = f"{function.module.rel}:{function.path}:region:{digest(canonical(statement))}"
        alike[base] = alike.get(base, 0) + 1
        callees = judge.callees(call)
        if not callees:
            continue
        ran = frozenset().union(*(summaries.closure.get(c, {c}) for c in callees))
        if not judge.counts(function, callees, ran):
            continue
        nests = nests_of(function, statement, sites, summaries)
        inner = {[s for s in n if s.training][-1].name for n in nests if any(s.training for s in n)}
        if not inner:
            continue
        watch: tuple[str, ...] = ()
        obstacle = _ObstacleError("")
        try:
            watch = judge.watched(function, statement, callees, ran)
        except _ObstacleError as error:
            obstacle = error
        if obstacle.quiet or (obstacle.reason and not judge.expected(ran)):
            continue
        access = obstacle.access
        name = text.rpartition(".")[2]
        names[name] = names.get(name, 0) + 1
        found.append(
            RegionSite(
                function,
                statement,
                call,
                base if alike[base] == 1 else f"{base}:{alike[base]}",
                name if names[name] == 1 else f"{name}_{names[name]}",
                tuple(sorted(inner)),
                ran,
                watch,
                obstacle.reason,
                access.line if access else statement.lineno,
                access.function.module.rel if access else function.module.rel,
            )
        )
    return tuple(found)


def _calls(
    summaries: Summaries, sites: list[LoopSite]
) -> Iterator[tuple[Function, ast.stmt, ast.Call]]:
    """Calls that are statements, or their values, and may run in a training loop's body."""
    own: dict[Function, set[ast.stmt]] = {}
    reached: set[Function] = set()
    for site in sites:
        if site.training:
            own.setdefault(site.function, set()).update(site.statements[1:])
            reached |= summaries.run_by(site.statements)
    for function in sorted(own.keys() | reached, key=_place):
        node = function.node
        if function.generator or not isinstance(node, (ast.FunctionDef, ast.Module)):
            continue  # its frames are suspended, or it has no statements
        for statement in statements_of(function):
            inside = function in reached or statement in own.get(function, ())
            if inside and isinstance(statement, _VALUED) and isinstance(statement.value, ast.Call):
                yield function, statement, statement.value


def _place(function: Function) -> tuple[str, int, int]:
    line = getattr(function.node, "lineno", 0)
    return repr(function), line, getattr(function.node, "col_offset", 0)


class _Judge:
    """Tells what a call does to what was there before it."""

    def __init__(
        self,
        program: Program,
        summaries: Summaries,
        sites: list[LoopSite],
        rereading: set[LoopSite],
    ) -> None:
        self.program, self.summaries, self.sites = program, summaries, sites
        self.points_to = summaries.points_to
        self.heap = self.points_to.heap
        self.rereading = rereading
        self.watching = Watching(program, summaries)
        self.trains = {s.function for s in sites if s.training}

    @cached_property
    def _by_call(self) -> dict[ast.AST, set[Function]]:
        found: dict[ast.AST, set[Function]] = {}
        for edge in self.points_to.edges:
            if edge.at is not None:
                found.setdefault(edge.at, set()).add(edge.callee)
        return found

    @cached_property
    def _library(self) -> set[ast.AST]:
        """Calls that may be of a library's functions."""
        return {call.node for call in self.points_to.library_calls}

    def callees(self, call: ast.Call) -> set[Function]:
        """What a call may run, if that can only be functions of the project."""
        return set() if call in self._library else self._by_call.get(call, set())

    def counts(self, caller: Function, callees: set[Function], ran: frozenset[Function]) -> bool:
        """Whether a call may be a region: it doesn't train, and is work that is worth skipping."""
        if caller in ran or ran & self.trains:
            return False
        for callee in callees:
            name = callee.path.rpartition(".")[2]
            if name in _NO_REGIONS or not isinstance(callee.node, ast.FunctionDef):
                return False
        accesses = [a for f in ran for a in self.summaries.direct.get(f, ())]
        if any(a.kind == "train" for a in accesses):
            return False
        return self.expected(ran) or any(
            isinstance(n, _LOOPS) for f in ran for n in ast.walk(f.node)
        )

    def expected(self, ran: frozenset[Function]) -> bool:
        """Whether anybody would take a call for one: it evaluates a model, reports or samples."""
        accesses = (a for f in ran for a in self.summaries.direct.get(f, ()))
        return any(a.kind in ("draw", "sink", "clock") or a.mode for a in accesses)

    def watched(
        self,
        caller: Function,
        statement: ast.stmt,
        callees: set[Function],
        ran: frozenset[Function],
    ) -> tuple[str, ...]:
        """Paths from the caller's frame to what must be looked at.  Raises _ObstacleError."""
        accesses = [a for f in sorted(ran, key=_place) for a in self.summaries.direct.get(f, ())]
        accesses.sort(key=lambda a: (a.function.module.rel, a.line))
        bodies = [f.module.rel for f in ran if isinstance(f.node, ast.Module)]
        if bodies:
            raise _ObstacleError(f"it may import {min(bodies)}")
        before = outside(self.program, self.summaries, callees, ran)
        for access in accesses:
            self._plain(access, ran, before)
        for function in ran:
            why = decorated(self.heap, function) or setting(self.points_to, function)
            why = why or uses(self.heap, function, before)
            if why:
                raise _ObstacleError(why)
        if any(a.kind == "sink" and not _prints(a) for a in accesses):
            for site in self.rereading:
                running = self.summaries.run_by(site.statements)
                if caller in running or statement in site.statements:
                    raise _ObstacleError("it may write files, and the run reads files later")
        moded = [a for a in accesses if a.mode and a.obj is not None]
        rest = [a for a in accesses if not a.mode and not _makes(a, ran)]
        for obj, change in changed_objects(self.summaries, rest).items():
            # What isn't `before` the call, and it hasn't made, it can't get hold of: the function
            # that changes it is called with it elsewhere.
            if obj in before or obj.kind != "alloc" or obj.where is None:
                first = change.whole or next(iter(change.attributes.values()))
                raise _ObstacleError(first.reason, first)
        if not isinstance(statement, ast.Expr):
            self._result(callees, ran, before)
        targets = {a.obj for a in moded if a.obj is not None}
        targets = {o for o in targets if o in before or o.where is None}
        targets |= loaders(self.heap, before)
        paths = self.watching.paths(caller, targets)
        if paths is None:
            name = min(map(repr, targets))
            raise _ObstacleError(f"{name} may be reached in more ways than can be watched")
        return paths

    def _plain(self, access: Access, ran: frozenset[Function], before: set[Obj]) -> None:
        """Raises _ObstacleError for what can't be undone whatever it is done to."""
        if access.kind == "unknown":
            raise _ObstacleError(f"unknown call {access.reason}()", access)
        if access.kind == "dynamic":
            raise _ObstacleError(f"{access.name}() may bind any name", access)
        if access.kind == "kill_grads":
            raise _ObstacleError(f"{access.reason}() clears gradients", access)
        if access.certainty != "exact":
            raise _ObstacleError(access.reason, access)
        if access.kind == "rebind":
            known = {f for f in ran if f.scope is access.scope}
            escaped = {o.function for o in before if o.kind in ("function", "bound")}
            if not known or access.function in escaped:
                raise _ObstacleError(f"{access.name} is assigned", access)

    def _result(self, callees: set[Function], ran: frozenset[Function], before: set[Obj]) -> None:
        """Raises _ObstacleError unless what is returned may be plain data, made by the call."""
        returned = set().union(*(self.heap.returned(c) for c in callees))
        for obj in sorted(self.heap.reach(returned), key=repr):
            if obj.kind != "alloc" or obj.where not in ran or obj in before:
                raise _ObstacleError(f"it returns {obj}, which isn't its own")
            if obj.type.startswith(_ARRAYS) and obj.cls is None:
                if obj.type == "torch.Tensor" and not self._no_grad(ran):
                    raise _ObstacleError(f"it returns {obj}, with its history", quiet=True)
            elif obj.type not in _MADE or obj.cls is not None:
                raise _ObstacleError(f"it returns {obj}")

    def _no_grad(self, ran: frozenset[Function]) -> bool:
        """Whether some function says that it wants no gradients."""
        effects = self.heap.effects
        for call in self.points_to.library_calls:
            effect = effects.call(call.name)
            if effect is not None and effect.no_grad:
                nodes = [d for f in ran for d in getattr(f.node, "decorator_list", ())]
                if call.function in ran or any(call.node is d for d in nodes):
                    return True
        return False


def _makes(access: Access, ran: frozenset[Function]) -> bool:
    """Whether a constructor changes what it constructs, for somebody else."""
    obj = access.obj
    if obj is None or obj.cls is None or obj.where is None or obj.where in ran:
        return False
    return access.function.path.endswith((".__init__", ".__post_init__"))


def _prints(access: Access) -> bool:
    """Whether a sink is the standard output."""
    if access.reason != "print":
        return False
    return not any(
        isinstance(node, ast.keyword) and node.arg == "file" for node in ast.walk(access.statement)
    )
