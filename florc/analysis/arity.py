"""Which of several callees a call's arguments fit: the others can't be meant.

A call that doesn't fit raises TypeError before anything of the callee's runs.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass

from florc.analysis.objects import Function

_HARMLESS = frozenset({"staticmethod", "classmethod", "abstractmethod"})


@dataclass(frozen=True)
class Arguments:
    """What a call passes: how many by position, which by name, and whether that is all."""

    positional: int
    named: frozenset[str]
    more_positional: bool  # *args
    more_named: bool  # **kwargs

    @classmethod
    def of(cls, node: ast.Call) -> Arguments:
        """The arguments of a call expression."""
        starred = any(isinstance(a, ast.Starred) for a in node.args)
        return cls(
            sum(not isinstance(a, ast.Starred) for a in node.args),
            frozenset(k.arg for k in node.keywords if k.arg is not None),
            starred,
            any(k.arg is None for k in node.keywords),
        )


def accepts(function: Function, given: Arguments, bound: int = 0) -> bool:
    """Whether a function, the first `bound` parameters of which are given, may be called so.

    A decorated function counts as accepting anything.
    """
    node = function.node
    if isinstance(node, ast.Module):
        return False
    names = getattr(node, "decorator_list", [])
    if not all(isinstance(d, ast.Name) and d.id in _HARMLESS for d in names):
        return True
    arguments = node.args
    positional = [a.arg for a in (*arguments.posonlyargs, *arguments.args)]
    count = given.positional + bound
    if count > len(positional) and arguments.vararg is None:
        return False
    by_name = {a.arg for a in (*arguments.args, *arguments.kwonlyargs)}
    if not given.named <= by_name and arguments.kwarg is None:
        return False
    if given.named & set(positional[:count]) - {a.arg for a in arguments.posonlyargs}:
        return False  # given twice
    required = positional[: len(positional) - len(arguments.defaults)]
    lacking = set(required[count:]) if not given.more_positional else set()
    lacking |= {
        a.arg for a, default in zip(arguments.kwonlyargs, arguments.kw_defaults) if default is None
    }
    only_by_place = {a.arg for a in arguments.posonlyargs}
    if lacking & only_by_place:
        return False
    return given.more_named or lacking <= given.named
