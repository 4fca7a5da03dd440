"""The checkpoint set at a training loop's head.

Loop-carried state = (may be rebound or mutated in the body) ∩ (live at the head or after).
Members are access paths from the loop's frame and from globals; an object that is reached by
several live paths is named by each path that may lead to a different object at run time.
"""

from __future__ import annotations

import ast
import functools
from collections import deque
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from operator import attrgetter

from florc.analysis.callgraph import Summaries, statements_in, statements_of
from florc.analysis.cfg import ControlFlowGraph, case_of, handler_of
from florc.analysis.clocks import Clocks
from florc.analysis.heap import SEQUENCES, Heap, owner_of
from florc.analysis.liveness import LiveSets, names_of
from florc.analysis.loops import LoopSite
from florc.analysis.multiplicity import defined_once, single
from florc.analysis.objects import Access, Function, Obj
from florc.analysis.program import Program
from florc.frontend.scopes import Scope
from florc.plan import Excluded, Guarded, Member

MAX_PATHS = 4000
MAX_DOTS = 6
"""Attributes in an access path; what lies deeper is saved with the last of them."""
_METHODS = ("bound", "libbound")


@dataclass
class _Change:
    """Why an object (or one attribute of it) counts as mutated."""

    whole: Access | None = None
    attributes: dict[str, Access] = field(default_factory=dict)
    certain: bool = False
    advanced: Access | None = None
    rank: tuple[int, ...] = ()  # of `whole`, the witness that is told: the lower the better

    def note(self, access: Access, attribute: str, rank: tuple[int, ...] = ()) -> None:
        if attribute:
            self.attributes.setdefault(attribute, access)
        elif self.whole is None or rank < self.rank:
            self.whole, self.rank = access, rank
        self.certain |= access.certainty == "exact"


@dataclass(frozen=True)
class CheckpointSet:
    """Members and excluded names of one loop, and the iterators to be wrapped where made."""

    members: tuple[Member, ...]
    excluded: tuple[Excluded, ...]
    iterators: tuple[Obj, ...]
    dynamic: tuple[Access, ...]
    unnamed: str = ""  # what is changed, but has no access path and isn't saved by a member
    shared: tuple[str, ...] = ()  # paths of what isn't saved and may hold what members hold
    guarded: tuple[Guarded, ...] = ()
    live: frozenset[str] = frozenset()  # at the head, if inner loops run
    rereads: bool = False  # files may be read from the head on, in callers' later statements too
    paths: tuple[tuple[str, Obj], ...] = ()  # access paths at the head, with what each may lead to
    rebound: frozenset[str] = frozenset()  # names of the frame that the loop assigns


def changed_objects(summaries: Summaries, accesses: list[Access]) -> dict[Obj, _Change]:
    """Objects that a list of effects may mutate, deep ones expanded to all they reach."""
    heap = summaries.points_to.heap
    changes: dict[Obj, _Change] = {}
    updates = {
        (a.statement, f"{a.reason}() mutates it") for a in accesses if a.kind == "read_grads"
    }
    breadths: dict[Obj, int] = {}
    deep: dict[tuple[Obj, str], _Change] = {}
    for access in accesses:
        if access.obj is None or access.kind not in ("mutate", "advance"):
            continue
        # The best witness is sure, updates parameters, and reaches not much else.
        breadth = 1
        if access.deep:
            if access.obj not in breadths:
                breadths[access.obj] = len(heap.reach({access.obj}))
            breadth = breadths[access.obj]
        update = (access.statement, access.reason) in updates
        rank = (access.certainty != "exact", not update, -breadth if update else breadth)
        if access.kind == "advance":
            changes.setdefault(access.obj, _Change()).advanced = access
            changes[access.obj].note(access, "", rank)
        elif access.deep:
            deep.setdefault((access.obj, access.package), _Change()).note(access, "", rank)
        else:
            changes.setdefault(access.obj, _Change()).note(access, access.attribute, rank)
            for obj in heap.stand_ins.get(access.obj, ()):
                if obj.kind == "part":  # its mutation is its owner's
                    deep.setdefault((owner_of(obj), ""), _Change()).note(access, "", rank)
                else:
                    changes.setdefault(obj, _Change()).note(access, access.attribute, rank)
    for (obj, package), change in deep.items():
        whole, best, certain = change.whole, change.rank, change.certain
        for inner in _within(summaries, obj, package):
            found = changes.get(inner)
            if found is None:
                found = changes[inner] = _Change()
            if found.whole is None or best < found.rank:
                found.whole, found.rank = whole, best
            found.certain |= certain
    for obj, change in list(changes.items()):
        lump = heap.lump_of.get(obj, obj)
        if lump is not obj:  # what it stands for may be the one
            known = changes.setdefault(lump, _Change())
            for attribute, access in change.attributes.items():
                known.note(access, attribute)
            if change.whole is not None:
                known.note(change.whole, "", change.rank)
    return changes


