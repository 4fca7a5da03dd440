"""Pairs of versions made by one kind of edit each, with the true place of a log statement known.

A base script gets a log statement somewhere; the edit is made with the statement in place, which
gives the true text; the old version is that text without it. `backward`: the edited version is the
new one. Everything is decided by the seed.
"""

from __future__ import annotations

import ast
import copy
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from histories import Case
from judge import LOOPS, NAME, SCOPES, is_probe, with_import

BASES = Path(__file__).resolve().parent / "bases"
ROUNDS = 4
"""Places per base and kind of edit."""

Edit = Callable[["Draft", random.Random], bool]


@dataclass(frozen=True)
class Mutation:
    """A case: `truth` is None where the right answer is to refuse."""

    base: str
    edit: str
    backward: bool
    number: int
    new: Mapping[str, str]
    old: Mapping[str, str]
    truth: Mapping[str, str] | None
    reads: tuple[str, ...]

    @property
    def name(self) -> str:
        """Base, edit, direction and number."""
        return f"{self.base} {self.edit}{' backward' if self.backward else ''} {self.number}"


@dataclass(eq=False)
class Draft:
    """A version that is being edited: trees by file, with the log statement in one of them."""

    trees: dict[str, ast.Module]
    gone: bool = False  # the context was deleted

    def probe(self) -> tuple[str, ast.Expr]:
        """The file that holds the log statement, and the statement."""
        for path, tree in self.trees.items():
            for node in ast.walk(tree):
                if is_probe(node):
                    assert isinstance(node, ast.Expr)
                    return path, node
        raise LookupError

    def around(self) -> list[ast.AST]:
        """The statement and what is around it, inside out."""
        path, node = self.probe()
        parents = {c: p for p in ast.walk(self.trees[path]) for c in ast.iter_child_nodes(p)}
        found: list[ast.AST] = [node]
        while found[-1] in parents:
            found.append(parents[found[-1]])
        return found

    def block(self) -> tuple[list[ast.stmt], int]:
        """The list of statements that holds it, and its position there."""
        chain = self.around()
        for name in ("body", "orelse", "finalbody"):
            block = getattr(chain[1], name, None)
            if isinstance(block, list) and chain[0] in block:
                return block, block.index(chain[0])
        raise LookupError

    def unit(self) -> ast.AST:
        """The function (or module) around it."""
        return next(n for n in self.around() if isinstance(n, (*SCOPES, ast.Module)))

    def reads(self) -> set[str]:
        """The names that it reads."""
        _, node = self.probe()
        return {n.id for n in ast.walk(node) if isinstance(n, ast.Name)} - {"flor"}

    def text(self) -> dict[str, str]:
        """Texts by file."""
        return {
            path: ast.unparse(ast.fix_missing_locations(tree)) + "\n"
            for path, tree in self.trees.items()
        }


# -- edits ----------------------------------------------------------------------------------------


def rename(draft: Draft, chosen: random.Random) -> bool:
    """Up to three variables of the unit get other names, one that is read among them."""
    unit = draft.unit()
    local = sorted(_stored(unit) & draft.reads())
    others = sorted(_stored(unit) - set(local))
    if not local:
        return False
    names = [chosen.choice(local), *chosen.sample(others, min(2, len(others)))]
    for name in names:
        fresh = chosen.choice(("new_", "cur_", "my_")) + name
        for node in ast.walk(unit):
            if isinstance(node, ast.Name) and node.id == name:
                node.id = fresh
            elif isinstance(node, ast.arg) and node.arg == name and node in _own_args(unit):
                node.arg = fresh
    return True


def wrap_with(draft: Draft, chosen: random.Random) -> bool:
    """The statement and its neighbours go into a `with`."""
    text = chosen.choice(("with torch.no_grad():", "with profile('part'):", "with stage(args):"))
    return _wrap(draft, chosen, text)


