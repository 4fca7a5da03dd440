"""Recording of skippable regions: what each execution leaves behind, if that can be kept."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Any

from florc.plan import CAPTURED

from ..checkpoint.rng import State, capture_rng
from ..regions import plain
from ..regions.calls import Calls, changed_heads, count
from ..regions.entry import NEVER, Entry
from ..regions.modules import UnwatchableError, Watched, found_at, set_modes, torch_modes
from ..regions.streams import changes
from .audit import Audit, Prints, changed

if TYPE_CHECKING:
    from florc.plan import Plan, RegionPlan

    from ..session import Ctx, LoopState, Session, Sink

Keep = Callable[[Any, str, int, bytes], None]
"""Stores an entry: position, id of the region, how often it was called there before, bytes."""


class NotKeptError(Exception):
    """An execution left behind what can't be put back."""


@dataclass
class Tally:
    """What is known of a region so far."""

    plan: RegionPlan
    runs: int = 0
    failures: int = 0  # in a row
    kept: int = 0
    seconds: float = 0.0  # in the region
    cost: float = 0.0  # seconds of ours
    off: str = ""  # why it isn't looked at any more


class Tee:
    """A sink that passes everything on, and counts what is logged at one position."""

    def __init__(self, sink: Sink, ctx: Ctx | None) -> None:
        self.sink, self.ctx = sink, ctx
        self.counts: Counter[str] = Counter()

    def log(self, name: str, value: object, ctx: Ctx | None, stmt: str) -> None:
        """Pass it on."""
        if ctx is self.ctx and CAPTURED not in stmt:
            self.counts[name] += 1
        self.sink.log(name, value, ctx, stmt)

    def iteration(self, ctx: Ctx, t: float) -> None:
        """Pass it on."""
        self.sink.iteration(ctx, t)


@dataclass
class Call:
    """A region that is being executed."""

    tally: Tally
    ctx: Ctx
    top: LoopState
    number: int
    heads: dict[str, int]
    streams: State
    watched: Watched | None
    modes: tuple[Any, ...]
    tee: Tee
    prints: Prints | None  # if this execution is audited
    cost: float = 0.0
    audit: float = 0.0  # seconds of the audit behind it
    begun: float = 0.0


