"""What iterating gives, and what it runs: iterators, generators, loaders of data sets."""

from __future__ import annotations

import ast

from florc.analysis.heap import CALLED, FINE, LAZY, SEQUENCES
from florc.analysis.objects import WITHIN, Obj
from florc.analysis.results import Keywords, Results, is_generator, methods_of
from florc.effects.model import Effect


class Iterating(Results):
    """Evaluation of iteration."""

    def _call_back(self, obj: Obj, given: set[Obj], node: ast.AST) -> set[Obj]:
        """Something else calls this function, with any of `given`."""
        raise NotImplementedError

    def _call_held(
        self, called: set[Obj], given: set[Obj], held: set[Obj], node: ast.AST, shown: str
    ) -> set[Obj]:
        """What a partial holds is called, if it can be, with what it holds besides."""
        raise NotImplementedError

    def _module_calls(self, receivers: set[Obj], given: set[Obj], node: ast.AST) -> None:
        """Calling a library container calls what it holds: submodules' forward, hooks."""
        raise NotImplementedError

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
        raise NotImplementedError

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

    def advance(self, objs: set[Obj], shown: str) -> None:
        """Iterators whose position moves; a generator runs a piece of its body."""
        moving: set[Obj] = set()
        anew: set[Obj] = set()  # what can be iterated anew
        for obj in objs:
            if obj in self.heap.absorbed:  # maybe an iterator
                self.mutate({self.heap.anything}, f"{shown}() may advance it", certainty="assumed")
            elif obj.kind == "alloc":
                iterator = obj.cls is not None and obj.cls.method("__next__") is not None
                mine = is_generator(obj) or iterator or obj.type in LAZY
                (moving if mine else anew).add(obj)
                self._moved(obj, shown)
        self._callbacks_of(anew)
        if not moving:
            return
        # The project's own iterators are objects as all others: their `__next__` tells the rest.
        lazy = {obj for obj in moving if obj.cls is None}
        reached = self.heap.reach(lazy)
        if self.recording:
            inner = {
                o for o in reached if o.kind == "alloc" and (is_generator(o) or o.type in LAZY)
            }
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
            known = {obj: name for obj in starts for name in self._collating_known(obj)}
            held = starts - known.keys()
            for obj in known:  # what makes batches is called with what it is given
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
            return pieces | {o for o in held if not (o.type or o.cls or is_generator(o))}
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
            own = methods_of({dataset}, "__getitem__", "__iter__")
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


def _none_given(name: str, call: ast.AST) -> bool:
    """Whether None, or maybe None, is an option of a call."""
    given = [k.value for k in call.keywords if k.arg == name] if isinstance(call, ast.Call) else []
    return any(isinstance(n, ast.Constant) and n.value is None for v in given for n in ast.walk(v))
