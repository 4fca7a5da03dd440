"""Which files, units and statements of two versions belong together."""

from __future__ import annotations

import ast
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from florc.propagate.similarity import Likeness, best_chain, dice, exact_runs
from florc.propagate.source import Source, Statement, Unit, Version

_SAME: dict[str, str] = {}
NEARBY = 12
"""So many statements before and after a run that was found elsewhere are compared too."""
SURE = 0.9
"""How alike statements are that read the same."""
MOVED = 0.75
"""How alike statements must be that are out of order."""


@dataclass(eq=False)
class Alignment:
    """New -> old, for what has a counterpart; `strength` says how alike two statements are."""

    files: dict[str, str] = field(default_factory=dict)
    units: dict[Unit, Unit] = field(default_factory=dict)
    statements: dict[Statement, Statement] = field(default_factory=dict)
    strength: dict[Statement, float] = field(default_factory=dict)
    sources: dict[Statement, Statement] = field(default_factory=dict)  # old -> new
    votes: dict[Unit, dict[str, Counter[str]]] = field(default_factory=dict)  # new -> old names

    def pair(self, new: Statement, old: Statement, strength: float) -> None:
        """Note that two statements belong together."""
        self.statements[new] = old
        self.sources[old] = new
        self.strength[new] = strength

    def part(self, new: Statement, old: Statement) -> None:
        """Undo what pairs either of two statements with others."""
        was = self.statements.pop(new, None)
        if was is not None:
            self.sources.pop(was, None)
        source = self.sources.pop(old, None)
        if source is not None:
            self.statements.pop(source, None)


def align(new: Version, old: Version) -> Alignment:
    """Align two versions: files, then units, then the statements of each pair of units."""
    found = Alignment()
    found.files = _files(new, old)
    _units(new, old, found)
    like = Likeness(lambda s: s.tokens)
    for one, other in found.units.items():
        _sequence(one.plain, other.plain, found, like)
    _scattered(new, old, found, like)
    _called(new, old, found, like)
    _regrouped(found)
    renames = _renames(found)
    translated = Likeness(lambda s: [renames.get(s.unit, _SAME).get(t, t) for t in s.tokens])
    if any(renames.values()):
        _renamed(found, translated)
    _scattered(new, old, found, translated)
    _renames(found)
    return found


# -- files and units ------------------------------------------------------------------------------


def _files(new: Version, old: Version) -> dict[str, str]:
    pairs = {path: path for path in new.sources if path in old.sources}
    left = [s for path, s in new.sources.items() if path not in pairs]
    free = [s for path, s in old.sources.items() if path not in pairs]
    if len(new.sources) == 1 and len(old.sources) == 1 and left:
        return {left[0].path: free[0].path}
    for score, one, other in _ranked(left, free, _alike_files, 0.3):
        if score and one.path not in pairs and other.path not in pairs.values():
            pairs[one.path] = other.path
    return pairs


def _alike_files(new: Source, old: Source) -> float:
    return dice([s.key for s in new.statements if not s.log], [s.key for s in old.statements])


def _ranked(left: list, free: list, alike, least: float) -> list:  # type: ignore[no-untyped-def, type-arg]
    found = []
    for i, one in enumerate(left):
        for j, other in enumerate(free):
            score = alike(one, other)
            if score >= least:
                found.append((-score, i, j))
    return [(-score, left[i], free[j]) for score, i, j in sorted(found)]


def _units(new: Version, old: Version, found: Alignment) -> None:
    for path, other in found.files.items():
        theirs = {unit.path: unit for unit in old.sources[other].units}
        for unit in new.sources[path].units:
            match = theirs.get(unit.path)
            if match is not None and match.kind == unit.kind and match not in _values(found):
                found.units[unit] = match
    taken = set(found.units.values())
    left = [u for u in new.units() if u not in found.units and u.kind != "module"]
    free = [u for u in old.units() if u not in taken and u.kind != "module"]
    for score, one, other in _ranked(left, free, _alike_units, 0.3):
        same = _last(one) == _last(other)
        nested = one.parent is not None and found.units.get(one.parent) is other.parent
        if (
            (same or score >= (0.4 if nested else 0.5))
            and one not in found.units
            and other not in taken
        ):
            found.units[one] = other
            taken.add(other)


