"""From an SQL query to the work of a replay: which runs, which positions, from where.

Nothing is executed here.  What can't be replayed is refused with one line.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import FlorError
from ..record.build import get_build
from ..record.target import Target, from_script
from ..record.tree import walk
from ..store import Store
from ..ui.numbers import runs_named
from ..versions.contents import of_run
from ..versions.git import GitError
from .compiler import Compiler
from .demand import NO_RUN, demand, visible
from .estimates import Estimate, Estimator, Price, before
from .prepare import Placed, Preparer, Ready, Today, renamed_script, todays_texts
from .rounds import Rounds
from .split import split

if TYPE_CHECKING:
    from florc.emit.build import Build
    from florc.plan import LogStatement

    from ..places import Moved
    from ..store.rows import Run
    from ..versions.worktrees import Workplace
    from .demand import Demand, RunDemand

IMPURE = "FLR008"
REFUSED = "FLR015"


@dataclass(frozen=True)
class Work:
    """One run that must be replayed."""

    run: Run
    target: Target
    demand: RunDemand
    horizon: dict[str, int] | None
    estimate: Estimate
    ready: Ready
    moved: Moved

    @property
    def outside(self) -> tuple[LogStatement, ...]:
        """Hindsight statements outside of all loops."""
        return tuple(self.demand.wanted.get((), ()))

    def before(self) -> list[str]:
        """The loops before which everything wanted outside of loops has been logged; [] if not."""
        return before(self.outside)


@dataclass(frozen=True)
class Answered:
    """What became of one log statement in one version; `runs` have that version."""

    runs: tuple[int, ...]
    version: str | None
    script: str | None
    statement: str  # its name; "" if that is no literal
    outcome: str  # "placed" | "there" | "refused"
    confidence: float = 0.0
    file: str = ""
    line: int = 0
    reason: str = ""
    text: str = ""  # of the statement


@dataclass(frozen=True)
class Request:
    """A query, what it lacks, and what to re-execute for it."""

    sql: str
    work: tuple[Work, ...]
    rounds: Rounds
    estimator: Estimator
    declarations: tuple[tuple[int, str, tuple[str, ...]], ...]
    warnings: tuple[str, ...]
    refusals: tuple[str, ...] = ()  # what can't be answered, a line for each version
    statements: tuple[Answered, ...] = ()  # of versions that differ from today's
    diffs: tuple[tuple[tuple[int, ...], str], ...] = ()  # what is put into them

    def price(self, workers: int = 1, work: Sequence[Work] | None = None) -> Price:
        """What some work (all of it) is expected to take, with the looks at what is lacking."""
        chosen = self.work if work is None else work
        jobs = [(one.run, one.demand, part) for one, part in split(chosen, workers)]
        price = self.estimator.price(jobs, workers)
        # Before it begins, and when it is done.
        return replace(price, seconds=price.seconds + 2 * self.rounds.deriving)


def request(
    store: Store, place: Workplace, sql: str, script: str | None, jumps: bool, skip: bool = True
) -> Request:
    """Derive the work.  Raises FlorError, QueryError, StoreError."""
    return _Requester(store, place, sql, jumps, skip).derive(script)


@dataclass(frozen=True)
class Version:
    """Runs of one version, and what they are asked."""

    today: Today
    members: tuple[Run, ...]
    seen: Demand
    placed: Placed


class _Requester:
    """Collects the parts of a Request, version by version."""

    def __init__(
        self, store: Store, place: Workplace, sql: str, jumps: bool, skip: bool = True
    ) -> None:
        self.store = store
        self.root = place.root
        self.sql = sql
        self.estimator = Estimator(store, jumps, skip)
        self.captured: dict[str, str] = {}  # today's calls to trackers: name -> place
        self.preparer = Preparer(store, place, None)
        self.work: list[Work] = []
        self.declarations: list[tuple[int, str, tuple[str, ...]]] = []
        self.warnings: list[str] = []
        self.refusals: list[str] = []
        self.statements: list[Answered] = []
        self.diffs: list[tuple[tuple[int, ...], str]] = []
        self.versions: list[Version] = []
        self.every: list[LogStatement] = []
        self.told: set[str] = set()  # refusals
        self.deriving = 0.0  # seconds that looking for what is lacking took last

    def derive(self, script: str | None) -> Request:
        """All of it."""
        runs = self.store.runs()
        groups = [
            (self._today(path, module, group, given=script is not None), group)
            for (path, module), group in _by_script(self.root, runs, script).items()
        ]
        if groups and all(today.build is None for today, _ in groups):
            raise FlorError(groups[0][0].why)
        logged = {s.name for today, _ in groups for s in today.logs if s.name}
        self.preparer.names = mentioned(self.sql, logged)
        every = [statement for today, _ in groups for statement in today.logs]
        for today, group in groups:
            if today.build is None:
                self._without_script(today, group, every)
                continue
            self.captured = {str(s.name): f"{s.file}:{s.line}" for s in today.logs if s.captured}
            versions: dict[tuple[object, ...], list[Run]] = {}
            for run in group:
                versions.setdefault(self.preparer.key(run), []).append(run)
            for members in versions.values():
                self._version(today, members, every)
        self.every = every
        self.lacking(())
        return Request(
            self.sql,
            tuple(sorted(self.work, key=lambda work: work.run.run)),
            Rounds(self),
            self.estimator,
            tuple(dict.fromkeys(self.declarations)),
            tuple(dict.fromkeys(self.warnings)),
            tuple(self.refusals),
            tuple(self.statements),
            tuple(self.diffs),
        )

    # -- today's script ------------------------------------------------------------------------

    def _today(self, path: str, module: str | None, group: list[Run], given: bool) -> Today:
        """Today's script for runs of one script; it may go by another name today."""
        try:
            if given or os.path.exists(path):
                return _compiled(self.root, path, module, self.preparer.compiler)
            found = self._renamed(group[-1])
            if found is not None:
                return _compiled(self.root, str(self.root / found), None, self.preparer.compiler)
            from_script(path, [])
        except FlorError as error:
            return Today(None, None, {}, error.message)
        return Today(None, None, {}, f"can't open {path}")

    def _renamed(self, run: Run) -> str | None:
        try:
            version = of_run(self.store, run)
        except FlorError:
            return None
        paths = [
            os.path.relpath(entry.path, os.path.realpath(self.root)).replace(os.sep, "/")
            for entry in walk(self.root, code=True)
            if entry.name.endswith(".py")
        ]
        try:
            return renamed_script(self.root, run.script or "", version, paths)
        except GitError:
            return None

    def _without_script(
        self, today: Today, group: list[Run], every: Sequence[LogStatement]
    ) -> None:
        """Say which runs aren't asked, as there is no script today that logs anything in them."""
        seen = visible(self.store, self.sql, every, [run.run for run in group])
        if seen.runs:
            which = runs_named([one.run for one in seen.runs])
            names = ", ".join(seen.names)
            self.warnings.append(f"{which}: not asked for {names}: {today.why}")

    # -- one version ---------------------------------------------------------------------------

    def _version(self, today: Today, members: list[Run], every: Sequence[LogStatement]) -> None:
        """The work of the runs of one version; `every` one of the statements may be asked for."""
        ids = [run.run for run in members]
        seen = visible(self.store, self.sql, today.logs, ids, every)
        self.declarations += [d for d in seen.declarations if d[0] == NO_RUN]
        if not seen.runs:
            return
        try:
            placed = self.preparer.placed(members[0], today)
        except FlorError as error:
            self._refuse(seen, members, dict.fromkeys(seen.names, error.message))
            return
        if placed.past:
            self._outcomes(placed, members, seen)
        self.versions.append(Version(today, tuple(members), seen, placed))

    def lacking(self, failed: Collection[int]) -> tuple[Demand, list[Work]]:
        """What is still lacking in all versions together, and the work that it makes."""
        begun = time.perf_counter()
        statements = {
            run.run: version.placed.logs
            for version in self.versions
            for run in version.members
            if run.run not in failed
        }
        found = demand(self.store, self.sql, statements, known=self.every)
        self.work = []
        for version in self.versions:
            ids = {run.run for run in version.members}
            mine = replace(
                found,
                runs=tuple(one for one in found.runs if one.run in ids),
                declarations=tuple(d for d in found.declarations if d[0] in ids),
            )
            self._lacking(version, mine)
        self.deriving = time.perf_counter() - begun
        return found, self.work

    def _lacking(self, version: Version, found: Demand) -> None:
        """The work of the runs of one version."""
        today, members, seen = version.today, list(version.members), version.seen
        try:
            if found.runs:
                ready = self.preparer.ready(members[0], today)
                for run in members:
                    why = self.preparer.suits(run, ready)
                    if why:
                        raise FlorError(why, 1)
        except FlorError as error:
            self._refuse(seen, members, dict.fromkeys(seen.names, error.message))
            return
        self.declarations += found.declarations
        if not found.runs:
            return
        try:
            self.warnings += _impure(found, ready.build)
        except FlorError as error:
            if not ready.past:
                raise
            self._refuse(found, members, dict.fromkeys(found.names, error.message))
            return
        by_id = {run.run: run for run in members}
        for one in found.runs:
            run = by_id[one.run]
            try:
                _not_running(self.store, run, one)
            except FlorError as error:
                self._say(error.message)
                continue
            self.warnings += [f"run {run.run}: {note}" for note in self.preparer.notes(run, ready)]
            self.estimator.know(run.run, ready.build.plan)
            estimate = self.estimator.estimate(run, one)
            target = _with_argv(ready.target, run)
            horizon, moved = _horizon(self.store, run), self.preparer.moved(run)
            self.work.append(Work(run, target, one, horizon, estimate, ready, moved))

    def _say(self, refusal: str) -> None:
        if refusal not in self.told:
            self.told.add(refusal)
            self.refusals.append(refusal)

    def _outcomes(self, placed: Placed, members: list[Run], seen: Demand) -> None:
        """Note what became of the statements that the query asks for, and say what is refused."""
        ids = tuple(one.run for one in seen.runs)
        refused: dict[str, str] = {}
        shown = False
        for outcome in placed.outcomes:
            names = outcome.slice.names or ("",)
            if names[0] and not set(names) & set(seen.names):
                continue
            shown = True
            for name in names:
                self.statements.append(
                    Answered(
                        ids,
                        members[0].version,
                        members[0].script,
                        name,
                        outcome.kind,
                        outcome.confidence,
                        outcome.file,
                        outcome.line,
                        outcome.reason,
                        outcome.text or outcome.slice.text,
                    )
                )
                if outcome.kind == "refused" and name:
                    place = f" ({outcome.slice.file}:{outcome.slice.line})"
                    refused.setdefault(name, f"{REFUSED} {outcome.reason}{place}")
        if shown and placed.diff:
            self.diffs.append((ids, placed.diff))
        there = {s.name for s in placed.logs}
        for name in sorted(self.captured.keys() & set(seen.names) - there - refused.keys()):
            refused[name] = (
                f"{REFUSED} the version has no such call, which isn't a statement of its own: "
                f"use flor.log ({self.captured[name]})"
            )
        if refused:
            self._refuse(seen, members, refused)

    def _refuse(self, found: Demand, members: list[Run], reasons: Mapping[str, str]) -> None:
        """One line for a version of which something that the query sees can't be answered."""
        lacking: dict[str, str] = {}
        runs = []
        for one in found.runs:
            names = [name for name in one.names if name in reasons]
            if names:
                runs.append(one.run)
                lacking |= {name: reasons[name] for name in names}
        if not runs:
            return
        by_reason: dict[str, list[str]] = {}
        for name, reason in lacking.items():
            by_reason.setdefault(reason, []).append(name)
        said = "; ".join(f"{', '.join(names)}: {why}" for why, names in by_reason.items())
        self._say(f"{runs_named(runs)} (version {members[0].version}) can't be asked for {said}")


