"""Mutants: effect entries and transfer functions made wrong, and the cases that should tell.

A mutant is applied in a process of its own: by an edit of the loaded effects, or by a patch.
"""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from florc import driver
from florc.analysis import (
    bindings,
    calls,
    captures,
    cfg,
    checkpoint_set,
    evaluate,
    execute,
    gradients,
    heap,
    iterables,
    iterators,
    judge,
    liveness,
    loops,
    objects,
    reaching,
    recompute,
)
from florc.analysis.occurrences import Occurrence
from florc.effects import model
from florc.effects.model import load_effects


@dataclass(frozen=True)
class Mutant:
    """`apply` makes the analysis wrong; `hints` are cases that should fail then."""

    name: str
    apply: Callable[[], None]
    hints: tuple[str, ...]


# -- effect entries -----------------------------------------------------------------------------


def entry(name: str, hint: str | tuple[str, ...], **changes: Any) -> Mutant:
    """An effect entry (or all entries that a pattern covers) with other fields."""

    def apply() -> None:
        effects = load_effects(())
        found = effects.exact.get(name) or effects.call(name)
        assert found is not None, name
        effects.exact[name] = dataclasses.replace(found, **changes)
        assert effects.exact[name] != found, f"{name} has these fields already"
        effects._memo.clear()

    shown = ", ".join(f"{field} = {value!r}" for field, value in changes.items())
    return Mutant(f"{name}: {shown}", apply, (hint,) if isinstance(hint, str) else hint)


def pure(name: str, hint: str) -> Mutant:
    """A call that is said to change nothing."""
    return entry(name, hint, mutates=())


def library_type(name: str, hint: str, **changes: Any) -> Mutant:
    """A declared type with other fields."""

    def apply() -> None:
        effects = load_effects(())
        effects.types[name] = dataclasses.replace(effects.types[name], **changes)
        effects._merged.clear()

    return Mutant(f"[types] {name}: {changes}", apply, (hint,))


# -- transfer functions -------------------------------------------------------------------------


def patch(owner: Any, name: str, make: Callable[[Any], Any]) -> Callable[[], None]:
    """Replace an attribute by what `make` makes of it."""

    def apply() -> None:
        setattr(owner, name, make(getattr(owner, name)))

    return apply


def ignoring(name: str, words: Callable[[str], bool], *hints: str) -> Mutant:
    """Mutations are not noted if their reason fits."""

    def make(original: Any) -> Any:
        def mutate(self: Any, objs: Any, reason: str, **details: Any) -> None:
            if not words(reason):
                original(self, objs, reason, **details)

        return mutate

    return Mutant(name, patch(evaluate.State, "mutate", make), hints)


def dropping(name: str, refuse: Callable[[str, dict[str, Any]], bool], *hints: str) -> Mutant:
    """Effects are not recorded if kind and details fit."""

    def make(original: Any) -> Any:
        def record(self: Any, kind: str, obj: Any = None, **details: Any) -> None:
            if not refuse(kind, details):
                original(self, kind, obj, **details)

        return record

    return Mutant(name, patch(evaluate.State, "record", make), hints)


def special(method: str, *hints: str) -> Mutant:
    """A special method is never called."""

    def make(original: Any) -> Any:
        def call(self: Any, obj: Any, name: str, args: Any, node: Any) -> Any:
            return set() if name == method else original(self, obj, name, args, node)

        return call

    return Mutant(f"{method} is not called", patch(evaluate.Expressions, "method", make), hints)


def returning(name: str, owner: Any, attribute: str, result: Any, *hints: str) -> Mutant:
    """A function that always returns the same."""
    return Mutant(name, patch(owner, attribute, lambda _: lambda *a, **k: result()), hints)


