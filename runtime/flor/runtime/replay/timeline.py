"""What a replay has to do of a recorded run, in the seconds that it took when it was recorded.

The recorded run is a line in time with the heads of its iterations on it.  A replay goes along
this line, leaves out what lies between a head and the checkpoint to which it jumps from there, and
ends when everything wanted has been passed.
"""

from __future__ import annotations

import statistics
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from itertools import pairwise
from typing import TYPE_CHECKING

from ..store import costs
from ..store.positions import ROOT
from .segments import Recorded, Segment, Stop
from .walk import Walk

if TYPE_CHECKING:
    import sqlite3

    from ..store.rows import Checkpoint
    from .schedule import Position

LATE = 60.0
"""Seconds behind a run's end: a later iteration is one that a replay has noted."""
SIBLINGS = 16
"""Iterations looked at to tell how much longer a process's first one takes."""


class Timeline:
    """One recorded run.  Looked up once, asked often."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        run: int,
        begun: float,
        ended: float | None,
        checkpoints: Iterable[Checkpoint] = (),
        regions: Collection[str] = (),
    ) -> None:
        """`checkpoints` are those that can be used, `regions` the ids of those that are skipped.

        `begun` and `ended` are the run's, in seconds since the epoch; `ended` is None of a run
        that never came to its end.
        """
        self.connection = connection
        self.run = run
        timings = costs.get_timings(connection, run)
        self.begun = timings.get(costs.SCRIPT, begun)
        self.ended = timings.get(costs.END, ended) if ended is not None else None
        self._loops: dict[int, list[tuple[int, str]]] = defaultdict(list)  # shape -> those in it
        for shape, parent, loop in connection.execute("SELECT shape, parent, loop FROM shapes"):
            if shape != ROOT:
                self._loops[parent].append((shape, loop))
        self.stops: dict[tuple[Position, str], list[Stop]] = defaultdict(list)
        for each in checkpoints:
            *around, (_, index, passed) = each.coordinates
            place = (tuple((loop, number) for loop, number, _ in around), each.loop)
            self.stops[place].append(Stop(index, index - int(passed), each.nbytes))
        self.inner: dict[tuple[Position, str], set[int]] = defaultdict(set)
        """Iterations (by the place of their loop) in which there are checkpoints of inner loops."""
        for outer, _ in self.stops:
            for depth, (loop, index) in enumerate(outer):
                self.inner[outer[:depth], loop].add(index)
        for found in self.stops.values():
            found.sort(key=lambda stop: stop.index)
        self._root = self.segments(ROOT, ROOT, self.begun, self._last())
        self._skips = self._skipped(timings, regions)
        (self._values,) = connection.execute(
            "SELECT count(*) FROM cells WHERE run = ?", (run,)
        ).fetchone()
        self._warm_up = self._first_is_longer()

    # -- the recorded run ----------------------------------------------------------------------

    def _last(self) -> float:
        """When the run was over, as far as is known."""
        if self.ended is not None:
            return self.ended
        (time,) = self.connection.execute(
            "SELECT max(time) FROM nodes WHERE run = ?", (self.run,)
        ).fetchone()
        return max(self.begun, time or self.begun)

    def segments(self, node: int, shape: int, begin: float, end: float) -> list[Segment]:
        """The loops directly inside an iteration, in the order in which they ran."""
        rows = []
        for inner, loop in self._loops.get(shape, ()):
            rows += [
                (number, loop, index, time)
                for number, index, time in self.connection.execute(
                    "SELECT node, idx, time FROM nodes WHERE run = ? AND shape = ? AND parent = ?",
                    (self.run, inner, node),
                )
                if time is not None and begin - LATE <= time <= end + LATE
            ]
        rows.sort()
        found: list[Segment] = []
        first = 0
        for at in range(1, len(rows) + 1):
            if at < len(rows) and rows[at][1] == rows[first][1]:
                continue
            part = rows[first:at]
            times = [max(begin, row[3]) for row in part]
            after = rows[at][3] if at < len(rows) else end
            spans = [b - a for a, b in pairwise(times)]
            last = max(0.0, after - times[-1])
            if spans:  # what follows the loop isn't its last iteration's
                usual = statistics.median(spans)
                last = min(last, usual) if last else usual
            found.append(
                Segment(
                    part[0][1],
                    tuple(row[2] for row in part),
                    tuple(row[0] for row in part),
                    tuple(times),
                    times[-1] + last,
                )
            )
            first = at
        return found

    def inner_shape(self, shape: int, loop: str) -> int:
        """The nest of a loop inside another nest."""
        return next(inner for inner, name in self._loops[shape] if name == loop)

    def _skipped(
        self, timings: dict[str, float], regions: Collection[str]
    ) -> list[tuple[int, str, float]]:
        """(node, region, seconds that skipping it spares), in order."""
        if not regions or not costs.exists(self.connection, "regions"):
            return []
        rows = self.connection.execute(
            "SELECT node, stmt FROM regions JOIN statements USING (stmt_id) "
            "WHERE run = ? AND number >= 0 ORDER BY node",
            (self.run,),
        )
        return [
            (node, region, timings[costs.REGION + region])
            for node, region in rows
            if region in regions and costs.REGION + region in timings
        ]

    def _first_is_longer(self) -> float:
        """Seconds by which the first iteration of a process exceeds the others.

        Libraries set themselves up then: a replay pays for it wherever it begins.
        """
        segments, shape, spans = self._root, ROOT, [0.0]
        while segments:
            first = segments[0]
            heads = first.heads[: SIBLINGS + 1]
            found = [b - a for a, b in pairwise(heads)]
            if len(found) >= 3:
                spans = found
            shape = self.inner_shape(shape, first.loop)
            segments = self.segments(first.nodes[0], shape, heads[0], heads[1])
        return max(0.0, spans[0] - statistics.median(spans))

    # -- a replay ------------------------------------------------------------------------------

    def replay(
        self,
        wanted: Iterable[Position],
        *,
        to_the_end: bool = False,
        before: Collection[str] = (),
        executes: Callable[[str], bool] = lambda region: False,
        answered: Collection[Position] = (),
    ) -> Recorded:
        """What replaying `wanted` positions takes.

        With `to_the_end` the script has to run to its end, or up to one of the loops in `before`.
        `executes` says of a region that it isn't skipped, as something in it is wanted;
        `answered` are iterations of which the next head's state answers all that is wanted.
        """
        first = self._root[0].times[0] if self._root else self._last()
        found = Recorded(prefix=max(0.0, first - self.begun), values=self._values)
        if not self._root:
            return found
        places = [position for position in wanted if position]
        goal = None
        if to_the_end and before:
            stops = [n for n, segment in enumerate(self._root) if segment.loop in before]
            goal = stops[0] if stops else None
            to_the_end = goal is None
        walk = Walk(self, found, executes, answered)
        found.execute = walk.inside((), ROOT, self._root, (first, self._last()), places,
                                    own=to_the_end, final=True, goal=goal)  # fmt: skip
        if walk.began not in (ROOT, self._root[0].nodes[0]):
            found.execute += self._warm_up
        return found

    def skipped(self, begin: int, end: float, executes: Callable[[str], bool]) -> float:
        """Seconds of regions called in iterations from node `begin` to before node `end`."""
        low = bisect_left(self._skips, (begin, "", 0.0))
        total = 0.0
        for node, region, seconds in self._skips[low:]:
            if node >= end:
                break
            total += 0.0 if executes(region) else seconds
        return total
