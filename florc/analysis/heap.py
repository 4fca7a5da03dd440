"""The abstract heap: points-to sets of variables, fields and container contents.

Field-sensitive, context-insensitive (Andersen 1994), one abstract object per allocation site;
flow-insensitive but for a function's own variables (bindings.py).  An object of a library type is
one lump: its parts (a layer's weight, an optimizer's groups) are the object itself, what it was
given is its contents.

Where that drowns (thousands of objects that all lead to each other), the heap is solved anew with a
coarse `grain`: sites outside the script share an object by type and module, and a set that grows
beyond SATURATED library objects holds "anything" instead, one lump of all that such sets held (as
type flows are saturated by Wimmer et al., PLDI 2024).  Objects of the project's classes, functions
and iterators are told apart even then.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager

from florc.analysis.bindings import AllBindings
from florc.analysis.objects import Class, Function, Obj
from florc.analysis.program import Program
from florc.effects.model import Effects
from florc.frontend.project import Module
from florc.frontend.scopes import Scope

SEQUENCES = {
    "builtins.list",
    "builtins.tuple",
    "builtins.set",
    "builtins.frozenset",
    "builtins.dict",
    "collections.deque",
    "collections.defaultdict",
    "collections.OrderedDict",
    "collections.Counter",
}
"""Containers: what they hold isn't a part of them."""
MAPPINGS = {
    "builtins.dict",
    "collections.defaultdict",
    "collections.OrderedDict",
    "collections.Counter",
}
LAZY = {
    "builtins.enumerate",
    "builtins.zip",
    "builtins.map",
    "builtins.filter",
    "builtins.reversed",
    "builtins.iterator",
    "builtins.generator",
}
"""Iterators: what they have still to give is their state."""
VIEWED = "<viewed>"
"""The field by which a mapping's view, or a generator expression, leads to what it reads."""
CALLED = "<called>"
"""The field by which an iterator leads to what it calls for its items."""
BY_NAME = frozenset({"function", "class", "module", "library", "bound"})
"""Kinds of objects that a checkpoint saves by their name."""


def owner_of(obj: Obj) -> Obj:
    """The lump that a part belongs to; any other object is its own owner."""
    return obj.receiver if obj.kind == "part" and obj.receiver is not None else obj


def unknown(obj: Obj) -> bool:
    """Whether nothing is known of an object: a lump of whatever an unknown call returned."""
    return obj.kind == "alloc" and not obj.type and obj.cls is None and obj.function is None


Key = Obj | Function | tuple[Scope, str] | tuple[Scope, str, ast.AST | None]
"""What a statement may depend on: an object's fields and contents, a function's results, a
variable, what one place binds a variable to."""


class _Twins(dict[Obj, Obj]):
    """Object -> its copy, made when first asked for."""

    def __init__(self, make: Callable[[Obj], Obj]) -> None:
        super().__init__()
        self.make = make

    def __missing__(self, obj: Obj) -> Obj:
        self[obj] = made = self.make(obj)
        return made


MAX_DEPTH = 8
"""Parts of a library's qualified name that are told apart."""
FINE, COARSE = 0, 1
"""Grains of the heap."""
CROWD = 8
"""Objects of one library type that a set of a fine heap tells apart."""
SATURATED = 24
"""Library objects that a set of a coarse heap tells apart."""


_Kind = tuple[str, Class | None, str]


class TooMuchError(Exception):
    """The work of one analysis has passed its bound."""


