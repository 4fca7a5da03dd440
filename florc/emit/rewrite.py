"""Emission: a module's text with the calls to the run time in it.

libcst finds the exact extent of what is to be wrapped, parentheses and comments included; text is
only ever inserted, so whatever the user wrote stays as it is, byte for byte.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass

import libcst as cst

from florc.compilation import Edit, SourceModule
from florc.emit.instrumented import ABI, abi_alias, instrumented_loops
from florc.emit.layout import Layout
from florc.emit.source_map import NEWLINE, Insertion, SourceMap, build, spliced

VARIANTS = ("record", "replay")


class EmitError(Exception):
    """A module can't be rewritten; (`rel`, `line`) is the place in the user's text (0: none)."""

    def __init__(self, line: int, message: str, rel: str = "") -> None:
        super().__init__(message)
        self.line = line
        self.rel = rel


@dataclass(frozen=True)
class Emitted:
    """An emitted module and the way back to the user's positions."""

    text: str
    source_map: SourceMap


def emit(module: SourceModule, edits: Iterable[Edit], variant: str = "record") -> Emitted:
    """Rewrite one module.

    Both variants have the same text: the run time's mode decides what the calls do.  Loops that are
    instrumented already are left alone; a module without edits comes back as it is, with the empty
    map.  Raises EmitError when an edit has no loop at its place or the text is too deeply nested.
    """
    if variant not in VARIANTS:
        raise ValueError(f"unknown variant {variant!r}")
    mine = sorted({e for e in edits if e.rel == module.rel}, key=lambda e: (e.line, e.col, e.kind))
    if not mine:
        return Emitted(module.text, ())
    try:
        rewriter = _Rewriter(module.text)
        insertions = rewriter.insertions(mine)
        text = spliced(module.text, insertions)
        if insertions:
            ast.parse(text)
    except RecursionError:
        raise EmitError(0, "too deeply nested to be rewritten") from None
    except cst.ParserSyntaxError as error:
        raise EmitError(error.editor_line, f"can't be rewritten: {error.message}") from None
    return Emitted(text, build(module.text, insertions) if insertions else ())


