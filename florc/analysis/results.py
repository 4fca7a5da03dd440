"""What a library call gives, and what it keeps, as its effect entry says."""

from __future__ import annotations

import ast

from florc.analysis.heap import LAZY, MAPPINGS, SEQUENCES, VIEWED
from florc.analysis.objects import Function, Obj
from florc.analysis.special import Special
from florc.effects.model import Effect

Keywords = dict[str, "set[Obj]"]


class Results(Special):
    """Evaluation of what calls of libraries make and keep."""

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
        raise NotImplementedError

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
                lazy = {
                    o for o in kept if o.kind == "alloc" and (o.type in LAZY or is_generator(o))
                }
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
            pairs: dict[Obj, set[Obj]] = {}  # with what these hold: keys and values
            for keeper in list(keepers):
                copies = self.heap.makes(node, keeper) and keeper.type in SEQUENCES
                extends = location.endswith("*") and keeper.type in SEQUENCES  # x.extend(y)
                if not (copies or extends):
                    self.heap.add_contents(keeper, kept, by_base=keeper in receiver)
                    continue
                if not pieces:
                    pieces = {obj: self._element(obj, node) for obj in kept}
                mapping = "dict" in keeper.type.lower()
                if mapping and not pairs:
                    pairs = {
                        obj: items
                        if obj.type in MAPPINGS
                        else items.union(*map(self.heap.elements, items))
                        for obj, items in pieces.items()
                    }
                for obj, elements in (pairs if mapping else pieces).items():
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
            lazy = obj.kind == "alloc" and (obj.type in LAZY or is_generator(obj))
            if obj.type not in SEQUENCES and not lazy:
                found.add(obj)
                continue
            inner = self._element(obj, node) - seen
            seen |= inner
            stack += inner
        return found


def methods_of(objs: set[Obj], *names: str) -> dict[Function, set[Obj]]:
    """The first of the methods `names` that each object of the project has, with the objects."""
    found: dict[Function, set[Obj]] = {}
    for obj in objs:
        if obj.kind == "alloc" and obj.cls is not None:
            method = next(filter(None, map(obj.cls.method, names)), None)
            if method is not None:
                found.setdefault(method, set()).add(obj)
    return found


def is_generator(obj: Obj) -> bool:
    """Whether it is a generator of the project, or its function."""
    return obj.function is not None and obj.function.generator