def _values(found: Alignment) -> set[Unit]:
    return set(found.units.values())


def _last(unit: Unit) -> str:
    return unit.path.rpartition(".")[2]


def _alike_units(new: Unit, old: Unit) -> float:
    """0 to 1; what they are called, what they take and what they do, as far as they do anything."""
    if new.kind != old.kind:
        return 0.0
    mine, theirs = _doing(new), _doing(old)
    if mine and theirs:
        alike = dice([s.key for s in mine], [s.key for s in theirs])
        if alike < 0.5:
            words = [t for s in mine for t in s.tokens], [t for s in theirs for t in s.tokens]
            alike = max(alike, dice(*words) - 0.2)
    else:
        alike = 0.7 * dice(_signature(new), _signature(old)) if not mine and not theirs else 0.0
    return 0.3 + 0.7 * alike if _last(new) == _last(old) else alike


def _doing(unit: Unit) -> list[Statement]:
    """Its statements but for `pass` and strings."""
    return [
        s for s in unit.plain
        if not isinstance(s.node, ast.Pass)
        and not (isinstance(s.node, ast.Expr) and isinstance(s.node.value, ast.Constant))
    ]  # fmt: skip


def _called(new: Version, old: Version, found: Alignment, like: Likeness) -> None:
    """Pair functions of other names that are called at places that belong together."""
    votes: Counter[tuple[str, str]] = Counter()
    for one, other in found.statements.items():
        votes.update(pair for pair in name_pairs(one.node, other.node) if pair[0] != pair[1])
    taken = set(found.units.values())
    left = _functions(u for u in new.units() if u not in found.units)
    free = _functions(u for u in old.units() if u not in taken)
    for (name, called), _ in votes.most_common():
        if name in left and called in free:
            unit, match = left.pop(name), free.pop(called)
            found.units[unit] = match
            _sequence(unit.plain, match.plain, found, like)


def _functions(units: Iterable[Unit]) -> dict[str, Unit]:
    """Functions at the level of a module, by their names, as far as these are unique."""
    here = [u for u in units if u.kind == "function" and "." not in u.path]
    count = Counter(u.path for u in here)
    return {u.path: u for u in here if count[u.path] == 1}


def _regrouped(found: Alignment) -> None:
    """Compound statements whose headers read the same are told apart by what is in them."""
    for one, other in list(found.statements.items()):
        if not one.blocks or one.is_definition or found.statements.get(one) is not other:
            continue
        inside = [
            found.statements[s].block.owner for block in one.blocks for s in block.statements
            if s in found.statements and found.strength[s] >= SURE
        ]  # fmt: skip
        holder = inside[0] if inside else None
        if holder is None or holder is other or holder.key != other.key:
            continue
        if all(each is holder for each in inside) and not _holds(one, other, found):
            source = found.sources.get(holder)
            if source is not None and _holds(source, holder, found):
                continue
            found.part(one, holder)
            found.pair(one, holder, SURE)


def _holds(new: Statement, old: Statement, found: Alignment) -> bool:
    """Whether something directly in one statement belongs to something directly in the other."""
    return any(
        found.statements[s].block.owner is old
        for block in new.blocks for s in block.statements if s in found.statements
    )  # fmt: skip


def _signature(unit: Unit) -> tuple[str, ...]:
    statement = unit.source.of_node.get(unit.node)  # type: ignore[call-overload]
    return statement.tokens if statement is not None else ()


# -- statements of two units ----------------------------------------------------------------------


def _sequence(
    new: Sequence[Statement], old: Sequence[Statement], found: Alignment, like: Likeness
) -> None:
    """Pair the statements of two units: equal ones in order, edited ones between, moved ones."""
    new = [s for s in new if s not in found.statements]
    old = [s for s in old if s not in found.sources]
    runs = exact_runs([_key(s, found) for s in new], [s.key for s in old])
    for i, j in runs:
        if _may_pair(new[i], old[j], found):
            found.pair(new[i], old[j], 1.0)
    edges = [(-1, -1), *runs, (len(new), len(old))]
    for (i, j), (k, m) in pairwise(edges):
        _gap(new[i + 1 : k], old[j + 1 : m], found, like)
    _moved(new, old, found, like)


