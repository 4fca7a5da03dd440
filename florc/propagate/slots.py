"""The places of the old version where a statement could go, and how well each fits."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from florc.propagate.align import Alignment
from florc.propagate.bound import Binding, Bindings, Site, free_names
from florc.propagate.calls import arguments, parameters
from florc.propagate.similarity import dice
from florc.propagate.source import LOOPS, Block, Source, Statement, Unit

WINDOW = 8
"""Statements before and after the log statement that are looked at."""
FADE = 0.7
"""What the next farther statement counts for."""
LEAN = 0.12
"""What a blank line on one side takes from that side's weight, and gives to the other's."""
_JUMPS = (ast.Return, ast.Raise, ast.Break, ast.Continue)


@dataclass(frozen=True)
class Slot:
    """The place before the statement `position` of a block (behind the last one: its length)."""

    block: Block
    position: int

    @property
    def order(self) -> int:
        """How many statements of the file come before it."""
        if self.position < len(self.block.statements):
            return self.block.statements[self.position].index
        if self.block.statements:
            return self.block.statements[-1].last + 1
        return self.block.owner.last + 1 if self.block.owner is not None else 0

    @property
    def line(self) -> int:
        """The line that it comes before."""
        if self.position < len(self.block.statements):
            return self.block.statements[self.position].first_line
        if self.block.statements:
            return self.block.statements[-1].last_line + 1
        return self.block.owner.last_line + 1 if self.block.owner is not None else 1

    def neighbours(self) -> tuple[Statement | None, Statement | None]:
        """The nearest statements of the block before and after it that are no log statements."""
        before = [s for s in self.block.statements[: self.position] if not s.log]
        after = [s for s in self.block.statements[self.position :] if not s.log]
        return (before[-1] if before else None, after[0] if after else None)


@dataclass(frozen=True)
class Read:
    """A name that a slice reads, what defines it in the new version, and what that became."""

    name: str
    binding: Binding
    images: frozenset[tuple[str, int]]  # sites of the old version, as the alignment has them
    known: int  # how many of the definitions have a counterpart
    renames: tuple[str, ...]  # other names that the mapped definitions bind, likeliest first
    onward: frozenset[tuple[str, int]] = frozenset()  # what refines the value before it is used


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


@dataclass(eq=False)
class Place:
    """Where something stands in the new version: in place of a statement, before or behind one."""

    statement: Statement
    mode: str = "instead"  # "instead", "before", "behind"

    @property
    def block(self) -> Block:
        """The block that it is in."""
        return self.statement.block

    @property
    def order(self) -> int:
        """How many statements of the file come before it."""
        return self.statement.last + 1 if self.mode == "behind" else self.statement.index

    @property
    def position(self) -> int:
        """Its position in the block."""
        return self.statement.position + (self.mode == "behind")

    def siblings(self, *, before: bool) -> list[Statement]:
        """The statements of its block on one side, the nearest first."""
        found = [s for s in self.block.statements if self._counts(s)]
        if before:
            return [s for s in found if s.index < self.order][::-1]
        return [s for s in found if s.index >= self.order]

    def preceding(self) -> list[tuple[Statement, float]]:
        """Statements before it in its unit, the nearest first, with weights."""
        here = self.statement.index
        return self._weighted(
            s for s in reversed(self.block.unit.plain)
            if s.index < self.order and self._counts(s) and not s.index < here <= s.last
        )  # fmt: skip

    def following(self) -> list[tuple[Statement, float]]:
        """Statements after it in its unit, the nearest first, with weights."""
        return self._weighted(
            s for s in self.block.unit.plain if s.index >= self.order and self._counts(s)
        )

    def _counts(self, statement: Statement) -> bool:
        return not statement.log and (statement is not self.statement or self.mode != "instead")

    def _weighted(self, statements: Iterable[Statement]) -> list[tuple[Statement, float]]:
        found = []
        rank = 0.0
        for statement in statements:
            if rank >= WINDOW:
                break
            sibling = statement.block is self.block
            found.append((statement, FADE**rank * (1.0 if sibling else 0.5)))
            rank += 1.0 if sibling else 0.5
        return found


def all_slots(unit: Unit) -> Iterator[Slot]:
    """Every place of a unit."""
    for block in unit.body:
        yield from _slots(block)
    for statement in unit.statements:
        for block in statement.blocks:
            if block.unit is unit:
                yield from _slots(block)


def _slots(block: Block) -> Iterator[Slot]:
    first = 0
    statements = block.statements
    unit_body = block.owner is None or block.owner.unit is not block.unit
    if unit_body and statements and is_docstring(statements[0].node):
        first = 1
    for number, statement in enumerate(statements):
        node = statement.node
        future = isinstance(node, ast.ImportFrom) and node.module == "__future__"
        if future or isinstance(node, (ast.Global, ast.Nonlocal)):
            first = number + 1
    if is_elif(block):
        return
    for position in range(first, len(statements) + 1):
        if position and isinstance(statements[position - 1].node, _JUMPS):
            return
        yield Slot(block, position)


def is_docstring(node: ast.stmt) -> bool:
    """Whether a statement is a string and nothing else."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(
        node.value.value, str
    )  # fmt: skip