def _within(summaries: Summaries, obj: Obj, package: str) -> tuple[Obj, ...]:
    """What a deep mutation of an object may change."""
    key = (obj, package)
    known = summaries.within.get(key)
    if known is None:
        known = summaries.within[key] = tuple(
            inner
            for inner in summaries.points_to.heap.reach({obj})
            if inner.kind == "alloc"
            and not _harmless(summaries, inner)
            and _of_package(summaries, inner, package)
        )
    return known


def _of_package(summaries: Summaries, obj: Obj, package: str) -> bool:
    """Whether an object's type is, or may be, one of a package's."""
    if not package:
        return True
    effects = summaries.points_to.heap.effects
    types = obj.libraries()
    return any(not t or f"{t}.".startswith(f"{package}.") or effects.type(t).shares for t in types)


def _harmless(summaries: Summaries, obj: Obj) -> bool:
    if not obj.type:
        return False
    declared = summaries.points_to.heap.effects.type(obj.type)
    return declared.sink or declared.immutable


def holders_of(pairs: Iterable[tuple[str, Obj]]) -> dict[str, set[Obj]]:
    """Path -> what it may lead to."""
    holders: dict[str, set[Obj]] = {}
    for path, obj in pairs:
        holders.setdefault(path, set()).add(obj)
    return holders


