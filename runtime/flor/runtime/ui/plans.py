"""What `flor.replay(sql)` gives: a plan to look at, and to run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import FlorError
from ..project import project_root
from .answers import Answer, count

if TYPE_CHECKING:
    from ..replay.work import Request


@dataclass(frozen=True)
class Cost:
    """What a replay will execute, from recorded times."""

    runs: int
    iterations: int  # of outermost loops
    seconds: float  # expected by the clock
    start: float = 0.0  # of them, summed over processes: until scripts begin, and behind their end
    prefix: float = 0.0  # scripts up to their loops
    restore: float = 0.0  # of checkpoints
    execute: float = 0.0  # iterations
    replays: int = 0  # earlier ones by which this was corrected

    def __str__(self) -> str:
        if not self.runs:
            return "nothing to re-execute"
        iterations = count(self.iterations, "iteration")
        return f"{count(self.runs, 'run')}, {iterations} of outermost loops, {self.seconds:.1f} s"


def _cost(asked: Request, workers: int) -> Cost:
    price = asked.price(workers) if asked.work else None
    if price is None:
        return Cost(0, 0, 0.0)
    return Cost(
        len({work.run.run for work in asked.work}),
        sum(work.estimate.iterations for work in asked.work),
        price.seconds,
        price.parts.start,
        price.parts.prefix,
        price.parts.restore,
        price.parts.execute,
        price.replays,
    )


class Plan:
    """A query, what no run has logged of it yet, and what that would cost.

    Nothing has been executed.  `run()` re-executes what is lacking and gives the answer; `df()`,
    `arrow()` and iterating run it first, once.
    """

    def __init__(self, sql: str, root: Path, script: str | None, from_start: bool) -> None:
        from ..replay.dry_run import COLUMNS, rows_of

        self.sql = sql
        self.root = root
        self._script = script
        self._from_start = from_start
        self._answer: Answer | None = None
        with _asked(self) as (_, _, asked):
            self.columns = COLUMNS
            self.rows = [row for work in asked.work for row in rows_of(work)]
            self.warnings = asked.warnings
            self.refusals = asked.refusals
            self.diffs = asked.diffs
            self.names = tuple(sorted({name for work in asked.work for name in work.demand.names}))
            self.cost = _cost(asked, 1)

    def costs(self, workers: int) -> Cost:
        """What it is expected to take with so many processes at once; `cost` is with one."""
        with _asked(self) as (_, _, asked):
            return _cost(asked, workers)

    def run(self, *, workers: int = 1, skip: bool = True, partial: bool = False) -> Answer:
        """Re-execute what is lacking, keep it, and answer.

        Raises FlorError when something is refused or fails, or when replayed values differ from
        recorded ones; with `partial`, only if there is no answer at all (see `problems`).
        """
        from ..replay.command import answer

        with _asked(self) as (store, place, asked):
            report = answer(
                store, place, asked, jumps=not self._from_start, workers=workers, skip=skip
            )
        self.problems = tuple(report.problems)
        self.expected, self.took = report.expected, report.took
        if report.problems and not (partial and report.columns):
            raise FlorError("; ".join(report.problems), report.code or 1)
        self._answer = Answer(report.columns, report.rows)
        return self._answer

    problems: tuple[str, ...] = ()
    """What went wrong when it was run last, a line each."""
    expected = took = 0.0
    """Seconds of re-executing when it was run last: expected before each round, and in fact."""

    @property
    def answer(self) -> Answer:
        """The answer; the plan is run if it hasn't been."""
        return self._answer if self._answer is not None else self.run()

    def df(self) -> Any:
        """The answer as a pandas DataFrame with a type for each column.  Needs pandas."""
        from .extras import need

        need("pandas", "pandas", "a data frame")  # before hours are spent
        return self.answer.df()

    def arrow(self) -> Any:
        """The answer as a pyarrow Table.  Needs pyarrow."""
        from .extras import need

        need("pyarrow", "pyarrow", "an Arrow table")
        return self.answer.arrow()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.answer)

    def _lines(self) -> list[str]:
        names = f"replays {', '.join(self.names)}: " if self.names else ""
        found = [f"{names}{self.cost}"]
        if self.took:
            found.append(f"replayed in {self.took:.1f} s; expected were {self.expected:.1f} s")
        found += [f"warning: {line}" for line in self.warnings]
        return [*found, *self.refusals]

    def __repr__(self) -> str:
        return f"<replay of {self.sql!r}: {self.cost}>"

    def __str__(self) -> str:
        lines = self._lines()
        if self.rows:
            lines.append(str(Answer(self.columns, self.rows)))
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        from .html import code, html_table, lines

        found = code(self.sql) + lines(self._lines())
        if self.rows:
            found += html_table(self.columns, self.rows)
        if self._answer is not None:
            found += self._answer._repr_html_()
        return found


class _asked:
    """`with _asked(plan) as (store, place, request)`."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def __enter__(self) -> tuple[Any, Any, Request]:
        from contextlib import ExitStack

        from ..replay.work import request
        from ..store import Store
        from ..versions.worktrees import Workplace

        plan = self.plan
        with ExitStack() as stack:
            store = stack.enter_context(Store.open(plan.root))
            place = stack.enter_context(Workplace(plan.root))
            asked = request(store, place, plan.sql, plan._script, not plan._from_start)
            self._stack = stack.pop_all()
        return store, place, asked

    def __exit__(self, *details: Any) -> None:
        self._stack.__exit__(*details)


def plan(
    sql: str, root: Path | None, script: str | None = None, from_start: bool = False
) -> Plan:  # fmt: skip
    """Derive the plan of a query.  Raises FlorError, QueryError, StoreError."""
    if root is None:
        root = project_root(Path(script) if script is not None else Path.cwd() / "script")
    return Plan(sql, root, script, from_start)
