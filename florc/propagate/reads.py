"""What a slice reads: the definitions in the new version, and how well a slot's agree with them."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass, replace

from florc.propagate.align import Alignment, name_pairs
from florc.propagate.bound import Binding, Bindings, Site, free_names
from florc.propagate.calls import arguments, parameters
from florc.propagate.slots import Place, Slot
from florc.propagate.source import Statement, Unit

AHEAD = 3
"""So many statements behind a place are looked at for what it belongs to."""


@dataclass(frozen=True)
class Read:
    """A name that a slice reads, what defines it in the new version, and what that became."""

    name: str
    binding: Binding
    images: frozenset[tuple[str, int]]  # sites of the old version, as the alignment has them
    known: int  # how many of the definitions have a counterpart
    renames: tuple[str, ...]  # other names that the mapped definitions bind, likeliest first
    onward: frozenset[tuple[str, int]] = frozenset()  # what refines the value before it is used


class Reader:
    """Compares definitions in two files."""

    def __init__(self, alignment: Alignment, new_bound: Bindings, old_bound: Bindings) -> None:
        self.alignment = alignment
        self.new_bound = new_bound
        self.old_bound = old_bound
        self.new = new_bound.source
        self.old = old_bound.source
        self._counterparts = set(alignment.units.values())

    def reads(self, place: Place, names: Sequence[str]) -> list[Read]:
        """What the names mean in the new version."""
        found = []
        for name in names:
            binding = self.new_bound.at(place.block, place.position, name)
            images = set()
            known = 0
            renames: dict[str, None] = {}
            for site in self._resolved(self.new_bound, binding.sites, name):
                image = self._site_image(site, name) or self._before(site, name)
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

    def _before(self, site: Site, name: str) -> tuple[Site, str] | None:
        """The counterpart of what a statement refines that only the new version has.

        In `net = Net(); net = net.to(device)` the old version's `net` is that of the first one.
        """
        seen = {site}
        while site[1] >= 0 and self.new.statements[site[1]] not in self.alignment.statements:
            statement = self.new.statements[site[1]]
            if not _refines(statement.node, name):
                return None
            sites = self.new_bound.at(statement.block, statement.position, name).sites
            if len(sites) != 1 or sites <= seen:
                return None
            (site,) = sites
            seen.add(site)
        return self._site_image(site, name)

    def _onward(self, place: Place, read: Read) -> frozenset[Site]:
        """Old definitions at the next statement, if the old version refines a value before that.

        In `loss = f(x); loss += penalty; loss.backward()` the log statement of a new version
        without the second statement means the loss that is used.  So it does if the new version's
        `f` has that statement now.
        """
        if read.binding.kind != "local" or len(read.images) != 1:
            return frozenset()
        for statement in place.siblings(before=False)[:AHEAD]:
            image = self.alignment.statements.get(statement)
            if image is None:
                continue
            if image.unit.source is not self.old:
                return frozenset()
            here = self.new_bound.at(statement.block, statement.position, read.name)
            if here.sites != read.binding.sites:
                return frozenset()
            sites = self.old_bound.at(image.block, image.position, read.name).sites
            more = sites - read.images
            if not more or any(self._goes_elsewhere(site, read) for site in more):
                return frozenset()
            if sites & read.images or all(
                site[1] >= 0 and _refines(self.old.statements[site[1]].node, read.name)
                for site in more
            ):
                return sites
        return frozenset()

    def _goes_elsewhere(self, site: Site, read: Read) -> bool:
        """Whether an old definition has a counterpart that doesn't belong to what is read."""
        source = self._source_of(site)
        if source is None:
            return False
        called = {
            getattr(call.func, "attr", getattr(call.func, "id", ""))
            for _, index in read.binding.sites if index >= 0
            for call in ast.walk(self.new.statements[index].node) if isinstance(call, ast.Call)
        }  # fmt: skip
        return source.unit.kind != "function" or getattr(source.unit.node, "name", "") not in called

    def _resolved(self, bound: Bindings, sites: frozenset[Site], name: str) -> frozenset[Site]:
        """Definitions, with those that a caller gives for a parameter of a unit of one version."""
        found = set(sites)
        for path, index in sites:
            unit = bound.source.unit(path)
            if index < 0 and unit is not None and not self._paired(unit):
                found |= arguments(bound, unit, name)
        return frozenset(found)

    def _paired(self, unit: Unit) -> bool:
        return unit in self.alignment.units or unit in self._counterparts

    def _site_image(self, site: tuple[str, int], name: str) -> tuple[tuple[str, int], str] | None:
        path, index = site
        if index < 0:  # a parameter
            unit = self.new.unit(path)
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

    def data(
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
            name, agreement = self.agreement(slot, read)
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

    def agreement(self, slot: Slot, read: Read) -> tuple[str | None, float]:
        """The name to read at a slot, and how far its definitions are the same ones (0 to 1)."""
        here = self.old_bound.at(slot.block, slot.position, read.name)
        # A star import may bind anything.
        perhaps = here.kind == "star" and read.binding.kind != "star"
        if here.bound and not perhaps:
            return read.name, self._same(slot, read, here, read.name)
        for name in read.renames:
            there = self.old_bound.at(slot.block, slot.position, name)
            if there.sites & read.images:
                return name, self._same(slot, read, there, name)
        if perhaps:
            return read.name, self._same(slot, read, here, read.name)
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


def _refines(node: ast.stmt, name: str) -> bool:
    """Whether an assignment makes a variable's value out of the one that it had."""
    if isinstance(node, ast.AugAssign):
        return True
    value = getattr(node, "value", None)
    return value is not None and name in free_names(value)


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
