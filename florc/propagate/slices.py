"""Log slices: a log statement with the guards and the helpers that are there for its sake alone."""

from __future__ import annotations

import ast
import copy
import hashlib
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from florc.propagate.names import flor_names
from florc.propagate.purity import looks_pure, only_asks
from florc.propagate.source import (
    Source,
    Statement,
    Version,
    is_elif_of,
    is_hollow,
    named_blocks,
    parse,
    read_source,
    walk,
    words,
)
from florc.propagate.strip import strip


@dataclass(frozen=True)
class Slice:
    """What one log statement (or one key of a logged dictionary) consists of."""

    file: str
    line: int  # in the new text
    scope: str  # qualified name of the function around it, "" at module level
    names: tuple[str, ...]  # () if the name is no literal
    text: str  # of the log call, canonical
    helpers: tuple[str, ...] = ()  # canonical texts of statements that only it needs
    guard: str | None = None  # header of the log-only `if`, `for` or `with` around it
    key: str | None = None  # of a logged dictionary

    @property
    def id(self) -> str:
        """Names the slice in a remembered decision; other edits of the file don't change it."""
        parts = [self.file, self.scope, self.guard or "", self.text, self.key or ""]
        digest = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()
        return f"{'/'.join(self.names) or '?'}-{digest[:12]}"


@dataclass(eq=False)
class Leaf:
    """A log call in a piece; `key` picks one entry of the dictionary that it logs."""

    slice: Slice
    call: ast.Call
    statement: ast.stmt
    key: int | None = None


@dataclass(eq=False)
class Piece:
    """A statement to insert: log statements under guards of their own.

    For `x = flor.log("x", value)` nothing can be taken out: `after` is that statement, and
    `made` the text of the log statement that follows it (or precedes it, if `before`).
    """

    top: Statement
    leaves: list[Leaf] = field(default_factory=list)
    made: str | None = None
    before: bool = False


@dataclass(eq=False)
class Marked:
    """A version whose log statements and helpers are known."""

    version: Version
    pieces: list[Piece]
    helpers: dict[str, set[Statement]]  # by file: statements that serve only log statements
    logs: dict[str, list[tuple[ast.Call, Statement]]]  # every log call, by file


def marked(texts: Mapping[str, str], old: Marked | None = None) -> Marked:
    """`mark`, for versions that are looked at again and again.

    What `old` has isn't there for the sake of log statements: a guard that holds such statements
    beside log statements is none, and neither is one that `old` has with nothing in it.
    """
    key = tuple(sorted(texts.items()))
    found = _marked(key, frozenset())
    if old is None:
        return found
    theirs = [
        s for source in old.version.sources.values() for s in source.statements
        if not s.log and s not in old.helpers[source.path]
    ]  # fmt: skip
    keys, hollow = {s.key for s in theirs}, {s.key for s in theirs if is_hollow(s)}
    opened = frozenset(
        (piece.top.unit.source.path, statement.index)
        for piece in found.pieces
        for among, statements in ((keys, _mixed(piece)), (hollow, _guards(piece)))
        for statement in statements if statement.key in among
    )  # fmt: skip
    return _marked(key, opened) if opened else found


def slices(texts: Mapping[str, str], names: Collection[str] | None = None) -> list[Slice]:
    """The log slices of a version, in order; those of these names only."""
    found = [leaf.slice for piece in marked(texts).pieces for leaf in selected(piece, names)]
    return sorted(found, key=lambda s: (s.file, s.line, s.key or ""))


def _mixed(piece: Piece) -> list[Statement]:
    """The statements of a piece that are neither guards nor log statements."""
    leaves = {leaf.statement for leaf in piece.leaves}
    return [
        s for s in walk(piece.top)
        if piece.made is None and not s.blocks and s.node not in leaves
        and not isinstance(s.node, ast.Pass)
    ]  # fmt: skip


def _guards(piece: Piece) -> list[Statement]:
    """The compound statements of a piece."""
    return [s for s in walk(piece.top) if piece.made is None and s.blocks]


