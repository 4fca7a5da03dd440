"""What replays of a store's runs are expected to take, and what they did take."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..record.command import run_folder
from ..record.promotions import Promotion, Report, lacking
from ..store import costs
from ..store.rows import seconds
from .cost import COMPONENTS as COMPONENTS
from .cost import TOTAL, Corrections, Parts, Where, base, machine, makespan, processors
from .state_only import answered
from .timeline import Timeline

if TYPE_CHECKING:
    from florc.plan import LogStatement, Plan

    from ..store import Store
    from ..store.rows import Run
    from .demand import RunDemand
    from .schedule import Position
    from .segments import Recorded

Job = tuple["Run", "RunDemand", Sequence["Position"]]
"""What one process replays: a part of what is asked of a run."""


@dataclass(frozen=True)
class Estimate:
    """What one process executes, from the recorded times."""

    iterations: int  # of outermost loops
    parts: Parts  # seconds, as expected
    starts: tuple[tuple[str, int, int], ...]  # (loop, checkpoint or -1, iterations executed)

    @property
    def seconds(self) -> float:
        """From the process's start to its end."""
        return self.parts.seconds


@dataclass(frozen=True)
class Price:
    """What some replays are expected to take, all together."""

    seconds: float  # by the clock, with several processes at once
    parts: Parts  # summed over the processes
    workers: int
    replays: int  # earlier ones by which it was corrected

    def __str__(self) -> str:
        text = f"about {self.seconds:.1f} s ({self.parts}"
        if self.workers > 1:
            text += f"; {self.workers} at once"
        return text + ")"


