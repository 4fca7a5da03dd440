"""Log statements: where they are, in which nests of loops they run, and whether they are safe."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from florc.analysis.callgraph import Summaries
from florc.analysis.captured import CapturedCall
from florc.analysis.clocks import Clocks
from florc.analysis.loops import METADATA, LoopSite, Nests
from florc.analysis.objects import Access, Function
from florc.frontend.statements import canonical, digest
from florc.plan import CAPTURED, LogStatement


def log_accesses(summaries: Summaries) -> list[Access]:
    """Every call of `flor.log`, in order of place."""
    found = [a for a in summaries.points_to.accesses if a.kind == "log"]
    return sorted(found, key=lambda a: (a.function.module.rel, a.line, a.statement.col_offset))


def hidden_names(summaries: Summaries, sites: list[LoopSite]) -> list[Access]:
    """Log calls whose name is a loop's column or one of every run's, which SQL's name then means.

    `flor.log("epoch", epoch)` of the loop's own counter is the same value and isn't one of them.
    """
    loops = {site.name.lower(): site for site in sites}
    found = []
    for access in log_accesses(summaries):
        if access.name.lower() in METADATA:
            found.append(access)
            continue
        site = loops.get(access.name.lower())
        if site is None:
            continue
        values = [
            node.args[1]
            for node in ast.walk(access.statement)
            if isinstance(node, ast.Call)
            and len(node.args) > 1
            and isinstance(node.args[0], ast.Constant)
            and node.args[0].value == access.name
        ]
        counter = site.counter_name if site.counter in ("item", "first") else None
        if not all(isinstance(value, ast.Name) and value.id == counter for value in values):
            found.append(access)
    return found


def impurity(statement: ast.stmt, function: Function, summaries: Summaries) -> str:
    """Why evaluating a log statement may change training state; "" if it can't.

    Begins with "assumed: " when only an unknown call makes it so.
    """
    inner = summaries.run_by([statement])
    doubt = ""
    for access in summaries.of_statements([statement]):
        if access.kind == "draw":
            return f"{access.reason} draws random numbers ({access.name})"
        if access.kind == "rebind":
            return f"{access.name} is assigned in {access.function.path}"
        if access.kind in ("train", "kill_grads"):
            return f"{access.reason}() changes gradients"
        if access.kind == "advance" and access.obj is not None:
            if access.obj.where not in inner and access.obj.where is not None:
                if not _made_in(access, statement):
                    return f"{access.obj} is advanced"
        if access.kind != "mutate" or access.obj is None:
            continue
        if access.obj.where in inner or _made_in(access, statement):
            continue
        if access.certainty == "assumed":
            doubt = doubt or f"assumed: {access.reason}"
        else:
            return f"{access.reason} ({access.obj})"
    return doubt


def _made_in(access: Access, statement: ast.stmt) -> bool:
    return any(child is access.obj.site for child in ast.walk(statement)) if access.obj else False


def log_statements(
    summaries: Summaries,
    sites: list[LoopSite],
    times: Clocks,
    captured: Sequence[CapturedCall] = (),
) -> tuple[LogStatement, ...]:
    """All log statements of the program with the nests of loops they may run in.

    Behind them, one for each literal name of a call that logs to a tracker.
    """
    alike: dict[str, int] = {}
    around = Nests(sites, summaries)

    def made(
        function: Function, statement: ast.stmt, kind: str, name: str | None, impure: str
    ) -> LogStatement:
        base = f"{function.module.rel}:{function.path}:{kind}:{digest(canonical(statement))}"
        alike[base] = alike.get(base, 0) + 1
        lexical = [s for s in sites if s.function is function and statement in s.statements]
        lexical.sort(key=lambda s: -len(s.statements))
        return LogStatement(
            base if alike[base] == 1 else f"{base}:{alike[base]}",
            name,
            function.module.rel,
            statement.lineno,
            function.path,
            tuple(s.name for s in lexical),
            statement in times.logs,
            impure,
            tuple(s.name for s in sites if s.training and _starts_after(s, function, statement)),
            tuple(tuple(s.name for s in nest) for nest in around.of(function, statement)),
        )

    found = [
        made(
            a.function,
            a.statement,
            "log",
            a.name or None,
            impurity(a.statement, a.function, summaries),
        )
        for a in log_accesses(summaries)
    ]
    found += [
        made(call.function, call.statement, CAPTURED.strip(":"), name, "")
        for call in captured
        for name in call.names
    ]
    return tuple(found)


def _starts_after(site: LoopSite, function: Function, statement: ast.stmt) -> bool:
    return (
        site.function is function
        and site.node.lineno > statement.lineno
        and statement not in site.statements
    )
