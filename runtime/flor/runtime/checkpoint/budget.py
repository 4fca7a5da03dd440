"""When to checkpoint: as often as a share of the run's time allows."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

BACKGROUND_WEIGHT = 0.5
"""What a second of background work costs the training, in seconds."""
INNER_INTERVAL = 10.0
"""Seconds since the last checkpoint before an inner loop's head is considered."""
FREE_BYTES = 1 << 30
BYTES_PER_SECOND = 50e6
"""After the first GiB a run may store this much a second on average."""
OPTIMISTIC_COST = 0.005
"""Assumed cost in seconds of the first snapshot."""
_WARM_UP = 0.0


class Budget:
    """Keeps blocking time plus half the background time within `epsilon` of the elapsed time.

    Deterministic given `clock` (seconds).  `persisted` may be called from another thread.
    """

    def __init__(
        self, epsilon: float = 0.05, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        if not epsilon >= 0:
            raise ValueError("epsilon must not be negative")
        self.epsilon = epsilon
        self._clock = clock
        self._start = clock()
        self._paused = 0.0
        self._lock = threading.Lock()
        self._cost = 0.0  # seconds charged so far
        self._bytes = 0
        self._taken = 0
        self._persisted = 0
        self._last: float | None = None
        self._blocking = 0.0  # estimates for the next snapshot
        self._background = 0.0
        self._size = 0.0

    def due(self, depth: int, now: float | None = None) -> bool:
        """Whether a snapshot may be taken at a head; `depth` 0 is the outermost training loop."""
        now = self._clock() if now is None else now
        with self._lock:
            elapsed = now - self._start - self._paused
            if depth > 0 and self._last is not None and now - self._last < INNER_INTERVAL:
                return False
            if depth > 0 and self._last is None and elapsed < INNER_INTERVAL:
                return False
            if self.epsilon == 0:
                return False
            if self._bytes + self._size > FREE_BYTES + BYTES_PER_SECOND * max(elapsed, 0.0):
                return False
            if not self._taken:
                return True  # the first one is always worth it: without it nothing can be skipped
            return self._cost + self._estimate() <= self.epsilon * elapsed

    def spent(self, seconds: float, nbytes: int) -> None:
        """A snapshot of `nbytes` bytes was taken and blocked the training for `seconds`."""
        with self._lock:
            first = self._taken <= 1  # the first one allocates the arena: no guide to the next
            self._blocking = seconds if first else 0.5 * (self._blocking + seconds)
            if not self._persisted:
                self._size = float(nbytes)
            self._cost += seconds
            self._taken += 1
            self._last = self._clock()

    def persisted(self, seconds: float, stored: int) -> None:
        """The background thread took `seconds` to store `stored` bytes."""
        with self._lock:
            mean = 0.5 if self._persisted else 1.0
            self._background += mean * (seconds - self._background)
            self._size += mean * (stored - self._size)
            self._cost += BACKGROUND_WEIGHT * seconds
            self._bytes += stored
            self._persisted += 1

    def paused(self, seconds: float) -> None:
        """Do not count the last `seconds` as training time."""
        with self._lock:
            self._paused += seconds

    def _estimate(self) -> float:
        known = self._blocking + BACKGROUND_WEIGHT * self._background
        return known if known > 0 else OPTIMISTIC_COST
