"""Whether regions change what the analysis says that they don't: looked at now and then.

The frame that calls a region, and the globals of its module, are fingerprinted before and after, at
the region's first execution, its second, its fourth and so on, as long as that takes next to none
of the run's time.  What has changed all the same means that the region is never skipped.
"""

from __future__ import annotations

import time
from types import BuiltinFunctionType, FrameType, FunctionType, ModuleType
from typing import Any

from ..checkpoint import paths
from ..checkpoint.fingerprint import fingerprint, hash_slices

Prints = dict[str, tuple[Any, ...]]

_CODE = (ModuleType, type, FunctionType, BuiltinFunctionType)


class Audit:
    """Fingerprints of frames, within a share of the run's time."""

    share = 0.003
    grace = 0.1
    """Seconds that may go into it in any case."""
    most = 1 << 27
    """Bytes of tensors and arrays that are hashed at once."""

    def __init__(self, sinks: tuple[str, ...]) -> None:
        self.sinks = sinks
        self.spent = 0.0
        self.started = time.perf_counter()

    def due(self, run: int) -> bool:
        """Whether a region is to be looked at that was executed `run` times before."""
        return not run & (run + 1) and self._left(time.perf_counter()) > 0

    def _left(self, now: float) -> float:
        """Seconds that may still go into it."""
        return self.grace + self.share * (now - self.started) - self.spent

    def look(self, frame: FrameType, again: Prints | None = None) -> Prints:
        """The prints of what a frame sees, by name: as time allows, or of the same as before."""
        begun = time.perf_counter()
        until = begun + self._left(begun) / 2  # the second look takes as long
        local = paths.local_names(frame)
        try:
            seen = {**local, **{k: v for k, v in frame.f_globals.items() if k not in local}}
            left = self.most
            found: Prints = {}
            for name, value in seen.items():
                if isinstance(value, _CODE) or name.startswith("__"):
                    continue
                if name not in again if again is not None else time.perf_counter() > until:
                    continue
                made = fingerprint(value, sinks=self.sinks)
                size = sum(block.nbytes for block in made.blocks)
                hashes: list[int] = []
                if size <= left:
                    left -= size
                    places = [(b, n) for b in made.blocks for n in range(b.slices())]
                    hashes = hash_slices(places)
                found[name] = (id(value), made.structure, *hashes)
            return found
        finally:
            paths.forget(frame, local)
            self.spent += time.perf_counter() - begun


def changed(before: Prints, after: Prints) -> str:
    """A name that leads to something else than before; "" if none does."""
    return next((name for name in before if before[name] != after.get(name)), "")