def is_elif(block: Block) -> bool:
    """Whether a block is an `elif`, which has no place beside its one statement."""
    if block.name != "orelse" or block.owner is None or len(block.statements) != 1:
        return False
    inner, outer = block.statements[0].node, block.owner.node
    if not isinstance(inner, ast.If) or not isinstance(outer, ast.If):
        return False
    return inner.col_offset == outer.col_offset


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
        self._counterparts = set(alignment.units.values())

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
            data, renames, missing, foreign = self._data(slot, reads)
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
        return LEAN * (gap_below - gap_above) + LEAN * self._affinity(place, before[0], after[0])

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
        for block in place.block.ancestors:
            owner = block.owner
            if owner is None or owner.unit is not block.unit:
                continue
            image = self.alignment.statements.get(owner)
            cost = _weight(owner, block)
            if image is None:
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
            elsewhere = owner in self.alignment.sources
            score -= (1.0 if elsewhere else 0.5) * _weight(owner, block)
        return score

    # -- what is read ---------------------------------------------------------------------------

    def reads(self, place: Place, names: Sequence[str]) -> list[Read]:
        """What the names mean in the new version."""
        found = []
        for name in names:
            binding = self.new_bound.at(place.block, place.position, name)
            images = set()
            known = 0
            renames: dict[str, None] = {}
            for site in self._resolved(self.new_bound, binding.sites, name):
                image = self._site_image(site, name)
                if image is None:
                    continue
                known += 1
                images.add(image[0])
                if image[1] != name:
                    renames[image[1]] = None
            counts = self.alignment.votes.get(place.block.unit, {}).get(name)
            if counts:
                renames.update((n, None) for n, _ in counts.most_common(2) if n != name)
            read = Read(name, binding, frozenset(images), known, tuple(renames))
            found.append(replace(read, onward=self._onward(place, read)))
        return found

    def _onward(self, place: Place, read: Read) -> frozenset[Site]:
        """Old definitions at the next statement, if the old version refines a value before that.

        In `loss = f(x); loss += penalty; loss.backward()` the log statement of a new version
        without the second statement means the loss that is used.
        """
        if read.binding.kind != "local" or len(read.images) != 1:
            return frozenset()
        for statement in place.siblings(before=False)[:1]:
            image = self.alignment.statements.get(statement)
            if image is None or image.unit.source is not self.old:
                return frozenset()
            here = self.new_bound.at(statement.block, statement.position, read.name)
            if here.sites != read.binding.sites:
                return frozenset()
            sites = self.old_bound.at(image.block, image.position, read.name).sites
            more = sites - read.images
            if not more or any(self._source_of(site) is not None for site in more):
                return frozenset()
            if sites & read.images or all(self._refines(site, read.name) for site in more):
                return sites
        return frozenset()

    def _refines(self, site: Site, name: str) -> bool:
        if site[1] < 0:
            return False
        node = self.old.statements[site[1]].node
        if isinstance(node, ast.AugAssign):
            return True
        value = getattr(node, "value", None)
        return value is not None and name in free_names(value)

    def _resolved(self, bound: Bindings, sites: frozenset[Site], name: str) -> frozenset[Site]:
        """Definitions, with those that a caller gives for a parameter of a unit of one version."""
        found = set(sites)
        for path, index in sites:
            unit = next((u for u in bound.source.units if u.path == path), None)
            if index < 0 and unit is not None and not self._paired(unit):
                found |= arguments(bound, unit, name)
        return frozenset(found)

    def _paired(self, unit: Unit) -> bool:
        return unit in self.alignment.units or unit in self._counterparts

    def _site_image(self, site: tuple[str, int], name: str) -> tuple[tuple[str, int], str] | None:
        path, index = site
        if index < 0:  # a parameter
            unit = next((u for u in self.new.units if u.path == path), None)
            match = self.alignment.units.get(unit) if unit else None
            if unit is None or match is None or match.source is not self.old:
                return None
            other = _parameter(unit, match, name, self.alignment)
            return ((match.path, -1), other) if other else None
        statement = self.new.statements[index]
        image = self.alignment.statements.get(statement)
        if image is None or image.unit.source is not self.old:
            return None
        return (image.unit.path, image.index), _bound_as(statement, image, name)

    def _data(
        self, slot: Slot, reads: Sequence[Read]
    ) -> tuple[float, tuple[tuple[str, str], ...], str, str]:
        """Agreement of the definitions; renames; a name that is missing; one that is another's."""
        if not reads:
            return 0.6, (), "", ""
        total = weight = 0.0
        renames = []
        missing = foreign = ""
        for read in reads:
            if read.binding.kind == "builtin":
                if self.old_bound.at(slot.block, slot.position, read.name).kind != "builtin":
                    foreign = foreign or read.name
                continue
            name, agreement = self._agreement(slot, read)
            important = 1.0 if read.binding.kind == "local" else 0.4
            weight += important
            if name is None:
                missing = missing or read.name
                continue
            if agreement <= 0:
                foreign = foreign or read.name
            total += important * max(agreement, 0.0)
            if name != read.name:
                renames.append((read.name, name))
        return (total / weight if weight else 0.6), tuple(renames), missing, foreign

    def _agreement(self, slot: Slot, read: Read) -> tuple[str | None, float]:
        """The name to read at a slot, and how far its definitions are the same ones (0 to 1)."""
        here = self.old_bound.at(slot.block, slot.position, read.name)
        if here.bound:
            return read.name, self._same(slot, read, here, read.name)
        for name in read.renames:
            there = self.old_bound.at(slot.block, slot.position, name)
            if there.sites & read.images:
                return name, self._same(slot, read, there, name)
        return None, 0.0

    def _same(self, slot: Slot, read: Read, here: Binding, name: str) -> float:
        if any(index < 0 for _, index in here.sites):
            sites = self._resolved(self.old_bound, here.sites, name)
            if sites & read.images:
                here = Binding(here.kind, sites & read.images, here.definite)
        if here.kind == "builtin":
            return 0.0
        if here.kind == "star":
            return 0.5 if read.binding.kind == "star" else -1.0
        scale = 0.5 if read.binding.definite and not here.definite else 1.0
        if read.onward and here.sites == read.onward:
            return scale
        if here.sites & read.images and read.onward:
            return scale * 0.7
        if here.sites & read.images:
            union = here.sites | read.images
            lost = len(read.binding.sites) - read.known
            share = len(here.sites & read.images) / (len(union) + 0.5 * lost)
            return scale * (0.5 + 0.5 * share)
        if self._imported(here) and self._imports(read):
            return scale * 0.9
        # None of the old definitions has a counterpart that reaches the new place.
        strangers = [s for s in here.sites if self._source_of(s) is not None]
        if read.known and len(strangers) == len(here.sites):
            return -1.0 if read.binding.kind == "local" and here.kind == "local" else 0.3
        if len(strangers) == len(here.sites):
            return 0.15
        return scale * (0.35 if read.known else 0.6)

    def _source_of(self, site: tuple[str, int]) -> Statement | None:
        if site[1] < 0:
            return None
        return self.alignment.sources.get(self.old.statements[site[1]])

    def _imported(self, binding: Binding) -> bool:
        return any(
            i >= 0 and isinstance(self.old.statements[i].node, (ast.Import, ast.ImportFrom))
            for _, i in binding.sites
        )

    def _imports(self, read: Read) -> bool:
        return any(
            i >= 0 and isinstance(self.new.statements[i].node, (ast.Import, ast.ImportFrom))
            for _, i in read.binding.sites
        )


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
    if isinstance(owner.node, (ast.If, ast.Match)):
        return 0.7
    if isinstance(owner.node, (ast.With, ast.AsyncWith)):
        return 0.15
    return 0.15 if block.name == "body" else 0.8


