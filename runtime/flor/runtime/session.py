"""The state of one recorded or replayed process: where it stands in its loops.

There is at most one session in a process.  Nothing of ours may raise into the script: whatever
fails is reported once and the session goes on with less.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from types import CodeType
from typing import TYPE_CHECKING, Any, Protocol

import flor
from florc.plan import CAPTURED

from .store.values import freeze

if TYPE_CHECKING:
    from types import FrameType

    from florc.plan import LogStatement, LoopPlan, Plan

    from .checkpoint.origins import Origins
    from .loops import LoopIter, WhileLoop

Ctx = tuple[Any, str, int, Any]
"""A loop position: (outer position or None, loop, index, value of the counter)."""

PLAIN = frozenset({float, int, str, bool, type(None)})


class Sink(Protocol):
    """What receives values and iterations: the store's writer, or a replay's collector."""

    def log(self, name: str, value: object, ctx: Ctx | None, stmt: str) -> None: ...

    def iteration(self, ctx: Ctx, t: float) -> None: ...


class Heads(Protocol):
    """What happens at the heads of training loops: checkpoints, or jumps."""

    def iterator(self, iterable: Iterable[Any]) -> Iterator[Any]:
        """`iter(iterable)` for a training loop."""

    def made_iterator(self, factory: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """`factory(*args, **kwargs)` for an iterator that a training loop advances by hand."""

    def head(self, loop: LoopIter | WhileLoop, frame: FrameType) -> bool:
        """Called before `next`; True means that the loop is over."""

    def exhausted(self, loop: LoopIter, frame: FrameType) -> None:
        """Called after `next` found nothing more."""

    def closed(self, state: LoopState) -> None:
        """Called when a training loop is left, however."""


class Regions(Protocol):
    """What happens around the calls of regions: they are noted, or skipped."""

    def region(self, name: str, function: Any, frame: FrameType) -> Any:
        """What to call in the place of `function`."""

    def after(self, result: Any, frame: FrameType) -> Any:
        """What the call is taken to have returned."""


class LoopState:
    """One instrumented loop being run.  The stack holds it; the frame holds the iterator."""

    __slots__ = (
        "base", "children", "depth", "frame_id", "index", "name", "open", "origins", "parent",
        "parent_ctx", "plan", "raised", "value",
    )  # fmt: skip

    def __init__(self, name: str, plan: LoopPlan | None, frame_id: int) -> None:
        self.name = name
        self.plan = plan
        self.frame_id = frame_id
        self.parent: LoopState | None = None
        self.parent_ctx: Ctx | None = None
        self.depth = 0  # number of training loops around it
        self.base = 0  # heads passed by earlier entries under the same outer position
        self.index = 0  # of the next head, counted from the first entry
        self.value: object = None
        # Under the current position: name of a loop -> heads passed; of a region -> calls.
        self.children: dict[str, int] = {}
        self.open = True
        self.raised = False  # an exception was leaving the loop when it was closed
        self.origins: Origins | None = None  # what there was at this entry's first head


class Session:
    """The loops, sinks and notes of this process."""

    def __init__(self, mode: str, plan: Plan | None, sink: Sink, quiet: bool = False) -> None:
        self.mode = mode  # "record" | "replay"
        self.plan = plan
        self.sink = sink
        self.quiet = quiet
        self.pid = os.getpid()
        self.ctx: Ctx | None = None
        self.root = LoopState("", None, 0)
        self.stack: list[LoopState] = [self.root]
        self.heads: Heads | None = None
        self.regions: Regions | None = None
        self.notes: list[str] = []
        self.arguments: dict[str, Any] = {}
        self.recorded_arguments: dict[str, Any] | None = None  # in a replay
        self.on_argument: Any = None
        self._said: set[str] = set()
        self._places: dict[tuple[int, int], tuple[CodeType, str]] = {}
        self._plans = {loop.name: loop for loop in plan.loops} if plan else {}
        self._ancestors = {name: self._lexical(name) for name in self._plans}
        self._statements: dict[tuple[str, int], LogStatement] = {}
        self._captures: dict[tuple[str, int, str], str] = {}
        if plan:
            self._statements = {(g.file, g.line): g for g in plan.logs if not g.captured}
            self._captures = {(g.file, g.line, str(g.name)): g.id for g in plan.logs if g.captured}
        self.project = ""

    # -- activation ---------------------------------------------------------------------------

    def activate(self) -> None:
        """Make this the session of the process."""
        global current
        current = self
        flor._log, flor._arg, flor._loop = self.log, self.arg, self.hand_loop

    def deactivate(self) -> None:
        """Make every call of ours transparent from here on (also in a forked child)."""
        global current
        if current is self:
            current = None
        flor._log = flor._arg = flor._loop = None
        self.heads = self.regions = None
        self.sink = Nothing()

    def live(self) -> bool:
        """Whether this process is the one that records."""
        return current is self

    def note(self, message: str) -> None:
        """Keep a line for the run's record and say it once on standard error."""
        if message in self._said:
            return
        self._said.add(message)
        self.notes.append(message)
        if not self.quiet and sys.__stderr__ is not None:
            try:
                sys.__stderr__.write(f"florc: {message}\n")
                sys.__stderr__.flush()
            except (OSError, ValueError):
                pass

    def trouble(self, doing: str, error: BaseException) -> None:
        """Report a failure of ours; the script goes on."""
        text = str(error).splitlines()
        what = f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
        self.note(f"{doing} failed, training goes on ({what})")

    # -- loops --------------------------------------------------------------------------------

    def _lexical(self, name: str) -> frozenset[str]:
        found: list[str] = []
        loop = self._plans.get(name)
        while loop is not None and loop.lexical_parent and loop.lexical_parent not in found:
            found.append(loop.lexical_parent)
            loop = self._plans.get(loop.lexical_parent)
        return frozenset(found)

    def loop_plan(self, name: str) -> LoopPlan | None:
        """The plan of loop `name`, None for a loop named by hand."""
        return self._plans.get(name)

    def enter(self, name: str, frame: FrameType) -> LoopState:
        """A loop starts in `frame`: put it on the stack."""
        state = LoopState(name, self._plans.get(name), id(frame))
        ancestors = self._ancestors.get(name)
        if ancestors is not None:
            while len(self.stack) > 1:
                top = self.stack[-1]
                if top.frame_id != state.frame_id or top.name in ancestors:
                    break
                if top.plan is None or top.plan.kind != "while":
                    break  # the frame drops a `for` loop's iterator at once
                self.close(top)  # left by an exception that this frame has caught
        self._attach(state)
        return state

    def _attach(self, state: LoopState) -> None:
        parent = self.stack[-1]
        state.parent = parent
        state.parent_ctx = self.ctx if parent is not self.root else None
        state.depth = parent.depth + (1 if parent.plan is not None and parent.plan.training else 0)
        state.base = state.index = parent.children.get(state.name, 0)
        self.stack.append(state)

    def surface(self, state: LoopState) -> None:
        """Make `state` the top: what lies above it was left or is a suspended generator."""
        stack = self.stack
        if state in stack:
            while stack[-1] is not state:
                left = stack.pop()
                if left.parent is not None:
                    left.parent.children[left.name] = left.index + 1
        else:  # a generator's loop goes on after its consumer moved
            parent = stack[-1]
            state.parent = parent
            state.parent_ctx = self.ctx if parent is not self.root else None
            state.open = True  # it may have been taken for left
            stack.append(state)

    def close(self, state: LoopState) -> None:
        """The loop was left: by exhaustion, break, return or an exception."""
        if not state.open:
            return
        state.open = False
        stack = self.stack
        if state in stack:
            if state.parent is not None:
                state.parent.children[state.name] = state.index + 1
            if stack[-1] is state:
                stack.pop()
                self.ctx = state.parent_ctx
            else:
                stack.remove(state)
        heads = self.heads
        if heads is not None and state.plan is not None and state.plan.training:
            heads.closed(state)

    # -- values -------------------------------------------------------------------------------

    def log(self, name: str, value: object, _frame: Any = sys._getframe, _id: Any = id) -> None:
        """`flor.log`: keep `value` with the current position.  Never raises."""
        try:
            frame = _frame(2)
            code = frame.f_code
            place = self._places.get((_id(code), frame.f_lasti))
            stmt = place[1] if place is not None else self._place(frame)
            if type(value) not in PLAIN:
                value = freeze(value)
            self.sink.log(name, value, self.ctx, stmt)
        except Exception as error:
            self.trouble(f"logging {name!r}", error)

    def captured(self, name: str, value: object, place: tuple[str, int]) -> None:
        """Keep what the script has logged elsewhere, by a call at `place` (file, line)."""
        stmt = self._captures.get((*place, name)) or f"{place[0]}{CAPTURED}{place[1]}"
        if type(value) not in PLAIN:
            value = freeze(value)
        self.sink.log(name, value, self.ctx, stmt)

    def _place(self, frame: FrameType) -> str:
        """The statement's id, by file and line; kept for the next time."""
        from .places import relative

        code = frame.f_code
        file = relative(self.project, code.co_filename) if self.project else None
        file = file or code.co_filename
        known = self._statements.get((file, frame.f_lineno))
        stmt = known.id if known is not None else f"{file}:{frame.f_lineno}"
        self._places[id(code), frame.f_lasti] = (code, stmt)  # `code` kept: ids stay unique
        return stmt

    def arg(self, name: str, default: Any) -> Any:
        """`flor.arg`: note it; in a replay give back the recorded value."""
        value = default
        recorded = self.recorded_arguments
        if recorded is not None and name in recorded:
            value = recorded[name]
        self.argument(name, value)
        return value

    def argument(self, name: str, value: Any) -> None:
        """Note an argument of the run (the last value stands)."""
        try:
            self.arguments[name] = storable(value)
            if self.on_argument is not None:
                self.on_argument(name, self.arguments[name])
        except Exception as error:
            self.trouble(f"noting argument {name!r}", error)

    def hand_loop(self, name: str, iterable: Iterable[Any]) -> Iterable[Any]:
        """`flor.loop`."""
        from . import loops

        return loops.start(self, name, iterable, sys._getframe(2))


def storable(value: Any) -> Any:
    """An argument's value if JSON can hold it, else its `str` (a path, a dtype, …)."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return str(value)
    return freeze(value)


class Nothing:
    """A sink that keeps nothing."""

    def log(self, name: str, value: object, ctx: Ctx | None, stmt: str) -> None:
        """Forget it."""

    def iteration(self, ctx: Ctx, t: float) -> None:
        """Forget it."""


def position(ctx: Ctx | None) -> tuple[tuple[str, int, Any], ...]:
    """`ctx` as a tuple of (loop, index, value), outermost first."""
    out = []
    while ctx is not None:
        out.append((ctx[1], ctx[2], ctx[3]))
        ctx = ctx[0]
    return tuple(reversed(out))


def key(ctx: Ctx | None) -> tuple[tuple[str, int], ...]:
    """`ctx` as a tuple of (loop, index), outermost first: what positions are compared by."""
    out = []
    while ctx is not None:
        out.append((ctx[1], ctx[2]))
        ctx = ctx[0]
    return tuple(reversed(out))


clock = time.time
current: Session | None = None


def _after_fork() -> None:
    """A child of the script is not the recording: it keeps quiet."""
    if current is not None:
        current.deactivate()


os.register_at_fork(after_in_child=_after_fork)
