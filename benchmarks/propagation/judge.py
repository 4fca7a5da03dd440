"""Probes: statements made into log statements, taken out of a version, and looked for afterwards.

A place is judged by the statements around it: it is *exact* if it is between the same statements
of the same block, *equivalent* if what lies between it and the true one neither binds a name that
the probe reads nor ends the block early, and loops and guards around both are the same.
"""

from __future__ import annotations

import ast
import builtins
import re
from dataclasses import dataclass, field

NAME = "the_probe"
SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
LOOPS = (ast.For, ast.AsyncFor, ast.While)
JUMPS = (ast.Return, ast.Raise, ast.Break, ast.Continue)
LOGGING = re.compile(
    r"^(print|logg(er|ing)\.\w+|LOGGER\.\w+|_logger\.\w+|\w*writer\.add_\w+|wandb\.log|"
    r"progress\.\w+|pbar\.\w+|progress_bar|tqdm\.write|self\.logger\.\w+|experiment\.log)\("
)


@dataclass(frozen=True)
class Probe:
    """An expression statement of a text; `logging` if it looks like a log statement."""

    line: int
    last: int
    text: str
    logging: bool
    node: ast.Expr = field(compare=False, repr=False)


def probes(text: str) -> list[Probe]:
    """The expression statements of a text that stand alone on their lines."""
    lines = text.splitlines()
    found = []
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Call):
            continue
        if any(isinstance(n, (ast.Await, ast.Yield, ast.YieldFrom)) for n in ast.walk(node)):
            continue
        last = node.end_lineno or node.lineno
        head = lines[node.lineno - 1].encode()[: node.col_offset].strip()
        tail = lines[last - 1].encode()[node.end_col_offset or 0 :].strip()
        if head or (tail and not tail.startswith(b"#")):
            continue
        canonical = ast.unparse(node)
        found.append(Probe(node.lineno, last, canonical, bool(LOGGING.match(canonical)), node))
    return sorted(found, key=lambda p: p.line)


def logged(text: str, probe: Probe) -> str:
    """The text with the probe made into a log statement."""
    rows = text.splitlines(keepends=True)
    node = probe.node
    last = rows[probe.last - 1].encode()
    end = node.end_col_offset or 0
    rows[probe.last - 1] = (last[:end] + b")" + last[end:]).decode()
    first = rows[probe.line - 1].encode()
    call = f'flor.log("{NAME}", '.encode()
    rows[probe.line - 1] = (first[: node.col_offset] + call + first[node.col_offset :]).decode()
    return with_import("".join(rows))


def with_import(text: str) -> str:
    """The text with `import flor` before its first statement that may come after it."""
    tree = ast.parse(text)
    line = 0
    for number, node in enumerate(tree.body):
        string = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        future = isinstance(node, ast.ImportFrom) and node.module == "__future__"
        if future or (number == 0 and string):
            line = node.end_lineno or line
        else:
            break
    rows = text.splitlines(keepends=True)
    return "".join([*rows[:line], "import flor\n", *rows[line:]])


def guards_of(text: str, probe: Probe) -> int:
    """How many `if` around a probe hold nothing else."""
    return len(_guards(ast.parse(text), probe)) - 1


def guard_tests(text: str, probe: Probe) -> list[ast.expr]:
    """What these `if` test."""
    return [n.test for n in _guards(ast.parse(text), probe) if isinstance(n, ast.If)]


def _guards(tree: ast.Module, probe: Probe) -> list[ast.stmt]:
    """The probe's statement and the guards around it that hold nothing else, inside out."""
    parents = {c: p for p in ast.walk(tree) for c in ast.iter_child_nodes(p)}
    found: list[ast.stmt] = [
        n for n in ast.walk(tree) if isinstance(n, ast.Expr) and n.lineno == probe.line
        and (n.end_lineno or 0) == probe.last
    ]  # fmt: skip
    while True:
        parent = parents[found[-1]]
        above = parents.get(parent)
        an_elif = isinstance(above, ast.If) and above.orelse == [parent] and (
            above.col_offset == parent.col_offset  # type: ignore[attr-defined]
        )  # fmt: skip
        if (
            not isinstance(parent, ast.If)
            or an_elif
            or getattr(parent, "orelse", None)
            or parent.body != [found[-1]]
        ):
            return found
        found.append(parent)


def without(text: str, probe: Probe, guards: int) -> tuple[str, str]:
    """The text without the probe, and the true one to compare with.

    Of the guards that held nothing else `guards` go too; any block that would be empty keeps a
    `pass` (which the true text gets as well).
    """
    tree = ast.parse(text)
    parents = {c: p for p in ast.walk(tree) for c in ast.iter_child_nodes(p)}
    found = _guards(tree, probe)
    node = found[min(guards, len(found) - 1)]
    truth = logged(text, probe)
    body = [node]
    alone = body in [getattr(parents[node], n, None) for n in ("body", "orelse", "finalbody")]
    rows = text.splitlines(keepends=True)
    first, last = node.lineno, node.end_lineno or node.lineno
    indent = rows[first - 1][: len(rows[first - 1]) - len(rows[first - 1].lstrip())]
    if alone:
        filler = f"{indent}pass\n"
        removed = "".join([*rows[: first - 1], filler, *rows[last:]])
        shifted = "".join([*rows[: first - 1], filler, *rows[first - 1 :]])
        again = next(p for p in probes(shifted) if p.line == probe.line + 1)
        return removed, logged(shifted, again)
    return "".join([*rows[: first - 1], *rows[last:]]), truth


