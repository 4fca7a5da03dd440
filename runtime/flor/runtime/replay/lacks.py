"""Which of today's log statements a run was recorded without, and where they belong in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..store.positions import ROOT, shape_paths

if TYPE_CHECKING:
    from florc.plan import LogStatement

    from ..store.store import Store

Path = tuple[str, ...]


@dataclass
class Lack:
    """One statement that wasn't there when the run was recorded, and the nests it belongs to."""

    statement: LogStatement
    shapes: set[int] = field(default_factory=set)

    @property
    def name(self) -> str:
        """The name that it logs."""
        return str(self.statement.name)


class Lacks:
    """Looks at plans and recorded iterations; `statements` are those of each run's replay."""

    def __init__(
        self,
        store: Store,
        statements: Mapping[int, Sequence[LogStatement]],
        *,
        everything: bool = False,
    ) -> None:
        self.store = store
        self.connection = store.connection
        self.statements = statements
        self.everything = everything  # what is lacking counts as such, whatever was replayed
        self.paths = shape_paths(self.connection)
        self.shapes = {path: shape for shape, path in self.paths.items()}

    def of(self, run: int) -> list[Lack]:
        """Statements that the run was recorded without, with the nests that it recorded."""
        plan = self.store.plan(run)
        row = self.connection.execute("SELECT dropped FROM runs WHERE run = ?", (run,)).fetchone()
        complete = plan is not None and row is not None and not row[0]
        had = {log.id for log in plan.logs} if plan is not None and complete else set()
        if self.everything:
            return [Lack(one, {ROOT}) for one in self.statements[run] if one.id not in had]
        loops = {loop.name for loop in plan.loops} if plan is not None else set()
        recorded = {
            shape
            for (shape,) in self.connection.execute(
                "SELECT shape FROM loop_shapes WHERE run = ?", (run,)
            )
        }
        lacks = []
        for statement in self.statements[run]:
            if statement.id in had:
                continue
            lack = Lack(statement)
            for path in statement.paths or (tuple(statement.loops),):
                shape = self._deepest(path, recorded, loops, known=plan is not None)
                if shape is not None:
                    lack.shapes.add(shape)
            if lack.shapes:
                lacks.append(lack)
        return lacks

    def new_loops(self, run: int) -> frozenset[str]:
        """Loops around today's statements that the run did not note when it was recorded.

        Iterations of them that earlier replays noted are only a part of all.
        """
        plan = self.store.plan(run)
        if plan is None:
            return frozenset()
        had = {loop.name for loop in plan.loops}
        paths = (path for s in self.statements[run] for path in s.paths)
        return frozenset(loop for path in paths for loop in path if loop not in had)

    def _deepest(
        self, path: Path, recorded: set[int], loops: set[str], *, known: bool
    ) -> int | None:
        """The deepest recorded shape on a path; None if the run never came into the nest.

        A loop that the run's own plan has, but of which no iteration is recorded, was never
        entered: then there is nothing to replay.
        """
        shape = ROOT
        for depth, loop in enumerate(path):
            if known and loop not in loops:
                return shape
            deeper = self.shapes.get(path[: depth + 1])
            if deeper is None or deeper not in recorded:
                return None if loop in loops else shape
            shape = deeper
        return shape
