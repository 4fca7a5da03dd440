"""Which loops are instrumented, how they nest over calls, and what their columns are called."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass, field

from florc.analysis.callgraph import Summaries, statements_in, statements_of, statements_within
from florc.analysis.cfg import Loop
from florc.analysis.objects import Access, Function
from florc.frontend.statements import digest, loop_header
from florc.plan import Plan

METADATA = {"run", "version", "script", "started", "branch", "status"}
RESERVED = METADATA | {"name", "value", "source"}
MAX_NESTS = 32
_Way = tuple[Function, "tuple[LoopSite, ...]"]
"""A function, and the loops that are around what it calls."""


@dataclass(eq=False)
class LoopSite:
    """A loop of the program; `name` is filled in when all are known."""

    node: Loop
    function: Function
    statements: list[ast.stmt]  # header and body
    training: bool
    logs: bool
    id: str = ""
    name: str = ""
    counter: str = "index"
    counter_name: str | None = None
    lexical: list[LoopSite] = field(
        default_factory=list
    )  # instrumented loops around it, outermost first
    nests: list[tuple[LoopSite, ...]] = field(default_factory=list)  # possible nests, over calls

    def __repr__(self) -> str:
        return f"{self.name or self.id}@{self.function.module.rel}:{self.node.lineno}"


def own_loops(function: Function) -> list[Loop]:
    """`for` and `while` statements of a function's own body, in source order."""
    if isinstance(function.node, ast.Lambda):
        return []
    found: list[Loop] = []
    for statement in function.node.body:
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            continue
        for inner in statements_within(statement):
            if isinstance(inner, (ast.For, ast.While)) and inner not in found:
                found.append(inner)
    return sorted(found, key=lambda n: (n.lineno, n.col_offset))


def _trains(accesses: Iterable[Access]) -> bool:
    return any(a.kind == "train" for a in accesses)


def _carries_state(accesses: Iterable[Access]) -> bool:
    """Whether anything beyond plain locals changes, or an RNG stream moves."""
    return any(a.kind in ("mutate", "draw", "rebind", "touch", "advance") for a in accesses)


def find_loops(summaries: Summaries, log_statements: frozenset[ast.stmt]) -> list[LoopSite]:
    """Training loops and loops around log statements, in order of function and place.

    A training loop contains, directly or through calls, what the effect models call training
    (backward, partial_fit …).  If the whole program has none, the outermost loops that mutate
    objects or rebind names that outlive an iteration are taken, with the loops in them.
    """
    functions = summaries.points_to.functions
    logging = {f for f in functions if not log_statements.isdisjoint(statements_of(f))}
    candidates: list[LoopSite] = []
    for function in sorted(functions, key=lambda f: (f.module.rel, getattr(f.node, "lineno", 0))):
        for node in own_loops(function):
            statements = statements_in(node)
            accesses = summaries.of_statements(statements)
            ran = summaries.run_by(statements)
            logs = bool(log_statements & set(statements)) or bool(logging & ran)
            candidates.append(LoopSite(node, function, statements, _trains(accesses), logs))
    if not any(c.training for c in candidates):
        _fall_back(candidates, summaries)
    kept = [c for c in candidates if c.training or c.logs]
    for site in kept:
        site.lexical = [
            other
            for other in kept
            if other is not site
            and other.function is site.function
            and site.node in other.statements
        ]
        site.lexical.sort(key=lambda o: -len(o.statements))
    nests = Nests(kept, summaries)
    for site in kept:
        site.nests = nests.of(site.function, site.node)
    return kept


def _fall_back(candidates: list[LoopSite], summaries: Summaries) -> None:
    """No loop trains: loops that are run by the script itself and carry state count."""
    for site in candidates:
        accesses = summaries.of_statements(site.statements)
        loop_bound = any(_binds(s) for s in site.statements[1:])
        site.training = _carries_state(accesses) or loop_bound
    outer = [c for c in candidates if c.training]
    inside: set[Function] = set()
    for site in outer:
        inside |= summaries.run_by(site.statements)
    for site in outer:  # only nests that start in code that no other candidate loop runs
        if site.function in inside:
            site.training = False


