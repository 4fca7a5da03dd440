"""Calls in the abstract: binding of project functions, effects of library ones, unknown calls."""

from __future__ import annotations

import ast
from dataclasses import replace

from florc.analysis.arity import Arguments, accepts
from florc.analysis.evaluate import Waiting
from florc.analysis.heap import CALLED, FINE, LAZY, MAPPINGS, SEQUENCES, VIEWED, unknown
from florc.analysis.objects import DYNAMIC, WITHIN, Class, Function, Obj
from florc.analysis.packs import Pack, same_call
from florc.analysis.special import Special
from florc.analysis.texts import texts
from florc.effects.model import Effect
from florc.frontend.statements import shown as shown_callee

_TEXT = {name for kind in (str, bytes, int, float) for name in dir(kind)}
_LISTS_OF_TEXT = {"split", "rsplit", "splitlines", "partition", "rpartition"}
VAGUE = 8
"""Callees of one call beyond which what it makes isn't told apart, on a coarse heap."""
Keywords = dict[str, "set[Obj]"]


class Calls(Special):
    """Evaluation of calls and of iteration."""

    def call(self, node: ast.Call) -> set[Obj]:
        """Evaluate callee, arguments, and the call itself."""
        if isinstance(node.func, ast.Name) and node.func.id == "super":
            return self._super(node)
        callee = self._callee(node.func)
        args: list[set[Obj]] = []
        rest: set[Obj] = set()
        starred, fixed = False, 0  # from a star on positions aren't known for sure
        packs: list[Pack] = []
        loose: set[Obj] = set()
        for argument in node.args:
            objs = self.evaluate(argument)
            if not isinstance(argument, ast.Starred):
                if starred:
                    rest |= objs
                else:
                    args.append(objs)
                    fixed += 1
                continue
            if not starred and argument is node.args[-1]:
                packs, loose = self.packs.apart(objs)
            places, others = self.positions(self.value_of(objs), argument)
            if starred or argument is not node.args[-1]:
                rest |= others.union(*places)
            else:
                args += [place | others for place in places]
                rest |= others
            starred = True
        named: Keywords = {}
        mappings: set[Obj] = set()
        for keyword in node.keywords:
            objs = self.evaluate(keyword.value)
            if keyword.arg is None:
                mappings |= self.value_of(objs)
            else:
                named[keyword.arg] = named.get(keyword.arg, set()) | objs
        kwargs = dict(named)
        any_name = self._by_keyword(mappings, kwargs)
        rest |= any_name
        args = args[:fixed] + [objs | rest for objs in args[fixed:]]
        shown = self._shown(node.func)
        if not callee:
            harmless = isinstance(node.func, ast.Attribute) and node.func.attr in _TEXT
            self.bottom.setdefault(self.statement, {})[node] = harmless
            if node not in self.unresolved:
                return set()
            if isinstance(node.func, ast.Attribute):
                self._unknown_receiver(node.func, shown)
                return self._scalar_method(node, node.func.attr, args, kwargs, rest, shown)
            return self.unknown_call(set(), args, kwargs, rest, node, shown, f"?{shown}")
        given = Arguments.of(node)
        if not packs:
            callee = self._fitting(callee, given)
            return self.invoke(callee, args, kwargs, rest, node, shown, exact=not starred)
        functions = {o for o in callee if o.kind in ("function", "bound")}
        found = self.invoke(callee - functions, args, kwargs, rest, node, shown)
        del args[fixed:]
        if loose:
            places, others = self.positions(self.value_of(loose), node)
            others |= any_name
            more = [objs | others for objs in places]
            objs = self._fitting(functions, given)
            found |= self.invoke(objs, args + more, kwargs, others, node, shown)
        spread = [k.value for k in node.keywords if k.arg is None]
        star = node.args[-1]
        args_of = star.value if isinstance(star, ast.Starred) else None
        own = bool(spread) and same_call(self.function, args_of, spread)
        given_by_name = None if own else mappings
        return found | self._pass_on(
            functions, args, packs, given, named, given_by_name, node, shown
        )

    def _pass_on(
        self,
        functions: set[Obj],
        args: list[set[Obj]],
        packs: list[Pack],
        given: Arguments,
        named: Keywords,
        mappings: set[Obj] | None,
        node: ast.AST,
        shown: str,
    ) -> set[Obj]:
        """Calls with `args`, then what a pack holds, for each pack, of those that accept so many.

        `mappings` are passed as `**mappings`; None: each pack's own.
        """
        found: set[Obj] = set()
        for pack in packs:
            objs = {pack.mapping} if mappings is None else mappings
            kwargs = dict(named)
            rest = self._by_keyword(objs, kwargs)
            exactly = replace(
                given,
                positional=len(args) + len(pack.places),
                more_positional=False,
                more_named=not all(self.packs.empty(obj) for obj in objs),
            )
            fitting = {obj for obj in functions if self._accepts(obj, exactly)}
            places = [*args, *map(set, pack.places)]
            found |= self.invoke(fitting, places, kwargs, rest, node, shown, exact=True)
        return found

    def _fitting(self, callee: set[Obj], given: Arguments) -> set[Obj]:
        """Of several callees those that accept the call's arguments; all, if none does."""
        if len(callee) < 2:
            return callee
        return {obj for obj in callee if self._accepts(obj, given)} or callee

    def _accepts(self, obj: Obj, given: Arguments) -> bool:
        """Whether a callee of the project accepts arguments; a changed signature any."""
        function, bound = obj.function, int(obj.kind == "bound")
        if obj.kind == "class" and obj.cls is not None:
            function, bound = obj.cls.method("__init__"), 1
            field = self.heap.field(self.heap.klass(obj.cls), "__init__")
            bases = [self.effects.types.get(base) for base in obj.cls.libraries()]
            plain = all(base is not None and not base.immutable for base in bases)
            if self.makes_itself(obj.cls) or not plain or field - {self._as_object(function)}:
                return True
        elif obj.kind == "library":
            return obj.name not in self.imported and not self.effects.is_module(obj.name)
        elif obj.kind not in ("function", "bound"):
            return True
        if function is None:
            return True
        signature = ("__defaults__", "__kwdefaults__", "__code__")
        if not self.heap.fields_of(self.heap.function(function)).keys().isdisjoint(signature):
            return True
        return accepts(function, given, bound)

    def _as_object(self, function: Function | None) -> Obj | None:
        return self.heap.function(function) if function is not None else None

    def positions(self, objs: set[Obj], node: ast.AST) -> tuple[list[set[Obj]], set[Obj]]:
        """What unpacking gives: by position, as far as tuples tell; and in any position."""
        places: list[set[Obj]] = []
        others: set[Obj] = set()
        for obj in list(objs):
            if obj.kind != "alloc" or obj.type != "builtins.tuple" or obj.cls is not None:
                others |= self.unpack(obj, node)
                continue
            for key, held in list(self.heap.fields_of(obj).items()):
                if key[1:-1].isdigit() and len(key) < 5:
                    place = int(key[1:-1])
                    while len(places) <= place:
                        places.append(set())
                    places[place] |= held
                else:
                    others |= held
            others |= self.heap.contents_of(obj)
        return places, others

    def _by_keyword(self, objs: set[Obj], kwargs: Keywords) -> set[Obj]:
        """What `**objs` gives: to `kwargs` by name where dictionaries tell; returns the rest."""
        others: set[Obj] = set()
        for obj in list(objs):
            if obj.kind != "alloc" or obj.type != "builtins.dict" or obj.cls is not None:
                others |= self.heap.elements(obj)
                continue
            for key, held in list(self.heap.fields_of(obj).items()):
                if key[:2] in ("['", '["') and key[2:-2].isidentifier():
                    kwargs[key[2:-2]] = kwargs.get(key[2:-2], set()) | held
                elif key.startswith("["):
                    others |= held
            others |= self.heap.contents_of(obj)
        return others

    def _shown(self, func: ast.expr) -> str:
        """Source text of a callee, made once."""
        if func not in self._texts:
            self._texts[func] = shown_callee(func)
        return self._texts[func]

    def _callee(self, func: ast.expr) -> set[Obj]:
        if not isinstance(func, ast.Attribute):
            return self.evaluate(func)
        found: set[Obj] = set()
        for obj in self.value_of(self.evaluate(func.value)):
            found |= self._method_of(obj, func.attr, func)
        return found

    def _unknown_receiver(self, func: ast.Attribute, shown: str) -> None:
        """A method of something whose origin isn't known may mutate it where it is kept."""
        known = self.effects.by_method_name(func.attr)
        if func.attr not in _TEXT and (known is None or known.mutates):
            self.touch(func.value, f"unknown call {shown}() may mutate it")

    def _method_of(self, obj: Obj, name: str, node: ast.AST) -> set[Obj]:
        """What `obj.name` may be when it is called at once."""
        if unknown(obj) and not self.heap.field(obj, name):
            return {self.heap.library_bound(obj, name)}  # may call all that it holds
        if obj.kind == "part" and not obj.type and not self.heap.field(obj, name):
            return {self.heap.library_bound(obj, name)}
        objs = self._attribute_of(obj, name, node)
        if obj.kind not in ("alloc", "part"):
            return objs
        held = self.heap.contents_of(obj) - self.heap.field(obj, name)
        if not held & objs:
            return objs
        if obj.cls is not None and (self.heap.field(obj, name) or obj.cls.method(name)):
            return objs - held
        types = obj.libraries()
        if any(self.effects.method(t, name) for t in types) and not _by_pattern(
            [self.effects.method(t, name) for t in types]
        ):
            return objs - held  # a method that is known, not something that the object holds
        if not _by_pattern([self.effects.method(t, "__getattr__") for t in types]):
            return {o for o in objs if o.kind != "libbound"}  # a submodule by its name
        if self.effects.by_method_name(name) is not None and not self.heap.field(obj, name):
            return objs - held
        return objs

    def _super(self, node: ast.Call) -> set[Obj]:
        cls = self.function.cls
        if cls is None or not self.function.params:
            return set()
        me = self.heap.variable(self.function.scope, self.function.params[0])
        return {self.heap.super(obj, cls) for obj in me if obj.kind in ("alloc", "class")}

    def _scalar_method(
        self,
        node: ast.Call,
        name: str,
        args: list[set[Obj]],
        kwargs: Keywords,
        rest: set[Obj],
        shown: str,
    ) -> set[Obj]:
        """A method of something without mutable state, such as a string."""
        if self.recording and name not in _TEXT:
            given = _given_at(args, kwargs, rest)
            described = self.effects.by_method_name(name) is not None
            self.library_call(f"*.{name}", node, shown, described, given)
        if name == "format":
            self.texts(set().union(rest, *args, *kwargs.values()), node)
        known = self.effects.by_method_name(name)
        if known is not None:
            return self.apply(known, set(), args, kwargs, rest, node, shown)
        if name in _LISTS_OF_TEXT:
            return {self.heap.alloc(node, "builtins.list", where=self.function)}
        if name in _TEXT:
            return set()
        return self.unknown_call(set(), args, kwargs, rest, node, shown, f"?.{name}")

    def invoke(
        self,
        objs: set[Obj],
        args: list[set[Obj]],
        kwargs: Keywords,
        rest: set[Obj],
        node: ast.AST,
        shown: str,
        *,
        exact: bool = False,
    ) -> set[Obj]:
        """Call each of `objs` with evaluated arguments; the union of the results.

        `exact`: the call passes these arguments, no more and no less.
        """
        args = [self.value_of(a) if not _callable(a) else a for a in args]
        for handed in [*args, *kwargs.values()]:
            self._generators_given(handed)
        found: set[Obj] = set()
        if self.converting and any(o.kind not in ("function", "bound", "class") for o in objs):
            found |= self._converted_given(set().union(rest, *args, *kwargs.values()), node)
        outer, self.waiting = self.waiting, Waiting(node)
        self.waiting.vague = self.heap.grain != FINE and len(objs) > VAGUE
        alike: dict[tuple[object, ...], set[Obj]] = {}  # one effect entry holds for all of them
        for obj in list(objs):
            receiver = obj.receiver
            if obj.kind == "libbound" and receiver is not None and not _generator(receiver):
                key = (obj.name, receiver.type, receiver.cls)
                alike.setdefault(key, set()).add(receiver)
            elif obj.kind in ("alloc", "part") and obj.cls is None:
                alike.setdefault(("__call__", obj.type, None), set()).add(obj)
            else:
                found |= self._invoke_one(obj, args, kwargs, rest, node, shown, exact=exact)
        for (name, _, _), receivers in alike.items():
            found |= self._library_method(receivers, str(name), args, kwargs, rest, node, shown)
        here, self.waiting = self.waiting, outer
        if here.called:
            self._held_called(here.called, here.passed, node)
        for name, receivers in here.named.items():
            found |= self._by_name(receivers, name, args, kwargs, rest, node)
        if here.given:
            results = self._hand_over(here.given, node, shown)
            for obj in here.made:
                self.heap.add_contents(obj, results)
        return found

    def _converted_given(self, given: set[Obj], node: ast.AST) -> set[Obj]:
        """A library may convert what it is given, and what that holds."""
        given = self.value_of(given)
        return self.converted(given.union(*map(self.heap.elements, given)), node)

    def _generators_given(self, objs: set[Obj]) -> None:
        """A generator that is handed over may be advanced by whoever gets it."""
        for obj in objs:
            if obj.kind == "alloc" and obj.function is not None and obj.function.generator:
                self.edge(obj.function)

    def _invoke_one(
        self,
        obj: Obj,
        args: list[set[Obj]],
        kwargs: Keywords,
        rest: set[Obj],
        node: ast.AST,
        shown: str,
        *,
        exact: bool = False,
    ) -> set[Obj]:
        if obj.kind == "function" and obj.function is not None:
            return self._project(obj.function, args, kwargs, rest, node, exact=exact)
        if obj.kind == "bound" and obj.function is not None and obj.receiver is not None:
            args = [{obj.receiver}, *args]
            return self._project(obj.function, args, kwargs, rest, node, exact=exact)
        if obj.kind == "class" and obj.cls is not None:
            vague = self.waiting.vague and self.waiting.node is node
            place = (obj.cls.node, shown, None) if vague else (node, shown, self.function)
            return self._construct(obj.cls, args, kwargs, rest, *place)
        if obj.kind == "library":
            return self._library(obj.name, args, kwargs, rest, node, shown)
        if obj.kind == "libbound" and obj.receiver is not None:
            return self._library_method({obj.receiver}, obj.name, args, kwargs, rest, node, shown)
        if obj.kind in ("alloc", "part"):
            return self._instance(obj, args, kwargs, rest, node, shown)
        return set()

    def _project(
        self,
        function: Function,
        args: list[set[Obj]],
        kwargs: Keywords,
        rest: set[Obj],
        node: ast.AST,
        *,
        exact: bool = False,
    ) -> set[Obj]:
        heap, scope = self.heap, function.scope

        def bind(name: str, objs: set[Obj]) -> None:
            heap.add_variable(scope, name, objs, function.arguments[name])

        positional = len(function.params) - function.keyword_only
        for index, objs in enumerate(args):
            if index < positional:
                bind(function.params[index], objs)
        if rest:
            for name in function.params[min(len(args), positional) :]:
                bind(name, rest)
        if function.vararg or function.kwarg:
            call = node if exact else None
            packed, mapping = self.packs.pack(function, args[positional:], rest, call)
            if function.vararg:
                bind(function.vararg, {packed})
            if function.kwarg:
                bind(function.kwarg, {mapping})
        for name, objs in kwargs.items():
            if name in function.params:
                bind(name, objs)
            elif function.kwarg:
                heap.add_field(mapping, f"[{name!r}]", objs)
        if function.generator:
            if function not in self.active:
                self.active[function] = None
            return {heap.alloc(node, function=function, where=self.function)}
        self.edge(function, node)
        return set(heap.returned(function))

    def _construct(
        self,
        cls: Class,
        args: list[set[Obj]],
        kwargs: Keywords,
        rest: set[Obj],
        node: ast.AST,
        shown: str,
        where: Function | None,
    ) -> set[Obj]:
        libraries = cls.libraries()
        results: set[Obj] = set()
        if self.makes_itself(cls):
            klass, made = self.heap.klass(cls), self.instance_of(cls, node)
            for method in (self.metamethod(cls, "__call__"), cls.method("__new__")):
                if method is not None:
                    results |= self._project(method, [{klass}, *args], kwargs, rest, node)
        else:
            made = self.heap.alloc(node, libraries[0] if libraries else "", cls=cls, where=where)
        init = cls.method("__init__")
        if init is not None:
            self._project(init, [{made}, *args], kwargs, rest, node)
        else:
            fields = [name for base in reversed(cls.mro()) for name in base.fields]
            for name, objs in zip(fields, args):
                self.heap.add_field(made, name, objs)
            for name, objs in kwargs.items():
                self.heap.add_field(made, name, objs)
            self._field_defaults(cls, made, node)
            if libraries or not fields:
                self.heap.add_contents(made, set().union(rest, *args), by_base=bool(libraries))
            for library in libraries:
                effect = self.effects.call(library)
                if effect is not None:
                    self.apply(effect, {made}, args, kwargs, rest, node, shown)
        for name in ("__post_init__", "__del__"):  # the end of it: at any time, see captures.py
            method = cls.method(name)
            if method is not None:
                self._project(method, [{made}], {}, set(), node)
        return {made} | results

    def _field_defaults(self, cls: Class, made: Obj, node: ast.AST) -> None:
        """Fields of a dataclass that a `default_factory` makes anew for each instance."""
        for base in cls.mro():
            for statement in base.node.body:
                if not isinstance(statement, ast.AnnAssign):
                    continue
                value, target = statement.value, statement.target
                if not (isinstance(value, ast.Call) and isinstance(target, ast.Name)):
                    continue
                for keyword in value.keywords:
                    if keyword.arg in ("default_factory", "factory"):
                        outer, self.scope = self.scope, base.scope
                        factory = self.evaluate(keyword.value)
                        with self.heap.often():
                            objs = self.invoke(factory, [], {}, set(), keyword.value, target.id)
                        self.scope = outer
                        self.heap.add_field(made, target.id, objs)

    def _library(
        self,
        name: str,
        args: list[set[Obj]],
        kwargs: Keywords,
        rest: set[Obj],
        node: ast.AST,
        shown: str,
    ) -> set[Obj]:
        if name == "builtins.vars" and args:  # its attributes, as a dictionary
            named = {o for o in args[0] if o.kind in ("alloc", "class", "module")}
            libraries = {o for o in args[0] if o.kind == "library"}
            return {self.heap.part(o, "builtins.dict") for o in named} | {
                self.heap.library(f"{o.name}.__dict__") for o in libraries
            }
        if name.rpartition(".")[2] in DYNAMIC and name.startswith("builtins."):
            self.record("dynamic", name=name.rpartition(".")[2])
            return set()
        if name == "flor.runtime.abi.iterator" and args:  # emitted code, compiled again
            return args[0]
        if name == "flor.log":
            self.record("log", name=_literal_name(node))
        if name == "builtins.type" and len(args) == 1:
            return {self.heap.klass(o.cls) for o in args[0] if o.kind == "alloc" and o.cls}
        if name == "builtins.getattr":
            return self._getattr(args, node)
        if name == "builtins.hasattr":
            self._getattr(args[:2], node)
        if name.endswith((".__new__", ".type.__call__")):
            classes = {o for o in set().union(*args[:1]) if o.kind == "class"}
            return {self.instance_of(o.cls, node) for o in classes if o.cls is not None}
        if name in ("importlib.import_module", "builtins.__import__"):
            given = node.args[:1] if isinstance(node, ast.Call) else []
            modules = self.modules_called(given[0] if given else None)
            for obj in modules:
                if obj.module is not None:
                    self.edge(self.program.bodies[obj.module.name])
            if given and isinstance(given[0], ast.Constant):
                return modules
            effect = self.effects.call("importlib.import_module")
            assert effect is not None
            return modules | self.apply(effect, set(), args, kwargs, rest, node, shown)
        if name in ("builtins.setattr", "builtins.object.__setattr__") and len(args) == 3:
            key = node.args[1] if isinstance(node, ast.Call) and len(node.args) == 3 else None
            names = texts(key, self.scope) if args[0] else None
            for each in sorted(names or ()):
                self.store_attribute(args[0], each, args[2], ast.unparse(node), node)
            if names:
                return set()
        if name == "builtins.delattr" and args:
            for obj in list(args[0]):
                self.method(obj, "__delattr__", [set()], node)
        effect = self.effects.call(name)
        if self.recording:
            known = effect is not None or name in self.effects.types
            self.library_call(name, node, shown, known, _given_at(args, kwargs, rest))
        if effect is not None:
            if name.rpartition(".")[0] in self.effects.types and args:  # list.append(xs, x)
                return self.apply(effect, args[0], args[1:], kwargs, rest, node, shown)
            return self.apply(effect, set(), args, kwargs, rest, node, shown)
        if name in self.effects.types or f"{name}.__init__" in self.effects.exact:
            made = self.heap.alloc(node, name, where=self.function)
            self.heap.add_contents(made, set().union(rest, *args, *kwargs.values()))
            return {made}
        if name.startswith("builtins."):
            tail = name.rpartition(".")[2]
            if tail.endswith(("Error", "Exception", "Warning", "Iteration", "Exit", "Interrupt")):
                made = self.heap.alloc(node, name, where=self.function)
                self.heap.add_contents(made, set().union(rest, *args))
                return {made}
        return self.unknown_call(set(), args, kwargs, rest, node, shown, name)

    def _library_method(
        self,
        receivers: set[Obj],
        name: str,
        args: list[set[Obj]],
        kwargs: Keywords,
        rest: set[Obj],
        node: ast.AST,
        shown: str,
    ) -> set[Obj]:
        """A method that isn't the project's, of receivers of one type."""
        receiver = next(iter(receivers))
        if _generator(receiver) and receiver.function is not None:
            if name in ("send", "throw", "close", "__next__"):
                return self._resumed(receiver, receiver.function, set().union(rest, *args), shown)
        if receiver.kind == "class" and name in ("__new__", "__call__"):
            return {self.instance_of(o.cls, node) for o in receivers if o.cls is not None}
        types = receiver.libraries()
        derived = receiver.cls is not None
        if types and name != "*":
            if all(self.effects.has_no(t, name, derived=derived) for t in types):
                return set()  # another object of the points-to set is meant
        if self.recording:
            known_by = next((t for t in types if self.effects.method(t, name) is not None), "")
            given = {"self": receivers, **_given_at(args, kwargs, rest)}
            full = f"{known_by or next((t for t in types if t), '') or '*'}.{name}"
            self.library_call(full, node, shown, bool(known_by), given)
        if name == "__iter__" and any(types):
            return self._iterators_of(receivers, node)
        for type_name in types:
            effect = self.effects.method(type_name, name)
            if effect is not None:
                if name == "__call__":
                    self._module_calls(receivers, set().union(rest, *args, *kwargs.values()), node)
                return self.apply(effect, receivers, args, kwargs, rest, node, shown)
        if any(self.effects.type(t).sink for t in types if t):
            for obj in receivers:
                self.record("sink", obj, reason=shown)
            return set()
        known = self.effects.by_method_name(name)
        if known is not None and not known.trains:
            return self.apply(known, receivers, args, kwargs, rest, node, shown)
        callee = f"{next((t for t in types if t), '?')}.{name}"
        found: set[Obj] = set()
        for obj in receivers:
            found |= self.unknown_call({obj}, args, kwargs, rest, node, shown, callee)
        if self.waiting.node is node:
            self.waiting.named.setdefault(name, set()).update(receivers)
        else:
            found |= self._by_name(receivers, name, args, kwargs, rest, node)
        if known is not None:
            self.apply(known, receivers, args, kwargs, rest, node, shown)
        return found

    def _iterators_of(self, objs: set[Obj], node: ast.AST) -> set[Obj]:
        """What a library's own `__iter__` gives; an iterator gives itself."""
        lazy = {o for o in objs if o.cls is None and (o.type in LAZY or self._lazy(o.type))}
        found = set(lazy)
        for obj in objs - lazy:
            made = self.heap.alloc(node, "builtins.iterator", where=self.function, tag="__iter__")
            base = obj
            if obj.cls is not None:  # as its base class iterates it, not as the class itself does
                library = obj.libraries()[0]
                base = self.heap.alloc(node, library, where=self.function, tag=f"base {obj.label}")
                self.heap.add_contents(base, set(self.heap.contents_of(obj)) - {base})
                for name, held in list(self.heap.fields_of(obj).items()):
                    self.heap.add_field(base, name, held - {base})
            self.heap.add_contents(made, {base})
            found.add(made)
        return found

    def _lazy(self, type_name: str) -> bool:
        """Whether objects of a type are iterators."""
        return self.effects.is_a(type_name, "builtins.iterator")

    def _by_name(
        self,
        receivers: set[Obj],
        name: str,
        args: list[set[Obj]],
        kwargs: Keywords,
        rest: set[Obj],
        node: ast.AST,
    ) -> set[Obj]:
        """A method that an object of the project has may be meant, which a receiver holds or is."""
        found: set[Obj] = set()
        if name.startswith("__") or self.coarse:
            return found
        for method, objs in _methods(self.heap.reach(receivers) - receivers, name).items():
            if not method.static:
                found |= self._project(method, [objs, *args], kwargs, rest, node)
        return found

    def _resumed(self, generator: Obj, function: Function, sent: set[Obj], shown: str) -> set[Obj]:
        """A generator runs on by one of its methods; what is sent is what a `yield` gives."""
        self.heap.add_variable(function.scope, "yield", sent)
        self.advance({generator}, shown)
        return set(self.heap.yielded(function))

    def _module_calls(self, receivers: set[Obj], given: set[Obj], node: ast.AST) -> None:
        """Calling a library container calls what it holds: submodules' forward, hooks."""
        if self.waiting.node is node:  # of all receivers of one call, at once
            self.waiting.called |= receivers
            self.waiting.passed |= given
        else:
            self._held_called(receivers, given, node)
        for receiver in receivers:
            for held in set(self.heap.contents_of(receiver)):
                if held.kind in ("function", "bound"):
                    self._call_back(held, given | {receiver}, node)

    def _held_called(self, receivers: set[Obj], given: set[Obj], node: ast.AST) -> None:
        """Objects of the project that library containers reach are called."""
        held = self.heap.reach(receivers)
        if len(receivers) == 1:
            held -= receivers
        for method, objs in _methods(held, "forward", "__call__").items():
            self._project(method, [objs], {}, given, node)

    def _instance(
        self,
        obj: Obj,
        args: list[set[Obj]],
        kwargs: Keywords,
        rest: set[Obj],
        node: ast.AST,
        shown: str,
    ) -> set[Obj]:
        if obj.cls is not None:
            method = obj.cls.method("__call__") or obj.cls.method("forward")
            if method is not None:
                given = set().union(rest, *args, *kwargs.values())
                for held in set(self.heap.contents_of(obj)):
                    if held.kind in ("function", "bound"):  # hooks
                        self._call_back(held, given | {obj}, node)
                return self._project(method, [{obj}, *args], kwargs, rest, node)
            if not obj.cls.libraries() and obj.cls.method("__getattr__") is None:
                return set()  # it can't be called: another object of the points-to set is meant
        return self._library_method({obj}, "__call__", args, kwargs, rest, node, shown)

    def _call_back(self, obj: Obj, given: set[Obj], node: ast.AST) -> set[Obj]:
        """Something else calls this function, with any of `given`."""
        function = obj.function
        if function is None:
            return set()
        first = [{obj.receiver}] if obj.kind == "bound" and obj.receiver else []
        made = function.node if function.generator else node  # not what the call itself makes
        with self.heap.often():
            return self._project(function, first, {}, given, made)

    def unknown_call(
        self,
        receiver: set[Obj],
        args: list[set[Obj]],
        kwargs: Keywords,
        rest: set[Obj],
        node: ast.AST,
        shown: str,
        callee: str,
    ) -> set[Obj]:
        """A call nothing is known of: all that it can reach may be mutated, and be its result.

        `callee` is its qualified name, as an effect file would have it; "?" what isn't known of it.
        """
        self.record("unknown", name=callee, reason=shown)
        given = set().union(receiver, rest, *args, *kwargs.values())
        results: set[Obj] = set()
        here = self.waiting.node is node  # all that the callees of one call are given, at once
        if here:
            self.waiting.given |= given
        else:
            results = self._hand_over(given, node, shown)
        kept = {o for o in given if o.kind in ("alloc", "part")}
        # What a lump of unknown make returns counts as a part of it.
        made = {o for o in receiver if unknown(o) or o.kind == "part"}
        made |= {p for o in receiver if self._uniform(o) for p in self.heap.parts(o)}
        made = made or {self.heap.alloc(node, "", where=self.function, tag="unknown")}
        for obj in made:
            self.heap.add_contents(obj, kept | results)
        if here:
            self.waiting.made |= made
        return made

    def _hand_over(self, given: set[Obj], node: ast.AST, shown: str) -> set[Obj]:
        """Objects given to a call that may do anything: mutate them, call what it can reach.

        Returns what the calls of functions that it was given may give.
        """
        before, reached = self.handed.setdefault(node, (set(), set()))
        results: set[Obj] = set()
        new = given - before
        if not new:
            return results
        before |= new
        self.mutate(new, f"unknown call {shown}() may mutate it", deep=True, certainty="assumed")
        if self.coarse:
            return results
        reached |= self.heap.reach(new, seen=reached)
        self.heap.work += len(reached)
        running: dict[Function, set[Obj]] = {}  # with what they may be called on
        for obj in list(reached):
            plain = obj.kind == "function" and obj.function is not None
            if obj.kind == "bound" or (plain and obj.function.cls is None):  # type: ignore[union-attr]
                results |= self._call_back(obj, before, node)  # a class's need an instance
            elif obj.kind == "class" and obj.cls is not None:
                with self.heap.often():  # one object, whoever makes it
                    made = self._construct(obj.cls, [], {}, before, obj.cls.node, shown, None)
                before |= made
                results |= made
            elif obj.kind == "alloc" and obj.cls is not None and obj not in before:
                called = obj.cls.method("__call__") or obj.cls.method("forward")
                if called is not None:
                    running.setdefault(called, set()).add(obj)
        for obj in before:
            if obj.kind == "alloc" and obj.cls is not None:
                for cls in obj.cls.mro():
                    for method in cls.methods.values():
                        if not method.node.name.startswith("__"):  # type: ignore[union-attr]
                            running.setdefault(method, set()).add(obj)
        for function, receivers in running.items():
            self._may_run(function, receivers, before, node)
        return results

    def _may_run(self, function: Function, first: set[Obj], rest: set[Obj], node: ast.AST) -> None:
        """Somebody unknown may call a method with any of `rest`."""
        had_first, had_rest = self.run_with.setdefault(function, (set(), set()))
        if first <= had_first and rest <= had_rest and not function.generator:
            self.edge(function, node)  # its parameters hold all that already
            return
        had_first |= first
        had_rest |= rest
        made = function.node if function.generator else node
        self._project(function, [had_first], {}, had_rest, made)

    def _uniform(self, obj: Obj) -> bool:
        """Whether all that an object holds is of its own type, as what was loaded from a file."""
        return bool(obj.type) and self.effects.type(obj.type).elements == obj.type

    def _getattr(self, args: list[set[Obj]], node: ast.AST) -> set[Obj]:
        """`getattr(obj, name)`: the attribute if its name is known, else any that there may be."""
        key = node.args[1] if isinstance(node, ast.Call) and len(node.args) > 1 else None
        found = set().union(*args[2:])
        known = texts(key, self.scope)
        for obj in list(args[0]) if args else ():
            if known:
                for name in sorted(known):
                    found |= self._attribute_of(obj, name, node)
            elif obj.kind == "library":
                found.add(self.heap.library(f"{obj.name}.*"))
            elif obj.kind == "module" and obj.module is not None:
                scope = self.program.module_scope(obj.module)
                for name in scope.names:
                    found |= self.heap.variable(scope, name)
            else:
                names = set(self.heap.fields_of(obj))
                names |= {m for c in obj.cls.mro() for m in c.methods} if obj.cls else set()
                for name in sorted(n for n in names if not n.startswith("__")):
                    found |= self._attribute_of(obj, name, node)
                found |= self.heap.elements(obj)
        return found

    # -- library effects ------------------------------------------------------------------------
    def apply(
        self,
        effect: Effect,
        receiver: set[Obj],
        args: list[set[Obj]],
        kwargs: Keywords,
        rest: set[Obj],
        node: ast.AST,
        shown: str,
    ) -> set[Obj]:
        """Apply a library call's effect; returns what it may return."""
        everything = set().union(rest, *args, *kwargs.values())
        made = [site for obj in receiver for site in self.heap.sites_of(obj)]

        def at(location: str) -> set[Obj]:
            bare, _, condition = location.partition("?")
            if condition and not _given(condition, kwargs, [node, *made]):
                return set()
            bare = bare.partition("*")[0]
            if bare == "self":
                return receiver
            if bare == "args":
                return everything
            if bare == "":  # what may be any argument
                return rest
            if bare in effect.parameters[: len(args)]:
                return args[effect.parameters.index(bare)]
            if bare.isdigit():
                position = int(bare)
                if position < len(args):
                    return args[position] | rest
                return rest.union(*kwargs.values()) if kwargs else rest
            return kwargs.get(bare, set())

        mode = "sets" if effect.modes else "training" if effect.training_only else ""
        reason = f"{shown}() mutates it"
        for location in effect.mutates:
            _, deep, package = location.partition("?")[0].partition("*")
            self.mutate(at(location), reason, deep=bool(deep), package=package, mode=mode)
        self._flags(effect, at, node, shown)

        def given_but(where: str) -> set[Obj]:
            """What is called is no argument of its own."""
            others = [objs for n, objs in enumerate(args) if str(n) != where]
            others += [objs for name, objs in kwargs.items() if name != where]
            return set().union(rest, *others)

        results: set[Obj] = set()
        later: set[Obj] = set()  # what an iterator, if that is what is made, calls when it advances
        for location in effect.calls:
            location, _, spread = location.partition("@")
            where, _, method = location.partition(".")
            called = at(where)
            later |= called if not method else set()
            if spread:
                # Where the first is given by its name, what follows it is too.
                named = kwargs.get if where in kwargs else lambda name, _: at(name)
                passed, mapping = (named(name, set[Obj]()) for name in spread.split(","))
                by_name: Keywords = {}
                others = self._by_keyword(mapping, by_name) | rest
                if where in kwargs:
                    packs, passed = self.packs.apart(passed)
                    functions = {o for o in called if o.kind in ("function", "bound")}
                    none = Arguments(0, frozenset(), more_positional=False, more_named=False)
                    own = None if self._passes_own(node, spread) else mapping
                    with self.heap.often():
                        results |= self._pass_on(functions, [], packs, none, {}, own, node, shown)
                    if packs and not passed:
                        called = called - functions
                places, more = self.positions(self.value_of(passed), node)
                others |= more
                if where not in kwargs:  # given by position, if at all
                    given = given_but("")
                    others |= given.union(*map(self.heap.elements, given))
                    called = rest.union(*args)
                with self.heap.often():
                    results |= self.invoke(called, places, by_name, others, node, shown)
                continue
            if where.endswith("*"):  # a partial: what it holds is called, with all that it holds
                held = {e for o in called for e in self.heap.contents_of(o)}
                first = {e for o in called for e in self.heap.field(o, "func")}
                held |= first
                results |= self._call_held(first or held, everything, held, node, shown)
                continue
            given = given_but(where.partition("?")[0].removeprefix("each:"))
            if where.startswith("each:"):
                called = at(where[5:])
                later |= called
                given = self._items_given(given, node)
            else:
                given = given.union(*map(self.heap.elements, given))
            if where.startswith("elem:"):
                called = {e for o in at(where[5:]) for e in self.heap.elements(o)}
            for obj in list(called):
                if method:
                    results |= self.method(obj, method, [given], node)
                elif obj.kind in ("function", "bound"):
                    results |= self._call_back(obj, given, node)
                elif obj.kind == "alloc" and obj.cls is not None and obj not in receiver:
                    with self.heap.often():
                        results |= self._instance(obj, [given], {}, given, node, shown)
                elif obj.kind == "libbound":  # map(seen.append, items)
                    with self.heap.often():
                        results |= self._invoke_one(obj, [given], {}, given, node, shown)
                elif obj not in receiver and self._given_to_call(obj, effect):
                    results |= self._call_held({obj}, given, set(), node, shown)  # a partial
                elif obj.kind in ("library", "class"):  # defaultdict(list), map(float, …)
                    with self.heap.often():
                        results |= self._invoke_one(obj, [], {}, set(), node, shown)
        found = self._result(effect, receiver, at, node)
        if "called" in effect.returns:
            found |= results
        elif effect.calls:
            for obj in found:
                if obj.kind == "alloc" and self.heap.makes(node, obj):
                    items = results
                    if obj.type in LAZY and results:  # what it holds is iterated in its turn
                        items = {self._items(results, node, "results")}
                    self.heap.add_contents(obj, items)
        self._keep(effect, receiver, found, at, node)
        for obj in found if later else ():
            if obj.type in LAZY and obj.kind == "alloc" and self.heap.makes(node, obj):
                self.heap.add_field(obj, CALLED, later)
        for obj in found if kwargs else ():
            if "*" in self.effects.type(obj.type).scalars and self.heap.makes(node, obj):
                for name, objs in kwargs.items():  # a namespace
                    self.heap.add_field(obj, name, self.value_of(objs))
            if (
                obj.type in SEQUENCES and obj.kind == "alloc" and self.heap.makes(node, obj)
            ):  # dict(key=value)
                for name, objs in kwargs.items():
                    self.heap.add_field(obj, f"[{name!r}]", self.value_of(objs))
        return found

    def _passes_own(self, node: ast.AST, names: str) -> bool:
        """Whether a call's keywords `names` are what one call of this function was given."""
        if not isinstance(node, ast.Call):
            return False
        values = {k.arg: k.value for k in node.keywords}
        args, _, kwargs = names.partition(",")
        spread = [values[kwargs]] if kwargs in values else []
        return bool(spread) and same_call(self.function, values.get(args), spread)

    def _given_to_call(self, obj: Obj, effect: Effect) -> bool:
        """Whether a library's object, given where a function is called, may be one."""
        if obj.kind != "alloc" or obj.cls is not None or "*" in effect.name:
            return False
        called = self.effects.method(obj.type, "__call__")
        return not obj.type or (called is not None and "*" not in called.name)

    def _call_held(
        self, called: set[Obj], given: set[Obj], held: set[Obj], node: ast.AST, shown: str
    ) -> set[Obj]:
        """What a partial holds is called, if it can be, with what it holds besides."""
        found: set[Obj] = set()
        outermost = not self.calling
        others: set[Obj] = set()
        everything: set[Obj] = set()
        for obj in called:
            passed = given | (held - {obj})
            if obj.kind in ("function", "bound"):
                found |= self._call_back(obj, passed, node)
                continue
            typed = obj.kind in ("alloc", "part") and obj.cls is None and obj.type
            if typed and self.effects.method(obj.type, "__call__") is None:
                continue
            before = self.calling.get(obj, set())
            if obj in self.calling and passed <= before:
                continue  # a partial that leads back to itself: its results are known further out
            self.calling[obj] = before | passed
            others.add(obj)
            everything |= self.calling[obj]
        with self.heap.often():
            found |= self.invoke(others, [], {}, everything, node, shown)
        if outermost:
            self.calling.clear()
        return found

    def _flags(self, effect: Effect, at, node: ast.AST, shown: str) -> None:  # type: ignore[no-untyped-def]
        for stream in effect.draws:
            self.record("draw", name=stream, reason=shown)
        if effect.trains:
            self.record("train", reason=shown)
        if effect.reads_grads:
            for location in effect.mutates or ("self",):
                for obj in at(location):
                    self.record("read_grads", obj, reason=shown)
        for location in effect.kills_grads:
            targets = at(location)
            for obj in targets:
                self.record("kill_grads", obj, exact_target=len(targets) == 1, reason=shown)
        if effect.sink:
            self.record("sink", reason=shown)
        if effect.clock:
            self.record("clock", reason=shown)
        if effect.reads_files and (effect.returns == ("none",) or not _opens_to_write(node)):
            self.record("read_file", reason=shown)
        for location in effect.advances:
            self.advance(at(location), shown)

    def advance(self, objs: set[Obj], shown: str) -> None:
        """Iterators whose position moves; a generator runs a piece of its body."""
        moving: set[Obj] = set()
        anew: set[Obj] = set()  # what can be iterated anew
        for obj in objs:
            if obj in self.heap.absorbed:  # maybe an iterator
                self.mutate({self.heap.anything}, f"{shown}() may advance it", certainty="assumed")
            elif obj.kind == "alloc":
                iterator = obj.cls is not None and obj.cls.method("__next__") is not None
                mine = _generator(obj) or iterator or obj.type in LAZY
                (moving if mine else anew).add(obj)
                self._moved(obj, shown)
        self._callbacks_of(anew)
        if not moving:
            return
        # The project's own iterators are objects as all others: their `__next__` tells the rest.
        lazy = {obj for obj in moving if obj.cls is None}
        reached = self.heap.reach(lazy)
        if self.recording:
            inner = {o for o in reached if o.kind == "alloc" and (_generator(o) or o.type in LAZY)}
            for obj in lazy | inner:
                name = "" if obj in lazy else WITHIN
                self.record("advance", obj, name=name, reason=f"{shown}() advances it")
        for obj in moving | reached:
            if obj.kind == "alloc" and obj.cls is not None:
                self.method(obj, "__next__", [], self.statement)
        self._run_iterators(reached)

    def _moved(self, obj: Obj, shown: str) -> None:
        """A library's own iterator (a reader of tables) can't be iterated anew."""
        if obj.type not in LAZY and self.effects.is_a(obj.type, "builtins.iterator"):
            self.mutate({obj}, f"{shown}() advances it")

    def _run_iterators(self, reached: set[Obj]) -> None:
        """Edges to generator bodies and data-set methods that advancing these may run."""
        typed: set[Obj] = set()
        for held in reached:
            if held.kind == "alloc" and held.function is not None and held.function.generator:
                self.edge(held.function)
            elif held.kind == "alloc" and held.cls is None and held.type:
                typed.add(held)
            if held.type in LAZY:
                self._run_called(held)
        self._callbacks_of(typed)

    def _run_called(self, iterator: Obj) -> None:
        """What an iterator calls for its next item; what with, the call that made it has told."""
        for obj in list(self.heap.field(iterator, CALLED)):
            if obj.kind in ("function", "bound"):
                if obj.function is not None:
                    self.edge(obj.function)
            elif obj.kind in ("alloc", "libbound"):
                given = set().union(*map(self.heap.elements, self.heap.contents_of(iterator)))
                self._call_held({obj}, given, set(), iterator.site or self.statement, obj.label)

    def _callbacks_of(self, objs: set[Obj]) -> None:
        """What iterating over any of these draws, and calls of what they hold."""
        calling: dict[tuple[str, ...], set[Obj]] = {}
        for obj in objs - self.drawn_from:  # once in a statement
            declared = self.effects.type(obj.type)
            for stream in declared.iteration_draws:
                self.record("draw", name=stream, reason=f"iterating {obj.type}")
            if declared.iterable_calls:
                calling.setdefault(tuple(declared.iterable_calls), set()).add(obj)
        self.drawn_from |= objs
        for names, starts in calling.items():
            self.loaders |= starts
            known = {obj: name for obj in self.loaders for name in self._collating_known(obj)}
            held = starts - known.keys()
            for obj in starts & known.keys():  # what makes batches is called with what it is given
                held |= self.heap.contents_of(obj)
                for name, objs in self.heap.fields_of(obj).items():
                    held |= objs if name != known[obj] else set()
            reached = self.heap.reach(held - known.keys(), known.keys()) - known.keys()
            if len(starts) == 1:
                reached -= starts
            self._called_by_iterating(names, reached)

    def _called_by_iterating(self, names: tuple[str, ...], reached: set[Obj]) -> None:
        """The methods `names` of what an iterable holds, and functions that it was given."""
        alike: dict[tuple[str, str], set[Obj]] = {}  # one entry holds for all of a type
        for held in reached:
            if (names, held) in self.called_back and not self.recording:
                continue  # with the same arguments
            if held.kind == "alloc" and held.cls is not None:
                self.called_back.add((names, held))
                for name in names:
                    self.method(held, name, [set(), set()], self.statement)
            elif held.kind == "alloc" and held.type:  # e.g. a generator given to a loader
                if self.heap.grain != FINE:
                    self.called_back.add((names, held))
                for name in names:
                    alike.setdefault((held.type, name), set()).add(held)
            elif held.kind in ("function", "bound"):  # collate_fn, worker_init_fn
                self.called_back.add((names, held))
                assert held.function is not None
                batch = self.heap.alloc(held.function.node, "", tag="batch")
                self._call_back(held, {batch}, held.site or self.statement)
        for (type_name, name), receivers in alike.items():
            effect = self.effects.exact.get(f"{type_name}.{name}")
            if effect is not None:
                if name == "__call__":
                    self._module_calls(receivers, set(), self.statement)
                self.apply(effect, receivers, [], {}, set(), self.statement, name)

    def _result(self, effect: Effect, receiver: set[Obj], at, node: ast.AST) -> set[Obj]:  # type: ignore[no-untyped-def]
        found: set[Obj] = set()
        for result in effect.returns:
            if result in ("none", "called"):
                continue
            if result == "new":
                owner = next(
                    (o for o in receiver if o.cls is not None and self.heap.makes(node, o)), None
                )
                found.add(owner or self.heap.alloc(node, effect.type, where=self.function))
            elif result == "each:args":
                arguments = node.args if isinstance(node, ast.Call) else []
                starred = any(isinstance(a, ast.Starred) for a in arguments)
                if len(arguments) != 1 or starred:
                    made = self.heap.alloc(node, "builtins.tuple", where=self.function, tag="each")
                    for place in range(0 if starred else len(arguments)):
                        self.heap.add_field(made, f"[{place}]", self.value_of(at(str(place))))
                    if starred or not arguments:
                        self.heap.add_contents(made, self.value_of(at("args")))
                    found.add(made)
                if len(arguments) == 1 or starred or not arguments:
                    found |= self.value_of(at("args"))
            elif result == "self":
                found |= {self._seen_as(obj, effect.type) for obj in receiver}
            elif result == "part:self":
                found |= {p for obj in receiver for p in self.heap.parts(obj, effect.type)}
            elif result.startswith("call:"):  # what it returns is made by calling LOC
                for obj in list(at(result[5:])):
                    found |= self._invoke_one(obj, [], {}, set(), node, obj.label)
            elif result.startswith("sum:"):
                summed = {e for o in list(at(result[4:])) for e in self._element(o, node)}
                found |= self.operate(node, summed, set()) | {o for o in summed if o.cls}
            elif result.startswith("holder:"):  # a new container of parts: a state dictionary
                made = self.heap.alloc(node, effect.type, where=self.function)
                held = {p for obj in list(at(result[7:])) for p in self.heap.parts(obj)}
                self.heap.add_contents(made, held)
                found.add(made)
            elif result.startswith("holding:"):  # a new object that keeps what it was made from
                made = self.heap.alloc(node, effect.type, where=self.function)
                self.heap.add_contents(made, self.value_of(at(result[8:])))
                found.add(made)
            elif result.startswith(("copy:", "deepcopy:")):
                how, _, location = result.partition(":")
                objs = self.value_of(at(location))
                deep = how == "deepcopy"
                found |= self.heap.clones(node, objs, deep=deep, where=self.function)
            elif result.startswith(
                ("groups:", "tees:")
            ):  # iterators over LOC, with keys or without
                how, _, location = result.partition(":")
                group = self.heap.alloc(node, "builtins.iterator", where=self.function, tag="group")
                self.heap.add_contents(group, self.value_of(at(location)))
                if how == "tees":
                    made = self.heap.alloc(node, "builtins.tuple", where=self.function, tag=how)
                    self.heap.add_contents(made, {group})
                    found.add(made)
                else:
                    given = self.heap.alloc(node, "builtins.tuple", where=self.function, tag="pair")
                    items = {e for obj in list(at(location)) for e in self._element(obj, node)}
                    self.heap.add_field(given, "[0]", items)
                    self.heap.add_field(given, "[1]", {group})
                    found.add(self._items({given}, node, how))
            elif result.startswith("pairs:"):
                made = self.heap.alloc(node, "builtins.list", where=self.function, tag="pairs")
                pair = self.heap.alloc(node, "builtins.tuple", where=self.function, tag="pair")
                self.heap.add_field(pair, "[0]", set())
                for obj in list(at(result[6:])):
                    self.heap.add_field(pair, "[1]", self.heap.elements(obj) - {obj})
                    if obj.type not in SEQUENCES:  # a lump: keys and values are parts of it
                        self.heap.add_contents(pair, self.heap.elements(obj))
                self.heap.add_contents(made, {pair})
                self.heap.add_field(made, VIEWED, at(result[6:]))
                found.add(made)
            elif result.startswith("values:"):  # a view of a mapping; a lump's are parts of it
                made = self.heap.alloc(node, "builtins.list", where=self.function, tag="values")
                for obj in list(at(result[7:])):
                    gone = {obj} if obj.type in SEQUENCES else set()
                    self.heap.add_contents(made, self.heap.elements(obj) - gone)
                self.heap.add_field(made, VIEWED, at(result[7:]))
                found.add(made)
            elif result.startswith("elem:"):
                for obj in list(at(result[5:])):
                    found |= self._element(obj, node)
            else:
                found |= {self._seen_as(obj, effect.type) for obj in self.value_of(at(result))}
        return found

    def _items_given(self, objs: set[Obj], node: ast.AST) -> set[Obj]:
        """What iterating over `objs` gives; that they are iterated is told elsewhere."""
        recording, self.recording = self.recording, False
        try:
            return self.iterate(self.value_of(objs), node)
        finally:
            self.recording = recording

    def _items(self, objs: set[Obj], node: ast.AST, tag: str) -> Obj:
        """An iterator that gives these."""
        made = self.heap.alloc(node, "builtins.generator", where=self.function, tag=tag)
        self.heap.add_contents(made, objs)
        return made

    def _seen_as(self, obj: Obj, type_name: str) -> Obj:
        """A result that shares memory with `obj`, as an object of the type the call returns."""
        if not type_name or not self._uniform(obj) or self.effects.is_a(obj.type, type_name):
            return obj
        return self.heap.part(obj, type_name)

    def _element(self, obj: Obj, node: ast.AST) -> set[Obj]:
        if obj.kind == "alloc" and obj.function is not None and obj.function.generator:
            return set(self.heap.yielded(obj.function))
        declared = self.effects.type(obj.type)
        if obj.type in LAZY or declared.iterable_calls or declared.iteration_draws:
            return self.iterate({obj}, node)
        if obj.kind == "alloc" and obj.cls is not None:
            if obj.cls.method("__iter__") or obj.cls.method("__getitem__"):
                return self.iterate({obj}, node)
        return self.heap.elements(obj)

    def _keep(self, effect: Effect, receiver: set[Obj], found: set[Obj], at, node: ast.AST) -> None:  # type: ignore[no-untyped-def]
        if not effect.keeps:
            return
        keepers = receiver or {o for o in found if o.kind == "alloc" and self.heap.makes(node, o)}
        keepers = keepers or self.value_of(at("0"))  # heappush(heap, x), setattr(obj, name, x)
        for location in effect.keeps:
            if location.startswith("flat:"):
                flat = self._flat(self.value_of(at(location[5:])), node)
                for keeper in list(keepers):
                    self.heap.add_contents(keeper, flat)
                continue
            if location == "args" and effect.parameters:
                scalars = set().union(*(self.effects.type(o.type).scalars for o in keepers))
                for name in ("", *(p for p in effect.parameters if p not in scalars)):
                    given = at(name)
                    given = self.value_of(given) | set(filter(self._method, given))
                    for keeper in list(keepers):
                        if name:
                            self.heap.add_field(keeper, name, given)
                        else:
                            self.heap.add_contents(keeper, given, by_base=keeper in receiver)
                continue
            if location.startswith("fields:"):
                for obj in list(at(location[7:])):
                    for name, objs in list(self.heap.fields_of(obj).items()):
                        for keeper in list(keepers):
                            self.heap.add_field(keeper, name, objs)
                continue
            if location.startswith("drained:"):  # an iterator is used up
                kept = self.value_of(at(location[8:]))
                lazy = {o for o in kept if o.kind == "alloc" and (o.type in LAZY or _generator(o))}
                kept = (kept - lazy).union(*(self._element(obj, node) for obj in lazy))
                for keeper in list(keepers):
                    self.heap.add_contents(keeper, kept, by_base=keeper in receiver)
                continue
            name, _, location = location.rpartition("=")
            kept = self.value_of(at(location)) | set(filter(self._method, at(location)))
            if name:
                for keeper in list(keepers):
                    self.heap.add_field(keeper, name, kept)
                continue
            pieces: dict[Obj, set[Obj]] = {}
            for keeper in list(keepers):
                copies = self.heap.makes(node, keeper) and keeper.type in SEQUENCES
                extends = location.endswith("*") and keeper.type in SEQUENCES  # x.extend(y)
                if not (copies or extends):
                    self.heap.add_contents(keeper, kept, by_base=keeper in receiver)
                    continue
                if not pieces:
                    pieces = {obj: self._element(obj, node) for obj in kept}
                mapping = "dict" in keeper.type.lower()
                for obj, elements in pieces.items():
                    if mapping and obj.type not in MAPPINGS:  # pairs of keys and values
                        elements = elements.union(*map(self.heap.elements, elements))
                    if copies:  # list(x), dict(x): the contents, not the container
                        gone = {obj} if obj.kind == "alloc" and obj.type in SEQUENCES else set()
                        self.heap.add_contents(keeper, elements - gone)
                        continue
                    self.heap.add_contents(keeper, elements)
                    if obj.type not in SEQUENCES or "dict" in keeper.type.lower():
                        self.heap.add_contents(keeper, {obj})  # x.update(name=y)

    def _method(self, obj: Obj) -> bool:
        """Whether it is a method that can be called later; of a library's object, a known one."""
        if obj.kind == "bound":
            return True
        if obj.kind != "libbound" or obj.receiver is None:
            return False
        types = obj.receiver.libraries()
        return any(self.effects.method(t, obj.name) is not None for t in types if t)

    def _flat(self, objs: set[Obj], node: ast.AST) -> set[Obj]:
        """What containers hold, however nested; anything else is itself."""
        found: set[Obj] = set()
        seen, stack = set(objs), list(objs)
        while stack:
            obj = stack.pop()
            lazy = obj.kind == "alloc" and (obj.type in LAZY or _generator(obj))
            if obj.type not in SEQUENCES and not lazy:
                found.add(obj)
                continue
            inner = self._element(obj, node) - seen
            seen |= inner
            stack += inner
        return found

    # -- iteration ------------------------------------------------------------------------------
    def iterate(self, objs: set[Obj], node: ast.AST) -> set[Obj]:
        """What iterating over any of `objs` yields; effects of making and advancing an iterator."""
        outermost = not self.iterating
        found: set[Obj] = set()
        for obj in list(objs):
            known = self.iterated.setdefault((obj, node), set())
            if obj not in self.iterating:  # once each: iterators may share others, or be circular
                self.iterating.add(obj)
                new = self._iterate_one(obj, node, "" if outermost else WITHIN) - known
                if new:  # a circle of iterators may have looked it up already
                    known |= new
                    self.heap.stale.add(self.statement)
            found |= known
        if outermost:
            self.iterating.clear()
            begun, self.iterables = self.iterables, set()
            self._callbacks_of(begun)
        return found

    def _iterate_one(self, obj: Obj, node: ast.AST, name: str) -> set[Obj]:
        heap = self.heap
        plain = obj.cls is None and self.effects.type(obj.type).plain
        if plain or all(self.lacks(obj, n) for n in ("__iter__", "__getitem__", "__aiter__")):
            return set()  # another object of the points-to set is meant
        if obj in heap.absorbed:  # maybe an iterator
            self.mutate({heap.anything}, "iterating may advance it", certainty="assumed")
            return heap.elements(obj)
        if obj.kind == "part":
            if self.effects.type(obj.type).iteration_draws:
                self.iterables.add(obj)
            return heap.elements(obj)
        if obj.kind == "class":
            return self.iterate(self.method(obj, "__iter__", [], node), node)
        if obj.kind != "alloc":
            return set()
        if obj.function is not None and obj.function.generator:
            self.edge(obj.function)
            self.record("advance", obj, name=name, reason="the loop advances it")
            return set(heap.yielded(obj.function))
        if obj.cls is not None:
            found = self._iterate_instance(obj, node)
            if found is not None:
                return found
        if obj.type in LAZY:
            self.record("advance", obj, name=name, reason="the loop advances it")
            self._run_called(obj)
            held = set(heap.contents_of(obj))
            if obj.type == "builtins.generator":  # a generator expression holds its items
                return held
            pieces = self.iterate(held, node)
            if obj.type in ("builtins.enumerate", "builtins.zip"):
                made = heap.alloc(node, "builtins.tuple", where=self.function, tag=obj.label)
                if obj.type == "builtins.enumerate":
                    heap.add_field(made, "[0]", set())
                    heap.add_field(made, "[1]", pieces)
                else:
                    heap.add_contents(made, pieces)
                return {made}
            return pieces | {o for o in held if not (o.type or o.cls or _generator(o))}
        declared = self.effects.type(obj.type)
        if declared.iterable_calls or declared.iteration_draws:
            self.iterables.add(obj)
            batch = heap.alloc(node, declared.elements, where=self.function, tag="batch")
            return {batch} | self._collated(obj, node)
        self._moved(obj, "iterating")
        return heap.elements(obj)

    def _collated(self, loader: Obj, node: ast.AST) -> set[Obj]:
        """What a loader's own collate function makes of the items, or the items themselves.

        The default one copies.
        """
        held, _ = self._collating(loader)
        functions = {o for o in held if o.kind in ("function", "bound")}
        callables = {o for o in held if o.kind == "alloc" and o.cls and o.cls.method("__call__")}
        library = {o for o in held if o.kind == "library" and self.effects.call(o.name)}
        unbatched = loader.site is not None and _none_given("batch_size", loader.site)
        if not (functions or callables or library or unbatched):
            return set()
        sources, known = self._sources(held - callables)
        items: set[Obj] = set()
        for source in sources:
            if source.cls is None:
                items |= self.heap.elements(source)
            elif source.cls.method("__getitem__") is not None:
                items |= self.method(source, "__getitem__", [set()], node)
            else:
                items |= self.iterate({source}, node)
        if not items and not known:
            return set()
        found = items if unbatched else set()
        batch = self.heap.alloc(node, "builtins.list", where=self.function, tag="items")
        self.heap.add_contents(batch, items)
        given = {batch} | found
        for function in functions:
            found = found | self._call_back(function, given, node)
        with self.heap.often():
            for obj in callables:
                found = found | self.method(obj, "__call__", [given], node)
            for obj in library:  # `list`
                found = found | self._invoke_one(obj, [given], {}, set(), node, obj.label)
        return found

    def _collating(self, loader: Obj) -> tuple[set[Obj], str]:
        """Where a loader's items and what collates them come from; by which attribute that is told
        apart, "" if it isn't.
        """
        contents, fields = self.heap.contents_of(loader), self.heap.fields_of(loader)
        names = next(filter(None, (self.effects.type(n).collates for n in loader.libraries())), ())
        held = set(contents).union(*(fields.get(name, ()) for name in names or fields))
        return held, names[0] if names else ""

    def _collating_known(self, loader: Obj) -> list[str]:
        """The attribute of a loader whose function is called with items that are known, if any."""
        held, name = self._collating(loader)
        return [name] if name and self._sources(held)[1] else []

    def _sources(self, held: set[Obj]) -> tuple[set[Obj], bool]:
        """The data sets from which items are taken, those in data sets included; if they are all.

        A library's own data set, such as one of images in a folder, makes items that nobody knows.
        """
        found: set[Obj] = set()
        waiting = [o for o in held if o.kind not in ("function", "bound")]
        known, seen = bool(waiting), set(held)
        while waiting:
            dataset = waiting.pop()
            own = _methods({dataset}, "__getitem__", "__iter__")
            if dataset.kind != "alloc":
                known = False
            elif own or dataset.type in SEQUENCES:
                found.add(dataset)
            else:
                within = self.heap.contents_of(dataset)
                known = known and bool(within)
                waiting += within - seen
                seen |= within
        return found, known

    def _iterate_instance(self, obj: Obj, node: ast.AST) -> set[Obj] | None:
        assert obj.cls is not None
        how = "a" if obj.cls.method("__aiter__") is not None else ""
        if obj.cls.method(f"__{how}iter__") is not None:
            results = self.method(obj, f"__{how}iter__", [], node)
            found: set[Obj] = set()
            for result in results:
                if result is obj:
                    found |= self.method(obj, f"__{how}next__", [], node)
                else:
                    found |= self.iterate({result}, node)
            return found
        if obj.cls.method("__getitem__") is not None:
            return self.method(obj, "__getitem__", [set()], node)
        return None


