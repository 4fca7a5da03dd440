"""`florc filter`: which rows a query needs replayed, as SQL; nothing is executed."""

from __future__ import annotations

import argparse
import contextlib
import json
import sqlite3
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

from florc.cli import BAD_INPUT, DONE, Quit, report
from florc.frontend.project import project_root
from florc.plan import Plan
from florc.queries import Catalogue, Need, QueryError, Unknowns, analyse, derive, fold

STORE = Path(".flor") / "flor.db"
PLAIN = ("run",)
"""What is known of the columns of other tables where there is no store."""


def run(arguments: argparse.Namespace) -> int:
    """Run the command; the exit code.  Raises cli.Quit."""
    root = project_root(Path(arguments.script) if arguments.script else Path("script"))
    named = _split(arguments.hindsight)
    today = _today(Path(arguments.script)) if arguments.script else {}
    stored = _stored(root / STORE)
    if stored is None and not (named or today):
        raise Quit(
            BAD_INPUT, f"no store in {root}: say by --hindsight or --script what isn't recorded"
        )
    catalogue, everywhere = stored or (Catalogue(), frozenset())
    asked = today if arguments.script else catalogue.names
    hindsight = named or [name for name in asked if name not in everywhere]
    loops = [loop for path in today.values() for loop in path]
    catalogue = Catalogue(
        tuple(dict.fromkeys((*catalogue.loops, *loops, *_split(arguments.loops)))),
        tuple(dict.fromkeys((*catalogue.names, *_split(arguments.recorded), *hindsight))),
        catalogue.arguments,
        catalogue.tables or {"runs": ("run", "script", "status")},
    )
    try:
        analysis = analyse(arguments.sql, catalogue)
        columns = [c for c in catalogue.columns if catalogue.origin(c) in _origins(hindsight)]
        # Where some of the values are there, whether one is is asked row by row.
        partly = {c: catalogue.origin(c)[1] in (stored[0].names if stored else ()) for c in columns}
        needs = derive(analysis, Unknowns(partly, frozenset(columns)))
    except QueryError as error:
        raise Quit(BAD_INPUT, str(error)) from None
    if arguments.json:
        print(json.dumps([as_json(need) for need in needs], indent=1))
    else:
        print("\n".join(lines(needs, arguments.sql_text)) or "nothing is needed")
    return DONE


def _origins(names: Sequence[str]) -> set[tuple[str, str]]:
    return {("log", name) for name in names}


def _split(given: list[str] | None) -> list[str]:
    return [name for part in given or () for name in part.split(",") if name]


# -- what there is ---------------------------------------------------------------------------------


def _today(script: Path) -> dict[str, tuple[str, ...]]:
    """Names that a script logs, with the loops around the deepest of their statements."""
    from florc.compilation import CompileError
    from florc.driver import compile_project

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            plan = compile_project(script).plan
    except CompileError as error:
        report(error.diagnostics, quiet=False)
        raise Quit(BAD_INPUT) from None
    found: dict[str, tuple[str, ...]] = {}
    for log in plan.logs:
        if log.name is not None:
            paths = (*log.paths, found.get(log.name, ()))
            found[log.name] = max(paths, key=len)
    return found


def _stored(path: Path) -> tuple[Catalogue, frozenset[str]] | None:
    """The names in a store, and those that all versions log; None without a store."""
    if not path.is_file():
        return None
    try:
        with contextlib.closing(
            sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
        ) as c:
            loops = [row[0] for row in c.execute(
                "SELECT loop FROM shapes WHERE shape IN (SELECT shape FROM loop_shapes) "
                "GROUP BY loop ORDER BY min(depth), min(shape)"
            )]  # fmt: skip
            plans = [row[0] for row in c.execute("SELECT DISTINCT plan FROM runs")]
            names = [row[0] for row in c.execute(
                "SELECT name FROM names WHERE name_id IN (SELECT name_id FROM name_shapes) "
                "ORDER BY name_id"
            )]  # fmt: skip
            arguments = [row[0] for row in c.execute("SELECT DISTINCT name FROM arguments")]
            runs = [row[1] for row in c.execute("PRAGMA table_info(runs)")]
    except sqlite3.Error as error:
        raise Quit(BAD_INPUT, f"{path} can't be read: {error}") from None
    positions = ("run", "path", "loop", *loops)
    tables = {
        "runs": tuple(runs),
        "records": (*positions, "name", "value", "type", "ordinal", "source", "stmt", "time"),
        "iterations": (*positions, "idx", "value", "time"),
        "loops": (*positions, "count", "started", "ended"),
        "versions": ("version", "created", "branch", "commit_sha", "dirty"),
    }
    catalogue = Catalogue(tuple(loops), tuple(names), tuple(arguments), tables)
    had = [_logged(plan) for plan in plans]
    return catalogue, frozenset.intersection(*had) if had else frozenset()


def _logged(plan: str | None) -> frozenset[str]:
    """The names that a version of a script logs."""
    try:
        logs = Plan.from_json(plan).logs if plan else ()
    except (ValueError, TypeError, KeyError):
        return frozenset()
    return frozenset(log.name for log in logs if log.name is not None)


# -- showing ---------------------------------------------------------------------------------------


def lines(needs: Sequence[Need], full: bool) -> Iterator[str]:
    """What is needed of each scan, for people."""
    lacking = {column for need in needs for column in need.columns}
    for need in needs:
        where = need.condition
        alias = "" if fold(need.scan.alias) == fold(need.scan.table) else f" AS {need.scan.alias}"
        yield f"{', '.join(need.columns)} of {need.scan.table}{alias}: {where or 'all rows'}"
        if need.early:
            yield "    few of these rows may be enough: those that settle it come first"
        if need.deciding and not need.early and lacking - need.deciding:
            yield f"    what else is needed depends on {', '.join(sorted(need.deciding))}"
        if full:
            yield f"    {need.text(lambda number, need=need: need.tables[number])}"  # type: ignore[misc]


def as_json(need: Need) -> dict[str, object]:
    """A need for programs."""
    return {
        "table": need.scan.table, "alias": need.scan.alias, "columns": list(need.columns),
        "where": need.condition, "early": need.early, "deciding": sorted(need.deciding),
        "sql": need.text(lambda number: need.tables[number]),
    }  # fmt: skip
