"""Statements in the abstract, and the fixed point over all functions that can run."""

from __future__ import annotations

import ast
import sys
from dataclasses import dataclass, field

from florc.analysis.calls import Calls
from florc.analysis.evaluate import OPERATORS
from florc.analysis.heap import COARSE, FINE, SEQUENCES, Heap, TooMuchError, unknown
from florc.analysis.objects import Access, CallEdge, Function, LibraryCall, Obj
from florc.analysis.program import Program, resolve_relative
from florc.effects.model import Effects
from florc.frontend.scopes import Scope

MAX_STEPS = 200
"""Executions of a statement, on average, before the analysis gives up."""
MAX_WORK = {FINE: 1_000_000, COARSE: 4_000_000}
"""Objects that are looked at (sixteen of those that sets are made of count as one) before the
analysis gives up, by the grain of the heap."""
GRAINS = (FINE, COARSE)
"""What is tried, in order."""
_COMPOUND = (
    *(ast.For, ast.AsyncFor, ast.While, ast.If, ast.With, ast.AsyncWith, ast.Try, ast.Match),
    *(ast.ClassDef, *((ast.TryStar,) if hasattr(ast, "TryStar") else ())),
)


@dataclass(frozen=True)
class PointsTo:
    """The solved heap with every statement's direct effects and calls."""

    heap: Heap
    accesses: tuple[Access, ...]
    edges: tuple[CallEdge, ...]
    functions: tuple[Function, ...]  # that can run
    complete: bool  # False: the fixed point was cut off, nothing may be trusted
    library_calls: tuple[LibraryCall, ...] = ()
    iterated: dict[ast.stmt, frozenset[Obj]] = field(default_factory=dict)  # by `for` statements


