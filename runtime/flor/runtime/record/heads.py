"""Checkpoints at the heads of training loops, while recording."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from ..checkpoint import paths
from ..checkpoint.budget import Budget
from ..checkpoint.capture import capture
from ..checkpoint.iterators import DrawLog, IteratorProxy
from ..checkpoint.origins import Origins
from ..checkpoint.store import CheckpointWriter, Published
from .check import Check
from .files import FILES, FileState

if TYPE_CHECKING:
    from florc.plan import LoopPlan

    from ..loops import LoopIter, WhileLoop
    from ..session import LoopState, Session

ITERATOR = "flor.iterator"
"""Key of a snapshot's `meta`: how far the loop's own iterator was and what it drew."""
EXHAUSTED = "flor.exhausted"
"""Key of a snapshot's `meta`: taken after `next` found nothing more."""


class Watched:
    """A training loop's iterator, with the RNG streams watched around each `next`."""

    __slots__ = ("draws", "it")

    def __init__(self, draws: DrawLog, it: Iterator[Any]) -> None:
        self.draws = draws
        self.it = it

    def __iter__(self) -> Watched:
        return self

    def __next__(self) -> Any:
        self.draws.before()
        item = next(self.it)
        self.draws.after()
        return item


def watched(iterable: Iterable[Any]) -> Iterator[Any]:
    """`iter(iterable)` such that a checkpoint can say what it drew from RNG streams."""
    draws = DrawLog(iterable)  # before iter(): that may draw too
    it = iter(iterable)
    return Watched(draws, it) if draws.enabled else it


