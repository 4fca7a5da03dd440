"""Recognises what the emitter wrote, so that instrumenting twice changes nothing."""

from __future__ import annotations

import ast

ABI = "flor.runtime"
"""The package of which emitted code imports `abi`."""
WRAPPERS = ("iterator", "after")
"""Its functions that wrap calls."""


def abi_alias(tree: ast.Module) -> str | None:
    """The name under which the module imports the run time's abi at its top level, or None."""
    for statement in tree.body:
        if isinstance(statement, ast.ImportFrom) and statement.module == ABI:
            for name in statement.names:
                if name.name == "abi" and not statement.level:
                    return name.asname or name.name
    return None


def _is_call(node: ast.expr, alias: str, function: str) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == function
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == alias
    )


def _head_variable(test: ast.expr) -> str | None:
    """`x` of ``x.head()`` or ``x.head() and …``."""
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
        test = test.values[0]
    if (
        isinstance(test, ast.Call)
        and isinstance(test.func, ast.Attribute)
        and test.func.attr == "head"
        and isinstance(test.func.value, ast.Name)
    ):
        return test.func.value.id
    return None


def instrumented_loops(tree: ast.Module) -> frozenset[tuple[int, int]]:
    """(line, UTF-8 column) of each loop, and of each call that is wrapped, already emitted."""
    alias = abi_alias(tree)
    if alias is None:
        return frozenset()
    found: set[tuple[int, int]] = set()
    heads: dict[str, list[tuple[int, int]]] = {}
    variables: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.For):
            if _is_call(node.iter, alias, "loop"):
                found.add((node.lineno, node.col_offset))
        elif isinstance(node, ast.While):
            variable = _head_variable(node.test)
            if variable:
                heads.setdefault(variable, []).append((node.lineno, node.col_offset))
        elif isinstance(node, ast.Assign) and _is_call(node.value, alias, "while_loop"):
            variables.update(t.id for t in node.targets if isinstance(t, ast.Name))
        elif isinstance(node, ast.expr) and any(_is_call(node, alias, name) for name in WRAPPERS):
            found.add((node.lineno, node.col_offset))
    for variable in variables:
        found.update(heads.get(variable, ()))
    return frozenset(found)


def already_instrumented(text: str) -> bool:
    """Whether `text` holds emitted code.  False for text that doesn't parse."""
    if ABI not in text:
        return False
    try:
        return bool(instrumented_loops(ast.parse(text)))
    except (SyntaxError, ValueError, RecursionError):
        return False
