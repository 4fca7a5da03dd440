"""What a replay still has to reach, and how far it may jump.

A position is ((loop, index), …), outermost first; indexes only grow, also over several entries
of one loop.  Every prefix of a wanted position must be reached too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

Position = tuple[tuple[str, int], ...]


class Schedule:
    """The wanted positions; `passed` as the script goes by."""

    def __init__(self, wanted: Iterable[Position], to_the_end: bool = False) -> None:
        self.to_the_end = to_the_end  # something after all loops is wanted
        self.wanted = frozenset(position for position in wanted if position)
        self._left: dict[Position, int] = {}  # prefix -> wanted positions below it not passed
        self._ahead: dict[tuple[Position, str], deque[int]] = {}
        self._passed: set[Position] = set()
        self.total = len(self.wanted)
        ahead: dict[tuple[Position, str], set[int]] = {}
        for position in self.wanted:
            for depth in range(1, len(position) + 1):
                prefix = position[:depth]
                self._left[prefix] = self._left.get(prefix, 0) + 1
                loop, index = prefix[-1]
                ahead.setdefault((prefix[:-1], loop), set()).add(index)
        for place, indexes in ahead.items():
            self._ahead[place] = deque(sorted(indexes))

    def at_head(self, outer: Position, loop: str, index: int) -> int | None:
        """The head `index` of `loop` under `outer` is reached: the next wanted index, if any.

        What lies before `index` has been passed.
        """
        ahead = self._ahead.get((outer, loop))
        if ahead is None:
            return None
        while ahead and ahead[0] < index:
            self._pass((*outer, (loop, ahead.popleft())))
        return ahead[0] if ahead else None

    def _pass(self, position: Position) -> None:
        count = self._left.pop(position, 0)
        self._passed.add(position)
        self.total -= count
        for depth in range(1, len(position)):
            if position[:depth] in self._left:
                self._left[position[:depth]] -= count

    def finished(self) -> bool:
        """Whether nothing is wanted any more, anywhere."""
        return self.total <= 0 and not self.to_the_end

    def done(self) -> list[Position]:
        """The wanted positions that were passed by execution."""
        return sorted(
            position
            for position in self.wanted
            if any(position[:depth] in self._passed for depth in range(1, len(position) + 1))
        )

    def done_all(self) -> list[Position]:
        """Every wanted position: for a script that ran to its end."""
        return sorted(self.wanted)
