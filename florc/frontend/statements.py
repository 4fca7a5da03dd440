"""Canonical text and stable ids of statements: formatting and comments don't count."""

from __future__ import annotations

import ast
import hashlib

import astor


def canonical(node: ast.AST) -> str:
    """Canonical text of a node, as astor renders it (ast.unparse where astor can't)."""
    try:
        return str(astor.to_source(node)).strip()
    except Exception:  # astor lags behind the grammar (match, except*, newer f-strings)
        return ast.unparse(node)


def shown(callee: ast.expr) -> str:
    """Source text of what is called, for reports; the end of it if it is long."""
    text = ast.unparse(callee)
    return text if len(text) <= 40 else "…" + text[-39:]


def digest(text: str) -> str:
    """Eight hexadecimal digits of a text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def loop_header(node: ast.For | ast.AsyncFor | ast.While) -> str:
    """Canonical text of a loop's header; the body doesn't count, so that a log in it doesn't."""
    if isinstance(node, ast.While):
        return f"while {ast.unparse(node.test)}"
    return f"for {ast.unparse(node.target)} in {ast.unparse(node.iter)}"
