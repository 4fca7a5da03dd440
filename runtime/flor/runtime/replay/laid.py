"""Files of a version laid out in the overlay, so that the script finds what the recorded run found.

Call it before the overlay is active.  Once iterations have been jumped over, what the run may have
written meanwhile is taken away again: reading it then is noticed as for any changed file.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Collection
from pathlib import Path

from .overlay import real


class LaidOut:
    """Copies of a version's files in the scratch, at the places where the overlay looks."""

    def __init__(self, root: Path, scratch: Path, folder: Path, paths: Collection[str]) -> None:
        self.root = os.path.realpath(root)
        self.upper = os.path.realpath(scratch) + "/files"
        self.stamps: dict[str, tuple[int, int]] = {}
        for path in paths:
            source = folder / path
            if os.path.lexists(source):
                self._lay(path, source)

    def _lay(self, path: str, source: Path) -> None:
        place = f"{self.upper}{self.root}/{path}"
        os.makedirs(os.path.dirname(place), exist_ok=True)
        shutil.copy2(source, place, follow_symlinks=False)
        status = os.lstat(place)
        self.stamps[path] = (status.st_mtime_ns, status.st_size)

    def take_away(self, started: float, known: Collection[str]) -> None:
        """Show today's files instead, where the recorded run may have written them.

        Not what the replay has changed itself, code, nor what is `known` (absolute paths).
        """
        for path, stamp in list(self.stamps.items()):
            full = f"{self.root}/{path}"
            if path.endswith(".py") or full in known:
                continue
            with contextlib.suppress(OSError):
                if real.lexists(full) and real.lstat(full).st_mtime <= started:
                    continue
            with contextlib.suppress(OSError):
                status = real.lstat(self.upper + full)
                if (status.st_mtime_ns, status.st_size) == stamp:
                    real.unlink(self.upper + full)
            del self.stamps[path]
