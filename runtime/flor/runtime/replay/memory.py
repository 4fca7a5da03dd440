"""What became of log statements in older versions, kept in `.flor/build/placed`.

A query that was answered once then needn't propagate and compile again to find that nothing is
lacking.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
from pathlib import Path
from typing import Any

LIMIT = 2_000
"""Entries; with more, the half that wasn't used for the longest time goes."""


class Memory:
    """A folder of pickles by the hash of what they were made from.  Never raises."""

    def __init__(self, root: Path) -> None:
        self.folder = root / ".flor" / "build" / "placed"

    def key(self, inputs: object) -> str:
        """A name for something made by this florc from `inputs`."""
        from florc.emit.build import fingerprint

        text = repr((fingerprint(), inputs)).encode("utf-8", "surrogatepass")
        return hashlib.sha256(text).hexdigest()[:32]

    def load(self, key: str) -> Any:
        """What was saved under a key, else None."""
        path = self.folder / f"{key}.pickle"
        try:
            value = pickle.loads(path.read_bytes())
            os.utime(path)
        except Exception:  # whatever a damaged file makes of it
            return None
        return value

    def save(self, key: str, value: object) -> None:
        """Keep it, if that can be done."""
        from florc.emit.build import replace_file

        with contextlib.suppress(Exception):
            replace_file(self.folder / f"{key}.pickle", pickle.dumps(value))
            self._evict()

    def _evict(self) -> None:
        entries = list(os.scandir(self.folder))
        if len(entries) > LIMIT:
            entries.sort(key=lambda entry: entry.stat().st_mtime)
            for entry in entries[: LIMIT // 2]:
                os.unlink(entry.path)