def mentioned(sql: str, names: Collection[str | None]) -> set[str] | None:
    """Those of some names that a query may read; None: perhaps all of them."""
    if "*" in sql:
        return None
    low = sql.lower()
    return {name for name in names if name and name.lower() in low}


def _by_script(
    root: Path, runs: Sequence[Run], script: str | None
) -> dict[tuple[str, str | None], list[Run]]:
    groups: dict[tuple[str, str | None], list[Run]] = {}
    for run in runs:
        if run.script is None:
            continue
        key = (str(root / run.script), run.module) if script is None else (script, None)
        groups.setdefault(key, []).append(run)
    return groups


def _compiled(root: Path, path: str, module: str | None, compiler: Compiler) -> Today:
    """Today's script, compiled.  Raises FlorError."""
    target = from_script(path, [])
    target = Target(str(target.file), module, (), target.file, root)
    outcome = get_build(target, None, compiler.compile)
    if outcome.build is None:
        raise FlorError(f"{os.path.relpath(path)} can't be replayed: {outcome.why}", 1)
    return Today(target, outcome.build, todays_texts(root, outcome.build.plan))


def _with_argv(target: Target, run: Run) -> Target:
    argv = run.argv[2:] if target.module else run.argv
    return Target(target.script, target.module, tuple(argv), target.file, target.root)


