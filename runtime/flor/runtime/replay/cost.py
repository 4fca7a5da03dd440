"""What a replay is expected to take: recorded seconds, corrected by what replays took before.

A component of a replay (its start, the script up to its loops, restoring, executing) has a *base*:
what it would take by what was recorded.  The expected time is the base times a correction: the
weighted median of took / base of earlier replays on this machine, of runs recorded on the same
host.  A replay weighs less the longer ago it was, the shorter it was, and if it was of another run,
of another script, or with another number of processes at once.
"""

from __future__ import annotations

import heapq
import os
import platform
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..store.costs import Observation
    from .segments import Recorded

COMPONENTS = ("start", "prefix", "restore", "execute")
TOTAL = "total"
"""Component of the observation of a whole replay."""
START = 1.2
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
PRIOR = 0.2
"""Weight of what was recorded, as it is."""
ANOTHER = 0.4
"""Weight of a replay of another run, or with another number of processes."""
ELSEWHERE = {"start": 1.0, "prefix": 0.3, "restore": 1.0, "execute": 0.3}
"""Weight of a replay of another script."""


@dataclass(frozen=True)
class Where:
    """To which observations a replay is compared."""

    origin: str  # the host on which the run was recorded
    script: str
    run: int = 0
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
        weighted = [(self._slowdown(where.workers), PRIOR)]
        ages: Counter[tuple[bool, bool, bool]] = Counter()
        for each in reversed(self.observations):
            if each.component != component or each.origin != where.origin or each.base <= 0:
                continue
            script, beside = each.script == where.script, each.workers == where.workers
            alike = (script, script and each.run == where.run, beside)
            weight = DECAY ** ages[alike] * each.base / (each.base + SHORT)
            ages[alike] += 1
            for same, less in zip(alike, (ELSEWHERE[component], ANOTHER, ANOTHER)):
                weight *= 1.0 if same else less
            slower = self._slowdown(where.workers) / self._slowdown(each.workers)
            weighted.append((each.took / each.base * (1.0 if beside else slower), weight))
        return weighted_median(weighted)

    def _slowdown(self, workers: int) -> float:
        """By how much processes are in each other's way, before it is known."""
        return max(1.0, workers / self.processors)

    def replays(self, place: tuple[str, str]) -> int:
        """How many replays of a script (origin, script) are known."""
        return sum(
            each.component == "execute" and (each.origin, each.script) == place
            for each in self.observations
        )


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
