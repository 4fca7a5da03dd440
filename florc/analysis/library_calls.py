"""Calls of libraries: effect entries are applied to what is called and given."""

from __future__ import annotations

import ast

from florc.analysis.arity import Arguments
from florc.analysis.heap import CALLED, LAZY, SEQUENCES
from florc.analysis.iterating import Iterating
from florc.analysis.objects import DYNAMIC, Function, Obj
from florc.analysis.packs import Pack, same_call
from florc.analysis.results import Keywords, is_generator, methods_of
from florc.analysis.texts import texts
from florc.effects.model import Effect


class LibraryCalls(Iterating):
    """Evaluation of calls of libraries."""

    def _by_keyword(self, objs: set[Obj], kwargs: Keywords) -> set[Obj]:
        """What `**objs` gives: to `kwargs` by name where dictionaries tell; returns the rest."""
        raise NotImplementedError

    def _instance(
        self,
        obj: Obj,
        args: list[set[Obj]],
        kwargs: Keywords,
        rest: set[Obj],
        node: ast.AST,
        shown: str,
    ) -> set[Obj]:
        raise NotImplementedError

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
        """Calls with `args`, then what a pack holds, for each pack."""
        raise NotImplementedError

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
        raise NotImplementedError

    def _resumed(self, generator: Obj, function: Function, sent: set[Obj], shown: str) -> set[Obj]:
        """A generator runs on by one of its methods; what is sent is what a `yield` gives."""
        raise NotImplementedError

    def positions(self, objs: set[Obj], node: ast.AST) -> tuple[list[set[Obj]], set[Obj]]:
        """What unpacking gives: by position, as far as tuples tell; and in any position."""
        raise NotImplementedError

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
        """A call nothing is known of: all that it can reach may be mutated, and be its result."""
        raise NotImplementedError

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
            self.library_call(name, node, shown, known, given_at(args, kwargs, rest))
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
        if is_generator(receiver) and receiver.function is not None:
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
            given = {"self": receivers, **given_at(args, kwargs, rest)}
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
        for method, objs in methods_of(self.heap.reach(receivers) - receivers, name).items():
            if not method.static:
                found |= self._project(method, [objs, *args], kwargs, rest, node)
        return found

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


def given_at(args: list[set[Obj]], kwargs: Keywords, rest: set[Obj]) -> dict[str, set[Obj]]:
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


def _opens_to_write(node: ast.AST) -> bool:
    """Whether a call has a mode as of `open` that can only be for writing."""
    if not isinstance(node, ast.Call):
        return False
    positional = node.args[1:] if isinstance(node.func, ast.Name) else node.args  # or a method's
    given = [*positional, *(k.value for k in node.keywords if k.arg == "mode")]
    modes = [a.value for a in given if isinstance(a, ast.Constant) and isinstance(a.value, str)]
    return any(m[:1] in ("w", "a", "x") and set(m) <= set("waxbt") for m in modes)


def _literal_name(node: ast.AST) -> str:
    """The name given to a log call when it is a literal, else ""."""
    if isinstance(node, ast.Call):
        given = [k.value for k in node.keywords if k.arg == "name"] or node.args[:1]
        if given and isinstance(given[0], ast.Constant) and isinstance(given[0].value, str):
            return given[0].value
    return ""