def _binds(statement: ast.stmt) -> bool:
    """Whether a statement assigns or deletes names, by itself or by a walrus in it."""
    if isinstance(statement, (ast.AugAssign, ast.Assign, ast.AnnAssign, ast.Delete, ast.For)):
        return True
    return any(isinstance(node, ast.NamedExpr) for node in ast.walk(statement))


class Nests:
    """Nests of instrumented loops, over calls; what callers lead to is looked up once."""

    def __init__(self, sites: list[LoopSite], summaries: Summaries) -> None:
        self._callers = summaries.callers
        self._by_function: dict[Function, list[LoopSite]] = {}
        for site in sites:
            self._by_function.setdefault(site.function, []).append(site)
        self._ways: dict[Function, tuple[bool, tuple[_Way, ...]]] = {}

    def of(self, function: Function, statement: ast.stmt) -> list[tuple[LoopSite, ...]]:
        """Nests that a statement may run in, outermost first."""
        results: dict[tuple[LoopSite, ...], None] = {}
        # Each way outwards once: a program with many calls has more chains than can be walked.
        start = self._around(function, statement)
        stack = [(function, start)]
        seen: set[_Way] = set()
        while stack and len(results) < MAX_NESTS:
            where, suffix = stack.pop()
            if (where, suffix) in seen:
                continue
            seen.add((where, suffix))
            outermost, ways = self._outwards(where)
            if outermost:
                results[suffix] = None
            inside = set(suffix)
            for caller, outer in reversed(ways):
                if inside.isdisjoint(outer):  # not a recursion in the loop
                    stack.append((caller, outer + suffix))
        return list(results) or [start]

    def _outwards(self, where: Function) -> tuple[bool, tuple[_Way, ...]]:
        """Whether no loop need be around a function, and the loops that may be next around it."""
        if where not in self._ways:
            found: dict[_Way, None] = {}
            outermost = False
            seen, stack = {where}, [where]
            while stack:
                function = stack.pop()
                calls = self._callers.get(function, ())
                outermost = outermost or not calls
                for caller, at in calls:
                    outer = self._around(caller, at) + self._header(caller, at)
                    if outer:
                        found[caller, outer] = None
                    elif caller not in seen:
                        seen.add(caller)
                        stack.append(caller)
            self._ways[where] = outermost, tuple(found)
        return self._ways[where]

    def _around(self, where: Function, inner: ast.stmt) -> tuple[LoopSite, ...]:
        sites = self._by_function.get(where)
        if not sites:
            return ()
        found = [s for s in sites if s.node is not inner and inner in s.statements]
        return tuple(sorted(found, key=lambda s: -len(s.statements)))

    def _header(self, caller: Function, at: ast.stmt) -> tuple[LoopSite, ...]:
        """A call in a `while` test runs inside that loop; one in a `for` iterable doesn't."""
        if isinstance(at, ast.While):
            return tuple(s for s in self._by_function.get(caller, ()) if s.node is at)
        return ()


# -- names --------------------------------------------------------------------------------------


def _unwrap(node: ast.expr) -> ast.expr:
    """`tqdm(x, …)`, `list(x)`, `reversed(x)`, `accelerator.prepare(x)` …: the iterable inside."""
    while isinstance(node, ast.Call) and node.args:
        callee = node.func
        name = callee.attr if isinstance(callee, ast.Attribute) else getattr(callee, "id", "")
        first = node.args[0]
        if name == "loop" and len(node.args) > 1:  # flor.loop("name", iterable)
            node = node.args[1]
            continue
        if name in ("range", "trange", "arange", "count", "enumerate", "xrange", "mrange"):
            return node
        if not isinstance(first, ast.Call):
            return node
        node = first
    return node


def counter_of(node: Loop) -> tuple[str, str | None]:
    """(kind, variable) of a loop's counter: see LoopPlan.counter."""
    if isinstance(node, ast.While):
        name = _while_counter(node)
        return ("variable", name) if name else ("index", None)
    iterable = _unwrap(node.iter)
    if isinstance(iterable, ast.Call):
        callee = iterable.func
        name = callee.attr if isinstance(callee, ast.Attribute) else getattr(callee, "id", "")
        if name in ("range", "trange", "arange", "count", "xrange"):
            if isinstance(node.target, ast.Name):
                return "item", node.target.id
        if name == "enumerate" and isinstance(node.target, (ast.Tuple, ast.List)):
            first = node.target.elts[0] if node.target.elts else None
            if isinstance(first, ast.Name) and isinstance(node.iter, ast.Call):
                return "first", first.id
        if name == "zip" and isinstance(node.target, (ast.Tuple, ast.List)) and node.target.elts:
            first, source = node.target.elts[0], iterable.args[0] if iterable.args else None
            inner = _unwrap(source) if source is not None else None
            if isinstance(first, ast.Name) and isinstance(inner, ast.Call):
                if getattr(inner.func, "id", getattr(inner.func, "attr", "")) in ("range", "count"):
                    return "first", first.id
    return "index", None


