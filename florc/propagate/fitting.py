"""How well the slots of an old file fit a place of the new version."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass

from florc.propagate.align import Alignment
from florc.propagate.bound import Bindings, free_names
from florc.propagate.reads import Read, Reader
from florc.propagate.similarity import dice
from florc.propagate.slots import WINDOW, Place, Slot, all_slots, is_docstring
from florc.propagate.source import LOOPS, Block, Source, Statement, Unit

LEAN = 0.2
"""What a blank line on one side takes from that side's weight, and gives to the other's."""
SHARED = 0.12
"""What variables that it shares with the statement on one side only give to that side."""
MOST = 0.3
"""So much the weights lean at most."""
MAIN = "if __name__ == '__main__'"


@dataclass(frozen=True)
class Fit:
    """A slot with what speaks for it."""

    slot: Slot
    score: float
    order: float  # -1 to 1: the neighbours' order, unmapped ones counting 0
    near: float  # 0 to 1: how close the nearest counterparts are
    context: float  # <= 0: loops and guards that differ
    data: float  # 0 to 1: definitions of what is read
    renames: tuple[tuple[str, str], ...]
    missing: str = ""  # a name that isn't bound there
    foreign: str = ""  # a name that means something else there


@dataclass(frozen=True)
class _Side:
    """One side of a place: the nearest counterpart, that of the block's edge, what it counts."""

    image: tuple[Statement, float] | None
    edge: tuple[Block | Unit | Statement, str, float]
    weight: float