def _impure(found: Demand, build: Build) -> list[str]:
    """Refuse statements that may change the training; warn of those that are only assumed to."""
    warnings = []
    statements = {s.id: s for one in found.runs for ss in one.wanted.values() for s in ss}
    for statement in statements.values():
        if not statement.impure:
            continue
        place = f"{statement.file}:{statement.line}"
        line = f"{place}: {IMPURE} logging {statement.name!r} may change the training: "
        line += statement.impure
        if "assumed" in statement.impure:
            warnings.append(line)
        else:
            raise FlorError(line, 1)
    return warnings


def _not_running(store: Store, run: Run, one: RunDemand) -> None:
    if run.status != "running":
        return
    last = store.iterations(run.run)
    current = last[-1].position if last else ()
    open_now = {current[:depth] for depth in range(len(current) + 1)}
    if any(position in open_now for position in one.positions):
        raise FlorError(f"run {run.run} is still running: ask about finished iterations", 1)


def _horizon(store: Store, run: Run) -> dict[str, int] | None:
    """Where an unfinished run stopped: the last index of each outermost loop."""
    if run.status == "finished":
        return None
    last: dict[str, int] = {}
    for iteration in store.iterations(run.run):
        loop, index = iteration.position[0]
        last[loop] = max(index, last.get(loop, -1))
    return last