def given_name(node: Loop) -> str | None:
    """The name in `for … in flor.loop("name", …)`."""
    if isinstance(node, ast.For) and isinstance(node.iter, ast.Call) and len(node.iter.args) > 1:
        callee, first = node.iter.func, node.iter.args[0]
        name = callee.attr if isinstance(callee, ast.Attribute) else getattr(callee, "id", "")
        if name == "loop" and isinstance(first, ast.Constant) and isinstance(first.value, str):
            return first.value
    return None


def _while_counter(node: ast.While) -> str | None:
    """The variable that the body's own statements step by a constant, tested ones first."""
    stepped: dict[str, None] = {}
    for statement in node.body:
        target: ast.expr | None = None
        if isinstance(statement, ast.AugAssign) and isinstance(statement.op, (ast.Add, ast.Sub)):
            if isinstance(statement.value, ast.Constant):
                target = statement.target
        elif isinstance(statement, ast.Assign) and isinstance(statement.value, ast.BinOp):
            value = statement.value
            same = ast.unparse(value.left) == ast.unparse(statement.targets[0])
            if same and isinstance(value.right, ast.Constant):
                target = statement.targets[0]
        if isinstance(target, ast.Name):
            stepped[target.id] = None
    tested = {n.id for n in ast.walk(node.test) if isinstance(n, ast.Name)}
    for name in stepped:
        if name in tested:
            return name
    return next(iter(stepped), None)


def name_loops(sites: list[LoopSite], previous: Plan | None) -> None:
    """Give ids and unique column names; a loop that `previous` knows keeps its name.

    Training loops come first, so that a log statement added to an evaluation loop renames nothing.
    """
    alike: dict[str, int] = {}
    for site in sites:
        header = digest(loop_header(site.node))
        kind = "while" if isinstance(site.node, ast.While) else "for"
        base = f"{site.function.module.rel}:{site.function.path}:{kind}:{header}"
        alike[base] = alike.get(base, 0) + 1
        site.id = base if alike[base] == 1 else f"{base}:{alike[base]}"
        site.counter, site.counter_name = counter_of(site.node)
    known = {loop.id: loop.name for loop in previous.loops} if previous else {}
    taken = {known[s.id] for s in sites if s.id in known}
    taken |= {loop.name for loop in previous.loops} if previous else set()
    for site in sites:
        if site.id in known:
            site.name = known[site.id]
    order = [s for s in sites if s.training] + [s for s in sites if not s.training]
    order.sort(key=lambda s: (not s.training, min((len(n) for n in s.nests), default=0)))
    for site in order:
        if site.name:
            continue
        wanted = given_name(site.node) or site.counter_name or _positional(site, sites)
        if wanted in ("_", "__") or wanted.lower() in RESERVED:
            wanted = f"loop_{wanted.strip('_')}" if wanted.strip("_") else _positional(site, sites)
        name, number = wanted, 2
        if name.lower() in {t.lower() for t in taken} and site.function.path:
            function = site.function.path.rpartition(".")[2].strip("<>_")
            name = wanted = f"{function}_{wanted}"
        while name.lower() in {t.lower() for t in taken}:  # SQL names know no case
            name, number = f"{wanted}_{number}", number + 1
        site.name = name
        taken.add(name)


def _positional(site: LoopSite, sites: list[LoopSite]) -> str:
    depth = max((len(nest) for nest in site.nests), default=0)
    if not site.training:
        return "step" if depth else "item"
    has_inner = any(other.training and any(site in nest for nest in other.nests) for other in sites)
    if depth == 0:
        return "epoch" if has_inner else "step"
    return "step" if depth == 1 else "substep"