class _Roots:
    """Breadth-first search for access paths from the frame, then from globals."""

    def __init__(
        self,
        program: Program,
        summaries: Summaries,
        site: LoopSite,
        live: frozenset[str],
        dead: frozenset[str],
    ):
        """`dead` are names that the loop binds before it reads them: to what isn't there yet."""
        self.program = program
        self.summaries = summaries
        self.heap = summaries.points_to.heap
        self.site = site
        self.live = live
        self.dead = dead
        self.scope = site.function.scope
        self._paths: list[tuple[str, Obj]] | None = None
        self.cut = False  # there are more paths than are looked at
        self.ends: set[str] = set()  # paths not followed further: they have come round
        self._closed: dict[Obj, bool] = {}

    def start(self) -> list[tuple[str, Scope, str]]:
        """(path, owner, name) of every usable root variable, frame first."""
        roots: list[tuple[str, Scope, str]] = []
        scope, function = self.scope, self.site.function
        own = sorted(scope.names - scope.nonlocal_names - self.dead, key=self._first_use)
        for name in own:
            objs = self.heap.variable(scope, name)
            code = bool(objs) and all(_defined_as(o, name) for o in objs)  # others may lead there
            if code or name in self.live or name in function.params or name in scope.captured:
                roots.append((name, scope, name))
        seen = {scope}
        for owner, name in self.heap.free_variables(function):
            roots.append((name, owner, name))
            seen.add(owner)
        for module in self.program.project.modules:
            globals_scope = self.program.module_scope(module)
            if globals_scope is scope:
                continue
            if self.program.bodies[module.name] not in self.summaries.points_to.functions:
                continue
            for name in sorted(globals_scope.names):
                here = module is function.module and self._sees_global(name)
                roots.append((name if here else f"{module.name}:{name}", globals_scope, name))
        return roots

    def _first_use(self, name: str) -> tuple[int, str]:
        order = getattr(self, "_order", None)
        if order is None:
            order = self._order = dict[str, int]()
            for node in ast.walk(self.site.function.node):
                if isinstance(node, ast.Name):
                    order.setdefault(node.id, node.lineno * 1000 + node.col_offset)
                elif isinstance(node, ast.arg):
                    order.setdefault(node.arg, 0)
        return order.get(name, 0), name

    def _sees_global(self, name: str) -> bool:
        owner = self.scope.owner(name)
        return owner is None or owner.kind == "module"

    def paths(self) -> list[tuple[str, Obj]]:
        """(path, object) pairs, shortest paths first; containers and lumps are not entered.

        Names that are bound to a constant too (`best = None`) come last: of two names for an
        object the other one is the better to be told of.
        """
        if self._paths is None:
            constants = _constant_names(self.site.function.module.tree)
            self._paths = sorted(self._search(), key=lambda pair: _root_name(pair[0]) in constants)
        return self._paths

    @functools.cached_property
    def holders(self) -> dict[str, set[Obj]]:
        """What each path may lead to."""
        return holders_of(self.paths())

    def _search(self) -> list[tuple[str, Obj]]:
        found: list[tuple[str, Obj]] = []
        queue: deque[tuple[str, Obj, bool, frozenset[Obj]]] = deque()
        above: frozenset[Obj] = frozenset()  # instances that the path at hand leads through
        seen: set[tuple[str, Obj]] = set()
        expanded: set[Obj] = set()  # by a path that leads to nothing else

        def push(path: str, objs: set[Obj], sure: bool) -> None:
            if path.count(".") > MAX_DOTS:
                return
            if found and len(queue) > 4 * MAX_PATHS:
                self.cut = True
                return
            for obj in sorted(objs, key=attrgetter("label")):
                if (path, obj) not in seen:
                    queue.append((path, obj, sure and len(objs) == 1, above))

        for path, owner, name in self.start():
            push(path, self.heap.variable(owner, name), True)
        roots = len(queue)
        while queue:
            if len(found) >= MAX_PATHS:  # what roots lead to is saved with them
                self.cut = True
                if roots <= 0:
                    break
            roots -= 1
            path, obj, sure, above = queue.popleft()
            if (path, obj) in seen:
                continue
            seen.add((path, obj))
            found.append((path, obj))
            if path.count(".") == MAX_DOTS:
                self.ends.add(path)
                continue
            if self.cut:
                continue
            if obj in expanded and (path.count(".") > 2 or single(obj, self.summaries)):
                continue
            if sure:
                expanded.add(obj)
            if obj.kind == "alloc" and obj.cls is not None:
                if obj in above and self._whole(obj):
                    self.ends.add(path)
                    continue
                above |= {obj}
            if obj.receiver is not None and _is_method(obj, self.heap):
                push(f"{path}.__self__", {obj.receiver}, sure)
            elif obj.kind == "class" or (obj.kind == "alloc" and obj.cls is not None):
                for name, objs in self.heap.fields_of(obj).items():
                    if not name.startswith("["):
                        push(f"{path}.{name}", objs, sure)
            elif obj.kind == "function" and obj.function is not None:
                for how, objs in self.heap.defaults.get(obj.function, {}).items():
                    for inner in sorted(objs, key=repr):
                        push(f"{path}.{how}", {inner}, sure)
                for owner, name in self.heap.free_variables(obj.function):
                    if owner is not self.scope:
                        push(f"{path}.__closure__.{name}", self.heap.variable(owner, name), sure)
        if queue:  # the search broke off: what else this path may lead to wasn't looked at
            found = [pair for pair in found if pair[0] != queue[0][0]]
        return found

    def _whole(self, obj: Obj) -> bool:
        """Whether saving an object saves all state that it leads to: it keeps no closures."""
        if obj not in self._closed:
            self._closed[obj] = not any(
                o.function is not None and self.heap.free_variables(o.function)
                for o in self.heap.held({obj})
            )
        return self._closed[obj]


def _is_method(obj: Obj, heap: Heap) -> bool:
    """Whether an object is a bound method: an attribute of something unknown need not be one."""
    if obj.kind != "libbound" or obj.receiver is None:
        return obj.kind == "bound"
    receiver = obj.receiver
    types = receiver.libraries()
    return any(heap.effects.method(t, obj.name) is not None for t in types if t)


def _root_name(path: str) -> str:
    return path.rpartition(":")[2].partition(".")[0]