class Estimator:
    """Looks at each run once.  `jumps`: from checkpoints; `skip`: without recorded regions."""

    def __init__(
        self,
        store: Store,
        jumps: bool = True,
        skip: bool = True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.store = store
        self.jumps = jumps
        self.skip = skip and jumps
        self._clock = clock
        self._plans: dict[int, Plan] = {}
        self._recorded: dict[int, tuple[Plan | None, tuple[Promotion, ...]]] = {}
        self._lines: dict[int, Timeline] = {}
        self.machine = machine()
        self.corrections = self._corrections()

    def _corrections(self) -> Corrections:
        seen = costs.get_observations(self.store.connection, self.machine)
        return Corrections(seen, processors())

    def know(self, run: int, plan: Plan) -> None:
        """The plan with which a run would be replayed."""
        self._plans[run] = plan

    def _of(self, run: Run) -> tuple[Plan | None, tuple[Promotion, ...]]:
        """The plan with which a run was recorded, and what that found to be missing in it."""
        if run.run not in self._recorded:
            report = Report.read(run_folder(self.store.root, run.run))
            self._recorded[run.run] = self.store.plan(run.run), tuple(report.promotions)
        return self._recorded[run.run]

    # -- before --------------------------------------------------------------------------------

    def estimate(self, run: Run, one: RunDemand) -> Estimate:
        """What one process is expected to take for all that is asked of a run."""
        recorded = self.recorded(run, one, one.positions)
        parts = self.corrections.corrected(base(recorded), where(run, 1))
        return Estimate(recorded.iterations, parts, tuple(recorded.starts))

    def price(self, jobs: Sequence[Job], workers: int) -> Price:
        """What some jobs are expected to take, begun in this order."""
        at_once = max(1, min(workers, len(jobs)))
        found = [
            self.corrections.corrected(base(self.recorded(run, one, part)), where(run, at_once))
            for run, one, part in jobs
        ]
        return Price(
            makespan([parts.seconds for parts in found], at_once),
            sum(found, Parts()),
            at_once,
            sum(
                map(
                    self.corrections.replays,
                    {(run.host or "", run.script or "") for run, _, _ in jobs},
                )
            ),
        )

    def recorded(self, run: Run, one: RunDemand, part: Sequence[Position]) -> Recorded:
        """A replay of some positions in terms of the recorded run."""
        outside = one.wanted.get((), ()) if () in part else ()
        plan = self._plans.get(run.run)
        wanted = {s.name for statements in one.wanted.values() for s in statements}
        inside: Mapping[str, Sequence[str]] = {}
        names: Mapping[str, str | None] = {}
        if plan is not None:
            inside = {region.id: region.logs for region in plan.regions}
            names = {log.id: log.name for log in plan.logs}

        def executes(region: str) -> bool:
            found = {names.get(statement) for statement in inside.get(region, ())}
            return not found.isdisjoint(wanted)

        return self._line(run).replay(
            part,
            to_the_end=bool(outside),
            before=before(outside),
            executes=executes,
            answered=self._answered(run, one),
        )

    def _answered(self, run: Run, one: RunDemand) -> Collection[Position]:
        """Iterations that aren't executed where the next head has a checkpoint."""
        plan = self._plans.get(run.run)
        if plan is None or not plan.slices or not self.jumps or not self.skip:
            return ()
        old, promotions = self._of(run)
        if any(not each.guarded for each in promotions):
            return ()
        known = frozenset(log.id for log in old.logs) if old is not None else frozenset()
        wanted = {place: [s.name for s in found] for place, found in one.wanted.items() if place}
        return answered(plan, wanted, known)

    def _line(self, run: Run) -> Timeline:
        line = self._lines.get(run.run)
        if line is None:
            line = self._lines[run.run] = self._timeline(run)
        return line

    def _timeline(self, run: Run) -> Timeline:
        stops, regions = [], []
        if self.jumps:
            promotions = self._of(run)[1]
            stops = [
                each
                for each in self.store.checkpoints(run.run)
                if not lacking(promotions, each.loop, each.position, each.file)
            ]
            plan = self._plans.get(run.run)
            useless = self._useless(run, plan, {(p.loop, p.path) for p in promotions})
            stops = [each for each in stops if each.loop not in useless]
            if self.skip and plan is not None and all(each.guarded for each in promotions):
                regions = [region.id for region in plan.regions if not region.obstacle]
        ended = seconds(run.ended) if run.ended else None
        return Timeline(self.store.connection, run.run, seconds(run.started), ended, stops, regions)

    def _useless(
        self, run: Run, plan: Plan | None, promoted: Collection[tuple[str, str]]
    ) -> set[str]:
        """Loops whose checkpoints lack something that the code to be replayed needs."""
        old, _ = self._of(run)
        if plan is None or old is None:
            return set()
        had = {loop.name: loop for loop in old.loops}
        found = set()
        for loop in plan.loops:
            then = had.get(loop.name)
            if then is None:
                continue
            saved = {member.path for member in then.state}
            new = {m.path for m in loop.state} - saved
            if (then.dead_grads and not loop.dead_grads) or any(
                (loop.name, path) not in promoted for path in new
            ):
                found.add(loop.name)
        return found

    # -- afterwards ----------------------------------------------------------------------------

    def observe(self, job: Job, workers: int, took: Mapping[str, float]) -> None:
        """Keep what the components of a job took, by which later estimates are corrected."""
        run, one, part = job
        place = where(run, workers)
        uncorrected = base(self.recorded(run, one, part))
        expected = self.corrections.corrected(uncorrected, place)
        self._keep(
            self._observation(
                run, workers, component,
                getattr(uncorrected, component), getattr(expected, component), took[component],
            )
            for component in COMPONENTS
            if component in took
        )  # fmt: skip

    def observe_all(self, run: Run, price: float, workers: int, took: float) -> None:
        """Keep what a whole replay took, `run` being one of those replayed."""
        self._keep([self._observation(run, workers, TOTAL, price, price, took)])

    def _observation(
        self, run: Run, workers: int, component: str, base: float, expected: float, took: float
    ) -> costs.Observation:
        return costs.Observation(
            self._clock(), self.machine, run.host or "", run.script or "", run.run, workers,
            component, base, expected, took,
        )  # fmt: skip

    def _keep(self, found: Iterable[costs.Observation]) -> None:
        # A replay that has its values doesn't fail for want of this.
        with contextlib.suppress(sqlite3.OperationalError), self.store.transaction() as connection:
            costs.put_observations(connection, found)
        self.corrections = self._corrections()


def where(run: Run, workers: int) -> Where:
    """To which earlier replays those of a run are compared."""
    return Where(run.host or "", run.script or "", run.run, workers)


def before(statements: Sequence[LogStatement]) -> list[str]:
    """The loops before which all of some statements outside of loops were executed; [] if not."""
    if not statements or any(s.scope or not s.before for s in statements):
        return []
    common = set(statements[0].before)
    for statement in statements[1:]:
        common &= set(statement.before)
    return sorted(common)
