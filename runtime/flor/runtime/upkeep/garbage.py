"""`gc`: which checkpoints go.

A checkpoint only saves a replay time: without it a replay starts from an earlier one, or from the
beginning.  Those of a run that is going on are never touched, and a file that another checkpoint
refers to stays as long as that one does.
"""

from __future__ import annotations

import contextlib
import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from ..record.command import run_folder
from ..store.positions import Position
from ..store.rows import Checkpoint, Run
from ..store.store import Store
from .folders import referred, unused_contents

RUNNING = "running"


@dataclass(frozen=True)
class Rules:
    """What may go.  Without any limit nothing does.

    `older_than`: seconds since the run ended.  `max_bytes`: of all checkpoints; the oldest runs'
    go first.  `keep_best` is (name, how many, whether small is good): of each run, checkpoints
    stay from which its best iterations can be replayed, and alone it lets all others go.
    """

    older_than: float | None = None
    max_bytes: int | None = None
    keep_best: tuple[str, int, bool] | None = None
    runs: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Removal:
    """A checkpoint that goes, and why."""

    run: int
    checkpoint: Checkpoint
    nbytes: int
    why: str


@dataclass(frozen=True)
class Removals:
    """What `gc` does: `gone` goes; `needed` would, but others that stay refer to it."""

    gone: tuple[Removal, ...]
    needed: tuple[Removal, ...]
    kept_bytes: int

    @property
    def freed(self) -> int:
        """Bytes that become free."""
        return sum(one.nbytes for one in self.gone)


def plan(store: Store, rules: Rules, now: float | None = None) -> Removals:
    """Decide what goes; nothing is changed.  Raises StoreError."""
    return _Planner(store, rules, now).plan()


def collect(store: Store, removals: Removals) -> None:
    """Remove it.  The rows first: a file without a row is only garbage.  Raises StoreError."""
    by_run: dict[int, list[Removal]] = defaultdict(list)
    for one in removals.gone:
        by_run[one.run].append(one)
    with store.transaction() as connection:
        for run, found in by_run.items():
            (status,) = connection.execute(
                "SELECT status FROM runs WHERE run = ?", (run,)
            ).fetchone()
            if status == RUNNING:
                continue
            connection.executemany(
                "DELETE FROM checkpoints WHERE run = ? AND file = ?",
                [(run, one.checkpoint.file) for one in found],
            )
    for run, found in by_run.items():
        folder = run_folder(store.root, run)
        left = {checkpoint.file for checkpoint in store.checkpoints(run)}
        for one in found:
            if one.checkpoint.file not in left:
                with contextlib.suppress(OSError):
                    (folder / "checkpoints" / one.checkpoint.file).unlink()
        for path in unused_contents(folder, left):
            with contextlib.suppress(OSError):
                path.unlink()


