"""What a replay is expected to take: recorded seconds, corrected by what replays took before.

A component of a replay (its start, the script up to its loops, restoring, executing) has a *base*:
what it would take by what was recorded.  The expected time is the base times a correction: the
median of took / base of earlier replays, in which each is weighed by how long ago it was and by how
much it tells.  It is looked for on this machine, for runs recorded on the same host: of the script
with as many processes at once; without any, of the script, then of all scripts.
"""

from __future__ import annotations

import heapq
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..store.costs import Observation
    from .timeline import Recorded

COMPONENTS = ("start", "prefix", "restore", "execute")
TOTAL = "total"
"""Component of the observation of a whole replay."""
START = 0.8
"""Seconds from a worker's start to the script's first line, and from its last value to its end."""
PER_VALUE = 8e-6
"""Seconds to read a recorded value, with which a replayed one is compared."""
PER_JUMP = 0.01
BANDWIDTH = 1e9
"""Bytes of a checkpoint that are restored in a second."""
DECAY = 0.8
"""The weight of a replay against that of the next one."""
SHORT = 0.05
"""A component of so many seconds weighs half as much as a long one."""
PRIOR = 0.3
"""Weight of what is known from elsewhere."""


@dataclass(frozen=True)
class Where:
    """To which observations a replay is compared."""

    origin: str  # the host on which the run was recorded
    script: str
    workers: int = 1  # at once


@dataclass(frozen=True)
class Parts:
    """Seconds of the components of one or more replays."""

    start: float = 0.0
    prefix: float = 0.0
    restore: float = 0.0
    execute: float = 0.0

    @property
    def seconds(self) -> float:
        """All of them."""
        return self.start + self.prefix + self.restore + self.execute

    def __add__(self, other: Parts) -> Parts:
        return Parts(*(getattr(self, c) + getattr(other, c) for c in COMPONENTS))

    def __str__(self) -> str:
        return (
            f"start {self.start:.1f} s, up to the loops {self.prefix:.1f} s, "
            f"checkpoints {self.restore:.1f} s, iterations {self.execute:.1f} s"
        )


def base(recorded: Recorded) -> Parts:
    """The components by what was recorded, uncorrected."""
    return Parts(
        START + PER_VALUE * recorded.values,
        recorded.prefix,
        PER_JUMP * recorded.jumps + recorded.restored / BANDWIDTH,
        recorded.execute,
    )


@dataclass
class Corrections:
    """The factors for one machine, from what replays on it took."""

    observations: Sequence[Observation] = ()
    processors: int = 1
    _known: dict[tuple[str, Where], float] = field(default_factory=dict)

    def corrected(self, parts: Parts, where: Where) -> Parts:
        """The expected seconds."""
        return Parts(*(getattr(parts, c) * self.factor(c, where) for c in COMPONENTS))

    def factor(self, component: str, where: Where) -> float:
        """The correction of a component."""
        key = (component, where)
        if key not in self._known:
            self._known[key] = self._factor(component, where)
        return self._known[key]

    def _factor(self, component: str, where: Where) -> float:
        slower = self._slowdown(where.workers)
        seen = [
            each
            for each in self.observations
            if each.component == component and each.origin == where.origin and each.base > 0
        ]
        mine = [each for each in seen if each.script == where.script]
        # Of each level, from the general to the special, the next one is a refinement.
        found = 1.0
        for level in (seen, mine):
            found = _median(level, found, [self._slowdown(each.workers) for each in level])
        beside = [each for each in mine if each.workers == where.workers]
        return _median(beside, found * slower, [1.0] * len(beside))

    def _slowdown(self, workers: int) -> float:
        """By how much processes are in each other's way, before it is known."""
        return max(1.0, workers / self.processors)

    def replays(self, where: Where) -> int:
        """How many replays of the script the corrections are from."""
        return sum(
            each.component == "execute"
            and (each.origin, each.script) == (where.origin, where.script)
            for each in self.observations
        )


def _median(seen: Sequence[Observation], prior: float, slowdowns: Sequence[float]) -> float:
    """The weighted median of took / base, with a prior."""
    weighted = [(prior, PRIOR)]
    weight = 1.0
    for each, slowdown in zip(reversed(seen), reversed(slowdowns)):
        ratio = each.took / each.base / slowdown
        weighted.append((ratio, weight * each.base / (each.base + SHORT)))
        weight *= DECAY
    return weighted_median(weighted)


def weighted_median(weighted: Iterable[tuple[float, float]]) -> float:
    """The value at which half of the weight is reached; between two values, the middle."""
    ordered = sorted(weighted)
    half = sum(weight for _, weight in ordered) / 2
    passed = 0.0
    for number, (value, weight) in enumerate(ordered):
        passed += weight
        if passed > half:
            return value
        if passed == half and number + 1 < len(ordered):
            return (value + ordered[number + 1][0]) / 2
    return ordered[-1][0]


def makespan(jobs: Iterable[float], workers: int) -> float:
    """When the last of some jobs is done: each is begun, in order, as soon as there is room."""
    free = [0.0] * max(1, workers)
    for seconds in jobs:
        heapq.heapreplace(free, free[0] + seconds)
    return max(free)


def machine() -> str:
    """A name for the machine that replays."""
    return f"{platform.node()}/{processors()}"


def processors() -> int:
    """How many of the machine's processors this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1