def _constant_names(tree: ast.Module) -> set[str]:
    """Names that some assignment of a module binds to a constant."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and isinstance(node.value, ast.Constant):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found.update(target.id for target in targets if isinstance(target, ast.Name))
    return found


def checkpoint_set(
    program: Program,
    summaries: Summaries,
    site: LoopSite,
    cfg: ControlFlowGraph,
    live_sets: LiveSets,
    times: Clocks,
    live_if_run: frozenset[str],
    inner: tuple[str, ...],
) -> CheckpointSet:
    """Compute one loop's checkpoint set, with a reason for every name in or out.

    `live_if_run` are the names live at the head if the `inner` loops run at least once each.
    """
    live = live_sets.before[cfg.heads[site.node]]
    accesses = summaries.of_statements(site.statements)
    rebound_lines = _rebound_here(program, site, cfg)
    guarded = _guarded(live - live_if_run, rebound_lines, inner)
    live &= live_if_run
    dead = frozenset(rebound_lines.keys() - live)
    usable = live | _read_by_header(site, rebound_lines)
    roots = _Roots(program, summaries, site, usable, dead)
    members: dict[str, Member] = {}
    for name, line in sorted(rebound_lines.items(), key=lambda item: (item[1], item[0])):
        if name in live:
            members[name] = Member(name, "rebound", "exact", f"assigned at line {line}", line)
    for access in accesses:
        if access.kind in ("rebind", "touch") and access.scope is not None:
            if access.scope is site.function.scope and access.name not in live:
                continue
            for path in _rebound_paths(summaries, site, roots, access, members):
                if path in members:
                    continue
                line = access.line if access.function is site.function else 0
                reason = f"assigned in {access.function.path or 'the module'}, line {access.line}"
                if access.kind == "touch":
                    reason = f"{access.reason}, line {access.line}"
                how = "rebound" if access.kind == "rebind" else "mutated"
                members[path] = Member(path, how, access.certainty, reason, line)
    changes = changed_objects(summaries, accesses)
    pairs = roots.paths()
    iterators = _add_mutated(summaries, site, changes, pairs, members, roots.cut, roots.ends)
    dynamic = tuple(a for a in accesses if a.kind == "dynamic")
    if any(a.name in ("exec", "globals", "locals", "vars", "eval") for a in dynamic):
        for name in sorted(program.module_scope(site.function.module).names & live):
            why = f"{dynamic[0].name}() at line {dynamic[0].line} may rebind it"
            members.setdefault(name, Member(name, "rebound", "assumed", why, dynamic[0].line))
    unnamed = _unnamed(summaries, site, changes, accesses, pairs)
    later = summaries.of_statements(_from_here(summaries, site))
    rereads = any(access.kind == "read_file" for access in later)
    _add_sharing(summaries, site, pairs, members, later)
    _mark_derived(summaries, site, rebound_lines, members)
    kept = _marked_volatile(
        _without_prefixes(members, pairs, summaries.points_to.heap), site, pairs, times, summaries
    )
    excluded = _excluded(program, summaries, site, live, kept, changes, rebound_lines, guarded)
    shared = _shared(summaries, pairs, kept)
    inside = {a.name for a in accesses if a.kind == "rebind" and a.scope is site.function.scope}
    return CheckpointSet(
        kept,
        excluded,
        iterators,
        dynamic,
        unnamed,
        shared,
        guarded,
        live,
        rereads,
        tuple(pairs),
        frozenset(inside | rebound_lines.keys()),
    )


def _marked_volatile(
    members: tuple[Member, ...],
    site: LoopSite,
    pairs: list[tuple[str, Obj]],
    times: Clocks,
    summaries: Summaries,
) -> tuple[Member, ...]:
    """Members that may hold clock times are marked as such."""
    if not (times.variables or times.attributes or times.objects):
        return members
    holders = holders_of(pairs)
    names = {name for _, name in times.variables}
    marked = []
    for member in members:
        owner, _, last = member.path.rpartition(".")
        objs = holders.get(member.path, set())
        if not owner:  # a variable, of this frame or of a module
            name = member.path.rpartition(":")[2]
            objs = objs | summaries.points_to.heap.variable(site.function.scope, name)
            volatile = name in names
        else:
            volatile = any((obj, last) in times.attributes for obj in holders.get(owner, ()))
        volatile = volatile or times.in_reach(summaries.points_to.heap.reach(objs))
        marked.append(replace(member, volatile=volatile))
    return tuple(marked)


def _guarded(
    names: frozenset[str], rebound: dict[str, int], inner: tuple[str, ...]
) -> tuple[Guarded, ...]:
    """Names that only a way around inner loops reads before they are assigned."""
    loops = ", ".join(inner)
    reason = f"dead, as long as {loops} runs at least once in every iteration (this is watched)"
    return tuple(Guarded(n, reason, rebound.get(n, 0), inner) for n in sorted(names))


def _rebound_here(program: Program, site: LoopSite, cfg: ControlFlowGraph) -> dict[str, int]:
    """Names of the loop's own function that the loop assigns -> line of the first assignment."""
    inside = set(site.statements)
    found: dict[str, int] = {}
    scope = site.function.scope
    for node in cfg.nodes:
        statement = node.statement
        if statement is None or node.role == "init":
            continue
        header = handler_of(statement) is not None or case_of(statement) is not None
        if statement in inside or (header and statement.lineno in _span(site.node)):
            for name in names_of(node, scope, program.scopes)[1]:
                found[name] = min(found.get(name, statement.lineno), statement.lineno)
    for statement in inside:  # bound on some paths only: walrus, match captures, del
        for child in ast.walk(statement):
            name = ""
            if isinstance(child, ast.NamedExpr):
                name = child.target.id
            elif isinstance(child, ast.Name) and isinstance(child.ctx, ast.Del):
                name = child.id
            if name and scope.owner(name) is scope:
                found.setdefault(name, getattr(child, "lineno", statement.lineno))
    return found


