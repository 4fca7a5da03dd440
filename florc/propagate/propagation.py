"""Put the log statements of one version into another: each is placed, there already, or refused.

Texts in, texts out.  The parts: `slices` finds what there is to place, `align` what belongs
together in the two versions, `slots` scores the places, `choice` decides, `imports` sees to names
that only imports of the new version bind, `splice` writes.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from florc.propagate.align import Alignment, align
from florc.propagate.bound import Bindings, bindings_of, free_names
from florc.propagate.choice import At, Choice, choose, forced
from florc.propagate.existing import Existing
from florc.propagate.fitting import Fitting
from florc.propagate.helpers import Helpers
from florc.propagate.imports import Imports
from florc.propagate.pieces import defined, leaf_names, left_out, pruned, renamed_text
from florc.propagate.slices import Leaf, Marked, Piece, Slice, marked, selected
from florc.propagate.slots import Place, Slot
from florc.propagate.source import Statement, Unit
from florc.propagate.splice import (
    CannotSplice,
    Insertion,
    Lines,
    cut,
    insertion,
    reindented,
    spliced,
)

__all__ = ["At", "Outcome", "Propagation", "Slice", "propagate"]


@dataclass(frozen=True)
class Outcome:
    """What became of a slice: "placed", "there" (already) or "refused", for `reason`."""

    slice: Slice
    kind: str
    confidence: float = 0.0  # 0 to 1
    file: str = ""  # of the old version
    line: int = 0  # of the old text: placed before it, or there in it
    reason: str = ""
    renames: Mapping[str, str] = field(default_factory=dict)  # new name -> old name
    text: str = ""  # as placed


@dataclass(frozen=True)
class Propagation:
    """The old version with the statements put in, and what became of each."""

    texts: Mapping[str, str]
    outcomes: tuple[Outcome, ...]
    added: Mapping[str, tuple[Insertion, ...]] = field(default_factory=dict)

    @property
    def refused(self) -> tuple[Outcome, ...]:
        """The outcomes that are refusals."""
        return tuple(o for o in self.outcomes if o.kind == "refused")


def propagate(
    new: Mapping[str, str],
    old: Mapping[str, str],
    names: Collection[str] | None = None,
    decisions: Mapping[str, At] | None = None,
) -> Propagation:
    """Put the log statements of `new` into `old` (path -> text each).

    `names` restricts it to log statements of these names (and those whose name is no literal);
    `decisions` says by `Slice.id` where the user wants one.  Never raises for what the texts hold.
    """
    there = marked(old)
    return _Propagator(marked(new, there), there, decisions or {}).run(names)


@dataclass(eq=False)
class _Placed:
    """A piece with its slot; `parts` are the statements to write there, in order."""

    slot: Slot
    rank: tuple[int, ...]
    made: ast.stmt | str
    base: str


class _Propagator:
    def __init__(self, new: Marked, old: Marked, decisions: Mapping[str, At]) -> None:
        self.new = new
        self.old = old
        self.decisions = decisions
        self.alignment: Alignment = align(new.version, old.version)
        self.helpers = Helpers(new, self.alignment)
        self.existing = Existing(new, old, self.alignment)
        self._fittings: dict[tuple[str, str], Fitting] = {}
        self.imports = Imports(new.version, old.version, self.bindings)
        self.defined = defined(new)
        self.outcomes: list[tuple[tuple[str, int, int], Outcome]] = []
        self.placed: dict[str, list[_Placed]] = defaultdict(list)
        self.helping: dict[Statement, tuple[str, Slot] | str] = {}

    def run(self, names: Collection[str] | None) -> Propagation:
        for piece in self.new.pieces:
            leaves = selected(piece, names)
            if leaves:
                self._piece(piece, leaves)
        self._unreadable()
        outcomes = [o for _, o in sorted(self.outcomes, key=lambda entry: entry[0])]
        return self._written(outcomes)

    # -- one piece --------------------------------------------------------------------------------

    def _piece(self, piece: Piece, leaves: list[Leaf]) -> None:
        source = piece.top.unit.source
        if self.existing.exactly(piece, leaves):
            for leaf in leaves:
                found = self.existing.of(leaf)
                self._note(leaf, Outcome(leaf.slice, "there", 1.0, *found))
            return
        mode = "instead" if piece.made is None else "before" if piece.before else "behind"
        if piece.top.log is False and piece.made is None:
            self._refuse(leaves, "does not parse: the log call is inside of a larger expression")
            return
        place = Place(piece.top, mode)
        active = list(leaves)
        while active:
            dropped = [leaf for leaf in piece.leaves if leaf not in active]
            node = pruned(piece, dropped)
            choice, fitting, extra = self._choose(place, node, source.path, active)
            culprits = [
                leaf for leaf in active
                if choice.culprit and choice.culprit in leaf_names(leaf)
            ]  # fmt: skip
            if choice.slot is not None or not culprits or len(culprits) == len(active):
                break
            self._refuse(culprits, choice.reason)
            active = [leaf for leaf in active if leaf not in culprits]
        else:
            return
        if choice.slot is None or fitting is None:
            self._refuse(active, choice.reason)
            return
        active = self._without_existing(active, fitting, choice)
        if active:
            self._place(piece, active, place, fitting, choice, extra)

    def _choose(
        self, place: Place, node: ast.stmt, path: str, active: list[Leaf]
    ) -> tuple[Choice, Fitting | None, list[Statement]]:
        """The best slot in whichever file of the old version; what helpers it needs."""
        extra = self.helpers.needed(place, node, self.bindings("new", path))
        provided = {name for helper in extra for name in self.helpers.names(helper)}
        wanted = [name for name in free_names(node) if not self._ours(place, name, path)]
        wanted = [name for name in wanted if name not in provided]
        lacking = self._lacking_attribute(node)
        best: tuple[Choice, Fitting | None] = (
            Choice(None, reason=self._deleted(place), weight=-9.0), None
        )  # fmt: skip
        decided = next(
            (self.decisions[leaf.slice.id] for leaf in active if leaf.slice.id in self.decisions),
            None,
        )
        files = self._files(place)
        if decided is not None:
            files = [decided.file] if decided.file in self.old.version.sources else []
        for other in files:
            fitting = self.fitting(path, other)
            reads = fitting.reader.reads(place, wanted)
            addable = {r.name for r in reads if self.imports.can_add(r, path, other)}
            reads = [r for r in reads if r.name not in addable]
            if decided is not None:
                return forced(fitting, place, reads, decided), fitting, extra
            choice = choose(fitting, place, reads)
            if choice.weight > best[0].weight:
                best = (choice, fitting)
        if lacking and best[0].slot is not None:
            owner, attribute = lacking
            reason = f"`{owner}.{attribute}` is not bound here"
            best = (Choice(None, reason=reason, culprit=attribute, weight=0.0), best[1])
        return (*best, extra)

    def _files(self, place: Place) -> list[str]:
        """Files of the old version where the place could be."""
        found: dict[str, None] = {}
        unit = self.alignment.units.get(place.block.unit)
        if unit is not None:
            found[unit.source.path] = None
        for statement, _ in (*place.preceding(), *place.following()):
            image = self.alignment.statements.get(statement)
            if image is not None:
                found[image.unit.source.path] = None
        return list(found)

    def _ours(self, place: Place, name: str, path: str) -> bool:
        """Whether a name is what an import from flor binds."""
        if name not in self.new.version.sources[path].flor.all():
            return False
        binding = self.bindings("new", path).at(place.block, place.position, name)
        return binding.bound

    def _deleted(self, place: Place) -> str:
        scope = place.block.unit.path
        if self._broken(place.block.unit):
            return "does not parse: the old file can't be parsed"
        if not scope:
            return "context deleted: the file has no counterpart"
        return f"context deleted: `{scope}` has no counterpart"

    def _broken(self, unit: Unit) -> bool:
        path = unit.source.path
        return path in self.old.version.broken or (
            bool(self.old.version.broken) and not self.old.version.sources
        )

    def _lacking_attribute(self, node: ast.stmt) -> tuple[str, str] | None:
        """An attribute that the new project defines and the old one doesn't so much as mention."""
        for child in ast.walk(node):
            if isinstance(child, ast.Attribute) and child.attr in self.defined:
                if child.attr not in self.old.version.mentioned:
                    return ast.unparse(child.value), child.attr
        return None

    # -- placing ----------------------------------------------------------------------------------

    def _without_existing(
        self, active: list[Leaf], fitting: Fitting, choice: Choice
    ) -> list[Leaf]:  # fmt: skip
        """Note what the old version logs at the slot already; the rest is left to place."""
        left = []
        for leaf in active:
            found = self.existing.near(leaf, choice.slot)
            if found is None:
                left.append(leaf)
            else:
                reason = "" if found[2] else "another value is logged under the name here"
                line = Outcome(leaf.slice, "there", choice.confidence, found[0], found[1], reason)
                self._note(leaf, line)
        return left

    def _place(
        self, piece: Piece, active: list[Leaf], place: Place, fitting: Fitting, choice: Choice,
        extra: list[Statement],
    ) -> None:  # fmt: skip
        source, old = fitting.new, fitting.old
        slot = choice.slot
        assert slot is not None
        dropped = [leaf for leaf in piece.leaves if leaf not in active]
        node = pruned(piece, dropped)
        renames = dict(choice.renames)
        bound = {
            n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
        }
        for helper in extra:
            bound |= self.helpers.names(helper)
        fresh, clash = self.helpers.fresh(bound, slot, old, self.old, [piece.top, *extra])
        outside = set(free_names(node)) - {n for h in extra for n in self.helpers.names(h)}
        clash = clash or next((name for name in sorted(fresh) if name in outside), "")
        if clash:
            self._refuse(active, f"`{clash}` means something else here")
            return
        slots = self._helper_slots(extra, place, slot, source.path)
        if isinstance(slots, str):
            self._refuse(active, slots)
            return
        parts = [*zip(extra, slots), (piece.top, slot)]
        done: list[_Placed] = []
        lines: set[ast.stmt] = set()
        try:
            for statement, where in parts:
                if self.helping.get(statement) is not None and statement is not piece.top:
                    continue
                target: ast.stmt = statement.node
                gone: list[ast.AST] = []
                if statement is piece.top:
                    gone = left_out(piece, dropped)
                    target = node if piece.made is not None else target
                wanted = free_names(node if statement is piece.top else target)
                if statement is not piece.top and not isinstance(target, ast.FunctionDef):
                    renames |= self._helper_renames(statement, where, fitting, wanted)
                callee = self.imports.callees(source, old, where.block.unit, wanted)
                made: ast.stmt | str
                if piece.made is not None and statement is piece.top:
                    made = renamed_text(node, {**renames, **callee})
                    base = ""
                else:
                    made = cut(source, target, {**renames, **callee}, fresh, gone)
                    base = Lines(source.text).indent(statement.first_line)
                rank = (statement.index,)
                found = _Placed(where, rank, made, base)
                insertion(old, Lines(old.text), where, made, base, (0, 0))
                done.append(found)
                lines.add(target)
        except CannotSplice as error:
            self._refuse(active, f"does not parse: {error}")
            return
        if not self._fits(old.path, done):
            self._refuse(active, "does not parse: the old file with the statement in it")
            return
        for statement, _ in parts:
            self.helping[statement] = "placed"
        self.imports.add(place, node, extra, source, old, slot)
        self.placed[old.path] += done
        last = done[-1]
        shown = ast.unparse(last.made) if not isinstance(last.made, str) else last.made
        shown = reindented(shown, last.base, "", "    ", "\n")
        for leaf in active:
            made_slice = replace(
                leaf.slice, helpers=tuple(ast.unparse(helper.node) for helper in extra)
            )
            self._note(
                leaf,
                Outcome(
                    made_slice, "placed", choice.confidence, old.path, slot.line, "",
                    {**renames, **fresh}, shown,
                ),
            )  # fmt: skip

    def _helper_renames(
        self, helper: Statement, slot: Slot, fitting: Fitting, names: list[str]
    ) -> dict[str, str]:
        place = Place(helper)
        found = {}
        for read in fitting.reader.reads(place, names):
            other, _ = fitting.reader.agreement(slot, read)
            if other is not None and other != read.name:
                found[read.name] = other
        return found

    def _helper_slots(
        self, extra: list[Statement], place: Place, slot: Slot, path: str
    ) -> list[Slot] | str:
        """Where the helpers go: with the statement if they stand directly before it."""
        found: list[Slot] = []
        for helper in extra:
            chosen = self.helping.get(helper)
            if isinstance(chosen, tuple):
                found.append(chosen[1])
                continue
            where = self._helper_slot(helper, place, slot, path)
            if isinstance(where, str):
                return where
            found.append(where)
        for helper, _ in zip(extra, found):
            names = self.helpers.names(helper)
            others = [
                w for h, w in zip(extra, found) if names & self.helpers.names(h)
            ]  # fmt: skip
            if not any(_dominates(w, slot) for w in others):
                return f"`{sorted(names)[0]}` is not bound here"
        return found

    def _helper_slot(
        self, helper: Statement, place: Place, slot: Slot, path: str
    ) -> Slot | str:  # fmt: skip
        if self.helpers.together(helper, place.statement):
            return slot
        if isinstance(helper.node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            lacking = self.imports.unbound(helper.node, path, slot.block.unit.source)
            if lacking:
                return f"`{lacking}` is not bound here"
            return _before_all(slot)
        own = Place(helper)
        fitting = self.fitting(path, slot.block.unit.source.path)
        again = self.helpers.needed(own, helper.node, self.bindings("new", path))
        provided = {n for h in again for n in self.helpers.names(h)}
        provided |= self.helpers.names(helper)
        names = [n for n in free_names(helper.node) if n not in provided]
        reads = fitting.reader.reads(own, [n for n in names if not self._ours(own, n, path)])
        addable = {
            r.name for r in reads if self.imports.can_add(r, path, slot.block.unit.source.path)
        }
        choice = choose(fitting, own, [r for r in reads if r.name not in addable])
        return choice.slot if choice.slot is not None else choice.reason

    def _fits(self, path: str, more: list[_Placed]) -> bool:
        """Whether the old file still compiles with these put in."""
        source = self.old.version.sources[path]
        text = spliced(source.text, self._insertions(path, more))
        try:
            compile(text, path, "exec", dont_inherit=True)
        except (SyntaxError, ValueError, RecursionError):
            return False
        return True

    # -- writing ----------------------------------------------------------------------------------

    def _insertions(self, path: str, placed: list[_Placed]) -> list[Insertion]:
        source = self.old.version.sources[path]
        lines = Lines(source.text)
        found = []
        branches: dict[int, int] = defaultdict(int)
        for item in sorted(placed, key=lambda p: p.rank):
            number = 0
            if not item.slot.block.statements:
                owner = item.slot.block.owner
                number = branches[id(owner)]
                branches[id(owner)] += 1
            outer = -len(item.slot.block.ancestors)
            found.append(
                insertion(source, lines, item.slot, item.made, item.base,
                          (outer, *item.rank, number))
            )  # fmt: skip
        return found

    def _written(self, outcomes: list[Outcome]) -> Propagation:
        texts = dict(self.old.version.texts)
        added: dict[str, tuple[Insertion, ...]] = {}
        for path, source in self.old.version.sources.items():
            made = self._insertions(path, self.placed.get(path, []))
            made += self.imports.insertions(source)
            if made:
                texts[path] = spliced(source.text, made)
                added[path] = tuple(sorted(made, key=lambda i: (i.offset, i.rank)))
        return Propagation(texts, tuple(outcomes), added)

    # -- small things -----------------------------------------------------------------------------

    def bindings(self, which: str, path: str) -> Bindings:
        """Bindings of a file of the "new" or the "old" version."""
        version = self.new.version if which == "new" else self.old.version
        return bindings_of(version.sources[path])

    def fitting(self, path: str, other: str) -> Fitting:
        """What scores slots of an old file for places of a new one."""
        if (path, other) not in self._fittings:
            self._fittings[path, other] = Fitting(
                self.alignment, self.new.version.sources[path], self.old.version.sources[other],
                self.bindings("new", path), self.bindings("old", other),
            )  # fmt: skip
        return self._fittings[path, other]

    def _note(self, leaf: Leaf, outcome: Outcome) -> None:
        key = (leaf.slice.file, leaf.slice.line, leaf.key or 0)
        self.outcomes.append((key, outcome))

    def _refuse(self, leaves: list[Leaf], reason: str) -> None:
        for leaf in leaves:
            self._note(leaf, Outcome(leaf.slice, "refused", reason=reason))

    def _unreadable(self) -> None:
        """Files of the new version that can't be parsed may hold log statements too."""
        for path in sorted(self.new.version.broken):
            text = self.new.version.texts[path]
            if "flor" in text and "log" in text:
                nothing = Slice(path, 0, "", (), "")
                reason = "does not parse: the new file can't be parsed"
                self.outcomes.append(((path, 0, 0), Outcome(nothing, "refused", reason=reason)))


def _dominates(first: Slot, then: Slot) -> bool:
    """Whether control that comes to `then` has passed `first`, as far as blocks tell."""
    if first.block.unit is not then.block.unit:
        return True
    return first.order <= then.order and first.block in then.block.ancestors


def _before_all(slot: Slot) -> Slot:
    """The place before the top-level statement that holds a slot."""
    block, position = slot.block, slot.position
    while (owner := block.owner) is not None:
        block, position = owner.block, owner.position
    return Slot(block, position)
