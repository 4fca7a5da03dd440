"""Def-use chains and liveness of florc against beniget's, over folders of Python files.

    python benchmarks/oracle.py [--stdlib N] [FOLDER or FILE …]

Every pair (definition, use) that only one of the two has is put in a class of disagreement, and
each class is a rule that is checked for that pair: mostly, that the pair comes or goes when our
analysis looks at the program rewritten in the way that beniget reads it.  What no rule explains is
listed.  Liveness is compared at the heads of loops: a name is live there if a definition planted
at the head has a use by beniget's chains.
"""

from __future__ import annotations

import argparse
import ast
import random
import signal
import sys
import sysconfig
import tokenize
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import beniget

from florc.analysis.cfg import ControlFlowGraph, control_flow_graph, may_swallow
from florc.analysis.liveness import DYNAMIC, liveness
from florc.analysis.occurrences import eager_builtins, occurrences
from florc.analysis.reaching import ReachingDefinitions, reachable, reaching_definitions
from florc.effects.model import load_effects
from florc.frontend.scopes import Comprehension, Scope, build_scopes

Pair = tuple[ast.AST, ast.AST]
EAGER = eager_builtins(load_effects(()))
LIMIT = 10.0
"""Seconds of processor time for one file: beniget reads the body of n nested loops 2 ** n times."""

CLASSES = {
    # Pairs that only beniget has.
    "past a jump": "beniget lets a definition pass `return`, `raise`, `break`, `continue`, the "
    "test of `while True`, a loop's `else`, or a `try` block that certainly rebinds; no run does",
    "annotation": "under `from __future__ import annotations` these aren't evaluated; beniget "
    "takes them as reads after the module's end, we as reads in place",
    "bare annotation": "`x: int` without a value binds nothing; for beniget it does",
    "shared set": "beniget adds to a set in place that it shares with another branch; without the "
    "sharing the pair is gone",
    "unreachable": "the code after a jump never runs; beniget reads on",
    # Pairs that only we have.
    "exception": "an exception may leave a `try` block anywhere, and a `with` block whose manager "
    "may swallow it; for beniget it leaves from the block's begin or end",
    "short circuit": "`a or (x := b)` may leave x alone; for beniget it always binds x",
    "pattern": "a pattern that doesn't match binds nothing; for beniget each binds its names, "
    "and a guard is evaluated before",
    "closure": "nested functions and lazy generators run at any time, so every definition is "
    "assumed to reach them, and theirs every use; beniget takes the end of the enclosing scope",
    "walrus": "a walrus in a comprehension binds a name outside, which the comprehension reads; "
    "beniget looks for it in the comprehension only",
    "empty loop": "a loop may run zero times, and then its `else` sees what was before; beniget's "
    "`else` sees what the body left",
    "handler": "in an `except` clause, what some path binds hides what was there before "
    "on the others; for beniget only",
    "lambda default": "beniget overlooks defaults of a lambda's keyword-only arguments",
    "del of a tuple": "`del (a, b)` needs and unbinds both; beniget overlooks it",
    "dynamic": "`locals()`, `vars()`, `eval()` and the like may read every name of the scope",
    "star import": "`from m import *` may bind any name",
    "class body": "a class body reads a name of the module until it binds the name itself",
}


def _opaque(body: list[ast.stmt]) -> ast.stmt:
    """`body`, or not."""
    return ast.fix_missing_locations(ast.If(ast.Name("?", ast.Load()), body, []))