def _read_by_header(site: LoopSite, rebound: dict[str, int]) -> set[str]:
    """Names of what the loop's iterator reads: it does so at each head, whoever else does not."""
    if not isinstance(site.node, ast.For):
        return set()
    names = {n.id for n in ast.walk(site.node.iter) if isinstance(n, ast.Name)}
    return {name for name in names & site.function.scope.names if name not in rebound}


def _span(node: ast.stmt) -> range:
    return range(node.lineno, (node.end_lineno or node.lineno) + 1)


def _rebound_paths(
    summaries: Summaries,
    site: LoopSite,
    roots: _Roots,
    access: Access,
    members: dict[str, Member],
) -> list[str]:
    """Paths of a variable that the loop rebinds: several for a cell of several closures."""
    owner, name = access.scope, access.name
    assert owner is not None
    if owner is site.function.scope:
        return [name]
    if owner.kind == "module":
        if owner.module == site.function.module.name and roots._sees_global(name):
            return [name]
        return [f"{owner.module}:{name}"]
    if site.function.scope.owner(name) is owner:
        return [name]
    heap = summaries.points_to.heap
    found: list[str] = []
    for path, obj in roots.paths():
        if obj.kind == "function" and obj.function is not None:
            if (owner, name) in heap.free_variables(obj.function):
                cell = f"{path}.__closure__.{name}"
                sure = len(roots.holders[path]) == 1 and not _loose(path, members)
                if sure and defined_once(obj.function, summaries):
                    return [cell]
                found.append(cell)
    return found


def _reason(site: LoopSite, access: Access) -> tuple[str, int]:
    if access.function is site.function:
        return f"{access.reason}, line {access.line}", access.line
    where = access.function.path or access.function.module.rel
    if access.function.module is not site.function.module:
        return f"{access.reason}, {access.function.module.rel}:{access.line}", 0
    return f"{access.reason}, in {where} line {access.line}", 0


