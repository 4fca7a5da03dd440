"""From an SQL query to the work of a replay: which runs, which positions, from where.

Nothing is executed here.  What can't be replayed is refused with one line.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import FlorError
from ..record.build import get_build
from ..record.command import run_folder
from ..record.promotions import Report, lacking
from ..record.target import Target, from_script
from ..store import Store

if TYPE_CHECKING:
    from florc.emit.build import Build
    from florc.plan import LogStatement

    from ..store.rows import Run
    from .demand import Demand, RunDemand

IMPURE = "FLR008"


@dataclass(frozen=True)
class Work:
    """One run that must be replayed."""

    run: Run
    target: Target
    demand: RunDemand
    horizon: dict[str, int] | None
    estimate: Estimate

    @property
    def outside(self) -> tuple[LogStatement, ...]:
        """Hindsight statements outside of all loops."""
        return tuple(self.demand.wanted.get((), ()))

    def before(self) -> list[str]:
        """The loops before which everything wanted outside of loops has been logged; [] if not."""
        statements = self.outside
        if any(s.scope or not s.before for s in statements):
            return []
        common = set(statements[0].before) if statements else set()
        for statement in statements[1:]:
            common &= set(statement.before)
        return sorted(common)


@dataclass(frozen=True)
class Estimate:
    """What a replay will execute, from the recorded times."""

    iterations: int  # of outermost loops
    seconds: float
    starts: tuple[tuple[str, int, int], ...]  # (loop, checkpoint or -1, iterations executed)


@dataclass(frozen=True)
class Request:
    """A query, what it lacks, and what to re-execute for it."""

    sql: str
    work: tuple[Work, ...]
    declarations: tuple[tuple[int, str, tuple[str, ...]], ...]
    warnings: tuple[str, ...]


def request(store: Store, root: Path, sql: str, script: str | None, jumps: bool) -> Request:
    """Derive the work.  Raises FlorError, QueryError, StoreError."""
    from .demand import demand

    runs = store.runs()
    work: list[Work] = []
    declarations: list[tuple[int, str, tuple[str, ...]]] = []
    warnings: list[str] = []
    asked = False
    problem = ""
    for (path, module), group in _by_script(root, runs, script).items():
        try:
            target, build = _today(root, path, module)
        except FlorError as error:
            problem = problem or error.message
            continue
        found = demand(store, sql, build.plan.logs, [run.run for run in group])
        asked = True
        declarations += list(found.declarations)
        warnings += _impure(found, build)
        by_id = {run.run: run for run in group}
        for one in found.runs:
            run = by_id[one.run]
            _same_script(store, root, run, build, script)
            _not_running(store, run, one)
            horizon = _horizon(store, run)
            work.append(
                Work(run, _with_argv(target, run), one, horizon, _estimate(store, run, one, jumps))
            )
    if not asked and problem:
        raise FlorError(problem)
    return Request(sql, tuple(work), tuple(declarations), tuple(dict.fromkeys(warnings)))


def _by_script(
    root: Path, runs: Sequence[Run], script: str | None
) -> dict[tuple[str, str | None], list[Run]]:
    groups: dict[tuple[str, str | None], list[Run]] = {}
    for run in runs:
        if run.script is None:
            continue
        module = run.argv[1] if run.argv[:1] == ("-m",) and len(run.argv) > 1 else None
        path = script if script is not None else str(root / run.script)
        groups.setdefault((path, None if script is not None else module), []).append(run)
    return groups


def _today(root: Path, path: str, module: str | None) -> tuple[Target, Build]:
    """Today's script, compiled."""
    target = from_script(path, [])
    if module is not None:
        target = Target(str(target.file), module, (), target.file, root)
    else:
        target = Target(str(target.file), None, (), target.file, root)
    outcome = get_build(target)
    if outcome.build is None:
        raise FlorError(f"{os.path.relpath(path)} can't be replayed: {outcome.why}", 1)
    return target, outcome.build


