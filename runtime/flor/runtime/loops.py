"""The objects that emitted loops run on.

A loop's frame owns a `LoopIter` (on its value stack) or a `WhileLoop` (a local), the session's
stack a `LoopState`.  CPython drops the frame's object as soon as the loop is left, in whatever
way: that is how `break`, `return` and exceptions are noticed.
"""

from __future__ import annotations

import ast
import functools
import inspect
import linecache
import opcode
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from types import FrameType
from typing import Any

from florc.plan import LoopPlan

from .session import PLAIN, LoopState, Session, clock

COROUTINE = inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
GENERATOR = inspect.CO_GENERATOR


def instrumentable(frame: FrameType, plan: LoopPlan | None) -> bool:
    """Whether a loop in `frame` has a place on the stack.

    Loops in coroutines, in other threads than the main one, and coordinate loops in generators
    have none: their iterations interleave with other loops.
    """
    flags = frame.f_code.co_flags
    if flags & COROUTINE or (flags & GENERATOR and not (plan is not None and plan.training)):
        return False
    return threading.get_ident() == threading.main_thread().ident


def start(session: Session, name: str, iterable: Iterable[Any], frame: FrameType) -> Iterable[Any]:
    """The object a `for` loop over `iterable` runs on; `iterable` itself where we keep out."""
    if isinstance(iterable, LoopIter) and iterable.state.name == name and iterable.state.open:
        return iterable  # the user's own `flor.loop(name, …)` is that object already
    if not instrumentable(frame, session.loop_plan(name)):
        return iterable
    return LoopIter(session, name, iterable, frame)


class LoopIter:
    """Iterates like the iterable, and tells the session where it is."""

    __slots__ = ("state", "session", "it", "advance", "training", "pick", "item_value")

    def __init__(
        self, session: Session, name: str, iterable: Iterable[Any], frame: FrameType
    ) -> None:
        state = session.enter(name, frame)
        self.state: LoopState = state
        self.session = session
        self.training = state.plan is not None and state.plan.training
        self.pick = state.plan.counter if state.plan is not None else "item"
        heads = session.heads
        try:
            if self.training and heads is not None:
                self.it: Iterator[Any] = heads.iterator(iterable)
            else:
                self.it = iter(iterable)
        except BaseException:
            session.close(state)
            raise
        self.advance: Callable[[], Any] = self.it.__next__

    def __iter__(self) -> LoopIter:
        return self

    def __next__(self) -> Any:
        state = self.state
        session = self.session
        stack = session.stack
        if stack[-1] is not state:
            session.surface(state)
        session.ctx = state.parent_ctx
        if state.children:
            state.children.clear()
        if self.training:
            heads = session.heads
            if heads is not None and heads.head(self, sys._getframe(1)):
                session.close(state)
                raise StopIteration
        try:
            item = self.advance()
        except StopIteration:
            heads = session.heads
            if self.training and heads is not None:
                heads.exhausted(self, sys._getframe(1))
            session.close(state)
            raise
        if stack[-1] is not state:  # a generator that it advances has loops of its own
            session.surface(state)
        index = state.index
        pick = self.pick
        value = item
        if pick == "first":
            value = item[0] if type(item) is tuple and item else None
        elif pick == "index":
            value = index - state.base
        if type(value) not in PLAIN or value is None:
            value = counter_value(value, index - state.base)
        state.value = value
        session.ctx = ctx = (state.parent_ctx, state.name, index, value)
        state.index = index + 1
        session.sink.iteration(ctx, clock())
        return item

    def __length_hint__(self) -> int:
        hint = getattr(self.it, "__length_hint__", None)
        return hint() if hint is not None else NotImplemented

    def __del__(self) -> None:
        try:
            state = self.state
            if state.open:
                state.raised = unwinding(sys._getframe(1), state.frame_id)
                self.session.close(state)
        except Exception:  # half-built, or the interpreter is going down
            pass


LEAVING = frozenset(
    opcode.opmap[n] for n in ("POP_TOP", "POP_ITER", "END_FOR") if n in opcode.opmap
)
"""What a frame executes when `break` or `return` drops a loop's iterator."""