class Executor(Calls):
    """Executes statements; the result is monotone, so repetition reaches a fixed point."""

    def __init__(self, program: Program, effects: Effects, grain: int = FINE) -> None:
        super().__init__(program, effects, grain)
        self.owner: dict[ast.stmt, Function] = {}  # of the statements executed so far
        self.steps = 0
        self.headers: dict[ast.stmt, frozenset[Obj]] = {}  # what `for` statements iterate over
        self._lambdas: dict[Function, ast.stmt] = {}
        self._statements = {
            getattr(ast, name[4:]): getattr(self, name)
            for name in dir(self)
            if name.startswith("_do_") and hasattr(ast, name[4:])
        }

    def run(self, function: Function) -> None:
        """Execute those statements of a function's body that are new or stale."""
        self.function, self.scope = function, function.scope
        if isinstance(function.node, ast.Lambda):
            self._step(self._lambda_statement(function))
        else:
            self.block(function.node.body)

    def _lambda_statement(self, function: Function) -> ast.stmt:
        """A lambda's body as a statement."""
        if function not in self._lambdas:
            statement = ast.Return(function.node.body)  # type: ignore[arg-type]
            self._lambdas[function] = ast.copy_location(statement, function.node)
        return self._lambdas[function]

    def block(self, body: list[ast.stmt]) -> None:
        """Execute statements in order: the headers of compound ones, then their blocks."""
        for statement in body:
            self._step(statement)
            outer = self.scope
            if isinstance(statement, ast.ClassDef):
                self.scope = self.program.classes[statement].scope
            elif isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
                continue
            for inner in self._running(statement):
                self.block(inner)
            self.scope = outer

    def _running(self, statement: ast.stmt) -> list[list[ast.stmt]]:
        """Blocks of a compound statement that can run: a module knows whether it is the script."""
        blocks = _blocks(statement)
        if isinstance(statement, ast.If):
            script = self.function.module is self.program.project.script
            asked = asks_for_main(statement.test, self.program.module_scope(self.function.module))
            if asked is not None:
                return blocks[:1] if asked is script else blocks[1:]
        return blocks

    def _step(self, statement: ast.stmt) -> None:
        """Execute one statement (of a compound one: the header) unless it can bring nothing new."""
        if statement in self.owner and statement not in self.heap.stale and not self.recording:
            return
        self.owner[statement] = self.function
        self.statement = statement
        self.steps += 1
        self.heap.begin(statement)
        self.bottom.pop(statement, None)
        self.handed.clear()
        self.drawn_from.clear()
        handler = self._statements.get(type(statement))
        if handler is not None:
            handler(statement)
        else:
            for child in ast.iter_child_nodes(statement):
                if isinstance(child, ast.expr):
                    self.evaluate(child)
        self.heap.end(statement)
        if self.steps > MAX_STEPS * len(self.owner):
            raise TooMuchError

    # -- bindings -------------------------------------------------------------------------------
    def assign(self, target: ast.expr, objs: set[Obj]) -> None:
        """Store `objs` into a target."""
        if isinstance(target, ast.Name):
            self._bind(target.id, objs, target)
        elif isinstance(target, ast.Attribute):
            self._assign_attribute(target, objs)
        elif isinstance(target, ast.Subscript):
            self._assign_item(target, objs)
        elif isinstance(target, ast.Starred):
            made = self.heap.alloc(target, "builtins.list", where=self.function)
            self.heap.add_contents(made, objs)
            self.assign(target.value, {made})
        elif isinstance(target, (ast.Tuple, ast.List)):
            starred = any(isinstance(e, ast.Starred) for e in target.elts)
            for index, element in enumerate(target.elts):
                pieces: set[Obj] = set()
                for obj in list(objs):
                    key = f"[{index}]"
                    self.heap.read.update(self.heap.homes(obj))
                    if not starred and key in self.heap.indices(obj):
                        pieces |= self.heap.field(obj, key) | self.heap.contents_of(obj)
                    else:
                        pieces |= self.unpack(obj, target)
                self.assign(element, pieces)

    def _bind(self, name: str, objs: set[Obj], site: ast.AST) -> None:
        owner = self.scope.owner(name) or self.scope
        if owner.kind == "class":
            self.heap.add_field(self.heap.klass(self.program.classes[owner.node]), name, objs)
            return
        self.heap.add_variable(owner, name, objs, site)
        if owner is not self.scope.function() and owner.kind != "comprehension":
            self.record("rebind", name=name, scope=owner, reason=f"assigned in {self.function}")

    def _assign_attribute(self, target: ast.Attribute, objs: set[Obj]) -> None:
        receivers = self.evaluate(target.value)
        shown = ast.unparse(target)
        if not receivers:
            self.touch(target.value, f"{shown} is assigned")
        self.store_attribute(receivers, target.attr, objs, shown, target)

    def store_attribute(
        self, receivers: set[Obj], name: str, objs: set[Obj], shown: str, node: ast.AST
    ) -> None:
        """Assign attribute `name` of any of `receivers`."""
        for obj in list(receivers):
            if not self._takes(obj, name):
                continue  # another object of the points-to set is meant
            if obj.kind == "module" and obj.module is not None:
                scope = self.program.module_scope(obj.module)
                self.heap.add_variable(scope, name, objs)
                self.record("rebind", name=name, scope=scope, reason=f"{shown} is assigned")
            elif obj.kind in ("libbound", "part") and obj.receiver is not None:  # of a lump
                if obj.kind == "part":
                    self.heap.add_field(obj, name, objs)
                else:
                    self.heap.add_contents(obj.receiver, objs)
                self.mutate({obj.receiver}, f"{shown} is assigned", deep=True)
            elif obj.kind in ("alloc", "class", "function", "super"):
                receiver = obj.receiver if obj.kind == "super" and obj.receiver else obj
                setter = receiver.cls.method(f"{name}.setter") if receiver.cls else None
                if setter is not None:
                    self.invoke({self.heap.bound(receiver, setter)}, [objs], {}, set(), node, shown)
                    continue
                self.method(receiver, "__setattr__", [set(), objs], node)
                for base in receiver.cls.mro() if receiver.cls else ():
                    for described in self.heap.field(self.heap.klass(base), name):
                        self.method(described, "__set__", [{receiver}, objs], node)
                self.heap.add_field(receiver, name, objs)
                whole = receiver.kind == "alloc" and receiver.cls is None
                if obj.kind == "function":
                    self.record("mutate", obj, attribute=name, reason=f"{shown} is assigned")
                else:
                    self.mutate(
                        {receiver},
                        f"{shown} is assigned",
                        attribute="" if whole else name,
                    )

    def _takes(self, obj: Obj, name: str) -> bool:
        """Whether attribute `name` of an object can be assigned: not of a list, nor of an array."""
        declared = self.effects.types.get(obj.type) if obj.kind in ("alloc", "part") else None
        if declared is None or obj.cls is not None or "__setattr__" not in declared.lacks:
            return True
        return name in declared.api

    def _assign_item(self, target: ast.Subscript, objs: set[Obj]) -> None:
        receivers = self.value_of(self.evaluate(target.value))
        keys = self.value_of(self.evaluate(target.slice))
        self.hashed(keys, target)
        self.converted(keys, target)
        shown = ast.unparse(target)
        if not receivers:
            self.touch(target.value, f"{shown} is assigned")
        for obj in list(receivers):
            if self.lacks(obj, "__setitem__"):
                continue  # another object of the points-to set is meant
            if obj.kind == "alloc" and obj.cls is not None:
                self.method(obj, "__setitem__", [set(), objs], target)
                self.heap.add_contents(obj, objs)
                if obj.cls.method("__setitem__") is None:
                    self.mutate({obj}, f"{shown} is assigned")
                continue
            if isinstance(target.slice, ast.Constant) and obj.type in (
                "builtins.dict",
                "builtins.list",
            ):
                self.heap.add_field(obj, f"[{target.slice.value!r}]", objs)
            elif isinstance(target.slice, ast.Slice) and obj.type in SEQUENCES:
                for held in list(objs):
                    self.heap.add_contents(obj, self.unpack(held, target))
            elif self.effects.type(obj.type).elements != "torch.Tensor":  # a tensor copies values
                self.heap.add_contents(obj, objs)
            self.mutate({obj}, f"{shown} is assigned")

    # -- statements -----------------------------------------------------------------------------
    def _do_Assign(self, node: ast.Assign) -> None:
        objs = self._stored(node.value)
        for target in node.targets:
            self.assign(target, objs)

    def _stored(self, value: ast.expr | None) -> set[Obj]:
        """A stored bound method stays one (it can be called later); a lump's part is the lump."""
        objs = self.evaluate(value)
        return {o for o in objs if not self._only_data(o)} | self.value_of(objs)

    def _only_data(self, obj: Obj) -> bool:
        """An attribute of loaded data, which is data too."""
        receiver = obj.receiver
        return (
            obj.kind == "libbound"
            and receiver is not None
            and self._uniform(receiver)
            and self.effects.method(receiver.type, obj.name) is None
        )

    def _do_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.assign(node.target, self._stored(node.value))

    def _do_AugAssign(self, node: ast.AugAssign) -> None:
        value = self.value_of(self.evaluate(node.value))
        old = self.value_of(self.evaluate(_load(node.target)))
        old = {obj for obj in old if self.takes(node.op, obj, value)}
        shown = ast.unparse(node.target)
        for obj in old:
            if obj.cls is not None:
                name = OPERATORS.get(type(node.op), "")
                self.method(obj, f"__i{name}__", [value], node)
        self.mutate({o for o in old if o.kind in ("alloc", "part")}, f"{shown} is updated in place")
        for obj in list(old):
            self._updated(obj, value, node, shown)
            holder = unknown(obj) or any(name in SEQUENCES for name in obj.libraries())
            if holder and obj.kind == "alloc" and isinstance(node.op, (ast.Add, ast.BitOr)):
                for other in list(value):
                    self.heap.add_contents(obj, self.unpack(other, node) - {other})
        self.assign(node.target, old | self.operate(node, old, value))

    def _updated(self, obj: Obj, value: set[Obj], node: ast.AugAssign, shown: str) -> None:
        """`obj += value` of a library's own container keeps what its entry says."""
        name = OPERATORS.get(type(node.op), "")
        for type_name in obj.libraries() if obj.kind == "alloc" else ():
            effect = self.effects.method(type_name, f"__i{name}__") if type_name else None
            if effect is not None and effect.keeps and type_name not in SEQUENCES:
                self.apply(effect, {obj}, [value], {}, set(), node, shown)

    def _do_Return(self, node: ast.Return) -> None:
        objs = self._stored(node.value)
        self.heap.add_returned(self.function, objs)

    def _do_For(self, node: ast.For | ast.AsyncFor) -> None:
        iterable = self.value_of(self.evaluate(node.iter))
        self.headers[node] = frozenset(iterable)
        self.assign(node.target, self.iterate(iterable, node))

    _do_AsyncFor = _do_For

    def _do_While(self, node: ast.While | ast.If) -> None:
        self.truth(node.test)

    _do_If = _do_While

    def _do_Assert(self, node: ast.Assert) -> None:
        self.truth(node.test)
        self.evaluate(node.msg)

    def _do_With(self, node: ast.With | ast.AsyncWith) -> None:
        for item in node.items:
            objs = self.value_of(self.evaluate(item.context_expr))
            entered: set[Obj] = set()
            for obj in list(objs):
                if obj.kind == "alloc" and obj.function is not None and obj.function.generator:
                    self.edge(obj.function)  # @contextmanager
                    entered |= self.heap.yielded(obj.function)
                elif obj.cls is not None:
                    how = "a" if isinstance(node, ast.AsyncWith) else ""
                    entered |= self.method(obj, f"__{how}enter__", [], node)
                    self.method(obj, f"__{how}exit__", [set(), set(), set()], node)
                else:
                    entered.add(obj)
                    entered |= self.heap.elements(obj)
            if item.optional_vars is not None:
                self.assign(item.optional_vars, entered)

    _do_AsyncWith = _do_With

    def _do_Try(self, node: ast.Try) -> None:
        for handler in node.handlers:
            self.evaluate(handler.type)
            if handler.name:
                raised = self.heap.variable(self._everywhere, "raise")
                self._bind(handler.name, set(raised), handler)

    def _do_Raise(self, node: ast.Raise) -> None:
        """Whatever is raised may be what any handler catches."""
        objs = self.value_of(self.evaluate(node.exc)) | self.evaluate(node.cause)
        for obj in list(objs):
            if obj.kind == "class":
                objs |= self.invoke({obj}, [], {}, set(), node, "raise")
        self.heap.add_variable(self._everywhere, "raise", {o for o in objs if o.kind == "alloc"})

    @property
    def _everywhere(self) -> Scope:
        """The scope of what isn't a name of the program; no name is a keyword."""
        return self.program.module_scope(self.program.project.script)

    _do_TryStar = _do_Try

    def _do_Match(self, node: ast.Match) -> None:
        objs = self.value_of(self.evaluate(node.subject))
        for case in node.cases:
            self._match(case.pattern, objs)
            self.truth(case.guard)

    def _match(self, pattern: ast.pattern, objs: set[Obj]) -> None:
        """Bind what a pattern captures of `objs`."""
        if isinstance(pattern, (ast.MatchSequence, ast.MatchMapping)):
            held = {e for obj in list(objs) for e in self.unpack(obj, pattern)}
            for obj in list(objs):
                self.method(obj, "__len__", [], pattern)
                for name in ("__getitem__", "get", "keys", "__contains__"):
                    held |= self.method(obj, name, [set(), set()], pattern)
            for inner in pattern.patterns:
                self._match(inner, held)
            if isinstance(pattern, ast.MatchMapping) and pattern.rest is not None:
                rest = self.heap.alloc(pattern, "builtins.dict", where=self.function)
                self.heap.add_contents(rest, held)
                self._bind(pattern.rest, {rest}, pattern)
        elif isinstance(pattern, ast.MatchStar) and pattern.name is not None:
            rest = self.heap.alloc(pattern, "builtins.list", where=self.function)
            self.heap.add_contents(rest, objs)
            self._bind(pattern.name, {rest}, pattern)
        elif isinstance(pattern, ast.MatchClass):
            for cls in self.evaluate(pattern.cls):
                self.method(cls, "__instancecheck__", [objs], pattern)
            fields = {o for obj in objs for held in self.heap.fields_of(obj).values() for o in held}
            for inner in pattern.patterns:  # by __match_args__; or str(x): the subject itself
                self._match(inner, objs | fields)
            for name, inner in zip(pattern.kwd_attrs, pattern.kwd_patterns):
                self._match(inner, self._attributes_stored(objs, name, pattern))
        elif isinstance(pattern, ast.MatchOr):
            for inner in pattern.patterns:
                self._match(inner, objs)
        elif isinstance(pattern, ast.MatchAs):
            if pattern.pattern is not None:
                self._match(pattern.pattern, objs)
            if pattern.name is not None:
                self._bind(pattern.name, objs, pattern)
        elif isinstance(pattern, ast.MatchValue):
            others = self.value_of(self.evaluate(pattern.value))
            for obj in objs | others:
                self.method(obj, "__eq__", [objs | others], pattern)

    def _attributes_stored(self, objs: set[Obj], name: str, node: ast.AST) -> set[Obj]:
        found = self.attribute(objs, name, node)
        return found | self.value_of(found)

    def _do_Delete(self, node: ast.Delete) -> None:
        for target in node.targets:
            if isinstance(target, ast.Name):
                self._bind(target.id, set(), target)
            elif isinstance(target, (ast.Attribute, ast.Subscript)):
                objs = self.value_of(self.evaluate(target.value))
                if isinstance(target, ast.Subscript):
                    self.evaluate(target.slice)
                attribute = target.attr if isinstance(target, ast.Attribute) else ""
                for obj in list(objs) if isinstance(target, ast.Subscript) else ():
                    self.method(obj, "__delitem__", [set()], target)
                for obj in list(objs) if attribute else ():
                    self.method(obj, "__delattr__", [set()], target)
                    deleter = obj.cls.method(f"{attribute}.deleter") if obj.cls else None
                    if deleter is not None:
                        self.invoke({self.heap.bound(obj, deleter)}, [], {}, set(), target, "del")
                self.mutate(objs, f"del {ast.unparse(target)}", attribute=attribute)

    def _do_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        function = self.program.functions[node]
        self.defaults(function, node.args)
        made: set[Obj] = {self.heap.function(function)}
        for decorator in reversed(node.decorator_list):
            made |= self._decorated(decorator, made)
        self._bind(node.name, made, node)

    def _decorated(self, decorator: ast.expr, made: set[Obj]) -> set[Obj]:
        """What a decorator of the project makes of a function or class."""
        callee = self.evaluate(decorator)
        projects = {o for o in callee if o.kind in ("function", "class", "bound")}
        projects |= {o for o in callee if o.kind == "alloc" and o.cls is not None}
        if not projects:
            return set()
        return self.invoke(projects, [set(made)], {}, set(), decorator, "decorator")

    _do_AsyncFunctionDef = _do_FunctionDef

    def _do_ClassDef(self, node: ast.ClassDef) -> None:
        cls = self.program.classes[node]
        for base in node.bases:
            plain = base.value if isinstance(base, ast.Subscript) else base  # Generic[T]
            for obj in self.evaluate(plain):
                if obj.kind == "class" and obj.cls is not None and obj.cls is not cls:
                    if obj.cls not in cls.bases:
                        cls.bases.append(obj.cls)
                        self.heap.stale |= self.owner.keys()  # anything may look it up
                elif obj.kind == "library" and obj.name not in cls.library_bases:
                    if obj.name != "builtins.object":
                        cls.library_bases.append(obj.name)
                        self.heap.stale |= self.owner.keys()
        for keyword in node.keywords:
            for obj in self.evaluate(keyword.value) if keyword.arg == "metaclass" else ():
                if obj.kind == "class" and obj.cls is not None:
                    if obj.cls not in cls.metaclasses:
                        cls.metaclasses.append(obj.cls)
                        self.heap.stale |= self.owner.keys()
        made = {self.heap.klass(cls)} | self.class_made(cls, node)
        for decorator in reversed(node.decorator_list):
            made |= self._decorated(decorator, made)
        self._bind(node.name, made, node)

    # -- imports --------------------------------------------------------------------------------
    def _import_module(self, name: str) -> Obj:
        module = self.program.project.by_name(name)
        if module is None:
            return self.heap.library(name)
        parts = name.split(".")
        for end in range(1, len(parts) + 1):
            loaded = self.program.project.by_name(".".join(parts[:end]))
            if loaded is not None:
                self.edge(self.program.bodies[loaded.name])
        return self.heap.module(module)

    def _do_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            parts = alias.name.split(".")
            self.imported.update(".".join(parts[:end]) for end in range(1, len(parts) + 1))
            module = self._import_module(alias.name)
            if alias.asname:
                self._bind(alias.asname, {module}, alias)
            else:
                top = alias.name.split(".")[0]
                self._bind(top, {self._import_module(top)}, alias)

    def _do_ImportFrom(self, node: ast.ImportFrom) -> None:
        base = resolve_relative(node, self.function.module.package)
        if base == "__future__":
            return  # features, not objects that anything is done with
        module = self._import_module(base)
        for alias in node.names:
            if alias.name == "*":
                self._star(module, alias)
                continue
            sub = self.program.project.by_name(f"{base}.{alias.name}" if base else alias.name)
            if sub is not None:
                objs = {self._import_module(sub.name)}
            else:
                objs = self._attribute_of(module, alias.name, node)
            self._bind(alias.asname or alias.name, objs, alias)

    def _star(self, module: Obj, site: ast.AST) -> None:
        if module.kind == "library":
            libraries = self.star_libraries.setdefault(self.scope.module, [])
            if module.name not in libraries:
                libraries.append(module.name)
                self.heap.stale |= self.owner.keys()
        elif module.module is not None:
            source = self.program.module_scope(module.module)
            for name in source.names:
                if not name.startswith("_"):
                    self._bind(name, self.heap.variable(source, name), site)