def _with_argv(target: Target, run: Run) -> Target:
    argv = run.argv[2:] if target.module else run.argv
    return Target(target.script, target.module, tuple(argv), target.file, target.root)


def _same_script(store: Store, root: Path, run: Run, build: Build, script: str | None) -> None:
    """Refuse if today's sources differ from the run's by more than added log statements."""
    from florc.propagate.added import compare

    if run.version is None:
        raise FlorError(f"run {run.run}: its code was not kept, it can't be replayed", 1)
    old = dict(store.sources(run.version))
    new = {m.path: read_source(root / m.path) for m in build.plan.modules}
    if script is not None and run.script is not None and build.plan.script != run.script:
        old[build.plan.script] = old.pop(run.script, "")
    names = [name for name in old if name in new or name.endswith(".py")]
    comparison = compare({name: old[name] for name in names}, new)
    if not comparison.same:
        what = comparison.difference.render() if comparison.difference else "it differs"
        raise FlorError(
            f"run {run.run} can't be replayed, today's code differs by more than "
            f"added log statements: {what}",
            1,
        )


def read_source(path: Path) -> str:
    """A source file's text as a version keeps it."""
    import io
    import tokenize

    data = path.read_bytes()
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        return data.decode(encoding)
    except (SyntaxError, UnicodeDecodeError, LookupError):
        return data.decode("utf-8", errors="replace")


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


def seconds(text: str | None) -> float:
    """Epoch seconds of the store's UTC text; 0.0 without one."""
    if not text:
        return 0.0
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc).timestamp()


def _estimate(store: Store, run: Run, one: RunDemand, jumps: bool) -> Estimate:
    """Iterations of outermost loops to execute, and how long they took when recorded."""
    times: dict[str, list[tuple[int, float]]] = {}
    for iteration in store.iterations(run.run):
        if len(iteration.position) == 1 and iteration.time is not None:
            times.setdefault(iteration.position[0][0], []).append(
                (iteration.position[0][1], iteration.time)
            )
    stops: dict[str, list[int]] = {}
    promotions = Report.read(run_folder(store.root, run.run)).promotions if jumps else []
    for checkpoint in store.checkpoints(run.run) if jumps else ():
        place, file = checkpoint.position, checkpoint.file
        if len(place) == 1 and not lacking(promotions, checkpoint.loop, place, file):
            stops.setdefault(checkpoint.loop, []).append(checkpoint.position[0][1])
    wanted: dict[str, set[int]] = {}
    for position in one.positions:
        if position:
            wanted.setdefault(position[0][0], set()).add(position[0][1])
    begun, ended = seconds(run.started), seconds(run.ended)
    first = min((rows[0][1] for rows in times.values()), default=ended or begun)
    total = max(0.0, first - begun)
    count = 0
    starts = []
    for loop, rows in times.items():
        indexes = [index for index, _ in rows]
        lasts = [*(t for _, t in rows[1:]), ended or rows[-1][1]]
        spent = {i: max(0.0, b - a) for (i, a), b in zip(rows, lasts)}
        for start, run_of in _stretches(sorted(wanted.get(loop, ())), sorted(stops.get(loop, ()))):
            executed = [i for i in run_of if i in spent]
            count += len(executed)
            total += sum(spent[i] for i in executed)
            starts.append((loop, start if start in indexes or start > 0 else -1, len(executed)))
    return Estimate(count, total, tuple(starts))


def _stretches(wanted: list[int], stops: list[int]) -> list[tuple[int, range]]:
    """(checkpoint or -1, indexes executed) for each jump of a loop's replay."""
    out: list[tuple[int, range]] = []
    at = 0  # the next head
    for index in wanted:
        place = bisect_right(stops, index)
        stop = stops[place - 1] if place else -1
        if stop > at or not out:
            begin = max(stop, at)
            out.append((stop if stop > at else -1, range(begin, index + 1)))
        else:
            start, done = out[-1]
            out[-1] = (start, range(done.start, index + 1))
        at = index + 1
    return out
