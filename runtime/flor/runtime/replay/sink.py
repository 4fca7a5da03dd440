"""Where a replayed script's values go: the store, the deferred check, or nowhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..session import Ctx, key
from ..session import position as coordinates
from ..store.values import same, to_plain
from .job import Divergence
from .schedule import Position

if TYPE_CHECKING:
    from ..store import RunWriter

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
    ) -> None:
        self.writer = writer
        self.recorded = recorded
        self.recorded_names = frozenset(name for name, _, _ in recorded)
        self.wanted = wanted
        self.hindsight = frozenset(name for names in wanted.values() for name in names)
        self.volatile = volatile
        self.old = old  # ids of the statements that the recorded script had; None: not known
        self.new_loops = new_loops  # noted by today's script only: wanted positions end before them
        self.divergences: list[Divergence] = []
        self.count = 0
        self.compared = 0
        self.stored = 0
        self.executed = 0
        self._ctx: Ctx | None = None
        self._key: Position = ()
        self._ordinals: dict[tuple[str, Position], int] = {}

    def _position(self, ctx: Ctx | None) -> Position:
        if ctx is not self._ctx:
            self._ctx, self._key = ctx, key(ctx)
        return self._key

    def log(self, name: str, value: object, ctx: Ctx | None, stmt: str) -> None:
        """Keep it if it was asked for here, else compare it."""
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
        for name, number in logged.items():
            if name in self.hindsight or name in self.recorded_names:
                key = (name, position)
                self._ordinals[key] = self._ordinals.get(key, 0) + number

    def iteration(self, ctx: Ctx, t: float) -> None:
        """Count it; old ordinals are forgotten when an outermost loop goes on."""
        self.executed += 1
        if ctx[0] is None and len(self._ordinals) > 10_000:
            outside = {k: n for k, n in self._ordinals.items() if not k[1]}
            self._ordinals = outside


def words(ctx: Ctx | None) -> str:
    """A position for people: "epoch 3, step 17"."""
    return ", ".join(f"{loop} {value}" for loop, _, value in coordinates(ctx)) or "outside of loops"
