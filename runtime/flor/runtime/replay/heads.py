"""What a replay does at the heads of training loops: stop, jump, compare, or go on."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

from ..checkpoint import paths
from ..checkpoint.capture import capture
from ..checkpoint.compare import differences
from ..checkpoint.errors import CheckpointCorrupt, RestoreImpossible
from ..checkpoint.iterators import fast_forward
from ..checkpoint.origins import ORIGINS, Origins
from ..checkpoint.restore import restore
from ..checkpoint.store import load
from ..loops import LoopIter, WhileLoop
from ..record.files import FILES
from ..record.heads import EXHAUSTED, ITERATOR, Watched, made_iterator, watched
from ..session import Session, key
from .clock import Stopwatch
from .schedule import Position, Schedule
from .sink import ReplaySink, words
from .state_only import OFF, StateOnly

if TYPE_CHECKING:
    from ..checkpoint.graph import Snapshot
    from ..session import LoopState

Loop = LoopIter | WhileLoop

CHECK_SHARE = 0.2
"""At most this part of a worker's time goes into comparing states on the way."""


@dataclass(frozen=True)
class Stop:
    """A recorded checkpoint: at which head, how many heads its entry of the loop had passed."""

    index: int
    base: int
    file: Path
    lacks: tuple[str, ...] = ()  # what the run found to belong in only later