def _parameter(unit: Unit, match: Unit, name: str, alignment: Alignment) -> str | None:
    """What a parameter is called in the unit's counterpart."""
    if unit.kind != "function" or match.kind != "function":
        return None
    theirs = parameters(match.node)
    if name in theirs:
        return name
    mine = parameters(unit.node)
    votes = alignment.votes.get(unit, {}).get(name)
    if votes:
        best = votes.most_common(1)[0][0]
        if best in theirs and best not in mine:
            return best
    if len(mine) == len(theirs) and name in mine:
        other = theirs[mine.index(name)]
        return other if other not in mine else None
    return None


def _bound_as(new: Statement, old: Statement, name: str) -> str:
    """The name that the counterpart of a definition of `name` binds."""
    from florc.propagate.align import name_pairs

    if new.is_definition and old.is_definition:
        return str(getattr(old.node, "name", name))
    theirs = _stored(old.node)
    if name in theirs:
        return name
    for one, other in name_pairs(new.node, old.node):
        if one == name and other in theirs:
            return other
    mine = _stored(new.node)
    if len(mine) == len(theirs) and name in mine:
        return theirs[mine.index(name)]
    return name


def _stored(node: ast.stmt) -> list[str]:
    """The names that a statement's header binds, in order."""
    found: list[str] = []
    parts: list[ast.AST] = [node]
    while parts:
        part = parts.pop(0)
        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
            found.append(part.id)
        elif isinstance(part, ast.alias):
            found.append(part.asname or part.name.partition(".")[0])
        parts = [
            c for c in ast.iter_child_nodes(part)
            if not isinstance(c, (ast.stmt, ast.ExceptHandler, ast.match_case))
        ] + parts  # fmt: skip
    return list(dict.fromkeys(found))