def _key(statement: Statement, found: Alignment) -> str:
    """Definitions of units that belong together are equal, whatever they are called."""
    if statement.is_definition:
        inner = statement.blocks[0].unit if statement.blocks else None
        match = found.units.get(inner) if inner is not None else None
        if match is not None:
            definition = match.source.of_node.get(match.node)  # type: ignore[call-overload]
            if definition is not None:
                return str(definition.key)
    return statement.key


def _may_pair(new: Statement, old: Statement, found: Alignment) -> bool:
    if not new.is_definition or not new.blocks or not old.blocks:
        return True
    match = found.units.get(new.blocks[0].unit)
    return match is None or match is old.blocks[0].unit


def _gap(
    new: Sequence[Statement], old: Sequence[Statement], found: Alignment, like: Likeness
) -> None:
    for i, j, score in best_chain(new, old, like):
        if _may_pair(new[i], old[j], found):
            found.pair(new[i], old[j], score)


def _moved(
    new: Sequence[Statement], old: Sequence[Statement], found: Alignment, like: Likeness
) -> None:
    left = [s for s in new if s not in found.statements]
    free = [s for s in old if s not in found.sources]
    _unique(left, free, found)
    left = [s for s in left if s not in found.statements]
    free = [s for s in free if s not in found.sources]
    if len(left) * len(free) > 4000:
        return
    for score, one, other in _ranked(left, free, like, MOVED):
        if one not in found.statements and other not in found.sources:
            if _may_pair(one, other, found):
                found.pair(one, other, 0.8 * score)


def _unique(left: Iterable[Statement], free: Iterable[Statement], found: Alignment) -> None:
    """Pair statements of equal text that each list has once."""
    mine, theirs = _by_key(left), _by_key(free)
    for key, group in mine.items():
        others = theirs.get(key, ())
        if len(group) == len(others) == 1 and _may_pair(group[0], others[0], found):
            found.pair(group[0], others[0], 0.9)


def _by_key(statements: Iterable[Statement]) -> dict[str, list[Statement]]:
    found: dict[str, list[Statement]] = defaultdict(list)
    for statement in statements:
        found[statement.key].append(statement)
    return found


# -- across units: split, merged, extracted, inlined ----------------------------------------------


def _scattered(new: Version, old: Version, found: Alignment, like: Likeness) -> None:
    """Pair what is left over by runs of equal statements, whichever units they are in.

    Where one of the units has no counterpart, its code may have been extracted or inlined: then a
    pair of statements that are only alike gives way to one of equal ones.
    """
    paired = set(found.units.values())
    for unit in list(new.units()):
        alone = unit not in found.units
        ranked = []
        others = list(old.units())
        for number, other in enumerate(others):
            if found.units.get(unit) is other:
                continue
            weakly = alone or other not in paired
            left, free = _left(unit, found, weakly), _free(other, found, weakly)
            common = Counter(s.key for s in left) & Counter(s.key for s in free)
            weight = sum(n for key, n in common.items() if len(key) > 8)
            if weight >= 2 or (weight and weakly):
                ranked.append((-weight, number, weakly))
        for _, number, weakly in sorted(ranked)[:4]:
            left, free = _left(unit, found, weakly), _free(others[number], found, weakly)
            _runs(left, free, found, like)


def _left(unit: Unit, found: Alignment, weakly: bool) -> list[Statement]:
    return [
        s for s in unit.plain if not s.is_definition
        and (s not in found.statements or (weakly and found.strength[s] < 0.9))
    ]  # fmt: skip


def _free(unit: Unit, found: Alignment, weakly: bool) -> list[Statement]:
    return [
        s for s in unit.plain if not s.is_definition
        and (s not in found.sources or (weakly and found.strength[found.sources[s]] < 0.9))
    ]  # fmt: skip