class ReplayHeads:
    """Follows the schedule through one worker process."""

    def __init__(
        self,
        session: Session,
        sink: ReplaySink,
        schedule: Schedule,
        stops: dict[tuple[Position, str], list[Stop]],
        *,
        jumps: bool,
        banned: frozenset[str],
        before: frozenset[str],
        horizon: dict[str, int] | None,
        finish: Callable[[str], NoReturn],
        restart: Callable[[str, Path | None], NoReturn],
        on_jump: Callable[[dict[str, Any] | None], None],
        promoted: frozenset[tuple[str, str]] = frozenset(),
        states: StateOnly | None = None,
        watch: Stopwatch | None = None,
    ) -> None:
        self.watch = watch or Stopwatch()
        self.session = session
        self.sink = sink
        self.schedule = schedule
        self.stops = stops
        self.jumps = jumps
        self.banned = set(banned)
        self.before = before
        self.horizon = horizon
        self.finish = finish
        self.restart = restart
        self.on_jump = on_jump
        self.promoted = promoted  # (loop, path)
        self.states = states
        self.item: Any = None  # the last one that a jump has gone past
        self.jumped: list[Position] = []
        self.ended = False  # the script is over: what is closed now was left by its end
        self._left: list[LoopState] = []  # loops left by an exception that was still on its way
        self.begun = time.perf_counter()
        self.checking = 0.0

    # -- the calls of the loops ----------------------------------------------------------------

    def iterator(self, iterable: Iterable[Any]) -> Iterator[Any]:
        """`iter(iterable)`, as while recording."""
        return watched(iterable)

    def made_iterator(self, factory: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """As while recording."""
        return made_iterator(factory, args, kwargs)

    def head(self, loop: Loop, frame: FrameType) -> bool:
        """See Heads.head: stop the process, jump ahead, or let the iteration run."""
        self.watch.looping()
        try:
            return self._head(loop, frame)
        except (SystemExit, KeyboardInterrupt):
            raise
        except Exception as error:
            self.restart(f"{type(error).__name__}: {error}", None)

    def _head(self, loop: Loop, frame: FrameType) -> bool:
        if self._left and not handling():
            self._caught()
        state = loop.state
        outer = key(state.parent_ctx)
        schedule = self.schedule
        if self.before and state.name in self.before:
            schedule.to_the_end = False
        if self.jumps and state.index == state.base:
            begun = self.watch.clock()
            self._begins(outer, state, frame)
            self.watch.restoring(begun)
        target = schedule.at_head(outer, state.name, state.index)
        over = schedule.finished() or self._beyond(outer, state)
        here = self._stop_at(outer, state)
        fresh = self.jumps and state.index == state.base  # will be restored, needn't be the same
        if here is not None and not fresh and self._affordable(over):
            self._compare(here, loop, frame, at_end=False)
        if over:
            self.finish("everything wanted is done" if schedule.finished() else "end of the run")
        if self.jumps and state.plan is not None and state.plan.jump:
            if self.states is not None:
                over = False
                while (stop := self._answering(self.states, outer, state, target)) is not None:
                    over = self._answer(self.states, stop, loop, frame, outer)
                    target = schedule.at_head(outer, state.name, state.index)
                if schedule.finished():
                    self.finish("everything wanted is done")
                if over:
                    return True
            stop = self._best(outer, state, target)
            while stop is not None:
                begun = self.watch.clock()
                outcome = self._jump(stop, loop, frame, outer)
                self.watch.restoring(begun)
                if outcome is not None:
                    return outcome
                stop = self._best(outer, state, target)
        return False

    def _begins(self, outer: Position, state: LoopState, frame: FrameType) -> None:
        """Number what there is at an entry's first head, as the recording did."""
        for stop in self.stops.get((outer, state.name), ()):
            if stop.base != state.base or stop.file.name in self.banned:
                continue
            try:
                note = load(stop.file).meta.get(ORIGINS)
            except CheckpointCorrupt as error:
                self._ban(stop, str(error))
                continue
            if note is not None:
                deep = {path: paths.resolve(path, frame) for path in note["deep"]}
                shallow = {path: paths.resolve(path, frame) for path in note["shallow"]}
                wide = {path: paths.resolve(path, frame) for path in note.get("wide", ())}
                state.origins = Origins(deep, shallow, hold=True, wide=wide)
            return

    def exhausted(self, loop: LoopIter, frame: FrameType) -> None:
        """Compare with the checkpoint taken behind the loop, if there is one."""
        try:
            state = loop.state
            outer = key(state.parent_ctx)
            here = self._stop_at(outer, state)
            if here is not None and self._affordable(False):
                self._compare(here, loop, frame, at_end=True)
        except Exception as error:
            self.session.trouble("comparing states", error)

    def closed(self, state: LoopState) -> None:
        """A loop was left: what is before its next head has been passed.

        Not so if an exception leaves it: whether the script goes on is seen later.
        """
        if self.ended:
            return
        if state.raised or handling():
            self._left.append(state)
            return
        self._passed(state)
        if self.schedule.finished():
            self.finish("everything wanted is done")

    def script_ended(self, as_recorded: bool) -> None:
        """The script is over; the iterations it was in count only if the recorded run's did."""
        self.ended = True
        if as_recorded:
            self._caught()
            for state in self.session.stack[1:]:
                self._passed(state)

    def _caught(self) -> None:
        for state in self._left:
            self._passed(state)
        self._left.clear()

    def _passed(self, state: LoopState) -> None:
        self.schedule.at_head(key(state.parent_ctx), state.name, state.index)

    # -- where to go ---------------------------------------------------------------------------

    def _beyond(self, outer: Position, state: LoopState) -> bool:
        """Whether an unfinished recording never got here."""
        if outer or self.horizon is None:
            return False
        return state.index > self.horizon.get(state.name, -1)

    def _best(self, outer: Position, state: LoopState, target: int | None) -> Stop | None:
        """The last usable checkpoint of this entry of the loop, ahead, not behind `target`."""
        best = None
        # The state at an entry's first head is restored too: what led there may not be seeded.
        first = state.index == state.base and not outer
        for stop in self.stops.get((outer, state.name), ()):
            if stop.base != state.base or stop.index < state.index + (not first):
                continue
            if target is not None and stop.index > target:
                continue
            if stop.lacks:
                self._say_lacking(stop)
            elif stop.file.name not in self.banned and (best is None or stop.index > best.index):
                best = stop
        return best

    def _answering(
        self, states: StateOnly, outer: Position, state: LoopState, target: int | None
    ) -> Stop | None:
        """The checkpoint behind the iteration wanted next, if that answers all that is wanted."""
        if target is None or not states.answers((*outer, (state.name, target))):
            return None
        for stop in self.stops.get((outer, state.name), ()):
            if stop.index == target + 1 and stop.base == state.base and not stop.lacks:
                if stop.file.name not in self.banned:
                    return stop
        return None

    def _answer(
        self, states: StateOnly, stop: Stop, loop: Loop, frame: FrameType, outer: Position
    ) -> bool:
        """Go to `stop`, evaluate what is wanted of the iteration before; True: the loop is over."""
        outcome = self._jump(stop, loop, frame, outer)
        if outcome is None:
            return False
        why = states.execute(loop, frame, stop.index - 1, self.item)
        if why:
            self.restart(why, Path(OFF))
        return outcome

    def _say_lacking(self, stop: Stop) -> None:
        names = ", ".join(stop.lacks)
        self.session.note(
            f"earlier checkpoints are not used: {names} was found changed while recording"
        )

    def _jump(self, stop: Stop, loop: Loop, frame: FrameType, outer: Position) -> bool | None:
        """Go to `stop`: True if the loop is over there, False if not, None if it can't be used.

        Once something live has been changed, a failure means a new process.
        """
        state = loop.state
        try:
            snapshot = load(stop.file)
        except CheckpointCorrupt as error:
            self._ban(stop, str(error))
            return None
        why = self._unusable(snapshot, loop, first=not outer and not stop.index)
        if why:
            self._ban(stop, why)
            return None
        plan = state.plan
        assert plan is not None
        self._compatible(snapshot)
        over = bool(snapshot.meta.get(EXHAUSTED))
        touched = False
        try:
            if isinstance(loop, LoopIter):
                touched = True
                if self._advance(loop, stop, snapshot, over):
                    over = True
            live = {path: paths.resolve(path, frame) for path in snapshot.roots}
            rebound = [member.path for member in plan.state if member.how == "rebound"]
            anchors = {path: paths.resolve(path, frame) for path in snapshot.anchors}
            result = restore(
                snapshot, live, rebound=rebound, anchors=anchors, origins=state.origins
            )
            touched = True
            for path, value in sorted(result.items(), key=lambda item: item[0].count(".")):
                if value is not live.get(path, paths.MISSING):
                    paths.assign(path, frame, value)
        except RestoreImpossible as error:
            if touched or error.late:
                self.restart(str(error), stop.file)
            self._ban(stop, str(error))
            return None
        except Exception as error:
            self.restart(f"{type(error).__name__}: {error}", stop.file)
        if stop.index > stop.base:
            try:
                for each in plan.recomputed:
                    # One namespace: a generator expression sees no locals of `eval`.
                    names = {**frame.f_globals, **paths.local_names(frame)}
                    paths.assign(each.path, frame, eval(each.expression, names))
            except Exception as error:
                self.restart(f"{each.path}: {type(error).__name__}: {error}", stop.file)
            self.on_jump(snapshot.meta.get(FILES))
        state.index = stop.index
        self.jumped.append((*outer, (state.name, stop.index)))
        self.schedule.at_head(outer, state.name, stop.index)
        return over

    def _compatible(self, snapshot: Snapshot) -> None:
        """Say once which library or thread count is not the recorded one."""
        torch = sys.modules.get("torch")
        now = {"python": sys.version.split()[0]}
        if torch is not None:
            now |= {"torch": str(torch.__version__), "threads": torch.get_num_threads()}
        for name, value in now.items():
            then = snapshot.meta.get(name, value)
            if then != value:
                self.session.note(f"{name} is {value}, was {then} when recorded: bits may differ")

    def _advance(self, loop: LoopIter, stop: Stop, snapshot: Snapshot, over: bool) -> bool:
        """Consume the items before `stop`; True if there are no more."""
        state = loop.state
        it = loop.it
        inner = it.it if isinstance(it, Watched) else it
        seen = snapshot.meta.get(ITERATOR) or {}
        start, end = state.index - state.base, stop.index - stop.base
        self.item = fast_forward(inner, end, seen.get("log", ()), start)
        if isinstance(it, Watched):
            it.draws.count = end
        if over:
            try:
                next(inner)
            except StopIteration:
                return True
            raise RestoreImpossible(state.name, "its iterator has more items than recorded")
        return False

    def _unusable(self, snapshot: Snapshot, loop: Loop, first: bool) -> str:
        """Why today's loop can't start from `snapshot`, or "".

        At the very `first` head what was promoted later is as the script has made it.
        """
        plan = loop.state.plan
        assert plan is not None
        for member in plan.state:
            promoted = first and (plan.name, member.path) in self.promoted
            if member.path not in snapshot.roots and not promoted:
                return f"{member.path} was not needed then, but is now"
        for path, why in snapshot.missing:
            return f"{path} was not saved ({why})"
        if snapshot.meta.get("skip_grads") and not plan.dead_grads:
            return "gradients were not saved, but are needed now"
        seen = snapshot.meta.get(ITERATOR) or {}
        if seen.get("unrestorable"):
            return str(seen["unrestorable"])
        return ""

    def _ban(self, stop: Stop, why: str) -> None:
        self.banned.add(stop.file.name)
        self.session.note(f"checkpoint {stop.file.name} is not used: {why}")

    # -- the deferred check of states ----------------------------------------------------------

    def _stop_at(self, outer: Position, state: LoopState) -> Stop | None:
        for stop in self.stops.get((outer, state.name), ()):
            if stop.index == state.index and stop.base == state.base:
                return stop
        return None

    def _affordable(self, last: bool) -> bool:
        now = time.perf_counter()
        return last or self.checking <= CHECK_SHARE * (now - self.begun)

    def _compare(self, stop: Stop, loop: Loop, frame: FrameType, at_end: bool) -> None:
        """Compare the live state with the recorded one at the same head."""
        begun = time.perf_counter()
        plan = loop.state.plan
        if plan is None or stop.file.name in self.banned:
            return
        try:
            recorded = load(stop.file)
            if bool(recorded.meta.get(EXHAUSTED)) is not at_end:
                return
            roots = {path: paths.resolve(path, frame) for path in recorded.roots}
            live = capture(roots, skip_grads=bool(recorded.meta.get("skip_grads")))
            timeless = [member.path for member in plan.state if not member.volatile]
            project = self.session.plan
            modules = [module.name for module in project.modules] if project is not None else []
            found = differences(recorded, live, timeless=timeless, modules=modules)
            live.release()
        except CheckpointCorrupt as error:
            self._ban(stop, str(error))
            return
        except Exception as error:
            self.session.trouble("comparing states", error)
            return
        self.sink.compared += 1
        state = loop.state
        where = (*key(state.parent_ctx), (state.name, state.index))
        outer = f"{words(state.parent_ctx)}, " if state.parent_ctx is not None else ""
        place = f"{outer}head {state.index} of {state.name}"
        drawn = {f"rng: {stream}" for stream in plan.rng}
        for what in found:
            if what.startswith("rng: ") and what not in drawn:
                continue  # a stream that nobody seeded and nobody draws from
            self.sink.differs(where, place, "state", "as recorded", what)
        self.checking += time.perf_counter() - begun


def handling() -> bool:
    """Whether an exception of the script's is being handled, perhaps to be raised on."""
    error = sys.exc_info()[1]
    if isinstance(error, StopIteration):  # the one that ends our own loop
        error = error.__context__
    return error is not None