def _place(node: ast.AST | None) -> tuple[int, int]:
    return getattr(node, "lineno", 0), getattr(node, "col_offset", 0)


def _order(access: Access) -> tuple[object, ...]:
    """Source order: points-to sets have none of their own, and reports must be stable."""
    obj = access.obj
    site = obj.site if obj is not None else None
    return (
        access.function.module.rel,
        _place(access.statement),
        access.kind,
        access.name,
        repr(obj),
        _place(site),
        access.attribute,
        access.deep,
        access.certainty,
        access.reason,
    )


def _call_order(call: LibraryCall) -> tuple[object, ...]:
    return call.function.module.rel, _place(call.node), call.name


def _load(target: ast.expr) -> ast.expr:
    """The target as an expression that is read."""
    return target


def asks_for_main(test: ast.expr, scope: Scope) -> bool | None:
    """True for ``__name__ == "__main__"``, False for ``!=``, None for any other test."""
    if not isinstance(test, ast.Compare) or len(test.ops) != 1 or "__name__" in scope.names:
        return None
    sides = [test.left, test.comparators[0]]
    name = any(isinstance(side, ast.Name) and side.id == "__name__" for side in sides)
    main = any(isinstance(side, ast.Constant) and side.value == "__main__" for side in sides)
    if not (name and main) or not isinstance(test.ops[0], (ast.Eq, ast.NotEq)):
        return None
    return isinstance(test.ops[0], ast.Eq)


