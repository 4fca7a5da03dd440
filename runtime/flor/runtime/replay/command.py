"""`replay`: answer a query, re-executing what no run has logged."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from ..errors import FlorError
from ..project import project_root
from ..store import Store
from ..versions.worktrees import Workplace
from .dry_run import dry_run
from .estimates import Estimator
from .job import Divergence
from .schedule import Position
from .work import Request, Work, request
from .workers import Outcome, Workers, tail


@dataclass
class Report:
    """What a replay found: the answer, and the lines that say what was not as recorded."""

    columns: list[str]
    rows: list[tuple[Any, ...]]
    problems: list[str] = field(default_factory=list)
    code: int = 0
    expected: float = 0.0  # seconds of all rounds
    took: float = 0.0


def replay(args: argparse.Namespace) -> int:
    """The command."""
    from ..ui.render import check, write

    check(args.format, args.output)
    root = project_root(Path(args.script) if args.script else Path.cwd() / "script")
    old = signal.signal(signal.SIGTERM, _terminated)
    try:
        with Store.open(root) as store, Workplace(root) as place:
            asked = request(
                store, place, args.sql, args.script, not args.from_start, not args.no_skip
            )
            for warning in asked.warnings:
                say(f"warning: {warning}")
            if args.dry_run:
                dry_run(asked, args.format, args.output, args.workers)
                return 0
            if asked.work:
                _announce(asked, args.workers, args.quiet)
                if not args.yes:
                    _confirm()
            report = answer(
                store,
                place,
                asked,
                jumps=not args.from_start,
                workers=args.workers,
                quiet=args.quiet,
                skip=not args.no_skip,
            )
    finally:
        signal.signal(signal.SIGTERM, old)
    if report.took and not args.quiet:
        say(f"replayed in {report.took:.1f} s; expected were {report.expected:.1f} s")
    if report.columns:
        write(report.columns, report.rows, args.format, args.output)
    sys.stdout.flush()
    for line in report.problems:
        say(line)
    return report.code


def _terminated(signum: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + signum)


def answer(
    store: Store,
    place: Workplace,
    asked: Request,
    *,
    jumps: bool,
    workers: int,
    quiet: bool = True,
    skip: bool = True,
) -> Report:
    """Execute the work, store its values, answer the query."""
    problems = list(asked.refusals)
    code = int(bool(problems))
    failed: set[int] = set()
    begun, expected = time.perf_counter(), 0.0
    if asked.work:
        expected = asked.rounds.deriving
    while asked.work:
        work, reason = asked.rounds.next(failed)
        if not work:
            break
        if reason and not quiet:
            say(reason)
        expected += asked.price(workers, work).seconds - asked.rounds.deriving
        for outcome in Workers(place, workers).run(work, jumps, skip):
            lines, wrong = _settle(store, asked.estimator, outcome, quiet)
            problems += lines
            code = max(code, int(wrong))
            if outcome.answer.state != "done":
                failed.add(outcome.work.run.run)
    took = time.perf_counter() - begun if asked.work else 0.0
    if asked.work and not failed:
        asked.estimator.observe_all(asked.work[0].run, expected, workers, took)
    store.declare(asked.declarations)
    try:
        columns, rows = store.sql(asked.sql)
    except Exception:
        if not problems:
            raise
        columns, rows = [], []  # the failed replay is why there is no such column yet
    return Report(columns, rows, problems, code, expected, took)


def _settle(
    store: Store, estimator: Estimator, outcome: Outcome, quiet: bool
) -> tuple[list[str], bool]:
    """Note what was re-executed; the lines to say about it, and whether something is wrong."""
    work, found = outcome.work, outcome.answer
    run = work.run.run
    if not quiet:
        for note in dict.fromkeys(outcome.notes):
            say(f"run {run}: {note}")
        if found.skipped:
            calls = ", ".join(f"{call} {times}" for call, times in sorted(found.skipped.items()))
            say(f"run {run}: calls skipped, as nothing from inside them is wanted: {calls}")
    done: list[Position] = list(found.done)
    if found.outside_done and () in work.demand.wanted:
        done.append(())
    marks = [
        (s.name, s.id, position)
        for position in done
        for s in work.demand.wanted.get(position, ())
        if s.name
    ]
    if found.state == "done" and marks:
        store.mark_replayed(run, marks)
    if found.state == "done" and found.times:
        job = (work.run, work.demand, outcome.part)
        inside = sum(found.times.values())
        times = {"start": max(0.0, outcome.seconds - inside), **found.times}
        estimator.observe(job, outcome.at_once, times)
    lines = []
    for path in found.stale:
        lines.append(f"run {run}: {path} was changed after the run began; values may differ")
    if found.divergence_count:
        lines += _differences(work, found.divergences, found.divergence_count)
    if found.state != "done":
        lines.append(f"run {run}: the replay failed: {found.why} (output: {_near(outcome.log)})")
        lines += [f"  {line}" for line in tail(outcome.log)]
    return lines, bool(lines)


def _differences(work: Work, found: Sequence[Divergence], count: int) -> list[str]:
    """The first divergence with its place, and how many there are."""
    first = found[0]
    line = f"run {work.run.run}, {first.place}: "
    if first.name == "state":
        line += f"the state is not the recorded one: {first.replayed}"
    else:
        line += f"{first.name} was {first.recorded} when recorded, "
        line += f"is {first.replayed} when replayed"
    if count > 1:
        line += f" (first of {count} differences)"
    return [line]


def _near(path: Path) -> str:
    return os.path.relpath(path)


def _announce(asked: Request, workers: int, quiet: bool) -> None:
    if quiet:
        return
    iterations = sum(work.estimate.iterations for work in asked.work)
    price = asked.price(workers)
    names = sorted({name for work in asked.work for name in work.demand.names})
    runs = len(asked.work)
    say(
        f"replaying {', '.join(names)}: {runs} run{'s' * (runs != 1)}, "
        f"{iterations} iteration{'s' * (iterations != 1)} of outermost loops, {price}"
    )


def _confirm() -> None:
    if not sys.stdin.isatty():
        raise FlorError("nothing was replayed: say --yes to replay without being asked", 2)
    print("florc: replay now? [Y/n] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("", "y", "yes"):
        raise FlorError("nothing was replayed", 1)


def say(line: str) -> None:
    """A line on standard error; continuation lines are indented."""
    prefix = "" if line.startswith("  ") else "florc: "
    print(prefix + line, file=sys.stderr, flush=True)