def _runs(
    new: Sequence[Statement], old: Sequence[Statement], found: Alignment, like: Likeness
) -> None:
    pairs = exact_runs([s.key for s in new], [s.key for s in old])
    if not pairs:
        return
    both = set(pairs)
    free = {(i, j) for i, j in pairs if new[i] not in found.statements and
            old[j] not in found.sources}  # fmt: skip
    for i, j in pairs:
        near = {(i - 1, j - 1), (i + 1, j + 1)} & (both if (i, j) in free else free)
        if near or ((i, j) in free and (len(new[i].key) > 8 or len(pairs) > 1)):
            found.part(new[i], old[j])
            found.pair(new[i], old[j], 0.9)
    first, last = pairs[0], pairs[-1]
    edges = [
        (max(-1, first[0] - NEARBY), max(-1, first[1] - NEARBY)), *pairs,
        (min(len(new), last[0] + NEARBY), min(len(old), last[1] + NEARBY)),
    ]  # fmt: skip
    for (i, j), (k, m) in pairwise(edges):
        if (k - i) * (m - j) < 1000:
            mine = [s for s in new[i + 1 : k] if s not in found.statements]
            theirs = [s for s in old[j + 1 : m] if s not in found.sources]
            _gap(mine, theirs, found, like)


# -- names ----------------------------------------------------------------------------------------


def _renames(found: Alignment) -> dict[Unit, dict[str, str]]:
    """What the names of each unit became, where edited statements agree; counts the votes anew."""
    votes: dict[Unit, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for new, old in found.statements.items():
        inside = new.blocks[0].unit if new.is_definition and new.blocks else new.unit
        for one, other in name_pairs(new.node, old.node):
            votes[new.unit][one][other] += 1
            if inside is not new.unit:  # parameters
                votes[inside][one][other] += 1
    found.votes = {unit: dict(counts) for unit, counts in votes.items()}
    renames: dict[Unit, dict[str, str]] = {}
    for unit, counts in votes.items():
        renames[unit] = {}
        for name, count in counts.items():
            best, number = count.most_common(1)[0]
            if best != name and number > sum(count.values()) / 2:
                renames[unit][name] = best
    return renames


def _renamed(found: Alignment, like: Likeness) -> None:
    """Compare again what is left over, with names as the old version has them."""
    for one, other in found.units.items():
        left = [s for s in one.plain if s not in found.statements]
        free = [s for s in other.plain if s not in found.sources]
        if not left or not free:
            continue
        # Between what is paired already, in order, each gap by itself.
        edges = [s for s in one.plain if found.statements.get(s) in set(other.plain)]
        start_new, start_old = -1, -1
        for edge in [*edges, None]:
            stop_new = edge.index if edge else 1 << 60
            stop_old = found.statements[edge].index if edge else 1 << 60
            if stop_old < start_old:
                continue
            inner = [s for s in left if start_new < s.index < stop_new]
            outer = [s for s in free if start_old < s.index < stop_old and s not in found.sources]
            if inner and outer:
                _gap(inner, outer, found, like)
            start_new, start_old = stop_new, stop_old
        _moved(left, free, found, like)


def name_pairs(new: ast.stmt, old: ast.stmt) -> list[tuple[str, str]]:
    """Names at equal places of two statements' headers, as far as the trees have one shape."""
    found: list[tuple[str, str]] = []
    _shape(new, old, found)
    return found


def _shape(new: ast.AST, old: ast.AST, found: list[tuple[str, str]]) -> None:
    if type(new) is not type(old):
        return
    if isinstance(new, ast.Name) and isinstance(old, ast.Name):
        found.append((new.id, old.id))
        return
    if isinstance(new, ast.arg) and isinstance(old, ast.arg):
        found.append((new.arg, old.arg))
        return
    if isinstance(new, ast.alias) and isinstance(old, ast.alias):
        if new.name == old.name:
            found.append((_bound(new), _bound(old)))
        return
    if isinstance(new, (ast.FunctionDef, ast.ClassDef)) and isinstance(
        old, (ast.FunctionDef, ast.ClassDef)
    ):
        found.append((new.name, old.name))
    for name, value in ast.iter_fields(new):
        other = getattr(old, name, None)
        if isinstance(value, ast.AST) and isinstance(other, ast.AST):
            _shape(value, other, found)
        elif isinstance(value, list) and isinstance(other, list) and len(value) == len(other):
            if value and isinstance(value[0], (ast.stmt, ast.ExceptHandler, ast.match_case)):
                continue
            for one, two in zip(value, other):
                if isinstance(one, ast.AST) and isinstance(two, ast.AST):
                    _shape(one, two, found)


def _bound(alias: ast.alias) -> str:
    return alias.asname or alias.name.partition(".")[0]
