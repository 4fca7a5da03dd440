"""What `flor.query`, `flor.replay` and `flor.dataframe` do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .project import project_root

if TYPE_CHECKING:
    from .ui.answers import Answer
    from .ui.plans import Plan


def _root(root: str | None) -> Path:
    """The project that holds the folder `root` (default: the current one)."""
    return project_root((Path(root) if root is not None else Path.cwd()) / "script")


def query(sql: str, root: str | None = None) -> Answer:
    """The rows of `sql`."""
    from .store import Store
    from .ui.answers import Answer

    with Store.open(_root(root)) as store:
        return Answer.of(store.answer(sql))


def replay(
    sql: str, root: str | None = None, *, script: str | None = None, from_start: bool = False
) -> Plan:
    """What `sql` lacks and what it costs; nothing is executed yet."""
    from .ui.plans import plan

    return plan(sql, _root(root) if root is not None else None, script, from_start)


def dataframe(
    names: Sequence[str], where: str | None, root: str | None, coordinates: bool
) -> Any:  # fmt: skip
    """Columns of `logs` as a pandas frame; all of them without names."""
    from .store import Store
    from .store.edits import quoted
    from .ui.coordinates import around
    from .ui.extras import need

    need("pandas", "pandas", "a data frame")
    with Store.open(_root(root)) as store:
        if names and coordinates:
            names = [*around(store, names), *names]
        columns = ", ".join(quoted(name) for name in names) or "*"
        condition = f" WHERE (\n{where}\n)" if where is not None and where.strip() else ""
        return store.dataframe(f"SELECT {columns} FROM logs{condition}")


def status(name: str, root: str | None = None, script: str | None = None) -> list[dict[str, Any]]:
    """What became of a name in each run."""
    from dataclasses import asdict

    from .store import Store
    from .upkeep.command import of_name

    with Store.open(_root(root)) as store:
        return [asdict(one) for one in of_name(store, name, script)]
