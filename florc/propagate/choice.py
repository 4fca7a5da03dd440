"""Of the slots that a statement could go to, the one it goes to; or why there is none."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from florc.propagate.fitting import Fit, Fitting
from florc.propagate.reads import Read
from florc.propagate.slots import JUMPS, Place, Slot
from florc.propagate.source import LOOPS, Block, Statement

FULL = 3.4
"""The score of a slot between the very neighbours, with the very definitions."""
LEAST = 0.3
"""Order and nearness together below which the context is taken to be gone."""
WORST = 1.2
"""The score below which no place is one."""
CLOSE = 0.04
"""Scores that are no farther apart don't decide between two places."""
GOOD = 3.0
"""Below this score, more of a difference is asked for."""
BEHIND = 0.45
"""How much worse than the best place one may be at which all names are bound."""


@dataclass(frozen=True)
class At:
    """A place that the user chose: before the statement at `line`, or behind it."""

    file: str
    line: int
    behind: bool = False


@dataclass(frozen=True)
class Choice:
    """A slot, or the reason that there is none; `culprit` is the name that stood in the way."""

    slot: Slot | None
    confidence: float = 0.0
    renames: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""
    culprit: str = ""
    weight: float = 0.0  # to compare with choices in other files


def choose(fitting: Fitting, place: Place, reads: Sequence[Read]) -> Choice:
    """The best slot of an old file."""
    slots = fitting.candidates(place)
    branch = _new_branch(fitting, place)
    if branch is not None:
        slots.append(branch)
    fits = fitting.fits(place, reads, slots)
    if not fits:
        where = place.block.unit.path
        what = f"`{where}` has no counterpart" if where else "the code around it is gone"
        return Choice(None, reason=f"context deleted: {what}", weight=-5.0)
    best = fits[0]
    fitting_here = max(fits, key=_place_score)
    possible = [f for f in fits if not f.missing and not f.foreign]
    if not possible or max(map(_place_score, possible)) < _place_score(fitting_here) - BEHIND:
        blamed = fitting_here if fitting_here.missing or fitting_here.foreign else best
        gone = _gone(fitting, place, fitting_here)
        if gone and not blamed.missing:
            return Choice(None, reason=gone, weight=fitting_here.score)
        if blamed.missing:
            reason = f"`{blamed.missing}` is not bound here"
            return Choice(None, reason=reason, culprit=blamed.missing, weight=blamed.score)
        reason = f"`{blamed.foreign}` means something else here"
        return Choice(None, reason=reason, culprit=blamed.foreign, weight=blamed.score)
    best = possible[0]
    gone = _gone(fitting, place, best)
    if gone:
        return Choice(None, reason=gone, weight=best.score)
    rival = next((f for f in possible[1:] if not _same_place(best, f, reads)), None)
    margin = CLOSE * (1 + 2 * max(0.0, GOOD - best.score))
    if rival is not None and rival.score > best.score - margin:
        lines = sorted((best.slot.line, rival.slot.line))
        reason = f"ambiguous: line {lines[0]} or {lines[1]}"
        return Choice(None, reason=reason, weight=best.score)
    return Choice(best.slot, _confidence(best, rival), dict(best.renames), weight=best.score)


def _place_score(fit: Fit) -> float:
    return 1.2 * fit.order + 0.8 * fit.near + fit.context


def _confidence(best: Fit, rival: Fit | None) -> float:
    margin = 1.0 if rival is None else min(1.0, 0.5 + (best.score - rival.score) / 0.8)
    return round(max(0.05, min(1.0, best.score / FULL)) * margin, 3)


def _gone(fitting: Fitting, place: Place, best: Fit) -> str:
    """Why even the best slot is none: what was around the statement isn't there."""
    loop = next(
        (b.owner for b in place.block.ancestors
         if b.owner and b.owner.unit is b.unit and isinstance(b.owner.node, LOOPS)),
        None,
    )  # fmt: skip
    image = fitting.alignment.statements.get(loop) if loop is not None else None
    around = {b.owner for b in best.slot.block.ancestors}
    if best.context <= -0.9:
        if loop is not None and (image is None or image not in around):
            return f"loop level absent: no counterpart of the loop in line {loop.node.lineno}"
        return "context deleted: no counterpart of the block that it is in"
    if best.order + best.near < LEAST or best.near <= 0.05 or best.score < WORST:
        if loop is not None and image is None:
            return f"loop level absent: no counterpart of the loop in line {loop.node.lineno}"
        return "context deleted: the statements around it have no counterpart"
    return ""


def _same_place(one: Fit, other: Fit, reads: Sequence[Read]) -> bool:
    """Whether only statements that don't concern the slice lie between two slots of a block."""
    a, b = sorted((one.slot, other.slot), key=lambda s: s.position)
    if a.block is not b.block:
        return False
    names = {new for new, _ in one.renames} | {read.name for read in reads}
    names |= {old for _, old in one.renames}
    return not any(
        names & _touched(s) for s in a.block.statements[a.position : b.position] if not s.log
    )


def _touched(statement: Statement) -> set[str]:
    """Names that a statement assigns; all that it mentions if it may leave the block."""
    if any(isinstance(n, JUMPS) for n in ast.walk(statement.node)):
        return {n.id for n in ast.walk(statement.node) if isinstance(n, ast.Name)}
    return {
        n.id for n in ast.walk(statement.node)
        if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)
    }  # fmt: skip


def _new_branch(fitting: Fitting, place: Place) -> Slot | None:
    """The `else` that the old version's `if` lacks because it held log statements only."""
    block = place.block
    if block.name != "orelse" or block.owner is None or place.mode != "instead":
        return None
    if any(not s.log and s is not place.statement for s in block.statements):
        return None
    image = fitting.alignment.statements.get(block.owner)
    if image is None or type(image.node) is not type(block.owner.node):
        return None
    if image.unit.source is not fitting.old or len(image.blocks) != 1:
        return None
    return Slot(Block(image, "orelse", image.unit), 0)


def forced(fitting: Fitting, place: Place, reads: Sequence[Read], at: At) -> Choice:
    """The slot that the user chose; names have to be bound there all the same."""
    slot = slot_at(fitting, at)
    if slot is None:
        return Choice(None, reason=f"no statement at {at.file}:{at.line}", weight=9.0)
    fit = fitting.fits(place, reads, [slot])[0]
    if fit.missing:
        reason = f"`{fit.missing}` is not bound here"
        return Choice(None, reason=reason, culprit=fit.missing, weight=9.0)
    return Choice(slot, 1.0, dict(fit.renames), weight=9.0)


def slot_at(fitting: Fitting, at: At) -> Slot | None:
    """The slot before (or behind) the statement at a line; past a statement: behind it."""
    statements = fitting.old.statements
    here = [s for s in statements if s.first_line <= at.line <= s.last_line and not s.is_definition]
    starting = [s for s in statements if at.line in (s.first_line, s.node.lineno)]
    if starting:
        found = starting[0]
        return Slot(found.block, found.position + at.behind)
    simple = [s for s in here if not s.blocks]
    if simple:
        return Slot(simple[0].block, simple[0].position + at.behind)
    before = [s for s in statements if s.last_line < at.line]
    if not before:
        return None
    last = max(before, key=lambda s: (s.last_line, s.index))
    return Slot(last.block, last.position + 1)
