"""flor: log now or later.  `import flor` costs nothing until something is asked of it.

    flor.log("loss", loss.item())          note a value at the current loop position
    lr = flor.arg("lr", 1e-3)              note an argument
    for epoch in flor.loop("epoch", …):    name a loop by hand

Outside a recording the three do nothing but give the value back.  `query`, `replay` and
`dataframe` read the store of the project that holds the current folder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import pandas

    from flor.runtime.ui.answers import Answer
    from flor.runtime.ui.plans import Plan

__all__ = ["arg", "dataframe", "log", "loop", "query", "replay", "status"]
__version__ = "0.1.0"

T = TypeVar("T")

# Set by an active session (flor.runtime.session), None otherwise and in forked children.
_log: Callable[[str, Any], None] | None = None
_arg: Callable[[str, Any], Any] | None = None
_loop: Callable[[str, Iterable[Any]], Iterable[Any]] | None = None


def log(name: str, value: T) -> T:
    """Note `value` under `name` at the current loop position, and return it."""
    if _log is not None:
        _log(name, value)
    return value


def arg(name: str, default: T) -> T:
    """Note an argument of the run; returns `default`, and in a replay the recorded value."""
    if _arg is not None:
        value: T = _arg(name, default)
        return value
    return default


def loop(name: str, iterable: Iterable[T]) -> Iterable[T]:
    """Iterate over `iterable`; values logged in the body get the coordinate `name`."""
    if _loop is not None:
        return _loop(name, iterable)
    return iterable


def query(sql: str, root: str | None = None) -> Answer:
    """The rows of an SQL query over the recorded runs.  Nothing is replayed.

    The answer is a sequence with a dict for each row; `.df()` is a pandas frame, `.arrow()` a
    pyarrow table, `.to("csv")` text.
    """
    from flor.runtime import api

    return api.query(sql, root)


def replay(
    sql: str, root: str | None = None, *, script: str | None = None, from_start: bool = False
) -> Plan:
    """What has to be re-executed to answer `sql`, where no run has logged it, and its cost.

    Nothing is executed before `.run()` (options: `workers`, `skip`, `partial`), `.df()`,
    `.arrow()` or a loop over the rows; `print` shows the plan.  `script`: today's script, if the
    runs' own path isn't meant; `from_start`: use no checkpoint.  Raises
    flor.runtime.errors.FlorError when it is refused or when values differ from recorded ones.
    """
    from flor.runtime import api

    return api.replay(sql, root, script=script, from_start=from_start)


def dataframe(
    *names: str, where: str | None = None, root: str | None = None, coordinates: bool = True
) -> pandas.DataFrame:
    """The named columns of `logs` as a pandas frame (pandas must be installed); none: all.

    In front of them are `run` and the loops that the names belong to, unless `coordinates` is
    false.  `where` is an SQL condition over `logs`, "epoch > 8 AND status = 'finished'".
    """
    from flor.runtime import api

    return api.dataframe(names, where, root, coordinates)


def status(name: str, root: str | None = None, script: str | None = None) -> list[dict[str, Any]]:
    """What became of a logged name in each run, one dict a run: what its NULLs mean.

    `state` is "recorded", "replayed", "partly replayed", "not yet replayed", "not reached",
    "refused" or "never logged".
    """
    from flor.runtime import api

    return api.status(name, root, script)