def _methods(objs: set[Obj], *names: str) -> dict[Function, set[Obj]]:
    """The first of the methods `names` that each object of the project has, with the objects."""
    found: dict[Function, set[Obj]] = {}
    for obj in objs:
        if obj.kind == "alloc" and obj.cls is not None:
            method = next(filter(None, map(obj.cls.method, names)), None)
            if method is not None:
                found.setdefault(method, set()).add(obj)
    return found


def _given_at(args: list[set[Obj]], kwargs: Keywords, rest: set[Obj]) -> dict[str, set[Obj]]:
    """What a call is given, by the locations that an effect entry uses."""
    return {**{str(n): objs for n, objs in enumerate(args)}, **kwargs, "args": rest}


def _given(name: str, kwargs: Keywords, calls: list[ast.AST]) -> bool:
    """Whether option `name` (``inplace``) is, or may be, switched on in a call or a constructor.

    A number: whether there is, or may be, such a positional argument.
    """

    def switched_on(call: ast.AST | None) -> bool:
        if not isinstance(call, ast.Call):
            return False
        if name.isdigit():
            return len(call.args) > int(name) or any(isinstance(a, ast.Starred) for a in call.args)
        for keyword in call.keywords:
            if keyword.arg == name:
                return True  # whatever its value: it was thought of
            if keyword.arg is None:
                return True
        flags = (a for a in call.args if isinstance(a, ast.Constant))
        return any(flag.value is True for flag in flags)

    return name in kwargs or any(switched_on(call) for call in calls)