class _Planner:
    def __init__(self, store: Store, rules: Rules, now: float | None) -> None:
        self.store = store
        self.rules = rules
        self.now = datetime.now(timezone.utc).timestamp() if now is None else now
        self.sizes: dict[tuple[int, str], int] = {}

    def plan(self) -> Removals:
        everything = {run.run: self._checkpoints(run) for run in self.store.runs()}
        total = sum(self.sizes.values())
        reasons: dict[tuple[int, str], str] = {}
        protected: set[tuple[int, str]] = set()
        ended = [run for run in self.store.runs() if run.status != RUNNING]
        if self.rules.runs is not None:
            ended = [run for run in ended if run.run in self.rules.runs]
        for run in ended:
            checkpoints = everything[run.run]
            if self.rules.keep_best is not None:
                best = self._best(run, checkpoints, *self.rules.keep_best)
                protected |= {(run.run, file) for file in best}
            why = self._reason(run)
            if why:
                for checkpoint in checkpoints:
                    reasons.setdefault((run.run, checkpoint.file), why)
        gone = self._split(everything, set(reasons) - protected)[0]
        if self.rules.max_bytes is not None:
            left = total - sum(self.sizes[key] for key in gone)
            for run in ended:  # oldest first
                if left <= self.rules.max_bytes:
                    break
                for checkpoint in everything[run.run]:
                    key = (run.run, checkpoint.file)
                    if key not in protected and key not in reasons:
                        reasons[key] = "over the size allowed"
                gone = self._split(everything, set(reasons) - protected)[0]
                left = total - sum(self.sizes[key] for key in gone)
        gone, needed = self._split(everything, set(reasons) - protected)
        return Removals(
            self._removals(everything, gone, reasons),
            self._removals(everything, needed, reasons),
            total - sum(self.sizes[key] for key in gone),
        )

    def _checkpoints(self, run: Run) -> list[Checkpoint]:
        found = self.store.checkpoints(run.run)
        for checkpoint in found:
            path = run_folder(self.store.root, run.run) / "checkpoints" / checkpoint.file
            self.sizes[run.run, checkpoint.file] = _size(path)
        return found

    def _reason(self, run: Run) -> str:
        """Why a run's checkpoints go, apart from the size of all."""
        if self.rules.older_than is not None:
            age = self.now - _ended(run, self.store)
            days = age / 86400
            return f"ended {days:.1f} days ago" if age > self.rules.older_than else ""
        if self.rules.keep_best is not None and self.rules.max_bytes is None:
            return f"not of the best by {self.rules.keep_best[0]}"
        return ""

    def _best(
        self, run: Run, checkpoints: Sequence[Checkpoint], name: str, count: int, small: bool
    ) -> set[str]:
        """Checkpoints at or before the iterations with the best values; all if there is none."""
        values = []
        for record in self.store.records_of(run.run, name):
            value = record.value
            if isinstance(value, (int, float)) and not math.isnan(value):
                values.append((value if small else -value, record.position))
        if not values:
            return {checkpoint.file for checkpoint in checkpoints}
        chosen = set()
        for _, position in sorted(values, key=lambda pair: pair[0])[:count]:
            before = [c for c in checkpoints if _before(c.position, position)]
            if before:
                chosen.add(max(before, key=lambda c: c.position).file)
        return chosen

    def _split(
        self, everything: Mapping[int, Sequence[Checkpoint]], wanted: Collection[tuple[int, str]]
    ) -> tuple[set[tuple[int, str]], set[tuple[int, str]]]:
        """Of what should go: what can, and what others that stay refer to."""
        gone: set[tuple[int, str]] = set()
        needed: set[tuple[int, str]] = set()
        for run, checkpoints in everything.items():
            here = {file for number, file in wanted if number == run}
            if not here:
                continue
            kept = [c.file for c in checkpoints if c.file not in here]
            used = self._referred(run, kept)
            gone |= {(run, file) for file in here - used}
            needed |= {(run, file) for file in here & used}
        return gone, needed

    def _referred(self, run: int, files: Iterable[str]) -> set[str]:
        return referred(run_folder(self.store.root, run), files)

    def _removals(
        self,
        everything: Mapping[int, Sequence[Checkpoint]],
        chosen: Collection[tuple[int, str]],
        reasons: Mapping[tuple[int, str], str],
    ) -> tuple[Removal, ...]:
        return tuple(
            Removal(run, c, self.sizes[run, c.file], reasons[run, c.file])
            for run, checkpoints in sorted(everything.items())
            for c in checkpoints
            if (run, c.file) in chosen
        )


def _before(head: Position, position: Position) -> bool:
    """Whether a replay can come from a loop's head to a position; loops next to it don't count."""
    for (loop, index), (other, number) in zip(head, position):
        if loop != other:
            return False
        if index != number:
            return index < number
    return len(head) <= len(position)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _ended(run: Run, store: Store) -> float:
    """When a run ended; of a killed one, when it was last heard of."""
    if run.ended:
        moment = datetime.fromisoformat(run.ended).replace(tzinfo=timezone.utc)
        return moment.timestamp()
    row = store.connection.execute(
        "SELECT max(time) FROM nodes WHERE run = ?", (run.run,)
    ).fetchone()
    if row[0] is not None:
        return float(row[0])
    started = datetime.fromisoformat(run.started).replace(tzinfo=timezone.utc) if run.started else 0
    return started.timestamp() if isinstance(started, datetime) else 0.0
