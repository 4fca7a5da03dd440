"""Expressions in the abstract: what each may evaluate to, and the effects on the way."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass, field

from florc.analysis.heap import FINE, LAZY, SEQUENCES, VIEWED, Heap, owner_of, unknown
from florc.analysis.objects import Access, CallEdge, Function, LibraryCall, Obj
from florc.analysis.packs import Packs
from florc.analysis.program import Program
from florc.effects.model import Effects
from florc.frontend.scopes import Scope

_CONTAINER_OPERATORS = (ast.Add, ast.Mult, ast.Sub, ast.BitOr, ast.BitAnd, ast.BitXor)


def _operator(node: ast.AST) -> ast.AST | None:
    """The operator that `node` applies; `sum()` is the only call that does."""
    return ast.Add() if isinstance(node, ast.Call) else getattr(node, "op", None)


OPERATORS: dict[type[ast.AST], str] = {
    ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.MatMult: "matmul", ast.Div: "truediv",
    ast.Mod: "mod", ast.Pow: "pow", ast.FloorDiv: "floordiv", ast.LShift: "lshift",
    ast.RShift: "rshift", ast.BitOr: "or", ast.BitXor: "xor", ast.BitAnd: "and",
    ast.USub: "neg", ast.UAdd: "pos", ast.Invert: "invert",
}  # fmt: skip
_COMPARISONS: dict[type[ast.AST], str] = {
    ast.Eq: "eq", ast.NotEq: "ne", ast.Lt: "lt", ast.LtE: "le", ast.Gt: "gt", ast.GtE: "ge",
    ast.In: "contains", ast.NotIn: "contains",
}  # fmt: skip


@dataclass
class Waiting:
    """A call that is being evaluated, and what is done once for all of its callees."""

    node: ast.AST | None
    given: set[Obj] = field(default_factory=set)  # to unknown callees
    made: set[Obj] = field(default_factory=set)  # by them
    named: dict[str, set[Obj]] = field(default_factory=dict)  # undescribed methods of these
    called: set[Obj] = field(default_factory=set)  # library containers
    vague: bool = False  # it may be a call of nearly anything
    passed: set[Obj] = field(default_factory=set)  # to what those hold


class State:
    """What the evaluator's parts share: heap, place, and the records of the last pass."""

    def __init__(self, program: Program, effects: Effects, grain: int = FINE) -> None:
        self.program = program
        self.effects = effects
        self.heap = Heap(program, effects, grain)
        self.packs = Packs(self.heap)
        self.active: dict[Function, None] = {}
        self.function: Function = program.bodies[program.project.script.name]
        self.scope: Scope = self.function.scope
        self.statement: ast.stmt = ast.Pass(lineno=0, col_offset=0)
        self.recording = False
        self.coarse = False  # unknown calls call nothing of the project's
        self.accesses: dict[Access, None] = {}
        self.edges: dict[CallEdge, None] = {}
        self.library_calls: dict[tuple[ast.AST, Function, str], LibraryCall] = {}
        self.imported: set[str] = set()  # library modules, by import statements
        self.star_libraries: dict[str, list[str]] = {}
        # Calls whose callee had no value, by the statement that was executed.
        self.bottom: dict[ast.stmt, dict[ast.Call, bool]] = {}
        # What each unknown call of the statement was given already, and what that reaches.
        self.handed: dict[ast.AST, tuple[set[Obj], set[Obj]]] = {}
        # Methods that unknown calls may run: on what, and with what.
        self.run_with: dict[Function, tuple[set[Obj], set[Obj]]] = {}
        self.called_back: set[tuple[tuple[str, ...], Obj]] = set()  # by iterating
        self.calling: dict[Obj, set[Obj]] = {}  # partials that are being called, with what
        self.waiting = Waiting(None)
        self.drawn_from: set[Obj] = set()  # what the statement has begun to iterate over
        self._texts: dict[ast.expr, str] = {}
        self.unresolved: set[ast.Call] = set()  # calls whose callee never gets a value
        # What iterating gave so far, and what the present iteration has visited.
        self.iterated: dict[tuple[Obj, ast.AST], set[Obj]] = {}
        self.iterating: set[Obj] = set()
        self.iterables: set[Obj] = set()  # of those, what calls others to give its items

    # -- records --------------------------------------------------------------------------------
    def record(self, kind: str, obj: Obj | None = None, **details: object) -> None:
        """Note an effect of the current statement (in the last pass only)."""
        if self.recording:
            access = Access(kind, self.function, self.statement, obj, **details)  # type: ignore[arg-type]
            self.accesses[access] = None

    def mutate(
        self,
        objs: set[Obj],
        reason: str,
        *,
        attribute: str = "",
        deep: bool = False,
        package: str = "",
        certainty: str = "exact",
        mode: str = "",
    ) -> None:
        """Objects that may be mutated here (sinks and immutable values can't be state)."""
        if not self.recording:
            return
        for obj in objs:
            whole = deep or unknown(obj)  # what it holds isn't told apart from it
            while obj.kind in ("bound", "libbound", "super", "part") and obj.receiver is not None:
                whole = whole or obj.kind == "part"
                obj = obj.receiver
            if obj.kind == "library" or (obj.kind == "function" and not deep):
                continue
            doubt = "assumed" if unknown(obj) else certainty
            if obj.type:
                declared = self.effects.type(obj.type)
                if declared.immutable or declared.sink:
                    continue
            self.record(
                "mutate",
                obj,
                attribute=attribute,
                deep=whole,
                package=package if deep else "",
                certainty=doubt,
                reason=reason,
                mode=mode,
            )

    def edge(self, callee: Function, at: ast.AST | None = None) -> None:
        """The current statement may call `callee`, by the expression `at`."""
        if callee not in self.active:
            self.active[callee] = None
        if self.recording:
            at = None if self.heap.repeating else at
            self.edges[CallEdge(self.function, self.statement, callee, at)] = None

    def library_call(
        self, name: str, node: ast.AST, shown: str, known: bool, given: dict[str, set[Obj]]
    ) -> None:
        """Note what a library's function or method is given here (for the last pass)."""
        call = LibraryCall(self.function, self.statement, node, name, shown, known)
        call = self.library_calls.setdefault((node, self.function, name), call)
        for location, objs in given.items():
            if objs:
                call.given.setdefault(location, set()).update(objs)

    # -- names ----------------------------------------------------------------------------------
    def lookup(self, name: str, use: ast.AST | None = None) -> set[Obj]:
        """What a name may hold in the current scope, where `use` reads it."""
        owner = self.scope.owner(name)
        if owner is None:
            for library in self.star_libraries.get(self.scope.module, ()):
                full = f"{library}.{name}"
                if self.effects.call(full) or full in self.effects.types:
                    return {self.heap.library(full)}
            if name.startswith("__") and name.endswith("__"):
                return set()
            return {self.heap.library(f"builtins.{name}")}
        if owner.kind == "class":
            cls = self.program.classes[owner.node]
            objs = set(self.heap.field(self.heap.klass(cls), name))
            if name in cls.methods:
                objs.add(self.heap.function(cls.methods[name]))
            return objs
        own = owner is self.function.scope
        return self.heap.variable(owner, name, use if own else None)