def _blocks(statement: ast.stmt) -> list[list[ast.stmt]]:
    """Blocks of a compound statement, in order."""
    if not isinstance(statement, _COMPOUND):
        return []
    found = [getattr(statement, "body", [])]
    found += [part.body for name in ("handlers", "cases") for part in getattr(statement, name, [])]
    return found + [getattr(statement, name, []) for name in ("orelse", "finalbody")]


def points_to(program: Program, effects: Effects) -> PointsTo:
    """Solve the heap for all code that the script can reach.

    Executes statements abstractly until nothing that any of them has looked up grows, then all of
    them once more to record effects.  `complete` is False if the work was cut off: the result is
    then a coarse one, in which unknown calls call nothing, and good only for finding loops; for
    a program of several modules it is empty.
    """
    for grain in GRAINS:
        executor, complete = _solve(program, effects, grain, coarse=False)
        if complete:
            break
    if not complete and len(program.project.modules) > 1:
        return PointsTo(executor.heap, (), (), (), False, ())
    if not complete:
        executor, _ = _solve(program, effects, COARSE, coarse=True)
    executor.recording, executor.steps = True, 0
    executor.heap.most = 2 * MAX_WORK[executor.heap.grain]
    try:
        for function in list(executor.active):
            executor.run(function)
    except (TooMuchError, RecursionError):
        complete = False
    executor.heap.settled, executor.heap.most = True, sys.maxsize
    return PointsTo(
        executor.heap,
        tuple(sorted(executor.accesses, key=_order)),
        tuple(sorted(executor.edges, key=lambda e: (*_place(e.statement), repr(e.callee)))),
        tuple(executor.active),
        complete,
        tuple(sorted(executor.library_calls.values(), key=_call_order)),
        executor.headers,
    )