def without_edges(name: str, wrong: Callable[[Any, Any], bool], *hints: str) -> Mutant:
    """Control-flow graphs without the edges that fit."""

    def make(original: Any) -> Any:
        def graph(*args: Any, **kwargs: Any) -> Any:
            made = original(*args, **kwargs)
            for node in made.nodes:
                node.successors[:] = [s for s in node.successors if not wrong(node, s)]
            return made

        return graph

    def apply() -> None:
        for module in (driver, gradients):
            patch(module, "control_flow_graph", make)()

    return Mutant(name, apply, hints)


def mentions(
    name: str, change: Callable[[Any, Occurrence], Occurrence | None], *hints: str
) -> Mutant:
    """What a node reads and binds, as every analysis sees it, with a change of each mention."""

    def make(original: Any) -> Any:
        def found(node: Any, *rest: Any) -> Any:
            changed = (change(node, occurrence) for occurrence in original(node, *rest))
            return tuple(occurrence for occurrence in changed if occurrence is not None)

        return found

    def apply() -> None:
        for module in (liveness, reaching):
            patch(module, "occurrences", make)()

    return Mutant(name, apply, hints)


def _leaves(node: Any, successor: Any) -> bool:
    """An edge from a loop's head to what is behind the loop."""
    if node.role != "head" or node.statement is None:
        return False
    if successor.role == "bind":
        return False
    first = node.statement.body[0]
    return successor.statement is not first


def _no_bind(node: Any, found: Occurrence) -> Occurrence | None:
    return None if node.role == "bind" and found.kind == "def" else found


def _no_captures(node: Any, found: Occurrence) -> Occurrence | None:
    case = cfg.case_of(node.statement) is not None
    return None if case and found.kind == "def" else found


def _no_augmented(node: Any, found: Occurrence) -> Occurrence | None:
    augmented = isinstance(node.statement, ast.AugAssign) and found.site is node.statement.target
    return None if augmented and found.kind == "use" else found


def _sure(node: Any, found: Occurrence) -> Occurrence:
    """What only some evaluations define is taken to be defined."""
    return dataclasses.replace(found, certain=True) if found.kind == "def" else found


def _own_methods(original: Any) -> Any:
    return lambda self, name: self.methods.get(name)


def _base_first(original: Any) -> Any:
    def method(self: Any, name: str) -> Any:
        order = list(reversed(self.mro()))
        return next((c.methods[name] for c in order if name in c.methods), None)

    return method


def _rebinds(original: Any) -> Any:
    """Without names bound by a walrus."""

    def rebound(program: Any, site: Any, graph: Any) -> Any:
        walrus = {
            n.target.id
            for s in site.statements
            for n in ast.walk(s)
            if isinstance(n, ast.NamedExpr)
        }
        found = original(program, site, graph)
        return {name: line for name, line in found.items() if name not in walrus}

    return rebound


def _undeleted(original: Any) -> Any:
    def rebound(program: Any, site: Any, graph: Any) -> Any:
        deleted = {
            t.id
            for s in site.statements
            if isinstance(s, ast.Delete)
            for t in s.targets
            if isinstance(t, ast.Name)
        }
        found = original(program, site, graph)
        return {name: line for name, line in found.items() if name not in deleted}

    return rebound


def _unbound_parameters(only: str) -> Callable[[Any], Any]:
    def make(original: Any) -> Any:
        def project(self: Any, function: Any, args: Any, kwargs: Any, rest: Any, node: Any) -> Any:
            if only == "positional":
                first = 1 if function.cls is not None else 0
                args = [a if n < first else set() for n, a in enumerate(args)]
            if only == "keyword":
                kwargs = {name: set() for name in kwargs}
            return original(self, function, args, kwargs, rest, node)

        return project

    return make


def _no_generator_edges(original: Any) -> Any:
    def edge(self: Any, callee: Any, at: Any = None) -> None:
        if not callee.generator:
            original(self, callee, at)

    return edge


def _first_level(original: Any) -> Any:
    """Only the direct callees of a statement count."""

    def run_by(self: Any, statements: Iterable[ast.stmt]) -> frozenset[Any]:
        return frozenset().union(*(self.callees.get(s, set()) for s in statements))

    return run_by