@lru_cache(maxsize=8)
def _marked(texts: tuple[tuple[str, str], ...], opened: frozenset[tuple[str, int]]) -> Marked:
    return mark(dict(texts), opened)


def mark(
    texts: Mapping[str, str], opened: frozenset[tuple[str, int]] = frozenset()
) -> Marked:  # fmt: skip
    """Parse a version and find its log slices.  Files that can't be parsed are left out.

    `opened`: (file, index) of statements that aren't there for log statements only.
    """
    trees = {path: parse(text) for path, text in texts.items()}
    parsed = {path: tree for path, tree in trees.items() if tree is not None}
    mentions = {path: frozenset(words(tree)) for path, tree in parsed.items()}
    sources: dict[str, Source] = {}
    pieces: list[Piece] = []
    helpers: dict[str, set[Statement]] = {}
    logs: dict[str, list[tuple[ast.Call, Statement]]] = {}
    for path, tree in parsed.items():
        flor = flor_names(tree)
        if flor.all():
            foreign = frozenset().union(*(m for p, m in mentions.items() if p != path))
            removed = _removed(tree, foreign)
        else:
            removed = []
        removed = _opened(removed, {index for file, index in opened if file == path}, tree)
        holding = [n for n in removed if any(flor.is_log(c) for c in ast.walk(n))]
        holding = _with_guards(tree, holding, removed)
        source = read_source(path, texts[path], tree, frozenset(holding))
        sources[path] = source
        helpers[path] = {source.of_node[n] for n in removed if n not in holding}
        logs[path] = [
            (node, statement)
            for statement in source.statements
            if flor.all()
            for node in _shallow_walk(statement.node)
            if isinstance(node, ast.Call) and flor.is_log(node)
        ]
        pieces += _pieces(source, [source.of_node[n] for n in holding], logs[path])
    broken = frozenset(path for path, tree in trees.items() if tree is None)
    return Marked(Version(texts, sources, broken), pieces, helpers, logs)


def _removed(tree: ast.Module, foreign: frozenset[str]) -> list[ast.stmt]:
    """The outermost statements that are there for log statements only, in textual order."""
    for number, node in enumerate(ast.walk(tree)):
        node._number = number  # type: ignore[attr-defined]
    known = {
        (name.partition(".")[0])
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in ([a.name for a in node.names] if isinstance(node, ast.Import)
                     else [node.module or ""])
    }  # fmt: skip
    left = strip(copy.deepcopy(tree), foreign, frozenset(known)).tree
    kept = {getattr(node, "_number", -1) for node in ast.walk(left)}
    return list(_outermost(tree, kept))


def _outermost(node: ast.AST, kept: set[int]) -> Iterator[ast.stmt]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.Import, ast.ImportFrom, ast.Pass)):
            continue
        if isinstance(child, ast.stmt) and child._number not in kept:  # type: ignore[attr-defined]
            yield child
        elif isinstance(child, (ast.stmt, ast.ExceptHandler, ast.match_case)):
            yield from _outermost(child, kept)


def _with_guards(
    tree: ast.Module, holding: list[ast.stmt], removed: list[ast.stmt]
) -> list[ast.stmt]:
    """With the guards that hold nothing else, though what they ask isn't known to be pure."""
    parents = {c: p for p in ast.walk(tree) for c in ast.iter_child_nodes(p)} if holding else {}
    inside = set(removed)
    found = []
    for node in holding:
        while True:
            guard = parents[node]
            above = parents.get(guard)
            if (
                not isinstance(guard, ast.If)
                or guard.orelse
                or not all(child in inside for child in guard.body)
                or not only_asks(guard.test)
                or is_elif_of(guard, above)
            ):
                break
            node = guard
            inside.add(guard)
        found.append(node)
    return list(dict.fromkeys(found))