# -- where a probe is -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Spot:
    """A place among the statements that are no probe."""

    unit: str
    order: int  # statements before it
    block: tuple[int, str, int]  # owner, branch, statements of the block before it
    loops: tuple[int, ...]
    guards: frozenset[str]
    reads: frozenset[str]
    guarded: bool = False  # has a guard of its own
    # Around it: (owner, branch, position, statements before, guards) of each `if`, inside out.
    ifs: tuple[tuple[int, str, int, int, frozenset[str]], ...] = ()


def is_probe(node: ast.AST) -> bool:
    """Whether a statement is the probe."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Call)
        and bool(node.value.args)
        and isinstance(node.value.args[0], ast.Constant)
        and node.value.args[0].value == NAME
    )


def probe_text(text: str) -> str:
    """The probe's canonical text."""
    return next(ast.unparse(n) for n in ast.walk(ast.parse(text)) if is_probe(n))


def _only_probe(node: ast.stmt) -> bool:
    return any(map(is_probe, ast.walk(node))) and _hollow(node)


def _hollow(node: ast.stmt) -> bool:
    """Whether there is nothing in it but the probe and `pass`."""
    return (
        is_probe(node)
        or isinstance(node, ast.Pass)
        or (
            isinstance(node, (ast.If, ast.With, ast.For))
            and all(map(_hollow, node.body))
            and not getattr(node, "orelse", None)
        )
    )


class _Walker:
    def __init__(self) -> None:
        self.others: list[ast.stmt] = []
        self.spots: list[Spot] = []

    def block(
        self, body: list[ast.stmt], unit: str, owner: tuple[int, str], loops: tuple[int, ...],
        guards: tuple[str, ...], ifs: tuple[tuple[int, str, int, int, frozenset[str]], ...] = (),
    ) -> None:  # fmt: skip
        before = 0
        for node in body:
            if is_probe(node):
                self.spots.append(
                    Spot(unit, len(self.others), (*owner, before), loops, frozenset(guards),
                         frozenset(n.id for n in ast.walk(node) if isinstance(n, ast.Name)),
                         ifs=ifs)
                )  # fmt: skip
                continue
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                continue
            if _hollow(node) and not _only_probe(node):
                continue
            if _only_probe(node):
                self.block(node.body, unit, owner, loops, guards, ifs)  # type: ignore[attr-defined]
                spot = self.spots[-1]
                self.spots[-1] = Spot(
                    spot.unit, spot.order, (*owner, before), spot.loops, frozenset(guards),
                    frozenset(n.id for n in ast.walk(node) if isinstance(n, ast.Name)),
                    guarded=True, ifs=ifs,
                )  # fmt: skip
                continue
            before += 1
            self.others.append(node)
            number = len(self.others)
            path = unit
            if isinstance(node, SCOPES):
                path = f"{unit}.{node.name}".strip(".")
            for name, inner in _blocks(node):
                around, within, outer = loops, guards, ()
                if isinstance(node, LOOPS) and name == "body":
                    around = (*loops, number)
                if isinstance(node, ast.If):
                    here = (*owner, before - 1, number - 1, frozenset(guards))
                    outer = (here, *ifs)
                    test = f"if {ast.unparse(node.test)}"
                    within = (*guards, test if name == "body" else f"not {test}")
                elif not isinstance(node, (*LOOPS, *SCOPES, ast.With, ast.AsyncWith)):
                    if name != "body":
                        within = (*guards, f"{number} {name}")
                self.block(
                    inner, path, (number, name), () if isinstance(node, SCOPES) else around,
                    () if isinstance(node, SCOPES) else within, outer,
                )  # fmt: skip


def _blocks(node: ast.stmt) -> list[tuple[str, list[ast.stmt]]]:
    found = [(n, getattr(node, n)) for n in ("body", "orelse", "finalbody")
             if isinstance(getattr(node, n, None), list)]  # fmt: skip
    found += [(f"except {i}", h.body) for i, h in enumerate(getattr(node, "handlers", ()))]
    found += [(f"case {i}", c.body) for i, c in enumerate(getattr(node, "cases", ()))]
    return found


def spots(text: str) -> tuple[list[Spot], list[ast.stmt]]:
    """Where the probes of a text are, and all its other statements in order."""
    walker = _Walker()
    walker.block(ast.parse(text).body, "", (0, "body"), (), ())
    return walker.spots, walker.others


