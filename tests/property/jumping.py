"""Runs a program in this process: plain, recorded with a checkpoint at every head, jumped into.

Everything but the processes is the real thing: the compiler, the emitted text, the checkpoint
files, and what a replay does at a loop's head.
"""

from __future__ import annotations

import builtins
import functools
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

import flor
from flor.runtime import session as sessions
from flor.runtime.loops import LoopIter
from flor.runtime.record.check import CODE
from flor.runtime.record.heads import RecordHeads
from flor.runtime.record.promotions import Promotion, extended_plan, lacking
from flor.runtime.record.regions import RecordRegions
from flor.runtime.replay.heads import Loop, ReplayHeads, Stop
from flor.runtime.replay.regions import ReplayRegions
from flor.runtime.replay.schedule import Position, Schedule
from flor.runtime.session import Ctx, LoopState, Session, key
from flor.runtime.store.values import freeze
from florc.driver import compile_project
from florc.emit.build import Build, assemble
from florc.emit.load import code_for
from florc.plan import RegionPlan

STREAMS_OF_ANOTHER_PROCESS = 987_654
MISSED = "which the analysis has missed"
"""In what is said of a region that has changed something."""


class EveryRegion(RecordRegions):
    """Notes every region, however short."""

    share = grace = float("inf")

    def __init__(self, session: Session) -> None:
        self.entries: dict[tuple[Position, str, int], bytes] = {}
        assert session.plan is not None
        super().__init__(session, session.plan, self._keep)

    def _keep(self, ctx: Ctx, region: str, number: int, data: bytes) -> None:
        self.entries[key(ctx), region, number] = data


class Skipping(ReplayRegions):
    """Skips every region that logs nothing."""

    def __init__(self, session: Session, entries: dict[tuple[Position, str, int], bytes]) -> None:
        assert session.plan is not None
        super().__init__(session, session.plan, Unwanted(), entries, _impossible)  # type: ignore[arg-type]

    def wants(self, plan: RegionPlan, position: Position) -> bool:
        """Every value is compared."""
        return bool(plan.logs)


class Unwanted:
    """A sink of which nothing is wanted."""

    wanted: dict[Position, frozenset[str]] = {}

    def skipped(self, position: Position, logged: dict[str, int]) -> None:
        """Nothing is logged in a region that is skipped."""
        assert not logged


def _impossible(why: str) -> Any:
    raise AssertionError(why)


class Restarted(BaseException):
    """The replay asked for another process."""


@dataclass
class Values:
    """A sink: what was logged, in order."""

    logged: list[tuple[str, Any]] = field(default_factory=list)
    compared: int = 0

    def log(self, name: str, value: object, ctx: Ctx | None, stmt: str) -> None:
        """Keep it."""
        self.logged.append((name, value))

    def iteration(self, ctx: Ctx, t: float) -> None:
        """Not needed."""


@dataclass(frozen=True)
class Head:
    """A checkpoint, and how much had been logged when it was taken."""

    outer: Position
    loop: str
    stop: Stop
    logged: int


class EveryHead(RecordHeads):
    """Takes a checkpoint at every head of every training loop.

    What the plan claims to be unchanged is looked at only if that is asked for: it would be saved
    from then on, and hide what is wrong with the plan.
    """

    numbering_share = float("inf")

    def __init__(
        self, session: Session, folder: Path, values: Values, *, checked: bool = False
    ) -> None:
        super().__init__(session, folder, "1", 0.05, self._keep)
        self.folder = folder
        self.values = values
        self.checked = checked
        self.file = ""
        self.heads: list[Head] = []

    def _keep(self, published: Any) -> None:
        self.file = published.file

    def head(self, loop: Loop, frame: FrameType) -> bool:
        """One at every head that the real one may take one at."""
        if loop.state.index == loop.state.base:
            self.begins(loop, frame)
        if self.checked:
            self.check.head(loop, frame, time.perf_counter())
        if loop.state.index > loop.state.base or not loop.state.depth:
            self._checkpoint(loop, frame, exhausted=False)
        return False

    def exhausted(self, loop: LoopIter, frame: FrameType) -> None:
        """One behind an outermost loop."""
        state = loop.state
        if state.index == state.base:
            self._ran_not_once(state)
            return
        if self.checked:
            self.check.head(loop, frame, time.perf_counter(), last=not state.depth)
        if not state.depth:
            self._checkpoint(loop, frame, exhausted=True)

    def _checkpoint(self, loop: Loop, frame: FrameType, exhausted: bool) -> None:
        state = loop.state
        self.file = ""
        self._take(loop, frame, 0.0, exhausted)
        self.writer.drain()
        if self.file:
            stop = Stop(state.index, state.base, self.folder / self.file)
            outer = key(state.parent_ctx)
            self.heads.append(Head(outer, state.name, stop, len(self.values.logged)))