def wrap_if(draft: Draft, chosen: random.Random) -> bool:
    """The statement and its neighbours go into an `if`."""
    return _wrap(draft, chosen, chosen.choice(("if args.enabled:", "if True:", "if not args.dry:")))


def wrap_loop(draft: Draft, chosen: random.Random) -> bool:
    """The statement and its neighbours go into a loop that wasn't there."""
    text = chosen.choice(("for micro in range(args.micro):", "for part in range(2):"))
    return _wrap(draft, chosen, text)


def _wrap(draft: Draft, chosen: random.Random, header: str) -> bool:
    run = _run(draft, chosen)
    if run is None:
        return False
    block, first, last = run
    wrapper = ast.parse(f"{header}\n    pass").body[0]
    wrapper.body = block[first : last + 1]  # type: ignore[attr-defined]
    if any(isinstance(n, (ast.Import, ast.ImportFrom, *SCOPES)) for n in block[first : last + 1]):
        return False
    block[first : last + 1] = [wrapper]
    return True


def extract(draft: Draft, chosen: random.Random) -> bool:
    """The statement and its neighbours become a function of their own, which is called."""
    run = _run(draft, chosen, least=1)
    if run is None:
        return False
    block, first, last = run
    part = block[first : last + 1]
    if any(
        isinstance(n, (ast.Return, ast.Break, ast.Continue, *SCOPES, ast.Import))
        for s in part for n in ast.walk(s)
    ):  # fmt: skip
        return False
    unit = draft.unit()
    path, _ = draft.probe()
    stored = {n for s in part for n in _stored(s)}
    if isinstance(unit, ast.Module):
        known = _stored(unit)
    else:
        known = _stored(unit) | {a.arg for a in _own_args(unit)}
    known -= _imported(draft.trees[path])
    before: list[str] = []
    seen: set[str] = set()
    for statement in part:
        for node in _ordered(statement):
            if isinstance(node, ast.Name) and node.id in known:
                if isinstance(node.ctx, ast.Load) and node.id not in seen | set(before):
                    before.append(node.id)
                elif isinstance(node.ctx, ast.Store):
                    seen.add(node.id)
        for node in ast.walk(statement):
            if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
                if node.target.id not in before:
                    before.append(node.target.id)
    later = {
        n.id for n in ast.walk(unit) if isinstance(n, ast.Name)
        and not any(n in list(ast.walk(s)) for s in part)
    }  # fmt: skip
    results = sorted(stored & later)
    made = ast.parse(f"def one_stage({', '.join(before)}):\n    pass").body[0]
    assert isinstance(made, ast.FunctionDef)
    made.body = list(part)
    call = f"one_stage({', '.join(before)})"
    if results:
        made.body += ast.parse(f"return {', '.join(results)}", mode="exec").body
        call = f"{', '.join(results)} = {call}"
    block[first : last + 1] = ast.parse(call).body
    tree = draft.trees[path]
    holder = (
        first if block is tree.body
        else next(i for i, n in enumerate(tree.body) if _within(n, block))
    )  # fmt: skip
    tree.body.insert(holder, made)
    return True


def reorder(draft: Draft, chosen: random.Random) -> bool:
    """Two neighbours that have nothing to do with each other, nor with what is read, swap."""
    block, position = draft.block()
    pairs = []
    for i in range(len(block) - 1):
        a, b = block[i], block[i + 1]
        if is_probe(a) or is_probe(b) or not _plain(a) or not _plain(b):
            continue
        if _stored(a) & _mentioned(b) or _stored(b) & _mentioned(a):
            continue
        if (_stored(a) | _stored(b)) & draft.reads() and abs(i - position) < 1:
            continue
        pairs.append((abs(i - position), i))
    if not pairs:
        return False
    _, i = chosen.choice(sorted(pairs)[:3])
    block[i], block[i + 1] = block[i + 1], block[i]
    return True


