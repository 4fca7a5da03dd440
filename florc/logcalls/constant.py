"""What a call that logs says in the source: literal names, and the expressions of their values."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from florc.logcalls.model import LogCall

Written = tuple[str, ast.expr]


def written(call: LogCall, node: ast.Call) -> Iterator[Written]:
    """(name, value) of each literal name; a name that only running tells isn't among them."""
    before = call.prefix
    if call.under:
        under = _text(_given(call, node, call.under))
        if under is None:
            return
        before += f"{under}/"
    if call.name and call.value:
        name, value = _text(_given(call, node, call.name)), _given(call, node, call.value)
        if name is not None and value is not None:
            yield before + name, value
    if call.values:
        yield from _entries(_given(call, node, call.values), before, call.nested)
    if call.keywords:
        for keyword in node.keywords:
            if keyword.arg is not None and keyword.arg not in call.parameters:
                yield before + keyword.arg, keyword.value


def _entries(node: ast.expr | None, before: str, nested: str) -> Iterator[Written]:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict":
        if not node.args:
            for keyword in node.keywords:
                if keyword.arg is not None:
                    yield before + keyword.arg, keyword.value
    if not isinstance(node, ast.Dict):
        return
    for key, value in zip(node.keys, node.values):
        name = _text(key)
        if name is None:
            continue
        if isinstance(value, ast.Dict):
            if nested:
                yield from _entries(value, f"{before}{name}{nested}", nested)
        else:
            yield before + name, value


def _given(call: LogCall, node: ast.Call, parameter: str) -> ast.expr | None:
    """The expression that a call gives for a parameter."""
    for keyword in node.keywords:
        if keyword.arg == parameter:
            return keyword.value
    place = call.parameters.index(parameter)
    if place < len(node.args) and not any(
        isinstance(argument, ast.Starred) for argument in node.args[: place + 1]
    ):
        return node.args[place]
    return None


def _text(node: ast.expr | None) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None
