"""Whether the loop changes what an iterator goes through, where a restore doesn't bring that back.

A loop's own iterator, and those that it advances, hold what they were made from.  Names may lead
elsewhere by now (`for x in xs: … xs = []`): what is saved under them isn't what the iterator reads.
And a filter's position can't be found again by counting items if what it filters was changed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from functools import cached_property

from florc.analysis.callgraph import Summaries
from florc.analysis.checkpoint_set import CheckpointSet, changed_objects, holders_of
from florc.analysis.dependence import depends_on
from florc.analysis.heap import BY_NAME, LAZY, owner_of
from florc.analysis.loops import LoopSite
from florc.analysis.multiplicity import single
from florc.analysis.objects import Access, Class, Function, Obj

_PASSING = frozenset({"enumerate", "zip", "reversed", "iter"})
"""Built-in functions whose result reads the arguments themselves, item by item."""
_VIEWS = frozenset({"items", "keys", "values"})
_PARTS = frozenset(
    "parameters named_parameters buffers named_buffers modules named_modules children"
    " named_children".split()
)
"""Methods of modules that read the module itself, item by item."""
_COUNTED = frozenset({"enumerate", "iter", "islice", "map", "starmap", "zip", "zip_longest"})
"""Functions whose result takes one item, or a fixed number, for each, and keeps nothing of it."""
_WHY = "it can't be fast-forwarded"
_MAPPINGS = frozenset(
    {
        "builtins.dict",
        "collections.defaultdict",
        "collections.OrderedDict",
        "collections.Counter",
    }
)
_ORDERED_BY_HISTORY = _MAPPINGS | {"builtins.set"}
"""Containers where an iterator's place depends on what was taken out before."""


def changed_iterable(summaries: Summaries, site: LoopSite, result: CheckpointSet) -> str:
    """What the loop changes behind the back of an iterator, in words; "" if nothing."""
    search = _Search(summaries, site, result)
    if isinstance(site.node, ast.For):
        inside = [s for s in site.statements if s is not site.node]
        found = search.header(site.node, summaries.of_statements(inside))
        if found:
            return f"what it goes through is changed by the loop ({found}): {_WHY}"
    for iterator in sorted(result.iterators, key=_order):
        found = search.iterator(iterator)
        if found:
            return f"what {iterator} goes through is changed by the loop ({found}): {_WHY}"
    return ""