def _opened(removed: list[ast.stmt], kept: set[int], tree: ast.Module) -> list[ast.stmt]:
    """Without the statements numbered `kept`, and without what is around these."""
    if not kept:
        return removed
    numbers: dict[ast.stmt, int] = {}
    _number(tree, numbers)
    found: list[ast.stmt] = []
    queue = list(removed)
    while queue:
        node = queue.pop(0)
        inside = {numbers[n] for n in ast.walk(node) if isinstance(n, ast.stmt)}
        if not inside & kept:
            found.append(node)
        else:
            queue += [s for _, block in named_blocks(node) for s in block]
    return sorted(found, key=lambda n: numbers[n])


def _number(node: ast.AST, numbers: dict[ast.stmt, int]) -> None:
    """The numbers that `read_source` gives to statements."""
    for _, block in named_blocks(node):
        for child in block:
            numbers[child] = len(numbers)
            _number(child, numbers)


def _shallow_walk(node: ast.AST) -> Iterator[ast.AST]:
    """A statement's nodes without the statements inside it."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, (ast.stmt, ast.ExceptHandler, ast.match_case)):
            yield from _shallow_walk(child)


def _pieces(
    source: Source, tops: list[Statement], logs: list[tuple[ast.Call, Statement]]
) -> list[Piece]:
    by_top = {top: Piece(top) for top in tops}
    ends = {index: top for top in tops for index in range(top.index, top.last + 1)}
    found = list(by_top.values())
    for call, statement in logs:
        top = ends.get(statement.index)
        if top is None:
            found.append(_embedded(source, call, statement))
            continue
        for key in _keys(call):
            made = _slice(source, call, statement, top, key)
            by_top[top].leaves.append(Leaf(made, call, statement.node, key))
    return [piece for piece in found if piece.leaves]


def _keys(call: ast.Call) -> list[int | None]:
    """A logged dictionary of several values is split by its keys."""
    if len(call.args) == 2 and isinstance(call.args[1], ast.Dict):
        keys = call.args[1].keys
        if len(keys) > 1 and all(isinstance(k, ast.Constant) for k in keys):
            return list(range(len(keys)))
    return [None]


def _slice(
    source: Source, call: ast.Call, statement: Statement, top: Statement, key: int | None
) -> Slice:
    guards = []
    around = statement
    while around is not top and around.block.owner is not None:
        around = around.block.owner
        guards.append(around.key)
    value = call.args[1] if key is not None else None
    label = value.keys[key] if isinstance(value, ast.Dict) and key is not None else None
    return Slice(
        source.path, statement.node.lineno, _scope(statement), name_of(call), ast.unparse(call),
        guard=": ".join(reversed(guards)) or None,
        key=str(label.value) if isinstance(label, ast.Constant) else None,
    )  # fmt: skip


def _scope(statement: Statement) -> str:
    return re.sub(r"#\d+", "", statement.unit.path)


def name_of(call: ast.Call) -> tuple[str, ...]:
    """The name that a log call fills, if it is a literal."""
    first = call.args[0] if call.args else None
    literal = isinstance(first, ast.Constant) and isinstance(first.value, str)
    return (first.value,) if literal else ()  # type: ignore[union-attr]


def _embedded(source: Source, call: ast.Call, statement: Statement) -> Piece:
    """A log call inside another statement: a log statement of its own after or before that one."""
    found = Slice(
        source.path, call.lineno, _scope(statement), name_of(call), ast.unparse(call)
    )  # fmt: skip
    piece = Piece(statement, [Leaf(found, call, statement.node)])
    node = statement.node
    if len(call.args) != 2:
        return piece
    callee, name = ast.unparse(call.func), ast.unparse(call.args[0])
    target = node.targets[0] if isinstance(node, ast.Assign) else None
    if isinstance(target, ast.Name) and node.value is call:  # type: ignore[attr-defined]
        piece.made = f"{callee}({name}, {target.id})"
    elif looks_pure(call.args[1]) and not isinstance(node, (ast.While,)):
        piece.made, piece.before = ast.unparse(call), True
    return piece


def selected(piece: Piece, names: Collection[str] | None) -> list[Leaf]:
    """The log calls of a piece that are asked for; one without a literal name always is."""
    return [
        leaf for leaf in piece.leaves
        if names is None or not leaf.slice.names or set(leaf.slice.names) & set(names)
    ]  # fmt: skip
