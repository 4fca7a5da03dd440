"""Evaluates every log slice of a program in the state of the next head, and compares."""

from __future__ import annotations

import functools
import random
import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Any

import jumping
from jumping import EveryHead, EveryRegion, Head, OneJump, Restarted, Values, run

from flor.runtime.loops import LoopIter
from flor.runtime.record.hook import Emitted
from flor.runtime.record.promotions import extended_plan, lacking
from flor.runtime.replay.heads import Loop, Stop
from flor.runtime.replay.schedule import Position
from flor.runtime.replay.state_only import StateOnly
from flor.runtime.session import Ctx, Session, key
from florc.driver import compile_project
from florc.emit.build import Build, assemble
from florc.emit.load import code_for
from florc.plan import SlicePlan

Place = tuple[str, Position]
"""A log statement, and where it ran."""


@dataclass
class Placed(Values):
    """A sink that knows where each value was logged."""

    at: dict[Place, list[Any]] = field(default_factory=dict)
    count = 0
    closed = False  # a worker ends by os._exit; the exception here runs the program's `finally`

    def log(self, name: str, value: object, ctx: Ctx | None, stmt: str) -> None:
        """Keep it."""
        if self.closed:
            return
        super().log(name, value, ctx, stmt)
        self.at.setdefault((stmt, key(ctx)), []).append(value)


class AllSlices(StateOnly):
    """Executes those that it is told to, whatever is wanted."""

    def __init__(self, session: Session, values: Placed, emitted: Emitted) -> None:
        self.session, self.sink, self.parse = session, values, emitted.tree  # type: ignore[assignment]
        self._slices: dict[Position, tuple[SlicePlan, ...]] = {}
        self._code, self._trees, self.count = {}, {}, 0


class Answered(OneJump):
    """Jumps to one head, evaluates slices of the iteration before it, and ends."""

    def __init__(
        self, session: Session, values: Placed, head: Head, promotions: Any, folder: Path,
        build: Build, slices: tuple[SlicePlan, ...],
    ) -> None:  # fmt: skip
        super().__init__(session, values, head, promotions)
        self.answers = AllSlices(session, values, Emitted(folder, build, "replay", print))
        self.position = (*head.outer, (head.loop, head.stop.index - 1))
        self.answers._slices[self.position] = slices

    def _jump(self, stop: Stop, loop: Loop, frame: FrameType, outer: Position) -> bool | None:
        start = loop.state.index
        outcome = super()._jump(stop, loop, frame, outer)
        if outcome is not None:
            assert start < stop.index or not isinstance(loop, LoopIter)
            sink = self.values
            assert isinstance(sink, Placed)
            sink.at.clear()
            why = self.answers.execute(loop, frame, stop.index - 1, self.item)
            sink.closed = True
            raise Restarted(f"failed: {why}" if why else "answered")
        return outcome


def check(text: str) -> Counter[str]:
    """Counts; `wrong` (a key that begins so) says what is."""
    folder = Path(tempfile.mkdtemp(prefix="flor-answers-"))
    try:
        script = folder / "program.py"
        script.write_text(text, encoding="utf-8")
        build = assemble(compile_project(script, root=folder))
        return judged(build, text, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def judged(build: Build, text: str, folder: Path) -> Counter[str]:
    """The same for a program that is compiled already."""
    found: Counter[str] = Counter()
    for one in build.plan.slices:
        found["needs the iteration" if one.obstacle else "slices"] += 1
    if not found["slices"]:
        return found
    emitted = build.record.get("program.py", text)
    code = code_for(emitted, build.plan.modules[0].source_map, str(folder / "program.py"))
    recorded = Placed()
    random.seed(jumping.STREAMS_OF_ANOTHER_PROCESS)
    every = functools.partial(EveryHead, folder=folder / "checkpoints", values=recorded)
    record = run("record", build, code, recorded, every, EveryRegion)
    record.close(10)
    promotions = record.check.report.promotions
    build = replace(build, plan=extended_plan(build.plan, promotions))
    for head in record.heads:
        position = (*head.outer, (head.loop, head.stop.index - 1))
        if head.stop.index == head.stop.base:
            continue
        if lacking(promotions, head.loop, position, head.stop.file.name):
            continue
        slices = tuple(
            one
            for one in build.plan.slices
            if one.loop == head.loop
            and not one.obstacle
            and all((position, region, 0) in record.regions.entries for region in one.watched)
        )
        if not slices:
            continue
        values = Placed()
        random.seed(jumping.STREAMS_OF_ANOTHER_PROCESS + 1)
        heads = functools.partial(
            Answered, values=values, head=head, promotions=promotions, folder=folder, build=build,
            slices=slices,
        )  # fmt: skip
        why = getattr(run("replay", build, code, values, heads), "why", "")
        if why != "answered":
            found["failed" if why.startswith("failed") else "given up"] += 1
            continue
        ids = {log for one in slices for log in one.logs}
        logs = {f"{folder / log.file}:{log.line}" for log in build.plan.logs if log.id in ids}
        depth = len(position)
        truth = {
            place: logged
            for place, logged in recorded.at.items()
            if place[0] in logs and place[1][:depth] == position
        }
        found["answered"] += 1
        if values.at != truth:
            different = [
                f"{place}: {values.at.get(place)}, not {truth.get(place)}"
                for place in {**truth, **values.at}
                if values.at.get(place) != truth.get(place)
            ]
            found[f"wrong: {different[0]}"] += 1
            return found
    return found