class _Search:
    """Looks at what the iterators of one loop read."""

    def __init__(self, summaries: Summaries, site: LoopSite, result: CheckpointSet) -> None:
        self.summaries = summaries
        self.heap = summaries.points_to.heap
        self.site = site
        self.result = result
        self.holders = holders_of(result.paths)
        moving = {m.path for m in result.members if m.how == "rebound"} | result.rebound
        open_ = self.heap.kin(self._open())
        self.steady = {
            path
            for path in self.holders
            if not moving.intersection(_starts(path))
            and all(open_.isdisjoint(self.holders.get(p, ())) for p in _starts(path)[:-1])
        }
        self.whole = {m.path for m in result.members if m.how != "rebound" and not m.alias}
        self.sure: set[Obj] = set()  # what steady paths lead to, and nothing else can be
        self.saved: set[Obj] = set()  # of those, what is saved with all that it holds
        for path in self.steady:
            (obj, *others) = self.holders[path]
            if not others and obj.kind == "alloc" and single(obj, summaries):
                self.sure.add(obj)
                if self._is_saved(path):
                    self.saved.add(obj)

    def _open(self) -> set[Obj]:
        """Objects of the project some attribute of which may be assigned, whichever (`setattr`)."""
        return {
            access.obj
            for access in self.summaries.of_statements(self.site.statements)
            if access.kind == "mutate" and access.obj is not None and access.obj.cls is not None
            if not (access.attribute or access.deep) and access.certainty == "exact"
        }

    @cached_property
    def kept(self) -> set[Obj]:
        """Iterators that something holds; all others are used up where they are made."""
        heap = self.heap
        holding = [*heap.variables.values()]
        holding += [objs for fields in heap.fields.values() for objs in fields.values()]
        holding += [objs for o, objs in heap.contents.items() if o.type not in LAZY]
        stack = [o for objs in holding for o in objs if o.kind == "alloc" and o.type in LAZY]
        found = set(stack)
        while stack:
            new = {o for o in heap.contents.get(stack.pop(), ()) if o.type in LAZY} - found
            found |= new
            stack += new
        return found

    def _is_saved(self, path: str) -> bool:
        return not self.whole.isdisjoint(_starts(path))

    # -- what is read --------------------------------------------------------------------------
    def header(self, node: ast.For, accesses: list[Access]) -> str:
        """What of its iterable the loop's body changes."""
        operands = self._operands(node.iter)
        changes = _Changes(self, accesses)
        if operands is None:
            given = self.summaries.points_to.iterated.get(node, frozenset())
            return self._changed(given, changes, set(), set())
        for path in operands:
            objs = self.holders[path]
            found = self._changed(objs, changes, objs, objs if self._is_saved(path) else set())
            if found:
                return found
        return ""

    def iterator(self, iterator: Obj) -> str:
        """What an iterator reads that the loop changes, other than by advancing it."""
        own = self._own(iterator)
        at: set[ast.stmt] = set()
        everything = self.summaries.of_statements(self.site.statements)
        for access in everything:
            if access.kind == "advance" and access.obj is iterator:
                at.add(access.statement)
        others = [s for s in self.site.statements if s not in at]
        accesses = [a for a in everything if a.function not in own and a.kind != "advance"]
        accesses += [a for a in self.summaries.of_statements(others) if a.function in own]
        return self._changed({iterator}, _Changes(self, accesses), {iterator}, set())

    def _own(self, iterator: Obj) -> set[Function]:
        """Functions that advancing an iterator runs."""
        found: set[Function] = set()
        for obj in self.heap.reach({iterator}):
            if obj.kind != "alloc":
                continue
            started = [obj.function] if obj.function is not None else []
            if obj.cls is not None:
                started += [obj.cls.method("__iter__"), obj.cls.method("__next__")]  # type: ignore[list-item]
            for function in filter(None, started):
                found |= self.summaries.closure.get(function, frozenset({function}))
        return found

    def _operands(self, expr: ast.expr) -> list[str] | None:
        """Steady paths to all that the value of an expression reads; None if that isn't plain."""
        scope = self.site.function.scope
        if isinstance(expr, ast.Constant):
            return []
        if isinstance(expr, (ast.Name, ast.Attribute)):
            path = ast.unparse(expr)
            if path in self.steady:
                return [path]
            return self._part(expr) if isinstance(expr, ast.Attribute) else None
        if isinstance(expr, ast.GeneratorExp) and not _conditions(expr):
            return self._operands(expr.generators[0].iter)  # what it gives is computed anew
        if not isinstance(expr, ast.Call):
            return None
        func = expr.func
        if isinstance(func, ast.Name) and scope.owner(func.id) is None:
            if func.id == "range":
                return []
            if func.id in _PASSING and not any(isinstance(a, ast.Starred) for a in expr.args):
                return self._all(expr.args)
        if isinstance(func, ast.Attribute) and func.attr in _VIEWS | _PARTS and not expr.args:
            read = self._operands(func.value)
            fits = self._is_mapping if func.attr in _VIEWS else self._is_module
            if read is not None and all(fits(o) for p in read for o in self.holders[p]):
                return read
        return None

    def _is_mapping(self, obj: Obj) -> bool:
        return obj.type in _MAPPINGS and obj.cls is None

    def _is_module(self, obj: Obj) -> bool:
        return any(self.heap.effects.is_a(t, "torch.nn.Module") for t in obj.libraries())

    def _part(self, expr: ast.Attribute) -> list[str] | None:
        """The same for a part of a library's object that the loop leaves where it is."""
        owner = ast.unparse(expr.value)
        if owner not in self.steady or any(
            o.kind != "alloc" or o.cls is not None or not o.type for o in self.holders[owner]
        ):
            return None
        for access in self.summaries.of_statements(self.site.statements):
            if access.kind == "mutate" and access.obj in self.heap.kin(self.holders[owner]):
                if f".{expr.attr} is assigned" in access.reason or "load_" in access.reason:
                    return None
        return [owner]

    def _all(self, exprs: Iterable[ast.expr]) -> list[str] | None:
        found: list[str] = []
        for expr in exprs:
            read = self._operands(expr)
            if read is None:
                return None
            found += read
        return found

    # -- what is changed -----------------------------------------------------------------------
    def _changed(
        self, objs: Iterable[Obj], changes: _Changes, sure: set[Obj], saved: set[Obj]
    ) -> str:
        """Something below `objs` that is changed, and that isn't surely put back.

        Of these, `sure` and `saved` are known to be the very objects that a path leads to.
        """
        stack = [(obj, False) for obj in sorted(objs, key=_order)]
        seen: set[tuple[Obj, bool]] = set()
        while stack:
            obj, skipping = stack.pop()
            obj = owner_of(obj)
            if (obj, skipping) in seen or obj.kind in BY_NAME:
                continue
            seen.add((obj, skipping))
            change = changes.objects.get(obj)
            is_sure = obj in sure or obj in self.sure
            lazy = obj.kind == "alloc" and obj.type in LAZY
            if lazy and obj not in self.kept:
                change = None  # the loop's alone: its advances are of others of its kind
            if change is not None:
                access = change.whole or next(iter(change.attributes.values()))
                what = f"{access.reason}, line {access.line}"
                wrapped = obj in self.result.iterators and isinstance(obj.site, ast.Call)
                generator = obj.function is not None and obj.function.generator
                if not is_sure or skipping or ((lazy or generator) and not wrapped):
                    return what
                if obj.type in _ORDERED_BY_HISTORY and not _only_stored(obj, changes.accesses):
                    return what
            if obj.function is not None and obj.function.generator:
                continue  # what it reads is looked at in iterators.py
            if obj.cls is not None and not is_sure:
                found = self._next(obj.cls, changes)
                if found:
                    return found
            if lazy:
                found = ""
                if isinstance(obj.site, ast.GeneratorExp) and obj.where is not None:
                    skipping = skipping or bool(_conditions(obj.site))
                    found = self._in_expression(obj.site, obj.where, changes)
                elif _skips(obj):
                    skipping = True
                    found = self._decided(self.heap.held({obj}), changes)
                if found:
                    return found
            if obj.kind == "alloc" and self._loads(obj):
                continue
            inside = self._beside(obj)
            if lazy or skipping or not (obj in saved or obj in self.saved):
                inside |= self.heap.successors(obj)
            stack += [(held, skipping) for held in sorted(inside, key=_order)]
        return ""

    def _loads(self, obj: Obj) -> bool:
        """Whether a loader, or what it loads from, makes the items: of data that it keeps."""
        declared = map(self.heap.effects.type, filter(None, obj.libraries()))
        return any(t.iterable_calls or t.iteration_draws for t in declared)

    def _beside(self, obj: Obj) -> set[Obj]:
        """What an iterator over an object reads without asking the object for each item."""
        method = obj.cls.method("__iter__") if obj.cls is not None else None
        if method is None:
            return set()
        return {o for o in self.heap.returns.get(method, ()) if o.cls is not obj.cls}

    def _next(self, cls: Class, changes: _Changes) -> str:
        """How a project's iterator depends on what is changed; its own attributes aside."""
        method = cls.method("__next__")
        if method is None:
            return ""
        changed = {o for o in changes.objects if o.cls is not cls}
        return depends_on(
            self.summaries, method, changed, changes.rebound, remade=False, born_inside=frozenset()
        )

    def _decided(self, objs: set[Obj], changes: _Changes) -> str:
        """How functions that decide what an iterator leaves out depend on what is changed."""
        for obj in sorted(objs, key=_order):
            if obj.kind in ("function", "bound") and obj.function is not None:
                own = self.summaries.closure.get(obj.function, frozenset({obj.function}))
                changed = {o for o in changes.objects if o.where not in own}
                why = depends_on(
                    self.summaries, obj.function, changed, changes.rebound, True, frozenset()
                )
                if why:
                    return why
        return ""

    def _in_expression(
        self, expression: ast.GeneratorExp, where: Function, changes: _Changes
    ) -> str:
        """What decides which items a generator expression has, and is changed or bound anew."""
        own = {
            node.id
            for generator in expression.generators
            for node in ast.walk(generator.target)
            if isinstance(node, ast.Name)
        }
        for node in (node for part in _conditions(expression) for node in ast.walk(part)):
            if not (isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)):
                continue
            owner = where.scope.owner(node.id)
            if node.id in own or owner is None:
                continue
            if (owner, node.id) in changes.rebound:
                return f"{node.id} is assigned in the loop"
            objs = self.heap.variable(owner, node.id)
            if {owner_of(o) for o in self.heap.reach(objs)} & changes.objects.keys():
                return f"what {node.id} leads to is changed"
            why = self._decided(objs, changes)
            if why:
                return why
        return ""


