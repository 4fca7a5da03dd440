"""Do two versions of a project differ by log statements only?

Log statements are statements that call `log` imported from flor; beside them may change: imports
from flor, guards and loops that hold log statements only, helper variables and functions that
nothing but log statements uses, comments, formatting and docstrings.  Statements that were
*removed* are as fine as added ones.  Anything in doubt counts as a difference.
"""

from __future__ import annotations

import ast
import copy
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from florc.propagate.names import bound_names, identifiers, is_flor_import
from florc.propagate.strip import Log, Stripped, strip

_WIDTH = 60


@dataclass(frozen=True)
class LogEdit:
    """A log statement that only one of the versions has."""

    file: str
    line: int  # in the version that has it
    scope: str  # qualified name of the function around it, "" at module level
    name: str | None  # None when it is no literal
    text: str  # canonical


@dataclass(frozen=True)
class Difference:
    """The first place where the versions differ by more than log statements."""

    file: str
    line: int  # of the new text; 0 for the whole file
    what: str

    def render(self) -> str:
        """One sentence that begins with the place."""
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.what}"


@dataclass(frozen=True)
class Comparison:
    """What distinguishes the new version; `same`: nothing but log statements does."""

    same: bool
    added: tuple[LogEdit, ...] = ()
    removed: tuple[LogEdit, ...] = ()
    difference: Difference | None = None


class _Differs(Exception):
    """Carries the first difference out of the recursion."""

    def __init__(self, file: str, line: int, what: str) -> None:
        super().__init__(what)
        self.difference = Difference(file, line, what)


def compare(
    old: Mapping[str, str],
    new: Mapping[str, str],
    names: Collection[str] | None = None,
    *,
    where: bool = True,
) -> Comparison:
    """Compare the modules of two versions, path -> text.

    `names` restricts `added` and `removed` to log statements of these names (and to those whose
    name is no literal).  Without `where` the difference that is named may be a helper of one
    version only, which is found sooner.  Never raises for what the texts hold.
    """
    added: list[LogEdit] = []
    removed: list[LogEdit] = []
    try:
        changed = [path for path in new if path in old and old[path] != new[path]]
        trees = {path: (_parse(path, old[path], "recorded "), _parse(path, new[path]))
                 for path in changed}  # fmt: skip
        mentions = _mentions(old, new)
        for path in changed:
            foreign = frozenset(n for other in mentions if other != path for n in mentions[other])
            before, after = _compare_module(path, *trees[path], foreign, where)
            added += _only(path, after.logs, before.logs)
            removed += _only(path, before.logs, after.logs)
        for path in new:
            if path not in old:
                raise _Differs(path, 0, "the recorded version has no such module")
        for path in old:
            if path not in new:
                raise _Differs(path, 0, "the module is no longer part of the project")
    except _Differs as found:
        return Comparison(False, difference=found.difference)
    return Comparison(True, _named(added, names), _named(removed, names))


def _named(edits: list[LogEdit], names: Collection[str] | None) -> tuple[LogEdit, ...]:
    return tuple(e for e in edits if names is None or e.name is None or e.name in names)


def _parse(path: str, text: str, which: str = "") -> ast.Module:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError) as error:
        line = getattr(error, "lineno", None) or 0
        reason = getattr(error, "msg", None) or str(error)
        raise _Differs(path, line, f"the {which}text cannot be parsed: {reason}") from None


def _mentions(old: Mapping[str, str], new: Mapping[str, str]) -> dict[str, set[str]]:
    """For each file what it may use of another: imported names and attributes, both versions."""
    if len(new) < 2 and len(old) < 2:
        return {}
    found: dict[str, set[str]] = {}
    for texts in (old, new):
        for path, text in texts.items():
            try:
                tree = ast.parse(text)
            except (SyntaxError, ValueError, RecursionError):
                continue
            names = found.setdefault(path, set())
            for node in ast.walk(tree):
                if isinstance(node, ast.Attribute):
                    names.add(node.attr)
                elif isinstance(node, ast.alias):
                    names.add(node.name)
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    names.add(node.value)  # getattr, __all__
    return found


def _compare_module(
    path: str, old: ast.Module, new: ast.Module, foreign: frozenset[str], where: bool
) -> tuple[Stripped, Stripped]:
    """Both versions of a module without log statements; raises `_Differs` unless these agree."""
    _prepare(path, old, new)
    known = frozenset(_packages(old) & _packages(new))
    seeds = strip(copy.deepcopy(old), foreign, known).used
    seeds |= strip(copy.deepcopy(new), foreign, known).used

    def stripped(kept: frozenset[str]) -> tuple[Stripped, Stripped]:
        before = strip(copy.deepcopy(old), kept, known, seeds)
        after = strip(copy.deepcopy(new), kept, known, seeds)
        return before, after

    before, after = stripped(foreign)
    try:
        _compare_blocks(path, before.tree.body, after.tree.body, 1)
    except _Differs:
        if not where:
            raise
        # A helper in one version may be more in the other: say so where that one begins.
        shared = (before.used & after.mentioned) | (after.used & before.mentioned)
        retried = stripped(foreign | shared)
        _compare_blocks(path, retried[0].tree.body, retried[1].tree.body, 1)
        raise
    _check_bindings(path, before, after)
    return before, after


def _prepare(path: str, old: ast.Module, new: ast.Module) -> None:
    """Refuse what may hide names; drop docstrings unless they are read."""
    for tree in (old, new):
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.ImportFrom)
                and node.module == "flor"
                and not node.level
                and not is_flor_import(node)
            ):
                raise _Differs(path, node.lineno, "a star import from flor may shadow other names")
    if not any("__doc__" in _words(tree) for tree in (old, new)):
        for tree in (old, new):
            _drop_constants(tree)


