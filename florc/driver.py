"""The passes in order: from a script to its plan and the edits that instrument it."""

from __future__ import annotations

import ast
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from florc.analysis.callgraph import Summaries
from florc.analysis.captured import CapturedCall, captured_calls
from florc.analysis.captures import Captures
from florc.analysis.cfg import ControlFlowGraph, assuming_runs, control_flow_graph
from florc.analysis.checkpoint_set import CheckpointSet, checkpoint_set
from florc.analysis.claims import claims
from florc.analysis.clocks import Clocks, clocks
from florc.analysis.contexts import swallows
from florc.analysis.execute import points_to
from florc.analysis.gradients import GradientLiveness
from florc.analysis.iterators import jump_obstacle
from florc.analysis.liveness import LiveSets, liveness
from florc.analysis.logs import hidden_names, log_accesses, log_statements
from florc.analysis.loops import LoopSite, find_loops, name_loops
from florc.analysis.objects import Access, Function, Obj
from florc.analysis.occurrences import eager_builtins
from florc.analysis.program import Program, build_program
from florc.analysis.recompute import recompute
from florc.analysis.regions import RegionSite, regions
from florc.analysis.state_only import state_slices
from florc.analysis.unknown_calls import unknown_calls
from florc.compilation import Compilation, CompileError, Edit, SourceModule
from florc.dumps import Dumps
from florc.effects.configured import configured_effects, configured_log_calls
from florc.effects.model import EffectsError, load_effects
from florc.emit.instrumented import instrumented_loops
from florc.emit.source_map import NEWLINE
from florc.frontend.project import Project, SourceError, load_project, project_root
from florc.frontend.statements import shown
from florc.logcalls.model import load_log_calls
from florc.plan import (
    Claim,
    Diagnostic,
    LogStatement,
    LoopPlan,
    ModulePlan,
    Plan,
    Recomputed,
    RegionPlan,
)


@dataclass(frozen=True)
class Analysis:
    """Every intermediate result of one compilation."""

    project: Project
    program: Program
    summaries: Summaries
    sites: tuple[LoopSite, ...]
    graphs: dict[Function, ControlFlowGraph]
    live: dict[Function, LiveSets]
    sets: dict[LoopSite, CheckpointSet]
    times: Clocks
    captures: Captures | None
    regions: tuple[RegionSite, ...] = ()
    captured: tuple[CapturedCall, ...] = ()


def compile_project(
    script: Path,
    *,
    root: Path | None = None,
    module: str | None = None,
    source_override: str | None = None,
    reuse_names: Plan | None = None,
    effects: tuple[Path, ...] = (),
) -> Compilation:
    """Compile a script and the project modules it reaches.

    `module` is the name given to ``-m``; `source_override` replaces the script's text;
    `reuse_names` is an earlier plan whose loops keep their column names; `effects` are extra
    effect files, which win over those that pyproject.toml names.  Raises CompileError for bad
    input (FLR001, FLR002, FLR007, FLR011).
    """
    base = (root or project_root(script)).resolve()
    try:
        model = load_effects((*configured_effects(base), *effects))
        calls = load_log_calls(configured_log_calls(base))
    except EffectsError as error:
        shown = os.path.relpath(error.file)
        raise CompileError(
            Diagnostic("FLR007", "error", error.message, shown, error.line)
        ) from None
    try:
        project = load_project(script, root=root, module=module, text=source_override)
    except SourceError as error:
        raise CompileError(error.diagnostic) from None
    program = build_program(project)
    solved = points_to(program, model)
    if not solved.complete and len(project.modules) > 1:
        # Too much for one look: the script by itself, and everything else is unknown to it.
        program = build_program(replace(project, modules=(project.script,)))
        solved = replace(points_to(program, model), complete=False)
    summaries = Summaries(solved)
    captured = captured_calls(summaries, calls)
    capturing = frozenset(call.statement for call in captured)
    logged = frozenset(a.statement for a in log_accesses(summaries)) | capturing
    already = {m.rel: instrumented_loops(m.tree) for m in project.modules}
    sites = [
        s
        for s in find_loops(summaries, logged)
        if (s.node.lineno, s.node.col_offset) not in already[s.function.module.rel]
    ]
    name_loops(sites, reuse_names)
    graphs: dict[Function, ControlFlowGraph] = {}
    live: dict[Function, LiveSets] = {}
    captures = Captures(program, summaries) if solved.complete else None
    eager = eager_builtins(model)
    for site in sites:
        function = site.function
        if function not in graphs and not isinstance(function.node, ast.Lambda):
            graphs[function] = control_flow_graph(
                function.node.body, swallows(model, function.module.tree)
            )
            live[function] = liveness(
                graphs[function], function.scope, program.scopes, eager, captures
            )
    times = clocks(program, summaries, capturing) if solved.complete else Clocks()
    sets: dict[LoopSite, CheckpointSet] = {}
    for site in sites:
        if site.training and solved.complete:
            graph, scope = graphs[site.function], site.function.scope
            inner = [s for s in sites if s.training and site in s.lexical]
            runs = {s.node: s.name for s in inner if isinstance(s.node, ast.For)}
            sure = assuming_runs(graph, runs)
            again = liveness(sure, scope, program.scopes, eager, captures) if runs else None
            sets[site] = checkpoint_set(
                program,
                summaries,
                site,
                graph,
                live[site.function],
                times,
                (again or live[site.function]).before[(sure if again else graph).heads[site.node]],
                tuple(runs.values()),
            )
    rereading = {site for site, result in sets.items() if result.rereads}
    skippable = regions(program, summaries, sites, rereading) if solved.complete else ()
    analysis = Analysis(
        project,
        program,
        summaries,
        tuple(sites),
        graphs,
        live,
        sets,
        times,
        captures,
        skippable,
        captured,
    )
    plan = _plan(analysis)
    modules = tuple(SourceModule(m.path, m.rel, m.name, m.text) for m in project.modules)
    return Compilation(
        plan,
        modules,
        _edits(analysis, plan),
        Dumps(analysis, plan),
        project.absent,
        project.unread,
    )