def _add_mutated(
    summaries: Summaries,
    site: LoopSite,
    changes: dict[Obj, _Change],
    pairs: list[tuple[str, Obj]],
    members: dict[str, Member],
    cut: bool,
    ends: AbstractSet[str],
) -> tuple[Obj, ...]:
    heap = summaries.points_to.heap
    named: set[Obj] = set()
    alias_of: dict[Obj, str] = {}
    iterators: dict[Obj, None] = {}
    holders = holders_of(pairs)

    def add(
        path: str, access: Access, certain: bool, how: str = "mutated", alias: str = ""
    ) -> None:
        reason, line = _reason(site, access)
        old = members.get(path)
        if old is not None:
            alias = alias if old.alias else ""
            if old.certainty == "exact" or not certain:
                members[path] = replace(old, alias=alias)
                return
        members[path] = Member(path, how, "exact" if certain else "assumed", reason, line, alias)

    for path, obj in pairs:
        change = changes.get(owner_of(obj))
        if path in ends and obj.kind == "alloc":  # all that comes after it is saved with it
            inside = {o for o in heap.held({obj}) if o in changes and not _harmless(summaries, o)}
            if inside:
                first = changes[min(inside, key=repr)]
                access = first.whole or next(iter(first.attributes.values()))
                add(path, access, any(changes[o].certain for o in inside))
                continue
        if change is None:
            continue
        # Only a path that can lead to nothing else, to an object that is the only one of its
        # allocation site, is sure to save it; otherwise other paths to it are needed too.
        unique = len(holders[path]) == 1 and obj.kind != "part" and single(obj, summaries)
        unique = unique and not _loose(path, members)
        if change.whole is not None and obj.kind != "function":
            alias = alias_of.setdefault(obj, path) if unique else path
            advanced = change.advanced is not None
            how = "iterator" if advanced else "mutated"
            add(path, change.whole, change.certain, how, "" if alias == path else alias)
            if advanced and isinstance(obj.site, ast.Call):
                iterators[obj] = None
            if unique:
                named.add(obj)
        for attribute, access in change.attributes.items():
            # An assigned attribute may hold another object by now, that is no one else's.
            assigned = access.certainty == "exact"
            how = "rebound" if assigned else "mutated"
            alias = alias_of.setdefault(obj, path) if unique else path
            alias = "" if alias == path else f"{alias}.{attribute}"
            add(f"{path}.{attribute}", access, assigned, how, alias)
            if unique:
                named.add(obj)
    missing = {
        o for o in changes if o not in named and o.kind == "alloc" and not _harmless(summaries, o)
    }

    @functools.cache
    def parts(path: str) -> set[Obj]:
        return _parts(heap, holders[path])

    for path, obj in pairs:  # mutated objects that only a container or a lump leads to for sure
        if not missing:
            break
        if obj.kind in ("function", "class", "module", "library", "bound", "libbound"):
            continue
        entered = not cut and path not in ends
        if obj.cls is not None and entered and not heap.contents_of(obj):
            continue  # entered by its attributes
        inside = heap.held({obj}) & missing
        if inside and not _harmless(summaries, obj) and obj not in inside:
            chosen = min(inside, key=repr)
            change = changes[chosen]
            access = change.whole or next(iter(change.attributes.values()))
            # Another member may be what all this is a part of.
            other = (
                p
                for p, m in members.items()
                if not m.alias and p in holders and p != path and not _loose(p, members)
            )
            alias = next((p for p in other if inside <= parts(p)), "")
            add(path, access, change.certain, alias=alias)
            if change.advanced is not None and isinstance(chosen.site, ast.Call):
                iterators[chosen] = None
    return tuple(iterators)


def _parts(heap: Heap, objs: set[Obj]) -> set[Obj]:
    """What library objects are made of; what containers hold may be something else by now."""
    found, stack = set(objs), list(objs)
    while stack:
        obj = stack.pop()
        values = bool(obj.type) and heap.effects.type(obj.type).elements == obj.type  # a tensor
        if obj.type in SEQUENCES or obj.cls is not None or values:
            continue
        for inner in heap.successors(obj) - found:
            if inner.kind in ("alloc", "part"):
                found.add(inner)
                stack.append(inner)
    return found


def _loose(path: str, members: dict[str, Member]) -> bool:
    """Whether the path, or what it begins with, is assigned: a restore makes a new object then."""
    names = path.split(".")
    starts = (".".join(names[:end]) for end in range(1, len(names) + 1))
    return any(start in members and members[start].how == "rebound" for start in starts)


def _mark_derived(
    summaries: Summaries, site: LoopSite, rebound: dict[str, int], members: dict[str, Member]
) -> None:
    """`raw = model.module if ddp else model`: what `raw` may be, `model` leads to."""
    heap, scope = summaries.points_to.heap, site.function.scope
    bindings: dict[str, list[ast.stmt]] = {}
    sources: dict[str, ast.expr] = {}
    own = statements_of(site.function)
    loops = [s for s in own if isinstance(s, (ast.For, ast.While)) and s is not site.node]
    for statement in own:
        for name, value in _bound_by(statement):
            bindings.setdefault(name, []).append(statement)
            if value is not None:
                sources[name] = value
    for path, member in members.items():
        value = sources.get(path)
        if member.alias or member.how == "rebound" or value is None or path in rebound:
            continue
        root = _path_root(value)
        if root is None or root not in members or root in rebound or len(bindings[path]) != 1:
            continue
        (made,) = bindings[path]
        around = [inner for s in loops if made in (inner := statements_in(s))]
        stable = all(
            b.lineno < made.lineno and not any(b in inner for inner in around)
            for b in bindings.get(root, ())
        )
        objs = {o for o in heap.variable(scope, path) if o.kind in ("alloc", "part")}
        holders = {o for o in heap.variable(scope, root) if o.kind in ("alloc", "part")}
        inside = {owner_of(o) for o in heap.held(holders)}
        if bindings.get(root) and stable and {owner_of(o) for o in objs} <= inside:
            members[path] = replace(member, alias=members[root].alias or root)


