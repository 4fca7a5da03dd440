"""Tracebacks without our frames."""

from __future__ import annotations

import os
import sys
from types import TracebackType

import florc

OURS = tuple(
    os.path.dirname(os.path.abspath(path)) + os.sep
    for path in (os.path.join(os.path.dirname(__file__), "..", "x"), florc.__file__)
)


def is_ours(filename: str) -> bool:
    """Whether a frame of this file belongs to the recorder, not to the user."""
    return filename.startswith(OURS) or filename in ("<frozen runpy>",)


def trim(error: BaseException) -> None:
    """Take our frames out of `error`'s traceback and of those of its causes and contexts."""
    seen: set[int] = set()
    todo: list[BaseException | None] = [error]
    while todo:
        one = todo.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        one.__traceback__ = _trimmed(one.__traceback__)
        todo += [one.__cause__, one.__context__]
        todo += list(getattr(one, "exceptions", ()))  # exception groups


def _trimmed(tb: TracebackType | None) -> TracebackType | None:
    kept: list[TracebackType] = []
    while tb is not None:
        if not is_ours(tb.tb_frame.f_code.co_filename):
            kept.append(tb)
        tb = tb.tb_next
    for first, second in zip(kept, [*kept[1:], None]):
        first.tb_next = second
    return kept[0] if kept else None


def show(error: BaseException) -> None:
    """Report an uncaught exception as the interpreter does: through the user's excepthook."""
    trim(error)
    kind, tb = type(error), error.__traceback__
    sys.last_type, sys.last_value, sys.last_traceback = kind, error, tb
    if sys.version_info >= (3, 12):
        sys.last_exc = error
    hook = getattr(sys, "excepthook", sys.__excepthook__)
    try:
        hook(kind, error, tb)
    except SystemExit:
        raise
    except BaseException as second:
        trim(second)
        print("Error in sys.excepthook:", file=sys.stderr)
        sys.__excepthook__(type(second), second, second.__traceback__)
        print("\nOriginal exception was:", file=sys.stderr)
        sys.__excepthook__(kind, error, tb)
