"""What `Store` hands out: one frozen dataclass per kind of row."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from .positions import Position

if TYPE_CHECKING:
    from .column import Column

Coordinates = tuple[tuple[str, int, Any], ...]


@dataclass(frozen=True)
class Run:
    """One recorded run.  `started` and `ended` are UTC text, sortable."""

    run: int
    script: str | None = None
    argv: tuple[str, ...] = ()
    args: dict[str, Any] = field(default_factory=dict)
    started: str | None = None
    ended: str | None = None
    status: str | None = None
    exit_code: int | None = None
    version: str | None = None
    branch: str | None = None
    commit_sha: str | None = None
    dirty: bool | None = None
    dirty_diff: str | None = None
    cwd: str | None = None
    host: str | None = None
    pid: int | None = None
    python: str | None = None
    env: dict[str, str] = field(default_factory=dict)
    packages: dict[str, str] = field(default_factory=dict)
    budget: float | None = None
    dropped: int = 0
    note: str | None = None

    @property
    def module(self) -> str | None:
        """The module that was run (`-m`), None of a script."""
        return self.argv[1] if self.argv[:1] == ("-m",) and len(self.argv) > 1 else None


@dataclass(frozen=True)
class Record:
    """One logged value.  `source` is "record" or "replay", `time` seconds since the epoch."""

    name: str
    position: Position
    ordinal: int
    value: Any
    source: str
    stmt: str | None
    time: float


@dataclass(frozen=True)
class Iteration:
    """One iteration of an instrumented loop."""

    position: Position
    coordinates: Coordinates
    time: float | None


@dataclass(frozen=True)
class Checkpoint:
    """One published checkpoint, taken at the head of the iteration `position` of `loop`."""

    loop: str
    position: Position
    coordinates: Coordinates
    file: str
    nbytes: int
    stored: int
    persist_s: float
    checksum: str
    time: float


@dataclass
class Answer:
    """A query's answer: names, and values as `rows` or as `columns`, whichever was found."""

    names: list[str]
    rows: list[tuple[Any, ...]] | None = None
    columns: list[Column] | None = None

    def __len__(self) -> int:
        if self.rows is not None:
            return len(self.rows)
        return len(self.columns[0]) if self.columns else 0

    def table(self) -> tuple[list[str], list[tuple[Any, ...]]]:
        """The answer as rows."""
        if self.rows is None:
            self.rows = list(zip(*(column.to_list() for column in self.columns or ())))
        return self.names, self.rows


def seconds(text: str | None) -> float:
    """Epoch seconds of the store's UTC text; 0.0 without one."""
    if not text:
        return 0.0
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc).timestamp()


def unique(columns: Iterable[str]) -> list[str]:
    """Two columns of one name can't both be keys: the second is called NAME_2."""
    names: dict[str, None] = {}
    for column in columns:
        name, n = column, 2
        while name in names:
            name, n = f"{column}_{n}", n + 1
        names[name] = None
    return list(names)