def _conditions(expression: ast.GeneratorExp) -> list[ast.expr]:
    """What a generator expression evaluates to find its next item, again each time."""
    return [
        *(g.iter for g in expression.generators[1:]),
        *(condition for g in expression.generators for condition in g.ifs),
    ]


class _Changes:
    """What some code of the loop changes."""

    def __init__(self, search: _Search, accesses: list[Access]) -> None:
        self.accesses = accesses
        effects = search.heap.effects
        changes = changed_objects(search.summaries, accesses)
        # The run time notes what iterators draw.
        self.objects = {o: c for o, c in changes.items() if not effects.type(o.type).stream}
        self.rebound: set[tuple[object, str]] = {
            (a.scope, a.name) for a in accesses if a.kind in ("rebind", "touch")
        }
        self.rebound |= {(search.site.function.scope, name) for name in search.result.rebound}


def _only_stored(obj: Obj, accesses: list[Access]) -> bool:
    """Whether items of a container are assigned, and nothing else happens to it."""
    kinds = ("is assigned", "is updated in place", "may make an entry")
    return obj.type in _MAPPINGS and all(
        not a.deep and a.reason.endswith(kinds)
        for a in accesses
        if a.kind == "mutate" and a.obj is obj
    )


def _skips(obj: Obj) -> bool:
    """Whether how many items an iterator has given doesn't tell its place."""
    if obj.type == "builtins.filter":
        return True
    func = obj.site.func if isinstance(obj.site, ast.Call) else None
    name = getattr(func, "attr", getattr(func, "id", ""))
    lazy = obj.type in ("builtins.iterator", "builtins.generator", "builtins.zip")
    return lazy and name not in _COUNTED


def _order(obj: Obj) -> tuple[str, int, int]:
    """Source order, for reports that are the same each time."""
    return repr(obj), getattr(obj.site, "lineno", 0), getattr(obj.site, "col_offset", 0)


def _starts(path: str) -> list[str]:
    """A path and all that it begins with."""
    names = path.split(".")
    return [".".join(names[:end]) for end in range(1, len(names) + 1)]
