"""Values that the state at a loop's next head answers: their slices are executed there alone.

Which log statements these are says the plan (florc/analysis/state_only.py).  An iteration is left
out if nothing else is wanted from it, and what its log statements need to have been watched while
recording was.  If a slice fails, or a value that the run had logged comes out differently, the
replay begins anew and executes the iterations.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any

from florc.plan import LogStatement, Plan, SlicePlan

from ..checkpoint import paths
from ..regions.entry import NEVER
from ..session import key

if TYPE_CHECKING:
    from ..loops import LoopIter, WhileLoop
    from ..session import Session
    from .regions import Entries
    from .schedule import Position
    from .sink import ReplaySink

OFF = "state-only"
"""Among the banned checkpoints: iterations are executed after all."""

Parse = Callable[[str, str], ast.Module | None]
"""(file, name for tracebacks) -> the instrumented module at the user's lines and columns."""


def answered(
    plan: Plan,
    wanted: Mapping[Position, Collection[str | None]],
    old: Collection[str],
) -> dict[Position, tuple[SlicePlan, ...]]:
    """The iterations of which slices answer all that is wanted, with these.

    `wanted` are names by position; statements in `old` had values already.
    """
    slices = {log: one for one in plan.slices if not one.obstacle for log in one.logs}
    found: dict[Position, dict[SlicePlan, None]] = {}
    entered: set[Position] = set()
    for position, names in wanted.items():
        shape = tuple(loop for loop, _ in position)
        statements = [
            log
            for log in plan.logs
            if (log.name in names or log.name is None)
            and log.id not in old
            and any(path[: len(shape)] == shape for path in log.paths or ((),))
        ]
        depths = {_depth(slices.get(log.id), log, shape) for log in statements}
        (depth,) = depths if len(depths) == 1 else (0,)
        for length in range(1, len(position) + 1):
            if length != depth:
                entered.add(position[:length])
        if depth:
            own = found.setdefault(position[:depth], {})
            own.update({slices[log.id]: None for log in statements})
    order = {one: number for number, one in enumerate(plan.slices)}
    return {
        position: tuple(sorted(own, key=order.__getitem__))
        for position, own in found.items()
        if position not in entered
    }


def _depth(one: SlicePlan | None, log: LogStatement, shape: tuple[str, ...]) -> int:
    """How much of a position names the iteration whose slice logs there; 0: none does."""
    if one is None or one.loop not in shape:
        return 0
    depth = shape.index(one.loop) + 1
    # All ways to the statement lead through that very loop, once.
    return depth if all(path.count(one.loop) == 1 for path in log.paths) else 0


@dataclass
class _Compiled:
    """A slice ready to be executed."""

    code: CodeType
    target: CodeType | None  # binds the loop's item, which is called `_Compiled.ITEM`

    ITEM = "_flor_item"


class StateOnly:
    """Knows which iterations are answered so, and executes their slices."""

    def __init__(
        self,
        session: Session,
        plan: Plan,
        sink: ReplaySink,
        parse: Parse,
        entries: Entries,
    ) -> None:
        self.session = session
        self.sink = sink
        self.parse = parse
        names = {place: list(wanted) for place, wanted in sink.wanted.items() if place}
        found = answered(plan, names, sink.old or ())
        never = {region for _, region, number in entries if number == NEVER}
        self._slices = {
            position: own
            for position, own in found.items()
            if all(
                region not in never and (position, region, 0) in entries
                for one in own
                for region in one.watched
            )
        }
        self._code: dict[SlicePlan, _Compiled] = {}
        self._trees: dict[str, ast.Module | None] = {}
        self.count = 0  # iterations answered

    def answers(self, position: Position) -> bool:
        """Whether slices give all that is wanted of an iteration."""
        return position in self._slices

    def execute(self, loop: LoopIter | WhileLoop, frame: FrameType, index: int, item: Any) -> str:
        """Execute the slices of iteration `index` in the state of the next head.

        `item` is the loop's.  Returns why it can't be done, or "".
        """
        state, session = loop.state, self.session
        position = (*key(state.parent_ctx), (state.name, index))
        regions, session.regions = session.regions, None  # what they count isn't called here
        different = self.sink.count
        session.ctx = (state.parent_ctx, state.name, index, None)
        try:
            for one in self._slices[position]:
                compiled = self._compiled(one, frame)
                # One namespace: a comprehension sees no locals of `exec`.
                names = {**frame.f_globals, **paths.local_names(frame)}
                if compiled.target is not None:
                    names[_Compiled.ITEM] = item
                    exec(compiled.target, names)
                exec(compiled.code, names)
        except Exception as error:
            text = str(error).splitlines()
            return f"{type(error).__name__}: {text[0] if text else ''}"
        finally:
            session.ctx = state.parent_ctx
            session.regions = regions
            state.children.clear()
        self.count += 1
        if self.sink.count > different:
            return "a value differs from the recorded one at the next head"
        return ""

    def _compiled(self, one: SlicePlan, frame: FrameType) -> _Compiled:
        if one not in self._code:
            name = frame.f_code.co_filename
            if name not in self._trees:
                self._trees[name] = self.parse(name, name)
            tree = self._trees[name]
            if tree is None:
                raise LookupError(f"no text of {one.file}")
            at = {
                (node.lineno, node.col_offset): node
                for node in ast.walk(tree)
                if isinstance(node, ast.stmt)
            }
            flags = frame.f_code.co_flags & _FUTURE
            body = ast.Module([at[place] for place in one.statements], [])
            code = compile(body, name, "exec", flags, dont_inherit=True)
            target = None
            if one.target:
                binding = ast.parse(f"{one.target} = 0")
                (assignment,) = binding.body
                assert isinstance(assignment, ast.Assign)
                assignment.value = ast.copy_location(
                    ast.Name(_Compiled.ITEM, ast.Load()), assignment.value
                )
                target = compile(binding, name, "exec", flags, dont_inherit=True)
            self._code[one] = _Compiled(code, target)
        return self._code[one]


def _future_flags() -> int:
    import __future__

    return sum(getattr(__future__, name).compiler_flag for name in __future__.all_feature_names)


_FUTURE = _future_flags()
