"""What the analysis claims to be unchanged by a loop, for the record run to check.

A claim is a root that is live at the head (or that other functions may read), that no member of
the checkpoint set saves, and that therefore must look the same at every head.  Each comes with
the library calls that could break it if their effect entries were wrong, the likeliest first.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass

from florc.analysis.callgraph import Summaries
from florc.analysis.checkpoint_set import CheckpointSet
from florc.analysis.heap import Heap, owner_of
from florc.analysis.loops import LoopSite
from florc.analysis.objects import LibraryCall, Obj
from florc.analysis.program import Program
from florc.effects.entries import keeping, mutating, render, sharing
from florc.effects.model import Effect
from florc.frontend.scopes import Scope
from florc.plan import Claim, Suspect

MAX_SUSPECTS = 3
_CODE = ("function", "module", "library", "libbound")


def claims(
    program: Program,
    summaries: Summaries,
    site: LoopSite,
    live: frozenset[str],
    result: CheckpointSet,
) -> tuple[Claim, ...]:
    """The claims of one training loop, in the order of their paths."""
    saved = {member.path for member in result.members}
    whole = {member.path for member in result.members if "." not in member.path}
    accesses = summaries.of_statements(site.statements)
    rebound = {(a.scope, a.name) for a in accesses if a.kind in ("rebind", "touch") and a.scope}
    mentioned = _mentioned(site)
    calls = _Calls(summaries, site)
    found = []
    for path, owner, name in _roots(program, summaries, site, live):
        if path in whole or path in saved or (owner, name) in rebound:
            continue
        objs = summaries.points_to.heap.variable(owner, name)
        if _outside(objs, summaries.points_to.heap):
            continue
        found.append(Claim(path, mentioned.get(name, 0), calls.suspects(objs)))
    return tuple(sorted(found, key=lambda claim: claim.path))


def _roots(
    program: Program, summaries: Summaries, site: LoopSite, live: frozenset[str]
) -> Iterable[tuple[str, Scope, str]]:
    """(path, owner, name): live names of the frame, closure cells, globals of all modules."""
    heap, function = summaries.points_to.heap, site.function
    scope = function.scope
    cells: list[tuple[str, Scope, str]] = []
    for name in sorted((scope.names - scope.nonlocal_names) & live):
        yield name, scope, name
        for obj in sorted(heap.variable(scope, name), key=repr):
            if obj.kind == "function" and obj.function is not None:
                cells += [
                    (f"{name}.__closure__.{cell}", owner, cell)
                    for owner, cell in heap.free_variables(obj.function)
                    if owner is not scope
                ]
    for owner, name in heap.free_variables(function):
        yield name, owner, name
    yield from cells
    for module in program.project.modules:
        top = program.module_scope(module)
        if top is scope or program.bodies[module.name] not in summaries.points_to.functions:
            continue
        for name in sorted(top.names):
            seen_as = scope.owner(name)
            here = module is function.module and (seen_as is None or seen_as is top)
            yield name if here else f"{module.name}:{name}", top, name


def _outside(objs: set[Obj], heap: Heap) -> bool:
    """Whether a variable holds code only, or what belongs to the outside world."""
    if not objs:
        return False  # numbers, strings: they may be bound anew behind our back
    for obj in objs:
        if obj.kind in _CODE or (obj.kind == "class" and not _has_data(obj, heap)):
            continue
        declared = heap.effects.type(obj.type)
        if obj.type and (declared.sink or declared.immutable or declared.restless):
            continue
        return False
    return True


def _has_data(cls: Obj, heap: Heap) -> bool:
    return any(o.kind not in _CODE for objs in heap.fields.get(cls, {}).values() for o in objs)


def _mentioned(site: LoopSite) -> dict[str, int]:
    found: dict[str, int] = {}
    for statement in site.statements:
        for node in ast.walk(statement):
            if isinstance(node, ast.Name):
                found[node.id] = min(found.get(node.id, node.lineno), node.lineno)
    return found


@dataclass(frozen=True)
class _Ranked:
    """A suspect with what it is sorted by."""

    described_by: int  # 0 the user's entries, 1 nobody, 2 ours
    remote: bool
    line: int
    suspect: Suspect


class _Calls:
    """The library calls that a loop makes, or whose results it uses."""

    def __init__(self, summaries: Summaries, site: LoopSite) -> None:
        self.heap: Heap = summaries.points_to.heap
        self.effects = self.heap.effects
        ran = summaries.run_by(site.statements)
        inside = set(site.statements)
        everywhere = summaries.points_to.library_calls
        self.here = [c for c in everywhere if c.statement in inside or c.function in ran]
        self.reached: dict[frozenset[Obj], set[Obj]] = {}
        accesses = summaries.of_statements(site.statements)
        changed = {a.obj.site for a in accesses if a.kind == "mutate" and a.obj is not None}
        used: dict[ast.AST | None, list[LibraryCall]] = {}
        for call in self.here:
            for obj in call.given.get("self", ()):
                used.setdefault(owner_of(obj).site, []).append(call)
        self.makers = [c for c in everywhere if c.node in changed or c.node in used]
        self.changed, self.used = changed, used
        self.known: dict[frozenset[Obj], tuple[Suspect, ...]] = {}

    def suspects(self, objs: set[Obj]) -> tuple[Suspect, ...]:
        """Calls that could change what `objs` hold, were their entries wrong."""
        key = frozenset(o for o in objs if o.kind not in _CODE)
        if not key:
            return ()
        if key not in self.known:
            self.known[key] = self._suspects(key)
        return self.known[key]

    def _suspects(self, objs: frozenset[Obj]) -> tuple[Suspect, ...]:
        concerned = {owner_of(o) for o in self.heap.held(set(objs))}
        found: dict[tuple[str, int], _Ranked] = {}

        def add(call: LibraryCall, effect: Effect | None, entry: str, remote: bool) -> None:
            name = effect.name if effect is not None else call.name
            whose = 0 if name in self.effects.users else 2 if effect is not None else 1
            line = getattr(call.node, "lineno", call.statement.lineno)
            suspect = Suspect(call.name, call.shown, call.function.module.rel, line, entry)
            found.setdefault((call.name, line), _Ranked(whose, remote, line, suspect))

        def known(call: LibraryCall) -> bool:
            return (call.name, getattr(call.node, "lineno", call.statement.lineno)) in found

        for call in self.here:
            if known(call):
                continue
            effect = self._effect(call)
            for location, target in self._given(call, concerned):
                if not _says(effect, location):
                    add(call, effect, render(mutating(effect, call.name, target)), False)
        for call in self.makers:
            if known(call):
                continue
            effect = self._effect(call)
            for _, target in self._given(call, concerned):
                if call.node in self.changed and not _says_shared(effect, target):
                    add(call, effect, render(sharing(effect, call.name, target)), True)
                for method in self.used.get(call.node, ()):
                    then = self._effect(method)
                    if _keeps(effect, target) and _says(then, "self", deep=True):
                        continue
                    tables = (
                        render(keeping(effect, call.name, target)),
                        render(mutating(then, method.name, "self*")),
                    )
                    add(call, effect, "\n\n".join(tables), True)
        ranked = sorted(found.values(), key=lambda r: (r.described_by, r.remote, r.line))
        doubtful = [r for r in ranked if r.described_by < 2] or ranked
        return tuple(r.suspect for r in doubtful[:MAX_SUSPECTS])

    def _effect(self, call: LibraryCall) -> Effect | None:
        exact = self.effects.call(call.name)
        if exact is not None or "self" not in call.given:
            return exact
        of_type, _, method = call.name.rpartition(".")
        return self.effects.method(of_type, method) or self.effects.by_method_name(method)

    def _given(self, call: LibraryCall, concerned: set[Obj]) -> Iterable[tuple[str, str]]:
        """(location, location with `*` where it is deep) of what a call is given of `concerned`."""
        for location, objs in call.given.items():
            alike = frozenset(objs)
            if alike not in self.reached:
                self.reached[alike] = {owner_of(o) for o in self.heap.reach(objs)}
            if self.reached[alike] & concerned:
                direct = {owner_of(o) for o in objs} <= concerned
                lump = direct and all(self.effects.type(o.type).elements == o.type for o in objs)
                yield location, location if lump and location != "args" else f"{location}*"


def _says(effect: Effect | None, location: str, *, deep: bool = False) -> bool:
    """Whether an entry says already that the call changes a location."""
    if effect is None:
        return True  # then it was taken to change everything
    told = {m.partition("?")[0] for m in effect.mutates}
    if deep:
        return f"{location}*" in told
    return any(m.partition("*")[0] in (location, "args") for m in told)


def _says_shared(effect: Effect | None, location: str) -> bool:
    bare = location.partition("*")[0]
    return effect is None or any(
        r.rpartition(":")[2].partition("*")[0] == bare for r in effect.returns
    )


def _keeps(effect: Effect | None, location: str) -> bool:
    bare = location.partition("*")[0]
    kept = (
        {k.rpartition(":")[2].partition("*")[0] for k in effect.keeps}
        if effect is not None
        else set()
    )
    return effect is None or bare in kept or "args" in kept
