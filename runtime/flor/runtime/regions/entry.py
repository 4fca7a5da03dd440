"""What is kept of one execution of a region, as bytes for the store."""

from __future__ import annotations

import io
import pickle
from dataclasses import dataclass
from typing import Any

from .streams import Change

FORMAT = 1
NEVER = -1
"""The number of an entry that says: this region is never to be skipped."""


@dataclass(frozen=True)
class Entry:
    """What an execution of a region left behind."""

    streams: dict[str, Change]  # random streams that it moved
    heads: dict[str, int]  # counts of loops and regions below the position, where they changed
    logged: dict[str, int]  # name -> values logged at the position itself
    watch: tuple[str, ...]  # paths that led to its modules
    modules: int  # how many there were
    modes: dict[int, bool]  # number of a module -> the mode it was left in
    result: bytes  # see plain.py; of a result that somebody sees

    def to_bytes(self) -> bytes:
        """The entry for the store."""
        fields = (
            self.streams, self.heads, self.logged, self.watch, self.modules, self.modes, self.result
        )  # fmt: skip
        return pickle.dumps((FORMAT, *fields), protocol=4)

    @classmethod
    def from_bytes(cls, data: bytes) -> Entry | None:
        """What `to_bytes` gave; None for another format."""
        try:
            version, *fields = _Plain(io.BytesIO(data)).load()
            return cls(*fields) if version == FORMAT else None
        except (pickle.UnpicklingError, EOFError, TypeError, ValueError):
            return None


class _Plain(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"{module}.{name} in an entry")
