"""One version of a project as propagation sees it: statements, the blocks they stand in, units.

A *unit* is a module, a class or a function without those inside it.  Statements are numbered in
textual order through a file; log statements and their guards are marked, so that an alignment can
look past them.
"""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from florc.emit.source_map import NEWLINE
from florc.propagate.names import SCOPES, FlorNames, flor_names

_TOKEN = re.compile(r"[A-Za-z_]\w*|\d[\w.]*|'[^']*'|\"[^\"]*\"|\S")
LOOPS = (ast.For, ast.AsyncFor, ast.While)


@dataclass(eq=False, repr=False)
class Block:
    """A list of statements: `name` is "body", "orelse", "finalbody", "except E" or "case P"."""

    owner: Statement | None  # None for a module
    name: str
    unit: Unit
    statements: list[Statement] = field(default_factory=list)

    @cached_property
    def ancestors(self) -> tuple[Block, ...]:
        """It and those around it within the unit, innermost first."""
        found = [self]
        while (owner := found[-1].owner) is not None and owner.unit is self.unit:
            found.append(owner.block)
        return tuple(found)


@dataclass(eq=False, repr=False)
class Statement:
    """One statement.  `key` is its canonical text without its blocks."""

    node: ast.stmt
    index: int
    block: Block
    position: int
    unit: Unit
    key: str
    log: bool = False  # a log statement or a guard of such
    blocks: list[Block] = field(default_factory=list)
    last: int = 0  # the index of the last statement inside it

    @cached_property
    def tokens(self) -> tuple[str, ...]:
        """The words and signs of `key`."""
        return tuple(_TOKEN.findall(self.key))

    @cached_property
    def inner(self) -> tuple[str, ...]:
        """The keys of the statements inside it."""
        return tuple(s.key for b in self.blocks for c in b.statements for s in walk(c) if not s.log)

    @property
    def first_line(self) -> int:
        """Its first line, decorators included."""
        lines: list[int] = [d.lineno for d in getattr(self.node, "decorator_list", ())]
        return min(self.node.lineno, *lines) if lines else self.node.lineno

    @property
    def last_line(self) -> int:
        """The line where it ends."""
        return self.node.end_lineno or self.node.lineno

    @property
    def is_definition(self) -> bool:
        """Whether it defines a function or a class."""
        return isinstance(self.node, SCOPES)

    def __repr__(self) -> str:
        return f"<{self.unit.source.path}:{self.node.lineno} {self.key[:40]}>"


@dataclass(eq=False, repr=False)
class Unit:
    """A module, class or function: its own statements, flat and in textual order."""

    source: Source
    node: ast.AST
    path: str  # qualified name, "" for a module; "f#2" for a second one of the name
    parent: Unit | None
    statements: list[Statement] = field(default_factory=list)
    body: list[Block] = field(default_factory=list)  # one: its outermost block

    def __repr__(self) -> str:
        return f"<{self.source.path} {self.path or 'module'}>"

    @property
    def kind(self) -> str:
        """Either "module", "class" or "function"."""
        if isinstance(self.node, ast.Module):
            return "module"
        return "class" if isinstance(self.node, ast.ClassDef) else "function"

    @cached_property
    def plain(self) -> list[Statement]:
        """Its statements but for log statements."""
        return [s for s in self.statements if not s.log]


@dataclass(eq=False, repr=False)
class Source:
    """One file."""

    path: str
    text: str
    tree: ast.Module
    flor: FlorNames
    units: list[Unit] = field(default_factory=list)
    statements: list[Statement] = field(default_factory=list)
    of_node: dict[ast.stmt, Statement] = field(default_factory=dict)
    bindings: object | None = None  # see bound.bindings_of

    @cached_property
    def lines(self) -> list[str]:
        """Its lines, as `ast` counts them."""
        return NEWLINE.split(self.text)

    def unit(self, path: str) -> Unit | None:
        """The unit of a path."""
        return self._by_path.get(path)

    @cached_property
    def _by_path(self) -> dict[str, Unit]:
        return {unit.path: unit for unit in self.units}

    @property
    def module(self) -> Unit:
        """The unit of the module itself."""
        return self.units[0]

    def blocks(self) -> Iterator[Block]:
        """Every block of the file."""
        yield from self.module.body
        for statement in self.statements:
            yield from statement.blocks


def walk(statement: Statement) -> Iterator[Statement]:
    """A statement and those inside it."""
    yield statement
    for block in statement.blocks:
        for child in block.statements:
            yield from walk(child)


def parse(text: str) -> ast.Module | None:
    """The tree of a text; None if it can't be parsed."""
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def read_source(
    path: str, text: str, tree: ast.Module, logs: Collection[ast.stmt] = frozenset()
) -> Source:
    """A file's statements; those of `logs` are marked as log statements."""
    return _Reader(Source(path, text, tree, flor_names(tree)), logs).read()


