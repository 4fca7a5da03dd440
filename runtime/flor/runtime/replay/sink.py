"""Where a replayed script's values go: the store, the deferred check, or nowhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from florc.plan import CAPTURED

from ..session import Ctx, key
from ..session import position as coordinates
from ..store.values import same, to_plain
from .job import Divergence
from .schedule import Position

if TYPE_CHECKING:
    from ..store import RunWriter
    from ..store.rows import Record

KEPT = 50
"""Divergences kept with their values; further ones are only counted."""


class ReplaySink:
    """Stores wanted hindsight values; compares every other with what was recorded."""

    def __init__(
        self,
        writer: RunWriter,
        recorded: Mapping[tuple[str, Position, int], Any],
        wanted: Mapping[Position, frozenset[str]],
        volatile: frozenset[str],
        old: frozenset[str] | None = None,
        new_loops: frozenset[str] = frozenset(),
        captured: Mapping[tuple[str, Position], Sequence[Any]] | None = None,
        uncaptured: frozenset[str] = frozenset(),
    ) -> None:
        self.writer = writer
        self.recorded = recorded
        self.recorded_names = frozenset(name for name, _, _ in recorded)
        self.wanted = wanted
        self.hindsight = frozenset(name for names in wanted.values() for name in names)
        self.volatile = volatile
        self.old = old  # ids of the statements that the recorded script had; None: not known
        self.new_loops = new_loops  # noted by today's script only: wanted positions end before them
        self.captured = captured or {}  # (statement, position) -> what it logged by itself
        self.uncaptured = uncaptured  # today's statements of that kind that the run didn't note
        self.divergences: list[Divergence] = []
        self.count = 0
        self.compared = 0
        self.stored = 0
        self.executed = 0
        self.on_first: Callable[[], None] | None = None  # at the first iteration of all
        self._ctx: Ctx | None = None
        self._key: Position = ()
        self._ordinals: dict[tuple[str, Position], int] = {}
        self._gaps: set[Position] = set()

    def _position(self, ctx: Ctx | None) -> Position:
        if ctx is not self._ctx:
            self._ctx, self._key = ctx, key(ctx)
        return self._key

    def log(self, name: str, value: object, ctx: Ctx | None, stmt: str) -> None:
        """Keep it if it was asked for here, else compare it."""
        if CAPTURED in stmt:
            self._captured(name, value, ctx, stmt)
            return
        if name not in self.hindsight and name not in self.recorded_names:
            return
        position = self._position(ctx)
        if self.old is not None and stmt not in self.old:
            if name in self.wanted.get(self.recorded_part(position), ()):
                self.writer.log(name, value, ctx, stmt)
                self.stored += 1
            return
        ordinal = self._ordinals.get((name, position), 0)
        self._ordinals[name, position] = ordinal + 1
        if (name, position, ordinal) in self.recorded:
            if stmt not in self.volatile:
                self._compare(name, ctx, self.recorded[name, position, ordinal], value)
        elif name in self.wanted.get(position, ()):
            self.writer.log(name, value, ctx, stmt)
            self.stored += 1

    def _captured(self, name: str, value: object, ctx: Ctx | None, stmt: str) -> None:
        """A value that the script logs by itself: compared with what the same statement logged.

        One that the recorded run didn't capture (--no-capture) is kept where it is asked for.
        """
        position = self._position(ctx)
        if stmt in self.uncaptured:
            if name in self.wanted.get(self.recorded_part(position), ()):
                self.writer.log(name, value, ctx, stmt)
                self.stored += 1
            return
        key = (stmt, position)
        logged = self.captured.get(key)
        if logged is None or position in self._gaps:
            return
        ordinal = self._ordinals[key] = self._ordinals.get(key, -1) + 1
        if ordinal < len(logged) and stmt not in self.volatile:
            self._compare(name, ctx, logged[ordinal], value)

    def recorded_part(self, position: Position) -> Position:
        """A position up to the first loop that the recorded script didn't note."""
        if self.new_loops:
            for depth, (loop, _) in enumerate(position):
                if loop in self.new_loops:
                    return position[:depth]
        return position

    def _compare(self, name: str, ctx: Ctx | None, recorded: Any, value: object) -> None:
        self.compared += 1
        replayed = to_plain(value)
        if not same(recorded, replayed):
            self.differs(key(ctx), words(ctx), name, repr(recorded), repr(replayed))

    def differs(
        self, position: Position, place: str, name: str, recorded: str, replayed: str
    ) -> None:
        """Keep a divergence."""
        self.count += 1
        if len(self.divergences) < KEPT:
            self.divergences.append(
                Divergence(position, place, name, recorded[:200], replayed[:200])
            )

    def skipped(self, position: Position, logged: Mapping[str, int]) -> None:
        """A region was skipped that had logged so many values of these names."""
        self._gaps.add(position)  # which of the captured ones it had logged isn't known
        for name, number in logged.items():
            if name in self.hindsight or name in self.recorded_names:
                key = (name, position)
                self._ordinals[key] = self._ordinals.get(key, 0) + number

    def iteration(self, ctx: Ctx, t: float) -> None:
        """Count it; old ordinals are forgotten when an outermost loop goes on."""
        if not self.executed and self.on_first is not None:
            self.on_first()
        self.executed += 1
        if ctx[0] is None and len(self._ordinals) > 10_000:
            outside = {k: n for k, n in self._ordinals.items() if not k[1]}
            self._ordinals = outside
            self._gaps.clear()


def split(
    records: Iterable[Record],
) -> tuple[dict[tuple[str, Position, int], Any], dict[tuple[str, Position], list[Any]]]:
    """What `flor.log` has logged, by (name, position, ordinal), and what was captured.

    The latter by (statement, position): the two may use one name, and count apart.
    """
    logged: dict[tuple[str, Position, int], Any] = {}
    captured: dict[tuple[str, Position], list[Any]] = {}
    ordinals: dict[tuple[str, Position], int] = {}
    for record in sorted(records, key=lambda r: r.ordinal):
        if record.stmt is not None and CAPTURED in record.stmt:
            captured.setdefault((record.stmt, record.position), []).append(record.value)
        else:
            place = (record.name, record.position)
            ordinals[place] = ordinals.get(place, -1) + 1
            logged[(*place, ordinals[place])] = record.value
    return logged, captured


def words(ctx: Ctx | None) -> str:
    """A position for people: "epoch 3, step 17"."""
    return ", ".join(f"{loop} {value}" for loop, _, value in coordinates(ctx)) or "outside of loops"