class _Rewriter:
    """The insertions of one module."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tree = ast.parse(text)
        self.layout = Layout(text)
        ending = NEWLINE.search(text)
        self.newline = ending.group() if ending else "\n"
        self.ascii = not _is_unicode(text)
        self.taken = set(re.findall(r"\bflor_\w+", text))
        alias = abi_alias(self.tree)
        self.needs_import = alias is None
        self.abi = alias or self.fresh("flor_abi")

    def insertions(self, edits: list[Edit]) -> list[Insertion]:
        """The insertions for `edits` (sorted by place), in order."""
        done = {
            (line, self.layout.characters(line, column))
            for line, column in instrumented_loops(self.tree)
        }
        made: list[Insertion] = []
        for edit in edits:
            place = (edit.line, edit.col)
            if place in done:
                continue
            if edit.kind in ("iterator", "region"):
                call = self.layout.call(place, edit.end)
                if call is None:
                    raise EmitError(edit.line, "no call begins here")
                wrapped = edit.kind == "region"
                made += self._region(call, edit.loop) if wrapped else self._iterator(call)
                continue
            loop = self.layout.loops.get(place)
            if isinstance(loop, cst.For) and edit.kind == "for" and loop.asynchronous is None:
                made += self._for(loop, edit)
            elif isinstance(loop, cst.While) and edit.kind == "while":
                made += self._while(loop, edit)
            else:
                raise EmitError(edit.line, f"no `{edit.kind}` loop begins here")
        if made and self.needs_import:
            made.insert(0, self._import())
        return in_order(made)

    def fresh(self, name: str) -> str:
        """`name`, with underscores appended until the user's text doesn't hold it."""
        while name in self.taken:
            name += "_"
        self.taken.add(name)
        return name

    def _literal(self, value: str) -> str:
        return json.dumps(value, ensure_ascii=self.ascii)

    def _arguments(self, edit: Edit) -> str:
        """The keyword arguments for `edit`, with a leading comma."""
        if not edit.training:
            return ""
        items = ", ".join(self._literal(path) for path in edit.state)
        return f", state=({items},)" if len(edit.state) == 1 else f", state=({items})"

    def _gap(self, offset: int) -> str:
        """A space where text inserted at `offset` would run into the word before it."""
        before = self.text[offset - 1 : offset]
        return " " if before.isidentifier() or before.isdigit() else ""

    def _line_anchor(self, line: int) -> tuple[int, int]:
        """What stands for an inserted line: the user's `line`, up to its end."""
        return line, len(self.layout.line(line).rstrip().encode("utf-8", "surrogatepass"))

    def _for(self, loop: cst.For, edit: Edit) -> list[Insertion]:
        start, end = self.layout.extent(loop.iter)
        bare_tuple = isinstance(loop.iter, cst.Tuple) and not loop.iter.lpar
        opening, closing = ("(", ")") if bare_tuple else ("", "")
        before = f"{self._gap(start)}{self.abi}.loop({self._literal(edit.loop)}, {opening}"
        return [
            Insertion(start, before),
            Insertion(end, f"{closing}{self._arguments(edit)})", closing=True),
        ]

    def _while(self, loop: cst.While, edit: Edit) -> list[Insertion]:
        variable = self.fresh("flor_" + (re.sub(r"\W", "_", edit.loop) or "loop"))
        (line, column), (last, _) = self.layout.span(loop)
        indent = self.layout.line(line)[:column]
        anchor = self._line_anchor(line)
        call = f"{self.abi}.while_loop({self._literal(edit.loop)}{self._arguments(edit)})"
        top = self.layout.offset((line, 0))
        made = [Insertion(top, f"{indent}{variable} = {call}{self.newline}", anchor)]
        start, end = self.layout.extent(loop.test)
        head = f"{self._gap(start)}{variable}.head()"
        if _always_true(loop.test) or loop.test.lpar:
            made.append(Insertion(start, f"{head} and "))
        else:
            made.append(Insertion(start, f"{head} and ("))
            made.append(Insertion(end, ")", closing=True))
        after = self.layout.after_block(last, column)
        closing = f"{indent}{variable}.end()"
        if after is None:  # the text ends here, without a newline
            at, closing = len(self.text), self.newline + closing
        else:
            at, closing = after, closing + self.newline
        return [*made, Insertion(at, closing, anchor, closing=True)]

    def _iterator(self, call: cst.Call) -> list[Insertion]:
        """`iterator(f)(…)`: what `f` makes will remember how it was made."""
        return self._instead(call, f"{self.abi}.iterator(")

    def _region(self, call: cst.Call, name: str) -> list[Insertion]:
        """`after(region("name", f)(…))`: the call stays one of the user's own frame."""
        end = self.layout.offset(self.layout.span(call)[1])
        named = f"{self.abi}.after({self.abi}.region({self._literal(name)}, "
        return [*self._instead(call, named), Insertion(end, ")", closing=True)]

    def _instead(self, call: cst.Call, before: str) -> list[Insertion]:
        """`before` the callee, and a parenthesis behind it: what that gives is called instead."""
        start = self.layout.offset(self.layout.span(call)[0])
        callee = self.layout.extent(call.func)[1]
        return [
            Insertion(start, f"{self._gap(start)}{before}"),
            Insertion(callee, ")", closing=True),
        ]

    def _import(self) -> Insertion:
        """The import, before the first statement that is neither docstring nor __future__."""
        statement = f"from {ABI} import abi as {self.abi}"
        body = self.tree.body
        index = 1 if ast.get_docstring(self.tree, clean=False) is not None else 0
        while index < len(body) - 1 and _is_future(body[index]):
            index += 1
        first = body[index]
        line = min([first.lineno, *(d.lineno for d in getattr(first, "decorator_list", ()))])
        if index > 0 and body[index - 1].end_lineno == line:
            at = self.layout.offset((line, self.layout.characters(line, first.col_offset)))
            return Insertion(at, f"{statement}; ")
        at = self.layout.offset((line, 0))
        return Insertion(at, f"{statement}{self.newline}", self._line_anchor(line))


def in_order(insertions: list[Insertion]) -> list[Insertion]:
    """Sort insertions of which outer ones come before inner ones.

    At one offset: closings first, from the inside to the outside; then openings, from the outside
    to the inside.
    """
    numbered = list(enumerate(insertions))
    numbered.sort(
        key=lambda item: (
            item[1].at,
            not item[1].closing,
            -item[0] if item[1].closing else item[0],
        )
    )
    return [insertion for _, insertion in numbered]


def _is_future(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.ImportFrom) and statement.module == "__future__"


def _always_true(test: cst.BaseExpression) -> bool:
    """`while True` and `while 1`, the idioms for an endless loop."""
    return (isinstance(test, cst.Name) and test.value == "True") or (
        isinstance(test, cst.Integer) and test.evaluated_value == 1
    )


def _is_unicode(text: str) -> bool:
    """Whether the text's coding declaration lets us write any character."""
    for line in text[:400].splitlines()[:2]:
        found = re.match(r"[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)", line)
        if found:
            return found.group(1).lower().replace("_", "-").startswith("utf-8")
    return True
