"""Text: a statement cut out of the new version, fitted to a place of the old one, and put there."""

from __future__ import annotations

import ast
import copy
import io
import re
import tokenize
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from florc.emit.source_map import NEWLINE
from florc.propagate.bound import free_nodes
from florc.propagate.slots import Slot
from florc.propagate.source import Block, Source, Statement

_INDENT = re.compile(r"[ \t\f]*")


class CannotSplice(Exception):
    """The place has no room for the statement; the message says why."""


@dataclass(frozen=True)
class Insertion:
    """Text to be put at an offset; those at one offset come in the order of `rank`."""

    offset: int
    text: str
    rank: tuple[int, ...] = ()


class Lines:
    """Offsets of a text's lines, and the characters that end them."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.starts = [0]
        self.ends: list[int] = []  # before the newline
        for match in NEWLINE.finditer(text):
            self.ends.append(match.start())
            self.starts.append(match.end())
        self.ends.append(len(text))
        first = NEWLINE.search(text)
        self.newline = first[0] if first else "\n"

    def offset(self, line: int, column: int) -> int:
        """The offset of a place as `ast` gives it: the column counts bytes."""
        start = self.starts[line - 1]
        whole = self.text[start : self.ends[line - 1]]
        if whole.isascii():
            return start + column
        return start + len(whole.encode("utf-8")[:column].decode("utf-8", "ignore"))

    def line(self, number: int) -> str:
        """A line without its end."""
        return self.text[self.starts[number - 1] : self.ends[number - 1]]

    def indent(self, number: int) -> str:
        """The white space that a line begins with."""
        found = _INDENT.match(self.line(number))
        return found[0] if found else ""


# -- cutting out ----------------------------------------------------------------------------------


def cut(
    source: Source, node: ast.stmt, renames: Mapping[str, str], fresh: Mapping[str, str],
    dropped: Collection[ast.AST],
) -> ast.stmt | str:  # fmt: skip
    """The text of a statement with names replaced and parts dropped.

    `renames` holds for what is read from outside, `fresh` for what the statement binds too;
    `dropped` are statements inside it and values of dictionaries.  Text as it is in the source
    where the positions of all names are to be trusted, else the changed tree.
    """
    lines = Lines(source.text)
    edits: list[tuple[int, int, str]] = []
    for name in free_nodes(node):
        if name.id in renames and hasattr(name, "lineno"):
            edits.append(_edit(lines, name, renames[name.id]))
    for child in ast.walk(node):
        if isinstance(child, ast.Name) and child.id in fresh:
            edits.append(_edit(lines, child, fresh[child.id]))
    exact = all(
        lines.text[a:b] == was for (a, b, _), was in zip(edits, _names(node, renames, fresh))
    )
    if dropped or not exact:
        return changed(node, renames, fresh, dropped)
    start = lines.offset(node.lineno, node.col_offset)
    decorators = getattr(node, "decorator_list", [])
    if decorators:
        start = lines.text.rindex(
            "@", 0, lines.offset(decorators[0].lineno, decorators[0].col_offset)
        )
    end = lines.offset(node.end_lineno or node.lineno, node.end_col_offset or 0)
    comment = re.match(r"[ \t]*#.*", lines.text[end : lines.ends[(node.end_lineno or 1) - 1]])
    if comment:
        end += comment.end()
    text = lines.text
    for a, b, word in sorted(set(edits), reverse=True):
        text = text[:a] + word + text[b:]
        end += len(word) - (b - a)
    return text[start:end]


def _edit(lines: Lines, name: ast.Name, word: str) -> tuple[int, int, str]:
    start = lines.offset(name.lineno, name.col_offset)
    return start, start + len(name.id), word


def _names(node: ast.stmt, renames: Mapping[str, str], fresh: Mapping[str, str]) -> list[str]:
    read = [n.id for n in free_nodes(node) if n.id in renames and hasattr(n, "lineno")]
    own = [n.id for n in ast.walk(node) if isinstance(n, ast.Name) and n.id in fresh]
    return [*read, *own]


def changed(
    node: ast.stmt, renames: Mapping[str, str], fresh: Mapping[str, str],
    dropped: Collection[ast.AST],
) -> ast.stmt:  # fmt: skip
    """A copy of a statement with names replaced and parts dropped."""
    read = {id(n) for n in free_nodes(node)}
    gone = {id(n) for n in dropped}
    numbers = {id(n): i for i, n in enumerate(ast.walk(node))}
    copied = copy.deepcopy(node)
    twins = dict(enumerate(ast.walk(copied)))
    renamed = {id(twins[numbers[i]]) for i in read if i in numbers}
    removed = {id(twins[numbers[i]]) for i in gone if i in numbers}
    for child in ast.walk(copied):
        if isinstance(child, ast.Name):
            if child.id in fresh:
                child.id = fresh[child.id]
            elif id(child) in renamed:
                child.id = renames.get(child.id, child.id)
        if isinstance(child, ast.Dict):
            kept = [i for i, v in enumerate(child.values) if id(v) not in removed]
            child.keys = [child.keys[i] for i in kept]
            child.values = [child.values[i] for i in kept]
        for name in ("body", "orelse", "finalbody"):
            block = getattr(child, name, None)
            if isinstance(block, list):
                block[:] = [s for s in block if id(s) not in removed]
    _prune(copied)
    return copied


def _prune(node: ast.stmt) -> bool:
    """Take out compound statements that lost all their body; False if this is one."""
    body = getattr(node, "body", None)
    if not isinstance(body, list):
        return True
    for name in ("body", "orelse"):
        block = getattr(node, name, None)
        if isinstance(block, list):
            block[:] = [s for s in block if _prune(s)]
    if not body and getattr(node, "orelse", None):
        body.append(ast.Pass())
    return bool(body)


# -- fitting in -----------------------------------------------------------------------------------


def reindented(text: str, base: str, indent: str, unit: str, newline: str) -> str:
    """A statement's text at another indentation, without a newline at its end.

    `base` is the white space that the text's own lines begin with, `indent` the new one, `unit`
    what a block inside it is indented by.  Lines within strings stay as they are.
    """
    rows = NEWLINE.split(text)
    if len(rows) == 1:
        return indent + text
    inside, starts = _rows(text, base)
    levels: list[int] = [0]
    made = [indent + rows[0]]
    for number, row in enumerate(rows[1:], 2):
        if number in inside or not row.strip():
            made.append(row if number in inside else "")
            continue
        bare = row.lstrip(" \t\f")
        width = len(row[: len(row) - len(bare)].expandtabs(8)) - len(base.expandtabs(8))
        if number in starts or bare.startswith("#"):
            while width < levels[-1]:
                levels.pop()
            if width > levels[-1]:
                levels.append(width)
            made.append(indent + unit * (len(levels) - 1) + bare)
        else:
            made.append(indent + unit * (len(levels) - 1) + " " * max(0, width - levels[-1]) + bare)
    return newline.join(made)


def _rows(text: str, base: str) -> tuple[set[int], set[int]]:
    """Lines that begin within a string, and lines where a logical line begins."""
    inside: set[int] = set()
    starts: set[int] = set()
    fresh = True
    opened: list[int] = []
    try:
        for token in tokenize.generate_tokens(io.StringIO(base + text).readline):
            if token.type in (tokenize.INDENT, tokenize.DEDENT, tokenize.COMMENT, tokenize.NL):
                continue
            if fresh and token.type != tokenize.NEWLINE:
                starts.add(token.start[0])
            fresh = token.type == tokenize.NEWLINE
            kind = tokenize.tok_name[token.type]
            if kind == "FSTRING_START":
                opened.append(token.start[0])
            elif kind == "FSTRING_END" and opened:
                inside.update(range(opened.pop() + 1, token.end[0] + 1))
            elif kind == "STRING":
                inside.update(range(token.start[0] + 1, token.end[0] + 1))
    except (tokenize.TokenError, IndentationError):
        pass
    return inside, starts


def indent_unit(source: Source, lines: Lines) -> str:
    """What the file indents blocks by."""
    for block in source.blocks():
        if block.owner is None or not block.statements:
            continue
        line = block.statements[0].first_line
        if line > block.owner.node.lineno:
            outer = lines.indent(block.owner.node.lineno)
            inner = lines.indent(line)
            if inner.startswith(outer) and len(inner) > len(outer):
                return inner[len(outer) :]
    return "    "


def insertion(
    source: Source, lines: Lines, slot: Slot, made: str | ast.stmt, base: str, rank: tuple[int, ...]
) -> Insertion:
    """The text to insert for a statement at a slot.  Raises CannotSplice."""
    text = made if isinstance(made, str) else ast.unparse(made)
    base = base if isinstance(made, str) else ""
    unit = indent_unit(source, lines)
    block, position = slot.block, slot.position
    if not block.statements:
        return _new_branch(lines, block, text, base, unit, rank)
    before = block.statements[position - 1] if position else None
    after = block.statements[position] if position < len(block.statements) else None
    if _inline(block, before, after, lines):
        return _on_line(lines, block, before, after, text, rank)
    anchor = before or after
    assert anchor is not None
    indent = lines.indent(anchor.first_line)
    body = reindented(text, base, indent, unit, lines.newline)
    if before is not None:
        return _behind(lines, before.last_line, body, rank)
    assert after is not None
    line = _above_comments(lines, after, block)
    return Insertion(lines.starts[line - 1], body + lines.newline, rank)


def _behind(lines: Lines, line: int, body: str, rank: tuple[int, ...]) -> Insertion:
    if line < len(lines.starts):
        return Insertion(lines.starts[line], body + lines.newline, rank)
    return Insertion(len(lines.text), lines.newline + body, rank)  # no newline at the end


def _above_comments(lines: Lines, after: Statement, block: Block) -> int:
    """The first line of the comments that stand directly above a statement."""
    line = after.first_line
    least = block.owner.node.lineno + 1 if block.owner is not None else 1
    indent = lines.indent(line)
    while line > least:
        row = lines.line(line - 1)
        if not row.startswith(indent + "#") or (line - 1 <= 2 and block.owner is None):
            break
        line -= 1
    return line


def _new_branch(
    lines: Lines, block: Block, text: str, base: str, unit: str, rank: tuple[int, ...]
) -> Insertion:
    """An `else` for an `if` that has none."""
    owner = block.owner
    assert owner is not None
    inner = owner.blocks[0].statements
    if inner[0].first_line == owner.node.lineno:
        raise CannotSplice("the block stands on one line")
    indent = lines.indent(owner.node.lineno)
    body = reindented(text, base, indent + unit, unit, lines.newline)
    found = _behind(lines, owner.last_line, body, rank)
    if rank[-1:] == (0,):  # the first one of the branch
        lead, tail = ("", lines.newline) if found.offset < len(lines.text) or lines.text.endswith(
            ("\n", "\r")) else (lines.newline, "")  # fmt: skip
        return Insertion(found.offset, f"{lead}{indent}else:{lines.newline}{body}{tail}", rank)
    return found


def _inline(block: Block, before: Statement | None, after: Statement | None, lines: Lines) -> bool:
    """Whether the place is in the middle of a line."""
    if before is not None and after is not None and before.last_line == after.first_line:
        return True
    edge = before or after
    assert edge is not None
    if before is None:
        head = lines.text[
            lines.starts[edge.first_line - 1] : lines.offset(
                edge.node.lineno, edge.node.col_offset
            )
        ] if edge.first_line == edge.node.lineno else ""  # fmt: skip
        return bool(head.strip())
    if before.blocks:
        return False
    end = lines.offset(before.last_line, before.node.end_col_offset or 0)
    rest = lines.text[end : lines.ends[before.last_line - 1]].strip()
    if rest and not rest.startswith("#"):
        return True
    owner = block.owner
    return owner is not None and owner.node.lineno == before.first_line and not rest.startswith("@")


def _on_line(
    lines: Lines, block: Block, before: Statement | None, after: Statement | None, text: str,
    rank: tuple[int, ...],
) -> Insertion:  # fmt: skip
    text = re.sub(r"\s+#[^'\"]*$", "", text)
    compound = text.split(" ", 1)[0].rstrip(":") in ("if", "for", "with", "def", "while", "try")
    if compound or NEWLINE.search(text):
        raise CannotSplice("the block stands on one line")
    if after is not None:
        if after.blocks:
            raise CannotSplice("the block stands on one line")
        return Insertion(lines.offset(after.node.lineno, after.node.col_offset), text + "; ", rank)
    assert before is not None
    if before.blocks:
        raise CannotSplice("the block stands on one line")
    end = lines.offset(before.last_line, before.node.end_col_offset or 0)
    return Insertion(end, "; " + text, rank)


def spliced(text: str, insertions: Sequence[Insertion]) -> str:
    """The text with everything put in."""
    for made in sorted(insertions, key=lambda i: (i.offset, i.rank), reverse=True):
        text = text[: made.offset] + made.text + text[made.offset :]
    return text
