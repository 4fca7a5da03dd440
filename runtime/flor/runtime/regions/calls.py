"""Calls of regions that are under way.

Emitted code reads ``after(region("name", f)(…))``: the call itself is the user's, so that no frame
of ours is on the stack while it runs.  One that raises never comes to `after`; it is forgotten as
soon as another begins.
"""

from __future__ import annotations

import threading
from types import FrameType
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from ..session import LoopState, Session

T = TypeVar("T")

COUNT = "\0"
"""Before a region's id, in `LoopState.children`: no loop's name begins so."""


class Calls(Generic[T]):
    """The calls under way in the main thread, outermost first: (frame, what is noted of it)."""

    def __init__(self) -> None:
        self.open: list[tuple[int, T]] = []
        self._thread = threading.main_thread().ident

    def here(self) -> bool:
        """Whether this is the thread whose loops have coordinates."""
        return threading.get_ident() == self._thread

    def begins(self, frame: FrameType) -> list[T]:
        """A region is called in `frame`.  Those that an exception has left are forgotten: these."""
        if not self.open:
            return []
        above: set[int] = set()
        outer = frame.f_back
        while outer is not None:
            above.add(id(outer))
            outer = outer.f_back
        left: list[T] = []
        while self.open and self.open[-1][0] not in above:
            left.append(self.open.pop()[1])
        return left

    def push(self, frame: FrameType, noted: T) -> None:
        """The call in `frame` is under way."""
        self.open.append((id(frame), noted))

    def ended(self, frame: FrameType) -> T | None:
        """What was noted of the call in `frame` that has just returned."""
        for place in range(len(self.open) - 1, -1, -1):
            if self.open[place][0] == id(frame):
                noted = self.open[place][1]
                del self.open[place:]
                return noted
        return None


def count(top: LoopState, region: str) -> int:
    """How often the region was called at the present position before; counts this call too."""
    key = COUNT + region
    number = top.children.get(key, 0)
    top.children[key] = number + 1
    return number


def changed_heads(session: Session, before: dict[str, int]) -> dict[str, int]:
    """Counts at the present position that aren't those of `before`."""
    now = session.stack[-1].children
    return {name: number for name, number in now.items() if before.get(name) != number}
