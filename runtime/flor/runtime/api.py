"""What `flor.query`, `flor.replay` and `flor.dataframe` do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .errors import FlorError
from .project import project_root


def _root(root: str | None) -> Path:
    """The project that holds the folder `root` (default: the current one)."""
    return project_root((Path(root) if root is not None else Path.cwd()) / "script")


def query(sql: str, root: str | None = None) -> list[dict[str, Any]]:
    """Rows of `sql` as dicts."""
    from .store import Store

    with Store.open(_root(root)) as store:
        return store.dicts(sql)


def replay(
    sql: str,
    root: str | None = None,
    *,
    script: str | None = None,
    workers: int = 1,
    from_start: bool = False,
    skip: bool = True,
) -> list[dict[str, Any]]:
    """Rows of `sql` after re-executing what it lacks.  Raises FlorError on differences."""
    from .replay.command import answer
    from .replay.work import request
    from .store import Store
    from .versions.worktrees import Workplace

    base = project_root(Path(script)) if root is None and script is not None else _root(root)
    with Store.open(base) as store, Workplace(base) as place:
        asked = request(store, place, sql, script, not from_start)
        report = answer(store, place, asked, jumps=not from_start, workers=workers, skip=skip)
    if report.problems:
        raise FlorError("; ".join(report.problems), report.code or 1)
    return [dict(zip(report.columns, row)) for row in report.rows]


def dataframe(names: Sequence[str], root: str | None = None) -> Any:
    """Columns of `logs` as a pandas frame; all of them without names."""
    from .store import Store

    columns = ", ".join('"' + name.replace('"', '""') + '"' for name in names) or "*"
    with Store.open(_root(root)) as store:
        return store.dataframe(f"SELECT {columns} FROM logs")


def status(name: str, root: str | None = None, script: str | None = None) -> list[dict[str, Any]]:
    """What became of a name in each run."""
    from dataclasses import asdict

    from .store import Store
    from .upkeep.command import of_name

    with Store.open(_root(root)) as store:
        return [asdict(one) for one in of_name(store, name, script)]
