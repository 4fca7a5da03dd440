"""What one compilation of a project yields: the analysis hands it over, the emitter reads it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from florc.plan import Diagnostic, Plan


@dataclass(frozen=True)
class SourceModule:
    """One module of the project.

    `text` is the decoded file with its own line endings (read with ``newline=""``), without a
    byte order mark.  `rel` is the path relative to the project root, "/" separated.
    """

    path: Path
    rel: str
    name: str
    text: str


@dataclass(frozen=True)
class Edit:
    """One change to a module's text.

    (`line`, `col`) is where the statement (kind "for" or "while") or the call to wrap (kinds
    "iterator" and "region") begins in the user's text: line from 1, column from 0 in characters.
    Several calls may begin at one place (``a(b)(c)``): `end` tells which one is meant, None the
    outermost.
    """

    rel: str
    kind: str  # "for" | "while" | "iterator" | "region"
    line: int
    col: int
    loop: str  # column name, a region's name; "" for iterator edits
    state: tuple[str, ...]
    training: bool
    end: tuple[int, int] | None = None


@dataclass(frozen=True)
class Compilation:
    """The plan (without source maps), the modules read, the edits to make and the pass dumps."""

    plan: Plan
    modules: tuple[SourceModule, ...]
    edits: tuple[Edit, ...]
    dumps: dict[str, str] = field(default_factory=dict)
    absent: tuple[str, ...] = ()  # places where modules were looked for, and nothing was
    unread: tuple[tuple[str, str], ...] = ()  # files that don't parse, with the hash of the bytes


class CompileError(Exception):
    """The project can't be compiled; `diagnostics` says why (at least one is an error)."""

    def __init__(self, *diagnostics: Diagnostic) -> None:
        super().__init__("; ".join(d.render() for d in diagnostics))
        self.diagnostics = diagnostics
