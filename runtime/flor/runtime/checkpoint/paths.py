"""Access paths of checkpoint members: reading, assigning and unbinding them in a live frame.

Grammar (see florc/plan.py): `name`, `name.attr.attr`, `pkg.mod:name.attr`,
`fn.__closure__.cell`.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Collection, Iterable, Mapping
from types import CellType, FrameType, FunctionType, MethodType
from typing import Any, Final

_CO_OPTIMIZED = 0x0001


class _Missing:
    """The type of `MISSING`: nothing is bound at a path."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "MISSING"

    def __reduce__(self) -> str:
        return "MISSING"


MISSING: Final[Any] = _Missing()


class PathError(ValueError):
    """A path cannot be assigned: its parent is not there."""


def resolve(path: str, frame: FrameType, local: Mapping[str, Any] | None = None) -> Any:
    """The object at `path` seen from `frame`, or MISSING.

    `local` is what `local_names` gave, if the caller has it: it takes time to make.
    """
    module, names = _split(path)
    obj = _first(module, names[0], frame, local)
    position = 1
    while position < len(names) and obj is not MISSING:
        if names[position] == "__closure__" and position + 1 < len(names):
            cell = _cell(obj, names[position + 1])
            obj = _cell_value(cell)
            position += 2
        else:
            obj = _attribute(obj, names[position])
            position += 1
    return obj


def assign(path: str, frame: FrameType, value: Any) -> None:
    """Bind `path` to `value` (MISSING unbinds it).  Raises PathError if its parent is missing."""
    module, names = _split(path)
    if len(names) == 1:
        if module is None:
            _assign_name(frame, names[0], value)
        else:
            _bind(_module_dict(module, path), names[0], value)
        return
    if len(names) >= 3 and names[-2] == "__closure__":
        owner = resolve(_join(module, names[:-2]), frame)
        cell = _cell(owner, names[-1])
        if cell is None:
            raise PathError(f"{path}: no such closure cell")
        _set_cell(cell, value)
        return
    owner = resolve(_join(module, names[:-1]), frame)
    if owner is MISSING:
        raise PathError(f"{path}: {_join(module, names[:-1])} is not bound")
    _assign_attribute(owner, names[-1], value)


def bases(paths: Iterable[str], rebound: Collection[str] = ()) -> list[str]:
    """The paths of the objects that attributes are members of: "a" and "a.b" for "a.b.c".

    Not those at or below a `rebound` path, for another object may be there.
    """
    found: dict[str, None] = {}
    for path in paths:
        module, names = _split(path)
        for count in range(1, len(names)):
            base = _join(module, names[:count])
            if base in rebound:
                break
            if names[count - 1] != "__closure__":
                found[base] = None
    return list(found)


def write_local(frame: FrameType, name: str, value: Any) -> None:
    """Bind local or cell variable `name` of a running frame; MISSING unbinds it.

    From Python 3.12 on a bound local cannot be unbound from outside: PathError.
    """
    code = frame.f_code
    if not code.co_flags & _CO_OPTIMIZED:  # module or class body: the namespace is real
        _bind(frame.f_locals, name, value)
        return
    known = name in code.co_varnames or name in code.co_cellvars or name in code.co_freevars
    if not known:
        raise PathError(f"{name} is not a local of {code.co_name}")
    if value is MISSING and name not in frame.f_locals:
        return
    plain = name not in code.co_cellvars and name not in code.co_freevars
    if value is MISSING and (
        sys.version_info >= (3, 13) or (sys.version_info >= (3, 12) and plain)
    ):
        raise PathError(f"{name} cannot be unbound in a running frame of this Python")
    namespace = frame.f_locals
    _bind(namespace, name, value)
    if sys.version_info < (3, 13):  # since then f_locals writes through
        ctypes.pythonapi.PyFrame_LocalsToFast(ctypes.py_object(frame), ctypes.c_int(1))


def _split(path: str) -> tuple[str | None, list[str]]:
    module, colon, rest = path.rpartition(":")
    return (module if colon else None), rest.split(".")


def _join(module: str | None, names: list[str]) -> str:
    return (f"{module}:" if module is not None else "") + ".".join(names)


def _module_dict(module: str, path: str) -> dict[str, Any]:
    loaded = sys.modules.get(module)
    if loaded is None:
        raise PathError(f"{path}: module {module} is not loaded")
    return vars(loaded)