def _plan(analysis: Analysis) -> Plan:
    project, sites = analysis.project, list(analysis.sites)
    diagnostics: list[Diagnostic] = []
    tops = frozenset(site.function for site in analysis.sites)
    gradients = GradientLiveness(analysis.summaries, tops) if analysis.sets else None
    loops = tuple(_loop_plan(site, analysis, gradients, diagnostics) for site in sites)
    logs = log_statements(analysis.summaries, sites, analysis.times, analysis.captured)
    for log in logs:
        if log.captured:
            continue
        if log.name is None:
            message = "the name of a logged value is not a literal: SQL can't ask for it beforehand"
            diagnostics.append(Diagnostic("FLR012", "warning", message, log.file, log.line))
        if log.impure:
            message = f"evaluating this log statement may change training: {log.impure}"
            diagnostics.append(Diagnostic("FLR008", "warning", message, log.file, log.line))
    for access in hidden_names(analysis.summaries, sites):
        message = f"logged name {access.name!r} is also another column of logs: "
        message += f'ask for it as "log.{access.name}"'
        place = access.function.module.rel
        diagnostics.append(Diagnostic("FLR013", "warning", message, place, access.line))
    if not analysis.summaries.points_to.complete:
        message = "the analysis did not settle; every replay of this script runs from its start"
        diagnostics.append(Diagnostic("FLR011", "warning", message, project.script.rel, 0))
    if not any(loop.training for loop in loops):
        already = any(instrumented_loops(m.tree) for m in project.modules)
        code, severity, message = (
            ("FLR006", "note", "already instrumented; nothing to do")
            if already
            else (
                "FLR003",
                "warning",
                "no training loop found: values are recorded, checkpoints are not",
            )
        )
        diagnostics.append(Diagnostic(code, severity, message, project.script.rel, 0))
    modules = tuple(ModulePlan(m.rel, m.name, m.sha256, False) for m in project.modules)
    sinks = analysis.summaries.points_to.heap.effects.user_sinks
    extra: dict[str, Any] = {}
    if sinks:  # ours are known to the run time
        extra["sinks"] = list(sinks)
    unknown = unknown_calls(analysis.summaries, analysis.sets.items())
    if unknown:
        extra["unknown"] = [
            {"name": u.name, "shown": u.shown, "file": u.file, "line": u.line,
             "members": len(u.members)}
            for u in unknown
        ]  # fmt: skip
    skippable = tuple(_region_plan(region, analysis, logs) for region in analysis.regions)
    slices = state_slices(
        analysis.program,
        analysis.summaries,
        analysis.graphs,
        dict(zip(sites, loops, strict=True)),
        analysis.regions,
        logs,
    )
    return Plan(
        project.script.rel,
        modules,
        loops,
        logs,
        tuple(diagnostics),
        extra=extra,
        regions=skippable,
        slices=slices,
    )


def _region_plan(
    region: RegionSite, analysis: Analysis, logs: tuple[LogStatement, ...]
) -> RegionPlan:
    ran = sorted(region.ran, key=repr)
    accesses = [a for function in ran for a in analysis.summaries.direct.get(function, ())]
    logging = {(a.function.module.rel, a.line) for a in accesses if a.kind == "log"}
    logging |= {
        (c.function.module.rel, c.statement.lineno)
        for c in analysis.captured
        if c.function in region.ran
    }
    blocked = bool(region.obstacle)
    return RegionPlan(
        region.id,
        region.name,
        region.function.module.rel,
        region.call.lineno,
        shown(region.call.func),
        region.loops,
        region.discarded,
        region.plain,
        region.watch,
        tuple(log.id for log in logs if (log.file, log.line) in logging),
        tuple(sorted({a.name for a in accesses if a.kind == "draw"})),
        region.obstacle,
        region.place if blocked else "",
        region.line if blocked else 0,
    )


