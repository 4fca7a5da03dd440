"""Calls to trackers that only today's text has mean `flor.log` where an older version is asked.

`writer.add_scalar("norm", value, step)` was added today: an old version, which perhaps has no
writer, can be asked for `norm` as if there stood `flor.log("norm", value)`.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from florc.emit.source_map import NEWLINE
from florc.logcalls.constant import Written, written
from florc.logcalls.model import LogCall
from florc.plan import LogStatement
from florc.propagate.names import flor_names


def as_log_statements(
    old: Mapping[str, str],
    new: Mapping[str, str],
    logs: Collection[LogStatement],
    calls: Mapping[str, LogCall],
) -> dict[str, str]:
    """`new` with log statements in the place of captured calls that `old` hasn't.

    `logs` are the log statements of the new version; lines stay where they are.
    """
    found = dict(new)
    for path, text in new.items():
        names: dict[int, set[str]] = {}
        for log in logs:
            if log.captured and log.file == path:
                names.setdefault(log.line, set()).add(str(log.name))
        if names and old.get(path) != text:
            found[path] = _rewritten(old.get(path, ""), text, names, calls)
    return found


@dataclass(frozen=True)
class _Edit:
    start: tuple[int, int]  # line from 0, offset in bytes
    end: tuple[int, int]
    text: str


def _rewritten(
    old: str, text: str, names: Mapping[int, set[str]], calls: Mapping[str, LogCall]
) -> str:
    try:
        tree, before = ast.parse(text), ast.parse(old)
    except (SyntaxError, ValueError, RecursionError):
        return text
    there = Counter(ast.unparse(node) for node in _calls(before))
    prefix, imports = "flor.", []
    known = flor_names(tree)
    if known.modules:
        prefix = f"{min(known.modules)}."
    elif (place := _importing(tree)) is not None:
        imports.append(_Edit(place, place, "import flor; "))
    else:
        return text
    edits = []
    for node in _calls(tree):
        shown = ast.unparse(node)
        if there[shown]:
            there[shown] -= 1
        elif node.lineno in names:
            edit = _edit(text, node, names[node.lineno], calls, prefix)
            edits += [edit] if edit is not None else []
    return _applied(text, [*imports, *edits]) if edits else text


def _calls(tree: ast.Module) -> Iterator[ast.Expr]:
    """Statements that are a call, in the order of the text."""
    found = (n for n in ast.walk(tree) if isinstance(n, ast.Expr) and isinstance(n.value, ast.Call))
    return iter(sorted(found, key=lambda node: (node.lineno, node.col_offset)))


def _edit(
    text: str, node: ast.Expr, names: set[str], calls: Mapping[str, LogCall], prefix: str
) -> _Edit | None:
    assert isinstance(node.value, ast.Call) and node.end_lineno and node.end_col_offset is not None
    pairs = _pairs(node.value, names, calls)
    if not pairs:
        return None
    made = []
    for name, value in pairs:
        segment = ast.get_source_segment(text, value)
        if segment is None:
            return None
        made.append(f"{prefix}log({name!r}, {segment}")
    joined = "); ".join(made)
    lost = "\n" * (node.end_lineno - node.lineno - len(NEWLINE.split(joined)) + 1)
    line = NEWLINE.split(text)[node.end_lineno - 1].encode("utf-8", "surrogatepass")
    rest = line[node.end_col_offset :].strip()
    return _Edit(
        (node.lineno - 1, node.col_offset),
        (node.end_lineno - 1, node.end_col_offset),
        joined + (lost + ")" if rest and not rest.startswith(b"#") else ")" + lost),
    )


def _pairs(node: ast.Call, names: set[str], calls: Mapping[str, LogCall]) -> list[Written]:
    """What a call logs under the names that the plan has found there."""
    called = node.func
    last = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
    for call in calls.values():
        if last in {name.rpartition(".")[2] for name in (call.call, *call.also)}:
            pairs = [pair for pair in written(call, node) if pair[0] in names]
            if pairs:
                return pairs
    return []


def _importing(tree: ast.Module) -> tuple[int, int] | None:
    """Where an import can be put in front of another one."""
    for node in tree.body:
        if isinstance(node, ast.Import) or (
            isinstance(node, ast.ImportFrom) and node.module != "__future__"
        ):
            return node.lineno - 1, node.col_offset
    return None


def _applied(text: str, edits: list[_Edit]) -> str:
    """The text with edits made, the last first."""
    starts = [0]
    for match in NEWLINE.finditer(text):
        starts.append(match.end())
    for edit in sorted(edits, key=lambda e: e.start, reverse=True):
        begin, end = (_offset(text, starts, place) for place in (edit.start, edit.end))
        text = text[:begin] + edit.text + text[end:]
    return text


def _offset(text: str, starts: list[int], place: tuple[int, int]) -> int:
    """The index of a place that counts bytes within its line."""
    line, column = place
    rest = text[starts[line] : starts[line + 1] if line + 1 < len(starts) else len(text)]
    before = rest.encode("utf-8", "surrogatepass")[:column]
    return starts[line] + len(before.decode("utf-8", "surrogatepass"))
