"""From emitted text to a code object that looks as if it came from the user's file."""

from __future__ import annotations

import ast
import warnings
from types import CodeType

from florc.emit.source_map import SourceMap, apply, original_line


def code_for(text: str, source_map: SourceMap, filename: str, *, optimize: int = -1) -> CodeType:
    """Compile emitted text with the user's file name, lines and columns.

    `optimize` is compile()'s; -1 follows the interpreter's ``-O``.  ``from __future__`` imports of
    the text are honoured, those of this module don't leak in.  A SyntaxWarning that the text
    provokes is issued at the user's line.  Raises SyntaxError (at the user's line), ValueError.
    """
    tree = tree_for(text, source_map, filename)
    return compile(tree, filename, "exec", dont_inherit=True, optimize=optimize)


def tree_for(text: str, source_map: SourceMap, filename: str) -> ast.Module:
    """Parse emitted text, with the user's lines and columns.  Raises as `code_for`."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            parsed = compile(text, filename, "exec", ast.PyCF_ONLY_AST, dont_inherit=True)
        except SyntaxError as error:
            if error.lineno is not None:
                error.lineno = original_line(source_map, error.lineno)
            raise
    assert isinstance(parsed, ast.Module)
    for warning in caught:
        _reissue(warning, source_map, filename)
    return apply(parsed, source_map)


def _reissue(warning: warnings.WarningMessage, source_map: SourceMap, filename: str) -> None:
    """Issue a warning of the parser again, under the user's filters and at the user's line."""
    line = original_line(source_map, warning.lineno)
    try:
        warnings.warn_explicit(str(warning.message), warning.category, filename, line)
    except Warning as error:  # the filters make it an error: the parser would say SyntaxError
        raise SyntaxError(str(error), (filename, line, None, None)) from None
