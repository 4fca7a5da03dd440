"""`replay --dry-run`: what would be placed where, and what would be re-executed."""

from __future__ import annotations

import sys
from typing import Any

from ..ui.numbers import runs_named, spans
from ..ui.render import OBJECTS, render, write
from ..versions.command import coloured
from .work import Answered, Request, Work

COLUMNS = ("run", "names", "from", "iterations", "seconds")
STATEMENTS = ("runs", "version", "statement", "outcome", "confidence", "place", "reason")


def dry_run(asked: Request, format: str, output: str | None = None, workers: int = 1) -> None:
    """Print it.

    As a table: first what becomes of today's log statements in versions that differ, with the
    diff; then the work.  As objects: the work, each row with both.
    """
    if format in OBJECTS:
        _objects(asked, format, output)
        return
    if format == "table" and output is None and asked.statements:
        render(STATEMENTS, [_shown(each) for each in asked.statements], "table")
        for runs, diff in asked.diffs:
            print(f"\n{runs_named(runs)}:")
            sys.stdout.write(coloured(diff, sys.stdout.isatty()))
        print()
    rows = [row for work in asked.work for row in rows_of(work)]
    write(COLUMNS, rows, format, output)
    sys.stdout.flush()
    if asked.work:
        price = asked.price(workers)
        seen = f"{price.replays} earlier" if price.replays else "no earlier"
        print(f"florc: {price}; corrected by {seen} replays of it here", file=sys.stderr)
    reason = asked.rounds.reason()
    if reason:
        print(f"florc: {reason}", file=sys.stderr)
    for line in asked.refusals:
        print(f"florc: {line}", file=sys.stderr)


def _shown(each: Answered) -> tuple[Any, ...]:
    place = f"{each.file}:{each.line}" if each.file else None
    confidence = None if each.outcome == "refused" else round(each.confidence, 2)
    name = each.statement or each.text
    return (
        spans(each.runs), each.version, name, each.outcome, confidence, place, each.reason or None,
    )  # fmt: skip


def rows_of(work: Work) -> list[tuple[Any, ...]]:
    """COLUMNS of a run's work, one row for each place from which it starts."""
    names = ", ".join(work.demand.names)
    starts = work.estimate.starts or (("", -1, 0),)
    seconds = round(work.estimate.seconds, 3)
    return [
        (work.run.run, names, f"{loop} {start}" if start >= 0 else "start", count, seconds)
        for loop, start, count in starts
    ]


def _objects(asked: Request, format: str, output: str | None) -> None:
    """A row for each start of each run; a run of which nothing can be asked has one too."""
    about: dict[int, list[dict[str, Any]]] = {}
    for each in asked.statements:
        facts = {
            "statement": each.statement or None, "outcome": each.outcome,
            "confidence": each.confidence, "file": each.file or None, "line": each.line or None,
            "reason": each.reason or None, "text": each.text,
        }  # fmt: skip
        for run in each.runs:
            about.setdefault(run, []).append(facts)
    diffs = {run: diff for runs, diff in asked.diffs for run in runs}
    versions = {run: each.version for each in asked.statements for run in each.runs}
    rows = [row for work in asked.work for row in rows_of(work)]
    worked = {row[0] for row in rows}
    rows += [(run, "", None, 0, 0.0) for run in about if run not in worked]
    full = [
        (*row, versions.get(row[0]), about.get(row[0], []), diffs.get(row[0]))
        for row in sorted(rows, key=lambda row: row[0])
    ]
    write((*COLUMNS, "version", "statements", "diff"), full, format, output)
