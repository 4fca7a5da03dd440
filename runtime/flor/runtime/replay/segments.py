"""Pieces of a recorded run's timeline, and what a replay does of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate, pairwise


@dataclass(frozen=True)
class Stop:
    """A checkpoint: at which head, how many heads this entry had passed before, its size."""

    index: int
    base: int
    nbytes: int


@dataclass
class Recorded:
    """A replay in terms of the recorded run."""

    prefix: float = 0.0  # seconds up to the first loop
    execute: float = 0.0  # seconds of what is executed behind it
    restored: int = 0  # bytes of checkpoints
    jumps: int = 0
    values: int = 0  # that the run has logged: a replay compares them
    iterations: int = 0  # of outermost loops
    starts: list[tuple[str, int, int]] = field(default_factory=list)
    """(loop, checkpoint or -1, iterations executed) of the outermost loops."""


@dataclass(frozen=True)
class Segment:
    """Iterations of one loop in a row: their indexes, nodes, times, and when they were over."""

    loop: str
    indexes: tuple[int, ...]
    nodes: tuple[int, ...]
    times: tuple[float, ...]
    end: float

    @cached_property
    def heads(self) -> tuple[float, ...]:
        """The times of the heads, and of the end."""
        return (*self.times, self.end)

    @cached_property
    def sums(self) -> list[float]:
        """Seconds from the first head to each of `heads`, without what ran in between."""
        return list(accumulate((b - a for a, b in pairwise(self.heads)), initial=0.0))