def local_names(frame: FrameType) -> Mapping[str, Any]:
    """`frame.f_locals`; give it to `forget` when it isn't needed any more."""
    return frame.f_locals


def forget(frame: FrameType, local: Mapping[str, Any]) -> None:
    """Drop what `local_names` made, lest it keeps alive what the frame's variables held.

    Before Python 3.13 a function's frame keeps that dictionary, with the values of the moment.  If
    nobody else has it, the variables are taken out of it; they come back when it is asked for.
    """
    code = frame.f_code
    if sys.version_info >= (3, 13) or not code.co_flags & _CO_OPTIMIZED:
        return
    if type(local) is dict and sys.getrefcount(local) <= _HELD_BY_FRAME:
        for name in (*code.co_varnames, *code.co_cellvars, *code.co_freevars):
            local.pop(name, None)


_HELD_BY_FRAME = 4
"""References to a frame's dictionary: the frame, the caller, `forget`'s argument, the count's."""


def _first(module: str | None, name: str, frame: FrameType, local: Mapping[str, Any] | None) -> Any:
    if module is not None:
        loaded = sys.modules.get(module)
        return MISSING if loaded is None else vars(loaded).get(name, MISSING)
    if local is None:
        local = frame.f_locals
    if _is_local(frame, name):
        return local.get(name, MISSING)
    if name in local:
        return local[name]
    found = frame.f_globals.get(name, MISSING)
    return found


def _is_local(frame: FrameType, name: str) -> bool:
    code = frame.f_code
    if not code.co_flags & _CO_OPTIMIZED:
        return False
    return name in code.co_varnames or name in code.co_cellvars or name in code.co_freevars


def _assign_name(frame: FrameType, name: str, value: Any) -> None:
    if _is_local(frame, name):
        write_local(frame, name, value)
    elif frame.f_code.co_flags & _CO_OPTIMIZED:
        _bind(frame.f_globals, name, value)
    elif name in frame.f_locals or frame.f_locals is frame.f_globals:
        _bind(frame.f_locals, name, value)
    elif name in frame.f_globals:
        _bind(frame.f_globals, name, value)
    else:
        _bind(frame.f_locals, name, value)


def _bind(namespace: Any, name: str, value: Any) -> None:
    if value is MISSING:
        namespace.pop(name, None)
    else:
        namespace[name] = value


def _attribute(obj: Any, name: str) -> Any:
    try:
        return getattr(obj, name)
    except Exception:
        return MISSING


def _assign_attribute(owner: Any, name: str, value: Any) -> None:
    """Set an attribute.  A module's own tables are written to directly when the kind is the same,
    so that registration order, parametrizations and hooks are not disturbed.
    """
    namespace = getattr(owner, "__dict__", None)
    if isinstance(namespace, dict):
        for table in ("_parameters", "_buffers", "_modules"):
            entries = namespace.get(table)
            if isinstance(entries, dict) and name in entries:
                _bind(entries, name, value)
                return
        if name in namespace and not _is_data_descriptor(type(owner), name):
            _bind(namespace, name, value)
            return
    try:
        if value is not MISSING:
            setattr(owner, name, value)
        elif _attribute(owner, name) is not MISSING:
            delattr(owner, name)
    except Exception as error:
        raise PathError(f"attribute {name}: {error}") from error


def _is_data_descriptor(cls: type, name: str) -> bool:
    for base in cls.__mro__:
        if name in vars(base):
            return hasattr(type(vars(base)[name]), "__set__")
    return False


def _cell(function: Any, name: str) -> CellType | None:
    if isinstance(function, MethodType):
        function = function.__func__
    function = (
        getattr(function, "__wrapped__", function)
        if not isinstance(function, FunctionType)
        else function
    )
    code, cells = getattr(function, "__code__", None), getattr(function, "__closure__", None)
    if code is None or not cells or name not in code.co_freevars:
        return None
    cell: CellType = cells[code.co_freevars.index(name)]
    return cell


def _cell_value(cell: CellType | None) -> Any:
    try:
        return MISSING if cell is None else cell.cell_contents
    except ValueError:
        return MISSING


def _set_cell(cell: CellType, value: Any) -> None:
    if value is MISSING:
        if _cell_value(cell) is not MISSING:
            del cell.cell_contents
    else:
        cell.cell_contents = value
