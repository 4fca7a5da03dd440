"""Functions that a loop makes: saved as their cells and defaults; their code is the program's."""

from __future__ import annotations

import hashlib
import sys
import types
from collections.abc import Iterator
from typing import Any


def code_digest(code: types.CodeType) -> str:
    """The same for the same code in any process, wherever in its file it stands."""
    parts: list[Any] = [
        code.co_name, getattr(code, "co_qualname", ""), code.co_code, code.co_names,
        code.co_varnames, code.co_freevars, code.co_cellvars, code.co_flags,
        code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount,
    ]  # fmt: skip
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            parts.append(code_digest(constant))
        elif isinstance(constant, frozenset):
            parts.append(sorted(map(repr, constant)))
        else:
            parts.append(constant)
    return hashlib.blake2b(repr(parts).encode(), digest_size=12).hexdigest()


def running(function: types.FunctionType) -> bool:
    """Whether its cells may be variables of a function that is being run."""
    free = function.__code__.co_freevars
    frame: types.FrameType | None = sys._getframe()
    while frame is not None and free:
        code = frame.f_code
        if set(free) & {*code.co_cellvars, *code.co_freevars}:
            if any(inner is function.__code__ for inner in _inner(code)):
                return True
        frame = frame.f_back
    return False


def find_code(module: str, digest: str) -> types.CodeType | None:
    """The code with `digest` among that of a module's functions and of what is running."""
    space = vars(sys.modules[module]) if module in sys.modules else {}
    seen: set[types.CodeType] = set()
    for outer in _roots(module, space):
        for code in (outer, *_inner(outer)):
            if code not in seen:
                seen.add(code)
                if code_digest(code) == digest:
                    return code
    return None


def describe_code(function: types.FunctionType) -> tuple[str, str, str]:
    """(digest of its code, module whose globals it sees, module that it says it's of)."""
    home = function.__globals__.get("__name__", "")
    return code_digest(function.__code__), str(home), str(function.__module__)


def make(qualname: str, where: tuple[str, str, str], parts: list[Any]) -> Any:
    """The function with that name and code, and `parts`; None if its code isn't there.

    The parts are its cells, and then defaults, defaults of keywords, and its `__dict__`.
    """
    digest, home, module = where
    code = find_code(home, digest)
    if code is None:
        return None
    *cells, defaults, keywords, attributes = parts
    space = vars(sys.modules[home])
    made = types.FunctionType(code, space, code.co_name, defaults, tuple(cells))
    made.__kwdefaults__ = keywords
    made.__dict__ = attributes
    made.__qualname__, made.__module__ = qualname, module
    return made


def _inner(code: types.CodeType) -> Iterator[types.CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield constant
            yield from _inner(constant)


def _roots(module: str, space: dict[str, Any]) -> Iterator[types.CodeType]:
    frame: types.FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_globals is space:
            yield frame.f_code
        frame = frame.f_back
    values = list(space.values())
    for value in list(values):
        if isinstance(value, type) and value.__module__ == module:
            values += vars(value).values()
    for value in values:
        function = getattr(value, "__func__", value)
        function = value.fget if isinstance(value, property) else function
        function = getattr(function, "__wrapped__", function)
        if isinstance(function, types.FunctionType):
            yield function.__code__