def split(draft: Draft, chosen: random.Random) -> bool:
    """A function or a class goes into a module of its own; the statement may be in it."""
    path, _ = draft.probe()
    tree = draft.trees[path]
    free = []
    for node in tree.body:
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef)) or node.name == "main":
            continue
        needs = _mentioned(node) & {n.name for n in tree.body if isinstance(n, SCOPES)}
        if not needs - {node.name}:
            free.append(node)
    if not free:
        return False
    holding = [n for n in free if any(is_probe(c) for c in ast.walk(n))]
    moved = chosen.choice(holding or free)
    imports = [copy.deepcopy(n) for n in tree.body if isinstance(n, (ast.Import, ast.ImportFrom))]
    position = tree.body.index(moved)
    tree.body[position] = ast.ImportFrom("parts", [ast.alias(moved.name)], 0)
    draft.trees["parts.py"] = ast.Module([*imports, moved], [])
    return True


def edit_near(draft: Draft, chosen: random.Random) -> bool:
    """Statements near it change: numbers, further arguments, a statement more, one less."""
    block, position = draft.block()
    reads = draft.reads()
    done = 0
    for node in list(block):
        if is_probe(node) or not _plain(node) or chosen.random() < 0.4:
            continue
        numbers = [n for n in ast.walk(node) if isinstance(n, ast.Constant)
                   and type(n.value) in (int, float)]  # fmt: skip
        calls = [n for n in ast.walk(node) if isinstance(n, ast.Call)]
        if numbers:
            chosen.choice(numbers).value = chosen.randint(2, 99)
            done += 1
        elif calls:
            call = chosen.choice(calls)
            call.keywords.append(ast.keyword("extra", ast.Constant(chosen.randint(1, 9))))
            done += 1
    extra = chosen.choice(("counter = 0", "report('here')", "torch.cuda.synchronize()"))
    place = chosen.randint(0, len(block))
    if place not in (position, position + 1):
        block.insert(place, ast.parse(extra).body[0])
        done += 1
    removable = [
        s for s in block if isinstance(s, ast.Expr) and not is_probe(s) and len(block) > 3
        and not reads & _stored(s)
    ]  # fmt: skip
    if removable and chosen.random() < 0.5:
        block.remove(chosen.choice(removable))
    return done > 0


def new_function_name(draft: Draft, chosen: random.Random) -> bool:
    """The function around it, and what calls it, get another name."""
    unit = draft.unit()
    if isinstance(unit, ast.Module) or unit.name.startswith("__"):  # type: ignore[attr-defined]
        return False
    old = unit.name  # type: ignore[attr-defined]
    fresh = f"{chosen.choice(('do', 'run', 'perform'))}_{old}"
    for tree in draft.trees.values():
        for node in ast.walk(tree):
            if isinstance(node, SCOPES) and node.name == old:
                node.name = fresh
            elif isinstance(node, ast.Name) and node.id == old:
                node.id = fresh
            elif isinstance(node, ast.Attribute) and node.attr == old:
                node.attr = fresh
    return True


def rename_file(draft: Draft, chosen: random.Random) -> bool:
    """The script has another name, and the numbers in it others."""
    path, _ = draft.probe()
    draft.trees = {("experiment.py" if p == path else p): t for p, t in draft.trees.items()}
    return edit_near(draft, chosen)


def mixture(draft: Draft, chosen: random.Random) -> bool:
    """Several edits, one after the other."""
    first = rename(draft, chosen)
    second = edit_near(draft, chosen)
    third = reorder(draft, chosen)
    return first and (second or third)


def delete_block(draft: Draft, chosen: random.Random) -> bool:
    """The loop, branch or function around it goes."""
    chain = draft.around()
    inside = [
        n for n in chain[1:-1]
        if isinstance(n, (*LOOPS, ast.If, ast.FunctionDef)) and len(n.body) > 1
    ]  # fmt: skip
    if not inside:
        return False
    node = inside[0]
    parent = chain[chain.index(node) + 1]
    for name in ("body", "orelse", "finalbody"):
        block = getattr(parent, name, None)
        if isinstance(block, list) and node in block:
            block.remove(node)
            if not block and name == "body":
                block.append(ast.Pass())
    draft.gone = True
    return True