def verdict(result: str, truth: str) -> str:
    """One of "exact", "equivalent", "wrong", "absent" or "broken"."""
    try:
        compile(result, "result", "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return "broken"
    (true_spots, true_others), (found, others) = spots(truth), spots(result)
    if not found:
        return "absent"
    if [_head(s) for s in others] != [_head(s) for s in true_others]:
        return "broken"
    right, got = true_spots[0], found[0]
    if len(found) > 1 or right.unit != got.unit:
        return "wrong"
    if right.block == got.block:
        return "exact"
    places = [(right.order, right.guards)]
    if got.guarded and not right.guarded:  # beside the guard that the old version has
        places += [(order, guards) for *_, order, guards in right.ifs]
    if right.loops != got.loops:
        return "wrong"
    reads = got.reads
    for order, guards in places:
        low, high = sorted((order, got.order))
        crossed = others[low:high]
        if guards == got.guards and not any(
            isinstance(s, JUMPS) or reads & _binds(s) for s in crossed
        ):
            return "equivalent"
    return "wrong"


def _head(node: ast.stmt) -> str:
    names = ("body", "orelse", "finalbody", "handlers", "cases")
    return type(node).__name__ + "".join(
        ast.dump(value) if isinstance(value, ast.AST) else repr(value) if not isinstance(
            value, list) else "".join(ast.dump(v) if isinstance(v, ast.AST) else repr(v)
                                      for v in value)
        for name, value in ast.iter_fields(node)
        if name not in names or (name == "body" and not isinstance(value, list))
    )  # fmt: skip


def _binds(node: ast.stmt) -> set[str]:
    found = set()
    parts: list[ast.AST] = [node]
    while parts:
        part = parts.pop()
        if isinstance(part, ast.Name) and not isinstance(part.ctx, ast.Load):
            found.add(part.id)
        elif isinstance(part, SCOPES):
            found.add(part.name)
            continue
        parts += [c for c in ast.iter_child_nodes(part) if not isinstance(c, ast.stmt)]
    return found


def unbound(result: str) -> set[str]:
    """Names that the probe reads and that nothing before it, or around it, can have bound.

    Simpler than what places it, on purpose: a name counts as bound if the unit binds it earlier
    in the text, or anywhere within a loop that is around the probe too.
    """
    tree = ast.parse(result)
    parents = {c: p for p in ast.walk(tree) for c in ast.iter_child_nodes(p)}
    missing: set[str] = set()
    if any(isinstance(n, ast.ImportFrom) and n.names[0].name == "*" for n in ast.walk(tree)):
        return missing
    for node in ast.walk(tree):
        if not is_probe(node):
            continue
        assert isinstance(node, ast.Expr)
        inner = {
            n.id for n in ast.walk(node) if isinstance(n, ast.Name)
            and not isinstance(n.ctx, ast.Load)
        } | {a.arg for a in ast.walk(node) if isinstance(a, ast.arg)}  # fmt: skip
        reads = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)} - inner
        chain: list[ast.AST] = [node]
        while chain[-1] in parents:
            chain.append(parents[chain[-1]])
        for name in reads - set(dir(builtins)) - {"__file__", "__name__", "flor"}:
            if not _bound(name, node, chain):
                missing.add(name)
    return missing


def _bound(name: str, node: ast.Expr, chain: list[ast.AST]) -> bool:
    inside = True  # the unit of the probe itself: order counts
    for around in chain:
        if not isinstance(around, (*SCOPES, ast.Module)):
            continue
        if isinstance(around, (ast.FunctionDef, ast.AsyncFunctionDef)):
            if any(isinstance(a, ast.arg) and a.arg == name for a in ast.walk(around.args)):
                return True
        if isinstance(around, ast.ClassDef) and not inside:
            continue
        places = [n for n in _own(around) if _names(n, name)]
        if inside and places and not isinstance(around, ast.ClassDef):
            loops = [c for c in chain if isinstance(c, LOOPS)]
            return any(
                p.lineno < node.lineno  # type: ignore[attr-defined]
                or any(loop.lineno <= p.lineno <= (loop.end_lineno or 0)  # type: ignore[attr-defined]
                       for loop in loops)
                for p in places
            )  # fmt: skip
        if places:
            return True
        inside = False
    return False


def _own(scope: ast.AST) -> list[ast.AST]:
    found = []
    parts = list(ast.iter_child_nodes(scope))
    while parts:
        part = parts.pop()
        found.append(part)
        if not isinstance(part, (*SCOPES, ast.Lambda)):
            parts += list(ast.iter_child_nodes(part))
    return found


def _names(node: ast.AST, name: str) -> bool:
    if isinstance(node, ast.Name):
        return node.id == name and not isinstance(node.ctx, ast.Load)
    if isinstance(node, SCOPES):
        return node.name == name
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return any((a.asname or a.name.partition(".")[0]) == name for a in node.names)
    if isinstance(node, ast.ExceptHandler):
        return node.name == name
    if isinstance(node, ast.Global):
        return name in node.names
    return False
