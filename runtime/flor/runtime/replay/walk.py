"""A replay's way along a recorded run: where it jumps, what it executes, where it ends."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from ..store.positions import ROOT
from .segments import Recorded, Segment, Stop

if TYPE_CHECKING:
    from .schedule import Position


class Line(Protocol):
    """The recorded run: see timeline.py."""

    @property
    def stops(self) -> Mapping[tuple[Position, str], Sequence[Stop]]: ...

    @property
    def inner(self) -> Mapping[tuple[Position, str], set[int]]: ...

    def segments(self, node: int, shape: int, begin: float, end: float) -> list[Segment]: ...

    def inner_shape(self, shape: int, loop: str) -> int: ...

    def skipped(self, begin: int, end: float, executes: Callable[[str], bool]) -> float: ...


class Walk:
    """One replay along the timeline."""

    def __init__(
        self,
        line: Line,
        found: Recorded,
        executes: Callable[[str], bool],
        answered: Collection[Position] = (),
    ) -> None:
        """`answered` are iterations that aren't executed where the next head has a checkpoint."""
        self.line = line
        self.found = found
        self.executes = executes
        self.answered = answered
        self.began = ROOT  # node of the first iteration that is executed

    def inside(
        self,
        outer: Position,
        shape: int,
        segments: list[Segment],
        span: tuple[float, float],
        wanted: Sequence[Position],
        *,
        own: bool,
        final: bool,
        goal: int | None = None,
    ) -> float:
        """Seconds executed in an iteration (or in the run), whose loops are `segments`.

        `wanted` lie in it; with `own`, it has to come to its own end.  The replay is over behind
        the last of them if that is `final`; up to the segment `goal` it goes in any case.
        """
        depth = len(outer)
        indexes: dict[str, set[int]] = defaultdict(set)
        for position in wanted:
            loop, index = position[depth]
            indexes[loop].add(index)
        mine = [
            sorted(i for i in indexes.get(s.loop, ()) if s.indexes[0] <= i <= s.indexes[-1])
            for s in segments
        ]
        last = max((n for n, some in enumerate(mine) if some), default=-1)
        whole = own or not final
        total, now = 0.0, span[0]
        for number, segment in enumerate(segments):
            if not whole and number > last and (goal is None or number >= goal):
                return total + (max(0.0, segment.times[0] - now) if number == goal else 0.0)
            total += max(0.0, segment.times[0] - now)
            ends = not whole and number == last and (goal is None or goal <= number)
            total += self._segment(outer, shape, segment, mine[number], wanted, ends)
            if ends:
                return total
            now = segment.end
        return total + max(0.0, span[1] - now)

    def _segment(
        self,
        outer: Position,
        shape: int,
        segment: Segment,
        targets: Sequence[int],
        wanted: Sequence[Position],
        ends: bool,
    ) -> float:
        """Seconds executed in one loop, which the replay leaves or, if it `ends`, stops in."""
        line, found = self.line, self.found
        stops = line.stops.get((outer, segment.loop), [])
        sums = segment.sums
        total, at, count = 0.0, 0, len(segment.indexes)
        goals: list[int | None] = [*targets] if ends else [*targets, None]
        begin = segment.indexes[0]
        for goal in goals:
            upto = count if goal is None else bisect_right(segment.indexes, goal)
            if at >= upto and goal is not None:
                continue  # passed already
            if goal is not None and (*outer, (segment.loop, goal)) in self.answered:
                behind = next((stop for stop in stops if stop.index == goal + 1), None)
                if behind is not None:
                    found.jumps += 1
                    found.restored += behind.nbytes
                    at = bisect_left(segment.indexes, goal + 1)
                    starts = found.starts  # of several in a row the first is told
                    if not outer and (not starts or starts[-1][0] != segment.loop or starts[-1][2]):
                        starts.append((segment.loop, goal + 1, 0))
                    continue
            here = segment.indexes[at] if at < count else segment.indexes[-1] + 1
            fresh = not outer and at == 0 and here == begin
            best = _best(stops, here + (not fresh), goal, bases=(begin, here))
            start = -1
            if best is not None:
                found.jumps += 1
                found.restored += best.nbytes
                at = bisect_left(segment.indexes, best.index)
                start = best.index if best.index > begin else -1
            executed = max(0, upto - at)
            if executed:
                self.began = self.began or segment.nodes[at]
                total += sums[upto] - sums[at]
                final = ends and goal == targets[-1]
                total -= self._spared(outer, shape, segment, at, upto, wanted, final)
            if not outer:
                found.iterations += executed
                self._note(segment.loop, start, executed, jumped=best is not None)
            at = max(at, upto)
        return total

    def _note(self, loop: str, start: int, executed: int, *, jumped: bool) -> None:
        starts = self.found.starts
        if starts and starts[-1][0] == loop and (start < 0 or not jumped):
            starts[-1] = (loop, starts[-1][1], starts[-1][2] + executed)
        elif executed:
            starts.append((loop, start, executed))

    def _spared(
        self, outer: Position, shape: int, segment: Segment, low: int, high: int,
        wanted: Sequence[Position], final: bool,
    ) -> float:  # fmt: skip
        """Seconds of executed iterations that are left out after all: by jumps, by stopping."""
        line = self.line
        spared = 0.0
        heads = segment.heads
        depth = len(outer) + 1
        inside = line.inner.get((outer, segment.loop), ())
        looked_at = {bisect_left(segment.indexes, index) for index in inside}
        looked_at = {at for at in looked_at if low <= at < high} | ({high - 1} if final else set())
        for at in sorted(looked_at):
            place = (*outer, (segment.loop, segment.indexes[at]))
            below = [p for p in wanted if p[:depth] == place]
            inner = [p for p in below if len(p) > depth]
            own, last = len(inner) < len(below), final and at == high - 1
            if own and segment.indexes[at] not in inside:
                continue
            node, span = segment.nodes[at], (heads[at], heads[at + 1])
            nest = line.inner_shape(shape, segment.loop)
            parts = line.segments(node, nest, *span)
            took = self.inside(place, nest, parts, span, inner, own=own, final=last)
            spared += span[1] - span[0] - took
        if not outer:
            after = segment.nodes[high] if high < len(segment.nodes) else float("inf")
            skipped = line.skipped(segment.nodes[low], after, self.executes)
            spared += min(skipped, heads[high] - heads[low] - spared)
        return spared


def _best(
    stops: Sequence[Stop], least: int, goal: int | None, bases: tuple[int, int]
) -> Stop | None:
    """The last of some stops, by index, from `least` on and not behind `goal`."""
    at = len(stops) if goal is None else bisect_right(stops, goal, key=lambda stop: stop.index)
    for stop in reversed(stops[:at]):
        if stop.index < least:
            break
        if bases[0] <= stop.base <= bases[1]:
            return stop
    return None
