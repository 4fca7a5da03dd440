"""What single log calls of a piece read, and what is left of a piece without some of them."""

from __future__ import annotations

import ast
import copy
from collections import defaultdict
from collections.abc import Mapping

from florc.propagate.slices import Leaf, Marked, Piece
from florc.propagate.source import words
from florc.propagate.splice import changed


def leaf_names(leaf: Leaf) -> set[str]:
    """The words of what a log call logs."""
    value: ast.AST = leaf.call
    if leaf.key is not None and isinstance(leaf.call.args[1], ast.Dict):
        value = leaf.call.args[1].values[leaf.key]
    return words(value)


def left_out(piece: Piece, dropped: list[Leaf]) -> list[ast.AST]:
    """What to leave out of a piece's statement: whole log statements, or values of dictionaries."""
    gone: list[ast.AST] = []
    by_call: dict[ast.Call, list[Leaf]] = defaultdict(list)
    for leaf in dropped:
        by_call[leaf.call].append(leaf)
    for call, leaves in by_call.items():
        if any(other.call is call and other not in dropped for other in piece.leaves):
            value = call.args[1]
            assert isinstance(value, ast.Dict)
            gone += [value.values[leaf.key] for leaf in leaves if leaf.key is not None]
        else:
            gone.append(leaves[0].statement)
    return gone


def pruned(piece: Piece, dropped: list[Leaf]) -> ast.stmt:
    """The piece's statement without some of its log calls."""
    if piece.made is not None:
        return ast.parse(piece.made).body[0]
    gone = left_out(piece, dropped)
    if not gone:
        return piece.top.node
    return changed(piece.top.node, {}, {}, gone)


def renamed_text(node: ast.stmt, renames: Mapping[str, str]) -> str:
    """A statement with other names, as text."""
    copied = copy.deepcopy(node)
    for name in ast.walk(copied):
        if isinstance(name, ast.Name):
            name.id = renames.get(name.id, name.id)
    return ast.unparse(copied)


def defined(marked: Marked) -> frozenset[str]:
    """Attributes, methods, fields and options that the new version's own code makes."""
    found: set[str] = set()
    for source in marked.version.sources.values():
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                found.add(node.attr)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                if node.value.startswith("--"):
                    found.add(node.value[2:].replace("-", "_"))
        for unit in source.units:
            if unit.kind == "class":
                for statement in unit.statements:
                    node = statement.node
                    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                        found.add(node.name)
                    elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                        found.add(node.target.id)
                    elif isinstance(node, ast.Assign):
                        found.update(t.id for t in node.targets if isinstance(t, ast.Name))
    return frozenset(found)