def unwinding(frame: FrameType, loop_frame: int) -> bool:
    """Whether the loop's own frame drops its iterator because an exception leaves the loop.

    The exception itself can't be seen from a finalizer.
    """
    return id(frame) == loop_frame and frame.f_code.co_code[frame.f_lasti] not in LEAVING


class WhileLoop:
    """A `while` loop's heads: `while it.head() and …:` … `it.end()`."""

    __slots__ = ("state", "session", "training", "counter", "late", "pending")

    def __init__(self, session: Session, name: str, frame: FrameType) -> None:
        self.pending: tuple[Any, float] | None = None
        self.session = session
        self.state: LoopState = session.enter(name, frame)
        plan = self.state.plan
        self.training = plan is not None and plan.training
        self.counter = (
            plan.counter_name if plan is not None and plan.counter == "variable" else None
        )
        # Whether `end()` says that the last head began no iteration: the condition was false.
        self.late = plan is not None and ends_by_condition(frame.f_code.co_filename, plan.line)

    def head(self) -> bool:
        """Start of an iteration, before the condition is evaluated.  Always True."""
        state = self.state
        session = self.session
        if not state.open:
            return True
        self._begun()
        if session.stack[-1] is not state:
            session.surface(state)
        session.ctx = state.parent_ctx
        if state.children:
            state.children.clear()
        frame = sys._getframe(1)
        if self.training:
            heads = session.heads
            if heads is not None:
                heads.head(self, frame)
        index = state.index
        value: object = None
        if self.counter is not None:
            value = read(self.counter, frame)
        if type(value) not in PLAIN or value is None:
            value = counter_value(value, index - state.base)
        state.value = value
        session.ctx = ctx = (state.parent_ctx, state.name, index, value)
        state.index = index + 1
        if self.late:
            self.pending = (ctx, clock())
        else:
            session.sink.iteration(ctx, clock())
        return True

    def _begun(self) -> None:
        """The iteration of the last head did begin."""
        if self.pending is not None:
            self.session.sink.iteration(*self.pending)
            self.pending = None

    def end(self) -> None:
        """The loop is over (its condition was false, or it was left by `break`)."""
        self.pending = None
        self.session.close(self.state)

    def __del__(self) -> None:
        try:
            if self.state.open:
                self._begun()
                self.session.close(self.state)
        except Exception:
            pass


@functools.cache
def ends_by_condition(file: str, line: int) -> bool:
    """Whether the `while` loop at `line` has a condition that may be false, and no `break`."""
    try:
        tree = ast.parse("".join(linecache.getlines(file)))
    except (SyntaxError, ValueError):
        return False
    for node in ast.walk(tree):
        if isinstance(node, ast.While) and node.lineno == line:
            constant = isinstance(node.test, ast.Constant) and bool(node.test.value)
            return not constant and not any(_breaks(child) for child in node.body)
    return False


def _breaks(node: ast.AST) -> bool:
    """Whether a `break` in `node` leaves the loop around it."""
    if isinstance(node, ast.Break):
        return True
    if isinstance(node, (ast.For, ast.AsyncFor, ast.While)):
        return any(_breaks(child) for child in node.orelse)
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
        return False
    return any(_breaks(child) for child in ast.iter_child_nodes(node))


class NoWhile:
    """A `while` loop outside any session."""

    __slots__ = ()

    def head(self) -> bool:
        """Always True."""
        return True

    def end(self) -> None:
        """Nothing to end."""


def read(path: str, frame: FrameType) -> object:
    """The counter variable at the head (dotted paths too); None if it isn't there."""
    first, *rest = path.split(".")
    try:
        value = frame.f_locals[first] if first in frame.f_locals else frame.f_globals[first]
        for attribute in rest:
            value = getattr(value, attribute)
    except Exception:
        return None
    return value


def counter_value(value: object, index: int) -> object:
    """A coordinate that SQL can hold: numbers as such, other objects as the iteration's index."""
    if isinstance(value, (str, int, float)) or value is None:
        if value is None:
            return index
        for base in (bool, int, float, str):
            if isinstance(value, base):
                return base(value)
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, (numpy.integer, numpy.floating)):
        return value.item()
    return index