class Fitting:
    """Scores the slots of an old file for a place of the new version."""

    def __init__(
        self, alignment: Alignment, new: Source, old: Source, new_bound: Bindings,
        old_bound: Bindings,
    ) -> None:  # fmt: skip
        self.alignment = alignment
        self.new = new
        self.old = old
        self.new_bound = new_bound
        self.old_bound = old_bound
        self.reader = Reader(alignment, new_bound, old_bound)

    # -- which slots ----------------------------------------------------------------------------

    def candidates(self, place: Place) -> list[Slot]:
        """The slots of the unit's counterpart, and of units that hold its neighbours'."""
        units: list[Unit] = []
        mapped = self.alignment.units.get(place.block.unit)
        if mapped is not None and mapped.source is self.old:
            units.append(mapped)
        for statement, _ in (*place.preceding(), *place.following()):
            image = self.alignment.statements.get(statement)
            if image is not None and image.unit.source is self.old and image.unit not in units:
                units.append(image.unit)
        klass = place.block.unit.kind == "class"
        return [
            slot for unit in units if (unit.kind == "class") == klass for slot in all_slots(unit)
            if self.old_bound.reachable(slot.block, slot.position)
        ]  # fmt: skip

    # -- how well they fit ----------------------------------------------------------------------

    def fits(self, place: Place, reads: Sequence[Read], slots: Sequence[Slot]) -> list[Fit]:
        """The slots with their scores, the best first."""
        before, after = place.preceding(), place.following()
        sides = self._sides(place)
        around = [side.image[0] for side in sides if side.image is not None]
        found = []
        for slot in slots:
            order = self._order(slot, before, after)
            near = self._near(slot, *sides)
            context = self._context(place, slot, around)
            data, renames, missing, foreign = self.reader.data(slot, reads)
            score = 1.2 * order + 0.8 * near + context + 1.5 * data
            score += 0.2 * self._beside_guard(place, slot)
            found.append(
                Fit(slot, score, order, near, context, data, renames, missing, foreign)
            )  # fmt: skip
        found.sort(key=lambda f: (-f.score, f.slot.order, f.slot.line))
        return found

    def _order(
        self, slot: Slot, before: list[tuple[Statement, float]],
        after: list[tuple[Statement, float]],
    ) -> float:  # fmt: skip
        total = score = 0.0
        for group, sign in ((before, 1), (after, -1)):
            for statement, weight in group:
                total += weight
                image = self.alignment.statements.get(statement)
                if image is None or image.unit is not slot.block.unit:
                    continue
                weight *= self.alignment.strength[statement]
                ahead = image.index < slot.order
                if sign < 0 and image.index < slot.order <= image.last:
                    ahead = True  # inside of what should follow
                if sign > 0 and image.index < slot.order <= image.last and image.blocks:
                    # Inside of what should be over: right only if the order of lines says so too.
                    ahead = slot.order > image.last
                score += weight if ahead == (sign > 0) else -weight
        return score / total if total else 0.0

    def _sides(self, place: Place) -> tuple[_Side, _Side]:
        """What is nearest before and after a place, as the old version has it."""
        before, after = place.siblings(before=True), place.siblings(before=False)
        lean = self._lean(place, before, after)
        return (
            _Side(self._image(before, deepest=True), self._edge(place, before), 0.5 + lean),
            _Side(self._image(after, deepest=False), self._edge(place, after), 0.5 - lean),
        )

    def _lean(self, place: Place, before: list[Statement], after: list[Statement]) -> float:
        """Blank lines tell whether it belongs to what is before (> 0) or after it (< 0)."""
        if not before or not after or place.mode != "instead":
            return 0.0
        lines = self.new.lines
        own = place.statement
        above = range(before[0].last_line + 1, own.first_line)
        below = range(own.last_line + 1, after[0].first_line)
        gap_above = any(not lines[n - 1].strip() for n in above)
        gap_below = any(not lines[n - 1].strip() for n in below)
        lean = LEAN * (gap_below - gap_above) + SHARED * self._affinity(place, before[0], after[0])
        return max(-MOST, min(MOST, lean))

    def _affinity(self, place: Place, before: Statement, after: Statement) -> float:
        """Whether its variables are those of what is before (1), after it (-1), or both (0)."""
        names = {
            name for name in free_names(place.statement.node)
            if self.new_bound.at(place.block, place.position, name).kind == "local"
        }  # fmt: skip
        return float(bool(names & set(before.tokens)) - bool(names & set(after.tokens)))

    def _image(
        self, statements: Sequence[Statement], *, deepest: bool
    ) -> tuple[Statement, float] | None:
        """The counterpart of the nearest of some statements that has one, with its strength."""
        strength = 1.0
        for statement in statements[:WINDOW]:
            current: Statement | None = statement
            while current is not None:
                image = self.alignment.statements.get(current)
                if image is not None:
                    return image, strength * self.alignment.strength[current]
                inner = [b for b in current.blocks if b.unit is current.unit]
                if not inner or current.is_definition:
                    break
                block = inner[-1 if deepest else 0]
                plain = [s for s in block.statements if not s.log]
                current = plain[-1 if deepest else 0] if plain else None
            strength *= 0.8
        return None

    def _edge(
        self, place: Place, siblings: list[Statement]
    ) -> tuple[Block | Unit | Statement, str, float]:
        """The counterpart of the block itself, whose beginning or end is an anchor too."""
        block = place.block
        fade = 0.5 ** len(siblings)
        owner = block.owner
        if owner is None or owner.unit is not block.unit:
            match = self.alignment.units.get(block.unit)
            return (match or block.unit, "body", fade if match else 0.0)
        image = self.alignment.statements.get(owner)
        if image is None:
            return (block, block.name, 0.0)
        for inner in image.blocks:
            if inner.name == block.name:
                return (inner, block.name, fade * self.alignment.strength[owner])
        return (image, block.name, fade * self.alignment.strength[owner])

    def _near(self, slot: Slot, before: _Side, after: _Side) -> float:
        score = 0.0
        for side, behind in ((before, True), (after, False)):
            best = 0.0
            if side.image is not None:
                image, strength = side.image
                distance = _between(slot, image, behind=behind)
                if distance is not None:
                    best = strength * 0.75**distance
            edge, name, strength = side.edge
            if strength and _is_edge(slot.block, edge, name):
                statements = slot.block.statements
                passed = statements[: slot.position] if behind else statements[slot.position :]
                count = sum(not s.log and not is_docstring(s.node) for s in passed)
                best = max(best, strength * 0.75**count)
            score += side.weight * best
        return score

    def _beside_guard(self, place: Place, slot: Slot) -> float:
        """Whether the statement before a slot is a guard much like the slice's own."""
        if not slot.position or not isinstance(place.statement.node, ast.If):
            return 0.0
        other = slot.block.statements[slot.position - 1]
        if not isinstance(other.node, ast.If) or other in self.alignment.sources:
            return 0.0
        return float(dice(place.statement.tokens, other.tokens) >= 0.7)

    def _context(self, place: Place, slot: Slot, near: Sequence[Statement]) -> float:
        """Loops, guards and other blocks around the two, compared through the alignment.

        Where code has gone into another unit (or came from there), only what is between it and
        its neighbours `near` counts.
        """
        score = 0.0
        across = self.alignment.units.get(place.block.unit) is not slot.block.unit
        theirs = {b.owner: b for b in slot.block.ancestors if b.owner and b.owner.unit is b.unit}
        explained = set()
        asked, asks = _conjuncts(slot.block), _conjuncts(place.block)
        for block in place.block.ancestors:
            owner = block.owner
            if owner is None or owner.unit is not block.unit:
                continue
            image = self.alignment.statements.get(owner)
            cost = _weight(owner, block)
            if (image is None or image not in theirs) and _within(owner, block, asked):
                score += 0.1  # `if a and b` was `if a: if b`, or will be
            elif image is None:
                score -= 0.35 * cost  # the old version has no such thing
            elif image not in theirs:
                score -= 0.0 if across and image.unit is not slot.block.unit else cost
            elif theirs[image].name != block.name:
                score -= 1.5 * cost
                explained.add(image)
            else:
                score += 0.1
                explained.add(image)
        for owner, block in theirs.items():
            if owner in explained:
                continue
            if across and any(owner.index < s.index <= owner.last for s in near):
                continue
            if _within(owner, block, asks):
                continue
            elsewhere = owner in self.alignment.sources
            score -= (1.0 if elsewhere else 0.5) * _weight(owner, block)
        return score


