"""What the tests of the emitter share: edits for a text, and matching emitted to original trees."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from florc.compilation import Compilation, Edit, SourceModule
from florc.emit.build import text_hash
from florc.plan import LoopPlan, ModulePlan, Plan

POSITION = ("lineno", "col_offset", "end_lineno", "end_col_offset")


def source(text: str, rel: str = "train.py", root: Path = Path(".")) -> SourceModule:
    return SourceModule(root / rel, rel, "__main__", text)


def column(text: str, node: ast.AST) -> int:
    """The node's column in characters."""
    import re

    line = re.split(r"\r\n|\r|\n", text)[node.lineno - 1]
    return len(line.encode()[: node.col_offset].decode())


def edits_for(
    text: str,
    *,
    rel: str = "train.py",
    state: tuple[str, ...] = ("model", "optimizer"),
    iterators: tuple[str, ...] = ("iter",),
    training: bool = True,
    keep=lambda node: True,
) -> list[Edit]:
    """An edit for every loop of `text`, and for every assigned call of a name in `iterators`."""
    made = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.For, ast.While)) and keep(node):
            kind = "for" if isinstance(node, ast.For) else "while"
            name = f"n{len(made)}"
            if isinstance(node, ast.For) and isinstance(node.target, ast.Name):
                name = node.target.id
            made.append(Edit(rel, kind, node.lineno, column(text, node), name, state, training))
        elif (
            isinstance(node, ast.Assign)
            and isinstance(node.value, ast.Call)
            and isinstance(node.value.func, ast.Name)
            and node.value.func.id in iterators
        ):
            call = node.value
            made.append(Edit(rel, "iterator", call.lineno, column(text, call), "", (), False))
    return made


def compilation(text: str, root: Path, rel: str = "train.py", **plan) -> Compilation:
    """A compilation of one script, all of whose loops are training loops."""
    edits = tuple(edits_for(text, rel=rel))
    loops = tuple(
        LoopPlan(
            id=f"{rel}::{e.kind}:{e.line}",
            name=e.loop,
            file=rel,
            line=e.line,
            scope="",
            kind=e.kind,
            training=True,
            lexical_parent=None,
            parents=(),
            counter="item",
            counter_name=None,
        )
        for e in edits
        if e.kind != "iterator"
    )
    plan = {"loops": loops, "logs": (), **plan}
    modules = (ModulePlan(rel, "__main__", text_hash(text), False),)
    return Compilation(
        Plan(rel, modules, **plan),
        (source(text, rel, root),),
        edits,
        {"cfg": "cfg of it\n", "effects": "effects\n", "liveness": "live\n"},
    )


def _method(node: ast.AST, name: str) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == name
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id.startswith("flor_")
    )


def _added(statement: ast.AST) -> bool:
    return (
        (isinstance(statement, ast.ImportFrom) and statement.module == "flor.runtime")
        or (isinstance(statement, ast.Assign) and _method(statement.value, "while_loop"))
        or (isinstance(statement, ast.Expr) and _method(statement.value, "end"))
    )


def pairs(original: ast.AST, emitted: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
    """Every node of the original with its image; AssertionError where there is none."""
    if isinstance(original, ast.expr):
        if _method(emitted, "loop"):
            emitted = emitted.args[1]
        elif isinstance(emitted, ast.BoolOp) and _method(emitted.values[0], "head"):
            assert len(emitted.values) == 2
            emitted = emitted.values[1]
        elif _method(emitted, "iterator"):
            emitted = emitted.args[0]
    assert type(original) is type(emitted), (ast.dump(original), ast.dump(emitted))
    yield original, emitted
    for name in original._fields:
        one, other = getattr(original, name, None), getattr(emitted, name, None)
        if isinstance(one, ast.AST):
            yield from pairs(one, other)
        elif isinstance(one, list):
            kept = [item for item in other if not (isinstance(item, ast.AST) and _added(item))]
            for left, right in zip(one, kept, strict=True):
                if isinstance(left, ast.AST):
                    yield from pairs(left, right)
                else:
                    assert left == right
        else:
            assert one == other and type(one) is type(other)


def place(node: ast.AST) -> tuple[int | None, ...]:
    return tuple(getattr(node, name, None) for name in POSITION)


def misplaced(original: ast.AST, emitted: ast.AST) -> list[str]:
    """Nodes whose position differs from that of their image."""
    return [
        f"{ast.dump(left)[:60]}: {place(left)} became {place(right)}"
        for left, right in pairs(original, emitted)
        if place(left) != place(right)
    ]
