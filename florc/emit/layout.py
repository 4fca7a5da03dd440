"""Where the loops and calls of a text are, to the character: libcst's tree, measured."""

from __future__ import annotations

import libcst as cst
from libcst.metadata import CodePosition, CodeRange, MetadataWrapper, PositionProvider

from florc.emit.source_map import line_starts

Place = tuple[int, int]
"""A line (from 1) and a column in characters (from 0)."""


class Layout:
    """The measured text.  Raises libcst.ParserSyntaxError, RecursionError."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.starts = line_starts(text)
        # libcst drops form feeds at the start of a line; give it the text without them.
        self._feeds: dict[int, int] = {}
        measured = text
        if "\f" in text:
            lines = [text[a:b] for a, b in zip(self.starts, [*self.starts[1:], None], strict=True)]
            for number, line in enumerate(lines, 1):
                feeds = len(line) - len(line.lstrip("\f"))
                if feeds:
                    self._feeds[number] = feeds
            measured = "".join(line.lstrip("\f") for line in lines)
        wrapper = MetadataWrapper(cst.parse_module(measured), unsafe_skip_copy=True)
        self._ranges: dict[cst.CSTNode, CodeRange] = dict(wrapper.resolve(PositionProvider))
        self.loops: dict[Place, cst.For | cst.While] = {}
        """Each loop by the place where its statement begins."""
        self._calls: dict[Place, list[cst.Call]] = {}
        for node in self._ranges:  # inner nodes come before those around them
            if isinstance(node, (cst.For, cst.While)):
                self.loops[self.span(node)[0]] = node
            elif isinstance(node, cst.Call):
                self._calls.setdefault(self.span(node)[0], []).append(node)

    def call(self, place: Place, end: Place | None) -> cst.Call | None:
        """The call that begins at `place` and ends at `end`; the outermost if `end` is None."""
        calls = self._calls.get(place, [])
        if end is not None:
            calls = [call for call in calls if self.span(call)[1] == end]
        return calls[-1] if calls else None

    def line(self, number: int) -> str:
        """Line `number` without its ending."""
        start = self.starts[number - 1]
        end = self.starts[number] if number < len(self.starts) else len(self.text)
        return self.text[start:end].rstrip("\r\n")

    def characters(self, line: int, column: int) -> int:
        """A UTF-8 column of `ast` in characters."""
        return len(self.line(line).encode("utf-8", "surrogatepass")[:column].decode())

    def offset(self, place: Place) -> int:
        """The offset in the text of a place."""
        return self.starts[place[0] - 1] + place[1]

    def span(self, node: cst.CSTNode) -> tuple[Place, Place]:
        """Where a node begins and ends, without the parentheses around it."""
        place = self._ranges[node]
        return self._place(place.start), self._place(place.end)

    def extent(self, node: cst.BaseExpression) -> tuple[int, int]:
        """The offsets where an expression begins and ends, with the parentheses around it."""
        first: cst.CSTNode = node.lpar[0] if node.lpar else node
        last: cst.CSTNode = node.rpar[-1] if node.rpar else node
        return self.offset(self.span(first)[0]), self.offset(self.span(last)[1])

    def after_block(self, line: int, column: int) -> int | None:
        """The offset of the line after a block, past comments that are indented like the block.

        The block belongs to a statement at `column`, and its last statement ends in `line`.  None
        at the end of a text that lacks the final newline.
        """
        while self.line(line).endswith("\\"):  # `pass; \` joins a blank line to this one
            line += 1
        probe = line + 1
        while probe <= len(self.starts):
            text = self.line(probe)
            body = text.lstrip()
            if body.startswith("#") and len(text) - len(body) > column:
                line = probe
            elif body:
                break
            probe += 1
        return self.starts[line] if line < len(self.starts) else None

    def _place(self, position: CodePosition) -> Place:
        return position.line, position.column + self._feeds.get(position.line, 0)
