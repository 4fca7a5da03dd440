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

from florc.analysis.callgraph import Summaries, statements_of
from florc.analysis.judge import Judge, ObstacleError, place_of
from florc.analysis.loops import LoopSite, Nests
from florc.analysis.objects import Function
from florc.analysis.program import Program
from florc.frontend.statements import canonical, digest, shown

_VALUED = (ast.Expr, ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Return)


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
    plain: bool = True  # evaluating the arguments calls nothing and binds nothing

    @property
    def discarded(self) -> bool:
        """Whether nobody sees what the call returns."""
        return isinstance(self.statement, ast.Expr)


def regions(
    program: Program, summaries: Summaries, sites: Iterable[LoopSite], rereading: set[LoopSite]
) -> tuple[RegionSite, ...]:
    """The regions of all training loops, and calls that only just aren't any.

    `rereading` are the loops from whose heads on files are read: what they write is state.
    """
    sites = list(sites)
    judge = Judge(program, summaries, sites, rereading)
    around = Nests(sites, summaries)
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
        nests = around.of(function, statement)
        inner = {[s for s in n if s.training][-1].name for n in nests if any(s.training for s in n)}
        if not inner:
            continue
        watch: tuple[str, ...] = ()
        obstacle = ObstacleError("")
        try:
            watch = judge.watched(function, statement, callees, ran)
        except ObstacleError as error:
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
                _plain(call, judge),
            )
        )
    return tuple(found)


def _plain(call: ast.Call, judge: Judge) -> bool:
    """Whether evaluating the arguments calls nothing (operators, `__bool__`) and binds nothing."""
    given = [*call.args, *call.keywords]
    inner = [node for part in given for node in ast.walk(part)]
    if any(isinstance(node, (ast.Call, ast.NamedExpr)) for node in inner):
        return False
    return not any(judge.runs(node) for node in inner)


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
    for function in sorted(own.keys() | reached, key=place_of):
        node = function.node
        if function.generator or not isinstance(node, (ast.FunctionDef, ast.Module)):
            continue  # its frames are suspended, or it has no statements
        for statement in statements_of(function):
            inside = function in reached or statement in own.get(function, ())
            if inside and isinstance(statement, _VALUED) and isinstance(statement.value, ast.Call):
                yield function, statement, statement.value