class Expressions(State):
    """Evaluation of expressions; calls are in calls.py."""

    def call(self, node: ast.Call) -> set[Obj]:
        """Evaluate a call (calls.py)."""
        raise NotImplementedError

    def invoke(
        self,
        objs: set[Obj],
        args: list[set[Obj]],
        kwargs: dict[str, set[Obj]],
        rest: set[Obj],
        node: ast.AST,
        shown: str,
    ) -> set[Obj]:
        """Call objects with evaluated arguments (calls.py)."""
        raise NotImplementedError

    def iterate(self, objs: set[Obj], node: ast.AST) -> set[Obj]:
        """What iterating yields, with its effects (calls.py)."""
        raise NotImplementedError

    def method(self, obj: Obj, name: str, args: list[set[Obj]], node: ast.AST) -> set[Obj]:
        """Call a special method if the object's project class has it."""
        if obj.kind == "alloc" and obj.cls is not None:
            found = obj.cls.method(name)
            if found is not None:
                return self.invoke({self.heap.bound(obj, found)}, args, {}, set(), node, name)
        if obj.kind == "class" and obj.cls is not None:
            if name.startswith("__"):
                return self.class_method(obj, name, args, node)
            found = obj.cls.method(name)  # a static method, by a library
            if found is not None:
                return self.invoke({self.heap.function(found)}, args, {}, set(), node, name)
        return set()

    def class_method(self, obj: Obj, name: str, args: list[set[Obj]], node: ast.AST) -> set[Obj]:
        """Call a special method of a class object (special.py)."""
        raise NotImplementedError

    def read_by_class(self, obj: Obj, name: str, node: ast.AST) -> set[Obj]:
        """What reading an attribute of a class finds in its metaclass (special.py)."""
        raise NotImplementedError

    def converted(self, objs: Iterable[Obj], node: ast.AST) -> set[Obj]:
        """Objects may be converted by whoever is given them (special.py)."""
        raise NotImplementedError

    def evaluate(self, node: ast.expr | None) -> set[Obj]:
        """What an expression may evaluate to; the empty set stands for immutable values."""
        if node is None or isinstance(node, ast.Constant):
            return set()
        handler = getattr(self, f"_on_{type(node).__name__}", None)
        if handler is not None:
            result: set[Obj] = handler(node)
            return result
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self.evaluate(child)
        return set()

    def lacks(self, obj: Obj, name: str) -> bool:
        """Whether an object certainly has no special method `name`."""
        if obj.kind != "alloc" or obj in self.heap.absorbed:
            return False
        if obj.cls is None:
            return bool(obj.type) and self.effects.has_no(obj.type, name)
        if obj.cls.method(name) is not None:
            return False
        return all(self.effects.has_no(t, name, derived=True) for t in obj.cls.libraries())

    def truth(self, node: ast.expr | None) -> set[Obj]:
        """A condition: what it may evaluate to, with the effects of asking whether it's true."""
        objs = self.evaluate(node)
        for obj in self.value_of(objs) if node is not None else ():
            if obj.cls is not None:
                name = "__bool__" if obj.cls.method("__bool__") is not None else "__len__"
                self.method(obj, name, [], node)  # type: ignore[arg-type]
        return objs

    def unpack(self, obj: Obj, node: ast.AST) -> set[Obj]:
        """What `*obj` or `a, b = obj` gives: iterators move, and classes' `__iter__` runs."""
        generator = obj.function is not None and obj.function.generator
        iterable = obj.cls is not None and obj.cls.method("__iter__") is not None
        if obj.kind == "alloc" and (generator or iterable or obj.type in LAZY):
            return self.iterate({obj}, node)
        return self.heap.elements(obj)

    def _on_Name(self, node: ast.Name) -> set[Obj]:
        return self.lookup(node.id, node)

    def _on_Attribute(self, node: ast.Attribute) -> set[Obj]:
        return self.attribute(self.evaluate(node.value), node.attr, node)

    def attribute(self, objs: set[Obj], name: str, node: ast.AST) -> set[Obj]:
        """What reading attribute `name` of any of `objs` may give."""
        found: set[Obj] = set()
        for obj in list(objs):
            found |= self._attribute_of(obj, name, node)
        if self.heap.grain != FINE:
            found = {self._some_method(obj) for obj in found}
        if name == "grad":
            owners: list[Obj | None] = [owner_of(obj) for obj in objs]
            for owner in owners or [None]:
                self.record("read_grads", owner, reason=".grad is read")
        return found

    def _some_method(self, obj: Obj) -> Obj:
        """A method that nothing is known of: of those of one receiver any will do."""
        if obj.kind != "libbound" or obj.receiver is None:
            return obj
        types = obj.receiver.libraries()
        if any(self.effects.method(t, obj.name) is not None for t in types):
            return obj
        return self.heap.library_bound(obj.receiver, "*")

    def _attribute_of(self, obj: Obj, name: str, node: ast.AST) -> set[Obj]:
        heap = self.heap
        named = obj.kind == "module" or (obj.cls is not None and obj.kind in ("alloc", "class"))
        if name == "__dict__" and named:
            return {heap.part(obj, "builtins.dict")}
        if obj.kind == "library":
            if name in self.effects.constants.get(obj.name, ()):
                return set()
            full = f"{obj.name}.{name}"
            if self.effects.type(obj.name).immutable and not self.effects.describes(full):
                return set()  # of a class of plain values
            again = name in obj.name.split(".")
            if (heap.grain != FINE or again) and not self.effects.describes(full):
                full = f"{obj.name}.*"  # of values, whose attributes have no end
            return {heap.library(full)}
        if obj.kind == "module" and obj.module is not None:
            scope = self.program.module_scope(obj.module)
            if name in scope.names:
                return heap.variable(scope, name)
            sub = self.program.project.by_name(f"{obj.module.name}.{name}")
            return {heap.module(sub)} if sub else set()
        if obj.kind == "super" and obj.cls is not None and obj.receiver is not None:
            for base in obj.cls.mro()[1:]:
                if name in base.methods:
                    return {heap.bound(obj.receiver, base.methods[name])}
            return {heap.library_bound(obj.receiver, name)}
        if obj.kind == "class" and obj.cls is not None:
            found: set[Obj] = set()
            method = obj.cls.method(name)
            if method is not None:
                found.add(heap.bound(obj, method) if method.classmethod else heap.function(method))
            for base in obj.cls.mro():
                found |= heap.field(heap.klass(base), name)
            found |= self.read_by_class(obj, name, node)
            if found or not (obj.cls.libraries() or name.startswith("__")):
                return found
            return {heap.library_bound(obj, name)}
        if obj.kind in ("function", "bound", "libbound"):
            if name == "__self__" and obj.receiver:
                return {obj.receiver}
            return set(heap.field(obj, name))
        return self._instance_attribute(obj, name, node)

    def _instance_attribute(self, obj: Obj, name: str, node: ast.AST) -> set[Obj]:
        heap = self.heap
        if name == "__class__" and obj.cls is not None:
            return {heap.klass(obj.cls)}
        found = set(heap.field(owner_of(obj), name))
        if obj.cls is not None:
            found |= self.method(obj, "__getattribute__", [set()], node)
            method = obj.cls.method(name)
            if method is not None and method.property:
                found |= self.invoke({heap.bound(obj, method)}, [], {}, set(), node, name)
            elif method is not None:
                found.add(heap.function(method) if method.static else heap.bound(obj, method))
            for base in obj.cls.mro():
                kept = heap.field(heap.klass(base), name)  # its own methods are bound above
                found |= {o for o in kept if o.function is None or o.function.cls is not base}
                for described in kept:  # a descriptor
                    found |= self.method(described, "__get__", [{obj}, set()], node)
            if found:
                bases = [self.effects.type(t) for t in obj.cls.libraries()]
                # Where the base's names aren't all known, what it keeps may be under this one.
                theirs = any(
                    name in (*t.holds, *t.api) or not (t.closed_base and t.api) for t in bases
                )
                return found | (heap.contents_of(obj) if theirs else heap.stored_in(obj))
            if obj.cls.method("__getattr__") is not None:
                found |= self.method(obj, "__getattr__", [set()], node)
            libraries = obj.cls.libraries()
            if any(name in self.effects.type(t).own for t in libraries):
                return found | heap.parts(obj) | heap.contents_of(obj)
            if not all(self.effects.has_no(t, name, derived=True) for t in libraries):
                found.add(heap.library_bound(obj, name))
            return found | heap.contents_of(obj)
        declared = self.effects.type(obj.type or "*")  # "*": what is known of anything
        if {name, "*"} & set(declared.scalars):
            return found
        if name not in declared.holds and self.effects.has_no(obj.type, name):
            return found  # another object of the points-to set is meant
        if name in declared.own:
            return found | heap.parts(obj)
        if name not in declared.holds:
            found.add(heap.library_bound(obj, name))
            if declared.holds:
                return found
        return found | heap.contents_of(obj)  # a wrapper's .module is what it was given

    def touch(self, place: ast.expr, reason: str) -> None:
        """Something without a known object may be mutated: what holds it counts as mutated."""
        if not self.recording:
            return
        if isinstance(place, ast.Attribute):
            holders = self.value_of(self.evaluate(place.value))
            for obj in holders:
                narrow = place.attr if obj.kind == "class" or obj.cls is not None else ""
                self.mutate({obj}, reason, attribute=narrow, certainty="assumed")
            if not holders:
                self.touch(place.value, reason)
        elif isinstance(place, ast.Subscript):
            holders = self.value_of(self.evaluate(place.value))
            self.mutate(holders, reason, certainty="assumed")
            if not holders:
                self.touch(place.value, reason)
        elif isinstance(place, ast.Name):
            owner = self.scope.owner(place.id)
            if owner is not None and owner.kind in ("module", "function"):
                self.record("touch", name=place.id, scope=owner, reason=reason, certainty="assumed")

    def value_of(self, objs: set[Obj]) -> set[Obj]:
        """Objects as data: what is read from a lump, and not called, is a part of it."""
        found = set()
        homes: set[Obj] = set()
        for obj in objs:
            receiver = obj.receiver
            if obj.kind != "libbound" or receiver is None:
                found.add(obj)
            elif receiver.type in SEQUENCES or receiver.kind == "class":
                found.add(receiver)
            elif receiver in self.heap.absorbed:
                found |= self.heap.parts(receiver)
            else:
                found.add(self.heap.part(receiver))
                homes.add(self.heap.homes(receiver)[0])
        return found.union(*map(self.heap.keyed, homes))

    def _on_Subscript(self, node: ast.Subscript) -> set[Obj]:
        objs = self.value_of(self.evaluate(node.value))
        keys = self.value_of(self.evaluate(node.slice))
        self.hashed(keys, node)
        found = self.converted(keys, node)
        for obj in list(objs):
            if self.lacks(obj, "__getitem__"):
                continue  # another object of the points-to set is meant
            if obj.kind == "alloc" and obj.cls is not None:
                found |= self.method(obj, "__getitem__", [keys], node)
                found |= self.method(obj, "__missing__", [keys], node)
                found |= self.heap.elements(obj)
            elif obj.kind == "part":
                found |= self.heap.elements(obj)
            elif obj.kind == "library":  # models.__dict__[name]
                module, _, last = obj.name.rpartition(".")
                if last == "__dict__":
                    found.add(self.heap.library(f"{module}.*"))
                elif obj.name == "sys.modules":
                    found |= self.modules_called(node.slice)
            elif obj.kind != "alloc":
                found.add(obj)
                found |= self.method(obj, "__getitem__", [keys], node)
            elif obj.type == "collections.defaultdict":
                why = f"{ast.unparse(node)} may make an entry"
                self.mutate({obj}, why)
                found |= self.index(obj, node.slice)
            elif isinstance(node.slice, ast.Slice) and obj.type in SEQUENCES:
                made = self.heap.alloc(node, obj.type, where=self.function)
                self.heap.add_contents(made, self.heap.elements(obj))
                found.add(made)
            else:
                found |= self.index(obj, node.slice)
        return found

    def modules_called(self, name: ast.expr | None) -> set[Obj]:
        """Project modules that an expression may name: any, unless it's a constant."""
        if isinstance(name, ast.Constant) and str(name.value)[:1] not in (".", ""):
            module = self.program.project.by_name(str(name.value))
            return {self.heap.module(module) if module else self.heap.library(str(name.value))}
        if isinstance(name, ast.Name) and name.id == "__name__":
            return {self.heap.module(self.function.module)}
        return {self.heap.module(module) for module in self.program.project.modules}

    def index(self, obj: Obj, key: ast.expr) -> set[Obj]:
        """What `obj[key]` may give."""
        self.heap.read.update(self.heap.homes(obj))
        if isinstance(key, ast.Constant) and isinstance(key.value, str):
            entry = self.heap.entry(obj, f"[{key.value!r}]")
            if entry is not None:
                return {entry} | self.heap.contents_of(obj)
        if isinstance(key, ast.Constant) and f"[{key.value!r}]" in self.heap.indices(obj):
            found = set(self.heap.field(obj, f"[{key.value!r}]"))
            return found | self.heap.contents_of(obj)
        return self.heap.elements(obj)

    def _on_Lambda(self, node: ast.Lambda) -> set[Obj]:
        function = self.program.functions[node]
        self.defaults(function, node.args)
        return {self.heap.function(function)}

    def defaults(self, function: Function, arguments: ast.arguments) -> None:
        """Default values: bound to their parameters, and kept by the function."""
        positional = [*arguments.posonlyargs, *arguments.args]
        with_default = positional[len(positional) - len(arguments.defaults) :]
        keywords = zip(arguments.kwonlyargs, arguments.kw_defaults)
        for kept, pairs in (
            ("__defaults__", zip(with_default, arguments.defaults)),
            ("__kwdefaults__", keywords),
        ):
            for arg, default in pairs:
                objs = self.value_of(self.evaluate(default))
                self.heap.add_variable(function.scope, arg.arg, objs, arg)
                mutable = {o for o in objs if o.kind == "alloc"}
                if mutable:  # it outlives calls: who mutates it changes the next call
                    self.heap.add_defaults(function, kept, mutable)

    def _on_FormattedValue(self, node: ast.FormattedValue) -> set[Obj]:
        self.texts(self.value_of(self.evaluate(node.value)), node)
        self.evaluate(node.format_spec)
        return set()

    def texts(self, objs: set[Obj], node: ast.AST) -> None:
        """Objects are made text of."""
        for obj in objs:
            for name in ("__format__", "__str__", "__repr__"):
                self.method(obj, name, [set()], node)

    def hashed(self, objs: set[Obj], node: ast.AST) -> None:
        """Objects are made keys of."""
        for obj in objs:
            for name in ("__hash__", "__eq__"):
                self.method(obj, name, [objs], node)

    def _on_Call(self, node: ast.Call) -> set[Obj]:
        return self.call(node)

    def _on_IfExp(self, node: ast.IfExp) -> set[Obj]:
        self.truth(node.test)
        return self.evaluate(node.body) | self.evaluate(node.orelse)

    def _on_BoolOp(self, node: ast.BoolOp) -> set[Obj]:
        return set().union(*(self.truth(value) for value in node.values))

    def _on_NamedExpr(self, node: ast.NamedExpr) -> set[Obj]:
        objs = self.value_of(self.evaluate(node.value))
        self.assign(node.target, objs)
        return objs

    def assign(self, target: ast.expr, objs: set[Obj]) -> None:
        """Store into a target (execute.py)."""
        raise NotImplementedError

    def store_attribute(
        self, receivers: set[Obj], name: str, objs: set[Obj], shown: str, node: ast.AST
    ) -> None:
        """Assign an attribute (execute.py)."""
        raise NotImplementedError

    def _on_Slice(self, node: ast.Slice) -> set[Obj]:
        return self.evaluate(node.lower) | self.evaluate(node.upper) | self.evaluate(node.step)

    def _on_Await(self, node: ast.Await) -> set[Obj]:
        found = self.evaluate(node.value)
        awaited = {held for obj in list(found) for held in self.method(obj, "__await__", [], node)}
        return found | self.iterate(awaited, node)

    def _on_Starred(self, node: ast.Starred) -> set[Obj]:
        return self.evaluate(node.value)

    def _on_BinOp(self, node: ast.BinOp) -> set[Obj]:
        left, right = self.evaluate(node.left), self.evaluate(node.right)
        if isinstance(node.op, ast.Mod):  # "%s" % x, "%s %s" % (x, y)
            given = self.value_of(right)
            self.texts(given.union(*(self.heap.elements(o) for o in given)), node)
        return self.operate(node, self.value_of(left), self.value_of(right))

    def operate(self, node: ast.AST, left: set[Obj], right: set[Obj]) -> set[Obj]:
        """The result of an arithmetic operator: a new object of the operands' kind."""
        found: set[Obj] = set()
        for obj in left | right:
            if obj.kind not in ("alloc", "part"):
                continue
            if obj.cls is not None:
                name = OPERATORS.get(type(_operator(node)), "")  # type: ignore[arg-type]
                found |= self.method(obj, f"__{name}__", [right], node)
                if obj in right:
                    found |= self.method(obj, f"__r{name}__", [left], node)
                found |= self.converted({obj}, node)
                continue
            if unknown(obj):
                found.add(obj)  # as of any call of it
                continue
            if not self._has_operator(obj.type, _operator(node)):
                continue  # another object of the points-to set is meant
            made = self.heap.alloc(node, obj.type, where=self.function, tag="operator")
            if obj.type in SEQUENCES or not obj.type:
                holding = {obj} | {o for o in left | right if self._uniform(o)}
            elif self._operator_entry(obj.type, _operator(node)):  # a library's own container
                holding = left | right
            else:
                holding = set()
            for other in holding:
                self.heap.add_contents(made, self.heap.elements(other) - {made})
            found.add(made)
        return found

    def _uniform(self, obj: Obj) -> bool:
        """Whether all that an object holds is of its own type, as what was loaded from a file."""
        return bool(obj.type) and self.effects.type(obj.type).elements == obj.type

    def takes(self, operator: ast.operator, obj: Obj, others: set[Obj]) -> bool:
        """Whether an object may be the left operand; if not, another of its set is meant."""
        if obj.kind not in ("alloc", "part"):
            return obj.kind != "function" and obj.kind != "libbound"
        name = OPERATORS.get(type(operator), "")
        if obj.cls is None:
            return not obj.type or not self.effects.has_no(obj.type, f"__{name}__")
        if any(obj.cls.method(f"__{how}{name}__") for how in ("", "i")):
            return True
        if any(o.cls is not None and o.cls.method(f"__r{name}__") for o in others):
            return True
        bases = obj.cls.libraries()
        return not all(self.effects.has_no(base, f"__{name}__", derived=True) for base in bases)

    def _operator_entry(self, type_name: str, operator: ast.AST | None) -> bool:
        """Whether the effect files describe the operator of a library's type."""
        name = OPERATORS.get(type(operator), "")  # type: ignore[arg-type]
        return any(
            f"{base}.__{name}__" in self.effects.exact for base in self.effects.mro(type_name)
        )

    def _has_operator(self, type_name: str, operator: ast.AST | None) -> bool:
        """Whether objects of the type may be an operand of `operator` (None: a comparison)."""
        if type_name in SEQUENCES:
            return isinstance(operator, _CONTAINER_OPERATORS)
        if type_name in LAZY or self.effects.is_a(type_name, "builtins.iterator"):
            return False
        if self._operator_entry(type_name, operator):
            return True
        declared = self.effects.type(type_name)
        return not (declared.closed or declared.closed_base or declared.plain)

    def _on_UnaryOp(self, node: ast.UnaryOp) -> set[Obj]:
        if isinstance(node.op, ast.Not):
            self.truth(node.operand)
            return set()
        return self.operate(node, self.evaluate(node.operand), set())

    def _on_Compare(self, node: ast.Compare) -> set[Obj]:
        objs = self.value_of(self.evaluate(node.left))
        for operator, comparator in zip(node.ops, node.comparators):
            others = self.value_of(self.evaluate(comparator))
            name = _COMPARISONS.get(type(operator), "")
            for obj in list(others):
                self.method(obj, f"__{name}__", [objs], node)
            for obj in list(objs) if name != "contains" else ():
                self.method(obj, f"__{name}__", [others], node)
            objs = objs | others
        arrays = {
            o for o in objs if o.kind in ("alloc", "part") and o.type and o.type not in SEQUENCES
        }
        return self.operate(node, arrays, set())

    def _display(self, node: ast.List | ast.Tuple | ast.Set, type_name: str) -> set[Obj]:
        made = self.heap.alloc(node, type_name, where=self.function)
        positional = True
        for index, element in enumerate(node.elts):
            objs = self.value_of(self.evaluate(element))
            if isinstance(element, ast.Starred):
                positional = False
                for obj in list(objs):
                    self.heap.add_contents(made, self.unpack(obj, element))
            elif type_name == "builtins.set":
                self.hashed(objs, node)
                self.heap.add_contents(made, objs)
            elif positional:
                self.heap.add_field(made, f"[{index}]", objs)
            else:
                self.heap.add_contents(made, objs)
        return {made}

    def _on_List(self, node: ast.List) -> set[Obj]:
        return self._display(node, "builtins.list")

    def _on_Tuple(self, node: ast.Tuple) -> set[Obj]:
        return self._display(node, "builtins.tuple")

    def _on_Set(self, node: ast.Set) -> set[Obj]:
        return self._display(node, "builtins.set")

    def _on_Dict(self, node: ast.Dict) -> set[Obj]:
        made = self.heap.alloc(node, "builtins.dict", where=self.function)
        for key, value in zip(node.keys, node.values):
            objs = self.value_of(self.evaluate(value))
            if key is None:
                for obj in list(objs):
                    self.heap.add_contents(made, self.heap.elements(obj))
                continue
            keys = self.evaluate(key)
            self.hashed(keys, node)
            if isinstance(key, ast.Constant):
                self.heap.add_field(made, f"[{key.value!r}]", objs)
            else:
                self.heap.add_contents(made, objs | self.value_of(keys))
        return {made}

    def _comprehension(self, node: ast.expr, type_name: str) -> set[Obj]:
        generators: list[ast.comprehension] = node.generators  # type: ignore[attr-defined]
        iterable = self.value_of(self.evaluate(generators[0].iter))
        first = self.iterate(iterable, node)
        outer, self.scope = self.scope, self.program.scopes[node]
        for number, generator in enumerate(generators):
            if number:
                first = self.iterate(self.value_of(self.evaluate(generator.iter)), node)
            self.assign(generator.target, first)
            for condition in generator.ifs:
                self.truth(condition)
        made = self.heap.alloc(node, type_name, where=self.function)
        if isinstance(node, ast.DictComp):
            objs = self.evaluate(node.key) | self.evaluate(node.value)
        else:
            objs = self.evaluate(node.elt)  # type: ignore[attr-defined]
        self.heap.add_contents(made, self.value_of(objs))
        if isinstance(node, ast.GeneratorExp):
            self.heap.add_field(made, VIEWED, iterable)
        self.scope = outer
        return {made}

    def _on_ListComp(self, node: ast.ListComp) -> set[Obj]:
        return self._comprehension(node, "builtins.list")

    def _on_SetComp(self, node: ast.SetComp) -> set[Obj]:
        return self._comprehension(node, "builtins.set")

    def _on_DictComp(self, node: ast.DictComp) -> set[Obj]:
        return self._comprehension(node, "builtins.dict")

    def _on_GeneratorExp(self, node: ast.GeneratorExp) -> set[Obj]:
        return self._comprehension(node, "builtins.generator")

    def _on_Yield(self, node: ast.Yield) -> set[Obj]:
        objs = self.value_of(self.evaluate(node.value))
        self.heap.add_yielded(self.function, objs)
        return set(self.heap.variable(self.function.scope, "yield"))

    def _on_YieldFrom(self, node: ast.YieldFrom) -> set[Obj]:
        objs = self.iterate(self.value_of(self.evaluate(node.value)), node)
        self.heap.add_yielded(self.function, objs)
        return set()
