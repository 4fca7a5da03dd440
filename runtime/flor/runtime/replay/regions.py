"""Skipping of regions in a replay: what a recorded execution left behind is put in its place.

A region is executed all the same if something is wanted from inside it, if nothing was recorded of
it at this position, or if a random stream isn't in the recorded state: then a replay has already
gone another way, and must show it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Any

from ..checkpoint.rng import State, capture_rng, restore_rng
from ..regions import plain
from ..regions.calls import Calls, count
from ..regions.entry import NEVER, Entry
from ..regions.modules import UnwatchableError, found_at, set_modes
from ..regions.streams import applied
from ..session import key

if TYPE_CHECKING:
    from florc.plan import Plan, RegionPlan

    from ..session import LoopState, Session
    from .schedule import Position
    from .sink import ReplaySink

Entries = Mapping[tuple["Position", str, int], bytes]
"""(position, id of the region, how often it was called there before) -> what is kept of it."""


@dataclass
class Skipped:
    """A region whose call does nothing."""

    plan: RegionPlan
    entry: Entry
    position: Position
    top: LoopState
    streams: State  # random states that it left
    modules: list[Any]
    result: Any


def nothing(*args: Any, **kwargs: Any) -> None:
    """Stands in for a function that is skipped; its arguments have been evaluated."""


class ReplayRegions:
    """Skips what was recorded and isn't wanted."""

    def __init__(
        self,
        session: Session,
        plan: Plan,
        sink: ReplaySink,
        entries: Entries,
        failed: Callable[[str], Any],
    ) -> None:
        """`failed` ends the process, for one that skips nothing."""
        self.session = session
        self.sink = sink
        self.entries = entries
        self.failed = failed
        never = {region for _, region, number in entries if number == NEVER}
        self.plans = {r.name: r for r in plan.regions if not r.obstacle and r.id not in never}
        self.calls: Calls[Skipped] = Calls()
        self.skipped: Counter[str] = Counter()
        self._statements = {log.id: log.name for log in plan.logs}
        self._wanted: dict[Position, set[str]] = {}  # a position -> names wanted there or below
        for position, names in sink.wanted.items():
            for depth in range(len(position) + 1):
                self._wanted.setdefault(position[:depth], set()).update(names)

    def region(self, name: str, function: Any, frame: FrameType) -> Any:
        """What is to be called in the place of `function`."""
        try:
            if self.calls.here():
                self.calls.begins(frame)
                skipped = self._skipped(name, frame)
                if skipped is not None:
                    self.calls.push(frame, skipped)
                    return nothing
        except Exception as error:
            self.failed(f"a region could not be looked at: {type(error).__name__}: {error}")
        return function

    def _skipped(self, name: str, frame: FrameType) -> Skipped | None:
        """What takes the place of the region called next; None if it is to be executed."""
        plan, session = self.plans.get(name), self.session
        if plan is None or session.ctx is None:
            return None
        top = session.stack[-1]
        number = count(top, plan.id)
        position = key(session.ctx)
        data = self.entries.get((position, plan.id, number))
        if data is None or self.wants(plan, position):
            return None
        entry = Entry.from_bytes(data)
        if entry is None or not (plan.discarded or entry.result):
            return None
        streams = applied(entry.streams, capture_rng()) if entry.streams else {}
        if streams is None:
            return None
        modules: list[Any] = []
        if entry.modes:
            try:
                modules = found_at(entry.watch, frame)
            except UnwatchableError:
                return None
            if len(modules) != entry.modules:
                return None
        result = None if plan.discarded else plain.decode(entry.result)
        return Skipped(plan, entry, position, top, streams, modules, result)

    def wants(self, plan: RegionPlan, position: Position) -> bool:
        """Whether something from inside a region is wanted at a position or below."""
        names = self._wanted.get(self.sink.recorded_part(position), ())
        for statement in plan.logs:
            name = self._statements.get(statement)
            if name in names:
                return True
            if name is None and names and statement not in (self.sink.old or ()):
                return True  # it may log whatever is wanted
        return False

    def after(self, result: Any, frame: FrameType) -> Any:
        """`result`, or what a region that was skipped has returned."""
        try:
            skipped = self.calls.ended(frame) if self.calls.here() else None
            if skipped is None:
                return result
            restore_rng(skipped.streams)
            set_modes(skipped.modules, skipped.entry.modes)
            skipped.top.children.update(skipped.entry.heads)
            self.sink.skipped(skipped.position, skipped.entry.logged)
            self.skipped[skipped.plan.call] += 1
            return skipped.result
        except Exception as error:
            self.failed(f"a region could not be skipped: {type(error).__name__}: {error}")
            raise