def _shallow(original: Any) -> Any:
    def mutate(self: Any, objs: Any, reason: str, **details: Any) -> None:
        original(self, objs, reason, **{**details, "deep": False})

    return mutate


def _last_binding(original: Any) -> Any:
    """A use sees one of the bindings that reach it."""

    def find(self: Any, scope: Any) -> Any:
        found = original(self, scope)
        last = {
            use: frozenset({max(sites, key=lambda site: site.lineno)})
            for use, sites in found.uses.items()
        }
        return dataclasses.replace(found, uses=last)

    return find


def _no_starred(original: Any) -> Any:
    def assign(self: Any, target: Any, objs: Any) -> None:
        if not isinstance(target, ast.Starred):
            original(self, target, objs)

    return assign


def _no_tuples(original: Any) -> Any:
    def assign(self: Any, target: Any, objs: Any) -> None:
        original(self, target, set() if isinstance(target, (ast.Tuple, ast.List)) else objs)

    return assign


def _no_index_fields(original: Any) -> Any:
    def add_field(self: Any, obj: Any, name: str, objs: Any) -> None:
        if not name.startswith("["):
            original(self, obj, name, objs)

    return add_field


def _no_attributes(original: Any) -> Any:
    def add_field(self: Any, obj: Any, name: str, objs: Any) -> None:
        original(self, obj, name, objs if name.startswith("[") else set())

    return add_field


def _no_operands(original: Any) -> Any:
    def operate(self: Any, node: Any, left: Any, right: Any) -> Any:
        self.heap.add_contents = lambda *a, **k: None
        try:
            return original(self, node, left, right)
        finally:
            del self.heap.add_contents

    return operate


NONE: Callable[[], set[Any]] = set