def made_iterator(factory: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """An iterator that remembers how it was made; the plain object if that can't be."""
    return IteratorProxy(factory, args, kwargs).or_plain()


def anchor_paths(plan: LoopPlan) -> list[str]:
    """Paths that lead to the same objects at every head: what the loop does not bind anew.

    A rebound name may have come to hold one of them.
    """
    rebound = {member.path for member in plan.state if member.how == "rebound"}
    found = paths.bases((member.path for member in plan.state), rebound)
    members = {member.path for member in plan.state}
    for name in plan.excluded:
        if not name.reason.startswith("dead") and name.path not in members:
            if not rebound.intersection([name.path, *paths.bases([name.path])]):
                found.append(name.path)
    return list(dict.fromkeys(found))


class RecordHeads:
    """Decides at each head whether a checkpoint is affordable, and takes it."""

    numbering_share = 0.005
    """Entries of inner loops get checkpoints only while numbering objects takes less time."""

    def __init__(
        self, session: Session, folder: Path, run: str, epsilon: float,
        published: Callable[[Published], None], files: FileState | None = None,
    ) -> None:  # fmt: skip
        self.session = session
        self.budget = Budget(epsilon)
        self.epsilon = epsilon
        self.begun = time.perf_counter()
        self.last_cost = 0.0  # seconds that the last snapshot blocked
        self.taken = 0
        self.numbering = 0.0  # seconds spent on numbering objects
        self._published = published
        self.writer = CheckpointWriter(folder, run, self._on_published)
        self.check = Check(session, folder.parent, lambda: self.taken)
        self.files = files
        self.at_first: Callable[[], None] | None = None  # called at the first head of all

    def _on_published(self, published: Published) -> None:
        self.budget.persisted(published.persist_s, published.stored)
        self._published(published)

    def iterator(self, iterable: Iterable[Any]) -> Iterator[Any]:
        """`iter(iterable)`, watched."""
        return watched(iterable)

    def made_iterator(self, factory: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """`factory(*args, **kwargs)`, remembering."""
        return made_iterator(factory, args, kwargs)

    def head(self, loop: LoopIter | WhileLoop, frame: FrameType) -> bool:
        """A checkpoint, if one is due.

        Not at an inner loop's first head: the outer checkpoint leads there.  An outermost loop's
        first head gets one because the code before it may draw from unseeded streams.
        """
        try:
            state = loop.state
            if state.index == state.base:
                self.begins(loop, frame)
            now = time.perf_counter()
            self.check.head(loop, frame, now)
            due = self.budget.due(state.depth, now)
            if due and (state.index > state.base or not state.depth) and not self.writer.busy:
                self._take(loop, frame, now, exhausted=False)
        except Exception as error:
            self._give_up(error)
        return False

    def begins(self, loop: LoopIter | WhileLoop, frame: FrameType) -> None:
        """Number what there is at an entry's first head.

        Inner loops may be entered often: only if that has taken next to no time up to now.
        """
        plan, now = loop.state.plan, time.perf_counter()
        if self.at_first is not None:
            self.at_first()
            self.at_first = None
        if plan is None or not plan.jump:
            return
        plan = self.check.plan(plan.name, plan)
        if loop.state.depth and self.numbering > self.numbering_share * (now - self.begun):
            return
        local = paths.local_names(frame)
        deep = {m.path: paths.resolve(m.path, frame, local) for m in plan.state}
        deep |= {path: paths.resolve(path, frame, local) for path in plan.shared}
        shallow = {path: paths.resolve(path, frame, local) for path in anchor_paths(plan)}
        wide = {c.path: paths.resolve(c.path, frame, local) for c in plan.claims}
        paths.forget(frame, local)
        loop.state.origins = Origins(deep, shallow, hold=False, wide=wide)
        self.numbering += time.perf_counter() - now

    def exhausted(self, loop: LoopIter, frame: FrameType) -> None:
        """A checkpoint behind an outermost loop, so that a replay can jump past it."""
        try:
            state = loop.state
            now = time.perf_counter()
            if state.index > state.base:
                self.check.head(loop, frame, now, last=not state.depth)
            else:
                self._ran_not_once(state)
            if state.depth or state.index == state.base:
                return
            cheap = self.last_cost <= self.epsilon * (now - self.begun)
            if cheap or self.budget.due(0, now):
                self.writer.drain(max(1.0, self.epsilon * (now - self.begun)))
                if not self.writer.busy:
                    self._take(loop, frame, now, exhausted=True)
        except Exception as error:
            self._give_up(error)

    def _ran_not_once(self, state: LoopState) -> None:
        """Loops around it in its own function may have counted on at least one iteration."""
        for outer in self.session.stack:
            if outer is not state and outer.frame_id == state.frame_id:
                self.check.promote_guarded(outer, state.name)

    def closed(self, state: LoopState) -> None:
        """Nothing to do."""

    def _take(
        self, loop: LoopIter | WhileLoop, frame: FrameType, now: float, exhausted: bool
    ) -> None:
        state = loop.state
        plan = state.plan
        if self.writer.error is not None:
            self._stop(f"no more checkpoints: {self.writer.error}")
            return
        if plan is None or not plan.jump or state.origins is None:
            return
        plan = self.check.plan(state.name, plan)
        local = paths.local_names(frame)
        try:
            saved = [m.path for m in plan.state]
            if state.index == state.base:  # no iteration has computed it yet
                saved += [r.path for r in plan.recomputed]
            roots = {path: paths.resolve(path, frame, local) for path in saved}
            anchors = {path: paths.resolve(path, frame, local) for path in anchor_paths(plan)}
            snapshot = capture(
                roots, skip_grads=plan.dead_grads, anchors=anchors, origins=state.origins
            )
        finally:
            paths.forget(frame, local)
        if plan.rereads and self.files is not None:
            snapshot.meta[FILES] = self.files.manifest()
        it = getattr(loop, "it", None)
        if isinstance(it, Watched):
            snapshot.meta[ITERATOR] = it.draws.state()
        if exhausted:
            snapshot.meta[EXHAUSTED] = True
        for path, why in snapshot.missing:
            self.session.note(f"{path} can't be checkpointed: {why}")
        nbytes = snapshot.nbytes
        # The head's value is how far this entry of the loop is: a replay tells entries apart by it.
        ctx = (state.parent_ctx, state.name, state.index, state.index - state.base)
        self.writer.submit(snapshot, state.name, ctx)
        self.last_cost = time.perf_counter() - now
        self.taken += 1
        self.budget.spent(self.last_cost, nbytes)

    def _give_up(self, error: Exception) -> None:
        self.session.trouble("a checkpoint", error)
        self._stop(None)

    def _stop(self, message: str | None) -> None:
        if message:
            self.session.note(message)
        for state in self.session.stack:
            self.check.promote_guarded(state)
        self.head = lambda loop, frame: False  # type: ignore[method-assign]
        self.exhausted = lambda loop, frame: None  # type: ignore[method-assign]

    def close(self, timeout: float) -> None:
        """Wait for what was submitted."""
        self.check.close()
        self.writer.close(timeout)
        if self.writer.error is not None:
            self.session.note(f"checkpoints: {self.writer.error}")