def _bound_by(statement: ast.stmt) -> list[tuple[str, ast.expr | None]]:
    """Names that a statement itself binds, with the value where that is plain to see."""
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        target, value = statement.targets[0], statement.value
        if isinstance(target, ast.Name):
            return [(target.id, value)]
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            if len(target.elts) == len(value.elts) and all(
                isinstance(e, ast.Name) for e in target.elts
            ):
                names = [e.id for e in target.elts if isinstance(e, ast.Name)]
                return list(zip(names, value.elts))
    found: list[tuple[str, ast.expr | None]] = []
    for child in ast.iter_child_nodes(statement):
        if isinstance(child, ast.stmt):
            continue
        for node in ast.walk(child):
            if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
                found.append((node.id, None))
    return found


def _path_root(value: ast.expr) -> str | None:
    """The name that a chain of attributes begins with; of `a if c else b` the common one."""
    if isinstance(value, ast.Name):
        return value.id
    if isinstance(value, ast.Attribute):
        return _path_root(value.value)
    if isinstance(value, ast.IfExp):
        first, second = _path_root(value.body), _path_root(value.orelse)
        return first if first == second else None
    return None


def _defined_as(obj: Obj, name: str) -> bool:
    """Whether `obj` is the function or class that a statement defines under this name."""
    made = obj.function if obj.kind == "function" else obj.cls if obj.kind == "class" else None
    return made is not None and getattr(made.node, "name", "") == name


def _unnamed(
    summaries: Summaries,
    site: LoopSite,
    changes: dict[Obj, _Change],
    accesses: list[Access],
    pairs: list[tuple[str, Obj]],
) -> str:
    """What is changed, and only a function leads to that isn't called by an access path."""
    heap = summaries.points_to.heap
    roots = {obj for _, obj in pairs}
    hidden = heap.reach(roots) - heap.held(roots)
    for obj in sorted(hidden & changes.keys(), key=repr):
        if obj.kind == "alloc" and not _harmless(summaries, obj):
            if site.function is not obj.where and (obj.where or heap.sites_of(obj)):
                return f"{obj} is changed, which only a function leads to"
    stored = {o for objs in heap.contents.values() for o in objs}
    for access in accesses:
        if access.kind != "rebind" or access.scope is None or access.scope.kind != "function":
            continue
        for obj in sorted(heap.reach(roots), key=repr):
            function = obj.function if obj.kind == "function" else None
            if function is None or (obj in roots and obj not in stored):
                continue
            if (access.scope, access.name) in heap.free_variables(function):
                if not (obj in roots and defined_once(function, summaries)):
                    return f"{access.name} of {function.path} is assigned, which has no name"
    return ""


def _add_sharing(
    summaries: Summaries,
    site: LoopSite,
    pairs: list[tuple[str, Obj]],
    members: dict[str, Member],
    accesses: list[Access],
) -> None:
    """Add names that may share an object with a member, if `accesses`, of later, change it.

    A restored member could hold a copy of it otherwise.
    """
    heap = summaries.points_to.heap
    later = changed_objects(summaries, accesses)
    holders = holders_of(pairs)
    while True:
        saved = {p: holders[p] for p in members if p in holders}
        sure = {
            obj
            for path, objs in saved.items()
            for obj in objs
            if len(objs) == 1 and single(obj, summaries) and not _loose(path, members)
        }
        shared = heap.held(set().union(*saved.values())) & later.keys()
        before = len(members)
        for path, obj in pairs:
            covered = path in members or any(start in members for start in _prefixes(path))
            if obj in shared and obj not in sure and obj.kind == "alloc" and not covered:
                if not _harmless(summaries, obj):
                    reason = "it may share what a member holds"
                    members[path] = Member(path, "mutated", "exact", reason, site.node.lineno)
        if len(members) == before:
            return


