"""What emitted code calls, and nothing else.

Outside a recording or a replay every call is transparent: `loop` gives the iterable back,
`head` is True, `iterator(f, …)` is `f(…)`, `after(region("name", f)(…))` too.  Changing a
signature here means a new ABI_VERSION.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any

from . import session

ABI_VERSION = 1

__all__ = ["ABI_VERSION", "after", "iterator", "loop", "region", "while_loop"]


def loop(name: str, iterable: Iterable[Any], state: tuple[str, ...] | None = None) -> Iterable[Any]:
    """The iterable of an instrumented `for` loop; `state` names its checkpoint set for readers.

    The run time follows the plan, which says more than `state` does.
    """
    active = session.current
    if active is None:
        return iterable
    from . import loops

    return loops.start(active, name, iterable, sys._getframe(1))


def while_loop(name: str, state: tuple[str, ...] | None = None) -> Any:
    """An object with `head()` and `end()` for an instrumented `while` loop."""
    from . import loops

    active = session.current
    if active is None or not loops.instrumentable(sys._getframe(1), active.loop_plan(name)):
        return loops.NoWhile()
    return loops.WhileLoop(active, name, sys._getframe(1))


def iterator(factory: Callable[..., Any]) -> Callable[..., Any]:
    """`factory`, to be called at once: what it makes is advanced by a training loop, by hand.

    In a session the result remembers how it was made and how far it went.
    """
    active = session.current
    heads = active.heads if active is not None else None
    if heads is None:
        return factory

    def made(*args: Any, **kwargs: Any) -> Any:
        return heads.made_iterator(factory, args, kwargs)

    return made


def region(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, to be called at once and the result given to `after`.

    In a replay that wants nothing from inside, something that does nothing takes its place.
    """
    active = session.current
    regions = active.regions if active is not None else None
    if regions is None:
        return function
    return regions.region(name, function, sys._getframe(1))


def after(result: Any) -> Any:
    """`result`, or what a region that was skipped returned when it was recorded."""
    active = session.current
    regions = active.regions if active is not None else None
    if regions is None:
        return result
    return regions.after(result, sys._getframe(1))
