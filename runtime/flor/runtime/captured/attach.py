"""Puts a look at its arguments in front of each call that logs, once its library is imported.

Nothing is imported for the sake of it.  A wrapped call does what it did: same result, same
exception with the same traceback, and warnings point where they pointed.
"""

from __future__ import annotations

import functools
import importlib.abc
import importlib.machinery
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from types import FunctionType, ModuleType
from typing import Any

from florc.logcalls.model import LogCall

from .keep import Keeper
from .rows import RowsOf
from .values import Reader

INVISIBLE = "<flor: importlib._bootstrap>"
"""The file name of the wrapper's code: `warnings` takes such frames for the import system's, and
counts them out when a library warns with a stacklevel."""


def attach(calls: Mapping[str, LogCall], keeper: Keeper) -> None:
    """Look at `calls`, of modules that are imported already and of those that will be."""
    waiting: dict[str, list[tuple[LogCall, str]]] = {}
    for call in calls.values():
        for place in call.at:
            module, _, target = place.partition(":")
            waiting.setdefault(module, []).append((call, target))

    def apply(module: ModuleType) -> None:
        for call, target in waiting.get(module.__name__, ()):
            try:
                _wrap(module, target, call, keeper)
            except Exception as error:
                keeper.trouble(f"looking at {call.call}", error)

    for name in list(waiting):
        module = sys.modules.get(name)
        if module is not None and not _being_imported(module):
            apply(module)
    sys.meta_path.insert(0, AfterImport(frozenset(waiting), apply))


def _being_imported(module: ModuleType) -> bool:
    return bool(getattr(getattr(module, "__spec__", None), "_initializing", False))


class AfterImport(importlib.abc.MetaPathFinder):
    """Calls a function with a module of a given name once its import has finished."""

    def __init__(self, names: frozenset[str], then: Callable[[ModuleType], None]) -> None:
        self._names = names
        self._then = then
        self._busy: set[str] = set()

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """What the other finders find, with a loader that tells when it is done."""
        if name not in self._names or name in self._busy:
            return None
        self._busy.add(name)
        try:
            spec = self._found(name, path, target)
        finally:
            self._busy.discard(name)
        loader = spec.loader if spec is not None else None
        execute = getattr(loader, "exec_module", None)
        if execute is None or isinstance(loader, type):  # built in: one loader for all modules
            return spec

        def exec_module(module: ModuleType) -> None:
            execute(module)
            self._then(module)

        try:
            loader.exec_module = exec_module  # type: ignore[union-attr,method-assign]
        except AttributeError:
            pass  # a loader with slots: its calls go unseen
        return spec

    def _found(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None
    ) -> importlib.machinery.ModuleSpec | None:
        for finder in sys.meta_path:
            if finder is not self and hasattr(finder, "find_spec"):
                spec = finder.find_spec(name, path, target)
                if spec is not None:
                    return spec
        return None


def _wrap(module: ModuleType, target: str, call: LogCall, keeper: Keeper) -> None:
    owner: Any = module
    *way, last = target.split(".")
    for name in way:
        owner = getattr(owner, name, None)
    original = inspect.getattr_static(owner, last, None)
    if original is None and len(call.at) == 1:
        keeper.session.note(f"{call.call} isn't at {call.at[0]}: what it logs isn't captured")
    if original is None or getattr(original, "flor_captured", False):
        return
    kind = type(original) if isinstance(original, (staticmethod, classmethod)) else None
    function = original.__func__ if kind is not None else original
    shift = int(inspect.isclass(owner) and kind is not staticmethod)
    made: Any
    if call.rows:
        made = RowsOf(function, call, module.__name__, keeper)
    else:
        made = _looked_at(function, Reader(call, shift), keeper)
    setattr(owner, last, kind(made) if kind is not None else made)


def _looked_at(function: Callable[..., Any], reader: Reader, keeper: Keeper) -> Callable[..., Any]:
    open_, done, closed = keeper.open, keeper.done, keeper.closed

    def captured(*args: Any, **kw: Any) -> Any:
        if not open_():  # not the recording's thread, or inside of another such call
            return function(*args, **kw)
        try:
            result = function(*args, **kw)
        except BaseException as error:
            closed()
            trace = error.__traceback__
            error.__traceback__ = trace.tb_next if trace is not None else None
            del trace
            raise
        done(reader, args, kw)
        return result

    made = FunctionType(
        captured.__code__.replace(co_filename=INVISIBLE),
        captured.__globals__,
        getattr(function, "__name__", "captured"),
        None,
        captured.__closure__,
    )
    functools.update_wrapper(made, function)
    made.flor_captured = True  # type: ignore[attr-defined]
    return made