class _Reader:
    def __init__(self, source: Source, logs: Collection[ast.stmt]) -> None:
        self.source = source
        self.logs = logs
        self.paths: dict[str, int] = {}  # how often each has been met

    def read(self) -> Source:
        unit = Unit(self.source, self.source.tree, "", None)
        self.source.units.append(unit)
        self.block(None, "body", self.source.tree.body, unit, log=False)
        return self.source

    def block(
        self, owner: Statement | None, name: str, body: list[ast.stmt], unit: Unit, log: bool
    ) -> None:
        made = Block(owner, name, unit)
        if owner is None or owner.unit is not unit:
            unit.body.append(made)
        if owner is not None:
            owner.blocks.append(made)
        for node in body:
            self.statement(node, made, log)

    def statement(self, node: ast.stmt, block: Block, log: bool) -> None:
        source, unit = self.source, block.unit
        log = log or node in self.logs
        statement = Statement(
            node, len(source.statements), block, len(block.statements), unit,
            header(node, source.flor), log,
        )  # fmt: skip
        source.statements.append(statement)
        source.of_node[node] = statement
        block.statements.append(statement)
        unit.statements.append(statement)
        inside = unit
        if isinstance(node, SCOPES):
            path = f"{unit.path}.{node.name}" if unit.path else node.name
            number = self.paths[path] = self.paths.get(path, 0) + 1
            inside = Unit(source, node, path if number == 1 else f"{path}#{number}", unit)
            source.units.append(inside)
        for name, body in named_blocks(node):
            self.block(statement, name, body, inside, log)
        statement.last = len(source.statements) - 1


def is_elif_of(node: ast.stmt, around: ast.AST | None) -> bool:
    """Whether an `if` is the `elif` of the one around it."""
    return (
        isinstance(node, ast.If)
        and isinstance(around, ast.If)
        and around.orelse == [node]
        and node.col_offset == around.col_offset
    )


def is_hollow(statement: Statement) -> bool:
    """Whether a compound statement's blocks hold nothing but `pass`."""
    inside = [s for block in statement.blocks for s in block.statements]
    return bool(inside) and all(isinstance(s.node, ast.Pass) for s in inside)


def named_blocks(node: ast.AST) -> Iterator[tuple[str, list[ast.stmt]]]:
    """The blocks of a compound statement, in textual order, with their names."""
    if body := getattr(node, "body", None):
        yield "body", body
    for number, handler in enumerate(getattr(node, "handlers", ())):
        kind = ast.unparse(handler.type) if handler.type else f"#{number}"
        yield f"except {kind}", handler.body
    for case in getattr(node, "cases", ()):
        yield f"case {ast.unparse(case.pattern)}", case.body
    for name in ("orelse", "finalbody"):
        if body := getattr(node, name, None):
            yield name, body


def header(node: ast.stmt, flor: FlorNames) -> str:
    """Canonical text of a statement without its blocks; calls of flor count as what they return."""
    if flor.all() and any(
        isinstance(n, ast.Name) and n.id in flor.all() for p in _own(node) for n in ast.walk(p)
    ):
        node = _Plain(flor).visit(_shallow(node))
    if isinstance(node, ast.If):
        return f"if {ast.unparse(node.test)}"
    if isinstance(node, ast.While):
        return f"while {ast.unparse(node.test)}"
    if isinstance(node, (ast.For, ast.AsyncFor)):
        return f"for {ast.unparse(node.target)} in {ast.unparse(node.iter)}"
    if isinstance(node, (ast.With, ast.AsyncWith)):
        return f"with {', '.join(map(ast.unparse, node.items))}"
    if isinstance(node, ast.ClassDef):
        return f"class {node.name}({', '.join(map(ast.unparse, node.bases))})"
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return f"def {node.name}({ast.unparse(node.args)})"
    if isinstance(node, ast.Match):
        return f"match {ast.unparse(node.subject)}"
    if hasattr(node, "handlers"):
        return "try"
    return ast.unparse(node)


def _own(node: ast.stmt) -> list[ast.AST]:
    """The parts of a statement that aren't statements."""
    return [
        child for child in ast.iter_child_nodes(node)
        if not isinstance(child, (ast.stmt, ast.ExceptHandler, ast.match_case))
    ]  # fmt: skip


def _shallow(node: ast.stmt) -> ast.stmt:
    """A copy of a statement with empty blocks."""
    made = copy.copy(node)
    for name in ("body", "orelse", "finalbody", "handlers", "cases"):
        if isinstance(getattr(made, name, None), list):
            setattr(made, name, [])
    return copy.deepcopy(made)


class _Plain(ast.NodeTransformer):
    """`flor.loop("epoch", xs)` means `xs`; so with `arg` and `log`."""

    def __init__(self, flor: FlorNames) -> None:
        self._flor = flor

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        function = node.func
        ours = (isinstance(function, ast.Name) and function.id in self._flor.all()) or (
            isinstance(function, ast.Attribute)
            and isinstance(function.value, ast.Name)
            and function.value.id in self._flor.modules
        )
        return node.args[1] if ours and len(node.args) == 2 else node


@dataclass(eq=False)
class Version:
    """The files of one version that can be parsed, and the names of those that can't."""

    texts: Mapping[str, str]
    sources: dict[str, Source]
    broken: frozenset[str]

    def units(self) -> Iterator[Unit]:
        """Every unit, file by file."""
        for source in self.sources.values():
            yield from source.units

    @cached_property
    def mentioned(self) -> frozenset[str]:
        """Attributes, names and words of strings that the version holds anywhere."""
        found: set[str] = set()
        for source in self.sources.values():
            found |= words(source.tree)
        return frozenset(found)


def words(tree: ast.AST) -> set[str]:
    """Names, attributes, keywords, and strings as names (`--batch-size` is `batch_size`)."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, (ast.arg, ast.keyword)) and node.arg:
            found.add(node.arg)
        elif isinstance(node, SCOPES):
            found.add(node.name)
        elif isinstance(node, ast.alias):
            found.add(node.asname or node.name)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if len(node.value) < 100:
                found.add(node.value.lstrip("-").replace("-", "_"))
    return found