class Heap:
    """Mutable while the fixed point is sought.

    Whatever a statement looks up is noted as read by it; when it grows, the statement has to be
    executed again (`stale`).
    """

    def __init__(self, program: Program, effects: Effects, grain: int = FINE) -> None:
        self.program = program
        self.effects = effects
        self.grain = grain
        self.sites: dict[Obj, set[ast.AST]] = {}  # of merged objects
        self.anything = Obj("alloc", "anything")
        self.absorbed: set[Obj] = {self.anything}  # what it stands for
        self.code: set[Obj] = set()  # functions and methods among it
        self.apart: set[Obj] = set()  # what these hold that is told apart
        # Each for many objects of a type, or for many parts of one.
        self.lumps: dict[tuple[str, Class | None, bool], Obj] = {}
        self.lump_of: dict[Obj, Obj] = {}
        self._ones: set[Obj] = set()  # lumps, and methods bound to them
        self._part_lumps: set[Obj] = set()
        self.stand_ins: dict[Obj, set[Obj]] = {}  # lump -> what it stands for
        self._kinds: dict[Obj, _Kind | None] = {}
        self._links: dict[Obj, set[Obj]] = {}  # lump -> whose parts it stands for
        self._linked: dict[Obj, tuple[Obj, ...]] = {}  # what they lead to, themselves included
        self.variables: dict[tuple[Scope, str], set[Obj]] = {}
        self.bindings = AllBindings(program, effects)
        # Of names that are bound at several places, what each binds; None: elsewhere.
        self.bound_at: dict[tuple[Scope, str, ast.AST | None], set[Obj]] = {}
        self.fields: dict[Obj, dict[str, set[Obj]]] = {}
        self.contents: dict[Obj, set[Obj]] = {}
        self.stored: dict[Obj, set[Obj]] = {}  # contents, but for what a library base keeps
        self.returns: dict[Function, set[Obj]] = {}
        self.yields: dict[Function, set[Obj]] = {}
        self.defaults: dict[Function, dict[str, set[Obj]]] = {}  # __defaults__, __kwdefaults__
        self.read: set[Key] = set()  # by the statement that is being executed
        self.stale: set[ast.stmt] = set()
        self.work = 0  # objects looked at by searches
        self.most = sys.maxsize  # of that, for one analysis
        self._readers: dict[Key, set[ast.stmt]] = {}
        self._grown: set[Key] = set()  # since the statement began
        self.repeating = False  # inside a callback, that may be called any number of times
        self.many: set[Obj] = set()  # allocated by such callbacks
        self.settled = False  # it grows no more
        self.packed: set[Obj] = set()  # by calls, for `*args` and `**kwargs`: they stay apart
        self._found: dict[tuple[str, frozenset[Obj]], set[Obj]] = {}
        self._interned: dict[tuple[object, ...], Obj] = {}
        self._originals: dict[Obj, Obj] = {}
        self._entry_of: dict[Obj, Obj] = {}
        self._free: dict[Function, tuple[tuple[Scope, str], ...]] = {}

    # -- adding ---------------------------------------------------------------------------------
    def _grow(self, key: Key, target: set[Obj], objs: AbstractSet[Obj]) -> None:
        before = len(target)
        self.work += len(objs) >> 4
        if self.grain != FINE and self._saturate(key, target, objs):
            return
        if self.grain == FINE:
            # A set that holds a lump never gets back what that stands for: it only grows.
            lumped = not (self._ones.isdisjoint(target) and self._ones.isdisjoint(objs))
            if lumped or before + len(objs) > CROWD:
                objs = self._crowded(key, target, objs)
        target |= objs
        if len(target) != before:
            self._changed(key)

    def _crowded(self, key: Key, target: set[Obj], objs: AbstractSet[Obj]) -> AbstractSet[Obj]:
        """What to add for `objs`: one lump for each library type of which there are many by now."""
        new = objs - target
        if not new:
            return new
        kinds: dict[_Kind, set[Obj]] = {}
        for obj in new:
            kind = self._kind(obj)
            if kind is not None:
                kinds.setdefault(kind, set()).add(obj)
        if not kinds:
            return new
        for obj in target:
            kind = self._kind(obj)
            if kind in kinds:
                kinds[kind].add(obj)
        for (type_name, cls, method), crowd in kinds.items():
            if len(crowd) <= CROWD and self._ones.isdisjoint(crowd):
                continue
            ones: set[Obj] = set()
            for obj in crowd:
                held = obj.receiver if method and obj.receiver else obj
                lump = self._lump(type_name, cls, self._is_part(held))
                self._join(held, lump)
                ones.add(self.library_bound(lump, method) if method else lump)
            self._ones |= ones
            gone = crowd & target - ones
            if gone:
                target -= gone
                self._changed(key)
            new = (new - crowd) | (ones - target)
        return new

    def _kind(self, obj: Obj) -> _Kind | None:
        """Type of an object that a lump may stand for; of its receiver, and the method's name."""
        if obj in self._kinds:
            return self._kinds[obj]
        kind: _Kind | None = None
        if obj.kind == "libbound":
            held = obj.receiver
            if held is not None and self._lumps(held):
                kind = (held.type, held.cls, obj.name)
        elif self._lumps(obj):
            kind = (obj.type, obj.cls, "")
        self._kinds[obj] = kind
        return kind

    def _lump(self, type_name: str, cls: Class | None, parts: bool = False) -> Obj:
        """What stands for many objects of a type, or of a class of the project.

        Parts have a lump of their own: it leads to all that they are parts of.
        """
        lump = self.lumps.get((type_name, cls, parts))
        if lump is None:
            shown = cls.scope.path if cls is not None else type_name or "object"
            lump = Obj("alloc", f"some {'parts, ' * parts}{shown}", type_name, cls)
            self.lumps[type_name, cls, parts] = self.lump_of[lump] = lump
            self.many.add(lump)
            if parts:
                self._part_lumps.add(lump)
        return lump

    def _is_part(self, obj: Obj) -> bool:
        return obj.kind == "part" or obj in self._part_lumps

    def _lumps(self, obj: Obj) -> bool:
        """Whether a lump may stand for an object: all there is to know of it is its type."""
        if obj.kind == "part":
            owner = owner_of(obj)
            return owner.kind == "alloc" and (owner.cls is None or obj.type != "builtins.dict")
        if obj.kind != "alloc" or obj.function is not None or obj.type in LAZY:
            return False
        if obj in self.packed:
            return False
        if obj.cls is not None:
            return obj.cls.method("__next__") is None
        declared = self.effects.type(obj.type)
        if declared.iterable_calls or declared.iteration_draws:
            return False
        return not self.effects.is_a(obj.type, "builtins.iterator")

    def _join(self, obj: Obj, lump: Obj) -> None:
        """Let a lump stand for an object: what either holds both hold from now on."""
        if obj in self.lump_of:
            return
        self.lump_of[obj] = lump
        self._linked.clear()
        self.stand_ins.setdefault(lump, set()).add(obj)
        if obj.kind == "part":
            owner = owner_of(obj)
            if self._lumps(owner):
                self._join(owner, self._lump(owner.type, owner.cls))
                owner = self.lump_of[owner]
            self._link(lump, {owner})
        else:
            self._link(lump, self._links.pop(obj, set()))
            for name, held in self.fields.pop(obj, {}).items():
                self.add_field(lump, name, held)
            kept, stored = self.contents.pop(obj, set()), self.stored.pop(obj, set())
            self.add_contents(lump, stored)
            self.add_contents(lump, kept, by_base=True)
        self._changed(obj)

    def _link(self, lump: Obj, owners: set[Obj]) -> None:
        """Let what stands for parts lead to their owners: what either is given both hold."""
        links = self._links.setdefault(lump, set()) if owners else set()
        for owner in owners - links - {lump}:
            links.add(owner)
            self._linked.clear()
            for name, held in list(self.fields.get(lump, {}).items()):
                self.add_field(owner, name, set(held))
            self.add_contents(owner, set(self.contents.get(lump, ())), by_base=True)
            self._changed(lump)

    def homes(self, obj: Obj) -> tuple[Obj, ...]:
        """By what the fields and contents of an object are known."""
        owner = owner_of(obj)
        home = self.lump_of.get(owner, owner)
        if home not in self._links:
            return (home,)
        known = self._linked.get(home)
        if known is not None:
            return known
        found = {home: None}
        stack = [home]
        while stack:
            for link in self._links.get(stack.pop(), ()):
                link = self.lump_of.get(link, link)
                if link not in found:
                    found[link] = None
                    stack.append(link)
        self._linked[home] = tuple(found)
        return self._linked[home]

    def indices(self, obj: Obj) -> AbstractSet[str]:
        """Constant subscripts by which something is, or is asked, of an object."""
        homes = self.homes(obj)
        if len(homes) == 1:
            return homes[0].indices
        return set().union(*(home.indices for home in homes))

    def _saturate(self, key: Key, target: set[Obj], objs: AbstractSet[Obj]) -> bool:
        """Add `objs` to a set that holds anything, or that would be too large; False: it isn't."""
        if key in self.absorbed:
            self._absorb(objs - self.apart - self.absorbed)
            return True
        full = self.anything in target
        new = objs - target
        if not full and self.anything not in objs:
            if len(target) + len(new) <= SATURATED:
                return False
            if sum(map(self._absorbable, target | new)) <= SATURATED:
                return False
        if full:
            new -= self.absorbed
        else:
            new |= target
            target.clear()
            target.add(self.anything)
        rest = {o for o in new if not self._absorbable(o)}
        self._absorb(new - self.absorbed)
        target |= rest
        if rest or not full:
            self._changed(key)
        return True

    def _absorbable(self, obj: Obj) -> bool:
        """Whether "anything" may stand for an object: it has no behaviour of the project's."""
        if obj.kind != "alloc":
            return obj.kind in ("library", "libbound", "part", "function", "bound")
        if obj.cls is not None or obj.function is not None:
            return False
        declared = self.effects.type(obj.type)
        return not (declared.iterable_calls or declared.iteration_draws)

    def _absorb(self, objs: AbstractSet[Obj]) -> None:
        """Let "anything" stand for objects and for what they hold."""
        stack = list(objs)
        while stack:
            obj = stack.pop()
            if obj in self.absorbed or obj in self.apart:
                continue
            if not self._absorbable(obj):
                self.apart.add(obj)
                self._changed(self.anything)
                continue
            self.absorbed.add(obj)
            if obj.kind in ("function", "bound"):
                self.code.add(obj)
            self._changed(obj)
            self._changed(self.anything)
            stack += self.contents.get(obj, ())
            for held in self.fields.get(obj, {}).values():
                stack += held
            if obj.receiver is not None:
                stack.append(obj.receiver)

    def _changed(self, key: Key) -> None:
        self._grown.add(key)
        readers = self._readers.get(key)
        if readers:
            self.stale |= readers

    def add_variable(
        self, scope: Scope, name: str, objs: set[Obj], site: ast.AST | None = None
    ) -> None:
        """The variable may hold these, bound at `site` (None: any time)."""
        key = (scope, name)
        self._grow(key, self.variables.setdefault(key, set()), objs)
        sites = self.bindings[scope].sites.get(name)
        if sites is not None:
            place = (scope, name, site if site in sites else None)
            self._grow(place, self.bound_at.setdefault(place, set()), objs)

    def add_field(self, obj: Obj, name: str, objs: set[Obj]) -> None:
        """The attribute (or constant subscript "[…]") may hold these."""
        for home in self.homes(obj):
            if name.startswith("[") and name not in home.indices and home not in self.absorbed:
                home.indices.add(name)
                self._changed(home)
            self._grow(home, self.fields.setdefault(home, {}).setdefault(name, set()), objs)

    def add_contents(self, obj: Obj, objs: set[Obj], *, by_base: bool = False) -> None:
        """The container (or lump) may hold these somewhere.

        `by_base`: under a name of its class's library base, as that base's methods keep them.
        """
        for home in self.homes(obj):
            if home.cls is None and home.type and self.effects.type(home.type).plain:
                continue
            if home.cls is not None and not by_base:
                self._grow(home, self.stored.setdefault(home, set()), objs - {home})
            self._grow(home, self.contents.setdefault(home, set()), objs - {home})

    def add_returned(self, function: Function, objs: set[Obj]) -> None:
        """The function may return these."""
        self._grow(function, self.returns.setdefault(function, set()), objs)

    def add_yielded(self, function: Function, objs: set[Obj]) -> None:
        """The generator may yield these."""
        self._grow(function, self.yields.setdefault(function, set()), objs)

    def add_defaults(self, function: Function, kept: str, objs: set[Obj]) -> None:
        """The function keeps these as default values."""
        known = self.defaults.setdefault(function, {}).setdefault(kept, set())
        self._grow(function, known, objs)

    # -- reading --------------------------------------------------------------------------------
    def begin(self, statement: ast.stmt) -> None:
        """From here on, what is looked up is read by `statement`."""
        self.stale.discard(statement)
        self.read.clear()
        self._grown.clear()

    def end(self, statement: ast.stmt) -> None:
        """`statement` becomes stale when anything grows that it has read."""
        for key in self.read:
            self._readers.setdefault(key, set()).add(statement)
        if not self._grown.isdisjoint(self.read):
            self.stale.add(statement)

    def variable(self, scope: Scope, name: str, use: ast.AST | None = None) -> set[Obj]:
        """What a variable may hold; where `use` reads it (None: any time)."""
        places = self.bindings[scope].uses.get(use) if use is not None else None
        if places is not None:
            found: set[Obj] = set()
            for site in (*places, None):
                place = (scope, name, site)
                self.read.add(place)
                found |= self.bound_at.get(place, set())
            return found
        key = (scope, name)
        self.read.add(key)
        return self.variables.get(key, set())

    def field(self, obj: Obj, name: str) -> set[Obj]:
        """What an attribute may hold."""
        if obj.kind == "part" or obj in self.absorbed:
            self.read.add(obj)
            return self._anything() if obj in self.absorbed else set()
        homes = self.homes(obj)
        self.read.update(homes)
        if len(homes) == 1:
            return self.fields.get(homes[0], {}).get(name, set())
        return set().union(*(self.fields.get(home, {}).get(name, ()) for home in homes))

    def fields_of(self, obj: Obj) -> dict[str, set[Obj]]:
        """All attributes and constant subscripts."""
        if obj.kind == "part" or obj in self.absorbed:
            self.read.add(obj)
            return {}
        homes = self.homes(obj)
        self.read.update(homes)
        if len(homes) == 1:
            return self.fields.get(homes[0], {})
        found: dict[str, set[Obj]] = {}
        for home in homes:
            for name, held in self.fields.get(home, {}).items():
                found[name] = found.get(name, set()) | held
        return found

    def contents_of(self, obj: Obj) -> set[Obj]:
        """What a container (or lump) holds somewhere; of a part it's its owner that does."""
        if obj.kind == "part" or obj in self.absorbed:
            self.read.add(obj)
            return self._anything() if obj in self.absorbed else set()
        home = self.lump_of.get(obj, obj)
        self.read.add(home)
        return self.contents.get(home, set())

    def stored_in(self, obj: Obj) -> set[Obj]:
        """What any attribute may hold besides what is assigned to it by its name."""
        if obj.cls is None or obj in self.absorbed:
            return self.contents_of(obj)
        home = self.lump_of.get(obj, obj)
        self.read.add(home)
        return self.stored.get(home, set())

    def _anything(self) -> set[Obj]:
        """What anything may be or hold."""
        self.read.add(self.anything)
        return {self.anything, *self.apart}

    def returned(self, function: Function) -> set[Obj]:
        """What calling a function may give."""
        self.read.add(function)
        return self.returns.get(function, set())

    def yielded(self, function: Function) -> set[Obj]:
        """What advancing a generator may give."""
        self.read.add(function)
        return self.yields.get(function, set())

    def elements(self, obj: Obj) -> set[Obj]:
        """What subscripting or iterating may give; a lump gives itself too (its parts)."""
        found = self._elements(obj)
        types = owner_of(obj).libraries() if obj.type != "builtins.dict" else ()
        if types and all(self.effects.type(name).codeless for name in types):
            return {held for held in found if held.kind not in BY_NAME}
        return found

    def _elements(self, obj: Obj) -> set[Obj]:
        if obj in self.absorbed:
            self.read.add(obj)
            return self._anything()
        if obj.kind == "part" and obj.receiver is not None and obj.receiver.module is not None:
            scope = self.program.module_scope(obj.receiver.module)  # vars(module)
            return set().union(*(self.variable(scope, n) for n in scope.names if n[:2] != "__"))
        if obj.kind == "part":
            declared = self.effects.type(obj.type).elements
            if declared:  # a mapping of tensors holds tensors, not what the lump holds
                return {self.part(obj, declared)}
            found = {obj} | self.contents_of(owner_of(obj))
            if obj.type == "builtins.dict":  # vars(x)
                found = found.union(*self.fields_of(owner_of(obj)).values()) - {obj}
            return found
        found = set(self.contents_of(obj))
        for owner in self.homes(obj)[1:]:
            found |= self.contents_of(owner)
        for key in self.indices(obj):
            found |= self.field(obj, key)
        if obj.kind == "alloc" and obj.cls is None and obj.type not in SEQUENCES:
            declared_type = self.effects.type(obj.type)
            if not (declared_type.immutable or declared_type.gives):
                found.add(obj)
        return found

    def kin(self, objs: AbstractSet[Obj]) -> set[Obj]:
        """Abstract objects that may stand for an object that one of `objs` stands for."""
        found = set(objs)
        for obj in objs:
            lump = self.lump_of.get(obj)
            if lump is not None:
                found.add(lump)
            found |= self.stand_ins.get(obj, set())
        return found

    # -- interning ------------------------------------------------------------------------------
    def _intern(self, key: tuple[object, ...], make: Callable[[], Obj]) -> Obj:
        """The object known by `key`; `make` is called when there is none yet."""
        known = self._interned.get(key)
        if known is None:
            known = self._interned[key] = make()
        return known

    def alloc(
        self,
        site: ast.AST,
        type_name: str = "",
        *,
        cls: Class | None = None,
        function: Function | None = None,
        where: Function | None = None,
        tag: str = "",
    ) -> Obj:
        """The object that `site` makes."""
        shown = cls.scope.path if cls else function.path if function else type_name
        if function is None and not tag.startswith("*"):  # arguments are told apart by callee
            group = self._group(type_name, cls, where, tag)
            if group is not None:
                return self._merged(group, site, shown or "object", type_name, cls)

        def make() -> Obj:
            label = f"{shown or 'object'}@{getattr(site, 'lineno', 0)}"
            return Obj("alloc", label, type_name, cls, function, site=site, where=where)

        made = self._intern(("alloc", site, type_name, cls, function, tag), make)
        if self.repeating:
            self.many.add(made)
        return made

    def _group(
        self, type_name: str, cls: Class | None, where: Function | None, tag: str
    ) -> tuple[object, ...] | None:
        """Sites that share one object under this grain; None: the site has its own."""
        if self.grain == FINE:
            return None
        if cls is not None and cls.method("__next__") is not None:
            return None
        module = where.module if where is not None else None
        if module is self.program.project.script and (cls is not None or tag != "operator"):
            return None
        return (module,)

    def _merged(
        self,
        group: tuple[object, ...],
        site: ast.AST,
        shown: str,
        type_name: str,
        cls: Class | None,
    ) -> Obj:
        """The one object of many sites."""
        made = self._intern(
            ("merged", type_name, cls, *group),
            lambda: Obj("alloc", f"{shown}@merged", type_name, cls),
        )
        self.sites.setdefault(made, set()).add(site)
        self.many.add(made)
        return made

    def sites_of(self, obj: Obj) -> set[ast.AST]:
        """The sites that make an object."""
        if obj in self.stand_ins:
            return set().union(*map(self.sites_of, self.stand_ins[obj] - {obj}))
        return {obj.site} if obj.site is not None else self.sites.get(obj, set())

    def makes(self, site: ast.AST, obj: Obj) -> bool:
        """Whether an object may be what `site` makes."""
        return obj.site is site or site in self.sites.get(obj, ())

    @contextmanager
    def often(self) -> Iterator[None]:
        """What is allocated in here may be many objects."""
        before, self.repeating = self.repeating, True
        try:
            yield
        finally:
            self.repeating = before

    def function(self, function: Function) -> Obj:
        """The function as an object."""
        return self._intern(
            ("function", function), lambda: Obj("function", repr(function), function=function)
        )

    def klass(self, cls: Class) -> Obj:
        """The class as an object."""
        return self._intern(("class", cls), lambda: Obj("class", repr(cls), cls=cls))

    def module(self, module: Module) -> Obj:
        """The project module as an object."""
        return self._intern(
            ("module", module.name), lambda: Obj("module", module.name, module=module)
        )

    def library(self, name: str) -> Obj:
        """A library module, function or class by its qualified name."""
        parts = name.split(".", MAX_DEPTH)
        if "*" in parts[:-1]:  # an attribute of any attribute
            name = ".".join(parts[: parts.index("*") + 1])
        elif len(parts) > MAX_DEPTH:  # a value's attributes have no end
            name = ".".join([*parts[: MAX_DEPTH - 1], "*"])
        name = self.effects.canonical(name)
        return self._intern(("library", name), lambda: Obj("library", name, name=name))

    def _twin(self, site: ast.AST, obj: Obj, where: Function | None, within: bool = False) -> Obj:
        """The object that stands for `site`'s copies of `obj`.

        Copies of what is `within` that which is copied are told apart by type only.
        """
        if obj in self.absorbed:
            return self.anything
        if obj in self._entry_of:  # what a copy holds isn't told apart by keys
            return self._twin(site, self._entry_of[obj], where, within)
        if obj.kind == "part":
            return self.part(self._twin(site, owner_of(obj), where, within), obj.type)
        if obj.kind != "alloc" or (obj.function is not None and obj.function.generator):
            return obj
        original = self._originals.get(obj, obj)  # a copy of a copy is like a copy: finitely many

        if self.grain != FINE:
            module = where.module if where is not None else None
            copied = site if module is self.program.project.script else "copy"
            shown = f"copy of {obj.cls.scope.path if obj.cls else obj.type or 'object'}"
            return self._merged((copied,), site, shown, obj.type, obj.cls)

        if within and unknown(obj):
            within = False

        def make() -> Obj:
            label = f"copy of {original.label}"
            made = Obj("alloc", label, obj.type, obj.cls, obj.function, site=site, where=where)
            if within:
                self.many.add(made)
            else:
                self._originals[made] = original
            if obj in self._part_lumps:
                self._part_lumps.add(made)
            return made

        if within:
            kind = (obj.type, obj.cls, obj.function, obj in self._part_lumps)
            return self._intern(("clone", site, *kind), make)
        return self._intern(("clone", site, original), make)

    def clones(
        self,
        site: ast.AST,
        objs: AbstractSet[Obj],
        *,
        deep: bool,
        where: Function | None = None,
    ) -> set[Obj]:
        """Copies that `site` makes: same type; deep ones hold copies of what `objs` hold."""
        roots = {owner_of(obj) for obj in objs}
        twins = _Twins(lambda o: self._twin(site, o, where, owner_of(o) not in roots))
        stack = list(roots)
        seen = set(stack)
        while stack:
            source = stack.pop()
            twin = twins[source]
            if twin is source:
                continue
            if source in self._part_lumps:  # what its owners hold, their copies hold
                self.read.add(source)
                owners = {self.lump_of.get(o, o) for o in self._links.get(source, ())}
                self._link(twin, {twins[o] for o in owners} if deep else owners)
                groups = [("", self.contents.get(source, set()))]
                groups += list(self.fields.get(source, {}).items())
                if deep:
                    stack += owners - seen
                    seen |= owners
            else:
                groups = [("", self.contents_of(source)), *self.fields_of(source).items()]
            for name, held in groups:
                copies = {twins[o] for o in held} if deep else set(held)
                if name:
                    self.add_field(twin, name, copies)
                else:
                    self.add_contents(twin, copies)
                if deep:
                    new = held - seen
                    seen |= new
                    stack += new
        return {twins[obj] for obj in objs}

    def part(self, owner: Obj, type_name: str = "") -> Obj:
        """A part of a lump (a layer's weight, an optimizer's groups): its mutation is `owner`'s."""
        owner = owner_of(owner)
        if owner in self.absorbed:
            return self.anything
        if not type_name:
            names = owner.libraries()
            declared = [self.effects.type(n) for n in names if n]
            type_name = next((d.parts for d in declared if d.parts), "")
            if not type_name and owner.type and any(d.sink for d in declared):
                type_name = owner.type  # of the outside world too
        return self._intern(
            ("part", owner, type_name),
            lambda: Obj("part", f"part of {owner.label}", type_name, receiver=owner),
        )

    def parts(self, owner: Obj, type_name: str = "") -> set[Obj]:
        """Some part of a lump, those that constant keys lead to among them."""
        made, lump = self.part(owner, type_name), owner_of(owner)
        if lump in self.absorbed:
            return self._anything()
        return {made} | self.keyed(lump)

    def keyed(self, obj: Obj) -> set[Obj]:
        """What the constant subscripts of an object lead to."""
        homes = self.homes(obj)
        self.read.update(homes)
        return set().union(
            *(self.fields[h][key] for h in homes for key in h.indices if h in self.fields)
        )

    def entry(self, owner: Obj, key: str) -> Obj | None:
        """What the constant subscript `key` of a lump leads to, where that is told apart.

        Entries of entries aren't: a loop could nest them without end.
        """
        if owner.kind != "alloc" or owner.name or not self.effects.type(owner.type).entries:
            return None
        if self.grain != FINE or owner in self.lump_of:
            return None

        def make() -> Obj:
            label = f"{owner.label}{key}"
            return Obj("alloc", label, owner.type, name=key, site=owner.site, where=owner.where)

        made = self._intern(("entry", owner, key), make)
        self._entry_of[made] = owner
        if owner in self.many:
            self.many.add(made)
        self.add_field(owner, key, {made})
        return made

    def bound(self, receiver: Obj, function: Function) -> Obj:
        """A method of the project bound to a receiver."""
        return self._intern(
            ("bound", receiver, function),
            lambda: Obj(
                "bound", f"{receiver}.{function.path}", function=function, receiver=receiver
            ),
        )

    def library_bound(self, receiver: Obj, name: str) -> Obj:
        """A method that isn't the project's, bound to a receiver."""
        if receiver in self.absorbed and name == "*":
            return self.anything
        return self._intern(
            ("libbound", receiver, name),
            lambda: Obj("libbound", f"{receiver}.{name}", receiver=receiver, name=name),
        )

    def super(self, receiver: Obj, cls: Class) -> Obj:
        """`super()` in a method of `cls`."""
        return self._intern(
            ("super", receiver, cls),
            lambda: Obj("super", f"super({cls})", cls=cls, receiver=receiver),
        )

    # -- reachability ---------------------------------------------------------------------------
    def free_variables(self, function: Function) -> tuple[tuple[Scope, str], ...]:
        """Closure cells of a function: variables of enclosing functions that it mentions."""
        if function not in self._free:
            found: dict[tuple[Scope, str], None] = {}
            if function.scope.parent is not None:
                for node in ast.walk(function.node):
                    if isinstance(node, ast.Name):
                        owner = function.scope.owner(node.id)
                        if owner is not None and owner is not function.scope:
                            if owner.kind == "function":
                                found[owner, node.id] = None
            self._free[function] = tuple(found)
        return self._free[function]

    def _groups(self, obj: Obj) -> Iterator[set[Obj]]:
        """Sets of objects that `obj` refers to directly."""
        self.read.add(obj)
        if obj is self.anything:
            yield self.absorbed if self.settled else self.code  # until then that is all it's for
            yield self.apart
        elif obj in self.absorbed:
            yield {self.anything}
            if not self.settled:  # what it holds is in there
                return
        if obj in self.lump_of:
            homes = self.homes(obj)
            self.read.update(homes)
            if self.settled:
                yield self.stand_ins.get(obj, set())
            yield set(homes[1:])
            for home in homes:
                yield self.contents.get(home, set())
                yield from self.fields.get(home, {}).values()
        contents = self.contents.get(obj)
        if contents:
            yield contents
        if obj.kind != "module":
            yield from self.fields.get(obj, {}).values()
        if obj.receiver is not None:
            yield {obj.receiver}
        function = obj.function
        if function is not None:
            self.read.add(function)
            yield from self.defaults.get(function, {}).values()
            for scope, name in self.free_variables(function):
                yield self.variable(scope, name)
            if function.generator and obj.kind == "alloc":
                for name in function.params:  # a suspended frame keeps its arguments
                    yield self.variable(function.scope, name)

    def successors(self, obj: Obj) -> set[Obj]:
        """Objects that `obj` refers to directly."""
        return set().union(*self._groups(obj))

    def reach(self, objs: AbstractSet[Obj], seen: AbstractSet[Obj] = frozenset()) -> set[Obj]:
        """Everything reachable from `objs`, themselves included; what was `seen` isn't entered."""
        if self.settled and not seen:
            return self._remembered("reach", objs)
        return self._search(objs, seen, frozenset())

    def held(self, objs: AbstractSet[Obj]) -> set[Obj]:
        """Everything that saving `objs` saves; functions, classes and methods only by name."""
        if self.settled:
            return self._remembered("held", objs)
        return self._search(objs, frozenset(), BY_NAME)

    def _remembered(self, how: str, objs: AbstractSet[Obj]) -> set[Obj]:
        """Searches of a heap that grows no more are made once for each start."""
        key = (how, frozenset(objs))
        if key not in self._found:
            closed = BY_NAME if how == "held" else frozenset()
            self._found[key] = self._search(objs, frozenset(), closed)
        return set(self._found[key])

    def _search(
        self, objs: AbstractSet[Obj], seen: AbstractSet[Obj], closed: AbstractSet[str]
    ) -> set[Obj]:
        """`objs`, `seen`, and what `objs` lead to; objects of `closed` kinds aren't entered."""
        found = set(objs | seen)
        stack = list(objs - seen)
        coarse = self.grain != FINE and not self.settled
        entered = self.anything in found
        while stack:
            self.work += 1
            if self.work > self.most:
                raise TooMuchError
            obj = stack.pop()
            if obj.kind in closed:
                continue
            for group in self._groups(obj):
                new = group - found
                if not new:
                    continue
                found |= new
                if coarse and not new.isdisjoint(self.absorbed):
                    new -= self.absorbed  # one stands for all of them
                    if not entered:
                        entered = True
                        new.add(self.anything)
                stack += new
        return found
