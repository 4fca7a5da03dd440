"""What an experiment found, and how it is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Verdict:
    """What leaving one member out did."""

    member: str
    how: str
    certainty: str
    reason: str
    changed: str = ""  # "values", "output", "failed", or "": nothing
    caught: str = ""  # what noticed: "state", "values", "refused", "" nothing
    example: str = ""


@dataclass
class Finding:
    """All that was found out about one script."""

    name: str
    error: str = ""
    record_same: bool = False
    record_why: str = ""
    truth_same: bool = False
    checkpoints: int = 0
    replayed: int = 0
    exact: int = 0
    refused: list[str] = field(default_factory=list)
    inexact: list[str] = field(default_factory=list)
    false_alarms: list[str] = field(default_factory=list)
    values: int = 0
    loops: list[str] = field(default_factory=list)
    members: list[Verdict] = field(default_factory=list)
    gradients: str = ""
    seconds: float = 0.0
    only_hand: list[str] = field(default_factory=list)
    only_computed: list[str] = field(default_factory=list)


def read(data: dict[str, Any]) -> Finding:
    """A finding from JSON."""
    return Finding(**{**data, "members": [Verdict(**verdict) for verdict in data["members"]]})


def noticed(answer: Any) -> str:
    """What the replay itself said about a wrong restoration."""
    if answer is None:
        return ""
    data = answer["answer"]
    if data["state"] in ("restart", "failed") or not data["jumps"]:
        return "refused"
    kinds = ["state" if d["name"] == "state" else "values" for d in data["divergences"]]
    return ", ".join(sorted(set(kinds)))


def refusal(answer: dict[str, Any]) -> str:
    """Why a replay didn't jump, or didn't go on after the jump."""
    return str(answer["why"] or "; ".join(answer["notes"]))


def divergence(answer: dict[str, Any]) -> str:
    """The first divergence in words."""
    if not answer.get("divergences"):
        return str(answer.get("why", ""))
    first = answer["divergences"][0]
    return f"{first['place']}: {first['name']} {first['recorded'][:40]} -> {first['replayed'][:80]}"


def first_difference(wanted: Sequence[Any], got: Sequence[Any]) -> str:
    """Where two sequences part, in words."""
    for n, (w, g) in enumerate(zip(wanted, got, strict=False)):
        if w != g:
            return f"#{n}: {str(w)[:80]!r} became {str(g)[:80]!r}"
    return f"{len(wanted)} became {len(got)}"


def table(findings: Sequence[Finding]) -> str:
    """A row per script, then the members that nobody misses."""
    lines = [
        "| script | record = plain | replays exact | values | members | needed | caught "
        "| not needed here |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for f in findings:
        if f.error:
            lines.append(f"| {f.name} | {f.error.splitlines()[0][:120]} | | | | | | |")
            continue
        needed = [v for v in f.members if v.changed]
        caught = [v for v in needed if v.caught]
        idle = [v.member for v in f.members if not v.changed]
        lines.append(
            f"| {f.name} | {'yes' if f.record_same else 'NO: ' + f.record_why[:100]} "
            f"| {f.exact} of {f.replayed}{f', refused {len(f.refused)}' if f.refused else ''} "
            f"| {f.values} | {len(f.members)} | {len(needed)} | {len(caught)} | {', '.join(idle)} |"
        )
    for f in findings:
        lines += [
            f"\n### {f.name}",
            f"loops: {', '.join(f.loops)}; gradients {f.gradients}; {f.seconds} s",
        ]
        lines += [f"- ERROR {f.error}"] if f.error else []
        lines += [f"- recording differs: {f.record_why}"] if f.record_why else []
        lines += [f"- not exact: {text}" for text in f.inexact[:5]]
        lines += [f"- refused: {text}" for text in f.refused[:5]]
        lines += [f"- false alarm: {text}" for text in f.false_alarms[:5]]
        for v in f.members:
            what = f"changes {v.changed}" if v.changed else "not needed here"
            seen = (
                f"caught by {v.caught}" if v.caught else "NOT CAUGHT" if v.changed else "unnoticed"
            )
            why = f"[{v.how}, {v.certainty}: {v.reason}]"
            lines.append(f"- {v.member}: {what}, {seen} {why} {v.example[:160]}")
        if f.only_hand or f.only_computed:
            lines.append(f"- only by hand: {f.only_hand}; only computed: {f.only_computed}")
    return "\n".join(lines)