MUTANTS = (
    # effect entries: containers
    pure("builtins.list.append", "list.append"),
    pure("builtins.list.extend", "list.extend"),
    pure("builtins.list.insert", "list.insert"),
    pure("builtins.list.pop", "list.pop"),
    pure("builtins.list.remove", "list.remove"),
    pure("builtins.list.sort", "list.sort"),
    pure("builtins.list.reverse", "list.reverse"),
    pure("builtins.list.clear", "list.clear"),
    pure("builtins.dict.update", "dict.update"),
    pure("builtins.dict.setdefault", "dict.setdefault"),
    pure("builtins.dict.pop", "dict.pop"),
    pure("builtins.set.add", "set.add"),
    pure("builtins.set.discard", "set.discard"),
    pure("collections.deque.appendleft", "deque.appendleft"),
    pure("collections.deque.rotate", "deque.rotate"),
    pure("heapq.heappush", "heappush"),
    pure("builtins.setattr", "setattr of a computed name"),
    entry("builtins.list.append", "appended callable", keeps=()),
    entry("builtins.dict.get", "dict.get", returns=("none",)),
    entry("builtins.dict.values", "dict.values", returns=("new",)),
    entry("builtins.dict.items", "dict.items", returns=("new",)),
    entry("builtins.list", "list of list", keeps=()),
    entry("builtins.sorted", "sorted", keeps=()),
    entry("builtins.min", "min key", calls=()),
    entry("builtins.map", "map", calls=()),
    entry("builtins.iter", "iter of a function", calls=()),
    entry("functools.partial.__call__", "partial of a method", calls=()),
    entry("copy.copy", "copy", returns=("deepcopy:0",)),
    entry("builtins.next", "iterator", advances=()),
    entry("builtins.zip", "zip", keeps=()),
    entry("builtins.enumerate", "enumerate", keeps=()),
    # effect entries: random numbers
    pure("random.shuffle", "random.shuffle"),
    entry("random.shuffle", "random.shuffle", draws=()),
    entry("random.random", "random.random", draws=()),
    pure("random.Random.random", "Random.random"),
    pure("numpy.random.shuffle", "numpy.shuffle"),
    entry("numpy.random.rand", "numpy.rand", draws=()),
    pure("numpy.random.Generator.normal", "Generator.normal"),
    entry("torch.rand", "torch.rand", draws=()),
    entry("torch.rand", "torch.Generator", mutates=()),
    # effect entries: arrays, tensors, training
    pure("numpy.ndarray.fill", "ndarray.fill"),
    pure("numpy.ndarray.sort", "ndarray.sort"),
    pure("torch.Tensor.add_", "tensor.add_"),
    entry("torch.Tensor.view", "tensor view", returns=("new",)),
    entry("torch.Tensor.detach", "tensor.detach", returns=("new",)),
    pure("torch.optim.Optimizer.step", "optimizer.step"),
    entry("torch.optim.Optimizer.step", "gradients accumulate", reads_grads=False),
    entry("torch.optim.SGD", "optimizer made anew", keeps=()),
    pure("torch.optim.lr_scheduler.LRScheduler.step", "scheduler alone"),
    entry("torch.optim.lr_scheduler.ExponentialLR", "scheduler alone", keeps=()),
    entry("torch.Tensor.backward", "backward", trains=False),
    pure("torch.nn.Module.eval", "Module.train"),
    pure("torch.nn.Module.load_state_dict", "load_state_dict"),
    entry("torch.nn.Module.state_dict", "state_dict", returns=("new",)),
    entry("torch.nn.init.uniform_", "init", mutates=()),
    pure("io.StringIO.write", "StringIO.write"),
    library_type("torch.utils.data.DataLoader", "loader", iteration_draws=()),
    library_type("builtins.list", "list.append", immutable=True),
    library_type("io.StringIO", "StringIO.write", sink=True),
    # transfer functions: statements
    ignoring(
        "augmented assignment doesn't mutate", lambda r: "updated in place" in r, "augmented in function"
    ),
    mentions("augmented assignment doesn't read", _no_augmented, "augmented name"),
    ignoring(
        "attribute stores are ignored",
        lambda r: r.endswith("is assigned") and "[" not in r,
        "attribute store",
    ),
    ignoring(
        "subscript stores are ignored", lambda r: r.endswith("] is assigned"), "subscript store"
    ),
    ignoring("del is ignored", lambda r: r.startswith("del "), "del item"),
    ignoring(
        "reading a defaultdict is pure", lambda r: r.endswith("may make an entry"), "defaultdict"
    ),
    Mutant(
        "del of a name is ignored",
        patch(checkpoint_set, "_rebound_here", _undeleted),
        ("del name",),
    ),
    Mutant(
        "a walrus doesn't rebind", patch(checkpoint_set, "_rebound_here", _rebinds), ("walrus",)
    ),
    mentions("a walrus is certain", _sure, "walrus skipped"),
    mentions("for targets are not rebound", _no_bind, "for target"),
    mentions("match captures are not rebound", _no_captures, "match capture"),
    returning(
        "match captures nothing", execute.Executor, "_match", set, "callable captured by match"
    ),
    returning("nothing is raised", execute.Executor, "_do_Raise", set, "exception carries"),
    returning("decorators do not run", execute.Executor, "_decorated", NONE, "class decorator"),
    returning("send() does nothing", calls.Calls, "_resumed", NONE, "sent"),
    returning("truth tests do nothing", evaluate.Expressions, "truth", NONE, "bool"),
    Mutant(
        "with neither enters nor exits",
        patch(execute.Executor, "_do_With", lambda _: lambda self, node: None),
        ("with exit",),
    ),
    special("__exit__", "with exit"),
    special("__enter__", "with enter"),
    Mutant(
        "starred targets bind nothing",
        patch(execute.Executor, "assign", _no_starred),
        ("starred callables",),
    ),
    Mutant(
        "unpacking gives no alias",
        patch(execute.Executor, "assign", _no_tuples),
        ("callable in a tuple",),
    ),
    # transfer functions: scopes
    dropping(
        "global stores are ignored",
        lambda kind, d: kind == "rebind" and d["scope"].kind == "module",
        "global",
    ),
    dropping(
        "nonlocal stores are ignored",
        lambda kind, d: kind == "rebind" and d["scope"].kind == "function",
        "nonlocal",
    ),
    dropping(
        "attributes of functions are no state",
        lambda kind, d: kind == "mutate" and d.get("attribute") == "n" and "up.n" in d["reason"],
        "function attribute",
    ),
    returning(
        "closures capture nothing", heap.Heap, "free_variables", tuple, "closure object"
    ),
    Mutant(
        "default arguments are not kept",
        patch(heap.Heap, "add_defaults", lambda _: lambda self, function, kept, objs: None),
        ("default argument",),
    ),
    # transfer functions: control flow and liveness
    without_edges("liveness ignores what is behind the loop", _leaves, "rebound live after"),
    without_edges(
        "exceptional edges are dropped",
        lambda node, s: cfg.handler_of(s.statement) is not None,
        "live in handler",
    ),
    without_edges(
        "break leads nowhere", lambda node, s: isinstance(node.statement, ast.Break), "break keeps"
    ),
    without_edges(
        "conditions always hold",
        lambda node, s: isinstance(node.statement, ast.If) and s is not node.successors[0],
        "conditional assign",
    ),
    # transfer functions: calls
    Mutant(
        "positional arguments are not bound",
        patch(calls.Calls, "_project", _unbound_parameters("positional")),
        ("argument",),
    ),
    Mutant(
        "keyword arguments are not bound",
        patch(calls.Calls, "_project", _unbound_parameters("keyword")),
        ("keyword argument",),
    ),
    returning("starred arguments are empty", evaluate.Expressions, "unpack", NONE, "star argument"),
    Mutant(
        "results have no alias",
        patch(heap.Heap, "add_returned", lambda _: lambda self, function, objs: None),
        ("callable returned",),
    ),
    Mutant("base classes are not searched", patch(objects.Class, "method", _own_methods),
           ("inherited method",)),
    Mutant("only base classes are searched", patch(objects.Class, "method", _base_first),
           ("overridden method",)),
    returning("super() has no methods", calls.Calls, "_super", NONE, "super method"),
    Mutant("effects of callees' callees are dropped", patch(
        driver.Summaries, "run_by", _first_level), ("global deep",)),
    Mutant("what is deep is shallow", patch(evaluate.State, "mutate", _shallow), ("deep in a display",)),
    Mutant(
        "__call__ is not called",
        patch(calls.Calls, "_instance", lambda _: lambda *a: set()),
        ("call",),
    ),
    special("__getitem__", "getitem"),
    special("__setitem__", "setitem"),
    special("__contains__", "contains"),
    special("__bool__", "bool"),
    special("__iadd__", "in-place operator"),
    special("__add__", "operator"),
    special("__str__", "format"),
    returning(
        "fields with factories hold nothing", calls.Calls, "_field_defaults", set, "dataclass field"
    ),
    # transfer functions: containers, iterators, identity
    Mutant(
        "containers hold nothing",
        patch(heap.Heap, "add_contents", lambda _: lambda *a, **k: None),
        ("appended callable",),
    ),
    Mutant(
        "displays hold nothing",
        patch(heap.Heap, "add_field", _no_index_fields),
        ("callable in a tuple",),
    ),
    Mutant(
        "attributes hold nothing",
        patch(heap.Heap, "add_field", _no_attributes),
        ("callable attribute",),
    ),
    returning(
        "comprehensions do nothing", evaluate.Expressions, "_comprehension", NONE, "comprehension"
    ),
    Mutant(
        "sums of lists hold nothing",
        patch(evaluate.Expressions, "operate", _no_operands),
        ("callables joined",),
    ),
    Mutant(
        "generators have no effects",
        patch(evaluate.State, "edge", _no_generator_edges),
        ("generator effects",),
    ),
    Mutant(
        "generators yield nothing",
        patch(heap.Heap, "add_yielded", lambda _: lambda self, function, objs: None),
        ("callables yielded",),
    ),
    dropping("iterators have no position", lambda kind, d: kind == "advance", "iterator"),
    special("__next__", "iterator class"),
    Mutant(
        "what members share is not followed",
        patch(checkpoint_set, "_shared", lambda _: lambda *a: ()),
        ("taken over by is",),
    ),
    returning("`or` gives nothing", evaluate.Expressions, "_on_BoolOp", NONE, "either callable"),
    returning("no gradient is live", gradients.GradientLiveness, "dead_at", lambda: True,
              "gradients accumulate"),
    returning("no loop trains", loops, "_trains", lambda: False, "backward"),
    dropping("reading a gradient reads none", lambda kind, d: kind == "read_grads", "gradient read"),
    returning("each site makes one model", gradients.GradientLiveness, "_alone", lambda: True,
              "gradients of one of two"),
    # names that are bound several times, and read elsewhere
    Mutant(
        "a use sees one binding", patch(bindings.AllBindings, "_find", _last_binding),
        ("rebound alias",),
    ),
    returning("functions read nothing of their callers", captures.Captures, "read_by", frozenset,
              "captured"),
    returning("nobody reads names later", captures.Captures, "always", frozenset,
              "read at the end of an object"),
    returning("inner loops always run", checkpoint_set, "_guarded", tuple,
              "inner loop runs not once"),
    returning("nothing swallows exceptions", driver, "swallows", lambda: lambda item: False,
              "with swallows"),
    # objects
    returning("nothing has methods", model.Effects, "has_no", lambda: True, "list.append"),
    returning("no object is of the package", checkpoint_set, "_of_package", lambda: False,
              "scheduler alone"),
    returning("methods have no receiver", checkpoint_set, "_is_method", lambda: False,
              "bound method of no name"),
    returning("each site makes one object", checkpoint_set, "single", lambda: True,
              "several of one site"),
    returning("unknown calls change nothing", calls.Calls, "_hand_over", set, "unknown call"),
    # saved or recomputed
    returning("no operand changes", recompute, "changed_objects", dict, "operand changed later"),
    returning("every expression is pure", recompute, "_pure", lambda: True, "recomputed by a draw"),
    # what isn't jumped into
    returning("generators depend on nothing", iterators, "depends_on", str, "generator depends"),
    returning("generators read nothing that is assigned", iterators, "_rebound", set,
              "generator depends on the frame"),
    returning("what __next__ reads never changes", iterables._Search, "_next", str,
              "iterator class depends"),
    returning("every iterator is counted", iterables, "_skips", lambda: False, "accumulate"),
    returning("iterators call nothing", calls.Calls, "_run_called", NONE, "map later"),
    returning("partials are not called", calls.Calls, "_given_to_call", lambda: False,
              "key is a partial"),
    returning("what a loop goes through stays", iterators, "changed_iterable", str,
              "goes through a lost list"),
    returning("iterators share nothing", iterators, "_entangled", str, "two iterators by turns"),
    returning("caches are no state", iterators, "_cached", str, "cached"),
    dropping("exec binds nothing", lambda kind, d: kind == "dynamic", "exec"),
    returning("everything has a name", checkpoint_set, "_unnamed", str,
              "only a function leads there"),
    # regions
    returning("regions assign nothing", judge.Judge, "_plain", NONE, "region assigns a global"),
    returning("regions change nothing", judge, "changed_objects", dict,
              "region changes an argument"),
    returning("regions return their own", judge.Judge, "_result", NONE, "region returns an alias"),
    returning("nothing was there before a region", judge, "outside", set, "region advances"),
    returning("regions set nothing", judge.Judge, "_own", str, "region sets"),
)  # fmt: skip
