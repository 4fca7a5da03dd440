"""Which process replays what."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .schedule import Position
    from .work import Work


def split(work: Iterable[Work], workers: int) -> list[tuple[Work, list[Position]]]:
    """What each process replays, in the order in which they are started.

    Each part pays for a start and the prefix: a run is split only for workers to spare.
    """
    work = list(work)
    each = workers // max(1, len(work))
    return [(one, part) for one in work for part in _parts(one, each)]


def _parts(work: Work, count: int) -> list[list[Position]]:
    """The wanted positions, split in at most `count` contiguous groups along the outermost loop."""
    positions = sorted(work.demand.positions)
    outer = sorted({p[:1] for p in positions if p})
    if count <= 1 or len(outer) < 2:
        return [positions]
    count = min(count, len(outer))
    bounds = [len(outer) * k // count for k in range(count + 1)]
    parts = []
    for low, high in pairwise(bounds):
        mine = set(outer[low:high])
        parts.append([p for p in positions if p[:1] in mine and p])
    if () in work.demand.wanted:
        parts[-1] = [(), *parts[-1]]
    return parts