def _solve(
    program: Program, effects: Effects, grain: int, *, coarse: bool
) -> tuple[Executor, bool]:
    """An executor whose heap has settled, or False if that takes too long."""
    executor = Executor(program, effects, grain)
    executor.coarse, executor.heap.most = coarse, MAX_WORK[grain]
    start = program.bodies[program.project.script.name]
    executor.active[start] = None
    try:
        _settle(executor)
        while _assume(executor):
            _settle(executor)
    except (TooMuchError, RecursionError):
        return executor, False
    return executor, True


def _settle(executor: Executor) -> None:
    """Execute until no statement is stale.  Raises TooMuchError if that takes too long."""
    heap, entered = executor.heap, 0
    while True:
        functions = list(executor.active)
        new = functions[entered:]
        entered = len(functions)
        waiting = {executor.owner[s] for s in heap.stale}
        todo = [f for f in functions if f in waiting or f in new] if waiting else new
        if not todo:
            return
        for function in todo:
            executor.run(function)


def _assume(executor: Executor) -> bool:
    """Take calls whose callee has no value for calls of something from outside; False: no more.

    Only now may that be assumed: emptiness that would have passed looks the same.  Methods of
    numbers and strings first, and then the calls of one statement at a time, for their results
    may be what the callees of others come from.
    """
    functions = {function: number for number, function in enumerate(executor.active)}
    waiting = [
        (functions[executor.owner[s]], s.lineno, s)
        for s, calls in executor.bottom.items()
        if not calls.keys() <= executor.unresolved
    ]
    if not waiting:
        return False
    harmless = [
        (s, call)
        for _, _, s in waiting
        for call, known in executor.bottom[s].items()
        if known and call not in executor.unresolved
    ]
    if not harmless:
        first = min(waiting, key=lambda item: item[:2])[2]
        harmless = [(first, call) for call in executor.bottom[first]]
    for statement, call in harmless:
        executor.unresolved.add(call)
        executor.heap.stale.add(statement)
    return True