class OneJump(ReplayHeads):
    """A replay's heads with one checkpoint; notes how much had been logged when it jumped."""

    def __init__(
        self, session: Session, values: Values, head: Head, promotions: Iterable[Promotion]
    ) -> None:
        wanted = [(*head.outer, (head.loop, head.stop.index))]
        super().__init__(
            session,
            values,  # type: ignore[arg-type]
            Schedule(wanted, to_the_end=True),
            {(head.outer, head.loop): [head.stop]},
            jumps=True,
            banned=frozenset(),
            before=frozenset(),
            horizon=None,
            finish=self._finish,
            restart=self._restart,
            on_jump=lambda _: None,
            promoted=frozenset((p.loop, p.path) for p in promotions),
        )
        self.values = values
        self.landed: int | None = None

    def _finish(self, why: str) -> Any:
        raise Restarted(f"finished: {why}")

    def _restart(self, why: str, ban: Path | None) -> Any:
        raise Restarted(why)

    def _jump(self, stop: Stop, loop: Loop, frame: FrameType, outer: Position) -> bool | None:
        outcome = super()._jump(stop, loop, frame, outer)
        if outcome is not None:
            self.landed = len(self.values.logged)
        return outcome

    def closed(self, state: LoopState) -> None:
        """A program that is over has nothing more to schedule."""


@contextmanager
def as_main() -> Iterator[ModuleType]:
    """A fresh module that is `__main__` for a while."""
    before = sys.modules["__main__"]
    main = ModuleType("__main__")
    main.__dict__["__builtins__"] = builtins
    sys.modules["__main__"] = main
    try:
        yield main
    finally:
        sys.modules["__main__"] = before


@dataclass(frozen=True)
class Outcome:
    """What came of one program."""

    heads: int = 0  # checkpoints taken, inner loops' included
    jumps: int = 0  # of them jumped to
    refused: tuple[str, ...] = ()  # obstacles that the compiler saw
    restarts: tuple[str, ...] = ()  # jumps that the run time gave up, and why
    wrong: str = ""  # a difference to the truth
    loops: int = 0  # training loops of the plan
    exact: int = 0  # of them without an assumed member
    kept: int = 0  # executions of regions that were noted
    skipped: int = 0  # calls of regions that were skipped
    promoted: tuple[str, ...] = ()  # what the recording found changed against the plan
    lacking: int = 0  # checkpoints before that, which aren't jumped to


def truth(text: str) -> list[tuple[str, Any]]:
    """What the program logs when nothing is instrumented."""
    values = Values()
    random.seed(STREAMS_OF_ANOTHER_PROCESS)
    flor._log = lambda name, value: values.log(name, freeze(value), None, "")
    try:
        with as_main() as main:
            exec(compile(text, "program.py", "exec", dont_inherit=True), main.__dict__)
    finally:
        flor._log = None
    return values.logged


def run(mode: str, build: Build, code: Any, values: Values, heads: Any, regions: Any = None) -> Any:
    """Run the emitted program in a session; `heads(session)` makes its heads."""
    session = Session(mode, build.plan, values, quiet=True)
    session.heads = made = heads(session)
    session.regions = made.regions = regions(session) if regions is not None else None
    session.activate()
    try:
        with as_main() as main:
            try:
                exec(code, main.__dict__)
            except Restarted as restart:
                made.why = str(restart)
            for state in reversed(session.stack[1:]):
                session.close(state)
    finally:
        sessions.current = session
        session.deactivate()
    made.notes = session.notes
    return made