def _none_given(name: str, call: ast.AST) -> bool:
    """Whether None, or maybe None, is an option of a call."""
    given = [k.value for k in call.keywords if k.arg == name] if isinstance(call, ast.Call) else []
    return any(isinstance(n, ast.Constant) and n.value is None for v in given for n in ast.walk(v))


def _opens_to_write(node: ast.AST) -> bool:
    """Whether a call has a mode as of `open` that can only be for writing."""
    if not isinstance(node, ast.Call):
        return False
    positional = node.args[1:] if isinstance(node.func, ast.Name) else node.args  # or a method's
    given = [*positional, *(k.value for k in node.keywords if k.arg == "mode")]
    modes = [a.value for a in given if isinstance(a, ast.Constant) and isinstance(a.value, str)]
    return any(m[:1] in ("w", "a", "x") and set(m) <= set("waxbt") for m in modes)


def _generator(obj: Obj) -> bool:
    return obj.function is not None and obj.function.generator


def _by_pattern(effects: list[Effect | None]) -> bool:
    """Whether all that is known comes from a catch-all pattern."""
    return all(effect is None or "*" in effect.name for effect in effects)


def _literal_name(node: ast.AST) -> str:
    """The name given to a log call when it is a literal, else ""."""
    if isinstance(node, ast.Call):
        given = [k.value for k in node.keywords if k.arg == "name"] or node.args[:1]
        if given and isinstance(given[0], ast.Constant) and isinstance(given[0].value, str):
            return given[0].value
    return ""


def _callable(objs: set[Obj]) -> bool:
    return any(o.kind in ("libbound", "bound", "function") for o in objs)