def _conjuncts(block: Block) -> frozenset[str]:
    """What is known to hold in a block, by the `if` around it."""
    return frozenset(
        ast.unparse(part)
        for around in block.ancestors
        if around.owner is not None and around.name == "body"
        and around.owner.unit is around.unit and isinstance(around.owner.node, ast.If)
        for part in _parts(around.owner.node.test)
    )  # fmt: skip


def _parts(test: ast.expr) -> list[ast.expr]:
    both = isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And)
    return list(test.values) if both else [test]  # type: ignore[attr-defined]


def _within(owner: Statement, block: Block, conjuncts: frozenset[str]) -> bool:
    """Whether an `if` around a block asks nothing but what these say."""
    if block.name != "body" or not isinstance(owner.node, ast.If):
        return False
    return all(ast.unparse(part) in conjuncts for part in _parts(owner.node.test))


def _is_edge(block: Block, edge: Block | Unit | Statement, name: str) -> bool:
    """Whether a block is the counterpart: itself, a unit's, or a branch that isn't there yet."""
    if isinstance(edge, Unit):
        return block in edge.body
    if isinstance(edge, Statement):
        return not block.statements and block.owner is edge and block.name == name
    return block is edge


def _between(slot: Slot, image: Statement, *, behind: bool) -> float | None:
    """How many statements lie between an anchor and a slot behind (or before) it.

    A slot in a block around the anchor's, or in one inside of it, is farther by one half for
    each level; None if the slot is on the wrong side or elsewhere.
    """
    levels = 0.0
    current = image
    while current.block is not slot.block:
        owner = current.block.owner
        if owner is None or owner.unit is not image.unit:
            return None
        siblings = current.block.statements
        edge = siblings[current.position + 1 :] if behind else siblings[: current.position]
        levels += 0.5 + sum(not s.log for s in edge)
        current = owner
    if behind:
        if slot.position <= current.position:
            return None
        passed = current.block.statements[current.position + 1 : slot.position]
    else:
        if slot.position > current.position:
            return None
        passed = current.block.statements[slot.position : current.position]
    return levels + sum(not s.log for s in passed)


def _weight(owner: Statement, block: Block) -> float:
    """What it costs to be in another block of this kind."""
    if isinstance(owner.node, LOOPS):
        return 1.0 if block.name == "body" else 0.5
    if owner.key == MAIN and block.name == "body":
        return 0.0  # always so in a script
    if isinstance(owner.node, (ast.If, ast.Match)):
        return 0.7
    if isinstance(owner.node, (ast.With, ast.AsyncWith)):
        return 0.15
    return 0.15 if block.name == "body" else 0.8
