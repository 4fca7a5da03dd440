"""Calls in the abstract: binding of project functions, and unknown calls."""

from __future__ import annotations

import ast
from dataclasses import replace

from florc.analysis.arity import Arguments, accepts
from florc.analysis.evaluate import Waiting
from florc.analysis.heap import FINE, unknown
from florc.analysis.library_calls import LibraryCalls, given_at
from florc.analysis.objects import Class, Function, Obj
from florc.analysis.packs import Pack, same_call
from florc.analysis.results import Keywords, is_generator, methods_of
from florc.effects.model import Effect
from florc.frontend.statements import shown as shown_callee

_TEXT = {name for kind in (str, bytes, int, float) for name in dir(kind)}
_LISTS_OF_TEXT = {"split", "rsplit", "splitlines", "partition", "rpartition"}
VAGUE = 8
"""Callees of one call beyond which what it makes isn't told apart, on a coarse heap."""


class Calls(LibraryCalls):
    """Evaluation of calls."""

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
            given = given_at(args, kwargs, rest)
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
            if obj.kind == "libbound" and receiver is not None and not is_generator(receiver):
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
        for method, objs in methods_of(held, "forward", "__call__").items():
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


def _by_pattern(effects: list[Effect | None]) -> bool:
    """Whether all that is known comes from a catch-all pattern."""
    return all(effect is None or "*" in effect.name for effect in effects)


def _callable(objs: set[Obj]) -> bool:
    return any(o.kind in ("libbound", "bound", "function") for o in objs)
