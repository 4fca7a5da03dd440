"""What a call does to what was there before it, and to whom it gives what it has made."""

from __future__ import annotations

import ast
from functools import cached_property

from florc.analysis.callgraph import Summaries
from florc.analysis.checkpoint_set import changed_objects
from florc.analysis.loops import LoopSite
from florc.analysis.objects import Access, Function, LibraryCall, Obj
from florc.analysis.outside import decorated, loaders, outside, setting, uses
from florc.analysis.program import Program
from florc.analysis.watching import Watching

_LOOPS = (ast.For, ast.While, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_MADE = frozenset({"builtins.list", "builtins.tuple", "builtins.dict"})
"""Types of containers that a result may hold."""
_ARRAYS = ("numpy.", "torch.Tensor")
_NO_REGIONS = frozenset({"__init__", "__post_init__", "forward", "__call__"})
"""Methods whose results are never plain data."""


class ObstacleError(Exception):
    """Why a call can't be skipped; `quiet`: nobody would expect it to be."""

    def __init__(self, reason: str, access: Access | None = None, *, quiet: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.access, self.quiet = reason, access, quiet


def place_of(function: Function) -> tuple[str, int, int]:
    """Source order of functions."""
    line = getattr(function.node, "lineno", 0)
    return repr(function), line, getattr(function.node, "col_offset", 0)


class Judge:
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
        self.obstacles: dict[Function, str] = {}
        self.flagged: dict[str, dict[Function, list[LibraryCall]]] = {}

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

    def runs(self, node: ast.AST) -> bool:
        """Whether evaluating an expression itself may run functions of the project."""
        return node in self._by_call

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
        """Paths from the caller's frame to what must be looked at.  Raises ObstacleError."""
        accesses = [a for f in sorted(ran, key=place_of) for a in self.summaries.direct.get(f, ())]
        accesses.sort(key=lambda a: (a.function.module.rel, a.line))
        bodies = [f.module.rel for f in ran if isinstance(f.node, ast.Module)]
        if bodies:
            raise ObstacleError(f"it may import {min(bodies)}")
        before = outside(self.program, self.summaries, callees, ran)
        for access in accesses:
            self._plain(access, ran, before)
        why = uses(self.heap, before)
        for function in sorted(ran, key=place_of):
            why = why or self._own(function)
        if why:
            raise ObstacleError(why)
        if any(a.kind == "sink" and not _prints(a) for a in accesses):
            for site in self.rereading:
                running = self.summaries.run_by(site.statements)
                if caller in running or statement in site.statements:
                    raise ObstacleError("it may write files, and the run reads files later")
        moded = [a for a in accesses if a.mode and a.obj is not None]
        rest = [a for a in accesses if not a.mode and not _makes(a, ran)]
        for obj, change in changed_objects(self.summaries, rest).items():
            # What isn't `before` the call, and it hasn't made, it can't get hold of: the function
            # that changes it is called with it elsewhere.
            if obj in before or obj.kind != "alloc" or obj.where is None:
                first = change.whole or next(iter(change.attributes.values()))
                raise ObstacleError(first.reason, first)
        if not isinstance(statement, ast.Expr):
            self._result(callees, ran, before)
        targets = {a.obj for a in moded if a.obj is not None}
        targets = {o for o in targets if o in before or o.where is None}
        targets |= loaders(self.heap, before)
        paths = self.watching.paths(caller, targets)
        if paths is None or (targets and not paths):
            name = min(map(repr, targets))
            raise ObstacleError(f"{name} can't be watched: no names lead to it, or too many do")
        return paths

    def _own(self, function: Function) -> str:
        """What stands in the way in a function itself, whoever calls it; "" if nothing does."""
        if function not in self.obstacles:
            lasting = self._flagged("lasting").get(function, ())
            found = decorated(self.heap, function) or setting(self.heap, function, lasting)
            self.obstacles[function] = found
        return self.obstacles[function]

    def _flagged(self, flag: str) -> dict[Function, list[LibraryCall]]:
        """Function -> its calls of what the effect models give a flag."""
        if flag not in self.flagged:
            found = self.flagged[flag] = {}
            for call in self.points_to.library_calls:
                effect = self.heap.effects.call(call.name)
                if effect is not None and getattr(effect, flag):
                    found.setdefault(call.function, []).append(call)
        return self.flagged[flag]

    def _plain(self, access: Access, ran: frozenset[Function], before: set[Obj]) -> None:
        """Raises ObstacleError for what can't be undone whatever it is done to."""
        if access.kind == "unknown":
            raise ObstacleError(f"unknown call {access.reason}()", access)
        if access.kind == "dynamic":
            raise ObstacleError(f"{access.name}() may bind any name", access)
        if access.kind == "kill_grads":
            raise ObstacleError(f"{access.reason}() clears gradients", access)
        if access.certainty != "exact":
            raise ObstacleError(access.reason, access)
        if access.kind == "rebind":
            known = {f for f in ran if f.scope is access.scope}
            escaped = {o.function for o in before if o.kind in ("function", "bound")}
            if not known or access.function in escaped:
                raise ObstacleError(f"{access.name} is assigned", access)

    def _result(self, callees: set[Function], ran: frozenset[Function], before: set[Obj]) -> None:
        """Raises ObstacleError unless what is returned may be plain data, made by the call."""
        returned = set().union(*(self.heap.returned(c) for c in callees))
        for obj in sorted(self.heap.reach(returned), key=repr):
            if obj.kind != "alloc" or obj.where not in ran or obj in before:
                raise ObstacleError(f"it returns {obj}, which isn't its own")
            if obj.type.startswith(_ARRAYS) and obj.cls is None:
                if obj.type == "torch.Tensor" and not self._no_grad(ran):
                    raise ObstacleError(f"it returns {obj}, with its history", quiet=True)
            elif obj.type not in _MADE or obj.cls is not None:
                raise ObstacleError(f"it returns {obj}")

    def _no_grad(self, ran: frozenset[Function]) -> bool:
        """Whether some function says that it wants no gradients."""
        flagged = self._flagged("no_grad")
        if not ran.isdisjoint(flagged):
            return True
        decorators = {d for f in ran for d in getattr(f.node, "decorator_list", ())}
        return any(call.node in decorators for calls in flagged.values() for call in calls)


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