@dataclass(frozen=True)
class Reading:
    """A way of reading programs; rewrites statements, and shares the names with the original."""

    jumps: bool = False  # control also falls through jumps; loops' `else` is optional
    tries: bool = False  # try: the body, then perhaps each handler; with: no swallowing
    circuits: bool = False  # all operands are evaluated
    patterns: bool = False  # every pattern binds its names, in order
    bare: bool = False  # `x: int` binds x

    def block(self, body: list[ast.stmt]) -> list[ast.stmt]:
        return [new for statement in body for new in self.statement(statement)] or [ast.Pass()]

    def statement(self, s: ast.stmt) -> list[ast.stmt]:
        if self.jumps and isinstance(s, (ast.Return, ast.Raise)):
            parts = [s.value] if isinstance(s, ast.Return) else [s.exc, s.cause]
            return [ast.Expr(self.expression(part)) for part in parts if part]
        if self.jumps and isinstance(s, (ast.Break, ast.Continue)):
            return [_opaque([s])]
        if isinstance(s, (ast.For, ast.AsyncFor, ast.While)):
            return self.loop(s)
        if isinstance(s, ast.Try) or type(s).__name__ == "TryStar":
            return self.try_(s)  # type: ignore[arg-type]
        if isinstance(s, ast.If):
            test = self.expression(s.test)
            return [ast.If(test, self.block(s.body), self.block(s.orelse))]
        if isinstance(s, (ast.With, ast.AsyncWith)):
            items = [self.expression(item) for item in s.items]
            return [ast.With(items, self.block(s.body))]
        if isinstance(s, ast.Match):
            return self.match(s)
        if isinstance(s, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            return [s]
        if self.bare and isinstance(s, ast.AnnAssign) and isinstance(s.target, ast.Name):
            return [s if s.value else ast.Assign([s.target], ast.Constant(0))]
        return [self.expression(s)]

    def loop(self, s: ast.For | ast.AsyncFor | ast.While) -> list[ast.stmt]:
        orelse = self.block(s.orelse) if s.orelse else []
        kept = [] if self.jumps else orelse
        if isinstance(s, ast.While):
            test = self.expression(s.test)
            if self.jumps and isinstance(test, ast.Constant):
                test = ast.UnaryOp(ast.Not(), test)
            new: ast.stmt = ast.While(test, self.block(s.body), kept)
        else:
            new = ast.For(s.target, self.expression(s.iter), self.block(s.body), kept)
        new.origin = s  # type: ignore[attr-defined]
        return [new, _opaque(orelse)] if orelse and self.jumps else [new]

    def try_(self, s: ast.Try) -> list[ast.stmt]:
        handlers = []
        for handler in s.handlers:
            kind = self.expression(handler.type) if handler.type else None
            new = ast.ExceptHandler(kind, handler.name, self.block(handler.body))
            new.origin = handler  # type: ignore[attr-defined]
            handlers.append(ast.copy_location(new, handler))
        orelse = self.block(s.orelse) if s.orelse else []
        final = self.block(s.finalbody) if s.finalbody else []
        if not self.tries:
            return [ast.Try(self.block(s.body), handlers, orelse, final)]
        found: list[ast.stmt] = [_opaque([*self.block(s.body), *orelse])]
        found += [ast.Try([ast.Pass()], [handler], [], []) for handler in handlers]
        return [*found, *final]

    def match(self, s: ast.Match) -> list[ast.stmt]:
        if not self.patterns:
            cases = []
            for case in s.cases:
                guard = self.expression(case.guard) if case.guard else None
                cases.append(ast.match_case(case.pattern, guard, self.block(case.body)))
            return [ast.copy_location(ast.Match(self.expression(s.subject), cases), s)]
        found: list[ast.stmt] = [ast.Expr(self.expression(s.subject))]
        for case in s.cases:
            if case.guard:
                found.append(ast.Expr(self.expression(case.guard)))
            only = ast.Match(ast.Constant(0), [ast.match_case(case.pattern, None, [])])
            only.cases[0].body = [ast.Break()]
            found.append(ast.While(ast.Constant(True), [ast.copy_location(only, s)], []))
            found.append(_opaque(self.block(case.body)))
        return found

    def expression(self, node: ast.AST) -> ast.AST:
        if not self.circuits or not any(isinstance(n, ast.NamedExpr) for n in ast.walk(node)):
            return node
        if isinstance(node, ast.Tuple) or not isinstance(node, ast.expr):
            copied = type(node)(**{name: self._inside(v) for name, v in ast.iter_fields(node)})
            return ast.copy_location(copied, node)
        if isinstance(node, (ast.BoolOp, ast.IfExp, ast.Compare)):
            parts = [c for c in ast.iter_child_nodes(node) if isinstance(c, ast.expr)]
            if isinstance(node, ast.IfExp):
                parts = [node.test, node.body, node.orelse]
            return ast.Tuple([self.expression(part) for part in parts], ast.Load())
        if isinstance(node, (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp)):
            return node
        if isinstance(node, (ast.GeneratorExp, ast.Name)):
            return node
        copied = type(node)(**{name: self._inside(v) for name, v in ast.iter_fields(node)})
        return ast.copy_location(copied, node)

    def _inside(self, value: object) -> object:
        if isinstance(value, list):
            return [self._inside(item) for item in value]
        return self.expression(value) if isinstance(value, ast.AST) else value


PLAIN = Reading()
THEIRS = Reading(jumps=True, tries=True)
"""Reaches at least what beniget lets reach."""
WITHOUT = {
    "exception": Reading(tries=True),
    "short circuit": Reading(circuits=True),
    "pattern": Reading(patterns=True),
    "bare annotation": Reading(bare=True),
}
EXACT = Reading(tries=True, circuits=True, patterns=True, bare=True)


def statements_of(node: ast.AST) -> list[ast.stmt]:
    """What a scope's node runs, as statements."""
    if isinstance(node, ast.Lambda):
        return [ast.Expr(node.body)]
    if isinstance(node, Comprehension):
        parts = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        body: list[ast.stmt] = [ast.Expr(part) for part in parts]
        for index, generator in reversed(list(enumerate(node.generators))):
            for test in reversed(generator.ifs):
                body = [ast.If(test, body, [])]
            iterable = generator.iter if index else ast.Constant(())  # the scope outside has it
            body = [ast.For(generator.target, iterable, body, [])]
        return body
    return list(node.body)  # type: ignore[attr-defined]


class Body:
    """A scope of a file and our chains of its names."""

    def __init__(self, node: ast.AST, scopes: dict[ast.AST, Scope]) -> None:
        self.node = node
        self.body = [ast.fix_missing_locations(s) for s in statements_of(node)]
        self.scope = scopes[node]
        self.scopes = scopes
        self.solved: dict[Reading, set[Pair]] = {}
        plain = self.reaching(PLAIN)
        self.pairs = _pairs(plain)
        self.lazy = {site for site, later in self.uses.items() if later}
        self.anywhere = {d.site for d in plain.anywhere}

    def reaching(self, reading: Reading) -> ReachingDefinitions:
        body = self.body if reading == PLAIN else reading.block(self.body)
        return reaching_definitions(_graph(body, reading), self.scope, self.scopes, EAGER)

    def under(self, reading: Reading) -> set[Pair]:
        """Our pairs if programs were read in that way."""
        if reading not in self.solved:
            self.solved[reading] = _pairs(self.reaching(reading))
        return self.solved[reading]

    def live(self, reading: Reading) -> dict[ast.AST, frozenset[str]]:
        """Names live at the head of each loop if programs were read in that way."""
        body = self.body if reading == PLAIN else reading.block(self.body)
        graph = _graph(body, reading)
        solved = liveness(graph, self.scope, self.scopes, EAGER)
        return {getattr(s, "origin", s): solved.before[node] for s, node in graph.heads.items()}

    @cached_property
    def uses(self) -> dict[ast.AST, bool]:
        graph = control_flow_graph(self.body)
        return {
            o.site: o.deferred
            for node in graph.nodes
            for o in occurrences(node, self.scope, self.scopes, EAGER)
            if o.kind == "use"
        }

    @cached_property
    def reached(self) -> set[ast.AST]:
        """Names at nodes that some path reaches."""
        nodes = reachable(control_flow_graph(self.body))
        found = (occurrences(node, self.scope, self.scopes, EAGER) for node in nodes)
        return {o.site for group in found for o in group}


def _graph(body: list[ast.stmt], reading: Reading) -> ControlFlowGraph:
    return control_flow_graph(body, (lambda item: False) if reading.tries else may_swallow)


def _pairs(solved: ReachingDefinitions) -> set[Pair]:
    found = set()
    for use, definitions in solved.chains.items():
        for definition in definitions:
            found.add((getattr(definition.site, "origin", definition.site), use))
    return found


@contextmanager
def unshared() -> Iterator[None]:
    """Beniget without its aliasing: it adds to sets that the branches of an `if` share."""

    def add(definition: dict[str, object], name: str, found: object) -> None:
        merged = type(definition[name])(definition[name])
        (merged.update if not isinstance(found, beniget.beniget.Def) else merged.add)(found)
        definition[name] = merged

    before = beniget.DefUseChains.__dict__["add_to_definition"]
    beniget.DefUseChains.add_to_definition = staticmethod(add)
    try:
        yield
    finally:
        beniget.DefUseChains.add_to_definition = before


class Quiet(beniget.DefUseChains):
    """Chains without warnings on standard output."""

    def warn(self, message: str, node: ast.AST) -> None:
        return

    def visit_MatchSingleton(self, node: ast.MatchSingleton) -> beniget.beniget.Def:
        """`case None:` has nothing to visit; beniget fails on it."""
        return self.chains.setdefault(node, beniget.beniget.Def(node))


def chains_of(tree: ast.Module) -> set[Pair]:
    """Beniget's pairs of a definition and a read of the same name."""
    chains = Quiet()
    chains.visit(tree)
    found: set[Pair] = set()
    for chain in chains.chains.values():
        definition = chain.node
        if isinstance(definition, ast.Name) and isinstance(definition.ctx, (ast.Load, ast.Del)):
            continue
        if not hasattr(definition, "_fields") or not _binds(definition):
            continue
        name = chain.name()
        for user in chain.users():
            if isinstance(user.node, ast.Name) and user.node.id == name:
                found.add((definition, user.node))
    return found


def _binds(node: ast.AST) -> bool:
    kinds = (ast.Name, ast.arg, ast.alias, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    patterns = (ast.ExceptHandler, ast.MatchAs, ast.MatchStar, ast.MatchMapping)
    return isinstance(node, kinds + patterns)


@dataclass
class Result:
    """Pairs of some files: in both, and those of one only by class of disagreement."""

    files: int = 0
    both: int = 0
    classes: Counter[str] = field(default_factory=Counter)
    open: list[str] = field(default_factory=list)  # disagreements that no rule explains
    failed: list[str] = field(default_factory=list)
    heads: int = 0
    live_both: int = 0
    live_classes: Counter[str] = field(default_factory=Counter)

    def add(self, other: Result) -> None:
        self.files += other.files
        self.both += other.both
        self.classes += other.classes
        self.open += other.open
        self.failed += other.failed
        self.heads += other.heads
        self.live_both += other.live_both
        self.live_classes += other.live_classes


class Marks:
    """Names in annotations, which have rules of their own."""

    def __init__(self, tree: ast.Module) -> None:
        self.tree = tree
        self.bare: set[ast.AST] = set()  # targets of `x: int`
        self.annotations: set[ast.AST] = set()
        self.deleted: set[ast.AST] = set()  # names in `del (a, b)`
        self.lambda_defaults: set[ast.AST] = set()  # names in defaults of keyword-only arguments
        self.handlers: list[tuple[set[ast.AST], set[str]]] = []  # all of one, names it binds
        self.loops: list[tuple[set[ast.AST], set[ast.AST]]] = []  # all of a loop, its `else`
        self.comprehensions: list[set[ast.AST]] = []  # those with a walrus
        self.postponed = False  # from __future__ import annotations
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module == "__future__":
                self.postponed |= any(alias.name == "annotations" for alias in node.names)
            if isinstance(node, ast.AnnAssign) and node.value is None:
                self.bare.add(node.target)
            if isinstance(node, ast.Lambda):
                defaults = [d for d in node.args.kw_defaults if d]
                self.lambda_defaults |= {n for d in defaults for n in ast.walk(d)}
            if isinstance(node, ast.ExceptHandler):
                inside = set(ast.walk(node))
                stored = {n for n in inside if isinstance(n, ast.Name)}
                bound = {n.id for n in stored if isinstance(n.ctx, ast.Store)}
                self.handlers.append((inside, bound))
            if isinstance(node, ast.Delete):
                tuples = [t for t in node.targets if isinstance(t, (ast.Tuple, ast.List))]
                self.deleted |= {n for target in tuples for n in ast.walk(target)}
            if isinstance(node, (ast.For, ast.AsyncFor, ast.While)) and node.orelse:
                orelse = {n for statement in node.orelse for n in ast.walk(statement)}
                self.loops.append((set(ast.walk(node)), orelse))
            if isinstance(node, Comprehension):
                inside = set(ast.walk(node))
                if any(isinstance(n, ast.NamedExpr) for n in inside):
                    self.comprehensions.append(inside)
            for name in ("annotation", "returns"):
                part = getattr(node, name, None)
                if isinstance(part, ast.AST):
                    self.annotations.update(ast.walk(part))

    @cached_property
    def unshared(self) -> set[Pair]:
        """Beniget's pairs without its aliasing."""
        with unshared():
            return chains_of(self.tree)


def compare(text: str, shown: str) -> Result:
    """The pairs of one file, compared and classified."""
    tree = ast.parse(text)
    scopes = build_scopes(tree, "m")
    bodies = [Body(node, scopes) for node in scopes]
    theirs = chains_of(tree)
    marks = Marks(tree)
    owner: dict[ast.AST, list[Body]] = {}
    ours: set[Pair] = set()
    for body in sorted(bodies, key=lambda b: not isinstance(b.node, ast.ClassDef)):
        ours |= body.pairs
        for site in body.uses:
            owner.setdefault(site, []).append(body)
    result = Result(files=1, both=len(ours & theirs))
    for pair in sorted(ours ^ theirs, key=_place):
        side = "ours" if pair in ours else "theirs"
        why = explain(pair, owner.get(pair[1], []), side, marks)
        if why:
            result.classes[why] += 1
        else:
            name = getattr(pair[1], "id", "?")
            lines = f"{getattr(pair[0], 'lineno', 0)} -> {getattr(pair[1], 'lineno', 0)}"
            result.open.append(f"{shown}: {side} only: {name}: {lines} {type(pair[0]).__name__}")
    return result


def _place(pair: Pair) -> tuple[int, ...]:
    return tuple(
        value for node in pair
        for value in (getattr(node, "lineno", 0), getattr(node, "col_offset", 0))
    )  # fmt: skip


def explain(pair: Pair, owners: list[Body], side: str, marks: Marks) -> str:
    """The class of a disagreement; "" if no rule applies."""
    definition, use = pair
    if side == "theirs":
        if use in marks.annotations and marks.postponed:
            return "annotation"
        if definition in marks.bare:
            return "bare annotation"
        for body in owners:
            if use not in body.reached or definition not in body.reached | body.anywhere:
                return "unreachable"
            if pair in body.under(THEIRS):
                return "past a jump"
        if pair not in marks.unshared:
            return "shared set"
        return ""
    if use in marks.annotations and marks.postponed:
        return "annotation"
    if any(definition in names and use in names for names in marks.comprehensions):
        return "walrus"
    for body in owners:
        if pair not in body.pairs:
            if isinstance(body.node, ast.ClassDef):
                return "class body"
            continue
        if use in body.lazy or definition in body.anywhere:
            return "closure"
        if isinstance(definition, ast.alias) and definition.name == "*":
            return "star import"
        for name, reading in WITHOUT.items():
            if pair not in body.under(reading):
                return name
        if pair not in body.under(EXACT):
            return "exception"
    if use in marks.deleted:
        return "del of a tuple"
    if use in marks.lambda_defaults:
        return "lambda default"
    for inside, bound in marks.handlers:
        if use in inside and definition not in inside and getattr(use, "id", "") in bound:
            return "handler"
    if any(use in orelse and definition not in inside for inside, orelse in marks.loops):
        return "empty loop"
    return ""


# -- liveness -----------------------------------------------------------------------------------


def compare_liveness(text: str, shown: str) -> Result:
    """Names live at the heads of loops, ours and beniget's, compared and classified."""
    tree = ast.parse(text)
    scopes = build_scopes(tree, "m")
    result = Result()
    for node, scope in scopes.items():
        if not isinstance(node, (ast.Module, ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        body = Body(node, scopes)
        graph = control_flow_graph(body.body)
        visible = set(reachable(graph))
        ours = body.live(PLAIN)
        always = always_live(body)
        names = sorted(scope.names - scope.nonlocal_names - always)
        for loop, head in graph.heads.items():
            if head not in visible or not names:
                continue
            result.heads += 1
            theirs = planted(node, loop, names)
            mine = ours[loop] & set(names)
            result.live_both += len(mine & theirs)
            for name in sorted(mine ^ theirs):
                side = "ours" if name in mine else "theirs"
                why = explain_live(body, loop, name, side)
                if not why and side == "theirs":
                    with unshared():
                        gone = name not in planted(node, loop, names)
                    why = "shared set" if gone else ""
                if why:
                    result.live_classes[why] += 1
                else:
                    result.open.append(f"{shown}:{loop.lineno}: live by {side} only: {name}")
    return result


def always_live(body: Body) -> set[str]:
    """Names that nested code reads later: live everywhere for us, so not compared."""
    later = {site.id for site, lazy in body.uses.items() if lazy and isinstance(site, ast.Name)}
    return body.scope.captured | later


def planted(body: ast.AST, loop: ast.stmt, names: list[str]) -> set[str]:
    """Names live at a loop's head: a definition put there has a use by beniget's chains.

    The loop becomes `while (a := 0, b := 0, …, test): target = …; body`.
    """
    plants = [ast.NamedExpr(ast.Name(name, ast.Store()), ast.Constant(0)) for name in names]
    if isinstance(loop, ast.While):
        new = ast.While(ast.Tuple([*plants, loop.test], ast.Load()), loop.body, loop.orelse)
        statements: list[ast.stmt] = [new]
    else:
        assert isinstance(loop, (ast.For, ast.AsyncFor))
        bind = ast.Assign([loop.target], ast.Constant(0))
        test = ast.Tuple([*plants, ast.Constant(0)], ast.Load())
        statements = [ast.Expr(loop.iter), ast.While(test, [bind, *loop.body], loop.orelse)]
    with replaced(
        body, loop, [ast.fix_missing_locations(ast.copy_location(s, loop)) for s in statements]
    ):
        alone = body if isinstance(body, ast.Module) else ast.Module([body], [])
        chains = Quiet()
        chains.visit(alone)
    return {
        plant.target.id
        for plant in plants
        if any(isinstance(u.node, ast.Name) for u in chains.chains[plant.target].users())
    }


@contextmanager
def replaced(body: ast.AST, old: ast.stmt, new: list[ast.stmt]) -> Iterator[None]:
    """`old` in a body made `new` for a while."""
    for node in ast.walk(body):
        for _, value in ast.iter_fields(node):
            if isinstance(value, list) and any(item is old for item in value):
                place = next(i for i, item in enumerate(value) if item is old)
                value[place : place + 1] = new
                try:
                    yield
                finally:
                    value[place : place + len(new)] = [old]
                return
    raise AssertionError("the loop is nowhere")


def explain_live(body: Body, loop: ast.stmt, name: str, side: str) -> str:
    """The class of a disagreement about liveness; "" if no rule applies."""
    if side == "theirs":
        if name in body.live(THEIRS)[loop]:
            return "past a jump"
        if name in body.live(EXACT)[loop]:
            return "pattern"
        return ""
    for why, reading in WITHOUT.items():
        if name not in body.live(reading)[loop]:
            return why
    if name not in body.live(EXACT)[loop]:
        return "exception"
    calls = [n for s in body.body for n in ast.walk(s) if isinstance(n, ast.Call)]
    if any(isinstance(c.func, ast.Name) and c.func.id in DYNAMIC for c in calls):
        return "dynamic"
    return ""


# -- files --------------------------------------------------------------------------------------


def python_files(places: list[Path]) -> Iterator[Path]:
    for place in places:
        yield from [place] if place.is_file() else sorted(place.rglob("*.py"))


def standard_library(count: int) -> list[Path]:
    """A fixed random sample of the standard library's modules."""
    base = Path(sysconfig.get_paths()["stdlib"])
    skipped = {"site-packages", "test", "tests", "idlelib", "lib2to3", "__pycache__"}
    found = [p for p in sorted(base.rglob("*.py")) if not skipped & set(p.parts)]
    return sorted(random.Random(0).sample(found, min(count, len(found))))


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def compare_file(path: Path) -> Result:
    try:
        with warnings.catch_warnings(), tokenize.open(path) as file:
            warnings.simplefilter("ignore")
            text = file.read()
            with limited(LIMIT):
                result = compare(text, str(path))
                result.add(compare_liveness(text, str(path)))
                return result
    except (SyntaxError, UnicodeDecodeError):
        return Result()  # not Python 3
    except Exception as error:
        return Result(failed=[f"{path}: {type(error).__name__}: {error}"])


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("places", nargs="*", type=Path)
    options.add_argument("--stdlib", type=int, default=0, metavar="N", help="N of its modules")
    options.add_argument("--show", type=int, default=40, help="how many open ones to list")
    arguments = options.parse_args()
    files = [*python_files(arguments.places), *standard_library(arguments.stdlib)]
    total = Result()
    for path in files:
        total.add(compare_file(path))
    print(f"{total.files} files, {total.both} pairs in both")
    for name, count in total.classes.most_common():
        print(f"{count:8}  {name}: {CLASSES[name]}")
    print(f"{total.heads} heads of loops, {total.live_both} live names in both")
    for name, count in total.live_classes.most_common():
        print(f"{count:8}  {name}: {CLASSES[name]}")
    for line in [*total.failed, *total.open[: arguments.show]]:
        print(line)
    print(f"{len(total.open)} unexplained, {len(total.failed)} files failed")
    return 1 if total.open or total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
