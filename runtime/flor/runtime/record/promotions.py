"""Roots that the record run found changed against the analysis, as the run keeps them.

`runs/RUN/check.json` holds them: a replay reads it, and `florc effects --suggest`.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from florc.plan import LoopPlan, Plan

FILE = "check.json"
FORMAT = 1
STREAM = "stream"
"""`how` of a random stream that is drawn from, though the plan says it isn't."""


@dataclass(frozen=True)
class Promotion:
    """A root of a loop that is saved from some checkpoint on, though the plan has it not."""

    loop: str
    path: str  # as of a member; the stream's name if `how` says so
    how: str  # "mutated" | "rebound" | "stream"
    file: str
    line: int
    after: int  # checkpoints that the run had taken before; they don't hold the root
    position: tuple[tuple[str, int], ...] = ()  # of the head where it was noticed
    suspects: tuple[dict[str, Any], ...] = ()  # as of the plan's claim
    guarded: bool = False  # not changed unseen: a loop that its absence counted on didn't run


@dataclass
class Report:
    """What a run's check found, and how much it looked at."""

    promotions: list[Promotion] = field(default_factory=list)
    roots: int = 0
    looks: int = 0
    seconds: float = 0.0
    not_checked: dict[str, str] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """As JSON, atomically.  Raises OSError."""
        data = {"format": FORMAT, **dataclasses.asdict(self)}
        scratch = folder / f".{FILE}.part"
        folder.mkdir(parents=True, exist_ok=True)
        scratch.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
        os.replace(scratch, folder / FILE)

    @classmethod
    def read(cls, folder: Path) -> Report:
        """A run's report; an empty one if it has none.  Raises ValueError if it is of no use."""
        try:
            data = json.loads((folder / FILE).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return cls()
        except OSError as error:
            raise ValueError(f"{folder / FILE} can't be read: {error.strerror}") from None
        if not isinstance(data, dict) or data.get("format", 0) > FORMAT:
            raise ValueError(f"{folder / FILE} is of a newer format")
        found = [
            Promotion(
                **{
                    **entry,
                    "position": tuple((loop, index) for loop, index in entry["position"]),
                    "suspects": tuple(entry["suspects"]),
                }
            )
            for entry in data.pop("promotions")
        ]
        del data["format"]
        return cls(found, **data)


def extended(loop: LoopPlan, promotions: Iterable[Promotion]) -> LoopPlan:
    """A loop's plan with promoted roots among its members, and streams among those drawn."""
    from florc.plan import Member

    known = {member.path for member in loop.state}
    members, streams = list(loop.state), set(loop.rng)
    for each in promotions:
        if each.loop != loop.name:
            continue
        if each.how == STREAM:
            streams.add(each.path)
        elif each.path not in known:
            known.add(each.path)
            reason = "it was found changed while recording"
            members.append(Member(each.path, each.how, "assumed", reason, each.line))
    excluded = tuple(e for e in loop.excluded if e.path not in known)
    rng = tuple(sorted(streams))
    return replace(loop, state=tuple(members), excluded=excluded, rng=rng)


def extended_plan(plan: Plan, promotions: Sequence[Promotion]) -> Plan:
    """A plan with what a run has promoted."""
    if not promotions:
        return plan
    return replace(plan, loops=tuple(extended(loop, promotions) for loop in plan.loops))


def number_of(file: str) -> int:
    """The number in a checkpoint's file name: the how manieth of its run it is."""
    number = file.partition("-")[0]
    return int(number) if number.isdigit() else 0


def lacking(
    promotions: Iterable[Promotion], loop: str, position: Sequence[tuple[str, int]], file: str
) -> list[str]:
    """Promoted roots that a checkpoint should hold and doesn't, as it was taken before.

    The first head of an outermost loop needs none: the loop has changed nothing yet.
    """
    if len(position) == 1 and position[0][1] == 0:
        return []
    number = number_of(file)
    return [
        each.path
        for each in promotions
        if each.loop == loop and each.how != STREAM and number <= each.after
    ]