def delete_variable(draft: Draft, chosen: random.Random) -> bool:
    """What is read isn't computed any more: every statement that mentions it goes."""
    unit = draft.unit()
    local = sorted((_stored(unit) & draft.reads()) - {a.arg for a in _own_args(unit)})
    if not local:
        return False
    name = chosen.choice(local)

    def clean(block: list[ast.stmt]) -> None:
        for node in list(block):
            inner = [getattr(node, n, None) for n in ("body", "orelse", "finalbody")]
            lists = [b for b in inner if isinstance(b, list) and b]
            if not lists:
                if name in _mentioned(node):
                    block.remove(node)
                continue
            for part in lists:
                clean(part)
            header = {n.id for c in ast.iter_child_nodes(node) if not isinstance(c, ast.stmt)
                      for n in ast.walk(c) if isinstance(n, ast.Name)}  # fmt: skip
            if name in header or not node.body:  # type: ignore[attr-defined]
                block.remove(node)
        if not block:
            block.append(ast.Pass())

    clean(unit.body)  # type: ignore[attr-defined]
    draft.gone = True
    return True


EDITS: dict[str, Edit] = {
    "rename a variable": rename,
    "wrap in with": wrap_with,
    "wrap in if": wrap_if,
    "wrap in a loop": wrap_loop,
    "extract a function": extract,
    "reorder": reorder,
    "split the file": split,
    "edit near": edit_near,
    "rename the function": new_function_name,
    "rename the file": rename_file,
    "several": mixture,
    "delete the block": delete_block,
    "delete the variable": delete_variable,
}
BACKWARD = frozenset(EDITS) - {"delete the block", "delete the variable"}


# -- making cases ---------------------------------------------------------------------------------


def mutations(seed: int = 7, rounds: int = ROUNDS) -> Iterator[Mutation]:
    """Every case, in a fixed order."""
    for base in sorted(BASES.glob("*.py")):
        text = base.read_text(encoding="utf-8")
        for edit in EDITS:
            chosen = random.Random(f"{seed} {base.stem} {edit}")
            made = 0
            for attempt in range(20 * rounds):
                if made >= rounds:
                    break
                pair = _case(base.stem, text, edit, attempt, chosen)
                if pair is not None:
                    yield from pair
                    made += 1


def cases(seed: int = 7, rounds: int = ROUNDS) -> Iterator[Case]:
    """The same as cases to be judged."""
    for made in mutations(seed, rounds):
        truth = {
            path: with_import(text.replace("import flor\n", "", 1)) if NAME in text else text
            for path, text in (made.truth or {}).items()
        }
        direction = ", backward" if made.backward else ""
        yield Case(
            f"mutation {made.base}", 1, made.edit + direction, "train.py", made.new, made.old, 0,
            made.name, truth, made.name, renamed=True,
        )  # fmt: skip


def _case(
    base: str, text: str, edit: str, number: int, chosen: random.Random
) -> list[Mutation] | None:
    original = _with_probe(text, chosen)
    if original is None:
        return None
    draft = copy.deepcopy(original)
    if not EDITS[edit](draft, chosen):
        return None
    reads = tuple(sorted(original.reads()))
    if draft.gone:
        found = draft.text()
        if any(NAME in t for t in found.values()):
            found = {path: _without(t) for path, t in found.items()}
        return [Mutation(base, edit, False, number, original.text(), found, None, reads)]
    edited, first = draft.text(), original.text()
    if _without_all(edited) == _without_all(first):
        return None
    cases = [Mutation(base, edit, False, number, first, _without_all(edited), edited, reads)]
    if edit in BACKWARD:
        cases.append(Mutation(base, edit, True, number, edited, _without_all(first), first, reads))
    return cases


