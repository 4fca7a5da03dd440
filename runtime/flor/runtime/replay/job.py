"""What the parent tells a worker, and what the worker answers: two JSON files."""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .schedule import Position

RESTART = 75
"""Exit code of a worker that must be started again; its answer says how."""
EXIT_ANSWERED = 0


def position_of(data: list[list[Any]]) -> Position:
    """A position from JSON."""
    return tuple((str(loop), int(index)) for loop, index in data)


@dataclass
class Job:
    """One run's replay, or a part of it."""

    root: str
    run: int
    script: str  # today's script, absolute
    module: str | None
    argv: list[str]
    cwd: str
    wanted: list[tuple[Position, list[str]]]  # position, hindsight names there
    to_the_end: bool  # something behind the loops is wanted
    outside: list[str]  # hindsight names outside of all loops
    before: list[str]  # outside names are all logged before these loops start ([]: unknown)
    started: float
    status: str  # of the recorded run
    horizon: dict[str, int] | None  # last index of each outermost loop, if the run never finished
    jumps: bool
    banned: list[str]
    scratch: str
    answer: str
    quiet: bool = False
    skip: bool = True  # regions from which nothing is wanted
    ended: float = 0.0  # of the recorded run; 0.0: not known
    folder: str = ""  # where the version's files are that `laid` names
    past: bool = False  # the code is the version's, not today's
    laid: list[str] = field(default_factory=list)  # relative to the root
    hidden: list[str] = field(default_factory=list)  # modules that the version had not
    parent: int = -1  # a pipe that ends when the parent does

    def write(self, path: Path) -> None:
        """As JSON."""
        path.write_text(json.dumps(dataclasses.asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Job:
        """From JSON."""
        data = json.loads(path.read_text(encoding="utf-8"))
        data["wanted"] = [(position_of(p), names) for p, names in data["wanted"]]
        return cls(**data)


@dataclass
class Divergence:
    """A value or a state that came out differently."""

    position: Position
    place: str  # the position in words, with the counters' values
    name: str
    recorded: str
    replayed: str


@dataclass
class Answer:
    """How a worker's work ended."""

    state: str  # "done" | "failed" | "restart"
    why: str = ""
    ban: list[str] = field(default_factory=list)  # checkpoints not to be used
    no_jumps: bool = False
    done: list[Position] = field(default_factory=list)
    outside_done: bool = False
    divergences: list[Divergence] = field(default_factory=list)
    divergence_count: int = 0
    compared: int = 0  # values and states found equal or not
    notes: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)  # inputs that are newer than the run
    jumps: list[Position] = field(default_factory=list)
    executed: int = 0  # iterations of training loops
    answered: int = 0  # iterations whose log slices the next head's state answered
    stored: int = 0  # hindsight values
    skipped: dict[str, int] = field(default_factory=dict)  # call of a region -> how often
    times: dict[str, float] = field(default_factory=dict)  # seconds of components, see clock.py

    def write(self, path: Path) -> None:
        """As JSON, atomically."""
        scratch = path.with_suffix(".part")
        scratch.write_text(json.dumps(dataclasses.asdict(self)), encoding="utf-8")
        os.replace(scratch, path)

    @classmethod
    def read(cls, path: Path) -> Answer:
        """From JSON."""
        data = json.loads(path.read_text(encoding="utf-8"))
        for key in ("done", "jumps"):
            data[key] = [position_of(p) for p in data[key]]
        data["divergences"] = [
            Divergence(**{**d, "position": position_of(d["position"])}) for d in data["divergences"]
        ]
        return cls(**data)
