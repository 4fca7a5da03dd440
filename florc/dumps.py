"""The intermediate results of a compilation as stable text and JSON, rendered when asked for."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from florc.analysis.cfg import ControlFlowGraph, control_flow_graph
from florc.analysis.contexts import swallows
from florc.analysis.liveness import liveness
from florc.analysis.objects import Function, Obj
from florc.analysis.occurrences import eager_builtins
from florc.analysis.reaching import reaching_definitions
from florc.analysis.unknown_calls import unknown_calls
from florc.plan import Plan

if TYPE_CHECKING:
    from florc.driver import Analysis

Sections = dict[str, list[str]]
"""What a line is about (a module, a function, a loop) -> lines."""


class Dumps(dict[str, str]):
    """Text of the intermediate results by name, made when looked up."""

    def __init__(self, analysis: Analysis, plan: Plan) -> None:
        super().__init__()
        self._analysis, self._plan = analysis, plan
        self._renderers: dict[str, Callable[[], Sections]] = {
            "ast": self._ast,
            "scopes": self._scopes,
            "cfg": self._cfg,
            "defuse": self._defuse,
            "liveness": self._liveness,
            "callgraph": self._callgraph,
            "heap": self._heap,
            "effects": self._effects,
            "loops": self._loops,
            "regions": self._regions,
            "slices": self._slices,
            "unknown": self._unknown,
        }

    def __missing__(self, key: str) -> str:
        if key == "plan":
            text = self._plan.to_json()
        elif key == "suggestions":
            from florc.effects_command import for_unknown

            sets = self._analysis.sets.items()
            text = for_unknown(unknown_calls(self._analysis.summaries, sets))
        elif key == "unknown":
            text = "".join(f"{line}\n" for line in self._unknown()[""])
        else:
            text = render(self.sections(key))
        self[key] = text
        return text

    def __contains__(self, key: object) -> bool:
        return key in self._renderers or key in ("plan", "suggestions")

    def get(self, key: str, default: str | None = None) -> str | None:  # type: ignore[override]
        """The dump of a pass, or `default`."""
        return self[key] if key in self else default  # noqa: SIM401 - rendered by __missing__

    def sections(self, key: str) -> Sections:
        """The lines of a dump, by what they are about.  Raises KeyError."""
        return self._renderers[key]()

    # -- frontend --------------------------------------------------------------------------------
    def _ast(self) -> Sections:
        modules = self._analysis.project.modules
        return {m.rel: ast.dump(m.tree, indent=1).splitlines() for m in modules}

    def _scopes(self) -> Sections:
        found: Sections = {}
        for module in self._analysis.project.modules:
            lines = found[module.rel] = []
            for scope in self._analysis.program.scopes.values():
                if scope.module == module.name and scope.names:
                    place = f"{scope.path or '<module>'}@{getattr(scope.node, 'lineno', 1)}"
                    names = " ".join(
                        f"{name}^" if name in scope.captured else name
                        for name in sorted(scope.names)
                    )
                    lines.append(f"{scope.kind} {place}: {names}")
        return found

    # -- functions -------------------------------------------------------------------------------
    def _functions(self) -> list[Function]:
        functions = self._analysis.summaries.points_to.functions
        named = [f for f in functions if not isinstance(f.node, ast.Lambda)]
        return sorted(named, key=lambda f: (f.module.rel, getattr(f.node, "lineno", 0)))

    def _graphs(self) -> Iterable[tuple[Function, ControlFlowGraph]]:
        effects = self._analysis.summaries.points_to.heap.effects
        for function in self._functions():
            body = [] if isinstance(function.node, ast.Lambda) else function.node.body
            yield function, control_flow_graph(body, swallows(effects, function.module.tree))

    def _cfg(self) -> Sections:
        return {repr(f): graph.text().splitlines() for f, graph in self._graphs()}

    def _defuse(self) -> Sections:
        scopes = self._analysis.program.scopes
        eager = eager_builtins(self._analysis.summaries.points_to.heap.effects)
        return {
            repr(f): reaching_definitions(graph, f.scope, scopes, eager).text().splitlines()
            for f, graph in self._graphs()
        }

    def _liveness(self) -> Sections:
        scopes, captures = self._analysis.program.scopes, self._analysis.captures
        eager = eager_builtins(self._analysis.summaries.points_to.heap.effects)
        return {
            repr(f): liveness(graph, f.scope, scopes, eager, captures).text(graph).splitlines()
            for f, graph in self._graphs()
        }

    # -- the whole program -----------------------------------------------------------------------
    def _callgraph(self) -> Sections:
        found: Sections = {repr(f): [] for f in self._functions()}
        for edge in self._analysis.summaries.points_to.edges:
            lines = found.setdefault(repr(edge.caller), [])
            line = f"line {edge.statement.lineno}: {edge.callee!r}"
            if line not in lines:
                lines.append(line)
        return found

    def _heap(self) -> Sections:
        heap = self._analysis.summaries.points_to.heap
        variables = [
            f"{scope.module}:{scope.path + '.' if scope.path else ''}{name}: {_shown(objs)}"
            for (scope, name), objs in heap.variables.items()
            if objs
        ]
        fields = [
            f"{obj!r}{name if name.startswith('[') else '.' + name}: {_shown(objs)}"
            for obj, named in heap.fields.items()
            for name, objs in named.items()
            if objs
        ]
        contents = [f"{obj!r}: {_shown(objs)}" for obj, objs in heap.contents.items() if objs]
        return {
            "variables": sorted(set(variables)),
            "fields": sorted(set(fields)),
            "contents": sorted(set(contents)),
        }

    def _effects(self) -> Sections:
        found: Sections = {}
        for function in self._functions():
            lines: dict[str, None] = {}
            for access in self._analysis.summaries.of_function(function):
                if access.kind == "unknown":
                    continue
                subject = access.obj or access.name
                attribute = f".{access.attribute}" if access.attribute else ""
                deep = "*" if access.deep else ""
                line = f"{access.kind} {subject}{attribute}{deep} [{access.certainty}]"
                lines[f"{line} {access.function.module.rel}:{access.line}"] = None
            found[repr(function)] = list(lines)
        return found

    def _unknown(self) -> Sections:
        """Calls that no effect model describes: place, qualified name, how it is written."""
        accesses = self._analysis.summaries.points_to.accesses
        found = {
            f"{a.function.module.rel}:{a.line}\t{a.name}\t{a.reason}": None
            for a in accesses
            if a.kind == "unknown"
        }
        return {"": list(found)}

    def _loops(self) -> Sections:
        found: Sections = {}
        for site in self._analysis.sites:
            nests = [" > ".join([*(o.name for o in nest), site.name]) for nest in site.nests]
            counter = site.counter_name or site.counter
            found[f"{site.function.module.rel}:{site.node.lineno} {site.name}"] = [
                f"id {site.id}",
                "trains" if site.training else "gives coordinates only",
                f"counter {counter}",
                *(f"nest {nest}" for nest in nests),
            ]
        return found

    def _regions(self) -> Sections:
        found: Sections = {}
        for region in self._analysis.regions:
            lines = found[f"{region.function.module.rel}:{region.call.lineno} {region.name}"] = [
                f"id {region.id}",
                f"in {' '.join(region.loops)}",
            ]
            lines += [f"runs {function!r}" for function in sorted(region.ran, key=repr)]
            if region.obstacle:
                lines.append(f"executed: {region.obstacle}, {region.place}:{region.line}")
            else:
                lines += [f"watches {path}" for path in region.watch]
        return found

    def _slices(self) -> Sections:
        logs = {log.id: log for log in self._plan.logs}
        found: Sections = {}
        for one in self._plan.slices:
            own = [logs[log] for log in one.logs]
            lines = found[f"{one.file}:{own[0].line} {one.loop}"] = []
            lines += [f"logs {log.name or '(name not literal)'}" for log in own]
            if one.obstacle:
                place = f"{one.obstacle_file or one.file}:{one.obstacle_line}"
                lines.append(f"needs the iteration: {one.obstacle}, {place}")
                continue
            places = " ".join(str(line) for line, _ in one.statements)
            lines.append(f"executes {places}" + (f" with {one.target}" if one.target else ""))
            lines += [f"watched {region}" for region in one.watched]
        return found


def _shown(objs: set[Obj]) -> str:
    return " ".join(sorted({repr(obj) for obj in objs}))


def render(sections: Sections) -> str:
    """Headings with their lines, indented unless they are columns already."""
    blocks = []
    for heading, lines in sections.items():
        margin = "" if lines and lines[0].startswith(" ") else "  "
        body = [margin + line for line in lines]
        blocks.append("\n".join([heading, *body]) + "\n")
    return "\n".join(blocks)


def as_json(name: str, sections: Sections) -> str:
    """The same for programs."""
    return json.dumps({"pass": name, "sections": sections}, indent=1) + "\n"