def _with_probe(text: str, chosen: random.Random) -> Draft | None:
    """The base with a log statement behind some assignment, reading what is assigned."""
    tree = ast.parse(text)
    places = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            continue
        for name in ("body", "orelse"):
            block = getattr(node, name, None)
            if not isinstance(block, list):
                continue
            for position, statement in enumerate(block):
                if not isinstance(statement, (ast.Assign, ast.AugAssign, ast.Expr)):
                    continue
                if len(block) > 2 and 0 < position < len(block) - 1:
                    places.append((block, position, statement))
    block, position, statement = chosen.choice(places)
    names = sorted(_stored(statement)) or sorted(
        n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and n.id.islower()
    )
    names = [
        n for n in names if n not in ("print", "torch", "nn", "os", "optim", "logger", "len", "_")
    ]
    if not names:
        return None
    value = chosen.choice(("{}", "float({})", "str({})", "[{}]", "({}, 1)"))
    log = ast.parse(f'flor.log("{NAME}", {value.format(names[0])})').body[0]
    block.insert(position + 1, log)
    head = 1 if isinstance(tree.body[0], ast.Expr) else 0
    tree.body.insert(head, ast.Import([ast.alias("flor")]))
    return Draft({"train.py": ast.parse(ast.unparse(ast.fix_missing_locations(tree)))})


def _without_all(texts: Mapping[str, str]) -> dict[str, str]:
    return {path: _without(text) for path, text in texts.items()}


def _without(text: str) -> str:
    rows = text.splitlines(keepends=True)
    return "".join(r for r in rows if NAME not in r and r.strip() != "import flor")


# -- names ----------------------------------------------------------------------------------------


def _stored(node: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name)
            and isinstance(n.ctx, ast.Store)}  # fmt: skip


def _mentioned(node: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}


def _ordered(node: ast.AST) -> Iterator[ast.AST]:
    """Nodes of a statement, values before targets."""
    if isinstance(node, ast.Assign):
        yield from _ordered(node.value)
        for target in node.targets:
            yield from _ordered(target)
        return
    if isinstance(node, ast.For):
        for part in (node.iter, node.target, *node.body, *node.orelse):
            yield from _ordered(part)
        return
    yield node
    for child in ast.iter_child_nodes(node):
        yield from _ordered(child)


def _own_args(unit: ast.AST) -> list[ast.arg]:
    spec = getattr(unit, "args", None)
    return [a for a in ast.walk(spec) if isinstance(a, ast.arg)] if spec else []


def _imported(tree: ast.Module) -> set[str]:
    found = {n.name for n in tree.body if isinstance(n, SCOPES)}
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            found |= {a.asname or a.name.partition(".")[0] for a in node.names}
    return found


def _plain(node: ast.stmt) -> bool:
    return isinstance(node, (ast.Assign, ast.AugAssign, ast.Expr)) and not (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    )


def _run(
    draft: Draft, chosen: random.Random, least: int = 1
) -> tuple[list[ast.stmt], int, int] | None:
    """The statement with neighbours on both sides: a block, and the first and last position."""
    block, position = draft.block()
    first = max(0, position - chosen.randint(least, 3))
    last = min(len(block) - 1, position + chosen.randint(least, 3))
    if position - first < least or last - position < least:
        return None
    if isinstance(draft.unit(), ast.Module) and block is draft.unit().body:  # type: ignore[attr-defined]
        if any(isinstance(s, (ast.Import, ast.ImportFrom)) for s in block[first : last + 1]):
            return None
    if isinstance(block[first], ast.Expr) and isinstance(block[first].value, ast.Constant):
        return None
    return block, first, last


def _within(node: ast.AST, block: list[ast.stmt]) -> bool:
    return any(
        getattr(child, name, None) is block
        for child in ast.walk(node) for name in ("body", "orelse", "finalbody")
    )  # fmt: skip