class RecordRegions:
    """Notes what regions leave behind; lets those alone that are too short to pay."""

    share = 0.1
    """Of the time that a region takes, that may go into noting what it leaves."""
    whole_share = 0.01
    """Of the time of the run, the same for all regions."""
    grace = 0.05
    """Seconds that may go into it in any case."""
    tries = 3
    """Executions after which a region is judged."""
    most = 20_000
    """Entries of one region."""

    def __init__(self, session: Session, plan: Plan, keep: Keep) -> None:
        self.session = session
        self.keep = keep
        self.tallies = {r.name: Tally(r) for r in plan.regions if not r.obstacle}
        self.calls: Calls[Call] = Calls()
        self.audit = Audit(tuple(plan.extra.get("sinks", ())))
        self.cost = 0.0
        self.started = time.perf_counter()

    def region(self, name: str, function: Any, frame: FrameType) -> Any:
        """`function`, which is to be called in `frame` at once."""
        tally = self.tallies.get(name)
        if (tally is None or tally.off) and not self.calls.open:
            return function
        try:
            if self.calls.here():
                for left in self.calls.begins(frame):
                    self._unhook(left)
                if tally is not None and not tally.off:
                    self._begin(tally, frame)
        except Exception as error:
            self._give_up(error)
        return function

    def _begin(self, tally: Tally, frame: FrameType) -> None:
        session = self.session
        ctx, now = session.ctx, time.perf_counter()
        if ctx is None:
            return
        top = session.stack[-1]
        number = count(top, tally.plan.id)
        if self.cost > self.grace + self.whole_share * (now - self.started):
            return
        try:
            watch = tally.plan.watch
            watched = Watched(found_at(watch, frame)) if watch else None
        except UnwatchableError as error:
            self._failed(tally, str(error))
            return
        spent = self.audit.spent
        due = tally.plan.plain and self.audit.due(tally.runs)
        prints = self.audit.look(frame) if due else None
        call = Call(
            tally,
            ctx,
            top,
            number,
            dict(top.children),
            capture_rng(),
            watched,
            torch_modes(),
            Tee(session.sink, ctx),
            prints,
        )
        self.calls.push(frame, call)
        session.sink = call.tee
        call.begun = time.perf_counter()
        call.cost = call.begun - now - (self.audit.spent - spent)

    def after(self, result: Any, frame: FrameType) -> Any:
        """`result`, which the call in `frame` has returned."""
        if not self.calls.open:
            return result
        try:
            call = self.calls.ended(frame) if self.calls.here() else None
            if call is not None:
                self._end(call, result, frame)
        except Exception as error:
            self._give_up(error)
        return result

    def _end(self, call: Call, result: Any, frame: FrameType) -> None:
        ended = time.perf_counter()
        tally = call.tally
        self._unhook(call)
        try:
            data = self._left(call, result).to_bytes()
            if self._audited(call, frame):
                self.keep(call.ctx, tally.plan.id, call.number, data)
                tally.failures = 0
                tally.kept += 1
                if tally.kept >= self.most:
                    tally.off = "it is called too often"
        except (NotKeptError, plain.NotPlainError, UnwatchableError) as error:
            self._failed(tally, str(error))
        cost = call.cost + time.perf_counter() - ended - call.audit
        tally.runs += 1
        tally.seconds += ended - call.begun
        tally.cost += cost
        self.cost += cost
        if tally.runs >= self.tries and tally.cost > self.share * tally.seconds:
            tally.off = "it is too short"

    def _audited(self, call: Call, frame: FrameType) -> bool:
        """Whether the execution has changed nothing that its caller sees; else it's never skipped.

        Which modes modules are in may have changed: they are put back for the look.
        """
        if call.prints is None:
            return True
        spent, watched, plan = self.audit.spent, call.watched, call.tally.plan
        modes = watched.changed_modes() if watched is not None else {}
        found = watched.modules if watched is not None else []
        set_modes(found, {number: not mode for number, mode in modes.items()})
        try:
            name = changed(call.prints, self.audit.look(frame, call.prints))
        finally:
            set_modes(found, modes)
            call.audit = self.audit.spent - spent
        if name:
            call.tally.off = f"it changes {name}"
            self.keep(call.ctx, plan.id, NEVER, b"")
            message = f"{plan.file}:{plan.line}: {plan.call}() changes {name}, which the analysis"
            self.session.note(f"{message} has missed: a replay never skips it")
        return not name

    def _unhook(self, call: Call) -> None:
        """Whoever else's sink is in place now stays: regions left by an exception are below it."""
        sink: Any = self.session.sink
        while isinstance(sink, Tee):
            if sink is call.tee:
                self.session.sink = sink.sink
                return
            sink = sink.sink

    def _left(self, call: Call, result: Any) -> Entry:
        """What an execution has left.  Raises NotKeptError and the like."""
        session, plan = self.session, call.tally.plan
        if session.ctx is not call.ctx or session.stack[-1] is not call.top:
            raise NotKeptError("a loop that it began goes on")
        if torch_modes() != call.modes:
            raise NotKeptError("it leaves torch in another mode")
        watched = call.watched
        if watched is not None and not watched.unchanged():
            raise NotKeptError(f"it changes modules: {', '.join(plan.watch)}")
        modes = watched.changed_modes() if watched is not None else {}
        return Entry(
            changes(call.streams, capture_rng()),
            changed_heads(session, call.heads),
            dict(call.tee.counts),
            plan.watch if modes else (),
            len(watched.modules) if watched is not None else 0,
            modes,
            b"" if plan.discarded else plain.encode(result),
        )

    def _failed(self, tally: Tally, why: str) -> None:
        tally.failures += 1
        if tally.failures >= self.tries:
            tally.off = why

    def _give_up(self, error: Exception) -> None:
        self.session.trouble("noting what a region leaves", error)
        sink: Any = self.session.sink
        while isinstance(sink, Tee):
            sink = sink.sink
        self.session.sink = sink
        self.session.regions = None
