"""Positions of emitted text, mapped back to the user's own.

Emission only ever inserts text into the user's text, so each emitted line stems from one line of
the user's.  A source map has one row per emitted line::

    (line, ((column, delta), …))

`line` is the user's line.  Each pair says: from this emitted column on, the user's column is the
emitted one plus `delta`, but never beyond the place where the next pair begins; so everything
inserted collapses to the point of its insertion.  An empty tuple means that columns are the same.
Columns are UTF-8 byte offsets, as in `ast`.  This module is used at run time: keep it light.
"""

from __future__ import annotations

import ast
import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Columns = tuple[tuple[int, int], ...]
SourceMap = tuple[tuple[int, Columns], ...]

NEWLINE = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True)
class Insertion:
    """`text`, to be inserted before `original[at]`; offsets are in characters.

    Lines that consist of inserted text alone take the position `anchor`: the user's line and the
    byte column where the range that stands in for them ends.  `closing` says that the text ends
    something: it stays left of what begins at the same offset.
    """

    at: int
    text: str
    anchor: tuple[int, int] = (1, 0)
    closing: bool = False


@dataclass
class _Row:
    """The emitted line that is being put together."""

    line: int = 0  # 0: nothing of the user's so far
    width: int = 0  # emitted bytes so far
    columns: tuple[tuple[int, int], ...] = ()

    def keep(self, text: str, line: int, column: int) -> None:
        delta = column - self.width
        self.line = self.line or line
        if not self.columns or self.columns[-1][1] != delta:
            self.columns += ((self.width, delta),)
        self.width += _bytes(text)

    def finish(self, anchor: tuple[int, int]) -> tuple[int, Columns]:
        if not self.line:
            line, end = anchor
            return line, ((0, 0), (self.width, end - self.width))
        return self.line, () if self.columns == ((0, 0),) else self.columns


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def line_starts(text: str) -> list[int]:
    """Offsets (characters) at which the lines of `text` begin, as Python counts lines."""
    return [0, *(match.end() for match in NEWLINE.finditer(text))]


def spliced(original: str, insertions: Sequence[Insertion]) -> str:
    """`original` with the insertions, which are sorted, made."""
    parts: list[str] = []
    at = 0
    for insertion in insertions:
        parts += (original[at : insertion.at], insertion.text)
        at = insertion.at
    return "".join([*parts, original[at:]])


def build(original: str, insertions: Sequence[Insertion]) -> SourceMap:
    """The map from `spliced(original, insertions)` to `original`."""
    starts = line_starts(original)
    rows: list[tuple[int, Columns]] = []
    row = _Row()

    def keep(start: int, end: int) -> None:
        nonlocal row
        while start < end:
            index = bisect_right(starts, start) - 1
            stop = min(end, starts[index + 1] if index + 1 < len(starts) else len(original))
            row.keep(original[start:stop], index + 1, _bytes(original[starts[index] : start]))
            if index + 1 < len(starts) and stop == starts[index + 1]:
                rows.append(row.finish((index + 1, 0)))
                row = _Row()
            start = stop

    at = 0
    for insertion in insertions:
        keep(at, insertion.at)
        lines = NEWLINE.split(insertion.text)
        for number, text in enumerate(lines):
            row.width += _bytes(text)
            if number + 1 < len(lines):
                rows.append(row.finish(insertion.anchor))
                row = _Row()
        at = insertion.at
        if at == len(original) and row.width and not row.line:
            rows.append(row.finish(insertion.anchor))
            row = _Row()
    keep(at, len(original))
    if row.width:
        index = bisect_right(starts, len(original)) - 1
        row.keep("", index + 1, _bytes(original[starts[index] :]))
        rows.append(row.finish((index + 1, 0)))
    return tuple(rows)


def position(
    source_map: SourceMap, line: int, column: int, *, end: bool = False
) -> tuple[int, int]:
    """The user's (line, byte column) of an emitted one.  Lines past the end map to the last.

    `end`: the position is the end of a node, so where two pieces meet it belongs to the left one.
    """
    if not source_map:
        return line, column
    origin, columns = source_map[min(max(line, 1), len(source_map)) - 1]
    if not columns:
        return origin, column
    index = bisect_right(columns, (column, -1 << 62 if end else 1 << 62)) - 1
    if index < 0:
        start, delta = columns[0]
        return origin, start + delta
    mapped = column + columns[index][1]
    if index + 1 < len(columns):
        mapped = min(mapped, sum(columns[index + 1]))
    return origin, max(mapped, 0)


def original_line(source_map: SourceMap, line: int) -> int:
    """The user's line of an emitted line."""
    return position(source_map, line, 0)[0]


def apply(tree: ast.Module, source_map: SourceMap) -> ast.Module:
    """Give every node of `tree`, parsed from emitted text, the user's positions; in place."""
    if not source_map:
        return tree
    lines = [0, *(line for line, _ in source_map)]
    shifted = {number for number, (_, columns) in enumerate(source_map, 1) if columns}
    last = len(source_map)
    blocks: list[tuple[ast.AST, list[ast.stmt]]] = []
    for node in ast.walk(tree):
        line = getattr(node, "lineno", None)
        if line is None:
            continue
        tail = _last_block(node)
        if tail:
            blocks.append((node, tail))
        place: Any = node
        if line in shifted or line > last:
            place.lineno, place.col_offset = position(source_map, line, place.col_offset)
        else:
            place.lineno = lines[line]
        end = place.end_lineno
        if end is None:
            continue
        if end in shifted or end > last:
            where = position(source_map, end, place.end_col_offset, end=True)
            place.end_lineno, place.end_col_offset = where
        else:
            place.end_lineno = lines[end]
    _mend_ends(blocks)
    return tree


def _last_block(node: ast.AST) -> list[ast.stmt] | None:
    """The statements that end a compound statement, None for any other node."""
    if not isinstance(node, (ast.stmt, ast.ExceptHandler)):
        return None
    if isinstance(node, ast.Match):
        return node.cases[-1].body
    for name in ("finalbody", "orelse", "handlers", "body"):
        block: list[ast.stmt] | None = getattr(node, name, None)
        if block:
            return block
    return None


def _mend_ends(blocks: Sequence[tuple[ast.AST, list[ast.stmt]]]) -> None:
    """Where an inserted ``flor_x.end()`` closes a block, let the block end with its loop.

    The inserted line stands for the loop's header, so the end of whatever encloses it came out as
    the header's.  `blocks` is ordered from the outside to the inside.
    """
    mended: set[int] = set()
    for node, block in reversed(blocks):
        tail = block[-1]
        if len(block) > 1 and _closes(block[-2], tail):
            tail = block[-2]
        elif id(tail) not in mended:
            continue
        mended.add(id(node))
        target: Any = node
        target.end_lineno, target.end_col_offset = tail.end_lineno, tail.end_col_offset


def _closes(loop: ast.stmt, statement: ast.stmt) -> bool:
    """Whether `statement` is the ``flor_x.end()`` inserted behind `loop`."""
    return (
        isinstance(loop, ast.While)
        and statement.lineno == loop.lineno
        and isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Call)
        and isinstance(statement.value.func, ast.Attribute)
        and statement.value.func.attr == "end"
    )