def _loop_plan(
    site: LoopSite,
    analysis: Analysis,
    gradients: GradientLiveness | None,
    diagnostics: list[Diagnostic],
) -> LoopPlan:
    summaries = analysis.summaries
    result = analysis.sets.get(site)
    accesses = summaries.of_statements(site.statements)
    obstacle = ""
    if result is not None:
        obstacle = jump_obstacle(analysis.program, summaries, site, result)
        if obstacle:
            code = "FLR010" if result.dynamic else "FLR009"
            place = site.function.module.rel
            diagnostics.append(Diagnostic(code, "warning", obstacle, place, site.node.lineno))
    elif site.training:
        obstacle = "the analysis did not settle"
    members = result.members if result is not None else ()
    again: tuple[Recomputed, ...] = ()
    if result is not None and not obstacle:
        graph = analysis.graphs[site.function]
        members, again = recompute(analysis.program, summaries, site, graph, result)
    parents = {outer.name for nest in site.nests for outer in nest}
    return LoopPlan(
        id=site.id,
        name=site.name,
        file=site.function.module.rel,
        line=site.node.lineno,
        scope=site.function.path,
        kind="while" if isinstance(site.node, ast.While) else "for",
        training=site.training,
        lexical_parent=site.lexical[-1].name if site.lexical else None,
        parents=tuple(sorted(parents)),
        counter=site.counter,
        counter_name=site.counter_name,
        state=members,
        recomputed=again,
        excluded=result.excluded if result else (),
        dead_grads=bool(result and gradients and gradients.dead_at(site.function, site.node)),
        jump=not obstacle,
        jump_reason=obstacle,
        rng=tuple(sorted({a.name for a in accesses if a.kind == "draw"})),
        shared=result.shared if result else (),
        sinks=_sinks(accesses) if result is not None else (),
        guarded=result.guarded if result else (),
        rereads=result is not None and result.rereads,
        claims=_claims(site, analysis) if result is not None and not obstacle else (),
    )


def _sinks(accesses: list[Access]) -> tuple[str, ...]:
    """What a loop does to the outside world, as written, each with the first place."""
    found: dict[str, str] = {}
    for access in accesses:
        if access.kind == "sink" and access.reason:
            found.setdefault(access.reason, f"{access.function.module.rel}:{access.line}")
    return tuple(f"{shown}() at {place}" for shown, place in found.items())


def _claims(site: LoopSite, analysis: Analysis) -> tuple[Claim, ...]:
    result = analysis.sets[site]
    return claims(analysis.program, analysis.summaries, site, result.live, result)


def _edits(analysis: Analysis, plan: Plan) -> tuple[Edit, ...]:
    edits: dict[tuple[str, int, int, str], Edit] = {}
    for site in analysis.sites:
        loop = plan.loop(site.name)
        assert loop is not None
        rel, node = site.function.module.rel, site.node
        edit = Edit(
            rel,
            loop.kind,
            node.lineno,
            _column(site.function.module.text, node),
            site.name,
            tuple(m.path for m in loop.members),
            site.training,
        )
        edits[rel, edit.line, edit.col, edit.kind] = edit
    for result in analysis.sets.values():
        for obj in result.iterators:
            made = _iterator_edit(obj)
            if made is not None and not _instrumented(analysis, obj):
                edits[made.rel, made.line, made.col, made.kind] = made
    for region in analysis.regions:
        made = _call_edit(region.call, region.function, "region", region.name)
        if not region.obstacle:
            edits.setdefault((made.rel, made.line, made.col, made.kind), made)
    return tuple(sorted(edits.values(), key=lambda e: (e.rel, e.line, e.col, e.kind)))


def _instrumented(analysis: Analysis, obj: Obj) -> bool:
    """Whether the call that makes an iterator is already one of ours."""
    site, where = obj.site, obj.where
    assert isinstance(site, ast.Call) and where is not None
    found = instrumented_loops(where.module.tree)
    return (site.lineno, site.col_offset) in found or any(
        isinstance(node, ast.Call)
        and any(arg is site for arg in node.args)
        and (node.lineno, node.col_offset) in found
        for node in ast.walk(where.module.tree)
    )


def _iterator_edit(obj: Obj) -> Edit | None:
    site, where = obj.site, obj.where
    if not isinstance(site, ast.Call) or where is None:
        return None
    return _call_edit(site, where, "iterator", "")


def _call_edit(call: ast.Call, where: Function, kind: str, name: str) -> Edit:
    text = where.module.text
    end = (call.end_lineno or call.lineno, _column(text, call, end=True))
    return Edit(where.module.rel, kind, call.lineno, _column(text, call), name, (), False, end=end)


def _column(text: str, node: ast.stmt | ast.expr, *, end: bool = False) -> int:
    """Column in characters of a node's begin (or end); ast counts UTF-8 bytes."""
    number = (node.end_lineno if end else node.lineno) or node.lineno
    offset = (node.end_col_offset if end else node.col_offset) or 0
    line = NEWLINE.split(text)[number - 1]
    return len(line.encode("utf-8")[:offset].decode("utf-8", "ignore"))