def _words(tree: ast.Module) -> set[str]:
    return {*identifiers(tree), *(n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute))}


def _packages(tree: ast.Module) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add((node.module or "").partition(".")[0])
    return found


def _drop_constants(tree: ast.Module) -> None:
    """Remove statements that are a literal: docstrings, `...`; drop the `u` of strings."""
    for node in ast.walk(tree):
        for name in ("body", "orelse", "finalbody"):
            block = getattr(node, name, None)
            if isinstance(block, list):
                block[:] = [s for s in block if not _is_literal(s)]
        if isinstance(node, ast.Constant):
            node.kind = None


def _is_literal(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _check_bindings(path: str, old: Stripped, new: Stripped) -> None:
    """An import from flor must not take a name that the module uses for something else."""
    for stripped, other in ((new, old), (old, new)):
        bound = bound_names(stripped.tree)
        for name in sorted(stripped.names):
            if name in bound:
                raise _Differs(path, 0, f"`{name}` is imported from flor and bound otherwise too")
            if name not in other.names and name in stripped.mentioned:
                raise _Differs(
                    path, 0, f"`{name}` comes from flor in one version only and is used"
                    " by more than log statements"
                )  # fmt: skip


def _only(path: str, here: tuple[Log, ...], there: tuple[Log, ...]) -> list[LogEdit]:
    """The log statements of one version that the other lacks, as a multiset."""
    left = Counter((log.scope, log.text) for log in there)
    edits = []
    for log in here:
        key = (log.scope, log.text)
        if left[key]:
            left[key] -= 1
        else:
            edits.append(LogEdit(path, log.line, log.scope, log.name, log.text))
    return edits


# -- the first difference ----------------------------------------------------------------------


def _compare_blocks(path: str, old: list[ast.stmt], new: list[ast.stmt], line: int) -> None:
    """Raise `_Differs` at the first statement that differs; `line` is where the block begins."""
    for before, after in zip(old, new):
        if not _equal(before, after):
            _differing(path, before, after, old, new)
        line = getattr(after, "end_lineno", None) or line
    if len(new) > len(old):
        extra = new[len(old)]
        raise _Differs(path, extra.lineno, f"{_show(extra)} was added")
    if len(old) > len(new):
        raise _Differs(path, line, f"{_show(old[len(new)])} was removed after this line")


def _differing(
    path: str, before: ast.stmt, after: ast.stmt, old: list[ast.stmt], new: list[ast.stmt]
) -> None:
    """Go into the two statements if only their blocks differ; else raise `_Differs`."""
    if _header(before) == _header(after):
        for one, two in zip(_parts(before), _parts(after)):
            if _header(one) != _header(two):
                line = getattr(two, "lineno", after.lineno)
                raise _Differs(path, line, "another exception or case is handled here")
            for name in ("body", "orelse", "finalbody"):
                _compare_blocks(path, getattr(one, name, []), getattr(two, name, []), after.lineno)
        return
    dumps_old, dumps_new = [ast.dump(n) for n in old], [ast.dump(n) for n in new]
    if ast.dump(before) in dumps_new and ast.dump(after) not in dumps_old:
        raise _Differs(path, after.lineno, f"{_show(after)} was added")
    if ast.dump(after) in dumps_old and ast.dump(before) not in dumps_new:
        raise _Differs(path, after.lineno, f"{_show(before)} was removed before this line")
    raise _Differs(path, after.lineno, _became(before, after))


def _equal(before: ast.AST, after: ast.AST) -> bool:
    return ast.dump(before) == ast.dump(after)


def _parts(node: ast.AST) -> list[ast.AST]:
    """A compound statement and its handlers or cases, which have blocks of their own."""
    return [node, *getattr(node, "handlers", ()), *getattr(node, "cases", ())]


def _header(node: ast.AST) -> str:
    """A statement without its blocks, as comparable text."""
    fields = []
    for name, value in ast.iter_fields(node):
        if name in ("body", "orelse", "finalbody") and isinstance(value, list):
            continue
        if name in ("handlers", "cases"):
            fields.append(f"{name}={len(value)}")
        elif isinstance(value, list):
            items = (ast.dump(v) if isinstance(v, ast.AST) else repr(v) for v in value)
            fields.append(f"{name}=[{', '.join(items)}]")
        else:
            text = ast.dump(value) if isinstance(value, ast.AST) else repr(value)
            fields.append(f"{name}={text}")
    return f"{type(node).__name__}({', '.join(fields)})"


def _became(before: ast.stmt, after: ast.stmt) -> str:
    """Both statements' first lines, cut so that where they begin to differ is seen."""
    texts = [_line(before), _line(after)]
    same = 0
    while same < min(map(len, texts)) and texts[0][same] == texts[1][same]:
        same += 1
    start = max(0, same - 20) if max(map(len, texts)) > _WIDTH else 0
    shown = []
    for text in texts:
        piece = ("…" if start else "") + text[start:]
        shown.append(f"`{piece if len(piece) <= _WIDTH else piece[: _WIDTH - 1] + '…'}`")
    return " became ".join(shown)


def _line(node: ast.stmt) -> str:
    try:
        return ast.unparse(node).strip().partition("\n")[0]
    except Exception:  # a block that lost all its statements
        return type(node).__name__.lower()


def _show(node: ast.stmt) -> str:
    """The first line of a statement, shortened, in back quotes."""
    text = _line(node)
    return f"`{text if len(text) <= _WIDTH else text[: _WIDTH - 1] + '…'}`"