def check(text: str, *, every: int = 1, checked: bool = False) -> Outcome:
    """Record the program, then jump to each `every`-th head in a fresh run, and compare.

    `checked`: the recording checks the plan, as it does in the real thing.
    """
    expected = truth(text)
    folder = Path(tempfile.mkdtemp(prefix="flor-programs-"))
    try:
        script = folder / "program.py"
        script.write_text(text, encoding="utf-8")
        build = assemble(compile_project(script, root=folder))
        outcome = judged(build, expected, text, folder, every, checked=checked)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    training = [loop for loop in build.plan.loops if loop.training]
    exact = sum(all(m.certainty == "exact" for m in loop.state) for loop in training)
    return replace(outcome, loops=len(training), exact=exact)


def judged(
    build: Build,
    expected: list[tuple[str, Any]],
    text: str,
    folder: Path,
    every: int,
    *,
    checked: bool = False,
) -> Outcome:
    """The same for a program that is compiled already."""
    emitted = build.record.get("program.py", text)
    source_map = build.plan.modules[0].source_map
    code = code_for(emitted, source_map, str(folder / "program.py"))
    refused = tuple(
        lp.jump_reason
        for lp in build.plan.loops
        if lp.training and not lp.jump and "yields" not in lp.jump_reason
    )
    recorded = Values()
    files = folder / "checkpoints"
    random.seed(STREAMS_OF_ANOTHER_PROCESS)
    every_head = functools.partial(EveryHead, folder=files, values=recorded, checked=checked)
    record = run("record", build, code, recorded, every_head, EveryRegion)
    entries = record.regions.entries
    record.close(10)
    if recorded.logged != expected:
        return Outcome(wrong=f"recording: {first_difference(expected, recorded.logged)}")
    promotions = record.check.report.promotions
    missed = [note for note in record.notes if MISSED in note]
    if missed and not checked:
        return Outcome(wrong=f"recording: {missed[0]}")
    promoted = (*(p.path for p in promotions if not p.guarded), *missed)
    notes = [note for note in record.notes if CODE not in note and note not in missed]
    if notes:
        return Outcome(refused=refused, restarts=tuple(notes), promoted=promoted)
    build = replace(build, plan=extended_plan(build.plan, promotions))
    jumps, restarts, skipped, missing = 0, [], 0, 0
    chosen = [h for n, h in enumerate(record.heads) if n % every == 0 or not h.outer]
    wrong = ""
    for head in chosen:
        position = (*head.outer, (head.loop, head.stop.index))
        if lacking(promotions, head.loop, position, head.stop.file.name):
            missing += 1
            continue
        values = Values()
        random.seed(STREAMS_OF_ANOTHER_PROCESS + 1)
        jump = functools.partial(OneJump, values=values, head=head, promotions=promotions)
        skip = functools.partial(Skipping, entries=entries)
        replay = run("replay", build, code, values, jump, skip)
        skipped += sum(replay.regions.skipped.values())
        where = f"{head.outer} {head.loop} {head.stop.index}"
        if replay.landed is None:
            restarts.append(f"{where}: {getattr(replay, 'why', '')} {replay.notes}")
            continue
        if getattr(replay, "why", ""):
            restarts.append(f"{where}: {replay.why}")
            continue
        jumps += 1
        found = first_difference(expected[head.logged :], values.logged[replay.landed :])
        if found:
            wrong = f"{where}: {found}"
            break
    return Outcome(
        len(record.heads),
        jumps,
        refused,
        tuple(restarts),
        wrong,
        kept=len(entries),
        skipped=skipped,
        promoted=promoted,
        lacking=missing,
    )


def first_difference(expected: list[tuple[str, Any]], got: list[tuple[str, Any]]) -> str:
    """Where two logs part, or ""."""
    for number, (a, b) in enumerate(zip(expected, got)):
        if a != b:
            return f"value {number}: {b}, not {a}"
    if len(expected) != len(got):
        rest = (expected[len(got) :] or got[len(expected) :])[0]
        return f"{len(got)} values, not {len(expected)}; {rest}"
    return ""