def _shared(
    summaries: Summaries, pairs: list[tuple[str, Obj]], members: tuple[Member, ...]
) -> tuple[str, ...]:
    """Paths that aren't saved and may lead to objects that members may lead to.

    The run time notes which objects these are, so that a restore gives a member the very object.
    """
    heap = summaries.points_to.heap
    saved = {member.path for member in members}
    roots = {obj for path, obj in pairs if path in saved}
    whole = heap.held(roots)
    while bound := {o.receiver for o in whole if o.kind in _METHODS and o.receiver} - whole:
        whole |= heap.held(bound)  # a method leads to its object
    held = {owner_of(o) for o in whole}
    held = {o for o in held if o.kind == "alloc" and not _harmless(summaries, o)}
    found: dict[str, None] = {}
    for path, obj in pairs:
        parts = path.split(".")
        starts = [".".join(parts[:end]) for end in range(1, len(parts) + 1)]
        if not (saved & {path, *_prefixes(path)}) and not any(start in found for start in starts):
            if held & {owner_of(o) for o in heap.held({obj})}:
                found[path] = None
    return tuple(found)


def _from_here(summaries: Summaries, site: LoopSite) -> list[ast.stmt]:
    """Statements that may run from the loop's head on, callers' included."""
    found: dict[ast.stmt, None] = {}
    seen: set[tuple[Function, ast.stmt]] = set()
    stack: list[tuple[Function, ast.stmt]] = [(site.function, site.node)]
    while stack:
        place = stack.pop()
        if place in seen:
            continue
        seen.add(place)
        function, at = place
        own = statements_of(function)
        around = [
            s.lineno for s in own if isinstance(s, (ast.For, ast.While)) and at in statements_in(s)
        ]
        start = min([at.lineno, *around])
        found.update(dict.fromkeys(s for s in own if s.lineno >= start))
        stack += summaries.callers.get(function, [])
    return list(found)


def _without_prefixes(
    members: dict[str, Member], pairs: list[tuple[str, Obj]], heap: Heap
) -> tuple[Member, ...]:
    """Drop `a.b` where `a` itself is saved whole, not only because `a.b` leads to the same.

    Attributes of a class that `a` may lead to aren't: classes are saved by name.
    """
    whole = {p for p, member in members.items() if not member.alias.startswith(f"{p}.")}
    holders = holders_of(pairs)

    @functools.cache
    def saved_with_owner(path: str) -> bool:
        owner, _, name = path.rpartition(".")
        classes = [o for o in holders.get(owner, ()) if o.kind == "class"]
        return owner in holders and not any(name in heap.fields_of(cls) for cls in classes)

    def saved_whole(path: str) -> bool:
        starts = _prefixes(path) & whole
        while starts and saved_with_owner(path):
            path = path.rpartition(".")[0]
            if path in starts:
                return True
        return False

    return tuple(member for path, member in members.items() if not saved_whole(path))


_NOT_SAVED_WITH = {"__self__", "__closure__", "__defaults__", "__kwdefaults__"}


def _prefixes(path: str) -> set[str]:
    """Paths whose object holds what is at `path`: methods and functions hold nothing."""
    parts = path.split(".")
    first = max((n for n, part in enumerate(parts) if part in _NOT_SAVED_WITH), default=0)
    return {".".join(parts[:end]) for end in range(first + 1, len(parts))}


def _excluded(
    program: Program,
    summaries: Summaries,
    site: LoopSite,
    live: frozenset[str],
    members: tuple[Member, ...],
    changes: dict[Obj, _Change],
    rebound: dict[str, int],
    guarded: tuple[Guarded, ...],
) -> tuple[Excluded, ...]:
    """Names that the loop mentions and that aren't saved, with the reason."""
    heap, scope = summaries.points_to.heap, site.function.scope
    inside = {m.path.split(".")[0] for m in members}
    watched = {g.path: g for g in guarded}
    saved = {m.path for m in members}
    mentioned: dict[str, int] = {}
    for statement in site.statements:
        for child in ast.walk(statement):
            if isinstance(child, ast.Name):
                mentioned.setdefault(child.id, child.lineno)
    found = []
    for name, line in sorted(mentioned.items()):
        owner = scope.owner(name)
        if owner is None or name in saved:
            continue
        objs = heap.variable(owner, name)
        if any(o.kind in ("function", "class", "module", "library") for o in objs):
            continue
        if name in watched:
            reason, line = watched[name].reason, watched[name].line
        elif name in inside:
            reason = "only the attributes listed are changed"
        elif name in rebound and name not in live:
            reason = "dead: assigned before it is read in every iteration"
            line = rebound[name]
        elif objs and all(_harmless(summaries, o) for o in objs):
            reason = "a sink of the outside world, or immutable"
        elif any(o in changes for o in objs):
            reason = "the same object as a member, or dead at the head"
        else:
            reason = "not changed by the loop"
        found.append(Excluded(name, reason, line))
    return tuple(found)
