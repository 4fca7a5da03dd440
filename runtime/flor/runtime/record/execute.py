"""Running the user's program as `__main__`, the way `python script.py` and `python -m` do."""

from __future__ import annotations

import builtins
import io
import os
import sys
from importlib.machinery import ModuleSpec, SourceFileLoader
from types import CodeType, ModuleType
from typing import Any

from ..errors import FlorError
from .hook import Emitted
from .target import Target


def prepare(target: Target) -> None:
    """Set sys.argv and sys.path[0] as the interpreter would for this program."""
    sys.argv[:] = [target.script, *target.argv]
    if getattr(sys.flags, "safe_path", False):
        return
    first = os.getcwd() if target.module else os.path.dirname(os.path.realpath(target.file))
    sys.path.insert(0, first)


def run(target: Target, emitted: Emitted | None) -> None:
    """Execute the program; whatever it raises comes out."""
    if target.module is not None:
        code, attributes = _module(target, emitted)
    else:
        code, attributes = _script(target, emitted)
    main = ModuleType("__main__")
    main.__dict__.update(attributes)
    main.__dict__["__builtins__"] = builtins
    if sys.version_info < (3, 14):
        main.__dict__.setdefault("__annotations__", {})
    sys.modules["__main__"] = main
    exec(code, main.__dict__)


def _script(target: Target, emitted: Emitted | None) -> tuple[CodeType, dict[str, Any]]:
    file = str(target.file)
    code = emitted.code(file, file) if emitted is not None else None
    if code is None:
        with io.open_code(file) as stream:
            code = compile(stream.read(), file, "exec", dont_inherit=True)
    loader = SourceFileLoader("__main__", file)
    return code, {
        "__file__": file,
        "__loader__": loader,
        "__spec__": None,
        "__package__": None,
        "__cached__": None,
        "__doc__": None,
    }


def _module(target: Target, emitted: Emitted | None) -> tuple[CodeType, dict[str, Any]]:
    import runpy

    details: tuple[str, ModuleSpec, CodeType]
    try:
        details = runpy._get_module_details(target.module)  # type: ignore[attr-defined]
    except ImportError as error:
        raise FlorError(str(error), 1) from error
    _, spec, plain = details
    code = plain
    origin = spec.origin
    if emitted is not None and origin is not None:
        code = emitted.code(origin, origin) or plain
    sys.argv[0] = origin or target.script
    return code, {
        "__file__": origin,
        "__loader__": spec.loader,
        "__spec__": spec,
        "__package__": spec.parent,
        "__cached__": spec.cached,
        "__doc__": None,
    }
