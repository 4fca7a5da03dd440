"""What the parts of a worker's time are: up to the loops, restoring, executing."""

from __future__ import annotations

import time
from collections.abc import Callable


class Stopwatch:
    """Follows one worker process.  `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.clock = clock
        self.restored = 0.0  # seconds
        self._script: float | None = None
        self._loops: float | None = None

    def script(self) -> None:
        """The script's first line runs now."""
        self._script = self.clock()

    def looping(self) -> None:
        """A loop's head or iteration: the first one ends the prefix."""
        if self._loops is None:
            self._loops = self.clock()

    def restoring(self, begun: float) -> None:
        """Time since `begun` went into a checkpoint."""
        self.restored += self.clock() - begun

    def parts(self) -> dict[str, float]:
        """Seconds of each component up to now; the rest of the process's life is its start."""
        if self._script is None:
            return {}
        now = self.clock()
        loops = now if self._loops is None else self._loops
        return {
            "prefix": loops - self._script,
            "restore": self.restored,
            "execute": max(0.0, now - loops - self.restored),
        }
